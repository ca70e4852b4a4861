"""Tipping point, robustness, contour, bias analysis and waterfall."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroute.exceptions import InvalidValue, NotIdentified, UsageError
from offroute.inference.bias_analysis import bias_analysis
from offroute.inference.sensitivity import (
    break_even_coverage,
    contour,
    robustness,
    tipping,
    tipping_point,
)
from offroute.inference.waterfall import waterfall


@pytest.fixture(scope="module")
def market():
    rng = np.random.default_rng(11)
    return {
        "a": (np.full(4000, 19.0), np.exp(rng.normal(4.5, 0.6, 4000))),
        "b": (14.0 + np.exp(rng.normal(2, 0.5, 4000)), np.exp(rng.normal(5.7, 0.3, 4000))),
    }


@given(
    xa=st.floats(0.1, 100),
    xb=st.floats(0.1, 100),
    ya=st.floats(0.1, 1000),
    yb=st.floats(0.1, 1000),
)
def test_tipping_point_and_break_even_coverage_say_who_leads(xa, xb, ya, yb):
    log_lambda = np.log(xa / xb) - np.log(ya / yb)
    leads = ya > yb
    if abs(np.log(ya / yb)) > 1e-9:
        assert (log_lambda < np.log(tipping_point(xa, xb))) == leads
        assert (xa / ya < break_even_coverage(xa, yb)) == leads


def test_tipping_probabilities_are_those_of_the_ratio():
    draws = np.random.default_rng(2).normal(0.4, 0.5, 5000)
    found = tipping(draws, 19.0, 14.0, level=0.8)
    ratio = np.log(19 / 14) - draws
    assert found.probability_below == (ratio > 0).mean()
    assert found.probability_below + found.probability_above == 1
    assert found.margin == pytest.approx(ratio.mean() / ratio.std(ddof=1))
    assert found.low < found.coverage_ratio < found.high


def test_robustness_is_a_shift_that_gives_the_probability():
    draws = np.random.default_rng(3).gamma(3.0, 0.4, 8000) - 2
    found = robustness(draws, bias_sd=0.35, response=0.7, probability=[0.1, 0.5, 0.9])
    for p, bias in zip(found.probability, found.bias, strict=True):
        # If b's benchmarks are too high by `bias`, the log ratio is larger by response * bias.
        assert (draws + 0.7 * bias > 0).mean() == pytest.approx(p, abs=1e-3)
    np.testing.assert_allclose(found.in_sd, found.bias / 0.35)
    assert (np.diff(found.bias) > 0).all()


def test_contour_at_one_is_the_estimate_and_the_line_separates(market):
    grid = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
    found = contour(market["a"], market["b"], factor_a=grid, factor_b=grid)
    ratio = np.log(sum(market["a"])) - np.log(sum(market["b"]))
    assert found.log_ratio[2, 2] == pytest.approx(np.median(ratio))
    assert found.probability[2, 2] == (ratio > 0).mean()
    assert (np.diff(found.log_ratio, axis=0) > 0).all()
    assert (np.diff(found.log_ratio, axis=1) < 0).all()
    assert ((found.flip[:, None] > grid) == (found.probability > 0.5)).all()
    line = contour(market["a"], market["b"], factor_a=grid[2:3], factor_b=found.flip[2:3])
    assert line.probability[0, 0] == pytest.approx(0.5, abs=1e-3)


def test_bias_analysis_adds_up():
    rng = np.random.default_rng(4)
    naive = rng.normal(0.3, 0.05, 6000)
    biases = {"bypass": rng.normal(1.4, 0.5, 6000), "home cloud": rng.normal(-0.3, 0.2, 6000)}
    found = bias_analysis(naive, biases)
    assert found.draws.mean() == pytest.approx(naive.mean() - found.mean_shift.sum())
    assert found.variance_share.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.variance_share, np.array([25, 4, 0.25]) / 29.25, atol=0.02)
    assert found.low < found.median < found.high
    assert found.probability == (found.draws > 0).mean()


def shapley_by_orders(names, value):
    """The definition: mean marginal contribution over all orders."""
    orders = list(permutations(names))
    out = dict.fromkeys(names, 0.0)
    for order in orders:
        for j, name in enumerate(order):
            before = frozenset(order[:j])
            out[name] = out[name] + (value(before | {name}) - value(before)) / len(orders)
    return np.stack([out[name] for name in names], axis=1)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), m=st.integers(1, 5))
def test_waterfall_equals_the_mean_over_orders(seed, m):
    names = [f"m{j}" for j in range(m)]
    rng = np.random.default_rng(seed)
    table = {}

    def value(on):
        if on not in table:
            table[on] = rng.standard_normal(6)
        return table[on]

    found = waterfall(names, value)
    np.testing.assert_allclose(found.draws, shapley_by_orders(names, value), atol=1e-12)
    total = value(frozenset(names)) - value(frozenset())
    np.testing.assert_allclose(found.draws.sum(axis=1), total, atol=1e-12)
    assert found.end == pytest.approx(found.start + found.step.sum())
    assert (found.least <= found.step + 1e-12).all()
    assert (found.step <= found.most + 1e-12).all()


def test_additive_mechanisms_do_not_depend_on_order_and_each_subset_is_evaluated_once():
    effect = {"a": np.array([1.0, 2.0]), "b": np.array([-3.0, 0.5]), "idle": np.zeros(2)}
    asked = []

    def value(on):
        asked.append(on)
        return sum((effect[name] for name in on), np.array([0.3, 0.3]))

    found = waterfall(list(effect), value)
    assert len(asked) == len(set(asked)) == 8
    np.testing.assert_allclose(found.least, found.most)
    np.testing.assert_allclose(found.draws, np.stack(list(effect.values()), axis=1), atol=1e-12)


def test_wrong_input_is_refused():
    draws = np.array([0.1, 0.2, 0.4])
    with pytest.raises(InvalidValue, match="panel_b"):
        tipping_point(1.0, 0.0)
    with pytest.raises(InvalidValue, match="volume_b"):
        break_even_coverage(1.0, -2.0)
    with pytest.raises(InvalidValue, match="spread"):
        tipping(np.zeros(5), 19.0, 14.0)
    with pytest.raises(InvalidValue, match="log_ratio"):
        robustness(np.array([0.1, np.nan]), bias_sd=0.35)
    with pytest.raises(InvalidValue, match="probability"):
        robustness(draws, bias_sd=0.35, probability=[0.0])
    with pytest.raises(InvalidValue, match="bias_sd"):
        robustness(draws, bias_sd=0.0)
    with pytest.raises(InvalidValue, match="part_a"):
        contour((draws, draws), (draws, draws[:2]), factor_a=draws, factor_b=draws)
    with pytest.raises(InvalidValue, match="part_b"):
        contour((draws, draws), (draws, 0 * draws), factor_a=draws, factor_b=draws)
    with pytest.raises(InvalidValue, match="factor_a"):
        contour((draws, draws), (draws, draws), factor_a=-draws, factor_b=draws)
    with pytest.raises(InvalidValue, match="biases"):
        bias_analysis(draws, {})
    with pytest.raises(InvalidValue, match="joint draws"):
        bias_analysis(draws, {"a": draws[:2]})
    with pytest.raises(NotIdentified, match="spread"):
        bias_analysis(np.ones(4), {"a": np.ones(4)})
    with pytest.raises(UsageError, match="level"):
        bias_analysis(draws, {"a": draws}, level=90)
    with pytest.raises(UsageError, match="names"):
        waterfall(["a", "a"], lambda on: draws)
    with pytest.raises(UsageError, match="12"):
        waterfall([str(j) for j in range(13)], lambda on: draws)
    with pytest.raises(InvalidValue, match="evaluate"):
        waterfall(["a"], lambda on: draws[: 3 - len(on)])
