"""Functionals of corrected volumes against hand computations on known draws."""

from dataclasses import replace

import numpy as np
import pytest

from offroute.estimators.synthesis import synthesise
from offroute.exceptions import NotIdentified, UnknownPartition, UnknownWeek, UsageError
from offroute.inference.pipeline import correct, load_market
from offroute.inference.shares import contest, share_table, sum_classes, volumes


@pytest.fixture(scope="module")
def fit(toy):
    market = toy.market()
    return synthesise(market, toy.benchmarks(market, toy.rows), n_draws=600, rng=0)


@pytest.fixture(scope="module")
def known(fit):
    """Two draws of total volume: the panel twice, and with China once more."""
    v = volumes(fit, 3)
    china = (v.labels["origin"] == "China").to_numpy()
    return replace(v, Y=np.array([2 * v.X, v.X * (2 + 2 * china)]))


def test_volumes_hold_the_panel_and_stealth_apart(fit):
    v = volumes(fit, 3)
    market = fit.market
    np.testing.assert_array_equal(v.X, np.append(market.X[3], market.stealth[3]))
    np.testing.assert_array_equal(v.Y[:, -1], market.stealth[3])
    assert (v.Y[:, :-1] > v.X[:-1]).all()
    assert v.labels.iloc[-1].eq("Stealth").all()
    assert not v.extrapolated
    assert v.week == str(market.weeks[3])


def test_weeks_after_the_last_benchmark_are_extrapolation(fit, toy):
    market = toy.market(elapsed=(0, 1, 2, 4, 5, 9, 10))
    b = toy.benchmarks(market, [{**toy.rows[0], "week": 4}])
    late = synthesise(market, b, n_draws=400, rng=0)
    assert [volumes(late, t).extrapolated for t in (4, 5, 6)] == [False, False, True]
    assert volumes(late, 6).stale == pytest.approx(5.0)


@pytest.mark.parametrize("by", ["group", "origin", "weights", "lab", "tier"])
def test_classes_add_up_to_the_whole(fit, by):
    v = volumes(fit, 3)
    names, X, Y = sum_classes(v, by)
    assert X.sum() == pytest.approx(v.X.sum())
    np.testing.assert_allclose(Y.sum(axis=1), v.Y.sum(axis=1))
    assert (np.diff(X) <= 0).all()
    assert len(set(names)) == len(names)
    with pytest.raises(UnknownPartition):
        sum_classes(v, "colour")


def test_share_table_by_hand(known):
    table = share_table(known, by="origin", level=0.5).set_index("class")
    X = {g: known.X[(known.labels["origin"] == g).to_numpy()].sum() for g in table.index}
    whole = sum(X.values())
    shares = [X["China"] / whole, 4 * X["China"] / (2 * whole + 2 * X["China"])]
    row = table.loc["China"]
    assert row["observed"] == pytest.approx(shares[0])
    want = np.quantile(shares, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(row[["low", "corrected", "high"]].to_numpy(float), want)
    assert row["coverage"] == pytest.approx(0.375)
    assert table.loc["US", "coverage"] == pytest.approx(0.5)
    assert table["observed"].sum() == pytest.approx(1.0)


def test_a_class_without_any_token_is_left_out(fit):
    # The toy panel has no stealth in its first weeks.
    assert "Stealth" not in set(share_table(volumes(fit, 0))["class"])
    assert "Stealth" in set(share_table(volumes(fit, 3))["class"])


def test_contest_by_hand(known):
    c = contest(known, level=0.9)
    labels = known.labels
    cn = known.X[(labels["origin"] == "China").to_numpy()].sum()
    us = known.X[(labels["origin"] == "US").to_numpy()].sum()
    assert c.observed_ratio == pytest.approx(cn / us)
    assert c.ratio[1] == pytest.approx(1.5 * cn / us)
    assert c.undersampling[1] == pytest.approx(0.75)
    assert c.break_even[1] == pytest.approx(cn / (2 * us))
    leads = [2 * cn > 2 * us, 4 * cn > 2 * us]
    assert c.p_china_leads == pytest.approx(np.mean(leads))
    closed = known.X[(labels["group"] == "US closed").to_numpy()].sum()
    assert c.p_china_leads_closed == pytest.approx(np.mean([cn > closed, 2 * cn > closed]))


def test_china_leads_exactly_where_lambda_is_below_the_tipping_point(fit):
    v = volumes(fit, 3)
    _, _, Y = sum_classes(v, "origin")
    names = sum_classes(v, "origin")[0]
    ratio = Y[:, names.index("China")] / Y[:, names.index("US")]
    c = contest(v)
    np.testing.assert_array_equal(ratio > 1, c.observed_ratio / ratio < c.observed_ratio)
    assert c.undersampling[0] == pytest.approx(c.observed_ratio / c.ratio[2], rel=1e-2)


@pytest.mark.parametrize("level", [0.0, 1.0, 90, "0.9"])
def test_a_level_outside_zero_to_one_is_refused(fit, level):
    v = volumes(fit, 3)
    with pytest.raises(UsageError, match="level"):
        share_table(v, level=level)
    with pytest.raises(UsageError, match="level"):
        contest(v, level=level)


def test_a_population_without_evidence_is_not_identified():
    with pytest.raises(NotIdentified, match="us-startups"):
        correct("us-startups", market=load_market())


def test_an_unknown_week_is_refused_before_any_work():
    with pytest.raises(UnknownWeek):
        correct("world-external-api", weeks=("2031-01-06",), market=load_market())
