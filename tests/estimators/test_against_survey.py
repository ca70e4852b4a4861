"""R survey's numbers on made-up logs: tests/oracles/survey_made_up.R wrote them."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offroute.estimators.calibrate import calibrate, rake
from offroute.estimators.estimands import mean, share, total
from offroute.estimators.expansion import expansion
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.point import Target, make_target
from offroute.estimators.poststratify import poststratify
from offroute.estimators.weights import trim_weights
from offroute.inference.estimate import infer
from offroute.inference.replicates import (
    given_replicates,
    jackknife_replicates,
    with_benchmark_error,
)
from offroute.inference.resampling import jackknife, replicate_inference

ORACLES = Path(__file__).parent.parent / "oracles"
SURVEY = json.loads((ORACLES / "survey_made_up.json").read_text())
# survey iterates to 1e-13 of the totals and prints 15 to 17 digits.
RTOL = 1e-10

LOGS = pd.read_csv(ORACLES / "made_up_logs.csv").assign(q=lambda d: 20 / d["x"] ** 2)
DESIGNS = {
    "stratified": DesignColumns("stratum", "cluster", "population"),
    "wr": DesignColumns("stratum", "cluster"),
    "one": DesignColumns(clusters="cluster"),
}
ESTIMANDS = [mean("y"), total("tokens"), share("a", levels=["CN"])]
A = {"CN": 280, "EU": 300, "US": 620}
B = {"closed": 660, "open": 540}
MARGIN = make_target({"a": A})
AND_X = make_target({"a": A, "x": 6700})
MARGINS = make_target({"a": A, "b": B})
base = {"estimands": ESTIMANDS, "linearisation": "base"}


def sample(design="stratified", frame=LOGS):
    return read_sample(
        frame,
        outcomes=["y", "tokens"],
        covariates=["a", "b", "x", "q"],
        weights="w",
        volume="tokens",
        design=DESIGNS[design],
    )


def numbers(estimate):
    return np.column_stack([estimate.values, estimate.se])


def theirs(name):
    return np.array([SURVEY[name][k] for k in ("mean_y", "total_tokens", "share_CN")])


@pytest.mark.parametrize("design", DESIGNS)
def test_expansion(design):
    estimate = infer(expansion(sample(design), estimands=ESTIMANDS))
    np.testing.assert_allclose(numbers(estimate), theirs(design), rtol=RTOL)


@pytest.mark.parametrize(
    ("name", "estimator", "target"),
    [
        ("linear", partial(calibrate, **base), AND_X),
        ("raking", partial(calibrate, distance="raking", **base), AND_X),
        ("logit", partial(calibrate, distance="logit", bounds=(0.4, 2.2), **base), AND_X),
        ("bounded", partial(calibrate, bounds=(0.6, 1.3), **base), AND_X),
        ("sinh", partial(calibrate, distance="sinh", **base), AND_X),
        ("variance", partial(calibrate, row_scale="q", **base), AND_X),
        ("rake_calibrate", partial(rake, **base), MARGINS),
        ("poststratify", partial(poststratify, estimands=ESTIMANDS), MARGIN),
    ],
)
def test_linearised(name, estimator, target):
    estimate = infer(estimator(sample(), target))
    np.testing.assert_allclose(numbers(estimate), theirs(name), rtol=RTOL)


def test_rake_equals_iterative_proportional_fitting():
    point = rake(sample(), MARGINS, estimands=ESTIMANDS)
    np.testing.assert_allclose(point.values, theirs("rake")[:, 0], rtol=RTOL)


@pytest.mark.parametrize(
    ("name", "design", "estimator", "target"),
    [
        ("jk1_linear", "one", partial(calibrate, estimands=ESTIMANDS), AND_X),
        (
            "jk1_raking",
            "one",
            partial(calibrate, distance="raking", estimands=ESTIMANDS),
            AND_X,
        ),
        ("jkn", "wr", partial(expansion, estimands=ESTIMANDS), Target()),
        ("jkn_linear", "wr", partial(calibrate, estimands=ESTIMANDS), AND_X),
        ("jkn_rake", "wr", partial(rake, estimands=ESTIMANDS), MARGINS),
    ],
)
def test_jackknife_repeats_the_calibration(name, design, estimator, target):
    estimate = jackknife(estimator, sample(design), target)
    np.testing.assert_allclose(numbers(estimate), theirs(name), rtol=1e-8)


@pytest.mark.parametrize("kind", ["fixed", "noisy"])
def test_benchmarks_with_an_error_by_fullers_replicates(kind):
    """tests/oracles/noisy_controls_made_up.R wrote the numbers, replicate by replicate."""
    wanted = json.loads((ORACLES / "noisy_controls_made_up.json").read_text())
    covariance = np.reshape(wanted["covariance"], (4, 4))
    target = make_target({"a": A, "x": 6700}, covariance=covariance)
    assert target.names == ("a[CN]", "a[EU]", "a[US]", "x")
    s = sample()
    replicates = replace(jackknife_replicates(s.weights, s.design), centre="estimate")
    if kind == "noisy":
        replicates = with_benchmark_error(replicates, target, chosen=range(4))
    estimands = [*ESTIMANDS, total("x")]
    estimator = partial(calibrate, estimands=estimands)
    estimate = replicate_inference(estimator, s, AND_X, replicates)
    np.testing.assert_allclose(estimate.values, wanted["values"][:4], rtol=RTOL)
    np.testing.assert_allclose(estimate.se[:3], wanted[f"se_{kind}"][:3], rtol=1e-9)
    # The calibrated total has the error of its benchmark.
    error = np.sqrt(covariance[3, 3]) if kind == "noisy" else 0.0
    assert estimate.se[3] == pytest.approx(error, abs=1e-6)


def test_given_replicate_weights():
    weights = pd.read_csv(ORACLES / "survey_made_up_replicates.csv").to_numpy()
    given = SURVEY["given"]
    replicates = given_replicates(weights, scale=given["scale"][0], rscales=given["rscales"])
    estimator = partial(expansion, estimands=ESTIMANDS)
    estimate = replicate_inference(estimator, sample("wr"), Target(), replicates)
    np.testing.assert_allclose(numbers(estimate), theirs("given"), rtol=RTOL)


def test_logit_interval_of_a_share():
    # svyciprop uses the design's degrees of freedom, as interval="logit" does.
    logs = LOGS.assign(one=1.0)
    s = read_sample(logs, outcomes=["b"], weights="w", design=DESIGNS["wr"])
    estimate = infer(expansion(s, estimands=[share("b", levels=["open"])]), interval="logit")
    ours = [estimate.values[0], estimate.lower[0], estimate.upper[0]]
    np.testing.assert_allclose(ours, SURVEY["ciprop"], rtol=1e-9)


def test_covariance_of_totals():
    point = expansion(sample("wr"), estimands=[total("tokens"), total("y")])
    np.testing.assert_allclose(infer(point).covariance.ravel(), SURVEY["ratio_vcov"], rtol=RTOL)


def test_range_of_weight_factors():
    g = calibrate(sample(), AND_X, distance="raking").g_weights
    np.testing.assert_allclose([g.min(), g.max()], SURVEY["g_raking"], rtol=RTOL)


def test_strict_trimming():
    weights = calibrate(sample("one"), AND_X).weights
    ours = trim_weights(weights, lower=2, upper=9, strict=True)
    np.testing.assert_allclose(ours, SURVEY["trim"], rtol=RTOL)
