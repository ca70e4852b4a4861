"""Selection models against sampleSelection, base R on Mroz's women, and closed forms."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from causaldata import Mroz
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from offroute.estimators import selection_binary, selection_ml
from offroute.estimators.exclusion import (
    exclusion_dial,
    exclusion_test,
    instrument_strength,
    population_mean,
)
from offroute.estimators.selection import (
    check_selection_input,
    excluded_columns,
    heckman_two_step,
    probit,
)
from offroute.estimators.selection_binary import bivariate_normal_cdf, heckman_binary
from offroute.estimators.selection_ml import heckman_ml
from offroute.exceptions import (
    CollinearMargins,
    InvalidValue,
    NotConverged,
    NotIdentified,
    UsageError,
)

ORACLES = Path(__file__).parent.parent / "oracles"
THEIRS = json.loads((ORACLES / "selection.json").read_text())
BASE_R = json.loads((ORACLES / "selection_mroz.json").read_text())
# maxLik stops its Newton steps at 1e-8 in the likelihood, BHHH and optim earlier.
EXACT, LOOSE, BHHH = 1e-8, 2e-5, 1e-4


def tobit2():
    d = pd.read_csv(ORACLES / "selection_tobit2.csv")
    one = np.ones(len(d))
    return (
        d["yo"].to_numpy(),
        np.column_stack([one, d["xo"]]),
        (d["ys"] == 1).to_numpy(),
        np.column_stack([one, d["xs"]]),
    )


def binary():
    d = pd.read_csv(ORACLES / "selection_binary.csv.gz")
    one = np.ones(len(d))
    return (
        d["y"].to_numpy(),
        np.column_stack([one, d["x"]]),
        (d["s"] == 1).to_numpy(),
        np.column_stack([one, d["z"], d["x"]]),
    )


def women():
    d = Mroz.load_pandas().data.astype(float)
    one = np.ones(len(d))
    Z = np.column_stack([one, d[["k5", "k618", "age", "wc", "hc", "inc"]]])
    X = np.column_stack([one, d["wc"], d["age"], d["age"] ** 2])
    return d["lwg"].to_numpy(), X, (d["lfp"] == 1).to_numpy(), Z


def simulate(rng, n=2000, *, direct=0.0, rho=0.6, instrument=1.0):
    x, w, w2, v, e = rng.standard_normal((5, n))
    u = rho * v + np.sqrt(1 - rho**2) * e
    one = np.ones(n)
    seen = 0.2 + 0.5 * x + instrument * (w + 0.7 * w2) + v > 0
    index = 0.3 + 0.5 * x + direct * w + u
    return index, np.column_stack([one, x]), seen, np.column_stack([one, x, w, w2])


def test_the_two_steps_are_those_of_sample_selection():
    fit, theirs = heckman_two_step(*tobit2()), THEIRS["jss_sim_2step"]
    assert_allclose(np.r_[fit.selection, fit.outcome, fit.mills], theirs["est"][:5], rtol=EXACT)
    assert_allclose([fit.sigma, fit.rho], theirs["est"][5:], rtol=EXACT)
    assert_allclose(fit.standard_errors, theirs["se"][:5], rtol=EXACT)


def test_the_likelihood_is_that_of_sample_selection():
    fit, theirs = heckman_ml(*tobit2()), THEIRS["jss_sim_ml"]
    est = np.r_[fit.selection, fit.outcome, fit.sigma, fit.rho]
    # The intercept is 2e-4: compared in units of its standard error.
    assert (np.abs(est - theirs["est"]) < LOOSE * np.array(theirs["se"])).all()
    assert_allclose(fit.standard_errors, theirs["se"], rtol=1e-7)
    assert fit.log_likelihood == pytest.approx(theirs["logLik"], abs=1e-9)


def test_the_binary_outcome_is_that_of_sample_selection():
    data = binary()
    fit, theirs = heckman_binary(*data), THEIRS["binary_outcome_ml"]
    assert_allclose(np.r_[fit.selection, fit.outcome, fit.rho], theirs["est"], rtol=BHHH)
    # Ours is the higher maximum: theirs stopped below it.
    assert 0 <= fit.log_likelihood - theirs["logLik"] < 1e-6
    # Their standard errors are of the outer product of the gradients, ours of the Hessian.
    y, X, s, Z = check_selection_input(*data)
    theta = np.r_[fit.selection, fit.outcome, np.arctanh(fit.rho)]
    scores = []
    for i in range(len(y)):
        seen = s[i : i + 1]
        sign = np.where(y[i : i + 1][seen] == 1, 1.0, -1.0)
        row = (sign, X[i : i + 1][seen], seen, Z[i : i + 1])
        scores.append(
            selection_binary._negative_log_likelihood(theta, row, np.zeros(seen.sum()))[1]
        )
    outer = np.sqrt(np.diag(np.linalg.inv(np.array(scores).T @ np.array(scores))))
    outer[-1] *= 1 - fit.rho**2
    assert_allclose(outer, theirs["se"], rtol=LOOSE)
    assert_allclose(fit.standard_errors, theirs["se"], rtol=0.02)


def test_mroz_is_that_of_base_r():
    y, X, s, Z = women()
    # glm stops by the deviance, so that its coefficients are known to about 1e-8.
    assert_allclose(probit(s, Z)[0], BASE_R["probit"], rtol=1e-7)
    two = heckman_two_step(y, X, s, Z)
    assert_allclose(np.r_[two.outcome, two.mills], BASE_R["two_step"], rtol=1e-7)
    fit = heckman_ml(y, X, s, Z)
    est = np.r_[fit.selection, fit.outcome, fit.sigma, fit.rho]
    assert (np.abs(est - BASE_R["ml"]) < 1e-3 * np.array(BASE_R["ml_se"])).all()
    assert_allclose(fit.standard_errors, BASE_R["ml_se"], rtol=1e-3)
    assert fit.log_likelihood == pytest.approx(BASE_R["log_likelihood"], abs=1e-6)


@pytest.mark.parametrize("rho", [-0.95, -0.3, 0.0, 0.5, 0.99])
def test_the_bivariate_normal_is_that_of_scipy(rho):
    points = np.array([(h, k) for h in (-2.5, -0.1, 0.0, 1.0) for k in (-1.5, 0.0, 0.7, 3.0)])
    theirs = multivariate_normal(cov=[[1, rho], [rho, 1]]).cdf(points)
    assert_allclose(bivariate_normal_cdf(*points.T, rho), theirs, atol=1e-7)


@pytest.mark.parametrize("fit", [heckman_two_step, heckman_ml, heckman_binary])
def test_units_and_order_of_rows_do_not_matter(fit):
    y, X, s, Z = simulate(np.random.default_rng(1))
    y = (y > 0).astype(float) if fit is heckman_binary else y
    first = fit(y, X, s, Z)
    other = fit(y[::-1], X[::-1] * [1, 1000], s[::-1], Z[::-1] * [1, 1, 0.01, 1])
    assert_allclose(other.outcome * [1, 1000], first.outcome, rtol=1e-5)
    assert other.rho == pytest.approx(first.rho, abs=1e-6)
    assert_allclose(other.standard_errors[[0, 3, 4]], first.standard_errors[[0, 3, 4]], rtol=1e-5)


def test_the_outcome_of_the_unseen_is_ignored():
    y, X, s, Z = simulate(np.random.default_rng(2))
    hidden = np.where(s, y, np.nan)
    assert heckman_ml(hidden, X, s, Z).rho == heckman_ml(y, X, s, Z).rho


def test_the_mean_of_all_units_is_found_where_the_naive_one_is_not():
    rng = np.random.default_rng(3)
    y, X, s, Z = simulate(rng, n=20_000)
    found = population_mean(heckman_ml(y, X, s, Z), y, X, s)
    assert abs(found.estimate - 0.3) < 4 * found.se
    assert abs(found.naive - 0.3) > 10 * found.se
    called = (y > 0).astype(float)
    truth = called.mean()
    share = population_mean(heckman_binary(called, X, s, Z), called, X, s)
    assert abs(share.estimate - truth) < 4 * share.se
    assert abs(share.naive - truth) > 10 * share.se


def test_a_valid_instrument_passes_and_a_direct_effect_is_found():
    rejected = {0.0: 0, 0.3: 0}
    for direct in rejected:
        for seed in range(40):
            y, X, s, Z = simulate(np.random.default_rng(seed), n=800, direct=direct)
            assert excluded_columns(X, Z, s) == [2, 3]
            rejected[direct] += exclusion_test(y, X, s, Z, instrument=2).p_value < 0.05
    assert rejected[0.0] <= 7
    assert rejected[0.3] >= 30


def test_weak_and_strong_instruments_are_told_apart():
    strong = simulate(np.random.default_rng(5))
    weak = simulate(np.random.default_rng(5), instrument=0.01)
    assert instrument_strength(heckman_two_step(*strong), [2, 3]).p_value < 1e-20
    assert instrument_strength(heckman_two_step(*weak), [2, 3]).statistic < 10


@pytest.mark.parametrize("estimator", ["two-step", "ml", "binary"])
def test_the_dial_finds_the_truth_at_the_true_direct_effect(estimator):
    y, X, s, Z = simulate(np.random.default_rng(6), n=20_000, direct=0.4)
    Z = Z[:, :3]
    truth = 0.3
    if estimator == "binary":
        y = (y > 0).astype(float)
        truth = y.mean()
    delta = np.array([0.0, 0.4])
    dial = exclusion_dial(y, X, s, Z, instrument=2, delta=delta, estimator=estimator, level=0.99)
    assert dial.low[1] < truth < dial.high[1]
    assert not dial.low[0] < truth < dial.high[0]
    assert dial.union == (min(dial.low), max(dial.high))


def test_the_dial_at_zero_is_the_fit_itself():
    y, X, s, Z = simulate(np.random.default_rng(7))
    dial = exclusion_dial(y, X, s, Z, instrument=2, delta=0.0, estimator="ml")
    assert dial.estimate[0] == population_mean(heckman_ml(y, X, s, Z), y, X, s).estimate


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"selected": np.ones(2000, dtype=bool)}, InvalidValue),
        ({"selected": np.ones(2000)}, InvalidValue),
        ({"X": np.full((2000, 2), np.nan)}, InvalidValue),
        ({"X": np.ones((2000, 2))}, CollinearMargins),
        ({"Z": "X"}, NotIdentified),
        ({"y": np.zeros(3)}, InvalidValue),
    ],
)
def test_bad_input_is_refused(change, error):
    data = dict(zip(("y", "X", "selected", "Z"), simulate(np.random.default_rng(8)), strict=True))
    data |= {k: data[v] if isinstance(v, str) else v for k, v in change.items()}
    with pytest.raises(error):
        heckman_two_step(**data)


def test_what_cannot_be_fitted_is_refused():
    y, X, s, Z = simulate(np.random.default_rng(9))
    with pytest.raises(NotConverged, match="overlap"):
        heckman_two_step(y, X, s, np.column_stack([Z, np.where(s, 1.0, -1.0)]))
    with pytest.raises(InvalidValue, match="0 and 1"):
        heckman_binary(y, X, s, Z)
    with pytest.raises(NotIdentified, match="another"):
        exclusion_test(y, X, s, Z[:, :3], instrument=2)
    with pytest.raises(UsageError, match="delta"):
        exclusion_dial(y, X, s, Z, instrument=2, delta=np.array([]))
    with pytest.raises(UsageError, match="estimator"):
        exclusion_dial(y, X, s, Z, instrument=2, delta=0.0, estimator="three-step")


def test_a_correlation_of_one_is_refused():
    rng = np.random.default_rng(10)
    x, v = rng.standard_normal((2, 400))
    one = np.ones(400)
    with pytest.raises(NotConverged, match="rho"):
        heckman_ml(1 + v, np.column_stack([one]), x + v > 0, np.column_stack([one, x]))


def test_a_step_to_a_correlation_of_one_stays_finite():
    y, X, s, Z = simulate(np.random.default_rng(11), n=200)
    theta = np.r_[np.zeros(Z.shape[1] + X.shape[1]), 0.0, 30.0]
    value, gradient = selection_ml._negative_log_likelihood(theta, y, X, s, Z)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    sign = np.where(y[s] > 0, 1.0, -1.0)
    theta = np.delete(theta, -2)
    value, gradient = selection_binary._negative_log_likelihood(
        theta, (sign, X[s], s, Z), np.zeros(s.sum())
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_instruments_are_checked_and_a_dial_carries_the_spread_of_its_instrument():
    rng = np.random.default_rng(8)
    w, v, e = rng.standard_normal((3, 2000))
    one, Z = np.ones((2000, 1)), np.column_stack([np.ones(2000), w])
    y, seen = 1 + 0.5 * v + e, w + v > 0
    for wrong in (0, 7):
        with pytest.raises(UsageError, match="instrument"):
            exclusion_dial(y, one, seen, Z, instrument=wrong, delta=np.array([0.0]))
    fit = heckman_two_step(y, one, seen, Z)
    for none in ([], [9]):
        with pytest.raises(UsageError, match="instruments"):
            instrument_strength(fit, none)
    with pytest.raises(InvalidValue):
        exclusion_test(y[:5], one, seen, Z, instrument=1)
    flat, dialled = (population_mean(fit, y, one, seen, offset=d * w) for d in (0.0, 3.0))
    assert dialled.se**2 - flat.se**2 == pytest.approx(9 * w.var() / 2000)
