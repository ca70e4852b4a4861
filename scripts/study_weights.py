"""Coverage of soft and generalized calibration and of replicates on simulated logs.

Run: python scripts/study_weights.py [--replicates 200] [--work DIR]
Writes studies/weights_coverage.csv with a sidecar. Every replicate has its own spawned seed;
replicates done are kept in DIR, from which an interrupted run continues.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from study_selection import LEVEL, SEED, STUDIES, Row, World, run

from offroute.estimators.calibrate import calibrate, entropy_balance
from offroute.estimators.estimands import mean, share
from offroute.estimators.expansion import expansion
from offroute.estimators.generalized_calibration import generalized_calibrate
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.point import Estimator, Target, make_target
from offroute.estimators.poststratify import poststratify
from offroute.estimators.soft_calibration import soft_calibrate
from offroute.exceptions import DataError
from offroute.inference.estimate import Estimate, infer
from offroute.inference.resampling import bootstrap, jackknife

SIZE = 20_000
CLUSTERS, DRAWN = 400, 40
#: Relative error of the totals that soft calibration is given.
TOTAL_SD = 0.03
RESAMPLES = 100
OTHER = "naive: expansion"


def row(name: str, truth: float, make: Callable[[], Estimate]) -> Row:
    """Return the first estimate with its interval, or nothing where it is refused."""
    try:
        found = make()
    except DataError:
        return name, truth, np.nan, np.nan, np.nan
    return name, truth, found.values[0], found.lower[0], found.upper[0]


def doubtful_totals(rng: np.random.Generator) -> Iterator[Row]:
    """Select on x, whose totals are known with an error."""
    x = rng.normal(5, 1, SIZE)
    y = x + rng.normal(0, 1, SIZE)
    chosen = rng.random(SIZE) < np.exp(-6 + 0.5 * x)
    frame = pd.DataFrame({"x": x[chosen], "y": y[chosen], "d": SIZE / chosen.sum()})
    sample = read_sample(frame, outcomes=["y"], covariates=["x"], weights="d")
    sd = TOTAL_SD * x.sum()
    seen = float(x.sum() + sd * rng.standard_normal())
    exact = make_target({"x": seen}, size=SIZE)
    doubtful = make_target({"x": seen}, size=SIZE, covariance=np.diag([0.0, sd**2]).tolist())
    for name, target, estimator in (
        (OTHER, Target(), expansion),
        ("calibrate, the totals taken as exact", exact, calibrate),
        ("calibrate, with their error", doubtful, calibrate),
        ("soft_calibrate", doubtful, soft_calibrate),
        ("soft_calibrate, trust 100 000", doubtful, partial(soft_calibrate, trust=1e5)),
    ):
        yield row(name, y.mean(), lambda e=estimator, t=target: infer(e(sample, t), level=LEVEL))


def entry_by_outcome(rng: np.random.Generator, noise: float) -> Iterator[Row]:
    """Select on the outcome itself, which x predicts with an error of sd `noise`."""
    x = rng.normal(5, 1, SIZE)
    y = x + rng.normal(0, noise, SIZE)
    chosen = rng.random(SIZE) < np.minimum(np.exp(-6 + 0.5 * y), 1)
    frame = pd.DataFrame({"x": x[chosen], "y": y[chosen], "d": SIZE / chosen.sum()})
    sample = read_sample(frame, outcomes=["y"], covariates=["x"], weights="d")
    target = make_target({"x": float(x.sum())}, size=SIZE)
    generalized = partial(generalized_calibrate, instruments={"x": "y"}, distance="raking")
    for name, estimator in (
        (OTHER, expansion),
        ("entropy_balance on x", entropy_balance),
        ("generalized_calibrate, z the outcome", generalized),
    ):
        yield row(name, y.mean(), lambda e=estimator: infer(e(sample, target), level=LEVEL))


def clustered(rng: np.random.Generator) -> Iterator[Row]:
    """Draw accounts with 5 to 40 requests, heavy-tailed; a share of volume."""
    requests = rng.integers(5, 41, CLUSTERS)
    who = np.repeat(np.arange(CLUSTERS), requests)
    plan = np.where(rng.integers(2, size=CLUSTERS) == 0, "free", "paid")
    tilt = rng.normal(0, 1, CLUSTERS) + 0.8 * (plan == "free")
    chinese = rng.random(who.size) < 1 / (1 + np.exp(-tilt[who]))
    volume = np.exp(rng.normal(0, 0.5, CLUSTERS)[who] + rng.normal(0, 1, who.size))
    frame = pd.DataFrame(
        {
            "account": who,
            "plan": plan[who],
            "origin": np.where(chinese, "CN", "other"),
            "chinese": chinese.astype(float),
            "volume": volume,
            "d": CLUSTERS / DRAWN,
        }
    )
    sample = read_sample(
        frame[np.isin(who, rng.choice(CLUSTERS, DRAWN, replace=False))],
        outcomes=["origin", "chinese"],
        covariates=["plan"],
        weights="d",
        volume="volume",
        design=DesignColumns(clusters="account"),
    )
    target = make_target({"plan": frame["plan"].value_counts().to_dict()})
    seed = int(rng.integers(2**31))
    for what, estimand, truth in (
        ("share of volume", share("origin", levels=["CN"]), volume[chinese].sum() / volume.sum()),
        ("mean", mean("chinese"), chinese.mean()),
    ):
        fit: Estimator = partial(poststratify, estimands=[estimand])
        resample = partial(bootstrap, fit, sample, target, level=LEVEL, rng=seed)
        for name, make in (
            ("linearised", lambda f=fit: infer(f(sample, target), level=LEVEL)),
            ("jackknife", lambda f=fit: jackknife(f, sample, target, level=LEVEL)),
            ("bootstrap, percentile", partial(resample, count=RESAMPLES)),
            ("bootstrap, t", partial(resample, count=RESAMPLES, interval="t")),
        ):
            yield row(f"{what}: {name}", truth, make)


WORLDS: dict[str, World] = {
    f"totals with an error of {TOTAL_SD:.0%}": doubtful_totals,
    "entry by outcome, x predicts it": partial(entry_by_outcome, noise=0.5),
    "entry by outcome, x hardly predicts it": partial(entry_by_outcome, noise=2.0),
    f"{DRAWN} of {CLUSTERS} accounts": clustered,
}


def main() -> None:
    """Run the study and write its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--work", type=Path, default=Path("build/study_weights"))
    options = parser.parse_args()
    table = run(WORLDS, options.replicates, options.work)
    table.to_csv(STUDIES / "weights_coverage.csv", index=False, float_format="%.4f")
    note = {
        "about": f"Coverage of nominal {LEVEL:.0%} intervals: soft and generalized calibration, "
        "replicates",
        "command": shlex.join(["python", *sys.argv]),
        "seeds": f"{SEED}, spawned by replicate",
        "offroute": version("offroute"),
        "date": datetime.now(UTC).date().isoformat(),
        "columns": list(table.columns),
        "rows": len(table),
    }
    (STUDIES / "weights_coverage.json").write_text(json.dumps(note, indent=1) + "\n")
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
