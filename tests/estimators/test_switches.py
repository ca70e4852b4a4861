"""Switches of the central model: all on, all off, and each alone."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from offroute.estimators.prior import NEUTRAL
from offroute.estimators.switches import EVIDENCE, MECHANISMS, SELECTION, switch, switch_prior
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import UsageError
from offroute.inference.mechanisms.counterfactual import china_over_us
from offroute.inference.pipeline import correct, load_market
from offroute.inference.shares import contest, share_table, sum_classes, volumes

WEEK = 3
#: The covariance of the coefficients gets 1e-8 on its diagonal before it is factorised.
JITTER = 1e-3


@pytest.fixture(scope="module")
def market(toy):
    return toy.market()


@pytest.fixture(scope="module")
def benchmarks(toy, market):
    return toy.benchmarks(market, toy.rows)


def fit(market, benchmarks, on, week=WEEK, n_draws=300, prior=NEUTRAL):
    model = switch(market, benchmarks, prior, on)
    return synthesise(
        model.market,
        model.benchmarks,
        prior=model.prior,
        weeks=np.array([week]),
        n_draws=n_draws,
        rng=0,
    )


def test_all_on_is_the_central_model(market, benchmarks):
    model = switch(market, benchmarks, NEUTRAL, MECHANISMS)
    assert model.prior is NEUTRAL
    np.testing.assert_array_equal(model.market.Xs, market.Xs)
    np.testing.assert_array_equal(model.benchmarks.off, benchmarks.off)


@pytest.mark.parametrize("week", [0, 3, 5])
def test_all_off_is_the_panel_in_every_week(market, benchmarks, week):
    """One coverage for all, at the same tokens of the week: the naive ratio exactly."""
    none = replace(benchmarks, s=np.full(len(benchmarks), 3.0))
    v = volumes(fit(market, none, [], week=week), week)
    naive = float(china_over_us(v, v.X))
    np.testing.assert_allclose(china_over_us(v, v.Y), naive, atol=1e-6)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_any_mechanism_but_one_gives_a_whole_market(market, benchmarks, mechanism):
    v = volumes(fit(market, benchmarks, set(MECHANISMS) - {mechanism}, n_draws=1000), WEEK)
    assert (v.Y >= v.X).all()
    share = v.Y / v.Y.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("size", range(len(SELECTION) + 1))
def test_any_subset_of_selection_gives_a_coherent_market(market, benchmarks, size):
    """All 64 sets that a split of the road refits; the empty one is the anchor week's panel."""
    for on in combinations(SELECTION, size):
        v = volumes(fit(market, benchmarks, {*EVIDENCE, *on}, market.anchor), market.anchor)
        assert np.isfinite(v.Y).all(), on
        assert (v.Y >= v.X).all(), on
        for by in ("origin", "lab", "tier"):
            Y = sum_classes(v, by)[2]
            share = Y / Y.sum(axis=1, keepdims=True)
            np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-12, err_msg=str(on))
            np.testing.assert_allclose(Y.sum(axis=1), v.Y.sum(axis=1), rtol=1e-12)
        moved = np.abs(china_over_us(v, v.Y) - china_over_us(v, v.X)).max()
        assert on or moved < JITTER
        # These three move the ratio in any market; the others move it only with them.
        assert moved > JITTER or not {"direct-purchase", "reverse-selection", "labs"} & {*on}, on


def test_the_road_from_panel_to_market_starts_at_the_panel(market, benchmarks):
    """In the anchor week, with time and error on and nothing else, the ratio is the panel's."""
    assert {*EVIDENCE, *SELECTION} == set(MECHANISMS)
    v = volumes(fit(market, benchmarks, EVIDENCE, week=market.anchor), market.anchor)
    np.testing.assert_allclose(china_over_us(v, v.Y), float(china_over_us(v, v.X)), atol=JITTER)


def test_a_mechanism_off_has_no_trace_in_the_draws(market, benchmarks):
    kept = set(MECHANISMS)
    equal = fit(market, benchmarks, kept - {"tiers"})
    np.testing.assert_allclose(equal.draws.xi, 0.0, atol=JITTER)
    still = fit(market, benchmarks, kept - {"drift"})
    np.testing.assert_allclose(still.draws.walk, 0.0, atol=JITTER)
    fixed = fit(market, benchmarks, kept - {"pass-through"})
    np.testing.assert_allclose(fixed.draws.beta, 1.0, atol=JITTER)


def test_selection_off_gives_one_off_platform_ratio(market, benchmarks):
    off = {"direct-purchase", "reverse-selection", "labs", "tiers"}
    v = volumes(fit(market, benchmarks, set(MECHANISMS) - off - {"drift"}), WEEK)
    odds = (v.Y - v.X)[:, :-1] / market.Xs[WEEK]
    np.testing.assert_allclose(odds, odds[:, :1] * np.ones_like(odds), rtol=2 * JITTER)


def test_evidence_switches_change_the_figures_alone(market, benchmarks):
    kept = set(MECHANISMS)
    plain = switch(market, benchmarks, NEUTRAL, kept - {"scope", "nesting"}).benchmarks
    assert not plain.off.any()
    assert not plain.q.any()
    assert not plain.iota.any()
    np.testing.assert_array_equal(plain.y, benchmarks.y)


def test_unseen_labs_can_be_left_out(toy, market, benchmarks):
    """A lab with a stand-in for its panel volume, and a figure about it alone."""
    cells = [*toy.cells, ("ByteDance", "China closed", "unclassified", 5, 1e-9, 0.5)]
    wide = toy.market(cells)
    Xs = wide.Xs.copy()
    Xs[:, -1] = 2.0
    wide = replace(wide, Xs=Xs)
    rows = [*toy.rows, {"family": "tokens:ByteDance", "cells": [7], "week": 2, "y": 5.0}]
    b = toy.benchmarks(wide, rows)
    seen, unseen = (
        fit(wide, b, on, n_draws=1000) for on in (MECHANISMS, set(MECHANISMS) - {"unseen-labs"})
    )
    assert len(unseen.benchmarks) == len(b) - 1
    last = [volumes(p, WEEK).Y[:, 7].mean() for p in (seen, unseen)]
    assert last[0] > 20
    assert last[1] < 1e-3


def test_prior_switches_by_name():
    off = switch_prior(NEUTRAL, [])
    for name in ("b_closed_sd", "b_china_sd", "tau", "delta_sd", "gamma_sd", "s_e", "s_rw", "s_cm"):
        assert getattr(off, name) == 0.0
    assert (off.beta, off.beta_sd, off.omega, off.p_unreliable) == (1.0, 0.0, 0.0, 0.0)
    assert off.name == "neutral: no mechanism"
    with pytest.raises(UsageError):
        switch_prior(NEUTRAL, ["gravity"])


def test_correct_takes_mechanisms():
    market = load_market()
    options = {"weeks": ("2026-06-01",), "market": market, "n_draws": 400}
    with pytest.raises(UsageError):
        correct("world-external-api", mechanisms=["gravity"], **options)
    whole = correct("world-external-api", mechanisms=list(MECHANISMS), **options)
    plain = correct("world-external-api", **options)
    week = int(plain.draws.weeks[0])
    assert contest(volumes(whole, week)) == contest(volumes(plain, week))
    part = correct(
        "world-external-api", mechanisms=set(MECHANISMS) - {"reverse-selection"}, **options
    )
    assert "reverse-selection" not in part.prior.name
    assert share_table(volumes(part, week), by="origin")["corrected"].between(0, 1).all()
