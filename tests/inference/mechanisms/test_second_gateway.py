"""Two gateways as samples of one market: what is identified, what is refused, leads and lags."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from offroute.data.snapshot import load_gateway
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import InvalidValue, NotIdentified, UnknownWeek
from offroute.inference.lead_lag import lead_lag
from offroute.inference.mechanisms.counterfactual import panel_volumes
from offroute.inference.mechanisms.second_gateway import (
    add_gateway,
    check_against_gateway,
    panel_and_gateway,
    relative_selection,
    second_gateway,
)
from offroute.inference.pipeline import load_market
from offroute.inference.shares import volumes
from offroute.measurement.gateway import gateway_benchmarks, join_benchmarks

CELLS = [
    ("OpenAI", "US closed", "flagship", 0, 7.0, 4.0),
    ("Anthropic", "US closed", "flagship", 1, 5.0, 5.0),
    ("DeepSeek", "China open", "mid", 2, 6.0, 0.3),
    ("Alibaba", "China open", "mid", 3, 2.0, 0.5),
    ("Zhipu", "China open", "mid", 4, 2.0, 0.5),
]
LABS = [c[0] for c in CELLS]
ORIGIN = ["US", "US", "China", "China", "China"]
WEEK = "2026-02-02"


def gateway(market, selection, *, rng=None, noise=0.0, days=6, volume=None):
    """Days of a gateway that sees `selection` of each lab's volume."""
    at = int(np.flatnonzero(market.weeks == np.datetime64(WEEK))[0])
    whole = np.asarray(selection) * (market.X[at] if volume is None else volume)
    rng = np.random.default_rng(0) if rng is None else rng
    rows = []
    for day in pd.date_range("2026-01-20", periods=days, freq="5D"):
        seen = whole * np.exp(noise * rng.standard_normal(len(LABS)))
        for lab, origin, share in zip(LABS, ORIGIN, seen / seen.sum(), strict=True):
            rows.append((day, lab, origin, share))
    return pd.DataFrame(rows, columns=["date", "lab", "origin", "token_share"])


def fit_to(toy, y, **options):
    market = toy.market(CELLS)
    rows = [
        {"family": f"tokens:{lab}", "cells": [j], "week": market.anchor, "y": y[j]}
        for j, lab in enumerate(LABS)
    ]
    return synthesise(
        market, toy.benchmarks(market, rows), weeks=np.array([market.anchor]), rng=1, **options
    )


def test_the_difference_of_log_shares_is_the_relative_selection(toy):
    market = toy.market(CELLS)
    selection = np.array([1.0, 3.0, 2.0, 0.5, 1.0])
    table = relative_selection(market, gateway(market, selection), week=WEEK).set_index("lab")
    difference = table["difference"]
    assert difference["Anthropic"] - difference["OpenAI"] == pytest.approx(np.log(3.0))
    assert difference["DeepSeek"] - difference["Alibaba"] == pytest.approx(np.log(4.0))
    # Any market volume with the same relative selection looks the same: it is not identified.
    other = gateway(market, selection, volume=market.X[3] * 1.0)
    again = relative_selection(market, other, week=WEEK)["difference"]
    assert again.tolist() == pytest.approx(difference.tolist())
    # What differs between origins alone does not show within them.
    tilted = gateway(market, selection * np.array([9, 9, 1, 1, 1]))
    within = relative_selection(market, tilted, week=WEEK)["difference"]
    assert within.tolist() == pytest.approx(difference.tolist())


def test_the_interval_of_the_difference_holds_over_days(toy):
    market = toy.market(CELLS)
    rng = np.random.default_rng(1)
    held = []
    for _ in range(80):
        days = gateway(market, np.ones(5), rng=rng, noise=0.3)
        e = second_gateway(panel_volumes(market, WEEK), days)
        # Shares of noisy labs are not centred on the panel exactly: the mean of logs of sums is.
        held.append(e.estimate[0] < 0.0 < e.estimate[2])
    assert abs(np.mean(held) - 0.9) < 4 * np.sqrt(0.09 / 80)


def test_the_effect_runs_from_the_panel_to_the_gateway(toy):
    market = toy.market(CELLS)
    v = panel_volumes(market, WEEK)
    e = second_gateway(v, gateway(market, np.array([3.0, 3.0, 1.0, 1.0, 1.0]), noise=0.01))
    assert e.estimate[1] == pytest.approx(-np.log(3.0), abs=0.03)
    assert e.effect[0] == e.estimate[0]
    assert e.effect[2] == 0.0
    assert np.isnan(e.effect[1])
    assert e.strength == "bounds only"


def test_as_a_share_family_it_informs_within_an_origin_and_not_between(toy):
    market = toy.market(CELLS)
    v = np.log(market.Xs[market.anchor]) + 2.0
    # Only OpenAI and DeepSeek disclose; the gateway knows their peers.
    rows = [
        {"family": f"tokens:{LABS[j]}", "cells": [j], "week": market.anchor, "y": v[j], "s": 0.1}
        for j in (0, 2)
    ]
    alone = synthesise(
        market, toy.benchmarks(market, rows), weeks=np.array([market.anchor]), n_draws=1500, rng=1
    )
    truth = np.exp(v) * np.array([1.0, 4.0, 1.0, 3.0, 0.3]) + market.X[market.anchor]
    days = gateway(market, np.array([1.0, 1.0, 8.0, 8.0, 8.0]), volume=truth, noise=0.02)
    with_it = add_gateway(alone, days, week=WEEK, selection_sd=0.1, n_draws=1500)
    wide, narrow = (np.log(volumes(p, market.anchor).Y[:, :5]) for p in (alone, with_it))
    assert (narrow[:, [1, 3, 4]].std(axis=0) < 0.75 * wide[:, [1, 3, 4]].std(axis=0)).all()
    error = (narrow.mean(axis=0) - np.log(truth)) / narrow.std(axis=0)
    assert np.abs(error[[1, 3, 4]]).max() < 3
    # The eightfold selection of Chinese labs does not enter: DeepSeek stays where its figure is.
    assert abs(narrow[:, 2].mean() - np.log(truth[2])) < 0.3


def test_the_check_is_calibrated_and_sees_a_conflict(toy):
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(25):
        market = toy.market(CELLS)
        level = np.log(market.Xs[market.anchor]) + rng.normal(2.0, 0.3, 5)
        posterior = fit_to(toy, level + 0.2 * rng.standard_normal(5), n_draws=400)
        truth = np.exp(level) + market.X[market.anchor]
        selection = np.exp(0.6 * rng.standard_normal(5))
        days = gateway(market, selection, volume=truth, rng=rng, noise=0.05)
        p_values.append(check_against_gateway(posterior, days, week=WEEK).p_value)
    assert 0.25 < np.mean(p_values) < 0.75
    assert min(p_values) > 1e-3
    wild = gateway(market, np.array([1.0, 1.0, 1.0, 500.0, 1.0]), volume=truth)
    found = check_against_gateway(posterior, wild, week=WEEK)
    assert found.p_value < 1e-3
    assert found.df == 3
    assert found.table["gateway"].groupby(found.table["origin"]).sum().abs().max() < 1e-9


def test_rows_of_the_gateway_are_refused_where_they_say_nothing(toy):
    market = toy.market(CELLS)
    days = gateway(market, np.ones(5))
    b = gateway_benchmarks(days, market, WEEK, population="world-external-api")
    assert b.flat.all()
    with pytest.raises(InvalidValue, match="selection_sd"):
        gateway_benchmarks(days, market, WEEK, population="world-all-uses", selection_sd=0.0)
    with pytest.raises(NotIdentified, match="days"):
        relative_selection(market, days.assign(date=pd.Timestamp("2025-01-01")), week=WEEK)
    with pytest.raises(UnknownWeek):
        relative_selection(market, days, week="2020-01-01")
    one = days[days["lab"].isin(["OpenAI", "DeepSeek"])]
    with pytest.raises(NotIdentified, match="two labs"):
        gateway_benchmarks(one, market, WEEK, population="world-external-api")
    with pytest.raises(NotIdentified, match="two labs"):
        relative_selection(market, one, week=WEEK)
    with pytest.raises(InvalidValue, match="in common"):
        join_benchmarks(b, b)
    with pytest.raises(InvalidValue, match="one population"):
        join_benchmarks(b, replace(b, population="us-startups"))


@pytest.mark.parametrize("lag", [-2, 0, 3])
def test_the_set_of_lags_covers_a_known_lead(lag):
    rng = np.random.default_rng(3)
    covered, excluded = 0, 0
    for _ in range(40):
        n = 110
        walk = np.cumsum(rng.standard_normal(n + 20))
        t = np.arange(n, dtype=float)
        first = walk[10 : n + 10] + 0.2 * rng.standard_normal(n)
        s = t[12:-12:2]
        second = walk[(10 + s - lag).astype(int)] + 0.3 * rng.standard_normal(len(s))
        found = lead_lag((t, first), (s, second), max_lag=6, replicates=300, rng=rng)
        covered += lag in found.not_excluded
        excluded += len(found.not_excluded) < 6
    assert covered >= 40 * 0.9 - 4 * np.sqrt(40 * 0.09)
    assert excluded >= 32


def test_unrelated_series_have_a_uniform_p_value_and_few_excluded_lags():
    rng = np.random.default_rng(4)
    p_values = []
    for _ in range(100):
        t = np.arange(90.0)
        s = t[10:-10:2]
        walks = (np.cumsum(rng.standard_normal(len(x))) for x in (t, s))
        p_values.append(
            lead_lag((t, next(walks)), (s, next(walks)), replicates=50, rng=rng).p_value
        )
    assert abs(np.mean(p_values) - 0.5) < 4 * np.sqrt(1 / 12 / 100)
    assert np.mean(np.array(p_values) < 0.1) < 0.1 + 4 * np.sqrt(0.09 / 100)


def test_bad_series_are_refused():
    t = np.arange(50.0)
    with pytest.raises(InvalidValue, match="rise"):
        lead_lag((t[::-1], t), (t, t))
    with pytest.raises(NotIdentified, match="changes"):
        lead_lag((t, t), (t[:12], t[:12]))


def test_the_shipped_gateway_cannot_tell_who_leads():
    market, days = load_market(), load_gateway()
    found = panel_and_gateway(market, days)
    assert found.changes >= 20
    assert found.p_value > 0.1
    assert {-1, 0} <= set(found.not_excluded)
    table = relative_selection(market, days, week="2026-06-01").set_index("lab")
    # The gateway has more of DeepSeek among Chinese labs than the panel, beyond its daily noise.
    assert table.loc["DeepSeek", "low"] > 0
    e = second_gateway(panel_volumes(market, "2026-06-01"), days)
    assert e.estimate[2] < 0


def test_intervals_of_correlations_hold_under_autocorrelation():
    rng = np.random.default_rng(0)
    t, held = np.arange(100.0), []
    for _ in range(60):
        walks = []
        for _ in range(2):
            change = rng.standard_normal(100)
            for i in range(1, 100):
                change[i] += 0.5 * change[i - 1]
            walks.append(np.cumsum(change))
        found = lead_lag((t, walks[0]), (t[10:-10:2], walks[1][10:-10:2]), replicates=200, rng=1)
        held.append(float(((found.low <= 0) & (found.high >= 0)).mean()))
    # Lags of one pair are dependent: their mean has the spread over pairs.
    assert abs(np.mean(held) - 0.9) < 0.02 + 4 * np.std(held) / np.sqrt(60)


@pytest.mark.parametrize("wrong", [{"max_lag": -1}, {"block": 0}, {"replicates": 1}])
def test_counts_of_the_lead_are_checked(wrong):
    t = np.arange(60.0)
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        lead_lag((t, t), (t, t), **wrong)
