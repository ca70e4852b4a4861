"""Made-up logs, estimators and designs for the comparison of rows with cells."""

from functools import partial

import numpy as np
import pandas as pd

from offroute.estimators.calibrate import calibrate, rake
from offroute.estimators.cells import read_cells
from offroute.estimators.estimands import mean, ratio, share, total
from offroute.estimators.expansion import expansion
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.point import make_target
from offroute.estimators.poststratify import poststratify
from offroute.inference.estimate import infer

#: Relative difference of an estimate or standard error from cells to that from rows.
EXACT = 1e-12

BY = ["origin", "size", "hour"]
ORIGINS, SIZES = ["CN", "EU", "US"], ["l", "m", "s"]


def made_up_logs(n=3000, seed=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "origin": rng.choice(ORIGINS, n, p=[0.3, 0.2, 0.5]),
            "size": rng.choice(SIZES, n),
            "hour": rng.integers(0, 6, n),
            "tokens": np.round(rng.lognormal(7, 1.5, n)).astype(np.int64),
            "dollars": np.round(rng.gamma(1, 0.01, n), 6),
            "score": np.round(rng.normal(size=n), 6),
            "w": np.round(rng.uniform(0.5, 3, n), 3),
            "account": rng.integers(0, 120, n),
        }
    )
    # Cells of one row, of free calls and without weight.
    frame.loc[0, ["origin", "size", "hour"]] = ["EU", "l", 9]
    frame.loc[frame["size"].eq("m") & frame["hour"].eq(2), "tokens"] = 0
    frame.loc[frame["size"].eq("s") & frame["hour"].eq(1), "w"] = 0.0
    frame["stratum"] = frame["account"] % 3
    frame["accounts"] = np.array([90.0, 100, 110])[frame["stratum"]]
    frame["calls"] = np.array([4e3, 5e3, 6e3])[frame["stratum"]]
    return frame


DESIGNS = {
    "rows": {},
    "strata": {"strata": "stratum", "population_clusters": "calls"},
    "clusters": {"clusters": "account"},
    "clusters in strata": {
        "strata": "stratum",
        "clusters": "account",
        "population_clusters": "accounts",
    },
}

_SIZE = 9000.0
_MARGINS = {
    "origin": dict(zip(ORIGINS, [3600.0, 1800, 3600], strict=True)),
    "size": dict(zip(SIZES, [3600.0, 2700, 2700], strict=True)),
}
_CROSS = {
    (a, b): x * y / _SIZE
    for a, x in _MARGINS["origin"].items()
    for b, y in _MARGINS["size"].items()
}
_MOMENT = make_target({"origin": _MARGINS["origin"], "hour": 2.6 * _SIZE})
_ERRORS = make_target(
    {"origin": _MARGINS["origin"]}, covariance=1e3 * (np.eye(3) - np.ones((3, 3)) / 3)
)

#: Estimators with their targets.
ESTIMATORS = {
    "expansion": (expansion, None),
    "greg": (calibrate, _MOMENT),
    "exponential": (partial(calibrate, distance="raking"), _MOMENT),
    "logit": (partial(calibrate, distance="logit", bounds=(0.1, 9)), make_target(_MARGINS)),
    "rake": (rake, make_target(_MARGINS)),
    "rake, base": (partial(rake, linearisation="base"), make_target(_MARGINS)),
    "rake, benchmarks with error": (rake, _ERRORS),
    "poststratify": (poststratify, make_target({("origin", "size"): _CROSS})),
}

ESTIMANDS = [
    total("tokens"),
    mean("dollars"),
    mean("score"),
    mean("tokens", domain=("origin", "CN")),
    ratio("dollars", "tokens"),
    share("origin", levels=ORIGINS),
    share("size", levels=["s"], of="dollars"),
]


def estimates(sample):
    """Values and standard errors of every estimator, and Kish's sample size of the last."""
    out = {}
    for name, (estimator, target) in ESTIMATORS.items():
        e = infer(estimator(sample, target, estimands=ESTIMANDS))
        out[name] = np.concatenate([e.values, e.se, [e.degrees_of_freedom]])
    return out


def from_rows(frame, *, weight, design):
    """Estimates from the rows."""
    return estimates(
        read_sample(
            frame,
            outcomes=["dollars", "score"],
            covariates=[*BY, "tokens"],
            weights=weight,
            volume="tokens",
            design=DesignColumns(**design),
        )
    )


def largest_gap(cells, rows):
    """Largest relative difference over all estimators, values and standard errors."""
    found = estimates(read_cells(cells))
    return max(float(np.max(np.abs(found[name] / rows[name] - 1))) for name in rows)
