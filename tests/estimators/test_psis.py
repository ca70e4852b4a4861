"""Pareto smoothing against arviz-stats and closed forms."""

import numpy as np
import pytest

from offroute.estimators.psis import pareto_smooth

# Two implementations of one estimator, and their rounding.
SAME = 1e-6


@pytest.mark.parametrize(
    ("shape", "k_hat", "largest", "squares"),
    [
        # arviz_stats 0.8.0, arviz_stats.base.array_stats.psislw(-log_ratio), 2026-11-23.
        (0.2, 0.22677158080815218, 0.0021007407607289185, 0.0005330065304310843),
        (0.5, 0.49763509072422174, 0.015820164147383863, 0.0012071313575415003),
        (0.9, 0.8588686930172938, 0.12455481570445115, 0.021700572602850826),
    ],
)
def test_weights_and_tail_shape_are_those_of_arviz(shape, k_hat, largest, squares):
    # Quantiles of a Pareto distribution of known shape.
    log_ratio = -shape * np.log1p(-(np.arange(2000) + 0.5) / 2000)
    weights, k = pareto_smooth(log_ratio)
    assert k == pytest.approx(k_hat, rel=SAME)
    assert weights.max() == pytest.approx(largest, rel=SAME)
    assert (weights**2).sum() == pytest.approx(squares, rel=SAME)
    assert weights.sum() == pytest.approx(1.0)


def test_a_constant_and_the_order_do_not_matter():
    rng = np.random.default_rng(0)
    x = 2 * rng.standard_normal(1000)
    weights, k = pareto_smooth(x)
    shifted, k_shifted = pareto_smooth(x + 700.0)
    np.testing.assert_allclose(shifted, weights, rtol=1e-9)
    assert k_shifted == pytest.approx(k, rel=1e-9)
    order = rng.permutation(1000)
    np.testing.assert_allclose(pareto_smooth(x[order])[0], weights[order], rtol=1e-12)


def test_a_tail_too_short_to_fit_is_left_alone():
    x = np.array([0.0] * 20 + [1.0, 2.0])
    weights, k = pareto_smooth(x)
    assert k == 0.0
    np.testing.assert_allclose(weights, np.exp(x) / np.exp(x).sum())
