"""Bounds: sharpness against linear programs, nesting, refuted assumptions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from offroute.exceptions import InfeasibleMargins, InvalidValue, UsageError
from offroute.inference.bounds import aggregation_bounds, nested_bounds, ratio_bounds

# Vertices and linear programs solve the same equations.
EXACT = 1e-8


def by_program(panel, volume_a, volume_b, total, odds):
    """Charnes-Cooper: variables r = Y_a/Y_b and s = 1/Y_b; rows A (r, s) <= b."""
    (xa, xb), (la, ua), (lb, ub) = panel, volume_a, volume_b
    rows, ends = [], []
    for row, end in (
        ((-1, max(la, xa)), 0),
        ((1, -ua) if np.isfinite(ua) else None, 0),
        ((0, max(lb, xb)), 1),
        ((0, -ub) if np.isfinite(ub) else None, -1),
        ((1, -total) if np.isfinite(total) else None, -1),
        # d_b >= lo d_a and d_b <= hi d_a, with d_a s = r / x_a - s and d_b s = 1 / x_b - s.
        ((odds[0] / xa, 1 - odds[0]), 1 / xb),
        ((-odds[1] / xa, odds[1] - 1) if np.isfinite(odds[1]) else None, -1 / xb),
    ):
        if row is not None:
            rows.append(row)
            ends.append(end)
    out = []
    for sign in (1, -1):
        found = linprog(
            [sign, 0], A_ub=np.array(rows), b_ub=ends, bounds=[(0, None)] * 2, method="highs"
        )
        if found.status == 2:
            return None
        out.append(np.inf if found.status == 3 else sign * found.fun)
    with np.errstate(divide="ignore"):
        return np.log(out)


volumes = st.floats(0.5, 50)
factors = st.floats(1, 60)


# Derandomized: at the edge of feasibility the program's own tolerance decides.
@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    xa=volumes,
    xb=volumes,
    fa=st.tuples(st.floats(0.2, 40), factors),
    fb=st.tuples(st.floats(0.2, 40), factors),
    slack=st.one_of(st.just(np.inf), st.floats(1.01, 5)),
    better=st.sampled_from([None, "a", "b"]),
    gamma=st.floats(1.001, 100),
)
def test_gamma_row_is_that_of_the_linear_program(xa, xb, fa, fb, slack, better, gamma):
    volume_a, volume_b = (xa * fa[0], xa * fa[0] * fa[1]), (xb * fb[0], xb * fb[0] * fb[1])
    least = max(volume_a[0], xa) + max(volume_b[0], xb)
    total = least * slack
    odds = {None: (1 / gamma, gamma), "a": (1.0, gamma), "b": (1 / gamma, 1.0)}[better]
    expected = None
    if volume_a[1] >= xa and volume_b[1] >= xb:
        expected = by_program((xa, xb), volume_a, volume_b, total, odds)
    asked = {
        "volume_a": volume_a,
        "volume_b": volume_b,
        "total": total,
        "better_covered": better,
        "gamma": gamma,
    }
    if expected is None:
        # Either the ranges lie below the panel, or they refute the assumption.
        with pytest.raises(InfeasibleMargins):
            nested_bounds((xa, xb), **asked)
        return
    found = nested_bounds((xa, xb), **asked)
    np.testing.assert_allclose([found.low[-1], found.high[-1]], expected, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(
    xa=volumes,
    xb=volumes,
    ua=st.one_of(st.just(np.inf), st.floats(60, 4000)),
    ub=st.one_of(st.just(np.inf), st.floats(60, 4000)),
    total=st.one_of(st.just(np.inf), st.floats(120, 9000)),
    better=st.sampled_from([None, "a", "b"]),
    gammas=st.tuples(st.floats(1, 50), st.floats(1, 50)),
)
def test_every_assumption_lies_inside_the_weaker_one(xa, xb, ua, ub, total, better, gammas):
    tight, loose = sorted(gammas)
    found = [
        nested_bounds(
            (xa, xb),
            volume_a=(0.0, ua),
            volume_b=(0.0, ub),
            total=total,
            better_covered=better,
            gamma=gamma,
        )
        for gamma in (tight, loose)
    ]
    for rows in found:
        assert (rows.low[1:] >= rows.low[:-1] - EXACT).all()
        assert (rows.high[1:] <= rows.high[:-1] + EXACT).all()
        assert (rows.low <= np.log(xa / xb) + EXACT).all()
        assert (rows.high >= np.log(xa / xb) - EXACT).all()
        assert (rows.share_low <= rows.share_high).all()
    assert found[0].low[-1] >= found[1].low[-1] - EXACT
    assert found[0].high[-1] <= found[1].high[-1] + EXACT


def test_known_total_gives_manskis_worst_case():
    rows = nested_bounds((19.0, 14.0), total=330.0)
    share, f = 19 / 33, 33 / 330
    assert rows.share_low[1] == pytest.approx(f * share, rel=1e-12)
    assert rows.share_high[1] == pytest.approx(f * share + 1 - f, rel=1e-12)


def test_the_panel_alone_decides_nothing():
    rows = nested_bounds((19.0, 14.0))
    assert rows.low.tolist() == [-np.inf] * 2
    assert rows.high.tolist() == [np.inf] * 2
    assert rows.decided == ("open", "open")


def test_monotone_selection_bounds_one_side_and_its_mirror_image():
    one = nested_bounds((19.0, 14.0), total=660.0, better_covered="a", gamma=5.0)
    two = nested_bounds((14.0, 19.0), total=660.0, better_covered="b", gamma=5.0)
    np.testing.assert_allclose(one.low, -two.high, rtol=1e-12)
    np.testing.assert_allclose(one.high, -two.low, rtol=1e-12)
    assert one.high[2] == pytest.approx(np.log(19 / 14), rel=1e-12)
    # As coverage tends to nothing, the odds ratio becomes the coverage ratio.
    open_end = nested_bounds((19.0, 14.0), better_covered="a", gamma=5.0)
    assert open_end.low[-1] == pytest.approx(np.log(19 / 14) - np.log(5), rel=1e-12)


def test_point_row_and_equal_coverage():
    rows = nested_bounds((19.0, 14.0), better_covered="a", gamma=5.0, coverage_ratio=1.0)
    assert rows.share_low[-1] == pytest.approx(19 / 33, rel=1e-12)
    assert rows.decided[-1] == "a"
    assert nested_bounds((19.0, 14.0), gamma=1.0).high[-1] == pytest.approx(np.log(19 / 14))
    with pytest.raises(InfeasibleMargins, match="coverage_ratio"):
        nested_bounds((19.0, 14.0), better_covered="a", gamma=5.0, coverage_ratio=0.9)


def test_disclosures_can_decide_and_can_refute():
    rows = nested_bounds((19.0, 14.0), volume_a=(19.0, 90.0), volume_b=(150.0, 600.0))
    assert rows.decided == ("b", "b")
    with pytest.raises(InfeasibleMargins, match="refute"):
        nested_bounds(
            (19.0, 14.0), volume_a=(300.0, 900.0), volume_b=(14.0, 20.0), better_covered="a"
        )


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (InvalidValue, {"volume_a": (5.0, 4.0)}),
        (InvalidValue, {"volume_b": (-1.0, 4.0)}),
        (InvalidValue, {"gamma": 0.5}),
        (InvalidValue, {"gamma": np.nan}),
        (InvalidValue, {"coverage_ratio": 0.0}),
        (UsageError, {"better_covered": "china"}),
        (InfeasibleMargins, {"total": 20.0}),
        (InfeasibleMargins, {"volume_a": (1.0, 10.0)}),
    ],
)
def test_wrong_input_is_refused(error, options):
    with pytest.raises(error):
        nested_bounds((19.0, 14.0), **options)


def test_panel_must_be_positive():
    with pytest.raises(InvalidValue, match="panel"):
        nested_bounds((0.0, 14.0))


def test_ends_of_the_ratio_are_attained_together():
    # Daily tails of three classes under the 50th model's cap: maximise and minimise X_a / X_b by
    # a linear-fractional program (Charnes-Cooper) and compare with the marginal bounds.
    rng = np.random.default_rng(20260601)
    for _ in range(25):
        hidden = rng.integers(0, 6, size=(7, 3))
        hidden[:, 2] += 1
        cap = rng.uniform(1, 4, size=7)
        room = cap[:, None] * hidden
        tail = rng.uniform(0, 1, size=7) * room.sum(axis=1)
        named = rng.uniform(5, 50, size=2)
        low = np.maximum(0, tail[:, None] - (room.sum(axis=1, keepdims=True) - room)).sum(axis=0)
        high = np.minimum(tail[:, None], room).sum(axis=0)
        found = ratio_bounds(
            named[0], named[1], hidden_a=(low[0], high[0]), hidden_b=(low[1], high[1])
        )
        # Variables: 21 hidden volumes times s, and s = 1 / X_b.
        cost = np.concatenate([np.tile([1.0, 0.0, 0.0], 7), [named[0]]])
        equal = np.zeros((8, 22))
        for day in range(7):
            equal[day, 3 * day : 3 * day + 3], equal[day, -1] = 1.0, -tail[day]
        equal[7] = np.concatenate([np.tile([0.0, 1.0, 0.0], 7), [named[1]]])
        upper = np.hstack([np.eye(21), -room.reshape(-1, 1)])
        for end, sign in zip(found, (1, -1), strict=True):
            program = linprog(
                sign * cost,
                A_ub=upper,
                b_ub=np.zeros(21),
                A_eq=equal,
                b_eq=[0] * 7 + [1],
                bounds=(0, None),
            )
            assert float(end) == pytest.approx(sign * program.fun, rel=EXACT)


def test_ratio_bounds_over_weeks_and_an_empty_class():
    low, high = ratio_bounds([19.0, 1.0], [14.0, 0.0], hidden_a=(0, [3, 1]), hidden_b=(0, [3, 1]))
    assert low.tolist() == [19 / 17, 1.0]
    assert high.tolist() == [22 / 14, np.inf]
    with pytest.raises(InvalidValue, match="hidden_a"):
        ratio_bounds(1.0, 1.0, hidden_a=(2.0, 1.0), hidden_b=(0.0, 0.0))
    with pytest.raises(InvalidValue, match="named_b"):
        ratio_bounds(1.0, -1.0, hidden_a=(0.0, 1.0), hidden_b=(0.0, 0.0))


@given(
    cells=st.lists(st.floats(0.01, 10), min_size=4, max_size=4),
)
def test_aggregation_bounds_hold_the_truth_of_every_two_by_two_table(cells):
    table = np.array(cells).reshape(2, 2) / sum(cells)
    low, high = aggregation_bounds(table[0].sum(), table[:, 0].sum())
    truth = table[0, 0] / table[:, 0].sum()
    assert low - 1e-12 <= truth <= high + 1e-12


@pytest.mark.parametrize(("share", "part"), [(1.2, 0.5), (0.5, 0.0), (0.5, 1.5), (-0.1, 0.5)])
def test_aggregation_bounds_refuse_what_is_no_share(share, part):
    with pytest.raises(InvalidValue):
        aggregation_bounds(share, part)
