"""Published and other software's calibrations; each entry of the file names its source."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from causaldata import cps_mixtape, nsw_mixtape

from offroute.estimators.calibrate import calibrate, entropy_balance, rake
from offroute.estimators.estimands import mean, total
from offroute.estimators.generalized_calibration import generalized_calibrate
from offroute.estimators.intake import read_sample
from offroute.estimators.point import make_target

FILE = Path(__file__).parent.parent / "oracles" / "published_calibration.json"
PUBLISHED = json.loads(FILE.read_text())
# sampling::calib stops at about 1e-6 of the totals except for the linear distance.
LOOSE, EXACT = 2e-5, 1e-10
DISTANCE = {"raking": "raking", "logit": "logit", "truncated": "linear", "linear": "linear"}


def tables(prefix):
    return [k for k in PUBLISHED if k.startswith(prefix)]


def problem(entry):
    x = np.array(entry["X"])
    frame = pd.DataFrame({f"x{j}": column for j, column in enumerate(x.T)})
    frame["d"] = entry["d"]
    frame["q"] = entry.get("q", 1.0)
    names = [f"x{j}" for j in range(x.shape[1])]
    if "Z" in entry:
        frame["z2"] = np.array(entry["Z"])[:, 2]
    extra = ["z2"] if "Z" in entry else []
    sample = read_sample(frame, covariates=[*names, "q", *extra], weights="d")
    return sample, make_target(dict(zip(names, entry["total"], strict=True)))


@pytest.mark.parametrize("name", tables("calib"))
def test_weight_factors_of_sampling_calib(name):
    entry = PUBLISHED[name]
    sample, target = problem(entry)
    kind = next(k for k in DISTANCE if k in name)
    point = calibrate(
        sample,
        target,
        distance=DISTANCE[kind],
        bounds=tuple(entry["bounds"]) if entry["bounds"] else None,
        row_scale="q",
    )
    rtol = EXACT if kind in ("linear", "truncated") else LOOSE
    np.testing.assert_allclose(point.g_weights, entry["g"], rtol=rtol)


@pytest.mark.parametrize("kind", ["linear", "raking"])
def test_weight_factors_of_sampling_gencalib(kind):
    entry = PUBLISHED[f"gencalib12_{kind}"]
    sample, target = problem(entry)
    point = generalized_calibrate(sample, target, instruments={"x2": "z2"}, distance=kind)
    rtol = EXACT if kind == "linear" else LOOSE
    np.testing.assert_allclose(point.g_weights, entry["g"], rtol=rtol)


def table_problem(entry, seed, rows, columns):
    table = np.array(entry[seed], dtype=float)
    i, j = np.indices(table.shape).reshape(2, -1)
    frame = pd.DataFrame({"r": [f"r{k}" for k in i], "c": [f"c{k}" for k in j], "d": table.ravel()})
    sample = read_sample(frame, covariates=["r", "c"], weights="d")
    margins = {
        "r": {f"r{k}": t for k, t in enumerate(entry[rows])},
        "c": {f"c{k}": t for k, t in enumerate(entry[columns])},
    }
    return sample, margins, table.shape


@pytest.mark.parametrize(
    ("name", "seed", "rows", "columns", "fit"),
    [
        ("ipf_4x4", "seed", "rows", "cols", "fit"),
        # Ardilly and Tille (2006), Sampling Methods: Exercises and Solutions, raking ratio.
        ("ardilly_tille_3x3", "seed", "rows", "cols", "fit"),
        ("two_by_two", "seed", "rows", "cols", "fit"),
        ("ihme", "seed_table", "row_margins", "col_margins", "raked"),
    ],
)
def test_raked_tables(name, seed, rows, columns, fit):
    sample, margins, shape = table_problem(PUBLISHED[name], seed, rows, columns)
    point = rake(sample, make_target(margins))
    np.testing.assert_allclose(point.weights.reshape(shape), PUBLISHED[name][fit], rtol=1e-8)


def test_noisy_margins_of_ihme():
    entry = PUBLISHED["ihme"]
    sample, margins, shape = table_problem(entry, "seed_table", "row_margins", "col_margins")

    def multinomial(counts, n):
        p = np.array(counts) / np.sum(counts)
        return np.sum(counts) ** 2 * (np.diag(p) - np.outer(p, p)) / n

    covariance = np.zeros((7, 7))
    covariance[:3, :3] = multinomial(entry["row_margins"], entry["n_eff_row"])
    covariance[3:, 3:] = multinomial(entry["col_margins"], entry["n_eff_col"])
    frame = {f"cell{k}": (np.arange(12) == k).astype(float) for k in range(12)}
    sample = type(sample)(
        {**sample.columns, **frame}, sample.weights, sample.design, sample.outcomes
    )
    point = rake(
        sample,
        make_target(margins, covariance=covariance),
        estimands=[total(name) for name in frame],
    )
    # Every cell of the seed table has an independent error with this coefficient of variation.
    known = entry["cv_cells"] ** 2 * point.influence.T @ point.influence
    se_known = np.sqrt(np.diag(known)).reshape(shape)
    se_noisy = np.sqrt(np.diag(known + point.external_covariance)).reshape(shape)
    np.testing.assert_allclose(se_known, entry["se_delta_margins_treated_as_known"], rtol=1e-8)
    np.testing.assert_allclose(se_noisy, entry["se_delta_noisy_margins"], rtol=1e-8)
    # 4,000 Monte Carlo draws: a standard deviation is known to 1 / sqrt(8000); four of those.
    np.testing.assert_allclose(se_noisy, entry["se_monte_carlo"], rtol=4 / np.sqrt(8000))


COVARIATES = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75", "u74", "u75"]
# Of all products of two, the published analysis leaves out those that are always 0 and two more.
LEFT_OUT = {
    ("black", "hisp"),
    ("educ", "nodegree"),
    ("re74", "re75"),
    ("re74", "u74"),
    ("re75", "u75"),
}


def lalonde(kind):
    """Return the treated of the NSW and the CPS-1 controls, with the stored or the cast types."""

    def prepare(frame):
        out = frame[["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]].copy()
        out["u74"] = (out["re74"] == 0).astype("int8")
        out["u75"] = (out["re75"] == 0).astype("int8")
        out["re78"] = frame["re78"]
        return out if kind == "stored" else out.astype(kind)

    treated = nsw_mixtape.load_pandas().data.query("treat == 1")
    return prepare(treated), prepare(cps_mixtape.load_pandas().data)


def moments(treated):
    exact = treated.astype("float64")
    terms = [(c,) for c in COVARIATES] + [("age", "age"), ("educ", "educ")]
    terms += [pair for pair in combinations(COVARIATES, 2) if pair not in LEFT_OUT]
    return {t: float(np.prod([exact[c] for c in t], axis=0).sum()) for t in terms}


# int8 ages and float32 earnings overflow or round when squared before they are float64.
@pytest.mark.parametrize("kind", ["stored", "float64"])
def test_entropy_balancing_of_lalonde(kind):
    treated, controls = lalonde(kind)
    totals = moments(treated)
    sample = read_sample(controls, outcomes=["re78"], covariates=COVARIATES)
    target = make_target(totals, size=len(treated))
    point = entropy_balance(sample, target, estimands=[mean("re78")])
    att = float(treated["re78"].astype("float64").mean()) - point.values[0]
    # Hainmueller (2012, table 4): $1,571. ebal 0.1-8, empirical_calibration 0.12 and scipy's BFGS
    # on the same 52 moments (those of empirical_calibration's LaLonde notebook, 2026-11-23).
    assert len(totals) == 52
    assert att == pytest.approx(1571.368006, abs=1e-5)
    kish = point.diagnostics["Kish effective sample size"]
    assert kish == pytest.approx(103.348251, abs=1e-6)
    products = np.column_stack(
        [np.prod([controls[c].astype("float64") for c in t], axis=0) for t in totals]
    )
    np.testing.assert_allclose(point.weights @ products, list(totals.values()), rtol=1e-10)
