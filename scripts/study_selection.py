"""Coverage of the selection models and of the overlap estimators on simulated logs and lists.

Run: python scripts/study_selection.py [--replicates 500] [--tables selection overlap] [--work DIR]
Writes studies/selection_coverage.csv and studies/overlap_coverage.csv with a sidecar each. Every
replicate has its own spawned seed, so that the tables do not depend on the order of the runs;
replicates done are kept in DIR, from which an interrupted run continues.
"""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri
from study_io import chunks_of_this_code

from offroute._parallel import write_once
from offroute._random import spawn_seeds
from offroute.estimators.exclusion import exclusion_dial, population_mean
from offroute.estimators.loglinear import loglinear
from offroute.estimators.overlap import chao_bound, chapman, dependence_dial
from offroute.estimators.selection import heckman_two_step
from offroute.estimators.selection_binary import heckman_binary
from offroute.estimators.selection_ml import heckman_ml
from offroute.exceptions import DataError

STUDIES = Path(__file__).parent.parent / "studies"
SEED = 20261127
LEVEL = 0.9
BATCH = 25
UNITS, SIZE = 1500, 2000
RHO = 0.6
#: Selection worlds: what holds of the model's assumptions.
WORLDS: dict[str, dict[str, Any]] = {
    "assumptions hold": {},
    "weak instrument": {"strength": 0.1},
    "instrument acts directly (.2)": {"direct": 0.2},
    "errors with heavy tails (t, 4 df)": {"tails": 4.0},
}
TABLES = ("selection", "overlap")
Row = tuple[str, float, float, float, float]
World = Callable[[np.random.Generator], Iterator[Row]]


def draw_logs(
    rng: np.random.Generator,
    *,
    strength: float = 1.0,
    direct: float = 0.0,
    tails: float = np.inf,
) -> tuple[np.ndarray, ...]:
    """Draw units with an index of the outcome, whether they are on the panel, X and Z."""
    x, w, v, e = rng.standard_normal((4, UNITS))
    if np.isfinite(tails):
        scale = np.sqrt((tails - 2) / rng.chisquare(tails, UNITS))
        v, e = v * scale, e * scale
    u = RHO * v + np.sqrt(1 - RHO**2) * e
    one = np.ones(UNITS)
    seen = 0.2 + 0.5 * x + strength * w + v > 0
    return (
        0.3 + 0.5 * x + direct * w + u,
        np.column_stack([one, x]),
        seen,
        np.column_stack([one, x, w]),
    )


def selection_rows(rng: np.random.Generator, options: dict[str, Any]) -> Iterator[Row]:
    """Yield name, truth, estimate and interval of each estimator on one set of logs."""
    y, X, s, Z = draw_logs(rng, **options)
    called = (y > 0).astype(np.float64)
    z = ndtri(0.5 + LEVEL / 2)
    mean = 0.3
    share = share_of(**options)
    for name, outcome, truth in (("mean", y, mean), ("share", called, share)):
        seen = outcome[s]
        half = z * seen.std(ddof=1) / np.sqrt(len(seen))
        yield f"{name}: naive", truth, seen.mean(), seen.mean() - half, seen.mean() + half
    fits: tuple[tuple[str, Callable[..., Any], np.ndarray, float], ...] = (
        ("mean: two-step", heckman_two_step, y, mean),
        ("mean: maximum likelihood", heckman_ml, y, mean),
        ("share: binary maximum likelihood", heckman_binary, called, share),
    )
    for name, fit, outcome, truth in fits:
        try:
            found = population_mean(fit(outcome, X, s, Z), outcome, X, s)
        except DataError:
            yield name, truth, np.nan, np.nan, np.nan
            continue
        half = z * found.se
        yield name, truth, found.estimate, found.estimate - half, found.estimate + half
    grid = np.array([-0.2, 0.0, 0.2])
    dial = exclusion_dial(y, X, s, Z, instrument=2, delta=grid, level=LEVEL)
    yield "mean: dial over direct effects of -.2 to .2", mean, dial.estimate[1], *dial.union


@cache
def share_of(*, strength: float = 1.0, direct: float = 0.0, tails: float = np.inf) -> float:
    """Return the part of all units whose index is above zero, by simulation once."""
    rng = np.random.default_rng(1)
    n = 2_000_000
    x, w, v, e = rng.standard_normal((4, n))
    if np.isfinite(tails):
        scale = np.sqrt((tails - 2) / rng.chisquare(tails, n))
        v, e = v * scale, e * scale
    u = RHO * v + np.sqrt(1 - RHO**2) * e
    return float((0.3 + 0.5 * x + direct * w + u > 0).mean())


def overlap_rows(rng: np.random.Generator, psi: float) -> Iterator[Row]:
    """Yield the estimators on three lists, of which the first two have odds ratio psi."""
    odds = np.array([psi * 0.3 * 0.4, 0.3 * 0.6, 0.7 * 0.4, 0.7 * 0.6])
    pair = rng.choice(4, SIZE, p=odds / odds.sum())
    listed = np.column_stack([pair < 2, pair % 2 == 0, rng.random(SIZE) < 0.3])  # noqa: PLR2004 - two of four cells each
    n1, n2 = int(listed[:, 0].sum()), int(listed[:, 1].sum())
    both = int((listed[:, 0] & listed[:, 1]).sum())
    two = chapman(n1, n2, both, level=LEVEL)
    yield "Chapman, lists 1 and 2", SIZE, two.estimate, two.low, two.high
    for value in (psi, 5.0):
        dial = dependence_dial(n1, n2, both, odds_ratio=np.array([1.0, value]), level=LEVEL)
        name = "dial at the true odds ratio" if value == psi else "dial over odds ratios 1 to 5"
        ends = (dial.low[1], dial.high[1]) if value == psi else dial.bounds
        yield name, SIZE, dial.estimate[1], *ends
    histories, counts = np.unique(listed[listed.any(axis=1)], axis=0, return_counts=True)
    for name, pairs in (("independence", ()), ("dependence of lists 1 and 2", ((0, 1),))):
        fit = loglinear(histories, counts.astype(float), interactions=pairs, level=LEVEL)
        yield f"log-linear, {name}", SIZE, fit.estimate, fit.low, fit.high
    times = np.bincount(listed.sum(axis=1), minlength=4)[1:].astype(float)
    bound = chao_bound(times, level=LEVEL)
    yield "Chao bound (low end below the truth)", SIZE, bound.estimate, bound.low, np.inf


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Return bias, spread, width and coverage with its Monte Carlo error."""
    out = []
    for (world, estimator), block in rows.groupby(["world", "estimator"], sort=False):
        there = block.dropna()
        error = there["estimate"] - there["truth"]
        held = (there["low"] <= there["truth"]) & (there["truth"] <= there["high"])
        out.append(
            {
                "world": world,
                "estimator": estimator,
                "replicates": len(block),
                "refused": len(block) - len(there),
                "truth": there["truth"].mean(),
                "bias": error.mean(),
                "sd": error.std(),
                "median_width": (there["high"] - there["low"]).median(),
                "coverage": held.mean(),
                "mcse": np.sqrt(max(held.mean() * (1 - held.mean()), 1e-9) / len(there)),
            }
        )
    return pd.DataFrame(out)


def replicates(rows: World, seeds: Sequence[np.random.SeedSequence]) -> pd.DataFrame:
    """Return the rows of one replicate per seed."""
    found = [row for seed in seeds for row in rows(np.random.default_rng(seed))]
    return pd.DataFrame(found, columns=["estimator", "truth", "estimate", "low", "high"])


def run(worlds: dict[str, World], count: int, work: Path) -> pd.DataFrame:
    """Run all worlds, continuing what `work` holds."""
    seeds = spawn_seeds(SEED, count)
    work = chunks_of_this_code(work)
    parts = []
    for name, rows in worlds.items():
        for start in range(0, count, BATCH):
            stop = min(start + BATCH, count)
            file = work / f"{re.sub('[^a-z0-9]+', '-', name)}-{start}-{stop}.csv"
            write_once(file, partial(replicates, rows, seeds[start:stop]))
            parts.append(pd.read_csv(file).assign(world=name))
        print(name, flush=True)
    return summarise(pd.concat(parts, ignore_index=True))


def main() -> None:
    """Run the study and write its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--work", type=Path, default=Path("build/study_selection"))
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    options = parser.parse_args()
    count = options.replicates
    selection = {name: partial(selection_rows, options=o) for name, o in WORLDS.items()}
    overlap = {
        f"lists 1 and 2 with odds ratio {psi:g}": partial(overlap_rows, psi=psi)
        for psi in (1.0, 3.0)
    }
    for stem, worlds, about in (
        ("selection_coverage", selection, f"selection models, {UNITS} units, rho {RHO}"),
        ("overlap_coverage", overlap, f"overlap of lists, {SIZE} units"),
    ):
        if stem.removesuffix("_coverage") not in options.tables:
            continue
        table = run(worlds, count, options.work)
        table.to_csv(STUDIES / f"{stem}.csv", index=False, float_format="%.4f")
        note = {
            "about": f"Coverage of nominal {LEVEL:.0%} intervals: {about}",
            "command": shlex.join(["python", *sys.argv]),
            "seeds": f"{SEED}, spawned by replicate",
            "offroute": version("offroute"),
            "date": datetime.now(UTC).date().isoformat(),
            "columns": list(table.columns),
            "rows": len(table),
        }
        (STUDIES / f"{stem}.json").write_text(json.dumps(note, indent=1) + "\n")
        print(table.round(3).to_string())


if __name__ == "__main__":
    main()
