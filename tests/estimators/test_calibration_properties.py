"""Properties that must hold for any logs: identities, exact totals, typed refusals."""

import contextlib
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroute.estimators.calibrate import calibrate, entropy_balance, rake
from offroute.estimators.estimands import mean, ratio, share, shares_of, smooth, total
from offroute.estimators.expansion import expansion
from offroute.estimators.generalized_calibration import generalized_calibrate
from offroute.estimators.intake import read_sample
from offroute.estimators.point import make_target
from offroute.estimators.poststratify import poststratify
from offroute.estimators.reference import target_from_reference
from offroute.estimators.soft_calibration import soft_calibrate
from offroute.exceptions import (
    CollinearMargins,
    EmptyCell,
    InfeasibleMargins,
    InvalidValue,
    NotConverged,
    NotIdentified,
)
from offroute.inference.estimate import infer
from offroute.inference.resampling import bootstrap

LINKS = {
    "linear": partial(calibrate, distance="linear"),
    "truncated": partial(calibrate, bounds=(0.2, 4)),
    "raking": partial(calibrate, distance="raking"),
    "logit": partial(calibrate, distance="logit", bounds=(0.1, 6)),
    "sinh": partial(calibrate, distance="sinh"),
    "rake": rake,
}


def logs(seed=0, n=300):
    """Logs whose base weights vary within cells and whose population is tilted from them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "a": rng.choice(["p", "q", "r"], n, p=[0.5, 0.3, 0.2]),
            "b": rng.choice(["s", "t"], n),
            "x": x,
            "y": 2 + x + rng.normal(size=n),
            "k": rng.integers(0, 100, n),
            "v": rng.lognormal(0, 1, n),
            "w": rng.lognormal(0, 0.5, n),
        }
    )
    tilt = frame["w"] * np.exp(0.3 * (frame["a"] == "p") - 0.2 * (frame["b"] == "s") + 0.2 * x)
    return frame, tilt


def sample(frame, **options):
    keep = {"outcomes": ["y", "k"], "covariates": ["a", "b", "x", "v"], "weights": "w"}
    return read_sample(frame, volume="v", **(keep | options))


def margins(frame, tilt, *, moment=False):
    totals = {c: tilt.groupby(frame[c]).sum().to_dict() for c in ("a", "b")}
    if moment:
        totals["x"] = float(tilt @ frame["x"])
    return make_target(totals)


seeds = st.integers(0, 10_000)
few = settings(max_examples=25, deadline=None)


@few
@given(seed=seeds, link=st.sampled_from(sorted(LINKS)))
def test_totals_are_met_whatever_the_weights_within_a_cell(seed, link):
    frame, tilt = logs(seed)
    moment = link != "rake"
    point = LINKS[link](sample(frame), margins(frame, tilt, moment=moment))
    for column in ("a", "b"):
        ours = pd.Series(point.weights).groupby(frame[column]).sum()
        np.testing.assert_allclose(ours, tilt.groupby(frame[column]).sum(), rtol=1e-10)
    if moment:
        np.testing.assert_allclose(point.weights @ frame["x"], tilt @ frame["x"], rtol=1e-9)


@few
@given(seed=seeds, link=st.sampled_from(sorted(LINKS)))
def test_rows_of_a_cell_share_their_factor(seed, link):
    frame, tilt = logs(seed)
    point = LINKS[link](sample(frame), margins(frame, tilt))
    spread = pd.Series(point.g_weights).groupby([frame["a"], frame["b"]]).agg(np.ptp)
    assert spread.max() < 1e-12


@few
@given(seed=seeds, link=st.sampled_from(sorted(LINKS)))
def test_several_outcomes_equal_one_at_a_time(seed, link):
    frame, tilt = logs(seed)
    s, target = sample(frame), margins(frame, tilt)
    asked = [mean("y"), total("k"), ratio("y", "v"), shares_of(s, "a")]
    together = infer(LINKS[link](s, target, estimands=asked))
    alone = [infer(LINKS[link](s, target, estimands=[e])) for e in asked]
    np.testing.assert_allclose(together.values, np.concatenate([e.values for e in alone]))
    # Shares on a margin have a variance of 0 up to rounding.
    np.testing.assert_allclose(together.se, np.concatenate([e.se for e in alone]), atol=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_standard_errors_agree_with_the_bootstrap(link):
    frame, tilt = logs(7, n=800)
    target = margins(frame, tilt, moment=link != "rake")
    estimator = partial(LINKS[link], estimands=[mean("y"), total("v")])
    linear = infer(estimator(sample(frame), target)).se
    replicated = bootstrap(estimator, sample(frame), target, count=200, rng=1).se
    assert np.isfinite(linear).all()
    # 200 replicates know a standard deviation to 5 %; four of those.
    np.testing.assert_allclose(linear, replicated, rtol=0.2)


@few
@given(seed=seeds, low=st.floats(0.3, 0.95), high=st.floats(1.05, 3))
def test_bounds_bind_or_raise(seed, low, high):
    frame, tilt = logs(seed)
    for distance in ("linear", "logit"):
        with contextlib.suppress(InfeasibleMargins, NotConverged):
            point = calibrate(
                sample(frame), margins(frame, tilt), distance=distance, bounds=(low, high)
            )
            assert point.g_weights.min() >= low - 1e-12
            assert point.g_weights.max() <= high + 1e-12
            sums = pd.Series(point.weights).groupby(frame["a"]).sum()
            np.testing.assert_allclose(sums, tilt.groupby(frame["a"]).sum(), rtol=1e-10)


def test_a_level_that_lies_on_its_bound_is_not_collinear():
    frame, _ = logs(20)
    weight = frame.groupby("a")["w"].sum()
    target = make_target({"a": (weight * [1.5, 0.9, 1.0]).to_dict()})
    point = calibrate(sample(frame), target, bounds=(0.5, 1.5))
    assert point.g_weights[frame["a"] == "p"] == pytest.approx(1.5)


def test_bounds_that_exclude_the_answer_raise():
    frame, _ = logs(1)
    weight = frame.groupby("a")["w"].sum()
    target = make_target({"a": (weight * [1.5, 0.9, 0.5]).to_dict()})
    for distance in ("linear", "logit"):
        with pytest.raises(InfeasibleMargins, match=r"a\[p\]"):
            calibrate(sample(frame), target, distance=distance, bounds=(0.4, 1.4))


@few
@given(seed=seeds)
def test_integers_and_floats_agree(seed):
    frame, _ = logs(seed)
    frame["k"] = frame["k"].astype("int8")
    as_float = frame.astype({"k": "float64"})
    totals = {("k", "k"): float(1.1 * frame["w"] @ as_float["k"] ** 2), "k": 15_000.0}
    target = make_target(totals, size=300.0)
    ours = [calibrate(sample(f), target).weights for f in (frame, as_float)]
    np.testing.assert_array_equal(*ours)


@few
@given(seed=seeds, link=st.sampled_from(sorted(LINKS)))
def test_the_samples_own_totals_change_nothing(seed, link):
    frame, _ = logs(seed)
    point = LINKS[link](sample(frame), margins(frame, frame["w"]))
    np.testing.assert_allclose(point.values, expansion(sample(frame)).values, rtol=1e-12)


@few
@given(seed=seeds, link=st.sampled_from(sorted(LINKS)))
def test_one_cell_is_the_naive_mean(seed, link):
    frame, _ = logs(seed)
    frame["a"] = "only"
    s = sample(frame)
    point = LINKS[link](s, make_target({"a": {"only": 1.5 * s.weights.sum()}}))
    np.testing.assert_allclose(point.values, expansion(s).values, rtol=1e-12)


@few
@given(seed=seeds, link=st.sampled_from(sorted(LINKS)))
def test_row_order_does_not_matter(seed, link):
    frame, tilt = logs(seed)
    target = margins(frame, tilt)
    order = np.random.default_rng(seed).permutation(len(frame))
    one = infer(LINKS[link](sample(frame), target))
    other = infer(LINKS[link](sample(frame.iloc[order]), target))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-10)
    np.testing.assert_allclose(one.se, other.se, rtol=1e-9)


@few
@given(seed=seeds, factor=st.floats(1e-6, 1e6))
def test_the_scale_of_base_weights_does_not_matter_to_raking(seed, factor):
    frame, tilt = logs(seed)
    one = rake(sample(frame), margins(frame, tilt))
    other = rake(sample(frame.assign(w=frame["w"] * factor)), margins(frame, tilt))
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-8)


@few
@given(seed=seeds)
def test_equal_weights_are_naive(seed):
    frame, _ = logs(seed)
    point = expansion(sample(frame.assign(w=3.0)))
    np.testing.assert_allclose(point.values, frame[["y", "k"]].mean(), rtol=1e-12)


def test_poststratification_is_calibration_to_one_margin():
    frame, tilt = logs(1)
    target = make_target({"a": tilt.groupby(frame["a"]).sum().to_dict()})
    ours = [infer(f(sample(frame), target)) for f in (poststratify, calibrate, rake)]
    for other in ours[1:]:
        np.testing.assert_allclose(ours[0].values, other.values, rtol=1e-12)
        np.testing.assert_allclose(ours[0].se, other.se, rtol=1e-10)


def test_post_strata_are_merged_from_the_last_variable():
    frame, tilt = logs(2)
    frame.loc[(frame["a"] == "r") & (frame["b"] == "s"), "b"] = "t"
    cross = {(i, j): 10.0 for i in "pqr" for j in "st"}
    target = make_target({("a", "b"): cross})
    with pytest.raises(EmptyCell, match=r"a:b\[r:s\]"):
        poststratify(sample(frame), target)
    point = poststratify(sample(frame), target, min_units=5)
    assert point.diagnostics["post-strata"] == 5
    sums = pd.Series(point.weights).groupby(frame["a"]).sum()
    np.testing.assert_allclose(sums, 20, rtol=1e-12)
    del tilt


def test_conflicting_margins_are_named_and_only_those():
    # a and b are the same variable but for one row; c is free.
    frame = pd.DataFrame({"a": list("xxyyx"), "b": list("uuvvv"), "c": list("mnmnm"), "y": 1.0})
    s = read_sample(frame, outcomes=["y"], covariates=["a", "b", "c"])
    target = make_target({"a": {"x": 2, "y": 8}, "b": {"u": 5, "v": 5}, "c": {"m": 5, "n": 5}})
    with pytest.raises(InfeasibleMargins) as error:
        rake(s, target)
    assert {n.split("[")[0] for n in error.value.name.split(", ")} <= {"a", "b"}
    assert "soft_calibrate" in str(error.value)


def test_moments_outside_the_hull_are_named():
    frame, _ = logs(3)
    target = make_target({"x": 300 * 50.0, "v": float(frame["v"].sum())}, size=300.0)
    with pytest.raises(InfeasibleMargins, match="x") as error:
        entropy_balance(sample(frame), target)
    # A mean of 50 contradicts the size, and it contradicts the total of v; one pair is enough.
    assert len(error.value.name.split(", ")) == 2


def test_margins_of_different_sizes_are_refused():
    frame, _ = logs(3)
    target = make_target({"a": {"p": 5, "q": 3, "r": 2}, "b": {"s": 6, "t": 5}})
    with pytest.raises(InfeasibleMargins, match="same population size"):
        rake(sample(frame), target)


def test_collinear_constraints_are_named():
    frame, _ = logs(4)
    frame["twice"] = 2 * frame["x"]
    s = sample(frame, covariates=["a", "x", "twice", "v"])
    size = {"size": 300.0}
    with pytest.raises(CollinearMargins, match="x, twice"):
        calibrate(s, make_target({"x": 3.0, "v": 500.0, "twice": 6.0}, **size))
    with pytest.raises(InfeasibleMargins, match="x, twice"):
        calibrate(s, make_target({"x": 3.0, "v": 500.0, "twice": 7.0}, **size))


def test_raking_allows_redundant_margins_that_agree():
    frame, tilt = logs(5)
    cross = tilt.groupby([frame["a"], frame["b"]]).sum().to_dict()
    both = make_target({("a", "b"): cross, "a": tilt.groupby(frame["a"]).sum().to_dict()})
    s = sample(frame)
    one, other = infer(rake(s, both)), infer(rake(s, make_target({("a", "b"): cross})))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-10)
    np.testing.assert_allclose(one.se, other.se, rtol=1e-8)


def test_a_level_with_total_zero_gets_no_weight():
    frame, _ = logs(6)
    point = rake(sample(frame), make_target({"a": {"p": 6, "q": 4, "r": 0}}))
    assert (point.weights[frame["a"] == "r"] == 0).all()
    assert point.weights.sum() == pytest.approx(10)


def test_a_sampled_level_without_total_is_refused():
    frame, _ = logs(6)
    with pytest.raises(InvalidValue, match=r"a\[r\]"):
        rake(sample(frame), make_target({"a": {"p": 6, "q": 4}}))


def test_a_level_without_units_is_refused():
    frame, _ = logs(6)
    with pytest.raises(EmptyCell, match=r"a\[z\]"):
        rake(sample(frame), make_target({"a": {"p": 6, "q": 4, "r": 1, "z": 1}}))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda s, t: calibrate(s, t, distance="raking", bounds=(0.5, 2)), "bounds"),
        (lambda s, t: calibrate(s, t, distance="logit"), "bounds"),
        (lambda s, t: calibrate(s, t, distance="cubic"), "distance"),
        (lambda s, t: calibrate(s, t, bounds=(1.2, 2)), "lower < 1 < upper"),
        (lambda s, t: calibrate(s, t, row_scale="x"), "positive"),
        (lambda s, _: calibrate(s, make_target({})), "at least one total"),
        (lambda s, _: rake(s, make_target({"x": 1.0}, size=2)), "categorical margins only"),
        (soft_calibrate, "covariance"),
        (poststratify, "one margin"),
        (lambda s, t: generalized_calibrate(s, t, instruments={"z": "x"}), "calibration column"),
        (lambda s, t: generalized_calibrate(s, t, instruments={"a": "b"}), "as many"),
    ],
)
def test_unusable_options_are_refused(call, match):
    frame, tilt = logs(8)
    with pytest.raises(InvalidValue, match=match):
        call(sample(frame), margins(frame, tilt))


def test_soft_calibration_runs_from_expansion_to_calibration():
    frame, tilt = logs(9)
    s, hard = sample(frame), margins(frame, tilt)
    spread = np.diag(hard.totals)

    def soft(factor):
        totals = {"a": tilt.groupby(frame["a"]).sum().to_dict()}
        totals["b"] = tilt.groupby(frame["b"]).sum().to_dict()
        return soft_calibrate(s, make_target(totals, covariance=factor * spread))

    np.testing.assert_allclose(soft(1e-9).weights, rake(s, hard).weights, rtol=1e-6)
    np.testing.assert_allclose(soft(1e12).weights, s.weights, rtol=1e-6)
    exact = infer(rake(s, hard)).se
    assert (infer(soft(1.0)).se > exact).all()


def test_soft_calibration_reconciles_margins_that_disagree():
    frame, _ = logs(9)
    s = sample(frame)
    target = make_target(
        {"a": {"p": 150, "q": 90, "r": 60}, "b": {"s": 200, "t": 200}},
        covariance=np.diag([1.0, 1, 1, 100, 100]),
    )
    point = soft_calibrate(s, target, trust=1e4)
    # The three precise benchmarks add up to 300, the two vague ones to 400: variances 3 and 200.
    assert point.weights.sum() == pytest.approx(300 + 100 * 3 / 203, rel=1e-3)


def test_soft_linear_weights_are_the_mode_of_a_normal_model():
    frame, tilt = logs(10, n=40)
    s = sample(frame)
    covariance = np.diag([4.0, 9.0])
    target = make_target({"x": float(tilt @ frame["x"]), "v": 90.0}, covariance=covariance)
    x = frame[["x", "v"]].to_numpy()
    prior = np.diag(s.weights)
    gain = prior @ x @ np.linalg.inv(x.T @ prior @ x + covariance)
    mode = s.weights + gain @ (target.totals - x.T @ s.weights)
    ours = soft_calibrate(s, target, distance="linear")
    np.testing.assert_allclose(ours.weights, mode, rtol=1e-9)


def test_generalized_calibration_removes_selection_on_the_outcome():
    rng = np.random.default_rng(11)
    size = 20_000
    x = rng.normal(5, 1, size)
    y = x + rng.normal(0, 0.5, size)
    chosen = rng.random(size) < 1 / (1 + np.exp(3 - 0.4 * y))
    frame = pd.DataFrame({"x": x[chosen], "y": y[chosen], "w": size / chosen.sum()})
    s = read_sample(frame, outcomes=["y"], covariates=["x"], weights="w")
    target = make_target({"x": float(x.sum())}, size=size)
    naive, calibrated = expansion(s), entropy_balance(s, target)
    ours = infer(generalized_calibrate(s, target, instruments={"x": "y"}, distance="raking"))
    assert abs(ours.values[0] - y.mean()) < 4 * ours.se[0]
    assert abs(ours.values[0] - y.mean()) < abs(calibrated.values[0] - y.mean())
    assert abs(calibrated.values[0] - y.mean()) < abs(naive.values[0] - y.mean())


def test_instruments_that_are_themselves_give_calibration():
    frame, tilt = logs(12)
    target = margins(frame, tilt, moment=True)
    one = infer(generalized_calibrate(sample(frame), target, instruments={"x": "x"}))
    other = infer(calibrate(sample(frame), target))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-10)
    np.testing.assert_allclose(one.se, other.se, rtol=1e-8)


def test_an_unrelated_instrument_is_refused():
    frame, _ = logs(13)
    frame["zero"] = 0.0
    s = sample(frame, covariates=["x", "zero"])
    with pytest.raises(NotIdentified, match="Z'DX"):
        generalized_calibrate(s, make_target({"x": 5.0}, size=300), instruments={"x": "zero"})


def test_benchmarks_of_a_reference_sample_add_their_error():
    frame, _ = logs(14, n=400)
    reference, _ = logs(15, n=100)
    reference["w"] = 4.0
    s = sample(frame)
    ref = read_sample(reference, covariates=["a", "x"], weights="w")
    target = target_from_reference(ref, ["a", "x"])
    point = calibrate(s, target)
    known = make_target(
        {
            "a": {k: float(4 * (reference["a"] == k).sum()) for k in "pqr"},
            "x": float(4 * reference["x"].sum()),
        }
    )
    exact = calibrate(s, known)
    np.testing.assert_allclose(point.values, exact.values, rtol=1e-12)
    noisy = infer(point).se
    assert (noisy > infer(exact).se).all()
    replicated = bootstrap(calibrate, s, target, count=400, rng=2).se
    np.testing.assert_allclose(noisy, replicated, rtol=0.15)


def test_crossed_margins_of_many_variables_use_only_cells_that_occur():
    rng = np.random.default_rng(16)
    n = 500
    names = [f"c{j}" for j in range(8)]
    frame = pd.DataFrame({c: rng.integers(0, 12, n).astype(str) for c in names})
    frame["y"] = rng.normal(size=n)
    s = read_sample(frame, outcomes=["y"], covariates=names)
    tilt = rng.lognormal(0, 0.2, n)
    totals = {
        c: {k: float(tilt[frame[c] == k].sum() * n / tilt.sum()) for k in frame[c].unique()}
        for c in names
    }
    point = rake(s, make_target(totals))
    for c in names:
        ours = pd.Series(point.weights).groupby(frame[c]).sum()
        np.testing.assert_allclose(ours, pd.Series(totals[c])[ours.index], rtol=1e-10)


def test_a_smooth_function_agrees_with_its_closed_form():
    frame, tilt = logs(17)
    s, target = sample(frame), margins(frame, tilt)
    odd = smooth("log ratio", lambda t: np.log(t[0] / t[1]), of=["k", "v"])
    r = infer(rake(s, target, estimands=[ratio("k", "v")]))
    ours = infer(rake(s, target, estimands=[odd]))
    assert ours.values[0] == pytest.approx(np.log(r.values[0]))
    assert ours.se[0] == pytest.approx(r.se[0] / r.values[0], rel=1e-6)


def test_shares_of_volume_add_up():
    frame, tilt = logs(18)
    s = sample(frame)
    point = rake(s, margins(frame, tilt), estimands=[shares_of(s, "a")])
    assert point.values.sum() == pytest.approx(1)
    assert infer(point).covariance.sum() == pytest.approx(0, abs=1e-15)
    with pytest.raises(InvalidValue, match="levels"):
        share("a", levels=[])


@pytest.mark.parametrize("link", sorted(set(LINKS) - {"rake"}))
@pytest.mark.parametrize("row_scale", [None, "v"])
def test_many_rows_give_the_factors_of_few(link, row_scale):
    # Many rows take the warm start on a subsample; repeated rows must not change any factor.
    frame, tilt = logs(21)
    target = margins(frame, tilt, moment=True)
    few_rows = LINKS[link](sample(frame), target, row_scale=row_scale)
    many = pd.concat([frame.assign(w=frame["w"] / 250)] * 250, ignore_index=True)
    many_rows = LINKS[link](sample(many), target, row_scale=row_scale)
    np.testing.assert_allclose(many_rows.g_weights[:300], few_rows.g_weights, rtol=1e-8)


def test_replicates_carry_benchmark_error_through_every_estimator():
    frame, tilt = logs(22)
    s = sample(frame)
    cross = tilt.groupby([frame["a"], frame["b"]]).sum()
    spread = np.diag(0.02 * cross**2)
    by_cell = make_target({("a", "b"): cross.to_dict()}, covariance=spread)
    moment = make_target(
        {"x": float(tilt @ frame["x"])}, size=tilt.sum(), covariance=np.diag([0.0, 90.0])
    )
    through = partial(generalized_calibrate, instruments={"x": "y"}, estimands=[mean("v")])
    for estimator, target in [(poststratify, by_cell), (through, moment), (calibrate, moment)]:
        linear = infer(estimator(s, target)).se
        replicated = bootstrap(estimator, s, target, count=400, rng=3).se
        np.testing.assert_allclose(linear, replicated, rtol=0.2)
        assert (linear > infer(estimator(s, make_known(target))).se).all()


def make_known(target):
    return type(target)(target.size, target.margins, target.moments)


def test_post_strata_that_cannot_be_filled_are_refused():
    frame, _ = logs(23, n=8)
    target = make_target({"a": {"p": 3, "q": 3, "r": 2}})
    with pytest.raises(EmptyCell, match="min_units"):
        poststratify(sample(frame), target, min_units=9)
    with pytest.raises(InvalidValue, match="without a population total"):
        poststratify(sample(frame), make_target({"a": {"p": 3}}), min_units=1)


def test_exact_benchmarks_in_conflict_cannot_be_softened():
    frame, _ = logs(24)
    target = make_target(
        {"a": {"p": 5, "q": 3, "r": 2}, "b": {"s": 6, "t": 5}}, covariance=np.zeros((5, 5))
    )
    with pytest.raises(NotConverged, match="contradict"):
        soft_calibrate(sample(frame), target)


def test_a_repeated_level_is_refused():
    frame, _ = logs(25)
    with pytest.raises(InvalidValue, match="one total"):
        rake(sample(frame), make_target({"a": {"p": 5, "q": 3, "r": 2, ("r",): 1}}))


def test_an_empty_domain_has_no_mean():
    frame, _ = logs(26)
    s = sample(frame.assign(w=np.where(frame["a"] == "r", 0.0, 1.0)))
    with pytest.raises(InvalidValue, match="denominator"), np.errstate(invalid="ignore"):
        expansion(s, estimands=[mean("y", domain=("a", "r"))])
