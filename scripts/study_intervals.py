"""Coverage of every kind of interval, as a small table.

Run: python scripts/study_intervals.py [--replicates 1000] [--workers 2] [--work DIR]
Writes studies/interval_coverage.csv; replicates done are kept in DIR. Single numbers: raked logs of
accounts with heavy-tailed volumes, and probability samples of 12 accounts. Compositions: five
shares that must be covered together, of independent draws and of clusters.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from study_io import chunks_of_this_code, run_study
from study_unit_logs_designs import heavy_tailed_accounts

from offroute._parallel import write_once
from offroute._random import spawn_seeds
from offroute.estimators.calibrate import rake
from offroute.estimators.estimands import mean, ratio, share, shares_of, total
from offroute.estimators.expansion import expansion
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.point import Target, make_target
from offroute.inference.bands import (
    composition_intervals,
    design_effect_covariance,
    goodman_intervals,
    sison_glaz_intervals,
    sup_t_band,
    sup_t_band_of_draws,
)
from offroute.inference.estimate import infer, make_estimate
from offroute.inference.intervals import (
    bca_interval,
    fieller_interval,
    normal_interval,
    percentile_interval,
)
from offroute.inference.resampling import bootstrap, jackknife
from offroute.inference.variance import cluster_totals

OUT = Path(__file__).parent.parent / "studies" / "interval_coverage.csv"
SEED = 20261123
LEVELS = (0.90, 0.95)
MCSE_ALLOWED = 4
BATCH = 50
BOOTSTRAPS, BAND_DRAWS = 400, 20_000
ACCOUNT = DesignColumns(clusters="account")
SHARES = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
UNITS, CLUSTERS, PER_CLUSTER = 500, (400, 100), 10
# Spread of a cluster's shares: the design effect is about 1 + 9 / (1 + CONCENTRATION).
CONCENTRATION = 4.0


def raked_logs(population: pd.DataFrame, seed: np.random.SeedSequence) -> Iterator[dict]:
    """Rake one draw of logs; yield every interval of shares and ratios of requests and volumes.

    About 250 accounts are enough for requests. A few of them carry the volume, so that sums of it
    are far from normal: no interval is expected to hold, and the table says what each loses.
    """
    rng = np.random.default_rng(seed)
    first = population.drop_duplicates("account")
    chosen = first["account"][rng.random(len(first)) < first["enters"]]
    everyone = population.assign(
        other=1 - population["chinese"],
        cn_volume=population["chinese"] * population["volume"],
        other_volume=(1 - population["chinese"]) * population["volume"],
    )
    logs = everyone[everyone["account"].isin(chosen)]
    columns = ["chinese", "other", "cn_volume", "other_volume"]
    margins = ["region", "plan"]
    sample = read_sample(
        logs.assign(even=len(population) / len(logs), cn=np.where(logs["chinese"] == 1, "y", "n")),
        outcomes=["cn", *columns],
        covariates=margins,
        weights="even",
        volume="volume",
        design=ACCOUNT,
    )
    target = make_target({k: population[k].value_counts().to_dict() for k in margins})
    true = everyone[columns].sum().to_numpy()
    truth = np.array(
        [true[0] / true[:2].sum(), true[2] / true[2:].sum(), true[0] / true[1], true[2] / true[3]]
    )
    shares = [mean("chinese"), share("cn", levels=["y"])]
    ratios = [ratio("chinese", "other"), ratio("cn_volume", "other_volume")]
    names = ["share of requests", "share of volume", "ratio of requests", "ratio of volumes"]
    totals = infer(rake(sample, target, estimands=[total(c) for c in columns]))
    everything = partial(rake, estimands=[*shares, *ratios])
    point = everything(sample, target)
    drawn = bootstrap(everything, sample, target, count=BOOTSTRAPS, rng=rng)
    poisson = bootstrap(everything, sample, target, count=BOOTSTRAPS, method="poisson", rng=rng)
    deleted = jackknife(everything, sample, target)
    of_shares = rake(sample, target, estimands=shares)
    units = cluster_totals(point.influence, point.design)[0]
    for level in LEVELS:
        logit = infer(of_shares, level=level, interval="logit")
        log = infer(point, level=level, interval="log")
        fieller = [
            fieller_interval(
                *totals.values[k : k + 2], totals.covariance[k : k + 2, k : k + 2], level=level
            )
            for k in (0, 2)
        ]
        t = {"level": level, "df": deleted.degrees_of_freedom}
        ends = {
            "normal": normal_interval(deleted.values, infer(point).se, level=level),
            "t": normal_interval(deleted.values, infer(point).se, **t),
            "t, jackknife": normal_interval(deleted.values, deleted.se, **t),
            "percentile, Rao-Wu": percentile_interval(drawn.draws, level=level),
            "percentile, Poisson": percentile_interval(poisson.draws, level=level),
            "BCa, Rao-Wu": bca_interval(drawn.draws, point.values, units, level=level),
            "logit": (logit.lower, logit.upper),
            "log": (log.lower, log.upper),
            "Fieller": tuple(np.array([np.nan, np.nan, *x]) for x in zip(*fieller, strict=True)),
        }
        for kind, (low, high) in ends.items():
            for k in range(low.size):
                if np.isfinite(low[k]):
                    holds = "requests" in names[k]
                    yield row(
                        f"raked logs, {names[k]}", kind, holds, level, truth[k], low[k], high[k]
                    )


def few_clusters(population: pd.DataFrame, seed: np.random.SeedSequence) -> Iterator[dict]:
    """Draw 12 accounts: what a normal interval loses on few clusters, and t does not."""
    rng = np.random.default_rng(seed)
    accounts = rng.choice(population["account"].unique(), 12, replace=False)
    logs = population[population["account"].isin(accounts)].assign(d=1.0)
    sample = read_sample(
        logs, outcomes=["chinese"], covariates=["plan"], weights="d", design=ACCOUNT
    )
    point = expansion(sample, Target(), estimands=[mean("chinese")])
    truth = float(population["chinese"].mean())
    for level in LEVELS:
        for kind, holds in (("normal", False), ("t", True), ("logit", True)):
            e = infer(point, level=level, interval=kind)
            yield row("12 accounts, mean", kind, holds, level, truth, e.lower[0], e.upper[0])


def independent_draws(_: pd.DataFrame, seed: np.random.SeedSequence) -> Iterator[dict]:
    """Draw multinomial counts: five shares to be covered together."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(UNITS, SHARES).astype(float)
    p = counts / UNITS
    covariance = design_effect_covariance(p, UNITS, 1.0)
    bands = {"draws": BAND_DRAWS, "rng": rng}
    for level in LEVELS:
        z = infer_normal(p, covariance, level)
        ends = {
            "Goodman": (goodman_intervals(counts, level=level), True),
            "Sison-Glaz": (sison_glaz_intervals(counts, level=level), True),
            "sup-t": (sup_t_band(p, covariance, level=level, **bands), True),
            "log odds, sup-t": (composition_intervals(p, covariance, level=level, **bands), True),
            "normal, one at a time": (z, False),
        }
        for kind, ((low, high), holds) in ends.items():
            yield row("500 draws, five shares", kind, holds, level, SHARES, low, high)


def clustered_draws(_: pd.DataFrame, seed: np.random.SeedSequence) -> Iterator[dict]:
    """Draw many and few clusters whose shares differ; see `_clustered`."""
    for clusters, child in zip(CLUSTERS, seed.spawn(len(CLUSTERS)), strict=True):
        yield from _clustered(clusters, np.random.default_rng(child))


def _clustered(clusters: int, rng: np.random.Generator) -> Iterator[dict]:
    """Yield intervals of five shares; with few clusters the smallest is skew on its own scale."""
    own = rng.dirichlet(SHARES * CONCENTRATION, clusters)
    counts = np.stack([rng.multinomial(PER_CLUSTER, p) for p in own])
    names = np.array(["a", "b", "c", "d", "e"])
    frame = pd.DataFrame(
        {
            "account": np.repeat(np.arange(clusters), PER_CLUSTER),
            "origin": np.concatenate([np.repeat(names, row) for row in counts]),
            "d": 1.0,
        }
    )
    sample = read_sample(frame, outcomes=["origin"], weights="d", design=ACCOUNT)
    estimands = [shares_of(sample, "origin")]
    estimate = infer(expansion(sample, Target(), estimands=estimands))
    p, covariance = estimate.values, estimate.covariance
    n = clusters * PER_CLUSTER
    # The mean design effect, by which Goodman's counts are deflated.
    deff = float(np.trace(covariance) / np.trace(design_effect_covariance(p, n, 1.0)))
    drawn = bootstrap(
        lambda s, t: expansion(s, t, estimands=estimands),
        sample,
        Target(),
        count=BOOTSTRAPS,
        rng=rng,
    )
    bands, many = {"draws": BAND_DRAWS, "rng": rng}, clusters == max(CLUSTERS)
    for level in LEVELS:
        ends = {
            "sup-t": (sup_t_band(p, covariance, level=level, **bands), many),
            "sup-t of bootstrap draws": (sup_t_band_of_draws(drawn.draws, level=level), many),
            "log odds, sup-t": (composition_intervals(p, covariance, level=level, **bands), True),
            "Goodman, counts over the design effect": (
                goodman_intervals(p * n / deff, level=level),
                True,
            ),
            "Goodman, raw counts": (goodman_intervals(p * n, level=level), False),
        }
        for kind, ((low, high), holds) in ends.items():
            yield row(f"{clusters} clusters, five shares", kind, holds, level, SHARES, low, high)


def infer_normal(
    values: np.ndarray, covariance: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return normal intervals."""
    names = tuple(map(str, range(values.size)))
    e = make_estimate(names, values, covariance, level=level, interval="normal", df=np.inf)
    return e.lower, e.upper


def row(
    design: str,
    kind: str,
    holds: bool,
    level: float,
    truth: float | np.ndarray,
    low: float | np.ndarray,
    high: float | np.ndarray,
) -> dict:
    """Say whether one interval, or all of several, cover."""
    below, above = np.any(truth < np.asarray(low)), np.any(truth > np.asarray(high))
    return {
        "design": design,
        "interval": kind,
        "assumptions_hold": holds,
        "level": level,
        "covers": not (below or above),
        "below": bool(below),
        "above": bool(above),
        "width": float(np.mean(np.asarray(high) - np.asarray(low))),
    }


def summarise(raw: pd.DataFrame) -> pd.DataFrame:
    """Return coverage with its Monte Carlo error, misses on each side and the mean width."""
    keys = ["design", "interval", "assumptions_hold", "level"]
    table = raw.groupby(keys, sort=False).agg(
        replicates=("covers", "size"),
        coverage=("covers", "mean"),
        truth_below=("below", "mean"),
        truth_above=("above", "mean"),
        mean_width=("width", "mean"),
    )
    table = table.reset_index()
    mcse = np.sqrt(table["level"] * (1 - table["level"]) / table["replicates"])
    table.insert(6, "coverage_mcse", mcse)
    inside = (table["coverage"] - table["level"]).abs() <= MCSE_ALLOWED * mcse
    table.insert(7, "within_4_mcse", inside)
    return table


def chunk(task: tuple[str, int, int, Path]) -> Path:
    """Run some replicates of one design, unless they are there."""
    name, start, stop, work = task

    def make() -> pd.DataFrame:
        population = heavy_tailed_accounts(np.random.default_rng(SEED))
        seeds = spawn_seeds(SEED + 1, stop)[start:]
        return pd.DataFrame([r for seed in seeds for r in DRAWS[name](population, seed)])

    return write_once(work / f"{name}-{start}-{stop}.csv", make)


DRAWS = {
    "raked": raked_logs,
    "few": few_clusters,
    "independent": independent_draws,
    "clustered": clustered_draws,
}


def main() -> None:
    """Run every design and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("build/study_intervals"))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    work = chunks_of_this_code(options.work)
    tasks = [
        (name, start, min(start + BATCH, options.replicates), work)
        for name in DRAWS
        for start in range(0, options.replicates, BATCH)
    ]
    table = summarise(run_study(chunk, tasks, workers=options.workers))
    table.round(6).to_csv(options.out, index=False, lineterminator="\n")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
