"""Data defect and proxies of price against direct computation."""

import numpy as np
import pytest

from offroute.exceptions import UnknownPartition, UsageError
from offroute.inference.defect import defect_correlation, effective_size
from offroute.inference.panel_quality import price_proxy_bias, weekly_defect
from offroute.inference.paths import share_series
from offroute.inference.pipeline import correct, load_market
from offroute.inference.shares import share_table, volumes
from offroute.inference.trends import lead_weeks, trend_report
from offroute.measurement.market import week_index


@pytest.fixture(scope="module")
def market():
    return load_market()


@pytest.fixture(scope="module")
def posterior(market):
    return correct("outside-china-external-api", market=market, n_draws=500)


def test_weekly_defect_of_one_week_by_hand(posterior, market):
    table = weekly_defect(posterior)
    assert len(table) == len(market.weeks)
    i = week_index(market, "2026-06-01")
    v = volumes(posterior, i)
    sides = [(v.labels["origin"] == name).to_numpy() for name in ("China", "US")]
    Y = np.column_stack([v.Y[:, side].sum(axis=1) for side in sides])
    X = np.array([v.X[side].sum() for side in sides])
    f = X.sum() / Y.sum(axis=1)
    rho = defect_correlation(X[0] / X.sum(), Y[:, 0] / Y.sum(axis=1), f)
    row = table.iloc[i]
    assert row["ddc"] == pytest.approx(np.median(rho))
    assert row["n_eff_low"] <= row["n_eff"] <= row["n_eff_high"]
    assert row["n_eff"] == pytest.approx(np.median(effective_size(rho, f)), rel=0.02)
    # More than a trillion tokens a week are worth less than ten drawn at random.
    assert row["n_eff"] < 10


def test_price_explains_part_of_the_correction(posterior, market):
    i = week_index(market, "2026-06-01")
    v = volumes(posterior, i)
    table = price_proxy_bias(v, market.price[i])
    assert table["phi"].tolist() == [0.0, 0.5, 1.0]
    assert (np.diff(table["smub"]) > 0).all()
    # At phi = 0 SMUB is the regression estimator: slope times the difference of mean log prices.
    X, z = v.X[:-1], np.log(market.price[i])
    china = market.is_china.astype(float)
    w = X / X.sum()
    slope = (w @ (china * z) - (w @ china) * (w @ z)) / (w @ z**2 - (w @ z) ** 2)
    Y = v.Y[:, :-1]
    gap = w @ z - np.median(Y @ z / Y.sum(axis=1))
    assert table["smub_share"].iloc[0] == pytest.approx(slope * gap)
    assert table["posterior"].nunique() == 1


def test_trend_adds_up(posterior, market):
    base, week = (week_index(market, day) for day in ("2026-01-05", "2026-06-01"))
    report = trend_report(posterior, base=base, week=week)
    g = report.growth
    np.testing.assert_allclose(g.draws[:, 0, 2], g.draws[:, 0, 0] - g.draws[:, 0, 1], atol=1e-12)
    span = market.elapsed[week] - market.elapsed[base]
    assert np.quantile(g.draws[:, 0, 2], 0.5) * span == pytest.approx(report.change[1])
    at = list(report.weeks).index(market.weeks[week])
    X = market.X[[base, week]]
    panel = np.log(X[:, market.is_china].sum(axis=1) / X[:, market.is_us].sum(axis=1))
    assert report.drift.change[at] == pytest.approx(panel[1] - panel[0])
    assert report.drift.breakdown[at] == pytest.approx((panel[1] - panel[0]) / span)
    half = report.drift.high[at] - report.drift.change[at]
    assert half == pytest.approx(report.drift_bound * span)
    # The market's change reverses the panel's as often as the drift exceeds the breakdown value.
    undone = (g.draws[:, 0, 2] * (panel[1] - panel[0]) <= 0).mean()
    assert report.drift.probability[at] == pytest.approx(undone)
    assert (report.open_weights["low"] < report.open_panel).all()
    assert report.open_breakdown == pytest.approx(report.open_panel)
    row = report.break_even.iloc[week]
    v = volumes(posterior, week)
    us = v.Y[:, (v.labels["origin"] == "US").to_numpy()].sum(axis=1)
    assert row["break_even"] == pytest.approx(np.median(X[1, market.is_china].sum() / us))
    with pytest.raises(UsageError, match="since"):
        trend_report(posterior, base=week, week=base)


def test_leads_are_nested(posterior):
    found, closed = lead_weeks(posterior), lead_weeks(posterior, closed_only=True)
    assert found["a week at all"].never <= found["four weeks in a row"].never
    for name, over_all in found.items():
        assert closed[name].never <= over_all.never
        parts = over_all.left_censored + over_all.right_censored + over_all.never
        assert parts + over_all.probability.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("by", ["group", "lab"])
def test_share_series_holds_each_week_and_leaves_gaps(posterior, market, by):
    table = share_series(posterior, by=by)
    assert table["observed"].isna().groupby(table["class"]).sum().eq(2).all()
    i = week_index(market, "2026-06-01")
    v = volumes(posterior, i)
    without = v.labels[by] != "Stealth"
    one = type(v)(v.population, v.week, v.X[without], v.Y[:, without], v.labels[without], v.stale)
    exact = share_table(one, by=by).set_index("class")
    row = table[table["week_start"] == "2026-06-01"].set_index("class")
    for column in ("observed", "corrected", "low", "high"):
        np.testing.assert_allclose(row.loc[exact.index, column], exact[column], rtol=1e-9)
    seen = table.dropna()
    assert (seen["band_low"] <= seen["low"]).all()
    assert (seen["band_high"] >= seen["high"]).all()


def test_in_dollars_dear_models_weigh_more(posterior):
    shares = {
        q: share_series(posterior, by="weights", quantity=q).dropna().set_index("class")
        for q in ("tokens", "dollars")
    }
    shares = {q: table.loc["closed"] for q, table in shares.items()}
    assert (shares["dollars"]["corrected"].to_numpy() > shares["tokens"]["corrected"]).mean() > 0.9
    with pytest.raises(UsageError, match="quantity"):
        share_series(posterior, quantity="euros")
    with pytest.raises(UnknownPartition):
        share_series(posterior, by="colour")
