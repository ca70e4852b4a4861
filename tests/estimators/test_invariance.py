"""What must not matter does not, and what must does."""

from dataclasses import replace

import numpy as np
import pytest

from offroute.estimators.field import off_platform
from offroute.estimators.gaussian_system import build_features
from offroute.estimators.linearise import laplace
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.estimators.synthesis import about_one_unit, synthesise
from offroute.exceptions import NotConverged, UnknownWeek, UnreliablePosterior, UsageError

# Standard errors of the difference of two independent runs.
SIGMAS = 4.5
N = 3000


def fit_rows(toy, rows, *, market=None, prior=NEUTRAL, seed=1, n_draws=N):
    market = toy.market() if market is None else market
    return synthesise(market, toy.benchmarks(market, rows), prior=prior, n_draws=n_draws, rng=seed)


def log_ratio(fit, week=None):
    """Log China over US, and log US, of every draw."""
    m = fit.market
    week = m.anchor if week is None else week
    Y = m.X[week] + off_platform(fit.features, fit.prior, fit.draws, week)
    cn, us = Y[:, m.is_china].sum(axis=1), Y[:, m.is_us].sum(axis=1)
    return np.log(cn / us), np.log(us)


def assert_same_distribution(a, b):
    for x, y in zip(log_ratio(a), log_ratio(b), strict=True):
        error = np.hypot(x.std() / np.sqrt(a.ess), y.std() / np.sqrt(b.ess))
        assert abs(x.mean() - y.mean()) < SIGMAS * error
        relative = np.hypot(1 / np.sqrt(2 * a.ess), 1 / np.sqrt(2 * b.ess))
        # Kurtosis above three widens the error of a standard deviation.
        assert abs(np.log(x.std() / y.std())) < 1.5 * SIGMAS * relative


@pytest.fixture(scope="module")
def base(toy):
    return fit_rows(toy, toy.rows)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(toy, base):
    again, other = fit_rows(toy, toy.rows), fit_rows(toy, toy.rows, seed=2)
    for name in ("base", "xi", "beta", "walk", "hyper", "error"):
        np.testing.assert_array_equal(getattr(again.draws, name), getattr(base.draws, name))
        assert not np.array_equal(getattr(other.draws, name), getattr(base.draws, name))
    assert again.log_evidence == base.log_evidence
    assert_same_distribution(base, other)


def test_the_order_of_the_rows_does_not_matter(toy, base):
    rng = np.random.default_rng(5)
    for _ in range(2):
        rows = [toy.rows[i] for i in rng.permutation(len(toy.rows))]
        other = fit_rows(toy, rows, seed=7)
        assert_same_distribution(base, other)
        assert other.log_evidence == pytest.approx(base.log_evidence, abs=0.25)


def test_the_names_and_order_of_the_families_do_not_matter(toy, base):
    rows = [{**r, "family": r["family"][::-1] + "z"} for r in toy.rows]
    rows = [
        {**r, "family": ("share:" + r["family"]) if r["family"].endswith("erahsz") else r["family"]}
        for r in rows
    ]
    assert_same_distribution(base, fit_rows(toy, rows, seed=8))


def test_the_multiplier_of_a_share_table_does_not_matter(toy, base):
    # From per cent to fractions and to tokens: one over a real week's total has a log of -34.
    def scaled(log):
        return [
            {**r, "y": r["y"] + log} if r["family"].startswith("share:") else r for r in toy.rows
        ]

    assert_same_distribution(base, fit_rows(toy, scaled(np.log(100.0)), seed=3))
    assert_same_distribution(base, fit_rows(toy, scaled(-34.0), seed=4))


def test_only_the_ratios_of_a_share_table_speak(toy):
    rows = [r for r in toy.rows if not r["family"].startswith("share:")]
    lone = {"family": "share:x", "cells": [2], "week": 3, "y": -34.0, "s": 0.1}
    assert_same_distribution(fit_rows(toy, rows), fit_rows(toy, [*rows, lone], seed=9))


def test_tokens_may_be_counted_in_any_unit(toy, base):
    # A thousand times more of everything: panel, figures in tokens, figures in money.
    market = toy.market()
    k = 1e3
    large = replace(market, X=market.X * k, Xs=market.Xs * k, stealth=market.stealth * k)
    rows = [
        r if r["family"].startswith("share:") else {**r, "y": r["y"] + np.log(k)} for r in toy.rows
    ]
    other = fit_rows(toy, rows, market=large, seed=12)
    (r, us), (r_base, us_base) = log_ratio(other), log_ratio(base)
    error = SIGMAS * np.hypot(r.std(), r_base.std()) / np.sqrt(min(other.ess, base.ess))
    assert abs(r.mean() - r_base.mean()) < error
    error = SIGMAS * np.hypot(us.std(), us_base.std()) / np.sqrt(min(other.ess, base.ess))
    assert abs(us.mean() - np.log(k) - us_base.mean()) < error


def test_dollars_may_be_counted_in_any_unit(toy, base):
    market = toy.market()
    cents = replace(market, price=market.price * 100)
    rows = [
        {**r, "y": r["y"] + np.log(100)}
        if r.get("money") and not r["family"].startswith("share:")
        else r
        for r in toy.rows
    ]
    np.testing.assert_allclose(
        log_ratio(fit_rows(toy, rows, market=cents))[0].mean(), log_ratio(base)[0].mean(), atol=0.03
    )


def test_the_order_of_the_units_does_not_matter(toy, base):
    # Units 4, 3, 2, 1, 0 with their cells reversed.
    order = np.array([6, 5, 4, 3, 2, 1, 0])
    market = toy.market()
    other = replace(
        market,
        labs=tuple(market.labs[c] for c in order),
        groups=tuple(market.groups[c] for c in order),
        tiers=tuple(market.tiers[c] for c in order),
        unit=4 - market.unit[order],
        X=market.X[:, order],
        Xs=market.Xs[:, order],
        price=market.price[:, order],
    )
    place = np.argsort(order)
    rows = [{**r, "cells": sorted(place[r["cells"]].tolist())} for r in toy.rows]
    assert_same_distribution(base, fit_rows(toy, rows, market=other, seed=10))


def test_a_row_with_a_huge_error_changes_nothing(toy, base):
    vague = {"family": "tokens:vague", "cells": [0, 1], "week": 3, "y": 9.0, "s": 300.0}
    assert_same_distribution(base, fit_rows(toy, [*toy.rows, vague], seed=13))
    vague = {**vague, "cells": [0, 4]}
    assert_same_distribution(base, fit_rows(toy, [*toy.rows, vague], seed=14))


def test_an_exact_row_pins_its_total(toy):
    prior = Prior(omega=1e-6, s_cm=1e-6, p_unreliable=0.0)
    exact = {"family": "tokens:exact", "cells": [4, 5], "week": 3, "y": 4.0, "s": 1e-3, "iota": 1.0}
    fit = fit_rows(toy, [exact, toy.rows[0]], prior=prior)
    Y = fit.market.X[3] + off_platform(fit.features, prior, fit.draws, 3)
    total = np.log(Y[:, [4, 5]].sum(axis=1))
    assert total.mean() == pytest.approx(4.0, abs=2e-4)
    assert total.std() == pytest.approx(1e-3, rel=0.2)


def test_an_exact_sum_over_labs_pins_its_total(toy):
    prior = Prior(omega=1e-6, s_cm=1e-6, p_unreliable=0.0)
    exact = {"family": "tokens:sum", "cells": [2, 4, 5, 6], "week": 3, "y": 6.0, "s": 0.02}
    fit = fit_rows(toy, [exact, toy.rows[0]], prior=prior)
    D = off_platform(fit.features, prior, fit.draws, 3)
    total = np.log(D[:, [2, 4, 5, 6]].sum(axis=1))
    assert total.mean() == pytest.approx(6.0, abs=5e-3)
    assert total.std() == pytest.approx(0.02, rel=0.2)


def test_a_lab_without_evidence_moves_the_others_little_and_keeps_its_prior(toy, base):
    cells = [*toy.cells, ("Moonshot", "Rest of world", "mid", 5, 0.5, 0.5)]
    market = toy.market(cells)
    market = replace(market, X=market.X.copy())
    # The waves of the factory depend on the cell alone: the old cells keep their volumes.
    np.testing.assert_array_equal(market.X[:, :-1], toy.market().X)
    fit = fit_rows(toy, toy.rows, market=market, seed=21)
    assert_same_distribution(base, fit)
    D = np.log(off_platform(fit.features, fit.prior, fit.draws, market.anchor)[:, -1])
    own = np.hypot(NEUTRAL.tau, NEUTRAL.delta_sd)
    assert D.std() > own


def test_totals_never_fall_below_the_panel_and_all_draws_are_finite(base):
    for week in range(len(base.market.weeks)):
        D = off_platform(base.features, base.prior, base.draws, week)
        assert np.isfinite(D).all()
        assert (D > 0).all()


def test_weeks_asked_for_are_the_weeks_of_the_draws(toy):
    market = toy.market()
    b = toy.benchmarks(market, toy.rows)
    fit = synthesise(market, b, weeks=np.array([5, 1, 5]), n_draws=400, rng=0)
    np.testing.assert_array_equal(fit.draws.weeks, [1, 5])
    off_platform(fit.features, fit.prior, fit.draws, 5)
    for week in (0, 3, 6):
        with pytest.raises(UnknownWeek):
            off_platform(fit.features, fit.prior, fit.draws, week)


def test_too_few_draws_are_refused(toy):
    with pytest.raises(UsageError, match="n_draws"):
        fit_rows(toy, toy.rows, n_draws=199)


def test_few_effective_draws_are_refused(toy, monkeypatch):
    monkeypatch.setattr("offroute.estimators.synthesis._MIN_ESS", N + 0.5)
    monkeypatch.setattr("offroute.estimators.synthesis.MAX_K_HAT", -10.0)
    with pytest.raises(UnreliablePosterior, match="effective draws"):
        fit_rows(toy, toy.rows, n_draws=N + 1)


def test_a_mode_that_is_not_reached_is_reported(toy, monkeypatch):
    monkeypatch.setattr("offroute.estimators.linearise._MAX_ITERATIONS", 1)
    monkeypatch.setattr("offroute.estimators.linearise._LOST", 1e-9)
    with pytest.raises(NotConverged, match="Gauss-Newton"):
        fit_rows(toy, toy.rows)


def test_contradictory_rows_converge(toy):
    # Ten orders of magnitude between two families about one lab.
    market = toy.market()
    rows = [
        {"family": "a", "cells": [0, 1], "week": 3, "y": 2.0, "s": 0.05, "iota": 1.0},
        {"family": "b", "cells": [0, 1], "week": 3, "y": 25.0, "s": 0.05, "money": True},
    ]
    b = toy.benchmarks(market, rows)
    nodes = tuple(np.array([0.3, 1.0]) * x for x in (NEUTRAL.tau, NEUTRAL.omega, NEUTRAL.s_rw))
    fit = laplace(market, build_features(market, NEUTRAL), b, NEUTRAL, nodes)
    assert np.isfinite(fit.log_evidence).all()


def test_which_rows_are_about_one_unit(toy):
    market = toy.market()
    plain = {"family": "f", "cells": [2], "week": 3, "y": 5.0, "iota": 1.0}
    rows = [
        plain,
        {**plain, "side": 1},
        {**plain, "cells": [1, 2]},
        {**plain, "cells": [0, 1]},
        {**plain, "family": "share:g", "y": -5.0},
    ]
    got = about_one_unit(market, toy.benchmarks(market, rows))
    np.testing.assert_array_equal(got, [True, False, False, True, True])
