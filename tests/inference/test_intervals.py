"""Intervals against closed forms, scipy's bootstrap and their definition."""

import numpy as np
import pytest
from scipy import stats

from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.delta import delta_method
from offroute.inference.intervals import (
    bca_interval,
    critical_value,
    fieller_interval,
    log_interval,
    logit_interval,
    normal_interval,
    percentile_interval,
)


def test_critical_values():
    assert critical_value(0.9) == pytest.approx(stats.norm.ppf(0.95), abs=1e-12)
    assert critical_value(0.95, df=7) == pytest.approx(stats.t.ppf(0.975, 7), abs=1e-12)


def test_transformed_intervals_are_normal_on_their_scale():
    p, se = np.array([0.2, 0.7]), np.array([0.03, 0.05])
    low, high = logit_interval(p, se)
    scale = se / (p * (1 - p))
    expected = normal_interval(np.log(p / (1 - p)), scale)
    np.testing.assert_allclose(np.log(low / (1 - low)), expected[0])
    np.testing.assert_allclose(np.log(high / (1 - high)), expected[1])
    low, high = log_interval(p, se)
    np.testing.assert_allclose(np.log([low, high]), normal_interval(np.log(p), se / p))


def test_fieller_inverts_its_own_test():
    covariance = np.array([[0.5, 0.1], [0.1, 0.2]])
    for end in fieller_interval(4.0, 5.0, covariance, df=12):
        variance = covariance[0, 0] - 2 * end * covariance[0, 1] + end**2 * covariance[1, 1]
        assert (4 - 5 * end) ** 2 / variance == pytest.approx(stats.t.ppf(0.975, 12) ** 2)


def test_fieller_refuses_a_denominator_near_zero():
    with pytest.raises(NotIdentified, match="denominator"):
        fieller_interval(4.0, 0.5, np.diag([1.0, 0.2]))


def test_bca_equals_scipy():
    rng = np.random.default_rng(4)
    y = rng.exponential(size=40)
    result = stats.bootstrap(
        (y,), np.mean, n_resamples=4000, method="BCa", rng=rng, confidence_level=0.9
    )
    draws = result.bootstrap_distribution[:, None]
    influence = (y - y.mean())[:, None]
    low, high = bca_interval(draws, np.array([y.mean()]), influence, level=0.9)
    ours = [low[0], high[0]]
    np.testing.assert_allclose(ours, result.confidence_interval, rtol=2e-3)


def test_bca_without_skewness_or_bias_is_the_percentile_interval():
    draws = np.linspace(-3, 3, 6001)[:, None]
    bca = bca_interval(draws, np.zeros(1), np.array([[-1.0], [1.0]]), level=0.9)
    np.testing.assert_allclose(bca, percentile_interval(draws, level=0.9), atol=1e-9)


def test_delta_method_of_a_linear_map_is_exact():
    rng = np.random.default_rng(2)
    a, root = rng.normal(size=(2, 3)), rng.normal(size=(3, 3))
    covariance = root @ root.T
    value, ours = delta_method(np.array([1.0, -2, 3]), covariance, lambda t: a @ t)
    np.testing.assert_allclose(value, a @ [1, -2, 3])
    np.testing.assert_allclose(ours, a @ covariance @ a.T, rtol=1e-8)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: critical_value(1.0), InvalidValue),
        (lambda: critical_value(0.9, df=0), NotIdentified),
        (lambda: logit_interval(np.array([1.0]), np.array([0.1])), InvalidValue),
        (lambda: log_interval(np.array([-1.0]), np.array([0.1])), InvalidValue),
        (lambda: bca_interval(np.ones((9, 1)), np.zeros(1), np.ones((3, 1))), NotIdentified),
        (
            lambda: delta_method(np.ones(1), np.eye(1), lambda t: np.array([np.inf * t[0]])),
            InvalidValue,
        ),
    ],
)
def test_unusable_input_is_refused(call, error):
    with np.errstate(invalid="ignore"), pytest.raises(error):
        call()
