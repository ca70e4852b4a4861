"""Crossing weeks: brute force, censoring, gaps, probabilities by date."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.crossing import crossing, crossing_quantile, probability_by


def mondays(n):
    return np.datetime64("2026-01-05", "D") + 7 * np.arange(n)


def one_path(path, run, for_good):
    """By reading the definition aloud: where the lead begins, or what is open."""
    n = len(path)
    for t in range(n):
        stretch = path[t:] if for_good else path[t : t + run]
        if len(stretch) >= run and all(v > 0 for v in stretch):
            return ("left", None) if t == 0 else ("crossed", t)
    if path[-1] > 0:
        t = n - 1
        while t > 0 and path[t - 1] > 0:
            t -= 1
        return "pending", t
    return "never", None


@given(
    signs=arrays(np.int64, (5, 9), elements=st.sampled_from([-1, 1])),
    run=st.integers(1, 5),
    for_good=st.booleans(),
)
def test_equals_the_definition_path_by_path(signs, run, for_good):
    found = crossing(signs, mondays(9), run=run, for_good=for_good)
    told = [one_path(path, run, for_good) for path in signs.tolist()]
    for kind, values in (("crossed", found.probability), ("pending", found.pending)):
        expected = np.zeros(9)
        for what, t in told:
            if what == kind:
                expected[t] += 0.2
        np.testing.assert_allclose(values, expected, atol=1e-12)
    assert found.left_censored == pytest.approx(sum(w == "left" for w, _ in told) / 5)
    assert found.never == pytest.approx(sum(w == "never" for w, _ in told) / 5)
    total = found.probability.sum() + found.left_censored + found.right_censored + found.never
    assert total == pytest.approx(1)
    assert found.right_censored == pytest.approx(found.pending.sum())


@given(signs=arrays(np.int64, (20, 10), elements=st.sampled_from([-1, 1])), run=st.integers(1, 6))
def test_a_longer_run_and_a_lead_for_good_come_later(signs, run):
    weeks = mondays(10)
    at_all = crossing(signs, weeks, run=1)
    first = crossing(signs, weeks, run=run)
    for_good = crossing(signs, weeks, run=run, for_good=True)
    for day in weeks:
        by = [probability_by(found, str(day))[0] for found in (for_good, first, at_all)]
        assert by[0] <= by[1] + 1e-12 <= by[2] + 2e-12


def test_missing_weeks_neither_break_nor_count():
    weeks = mondays(7)
    paths = np.array([[-1, 1, 1, np.nan, 1, 1, -1], [-1, 1, 1, np.nan, -1, 1, 1]], dtype=float)
    found = crossing(paths, weeks, run=4)
    there = [0, 1, 2, 4, 5, 6]
    without = crossing(paths[:, there], weeks[there], run=4)
    assert found.weeks.tolist() == weeks[there].tolist()
    np.testing.assert_array_equal(found.probability, without.probability)
    assert found.probability.tolist() == [0, 0.5, 0, 0, 0, 0]
    # The second path has three weeks before the gap at most, and two at the end.
    assert found.pending.tolist() == [0, 0, 0, 0, 0.5, 0]
    assert crossing(paths, weeks, run=5).probability.sum() == 0


def test_probability_by_a_date_and_quantiles():
    weeks = mondays(6)
    paths = np.array(
        [
            [1, 1, 1, 1, 1, 1],
            [-1, 1, 1, 1, 1, 1],
            [-1, -1, 1, 1, -1, -1],
            [-1, -1, -1, -1, -1, 1],
            [-1, -1, -1, -1, -1, -1],
        ]
    )
    found = crossing(paths, weeks, run=2)
    assert probability_by(found, "2026-01-05") == (0.2, 0.2)
    assert probability_by(found, dt.date(2026, 1, 14)) == (0.4, 0.4)
    least, most = probability_by(found, "2027-01-01")
    assert (least, most) == pytest.approx((0.6, 0.8))
    assert crossing_quantile(found, 0.1) == weeks[0]
    assert crossing_quantile(found, 0.3) == weeks[1]
    assert crossing_quantile(found, 0.6) == weeks[2]
    assert np.isnat(crossing_quantile(found, 0.61))


def test_wrong_input_is_refused():
    paths, weeks = np.ones((3, 4)), mondays(4)
    with pytest.raises(InvalidValue, match="weeks"):
        crossing(paths, weeks[::-1])
    with pytest.raises(InvalidValue, match="weeks"):
        crossing(paths, np.arange(4))
    with pytest.raises(InvalidValue, match="run"):
        crossing(paths, weeks, run=0)
    with pytest.raises(NotIdentified, match="run of 5"):
        crossing(paths, weeks, run=5)
    with pytest.raises(InvalidValue, match="axes"):
        crossing(np.ones(4), weeks)
    torn = paths.copy()
    torn[0, 1] = np.nan
    with pytest.raises(InvalidValue, match="every draw"):
        crossing(torn, weeks)
    found = crossing(paths, weeks)
    with pytest.raises(NotIdentified, match="date"):
        probability_by(found, "2025-12-31")
    with pytest.raises(InvalidValue, match="probability"):
        crossing_quantile(found, 1.0)
