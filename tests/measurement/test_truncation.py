"""Tail: water-filling, sharp bounds against linear programming, completion."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from offroute.data.snapshot import load_daily, load_models, load_roster, load_usage
from offroute.exceptions import InvalidValue, NotIdentified, UnknownModel, UnknownPartition
from offroute.measurement.truncation import (
    complete_other,
    hidden_bounds,
    tail_weights,
    water_fill,
)

# Sums of floats of the size of a week's tokens.
EXACT = 1e-12


@pytest.fixture(scope="module")
def data():
    return load_usage(), load_models(), load_daily(), load_roster()


def fill(total, weights, low, high):
    arrays = (np.asarray(x, dtype=float) for x in (weights, low, high))
    weights, low, high = arrays
    return water_fill(total, weights=weights, low=low, high=high)


@pytest.mark.parametrize(
    ("total", "weights", "low", "high", "expected"),
    [
        (10, [1, 4], [0, 0], [10, 10], [2, 8]),
        (10, [3, 1, 1], [0, 0, 0], [4, 9, 9], [4, 3, 3]),
        (10, [1, 4], [5, 0], [10, 10], [5, 5]),
        (0, [1, 1], [0, 0], [5, 5], [0, 0]),
        (10, [1, 0, 0], [0, 0, 0], [4, 8, 4], [4, 4, 2]),
        (7, [1, 1], [0, 0], [3, 4], [3, 4]),
        (3, [1, 1], [1, 2], [3, 4], [1, 2]),
        (5, [0, 0], [0, 1], [4, 5], [2, 3]),
    ],
)
def test_water_fill_closed_forms(total, weights, low, high, expected):
    np.testing.assert_allclose(fill(total, weights, low, high), expected, atol=1e-12)


def test_water_fill_meets_the_optimality_conditions():
    # Kullback-Leibler to the weights is convex: one common multiplier of the weights inside the
    # bounds, at least as large at the lower and at most as large at the upper ones, is the optimum.
    rng = np.random.default_rng(7)
    met = {"low": 0, "high": 0}
    for _ in range(200):
        weights = rng.gamma(1.0, size=5) + 0.05
        low = rng.uniform(0, 0.5, size=5)
        high = low + rng.uniform(0.2, 2.0, size=5)
        total = rng.uniform(low.sum(), high.sum())
        got = fill(total, weights, low, high)
        assert got.sum() == pytest.approx(total, rel=1e-12)
        assert ((low <= got) & (got <= high)).all()
        level = got / weights
        at_low, at_high = got <= low + 1e-12, got >= high - 1e-12
        inside = level[~at_low & ~at_high]
        if len(inside):
            np.testing.assert_allclose(inside, inside[0], rtol=1e-9)
            assert (level[at_low] >= inside[0] - 1e-9).all()
            assert (level[at_high] <= inside[0] + 1e-9).all()
        met["low"] += at_low.any()
        met["high"] += at_high.any()
    assert min(met.values()) > 0


@pytest.mark.parametrize(
    ("total", "low", "high"), [(11, [0, 0], [5, 5]), (1, [1, 1], [5, 5]), (4, [3, 0], [2, 9])]
)
def test_water_fill_refuses_bounds_that_cannot_hold(total, low, high):
    with pytest.raises(NotIdentified, match="tail"):
        fill(total, [1, 1], low, high)


def toy(tail):
    """Two listed models and a tail on the seven days of one week; catalogue of 2 + 3 models."""
    days = pd.date_range("2026-06-01", periods=7)
    rows = [
        {"date": day, "model": model, "tokens": tokens}
        for day, unnamed in zip(days, tail, strict=True)
        for model, tokens in (("openai/a", 90), ("deepseek/b", 10), ("other", unnamed))
    ]
    register = pd.DataFrame(
        {
            "model": ["openai/a", "deepseek/b", "other"],
            "lab": ["OpenAI", "DeepSeek", "Other"],
            "origin": ["US", "China", "Unidentified"],
        }
    )
    ids = ["openai/a", "openai/c", "deepseek/b", "deepseek/d", "deepseek/e", "deepseek/f"]
    roster = pd.DataFrame(
        {
            "model": ids,
            "lab": ["OpenAI"] * 2 + ["DeepSeek"] * 4,
            "origin": ["US"] * 2 + ["China"] * 4,
            "first": days[0],
            "last": days[-1],
        }
    )
    return pd.DataFrame(rows), roster, register


def test_bounds_are_those_of_the_linear_programs():
    tail = [5, 12, 25, 31, 38, 40, 0]
    daily, roster, register = toy(tail)
    bounds = hidden_bounds(daily, roster, register, by="origin").set_index("class")
    # Hidden: 1 US model and 3 Chinese ones, each with at most 10 tokens a day.
    for label, members in (("US", [0]), ("China", [1, 2, 3])):
        low = high = 0.0
        for unnamed in tail:
            weight = np.zeros(4)
            weight[members] = 1.0
            ask = {"A_eq": np.ones((1, 4)), "b_eq": [unnamed], "bounds": [(0, 10)] * 4}
            low += linprog(weight, **ask).fun
            high -= linprog(-weight, **ask).fun
        assert bounds.loc[label, "low"] == pytest.approx(low, abs=1e-9)
        assert bounds.loc[label, "high"] == pytest.approx(high, abs=1e-9)
    # Two classes share the tail, so the extremes are attained together.
    assert bounds.loc["US", "low"] + bounds.loc["China", "high"] == sum(tail)
    assert bounds["unnamed"].tolist() == [sum(tail)] * 2


def test_a_tail_that_the_catalogue_cannot_hold_is_refused():
    with pytest.raises(NotIdentified, match="1 days"):
        hidden_bounds(*toy([0, 0, 0, 41, 0, 0, 0]), by="origin")


def test_a_week_with_a_missing_day_gets_no_bounds():
    daily, roster, register = toy([1] * 7)
    assert hidden_bounds(daily[daily["date"] > "2026-06-01"], roster, register, by="lab").empty


@pytest.mark.parametrize("by", ["group", "origin", "lab", "author", "weights"])
def test_real_bounds_hold_the_tail(data, by):
    _, models, daily, roster = data
    bounds = hidden_bounds(daily, roster, models, by=by)
    weeks = bounds.groupby("week_start")
    assert len(weeks) == 12
    assert (bounds["low"] <= bounds["high"]).all()
    assert (bounds["high"] <= bounds["unnamed"]).all()
    assert (weeks["low"].sum() <= weeks["unnamed"].first()).all()
    assert (weeks["high"].sum() >= weeks["unnamed"].first()).all()


def test_bounds_do_not_depend_on_the_order_of_rows(data):
    _, models, daily, roster = data
    shuffled = (frame.sample(frac=1, random_state=5) for frame in (daily, roster, models))
    pd.testing.assert_frame_equal(
        hidden_bounds(daily, roster, models, by="lab"), hidden_bounds(*shuffled, by="lab")
    )


def test_bounds_need_a_column_that_the_catalogue_has(data):
    _, models, daily, roster = data
    with pytest.raises(NotIdentified, match="tier"):
        hidden_bounds(daily, roster, models, by="tier")
    with pytest.raises(UnknownPartition):
        hidden_bounds(daily, roster, models, by="continent")


def test_bounds_refuse_a_model_without_register_row(data):
    _, models, daily, roster = data
    with pytest.raises(UnknownModel):
        hidden_bounds(daily, roster, models[models["lab"] != "OpenAI"])


def test_tail_weights_add_up_and_are_carried_to_weeks_by_lab(data):
    usage, models, _, _ = data
    weights = tail_weights(usage, models, by=["lab"]).set_index(["week_start", "lab"])["weight"]
    np.testing.assert_allclose(weights.groupby(level=0).sum(), 1.0, atol=EXACT)
    first, last = weights.loc["2026-09-14"], weights.loc["2026-10-05"]
    pd.testing.assert_series_equal(first, last)


def test_tail_weights_are_the_low_ranks():
    usage = pd.DataFrame(
        {
            "week_start": pd.Timestamp("2026-06-01"),
            "basis": "model",
            "model": ["a/1", "b/2", "c/3", "other"],
            "tokens": [50, 3, 1, 9],
        }
    )
    models = pd.DataFrame({"model": ["a/1", "b/2", "c/3"], "lab": ["A", "B", "C"]})
    weights = tail_weights(usage, models, by=["lab"], top=1).set_index("lab")["weight"]
    assert weights.to_dict() == {"B": 0.75, "C": 0.25}


def test_a_week_without_low_ranks_is_refused(data):
    usage, models, _, _ = data
    with pytest.raises(NotIdentified, match="below rank 10000"):
        tail_weights(usage, models, by=["lab"], top=10_000)
    late = usage[usage["basis"] == "lab"]
    with pytest.raises(NotIdentified, match="4 weeks"):
        complete_other(late, models)


@pytest.mark.parametrize(
    "by", ["group", "origin", "lab", "tier", ("lab", "tier"), ("group", "lab")]
)
@pytest.mark.parametrize("sharp", [False, True])
def test_completion_keeps_every_weeks_total(data, by, sharp):
    usage, models, daily, roster = data
    first = by if isinstance(by, str) else by[0]
    if sharp and first == "tier":
        first = "group"
        by = ("group", "tier")
    hidden = hidden_bounds(daily, roster, models, by=first) if sharp else None
    done = complete_other(usage, models, by=by, hidden=hidden)
    weeks = usage.groupby("week_start")["tokens"].sum()
    np.testing.assert_allclose(done.groupby("week_start")["tokens"].sum(), weeks, rtol=EXACT)
    named = usage[usage["model"] != "other"].groupby("week_start")["tokens"].sum()
    np.testing.assert_allclose(done.groupby("week_start")["named"].sum(), named, rtol=EXACT)
    assert (done["hidden"] >= 0).all()
    assert "Other" not in set(done[first])
    if sharp:
        filled = done.groupby(["week_start", first])["hidden"].sum()
        limits = hidden.set_index(["week_start", "class"])
        both = limits.join(filled.rename_axis(["week_start", "class"])).fillna({"hidden": 0.0})
        # Bounds scale with the restatement of the tail, at most .04 %.
        assert (both["hidden"] <= both["high"] * 1.001 + 1).all()
        assert (both["hidden"] >= both["low"] * 0.999 - 1).all()


def test_completion_does_not_depend_on_the_order_of_rows(data):
    usage, models, _, _ = data
    one = complete_other(usage, models, by=("lab", "tier"))
    two = complete_other(usage.sample(frac=1, random_state=2), models, by=("lab", "tier"))
    pd.testing.assert_frame_equal(one, two, rtol=EXACT)


def test_a_class_that_only_its_bounds_fill_gets_an_unclassified_cell():
    week = pd.Timestamp("2026-06-01")
    labs = ["A"] * 26
    usage = pd.DataFrame(
        {
            "week_start": week,
            "days": 7,
            "basis": "model",
            "model": [f"a/{i}" for i in range(26)] + ["other"],
            "tokens": [10] * 26 + [8],
        }
    )
    models = pd.DataFrame(
        {
            "model": usage["model"],
            "lab": [*labs, "Other"],
            "origin": "US",
            "tier": "mid",
        }
    )
    hidden = pd.DataFrame(
        {"week_start": week, "class": ["A", "B"], "low": 0, "high": [5, 8], "unnamed": 8}
    )
    done = complete_other(usage, models, by=("lab", "tier"), hidden=hidden)
    cells = done.set_index(["lab", "tier"])["hidden"].to_dict()
    assert cells == {("A", "mid"): 5.0, ("B", "unclassified"): 3.0}


def test_completion_needs_a_partition(data):
    usage, models, _, _ = data
    with pytest.raises(InvalidValue):
        complete_other(usage, models, by=())
    with pytest.raises(UnknownPartition):
        complete_other(usage, models, by="continent")
