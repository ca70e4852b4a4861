"""Growth over gaps, drift bounds, comparison of like with like."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.trend import drift_bounds, growth_rates, like_with_like

WEEKS = np.datetime64("2026-01-05", "D") + 7 * np.array([0, 1, 2, 4, 5])


def test_growth_of_a_straight_line_is_its_slope_over_gaps_too():
    elapsed = np.array([0, 1, 2, 4, 5])
    slope = np.random.default_rng(0).normal(0.03, 0.01, 500)
    for span in (1, 2, 4):
        found = growth_rates(slope[:, None] * elapsed, WEEKS, span=span)
        np.testing.assert_allclose(found.draws[:, :, 0] - slope[:, None], 0, atol=1e-12)
        np.testing.assert_allclose(found.covariance, slope.var(ddof=1), rtol=1e-9)
        assert (found.end > found.start).all()


def test_covariance_between_groups_gives_the_growth_of_the_ratio():
    rng = np.random.default_rng(1)
    common = rng.normal(0, 0.3, (4000, 5, 1))
    paths = common + rng.normal(0, 0.02, (4000, 5, 2))
    found = growth_rates(paths, WEEKS, span=4)
    ratio = growth_rates(paths[:, :, 0] - paths[:, :, 1], WEEKS, span=4)
    contrast = np.array([1.0, -1.0])
    assert contrast @ found.covariance @ contrast == pytest.approx(float(ratio.covariance[0, 0]))
    assert ratio.covariance[0, 0] < 0.05 * found.covariance[0, 0]
    assert (found.low <= found.rate).all()
    assert (found.rate <= found.high).all()


def test_a_missing_week_drops_out():
    paths = np.random.default_rng(2).normal(size=(50, 5))
    gap = paths.copy()
    gap[:, 2] = np.nan
    there = [0, 1, 3, 4]
    one, two = growth_rates(gap, WEEKS), growth_rates(paths[:, there], WEEKS[there])
    np.testing.assert_array_equal(one.draws, two.draws)
    np.testing.assert_array_equal(one.start, two.start)


@given(
    level=st.floats(-3, 3),
    steps=st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    panel=st.lists(st.floats(-3, 3), min_size=5, max_size=5),
    drift=st.floats(0, 0.5),
    base=st.integers(-5, 4),
)
def test_drift_bounds_hold_every_admissible_path(level, steps, panel, drift, base):
    gaps = np.array([1, 1, 2, 1])
    log_lambda = level + np.concatenate([[0.0], np.cumsum(drift * gaps * np.array(steps))])
    truth = np.array(panel) - log_lambda
    found = drift_bounds(np.array(panel), WEEKS, drift=drift, base=base)
    change = truth - truth[base]
    assert (found.low - 1e-9 <= change).all()
    assert (change <= found.high + 1e-9).all()
    sure = (found.low > 1e-9) | (found.high < -1e-9)
    assert (sure <= (found.breakdown > drift)).all()


def test_drift_bounds_are_attained():
    panel = np.array([0.0, 0.1, 0.3, 0.5, 0.4])
    elapsed = np.array([0, 1, 2, 4, 5])
    found = drift_bounds(panel, WEEKS, drift=0.05)
    np.testing.assert_allclose(found.low, panel - 0.05 * elapsed)
    np.testing.assert_allclose(found.high, panel + 0.05 * elapsed)
    np.testing.assert_allclose(found.breakdown[1:], panel[1:] / elapsed[1:])


def test_only_a_drift_in_the_right_direction_undoes_a_change():
    panel = np.array([-0.2, 0.0, np.nan, 0.4, 0.0])
    draws = np.array([-0.5, -0.15, 0.16, 0.25])
    found = drift_bounds(panel, WEEKS, drift=0.0, drift_draws=draws)
    # Changes .2, .6 and .2 after 1, 4 and 5 weeks.
    np.testing.assert_array_equal(found.probability, [0, 0.25, np.nan, 0.5, 0.5])
    back = drift_bounds(panel, WEEKS, drift=0.0, base=3, drift_draws=draws)
    # From the later week the change is -.6 over -4 weeks: the same drift undoes it.
    assert back.probability[0] == found.probability[3]
    assert np.isnan(found.breakdown[2])


@given(xa=st.floats(0.1, 100), xb=st.floats(0.1, 100), factor=st.floats(1, 20))
def test_like_with_like_is_decided_up_to_its_breakdown_factor(xa, xb, factor):
    found = like_with_like(xa, xb, factor=factor)
    decided = found.low > 0 or found.high < 0
    if abs(found.breakdown - factor) > 1e-9:
        assert decided == (factor < found.breakdown)


def test_wrong_input_is_refused():
    paths = np.zeros((4, 5))
    with pytest.raises(NotIdentified, match="span"):
        growth_rates(paths, WEEKS, span=5)
    with pytest.raises(InvalidValue, match="weeks"):
        growth_rates(paths, WEEKS[:4])
    with pytest.raises(InvalidValue, match="rise"):
        growth_rates(paths, WEEKS[::-1])
    torn = np.zeros((4, 5, 2))
    torn[:, 1, 0] = np.nan
    with pytest.raises(InvalidValue, match="all series"):
        growth_rates(torn, WEEKS)
    with pytest.raises(InvalidValue, match="drift"):
        drift_bounds(np.zeros(5), WEEKS, drift=-0.1)
    with pytest.raises(InvalidValue, match="series"):
        drift_bounds(paths, WEEKS, drift=0.1)
    with pytest.raises(NotIdentified, match="base"):
        drift_bounds(np.array([np.nan, 0, 0, 0, 0]), WEEKS, drift=0.1)
    with pytest.raises(InvalidValue, match="factor"):
        like_with_like(1.0, 1.0, factor=0.5)
