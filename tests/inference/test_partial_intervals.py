"""Intervals for partially identified numbers: nesting, limits, simulated coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from offroute.exceptions import InvalidValue, UsageError
from offroute.inference.partial_intervals import _inside, imbens_manski, stoye


@given(width=st.floats(0, 5), se=st.tuples(st.floats(0.01, 2), st.floats(0.01, 2)))
def test_critical_value_lies_between_one_and_two_sided(width, se):
    found = imbens_manski((0.0, width), se)
    assert 1.644853 <= found.critical_low <= 1.959965
    assert found.low < 0 < width < found.high or width == 0


@settings(deadline=None)
@given(width=st.floats(0, 0.5), se=st.floats(0.02, 0.5))
def test_stoye_equals_imbens_manski_under_superefficiency(width, se):
    one = stoye((0.0, width), (se, se), correlation=1.0)
    two = imbens_manski((0.0, width), (se, se))
    # Both ends matter alike, so the shortest interval is found up to a flat optimum.
    assert one.high - one.low == pytest.approx(two.high - two.low, rel=1e-6)


def test_stoye_needs_no_superefficiency():
    # Bounds with independent errors; a point identified number is the hardest case.
    rng = np.random.default_rng(3)
    errors = rng.standard_normal((20_000, 2)) * [0.3, 0.1]
    for width in (0.0, 0.2):
        shape = stoye((0.0, width), (0.3, 0.1), correlation=0.0, level=0.9)
        low = errors[:, 0] - 0.3 * shape.critical_low
        high = width + errors[:, 1] + 0.1 * shape.critical_high
        covered = [((low <= end) & (end <= high)).mean() for end in (0.0, width)]
        assert min(covered) >= 0.9 - 4 * np.sqrt(0.09 / 20_000)


@pytest.mark.parametrize("correlation", [-0.7, 0.0, 0.4, 0.95])
def test_bivariate_probability_against_scipy(correlation):
    a, b = 1.3, 0.4
    law = multivariate_normal(cov=[[1, -correlation], [-correlation, 1]])
    assert _inside(a, b, correlation) == pytest.approx(float(law.cdf([a, b])), abs=1e-6)


def test_bivariate_probability_at_its_ends():
    assert _inside(1.0, 0.5, 1.0) == pytest.approx(_inside(1.0, 0.5, 1 - 1e-10), abs=1e-4)
    assert _inside(1.0, 0.5, -1.0) == pytest.approx(_inside(1.0, 0.5, -1 + 1e-10), abs=1e-4)
    assert _inside(-2.0, -2.0, 1.0) == 0.0


@pytest.mark.parametrize(
    ("bounds", "se"), [((0.3, 0.1), (0.1, 0.1)), ((0.1, 0.3), (0.0, 0.0)), ((0.1, np.inf), (1, 1))]
)
def test_crossed_or_exact_bounds_are_refused(bounds, se):
    with pytest.raises(InvalidValue):
        imbens_manski(bounds, se)


def test_wrong_level_and_correlation_are_refused():
    with pytest.raises(UsageError, match="level"):
        imbens_manski((0.1, 0.3), (0.1, 0.1), level=95)
    with pytest.raises(InvalidValue, match="correlation"):
        stoye((0.1, 0.3), (0.1, 0.1), correlation=1.5)
    with pytest.raises(InvalidValue, match="se"):
        stoye((0.1, 0.3), (0.0, 0.1), correlation=0.5)


@pytest.mark.parametrize("correlation", [-1.0, -0.5, 0.0, 0.9, 1.0])
@pytest.mark.parametrize("se", [(0.01, 0.3), (0.1, 0.1), (0.3, 0.01)])
def test_wide_sets_need_one_sided_critical_values(correlation, se):
    found = stoye((0.0, 30.0), se, correlation=correlation)
    assert found.critical_low == pytest.approx(1.644854, abs=1e-4)
    assert found.critical_high == pytest.approx(1.644854, abs=1e-4)
