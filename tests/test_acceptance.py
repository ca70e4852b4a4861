"""Public acceptance cases: numbers from closed forms or quadrature, each with its derivation.

Those of the evidence synthesis stand beside its other closed forms: case 7 in
tests/estimators/test_against_dense.py, cases 9 and 10 in tests/estimators/test_closed_forms.py;
cases 2 and 3 by the market estimators in tests/estimators/test_lattice.py.
"""

import numpy as np
import pytest
from scipy.special import ndtri

from offroute.inference.bounds import aggregation_bounds, nested_bounds, ratio_bounds
from offroute.inference.defect import (
    defect_correlation,
    defect_error,
    effective_size,
    joint_coverage,
)
from offroute.inference.partial_intervals import imbens_manski
from offroute.inference.power_scaling import scaled_weights
from offroute.inference.sensitivity import break_even_coverage, tipping, tipping_point
from offroute.measurement.revenue import harmonic_price, tokens_from_revenue
from offroute.measurement.units import tokens_per_week

# The cases are printed to seven digits.
PRINTED = 1e-6
N = 400_000


def normal_quantiles(mean, sd):
    """N equally likely values of a normal law: quadrature in the form of draws."""
    return mean + sd * ndtri((np.arange(N) + 0.5) / N)


def test_case_1_naming_more_models_moves_the_tipping_point():
    found = tipping_point([18.0, 19.0], [5.5, 14.0])
    np.testing.assert_allclose(found, [3.272727, 1.357143], rtol=PRINTED)
    ends = ratio_bounds(19.0, 14.0, hidden_a=(0.0, 3.0), hidden_b=(0.0, 3.0))
    np.testing.assert_allclose(ends, [1.117647, 1.571429], rtol=PRINTED)
    point = nested_bounds((19.0, 14.0), coverage_ratio=1.0)
    assert point.share_low[-1] == pytest.approx(0.575758, rel=PRINTED)


def test_case_2_lognormal_totals():
    # log Y_China ~ N(log 120, .6^2), log Y_US ~ N(log 400, .25^2), independent.
    sd = np.hypot(0.6, 0.25)
    assert sd == pytest.approx(0.65, rel=1e-12)
    ratio = normal_quantiles(np.log(120 / 400), sd)
    assert np.exp(np.median(ratio)) == pytest.approx(0.3, rel=PRINTED)
    found = tipping(np.log(19 / 14) - ratio, 19.0, 14.0, level=0.9)
    assert found.probability_below == pytest.approx(0.0319938, abs=2 / N)
    assert found.coverage_ratio == pytest.approx(4.523810, rel=1e-5)
    np.testing.assert_allclose([found.low, found.high], [1.553017, 13.177480], rtol=2e-5)
    assert float(break_even_coverage(19.0, 400.0)) == pytest.approx(0.0475, rel=1e-12)


@pytest.mark.parametrize(("s", "g", "share"), [(0.5, 3.623898, 0.547095), (1e6, 1.0, 0.25)])
def test_case_3_soft_benchmark_as_importance_weights(s, g, share):
    # Volumes (10, 30), log weights N(0, 1), benchmark 50 on the first with log sd s: the prior is
    # scaled by the likelihood, and log g1 has posterior mean log(5) / (1 + s^2).
    log_g = normal_quantiles(0.0, 1.0)
    weights, _ = scaled_weights(-0.5 * ((np.log(50 / 10) - log_g) / s) ** 2, 2.0)
    found = np.exp(weights @ log_g)
    # Smoothing of the largest ratios, not the sums, limits the accuracy.
    assert found == pytest.approx(g, rel=1e-3)
    assert 10 * found / (10 * found + 30) == pytest.approx(share, rel=1e-3)


def test_case_4_revenue_over_two_prices():
    tokens = tokens_from_revenue(10e9, [10.0, 1.0], [0.5, 0.5])
    assert tokens == pytest.approx(5.5e15, rel=1e-12)
    assert harmonic_price([10.0, 1.0], [0.5, 0.5]) == pytest.approx(1.818182, rel=PRINTED)
    at_mean_price = tokens_from_revenue(10e9, [5.5], [1.0])
    assert at_mean_price == pytest.approx(1.818182e15, rel=PRINTED)
    assert tokens / at_mean_price == pytest.approx(3.025, rel=1e-12)


def test_case_5_data_defect_and_joint_coverage():
    # Population of 1,000 with 300 ones; 100 recorded, 60 of them ones.
    recorded = np.zeros(1000)
    recorded[:60] = recorded[300:340] = 1
    ones = np.arange(1000) < 300
    rho = defect_correlation(0.6, 0.3, 0.1)
    assert float(rho) == pytest.approx(0.2182179, rel=PRINTED)
    assert float(rho) == pytest.approx(np.corrcoef(recorded, ones)[0, 1], rel=1e-12)
    assert float(defect_error(rho, 0.1, np.sqrt(0.21))) == pytest.approx(0.3, rel=1e-12)
    assert float(effective_size(rho, 0.1)) == pytest.approx(2.333333, rel=PRINTED)
    joint = joint_coverage([10.0, 10.0], [0.5, 0.01])
    assert joint == pytest.approx(0.01960784, rel=PRINTED)
    assert joint < 0.1 * np.mean([0.5, 0.01])


def test_case_6_aggregation_bounds():
    low, high = aggregation_bounds(0.46, [0.47, 0.80])
    np.testing.assert_allclose(low, [0.0, 0.325], atol=1e-12)
    np.testing.assert_allclose(high, [0.978723, 0.575], rtol=PRINTED)


@pytest.mark.parametrize(
    ("bounds", "se", "c", "ends"),
    [
        ((0.10, 0.30), (0.02, 0.03), 1.644853, (0.067103, 0.349346)),
        ((0.20, 0.21), (0.03, 0.03), 1.820223, (0.145393, 0.264607)),
        ((0.20, 0.20), (0.03, 0.03), 1.959964, (0.141201, 0.258799)),
    ],
)
def test_case_6_imbens_manski(bounds, se, c, ends):
    found = imbens_manski(bounds, se, level=0.95)
    assert found.critical_low == found.critical_high == pytest.approx(c, abs=1e-6)
    np.testing.assert_allclose([found.low, found.high], ends, atol=1e-6)


def test_case_8_tokens_a_minute():
    weekly = [tokens_per_week(v, "B tokens/minute") / 1e12 for v in (6, 15, 16)]
    np.testing.assert_allclose(weekly, [60.48, 151.2, 161.28], rtol=1e-12)
