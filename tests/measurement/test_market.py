"""The panel by week and cell: totals, gaps, prices, anchor, units."""

import numpy as np
import pandas as pd
import pytest

from offroute.data.snapshot import load_composition, load_models, load_usage
from offroute.exceptions import UnknownWeek
from offroute.measurement.market import (
    GROUPS,
    TIERS,
    _ewm,
    build_market,
    latest_full_week,
    week_index,
)
from offroute.measurement.prices import effective_prices, fill_prices
from offroute.measurement.truncation import complete_other

EXACT = 1e-9


@pytest.fixture(scope="module")
def tables():
    return load_usage(), load_models(), load_composition()


@pytest.fixture(scope="module")
def market(tables):
    return build_market(*tables)


def test_totals_are_those_of_the_completed_panel(market, tables):
    whole = complete_other(*tables[:2], by=("group",))
    whole["rate"] = whole["tokens"] * 7 / whole["days"]
    by = whole.groupby(["week_start", "group"])["rate"].sum().unstack(fill_value=0.0)
    by_model = np.flatnonzero(market.by_model)
    for g in GROUPS:
        mine = market.X[:, np.array(market.groups) == g].sum(axis=1)
        np.testing.assert_allclose(mine[by_model], by[g].to_numpy()[by_model], rtol=EXACT)
    np.testing.assert_allclose(
        market.X.sum(axis=1) + market.stealth, by.sum(axis=1).to_numpy(), rtol=EXACT
    )


def test_weeks_are_mondays_and_gaps_stay_gaps(market, tables):
    weeks = pd.DatetimeIndex(market.weeks)
    assert (weeks.day_of_week == 0).all()
    assert set(weeks) == set(tables[0]["week_start"])
    steps = np.diff(market.elapsed)
    np.testing.assert_allclose(np.diff(market.weeks).astype(int) / 7, steps)
    assert steps.min() == 1


def test_units_are_contiguous_and_cells_unique(market):
    assert (np.diff(market.unit) >= 0).all()
    assert set(np.diff(market.unit)) <= {0, 1}
    cells = list(zip(market.labs, market.groups, market.tiers, strict=True))
    assert len(set(cells)) == len(cells)
    assert set(market.tiers) <= set(TIERS)
    for u in range(market.unit.max() + 1):
        k = np.flatnonzero(market.unit == u)
        assert len({market.labs[c] for c in k}) == 1
        assert len({market.groups[c].split(" ")[0] for c in k}) == 1
    np.testing.assert_array_equal(market.group_index, [GROUPS.index(g) for g in market.groups])
    assert (np.isfinite(market.price) & (market.price > 0)).all()
    assert (market.Xs > 0).all()
    assert "ByteDance" in market.labs


def test_the_anchor_is_the_week_asked_for(tables):
    market = build_market(*tables, anchor="2026-03-30")
    assert str(market.weeks[market.anchor]) == "2026-03-30"
    with pytest.raises(UnknownWeek, match="anchor"):
        build_market(*tables, anchor="2026-03-31")


def test_a_partial_week_is_scaled_to_seven_days(market, tables):
    usage, models, composition = tables
    short = usage.copy()
    day = pd.Timestamp("2026-05-18")
    rows = short["week_start"] == day
    whole = short.loc[rows, "days"].iloc[0]
    assert whole == 7
    short.loc[rows, "days"] = 5
    t = week_index(market, "2026-05-18")
    other = build_market(short, models, composition)
    np.testing.assert_allclose(other.X[t].sum(), market.X[t].sum() * 7 / 5, rtol=1e-3)


def test_effective_price_by_hand():
    models = pd.DataFrame(
        {
            "model": ["a", "b", "c", "a:free", "d"],
            "lab": ["L", "L", "M", "L", "M"],
            "weights": ["closed", "closed", "closed", "closed", "open"],
            "variant": ["", "", "", "free", ""],
            "prompt": [10.0, 2.0, 3.0, 10.0, np.nan],
            "completion": [50.0, 8.0, 15.0, 50.0, 1.0],
        }
    )
    composition = pd.DataFrame(
        {
            "model": ["a", "b"],
            "prompt": [900.0, 100.0],
            "completion": [200.0, 50.0],
            "cached": [450.0, 150.0],
        }
    )
    got = effective_prices(models, composition)
    # Lab L: completion share 250 / 1250 = .2, cached share 600 / 1000 = .6; lab M has no
    # composition of its own and takes that of closed models, which is the same here.
    want = {"a": 0.8 * (0.4 + 0.06) * 10 + 0.2 * 50, "b": 0.8 * 0.46 * 2 + 0.2 * 8}
    want["c"] = 0.8 * 0.46 * 3 + 0.2 * 15
    assert got.to_dict() == pytest.approx({k: v / 1e6 for k, v in want.items()}, rel=1e-12)


def test_price_gaps_take_the_nearest_week_then_the_register_the_unit_or_the_group():
    nan = np.nan
    price = np.array([[nan, 2.0, nan, 8.0], [1.0, 2.0, nan, 8.0], [nan, 2.0, nan, 8.0]])
    tokens = np.where(np.isnan(price), 0.0, 1.0)
    spend = np.nan_to_num(price)
    unit, group = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])
    got = fill_prices(spend, tokens, np.full(4, nan), [unit, group])
    np.testing.assert_allclose(got[:, 0], 1.0)
    # The unit's geometric mean of 1 and 2.
    np.testing.assert_allclose(got[:, 2], np.sqrt(2.0))
    lone = np.array([0, 0, 1, 2])
    none = np.full(4, nan)
    got = fill_prices(spend, tokens, none, [lone, group])
    np.testing.assert_allclose(got[:, 2], 16 ** (1 / 3))
    # A price of the register comes before both.
    register = np.log(np.array([5.0, 5.0, 3.0, 5.0]))
    got = fill_prices(spend, tokens, register, [lone, group])
    np.testing.assert_allclose(got, [[1, 2, 3, 8]] * 3)


def test_smoothing_respects_gaps():
    x = np.array([[4.0], [2.0], [8.0]])
    got = _ewm(x, np.array([0.0, 1.0, 4.0]), 1.0)
    # One week halves the past, three weeks leave an eighth of it.
    want = [4.0, (2 + 4 / 2) / 1.5, (8 + (2 + 4 / 2) / 8) / (1 + 1.5 / 8)]
    np.testing.assert_allclose(got[:, 0], want)


def test_week_index_and_its_errors(market):
    assert week_index(market, "2026-06-01") == week_index(market, "2026-06-07") == market.anchor
    for bad, match in (("June", "ISO date"), ("2031-01-01", "nearest week"), ("2025-13-01", "ISO")):
        with pytest.raises(UnknownWeek, match=match):
            week_index(market, bad)
    latest = latest_full_week(market)
    assert market.by_model[week_index(market, latest)]
    assert not market.by_model[week_index(market, latest) + 1 :].any()


def test_a_lab_off_the_panel_takes_the_median_lab_of_its_origin(tables):
    market = build_market(*tables, off_panel=(("Nobody", "China closed"),))
    labs = np.array(market.labs)
    peers = sorted(
        {
            lab
            for lab, china in zip(market.labs, market.is_china, strict=True)
            if china and lab not in ("Nobody", "Other labs")
        }
    )
    volumes = [market.Xs[:, (labs == lab) & market.is_china].sum(axis=1) for lab in peers]
    own = labs == "Nobody"
    np.testing.assert_allclose(market.Xs[:, own].sum(axis=1), np.median(volumes, axis=0))
    assert (market.X[:, own] == 0).all()
