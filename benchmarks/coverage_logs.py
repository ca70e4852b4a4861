"""Coverage of the weighting estimators on a clustered log with heavy-tailed volumes.

    python benchmarks/coverage_logs.py --out benchmarks/results/logs_coverage.csv

A finite population of 2,000 accounts (clusters) with log-normal volumes and an account effect. A
replicate draws 80 accounts and keeps each of their requests with a probability that depends on the
factors a and b only ("ignorable") or on the volume itself ("on volume"), log-linearly. Totals of
a, b and x are known. `holds` says whether the estimator's assumptions do: weights of the form of
its distance, or an outcome linear in its columns (the mean of log volume is, the share is not).
"""

import argparse
import csv
import warnings
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from offroute.estimators.calibrate import calibrate, rake
from offroute.estimators.estimands import mean, share
from offroute.estimators.expansion import expansion
from offroute.estimators.generalized_calibration import generalized_calibrate
from offroute.estimators.point import Design, Factor, PointEstimate, Sample, Target, make_target
from offroute.estimators.poststratify import poststratify
from offroute.inference.estimate import infer

ACCOUNTS, PER_ACCOUNT, DRAWN = 2_000, 30, 80
LEVELS = (0.90, 0.95)
NAMES = ("mean of log volume", "US share of volume")
ESTIMANDS = (mean("logv"), share("a", levels=["US"], of="v"))


def population(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw the population's columns, one row a request."""
    n = ACCOUNTS * PER_ACCOUNT
    account = np.repeat(np.arange(ACCOUNTS), PER_ACCOUNT)
    effect = rng.normal(0, 0.4, ACCOUNTS)[account]
    a = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    b = (rng.random(n) < 0.3 + 0.2 * (a == 1)).astype(int)
    x = rng.normal(0.4 * (a == 1), 1)
    logv = 0.5 * (a == 0) + 0.4 * b + 0.5 * x + effect + rng.normal(0, 1, n)
    columns = {"account": account, "a": a, "b": b, "x": x, "logv": logv, "v": np.exp(logv)}
    score = {"ignorable": -0.9 + 0.7 * (a == 0) - 0.5 * b, "on volume": -1.3 + 0.3 * logv}
    return columns | {name: np.minimum(np.exp(s), 1) for name, s in score.items()}


def draw(pop: dict[str, np.ndarray], how: str, rng: np.random.Generator) -> Sample:
    """Draw accounts, then requests."""
    chosen = rng.choice(ACCOUNTS, DRAWN, replace=False)
    rows = (chosen[:, None] * PER_ACCOUNT + np.arange(PER_ACCOUNT)).ravel()
    rows = rows[rng.random(rows.size) < pop[how][rows]]
    clusters = np.unique(pop["account"][rows], return_inverse=True)[1].astype(np.int64)
    columns: dict[str, Factor | np.ndarray] = {
        "a": Factor(pop["a"][rows].astype(np.int8), ("US", "CN", "EU")),
        "b": Factor(pop["b"][rows].astype(np.int8), ("closed", "open")),
    }
    columns |= {name: pop[name][rows] for name in ("x", "logv", "v")}
    weights = np.full(rows.size, pop["a"].size / rows.size)
    return Sample(columns, weights, Design(rows.size, clusters=clusters), ("logv",))


def targets(pop: dict[str, np.ndarray]) -> dict[str, Target]:
    """Return the benchmark sets."""
    a = dict(zip(("US", "CN", "EU"), np.bincount(pop["a"]).tolist(), strict=True))
    b = dict(zip(("closed", "open"), np.bincount(pop["b"]).tolist(), strict=True))
    cross = np.bincount(pop["a"] * 2 + pop["b"]).tolist()
    cells = {(i, j): cross.pop(0) for i in a for j in b}
    return {
        "margins": make_target({"a": a, "b": b}),
        "cells": make_target({("a", "b"): cells}),
        "moments": make_target({"a": a, "b": b, "x": float(pop["x"].sum())}),
    }


def estimators() -> dict[str, tuple[str, set[tuple[str, str]], Callable[..., PointEstimate]]]:
    """Return name: (benchmark set, selections and estimands where it holds, estimator)."""
    linear = {("ignorable", NAMES[0])}
    one = linear | {("ignorable", NAMES[1])}
    both = one | {("on volume", name) for name in NAMES}
    logit = {"distance": "logit", "bounds": (0.2, 5.0)}
    instruments = {"instruments": {"x": "logv"}, "distance": "raking"}
    return {
        "expansion": ("margins", set(), expansion),
        "poststratify": ("cells", one, poststratify),
        "rake": ("margins", one, rake),
        "calibrate linear": ("moments", linear, calibrate),
        "calibrate raking": ("moments", one, partial(calibrate, distance="raking")),
        "calibrate logit": ("moments", linear, partial(calibrate, **logit)),
        "generalized raking on logv": (
            "moments",
            both,
            partial(generalized_calibrate, **instruments),
        ),
    }


def study(replicates: int, seed: int) -> list[dict[str, object]]:
    """Return a row per selection, estimator and estimand."""
    seeds = np.random.SeedSequence(seed).spawn(replicates + 1)
    pop = population(np.random.default_rng(seeds[0]))
    known = targets(pop)
    truth = np.array([pop["logv"].mean(), pop["v"][pop["a"] == 0].sum() / pop["v"].sum()])
    rows: list[dict[str, object]] = []
    for how in ("ignorable", "on volume"):
        kept: dict[str, list[np.ndarray]] = {name: [] for name in estimators()}
        for child in seeds[1:]:
            sample = draw(pop, how, np.random.default_rng(child))
            for name, (benchmark, _, estimator) in estimators().items():
                point = estimator(sample, known[benchmark], estimands=ESTIMANDS)
                both = [infer(point, level=level) for level in LEVELS]
                inside = [(e.lower <= truth) & (truth <= e.upper) for e in both]
                kept[name].append(np.array([point.values, both[0].se, *inside]))
        for name, (_, holds, _) in estimators().items():
            values, se, *inside = np.array(kept[name]).transpose(1, 0, 2)
            for k, estimand in enumerate(NAMES):
                row: dict[str, object] = {
                    "selection": how,
                    "estimator": name,
                    "estimand": estimand,
                    "holds": (how, estimand) in holds,
                    "replicates": replicates,
                    "bias": f"{values[:, k].mean() - truth[k]:.5f}",
                    "mc_error_of_bias": f"{values[:, k].std(ddof=1) / replicates**0.5:.5f}",
                    "sd": f"{values[:, k].std(ddof=1):.5f}",
                    "mean_se": f"{se[:, k].mean():.5f}",
                }
                for level, hits in zip(LEVELS, inside, strict=True):
                    share_inside = hits[:, k].mean()
                    margin = 4 * (level * (1 - level) / replicates) ** 0.5
                    row[f"cover_{level:.2f}"] = f"{share_inside:.3f}"
                    row[f"within_4_mc_errors_{level:.2f}"] = bool(
                        abs(share_inside - level) <= margin
                    )
                rows.append(row)
                print(row, flush=True)
    return rows


def main() -> None:
    """Read the command line and write the table."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = study(options.replicates, options.seed)
    extra = {
        "seed": options.seed,
        "date": date.today().isoformat(),
        "versions": f"numpy {version('numpy')} scipy {version('scipy')}",
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [*rows[0], *extra], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | extra for row in rows)


if __name__ == "__main__":
    main()
