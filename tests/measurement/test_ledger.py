"""Ledger rows as benchmarks: units, sides, reasons, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from offroute.data.snapshot import load_crosswalk, load_ledger
from offroute.exceptions import (
    BenchmarkBelowPanel,
    InvalidValue,
    UnknownLab,
    UnknownPopulation,
    UsageError,
)
from offroute.inference.pipeline import load_market
from offroute.measurement.conversion import conversion_steps, find_row
from offroute.measurement.ledger import (
    build_benchmarks,
    log_volume,
    nearest_week,
    select_cells,
    take,
)
from offroute.measurement.populations import POPULATIONS, population
from offroute.measurement.units import dollars_per_week, tokens_per_week

ROUNDING = 0.05  # "more than v" stands for a figure 5 % above v


@pytest.fixture(scope="module")
def world():
    return load_market(), load_ledger(), load_crosswalk()


def build(world, name="world-external-api", ledger=None):
    market, full, crosswalk = world
    rows = full if ledger is None else ledger
    return build_benchmarks(rows, crosswalk, market, population=name)


def changed(ledger, row_id, **columns):
    out = ledger.copy()
    for column, value in columns.items():
        out.loc[out["id"] == row_id, column] = value
    return out


@pytest.mark.parametrize(
    ("value", "unit", "trillions"),
    [
        # design.md section 8, case 8.
        (6, "B tokens/minute", 60.48),
        (15, "B tokens/min", 151.2),
        (16, "B tokens/minute", 161.28),
        (1, "T/day", 7.0),
        (3, "T tokens/week", 3.0),
        (3, "T/wk (mean of H2)", 3.0),
        (365.25, "T tokens/month", 84.0),
        (365.25, "T tokens/quarter", 28.0),
        (365.25, "T tokens/year (floor)", 7.0),
        (365.25, "T (half-year total)", 14.0),
        (365.25, "T (full-year total)", 7.0),
        (1e12, "tokens/week", 1.0),
        (1e9, "k tokens/week", 1.0),
    ],
)
def test_tokens_per_week(value, unit, trillions):
    assert tokens_per_week(value, unit) / 1e12 == pytest.approx(trillions, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "unit", "millions"),
    [
        (365.25, "USD m ARR", 7.0),
        (365.25, "M USD", 7.0),
        (0.36525, "B USD run-rate", 7.0),
        (0.36525, "USD bn ARR", 7.0),
        (0.36525 * 7.1, "RMB bn (about $430m)", 7.0),
        (0.36525, "B USD, quarter", 28.0),
        (365.25e6, "USD", 7.0),
        (365.25, "USD m ARR combined (A ~1000, B ~800)", 7.0),
    ],
)
def test_dollars_per_week(value, unit, millions):
    assert dollars_per_week(value, unit) / 1e6 == pytest.approx(millions, rel=1e-12)


@pytest.mark.parametrize("unit", ["T tokens", "Q tokens/month", "requests/day", "", "% of tokens"])
def test_a_unit_that_is_no_rate_of_tokens_is_refused(unit):
    with pytest.raises(InvalidValue, match="rate of tokens"):
        tokens_per_week(1.0, unit)


@pytest.mark.parametrize("unit", ["EUR m", "T/day", "", "% of spend"])
def test_a_unit_that_is_no_money_is_refused(unit):
    with pytest.raises(InvalidValue, match="amount of money"):
        dollars_per_week(1.0, unit)


@pytest.mark.parametrize("name", POPULATIONS)
def test_every_row_is_a_benchmark_or_has_a_reason(world, name):
    b = build(world, name)
    assert len(b) + len(b.left_out) == len(world[1])
    assert not set(b.ids) & set(b.left_out["id"])
    assert set(b.ids) | set(b.left_out["id"]) == set(world[1]["id"])
    assert b.left_out["reason"].str.len().gt(5).all()
    assert np.isfinite(b.y).all()
    assert np.isfinite(b.off).all()
    assert (b.s > 0).all()
    assert (b.w.sum(axis=1) > 0).all()


def test_an_unknown_population_is_refused(world):
    with pytest.raises(UnknownPopulation, match="us-enterprise"):
        build(world, "mars")
    assert population("us-enterprise").name == "us-enterprise"


def test_more_than_is_five_per_cent_above_and_bounds_are_one_sided(world):
    _, ledger, crosswalk = world
    b = build(world)
    row = ledger.set_index("id").loc
    factor = crosswalk[crosswalk["population"] == b.population].set_index("scope_class")["factor"]
    for row_id, side in (("O-T01", 0), ("A-R02", 0), ("O-T02", 1), ("O-T05", -1)):
        i = b.ids.index(row_id)
        over = ROUNDING if row[row_id]["side"] == "over" else 0.0
        assert b.off[i] == pytest.approx(np.log(factor[row[row_id]["scope_class"]]) - over)
        assert b.side[i] == side
    assert np.exp(b.y[b.ids.index("O-T01")]) == pytest.approx(60.48e12)
    # A bound takes the figure of its own side.
    assert np.exp(b.y[b.ids.index("O-T02")]) == pytest.approx(60.48e12)
    assert np.exp(b.y[b.ids.index("O-T05")]) == pytest.approx(35e12)


def test_a_floor_of_the_crosswalk_makes_the_row_a_floor(world):
    b = build(world, "world-all-uses")
    assert b.side[b.ids.index("idc_2025H1_total")] == 1


def test_money_rows_weigh_by_price_and_token_rows_by_one(world):
    market = world[0]
    b = build(world)
    i, j = b.ids.index("A-R08"), b.ids.index("O-T01")
    cells = np.array(market.labs) == "Anthropic"
    np.testing.assert_allclose(b.w[i], cells * market.price[b.week[i]])
    assert set(b.w[j]) == {0.0, 1.0}
    assert b.origin[i] == b.origin[j] == 1
    assert b.origin[b.ids.index("zai_2025-06")] == -1
    assert b.origin[b.ids.index("X-T11")] == 0


def test_prices_over_tiers_add_up_harmonically():
    # design.md section 8, case 4: 10 bn USD, half at 10 and half at 1 USD per million tokens.
    price, spend = np.array([10.0, 1.0]) / 1e6, 10e9 * np.array([0.5, 0.5])
    tokens = spend / price
    assert tokens.sum() == pytest.approx(5.5e15)
    # The benchmark's w D is the revenue, whatever the split: never revenue over a mean price.
    assert price @ tokens == pytest.approx(10e9)
    assert 10e9 / price.mean() == pytest.approx(1.818182e15, rel=1e-6)


def test_rows_far_from_any_week_are_left_out_with_the_reason(world):
    market, ledger, _ = world
    late = changed(ledger, "O-T01", measured_on=pd.Timestamp("2027-06-01"))
    b = build(world, ledger=late)
    reason = b.left_out.set_index("id").loc["O-T01", "reason"]
    assert "week" in reason
    assert nearest_week(market, pd.NaT) == (-1, 10**6)
    first = pd.Timestamp(market.weeks[0])
    assert nearest_week(market, first + pd.Timedelta(days=6)) == (0, 0)
    assert nearest_week(market, first - pd.Timedelta(days=10)) == (0, 10)
    close = changed(ledger, "A-R02", measured_on=first - pd.Timedelta(days=10))
    assert "A-R02" in build(world, ledger=close).ids
    far = changed(ledger, "A-R02", measured_on=first - pd.Timedelta(days=11))
    assert "A-R02" not in build(world, ledger=far).ids


def test_a_lone_share_says_nothing(world):
    _, ledger, _ = world
    table = ledger["family"] == "share:Menlo-2025H1"
    lone = ledger.copy()
    lone.loc[table & (ledger["id"] != "S-02"), "use"] = "context"
    b = build(world, ledger=lone)
    assert "S-02" not in b.ids
    assert "lone share" in b.left_out.set_index("id").loc["S-02", "reason"]


def test_a_benchmark_far_below_the_panel_is_refused(world):
    with pytest.raises(BenchmarkBelowPanel, match="O-T01"):
        build(world, ledger=changed(world[1], "O-T01", value=1e-4))
    # A little below is a conflict, which the synthesis has to show.
    market = world[0]
    b = build(world)
    i = b.ids.index("O-T01")
    inside = b.iota[i] * (b.w[i] * market.X[b.week[i]]).sum()
    value = 0.8 * inside * np.exp(b.off[i]) / tokens_per_week(1.0, "B tokens/minute")
    low = build(world, ledger=changed(world[1], "O-T01", value=value))
    assert "O-T01" in low.ids


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_figure_that_is_not_positive_is_refused(world, value):
    with pytest.raises(InvalidValue, match="O-T01"):
        build(world, ledger=changed(world[1], "O-T01", value=value))


def test_a_row_without_any_figure_is_refused(world):
    empty = changed(world[1], "O-T01", value=np.nan, low=np.nan, high=np.nan)
    with pytest.raises(InvalidValue, match="O-T01"):
        build(world, ledger=empty)


def test_a_bad_unit_is_refused_where_the_row_is_used(world):
    with pytest.raises(InvalidValue, match="rate of tokens"):
        build(world, ledger=changed(world[1], "O-T01", unit="furlongs"))


def test_selectors(world):
    market = world[0]
    labs = np.array(market.labs)
    np.testing.assert_array_equal(select_cells(market, "origin:China"), market.is_china)
    np.testing.assert_array_equal(select_cells(market, "lab:DeepSeek"), labs == "DeepSeek")
    both = select_cells(market, "lab:OpenAI weights:closed")
    assert both.any()
    assert not (both & select_cells(market, "weights:open")).any()
    assert select_cells(market, "group:US-closed").sum() == market.groups.count("US closed")
    for bad in ("lab:Nobody", "colour:blue", "lab"):
        with pytest.raises(UnknownLab):
            select_cells(market, bad)
    with pytest.raises(UnknownLab):
        build(world, ledger=changed(world[1], "O-T01", selector="lab:Nobody"))


def test_take_keeps_rows_in_the_order_asked_for(world):
    b = build(world)
    part = take(b, np.array([5, 2]))
    assert part.ids == (b.ids[5], b.ids[2])
    np.testing.assert_array_equal(part.y, b.y[[5, 2]])
    assert part.families == b.families
    assert len(take(b, np.zeros(0, dtype=np.int64))) == 0


def test_a_share_is_a_fraction(world):
    row = find_row(world[1], "S-02")
    assert np.exp(log_volume(row)) == pytest.approx(0.32)


def test_conversion_of_a_row_step_by_step(world):
    market, ledger, crosswalk = world
    names = {}
    for row_id in ("O-T01", "A-R08", "S-02", "O-T02"):
        steps = conversion_steps(find_row(ledger, row_id), crosswalk, market)
        names[row_id] = dict(steps)
    assert names["O-T01"]["per week"] == "60.48 T tokens"
    assert "effective price" in names["A-R08"]
    assert "only ratios speak" in names["S-02"]["per week"]
    assert names["O-T02"]["published"].startswith("6 B tokens/minute")
    context = ledger[ledger["use"] == "context"].iloc[0]
    assert conversion_steps(context, crosswalk, market)[-1] == (
        "not a benchmark",
        context["reason"],
    )
    with pytest.raises(UsageError, match="id of the ledger"):
        find_row(ledger, "no-such-row")
