"""Properties of the estimators that model participation or outcomes."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from offroute.estimators.calibrate import calibrate
from offroute.estimators.doubly_robust import doubly_robust
from offroute.estimators.estimands import mean, ratio, share, total
from offroute.estimators.expansion import expansion
from offroute.estimators.imputation import impute
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.links import evaluate_link, linear_predictor
from offroute.estimators.partial_pooling import mrp
from offroute.estimators.point import Target, make_target
from offroute.estimators.poststratify import poststratify
from offroute.estimators.propensity import ipw
from offroute.estimators.rectifier import rectify
from offroute.estimators.reference import target_from_reference
from offroute.exceptions import EmptyCell, InvalidValue, NotConverged, NotIdentified
from offroute.inference.estimate import infer
from offroute.inference.resampling import bootstrap, jackknife

LINKS = ["logit", "probit", "cloglog"]
METHODS = ["pseudo-likelihood", "alp", "calibrated"]
ESTIMATORS = {
    **{f"ipw {m} {k}": partial(ipw, method=m, link=k) for m in METHODS for k in LINKS},
    "impute glm": impute,
    "impute nearest": partial(impute, method="nearest"),
    "impute nearest plain": partial(impute, method="nearest", adjust=False),
    "impute pmm": partial(impute, method="pmm"),
    "doubly robust": doubly_robust,
    "doubly robust bias-minimised": partial(doubly_robust, method="bias-minimised"),
    "mrp": partial(mrp, cells=["a", "b"]),
    "rectify": partial(rectify, predictions={"y": "f", "v": "g"}),
}
# Outcomes are solved for on their own, so only rounding separates them.
RTOL = 1e-8
ALL = ["a", "b", "k", "x"]


def population(seed, n=8000):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": rng.choice(["p", "q", "r"], n, p=[0.5, 0.3, 0.2]),
            "b": rng.choice(["u", "v"], n),
            "k": rng.integers(0, 4, n),
            "x": rng.normal(size=n).round(3),
        }
    )
    score = 0.8 * (frame["a"] == "q") + 0.3 * frame["k"] + 0.5 * frame["x"]
    frame["y"] = (2 + score + rng.normal(size=n)).round(3)
    frame["v"] = np.exp(rng.normal(0.3 * score, 0.6)).round(3)
    frame["z"] = (rng.random(n) < expit(score - 1)).astype(int)
    frame["f"], frame["g"] = 2 + score, np.exp(0.3 * score)
    frame["enters"] = expit(0.7 * score - 3.2)
    return frame


def draw(seed, m=400):
    frame = population(seed)
    rng = np.random.default_rng(seed + 1)
    logs = frame[rng.random(len(frame)) < frame["enters"]]
    panel = frame.sample(m, random_state=seed).assign(d=len(frame) / m)
    return logs.reset_index(drop=True), panel.reset_index(drop=True)


def read(logs, panel, outcomes=("y", "v"), weights=None):
    sample = read_sample(
        logs, outcomes=outcomes, covariates=[*ALL, "f", "g"], weights=weights, volume="v"
    )
    sample = sample.__class__(
        sample.columns, sample.weights, sample.design, sample.outcomes, tuple(ALL), sample.volume
    )
    return sample, Target(reference=read_sample(panel, covariates=[*ALL, "f", "g"], weights="d"))


LOGS, PANEL = draw(7)
SAMPLE, TARGET = read(LOGS, PANEL)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_several_outcomes_equal_one_at_a_time(name):
    estimator = ESTIMATORS[name]
    both = infer(estimator(SAMPLE, TARGET))
    for k, outcome in enumerate(["y", "v"]):
        one = infer(estimator(read(LOGS, PANEL, [outcome])[0], TARGET, estimands=[mean(outcome)]))
        assert one.values[0] == pytest.approx(both.values[k], rel=RTOL)
        assert one.se[0] == pytest.approx(both.se[k], rel=1e-3 if name == "mrp" else RTOL)


@pytest.mark.parametrize("name", ESTIMATORS)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000))
def test_row_order_and_scale_of_weights_do_not_matter(name, seed):
    logs, panel = draw(seed)
    logs["w"] = 1 + logs["k"] % 3
    rng = np.random.default_rng(seed)
    first = infer(ESTIMATORS[name](*read(logs, panel, weights="w")))
    mixed = logs.assign(w=7.5 * logs["w"]).iloc[rng.permutation(len(logs))]
    second = infer(
        ESTIMATORS[name](*read(mixed, panel.iloc[rng.permutation(len(panel))], weights="w"))
    )
    np.testing.assert_allclose(second.values, first.values, rtol=1e-7)
    # The posterior of the components is flat towards 0, where its mode is found to 1e-3.
    np.testing.assert_allclose(second.se, first.se, rtol=1e-3 if name == "mrp" else 1e-6)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_integer_columns_give_what_floats_give(name):
    small = LOGS.assign(y=(20 * LOGS["y"]).round().clip(-120, 120))
    types = {"k": "int8", "y": "int8"}
    whole = ESTIMATORS[name](*read(small.astype(types), PANEL.astype({"k": "int8"})))
    floats = ESTIMATORS[name](
        *read(small.astype(dict.fromkeys(types, float)), PANEL.astype({"k": float}))
    )
    np.testing.assert_array_equal(whole.values, floats.values)
    np.testing.assert_array_equal(whole.influence, floats.influence)


SMOOTH = [n for n in ESTIMATORS if n not in ("mrp", "rectify") and "nearest" not in n]


@pytest.mark.parametrize("name", [n for n in SMOOTH if n != "impute pmm"])
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_base_weight_of_two_is_two_rows(name, seed):
    """Weights differ within cells and have mean 1; matching is left out, as donors are counted."""
    logs, panel = draw(seed)
    logs = logs.iloc[: len(logs) // 4 * 4]
    few = np.tile([0.0, 1.0, 1.0, 2.0], len(logs) // 4)
    logs = logs.assign(w=np.random.default_rng(seed).permutation(few))
    weighted = ESTIMATORS[name](*read(logs, panel, weights="w"))
    repeated = ESTIMATORS[name](*read(logs.loc[logs.index.repeat(logs["w"].astype(int))], panel))
    np.testing.assert_allclose(weighted.values, repeated.values, rtol=1e-7)


def resampled_spread(estimator, sample, target, count=120):
    return bootstrap(estimator, sample, target, count=count, interval="normal", rng=0).se


def test_replicates_of_the_logs_alone_are_refused():
    with pytest.raises(NotIdentified, match="reference sample without totals"):
        jackknife(ipw, SAMPLE, TARGET)


@pytest.mark.parametrize("name", [n for n in ESTIMATORS if n.startswith(("ipw", "doubly", "mrp"))])
def test_standard_errors_agree_with_the_bootstrap(name):
    """Within a factor 2 as the issue asks, and in fact within a fifth for the fitted models."""
    estimator = ESTIMATORS[name]
    se = infer(estimator(SAMPLE, TARGET)).se
    spread = resampled_spread(estimator, SAMPLE, TARGET, 60 if name == "mrp" else 120)
    assert np.isfinite(se).all()
    slack = 2 if name == "mrp" else 1.3
    assert (se < slack * spread).all()
    assert (se > spread / slack).all()


@pytest.mark.parametrize("method", ["glm", "pmm"])
def test_standard_errors_of_imputation_agree_with_the_bootstrap(method):
    estimator = partial(impute, method=method)
    se = infer(estimator(SAMPLE, TARGET)).se
    spread = resampled_spread(estimator, SAMPLE, TARGET)
    np.testing.assert_allclose(se, spread, rtol=0.3)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("method", METHODS)
def test_weights_are_inverse_probabilities(method, link):
    point = ipw(SAMPLE, TARGET, method=method, link=link)
    assert point.diagnostics["smallest probability"] > 0
    if method != "alp":
        assert point.diagnostics["largest probability"] < 1
        assert point.g_weights.min() >= 1
    np.testing.assert_allclose(point.weights, point.g_weights * SAMPLE.weights, rtol=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_calibrated_form_meets_the_totals(link):
    totals = target_from_reference(TARGET.reference, ALL)
    point = ipw(SAMPLE, totals, method="calibrated", link=link)
    for name in ("k", "x"):
        expected = TARGET.reference.weights @ TARGET.reference.columns[name]
        assert point.weights @ SAMPLE.columns[name] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", [n for n in ESTIMATORS if n.startswith("ipw")])
def test_without_regressors_it_is_the_naive_mean(name):
    point = ESTIMATORS[name](SAMPLE, TARGET, terms=[])
    np.testing.assert_allclose(point.values, expansion(SAMPLE).values, rtol=1e-12)


def test_one_cell_is_the_naive_mean():
    target = make_target({"one": {"all": 1000}})
    sample = read_sample(LOGS.assign(one="all"), outcomes=["y"], covariates=["one"])
    assert mrp(sample, target).values[0] == pytest.approx(LOGS["y"].mean(), rel=1e-12)


def test_saturated_fits_are_post_stratification():
    terms = [("a", "b")]
    counts = PANEL.groupby(["a", "b"])["d"].sum()
    cells = make_target({("a", "b"): counts.to_dict()})
    expected = poststratify(SAMPLE, cells).values
    for estimator in (ipw, impute, doubly_robust, partial(doubly_robust, method="bias-minimised")):
        np.testing.assert_allclose(
            estimator(SAMPLE, TARGET, terms=terms).values, expected, rtol=1e-9
        )


def test_gaussian_imputation_is_linear_calibration():
    totals = target_from_reference(TARGET.reference, ALL)
    theirs, ours = calibrate(SAMPLE, totals), impute(SAMPLE, TARGET)
    np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-9)
    np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-6)
    np.testing.assert_allclose(
        ours.influence, theirs.influence, atol=1e-8 * np.abs(theirs.influence).max()
    )


def test_bias_minimised_gaussian_is_the_calibrated_form():
    """With linear outcomes the second set of equations is the calibration of 1/pi."""
    estimator = partial(doubly_robust, method="bias-minimised")
    np.testing.assert_allclose(
        estimator(SAMPLE, TARGET).values,
        ipw(SAMPLE, TARGET, method="calibrated").values,
        rtol=1e-8,
    )


@pytest.mark.parametrize(("family", "column"), [("binomial", "z"), ("poisson", "v")])
def test_bias_minimised_models_solve_their_equations(family, column):
    estimator = partial(
        doubly_robust, method="bias-minimised", family=family, estimands=[mean(column)]
    )
    sample = read(LOGS, PANEL, ["y", "v", "z"])[0]
    point = estimator(sample, TARGET)
    e = infer(point)
    spread = resampled_spread(estimator, sample, TARGET, 60)
    np.testing.assert_allclose(e.se, spread, rtol=0.35)
    other = infer(doubly_robust(sample, TARGET, family=family, estimands=[mean(column)]))
    assert abs(e.values[0] - other.values[0]) < e.se[0]


def test_shares_ratios_and_domains_pass_through_every_estimator():
    asked = [share("b", levels=["u", "v"]), ratio("v", "y"), mean("y", domain=("a", "q"))]
    for estimator in (ipw, impute, doubly_robust, partial(mrp, cells=["a", "b"])):
        estimate = infer(estimator(SAMPLE, TARGET, estimands=asked))
        assert np.isfinite(estimate.se).all()
        assert (estimate.se > 0).all()
        # Shares of one volume: each is modelled on its own, so they add up only nearly.
        assert estimate.values[:2].sum() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("link", LINKS)
@given(eta=st.floats(-8, 3))
def test_links_and_their_derivatives(link, eta):
    step = 1e-5
    at, up, down = (evaluate_link(link, np.array([v])) for v in (eta, eta + step, eta - step))
    slope = (up.probability - down.probability) / (2 * step)
    np.testing.assert_allclose(at.entry * at.probability, slope, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(at.stay * (1 - at.probability), slope, rtol=1e-4, atol=1e-9)
    for part in ("entry", "stay"):
        difference = (getattr(up, part) - getattr(down, part)) / (2 * step)
        np.testing.assert_allclose(getattr(at, f"{part}_slope"), difference, rtol=1e-3, atol=1e-8)
    back = linear_predictor(link, float(at.probability[0]))
    assert back == pytest.approx(eta, abs=1e-6)


def test_a_level_without_logs_is_named():
    panel = PANEL.assign(a=np.where(np.arange(len(PANEL)) < 9, "new", PANEL["a"]))
    target = read(LOGS, panel)[1]
    for estimator in (ipw, impute, doubly_robust, partial(doubly_robust, method="bias-minimised")):
        with pytest.raises(EmptyCell, match=r"a\[new\]"):
            estimator(SAMPLE, target)
    assert np.isfinite(mrp(SAMPLE, target, cells=["a", "b"]).values).all()


def test_refusals():
    logs = LOGS.assign(a=np.where(np.arange(len(LOGS)) < 9, "new", LOGS["a"]))
    with pytest.raises(InvalidValue, match=r"a\[new\]"):
        ipw(read(logs, PANEL)[0], TARGET)
    with pytest.raises(InvalidValue, match="reference sample"):
        ipw(SAMPLE, Target())
    with pytest.raises(InvalidValue, match="binomial"):
        impute(SAMPLE, TARGET, family="binomial")
    with pytest.raises(InvalidValue, match="donor"):
        impute(SAMPLE, TARGET, method="nearest", neighbours=0)
    with pytest.raises(InvalidValue, match="size of the population"):
        ipw(SAMPLE, read(LOGS, PANEL.assign(d=1.0))[1])
    with pytest.raises(InvalidValue, match="crosses"):
        mrp(SAMPLE, make_target({"a": {"p": 1, "q": 1, "r": 1}}), cells=["a", "b"])
    with pytest.raises(InvalidValue, match="cells"):
        mrp(SAMPLE, TARGET, cells=["a"], pooled=["b"])
    with pytest.raises(InvalidValue, match="benchmarks"):
        rectify(SAMPLE, make_target({"x": 3.0}, size=9), predictions={"y": "f"})
    apart = LOGS.assign(x=LOGS["x"] + 1000)
    with pytest.raises((NotConverged, InvalidValue)):
        ipw(read(apart, PANEL)[0], TARGET)


def test_clusters_make_the_standard_error_larger():
    logs = LOGS.loc[LOGS.index.repeat(3)].assign(c=np.repeat(np.arange(len(LOGS)), 3))
    for estimator in (ipw, impute, doubly_robust):
        by_row = infer(estimator(read_sample(logs, outcomes=["y"], covariates=ALL), TARGET))
        by_cluster = infer(
            estimator(
                read_sample(
                    logs, outcomes=["y"], covariates=ALL, design=DesignColumns(clusters="c")
                ),
                TARGET,
            )
        )
        assert by_cluster.values[0] == by_row.values[0]
        assert by_cluster.se[0] > by_row.se[0]


def test_totals_of_ipw_add_up_to_the_population():
    point = ipw(SAMPLE, TARGET, estimands=[total("y"), mean("y")])
    assert point.values[0] == pytest.approx(point.values[1] * point.weights.sum(), rel=1e-12)


def test_many_rows_start_from_a_subsample_and_solve_the_same_equations():
    frame = population(3, n=90_000)
    logs = frame[np.random.default_rng(4).random(len(frame)) < frame["enters"]]
    panel = frame.assign(d=1.0)
    sample = read_sample(logs, outcomes=["y"], covariates=["a", "x"])
    target = Target(reference=read_sample(panel, covariates=["a", "x"], weights="d"))
    pi = 1 / ipw(sample, target).weights
    # The logit score: logs' regressors equal the population's, times the probability.
    odds = np.log(pi / (1 - pi))
    design = np.column_stack([np.ones(len(logs)), logs["a"] == "q", logs["a"] == "r", logs["x"]])
    b = np.linalg.lstsq(design, odds, rcond=None)[0]
    every = np.column_stack([np.ones(len(panel)), panel["a"] == "q", panel["a"] == "r", panel["x"]])
    np.testing.assert_allclose(every.T @ expit(every @ b), design.sum(axis=0), rtol=1e-8)


def test_unbounded_likelihoods_are_refused():
    """No log has x above 0 and much of the population has: no finite slope solves the score."""
    logs = LOGS.assign(x=-50.0 - LOGS["x"].abs())
    with pytest.raises((NotConverged, InvalidValue)):
        ipw(read(logs, PANEL)[0], TARGET, link="cloglog", terms=["x"])


def test_a_census_as_reference_leaves_the_noise_of_the_donors():
    """With every unit in the reference its own variance is 0; only donors' noise is left."""
    census = PANEL.assign(d=1.0, all=float(len(PANEL)))
    design = DesignColumns(population_clusters="all")
    reference = read_sample(census, covariates=ALL, weights="d", design=design)
    point = impute(
        SAMPLE, Target(reference=reference), method="nearest", neighbours=1, estimands=[mean("y")]
    )
    noise = point.weights**2 @ np.full(len(LOGS), 1.0) / len(PANEL) ** 2
    assert infer(point).se[0] == pytest.approx(np.sqrt(noise), rel=0.15)


def test_two_crossed_factors_are_one_term():
    crossed = impute(SAMPLE, TARGET, terms=[("a", "b"), ("k", "x")])
    joined = LOGS.assign(ab=LOGS["a"] + LOGS["b"], kx=LOGS["k"] * LOGS["x"])
    panel = PANEL.assign(ab=PANEL["a"] + PANEL["b"], kx=PANEL["k"] * PANEL["x"])
    sample = read_sample(joined, outcomes=["y", "v"], covariates=["ab", "kx"])
    target = Target(reference=read_sample(panel, covariates=["ab", "kx"], weights="d"))
    np.testing.assert_allclose(crossed.values, impute(sample, target).values, rtol=1e-12)
