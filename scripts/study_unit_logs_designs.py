"""The two populations of study_unit_logs.py: how logs arise, and which estimators see them."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from offroute.estimators.calibrate import calibrate, rake
from offroute.estimators.doubly_robust import doubly_robust
from offroute.estimators.estimands import mean, share
from offroute.estimators.expansion import expansion
from offroute.estimators.imputation import impute
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.partial_pooling import mrp
from offroute.estimators.point import Estimator, Target, make_target
from offroute.estimators.poststratify import poststratify
from offroute.estimators.propensity import ipw
from offroute.estimators.rectifier import rectify
from offroute.estimators.reference import target_from_reference
from offroute.inference.estimate import Estimate, infer

RHO = (0.3, 0.5, 0.8)
OUTCOMES = ["y30", "y50", "y80"]
ALL = ["x1", "x2", "x3", "x4"]
WITHOUT_X4 = ALL[:3]
N_LOGS, N_REFERENCE, N_LABELLED = 500, 1000, 300


def chen_li_wu(rng: np.random.Generator) -> pd.DataFrame:
    """Return the population of Chen, Li and Wu (2020), section 5: 20,000 units.

    Outcomes correlate .3, .5 and .8 with their linear predictor; logs enter by a logit model.
    """
    n = 20_000
    z = [rng.binomial(1, 0.5, n), rng.uniform(0, 2, n), rng.exponential(1, n), rng.chisquare(4, n)]
    x1 = z[0].astype(float)
    x2 = z[1] + 0.3 * x1
    x3 = z[2] + 0.2 * (x1 + x2)
    x4 = z[3] + 0.1 * (x1 + x2 + x3)
    frame = pd.DataFrame({"x1": x1, "x2": x2, "x3": x3, "x4": x4})
    linear = x1 + x2 + x3 + x4
    noise = rng.normal(size=n)
    for name, rho in zip(OUTCOMES, RHO, strict=True):
        frame[name] = 2 + linear + linear.std() * np.sqrt(1 / rho**2 - 1) * noise
    slope = 0.1 * x1 + 0.2 * x2 + 0.1 * x3 + 0.2 * x4
    level = brentq(lambda t: expit(t + slope).sum() - N_LOGS, -20, 5)
    frame["enters"] = expit(level + slope)
    # Reference inclusion in proportion to c + x3, largest fifty times the smallest.
    frame["size"] = (x3.max() - 50 * x3.min()) / 49 + x3
    return frame


def draw_chen_li_wu(population: pd.DataFrame, seed: np.random.SeedSequence) -> Iterator[dict]:
    """Draw logs, reference and labelled sample once; yield estimates of every estimator."""
    rng = np.random.default_rng(seed)
    logs = population[rng.random(len(population)) < population["enters"]]
    panel = systematic(population, N_REFERENCE, rng)
    labelled = systematic(population, N_LABELLED, rng)
    sample = read_sample(logs, outcomes=OUTCOMES, covariates=ALL)
    reference = read_sample(panel, covariates=ALL, weights="d")
    rows = Target(reference=reference)
    totals = {k: target_from_reference(reference, v) for k, v in (("", ALL), ("-x4", WITHOUT_X4))}
    known = make_target({k: float(population[k].sum()) for k in ALL}, size=float(len(population)))
    cases: list[tuple[str, Estimator, Target, bool]] = [("expansion", expansion, rows, False)]
    for suffix, target in totals.items():
        terms = ALL if not suffix else WITHOUT_X4
        good = not suffix
        wrong_link = partial(ipw, terms=terms, link="probit")
        cases += [
            (f"calibrate linear{suffix}", calibrate, target, good),
            (f"calibrate raking{suffix}", partial(calibrate, distance="raking"), target, good),
            (f"ipw{suffix}", partial(ipw, terms=terms), rows, good),
            (f"ipw alp{suffix}", partial(ipw, terms=terms, method="alp"), rows, good),
            (f"ipw probit link{suffix}", wrong_link, rows, False),
            (f"ipw calibrated{suffix}", partial(ipw, method="calibrated"), target, good),
            (f"impute glm{suffix}", partial(impute, terms=terms), rows, good),
            (f"impute nearest{suffix}", partial(impute, terms=terms, method="nearest"), rows, good),
            (f"impute pmm{suffix}", partial(impute, terms=terms, method="pmm"), rows, good),
            (f"doubly robust{suffix}", partial(doubly_robust, terms=terms), rows, good),
        ]
    unadjusted = partial(impute, method="nearest", adjust=False)
    least_bias = partial(doubly_robust, method="bias-minimised")
    cases += [
        ("calibrate linear, known totals", calibrate, known, True),
        ("ipw calibrated, known totals", partial(ipw, method="calibrated"), known, True),
        ("impute nearest, not adjusted", unadjusted, rows, False),
        (
            "doubly robust, outcome -x4",
            partial(doubly_robust, outcome_terms=WITHOUT_X4),
            rows,
            True,
        ),
        (
            "doubly robust, participation -x4",
            partial(doubly_robust, terms=WITHOUT_X4, outcome_terms=ALL),
            rows,
            True,
        ),
        ("doubly robust bias-minimised", least_bias, rows, True),
    ]
    truth = population[OUTCOMES].mean().to_numpy()
    for name, estimator, target, holds in cases:
        yield from as_rows(name, infer(estimator(sample, target)), truth, OUTCOMES, holds)
    # Predictions: the linear predictor learned on the logs, never on the labelled rows.
    design = np.column_stack([np.ones(len(logs)), logs[ALL]])
    learned = np.linalg.lstsq(design, logs[OUTCOMES].to_numpy(), rcond=None)[0]
    names = {y: f"f{y}" for y in OUTCOMES}
    few, many = (
        frame.assign(
            **{
                f: learned[0, k] + frame[ALL].to_numpy() @ learned[1:, k]
                for k, f in enumerate(names.values())
            }
        )
        for frame in (labelled, panel)
    )
    predictions = [*names.values()]
    with_labels = read_sample(few, outcomes=OUTCOMES, covariates=predictions, weights="d")
    without = Target(reference=read_sample(many, covariates=predictions, weights="d"))
    for tune in (True, False):
        point = rectify(with_labels, without, predictions=names, tune=tune)
        name = "rectify" if tune else "rectify, not tuned"
        yield from as_rows(name, infer(point), truth, OUTCOMES, True)


def heavy_tailed_accounts(rng: np.random.Generator) -> pd.DataFrame:
    """Return 6,000 accounts with 2 to 14 requests: volumes are lognormal, shared by account.

    An account's region and plan move its model's origin, its volume and its entering the logs;
    `hidden` raises the chance of a Chinese model beyond them.
    """
    accounts = 6_000
    region = rng.choice(["EU", "SEA", "US"], accounts, p=[0.3, 0.25, 0.45])
    plan = rng.choice(["free", "paid"], accounts, p=[0.6, 0.4])
    hidden = rng.normal(size=accounts)
    tilt = 0.8 * (region == "SEA") - 0.5 * (region == "US") + 0.6 * (plan == "free") - 0.4
    heavy = rng.normal(0, 0.7, accounts) + 0.8 * (plan == "paid")
    requests = rng.integers(2, 15, accounts)
    who = np.repeat(np.arange(accounts), requests)
    chinese = rng.random(who.size) < expit((tilt + 0.7 * hidden)[who])
    volume = np.exp(heavy[who] + rng.normal(0, 0.8, who.size))
    frame = pd.DataFrame(
        {
            "account": who,
            "region": region[who],
            "plan": plan[who],
            "origin": np.where(chinese, "CN", "other"),
            "chinese": chinese.astype(float),
            "volume": volume,
        }
    )
    base = -4.0 + 0.9 * (region == "SEA") + 0.4 * (region == "EU") + 0.8 * (plan == "free")
    frame["enters"] = expit(base)[who]
    frame["enters by outcome"] = expit(base + 0.7 * hidden)[who]
    return frame


def draw_accounts(population: pd.DataFrame, seed: np.random.SeedSequence) -> Iterator[dict]:
    """Draw accounts into the logs once, at random and by outcome; yield every estimator."""
    rng = np.random.default_rng(seed)
    first = population.drop_duplicates("account")
    lots = rng.random(len(first))
    panel = population[
        population["account"].isin(rng.choice(first["account"], 500, replace=False))
    ].assign(d=len(first) / 500)
    margins = ["region", "plan"]
    reference = read_sample(
        panel,
        covariates=margins,
        weights="d",
        design=DesignColumns(clusters="account"),
    )
    joint = population.groupby(margins).size()
    cells = make_target({("region", "plan"): joint.to_dict()})
    sides = make_target({k: population[k].value_counts().to_dict() for k in margins})
    estimands = [share("origin", levels=["CN"]), mean("chinese")]
    names = ["share of volume", "mean"]
    by_volume = population.groupby("origin")["volume"].sum()
    truth = np.array([by_volume["CN"] / by_volume.sum(), population["chinese"].mean()])
    cross = [("region", "plan")]
    rows = Target(reference=reference)
    for entry, suffix in (("enters", ""), ("enters by outcome", ", entry by outcome")):
        chosen = first["account"][lots < first[entry]]
        logs = population[population["account"].isin(chosen)]
        sample = read_sample(
            logs.assign(even=len(population) / len(logs)),
            outcomes=["origin", "chinese"],
            covariates=margins,
            weights="even",
            volume="volume",
            design=DesignColumns(clusters="account"),
        )
        cases: list[tuple[str, Callable[..., object], Target, bool]] = [
            ("expansion", expansion, rows, False),
            ("poststratify", poststratify, cells, True),
            ("rake", rake, sides, True),
            ("calibrate logit", partial(calibrate, distance="logit", bounds=(0.1, 6)), sides, True),
            ("ipw", partial(ipw, terms=margins), rows, True),
            ("ipw cloglog", partial(ipw, terms=cross, link="cloglog"), rows, True),
            ("ipw calibrated", partial(ipw, method="calibrated"), sides, True),
            ("impute glm", partial(impute, terms=cross), rows, True),
            ("impute nearest", partial(impute, method="nearest", terms=margins), rows, True),
            ("doubly robust", partial(doubly_robust, terms=cross), rows, True),
            ("mrp", mrp, cells, True),
        ]
        for name, estimator, target, holds in cases:
            point = estimator(sample, target, estimands=estimands)
            good = holds and not suffix
            yield from as_rows(name + suffix, infer(point), truth, names, good)


def systematic(population: pd.DataFrame, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw n units with probability in proportion to size, systematically in random order."""
    order = rng.permutation(len(population))
    chance = n * population["size"].to_numpy()[order] / population["size"].sum()
    ticks = np.floor(np.cumsum(chance) + rng.random()).astype(int)
    chosen = np.flatnonzero(np.diff(ticks, prepend=0))[:n]
    return population.iloc[order[chosen]].assign(d=1 / chance[chosen])


def as_rows(
    name: str, estimate: Estimate, truth: np.ndarray, outcomes: list[str], holds: bool
) -> Iterator[dict]:
    """Yield one row per outcome."""
    for k, outcome in enumerate(outcomes):
        yield {
            "estimator": name,
            "outcome": outcome,
            "holds": holds,
            "truth": truth[k],
            "value": estimate.values[k],
            "se": estimate.se[k],
        }
