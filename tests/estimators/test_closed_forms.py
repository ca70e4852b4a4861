"""Acceptance cases of the evidence synthesis with numbers from closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from offroute.estimators.field import off_platform
from offroute.estimators.gaussian_system import build_features
from offroute.estimators.linearise import error_covariance
from offroute.estimators.prior import INFORMED, NEUTRAL, Prior
from offroute.estimators.synthesis import synthesise
from offroute.inference.pipeline import load_market

SIGMAS = 4.0
SMALL = dict.fromkeys(("b_closed_sd", "b_china_sd", "delta_sd", "tau", "gamma_sd", "s_e"), 1e-6)
STILL = dict.fromkeys(("beta_sd", "beta_group_sd", "beta_unit_sd", "s_rw"), 1e-6)


def log_ratio_us_china(market, posterior, week):
    """Log Lambda of every draw."""
    D = off_platform(posterior.features, posterior.prior, posterior.draws, week)
    Y, X = market.X[week] + D, market.X[week]
    over = [np.log(Y[:, k].sum(axis=1) / X[k].sum()) for k in (market.is_us, market.is_china)]
    return over[0] - over[1]


@pytest.fixture(scope="module")
def market():
    return load_market()


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_without_evidence_lambda_is_above_one_as_often_as_below(toy, market, scale):
    # design.md section 8, case 9.
    prior = replace(NEUTRAL, b_closed_sd=2 * scale, b_china_sd=2 * scale)
    none = toy.benchmarks(market, [])
    weeks = np.array([market.anchor])
    fit = synthesise(market, none, prior=prior, weeks=weeks, n_draws=20_000, rng=3)
    p = (log_ratio_us_china(market, fit, market.anchor) > 0).mean()
    assert abs(p - 0.5) < SIGMAS * 0.5 / np.sqrt(20_000)
    assert fit.log_evidence == pytest.approx(0.0, abs=1e-9)
    assert fit.k_hat == 0.0


def test_without_evidence_the_draws_are_those_of_the_prior(toy, market):
    fit = synthesise(
        market, toy.benchmarks(market, []), weeks=np.array([10, 80]), n_draws=20_000, rng=4
    )
    f, p = build_features(market, NEUTRAL), NEUTRAL
    var = (f.fixed**2).sum(axis=1) + p.tau**2 + p.s_rw**2 * np.abs(f.elapsed[10])
    var = var + (p.beta_sd**2 + p.beta_group_sd**2 + p.beta_unit_sd**2) * f.rise[10] ** 2
    d = fit.draws
    G = d.base + d.walk[:, :, 0] + (d.beta - p.beta) * f.rise[10]
    np.testing.assert_allclose(G.std(axis=0), np.sqrt(var), rtol=0.03)
    np.testing.assert_array_less(np.abs(G.mean(axis=0)), SIGMAS * np.sqrt(var / 20_000))
    np.testing.assert_allclose(d.beta.mean(axis=0), p.beta, atol=0.01)
    np.testing.assert_allclose(d.xi.std(axis=0), np.sqrt((f.split**2).sum(axis=1)), rtol=0.03)


def test_the_informed_prior_leans_the_critics_way(toy, market):
    none = toy.benchmarks(market, [])
    weeks = np.array([market.anchor])
    fit = synthesise(market, none, prior=INFORMED, weeks=weeks, n_draws=4000, rng=3)
    assert (log_ratio_us_china(market, fit, market.anchor) > 0).mean() > 0.6


def family_floor(toy, copies):
    """Posterior of one level seen by a family of three rows, `copies` times, and by another."""
    cells = [("A", "US closed", "mid", 0, 1.0, 1.0), ("B", "China open", "mid", 1, 1.0, 1.0)]
    market = toy.market(cells, elapsed=(0,), anchor=0)
    prior = Prior(b_0_sd=10.0, s_cm=1e-6, p_unreliable=0.0, omega=0.5, **SMALL, **STILL)
    three = [{"family": "f1", "cells": [0], "y": y, "s": 0.1} for y in (9.9, 10.0, 10.1)] * copies
    return market, prior, [*three, {"family": "f2", "cells": [0], "y": 10.2, "s": 0.2}]


@pytest.mark.parametrize(("copies", "sd"), [(1, 0.3675), (100, 0.3662)])
def test_a_family_has_a_floor(toy, copies, sd):
    # design.md section 7: 1 / (omega^2 + s^2 / n) of each family, added to the prior's 1 / 10^2.
    market, prior, rows = family_floor(toy, copies)
    b = toy.benchmarks(market, rows)
    S = error_covariance(b, prior, np.array([0.5]))[0]
    one = np.ones(len(b))
    assert (one @ np.linalg.solve(S, one) + 0.01) ** -0.5 == pytest.approx(sd, abs=5e-5)


@pytest.mark.parametrize("copies", [1, 100])
def test_the_floor_holds_through_the_engine(toy, copies, monkeypatch):
    market, prior, rows = family_floor(toy, copies)
    scales = tuple(np.array([x]) for x in (1e-6, 0.5, 1e-6))
    monkeypatch.setattr("offroute.estimators.placement._NODES", (1, 1, 1))
    monkeypatch.setattr("offroute.estimators.placement._scales", lambda *_: scales)
    monkeypatch.setattr(
        "offroute.estimators.placement.normal_nodes", lambda *_: (np.zeros((1, 3)), np.zeros(1))
    )
    fit = synthesise(market, toy.benchmarks(market, rows), prior=prior, n_draws=4000, rng=1)
    level = np.log(off_platform(fit.features, prior, fit.draws, 0)[:, 0])
    want = {1: 0.3675, 100: 0.3662}[copies]
    assert level.std() == pytest.approx(want, abs=SIGMAS * want / np.sqrt(2 * fit.ess))


def test_repeating_a_family_tenfold_changes_nearly_nothing(toy):
    # design.md section 8, case 10; omega (median .67 of its scale) dominates the row's own .05.
    market, prior = toy.market(), Prior(omega=0.8, p_unreliable=0.0)
    rows = [
        {"family": "tokens:OpenAI", "cells": [0, 1], "week": 3, "y": 5.6, "s": 0.02},
        {"family": "tokens:DeepSeek", "cells": [4, 5], "week": 3, "y": 3.6, "s": 0.02},
    ]
    found = []
    for copies in (1, 10):
        b = toy.benchmarks(market, rows[:1] * copies + rows[1:])
        fit = synthesise(market, b, prior=prior, weeks=np.array([3]), n_draws=60_000, rng=5)
        Y = market.X[3] + off_platform(fit.features, prior, fit.draws, 3)
        found.append(np.log(Y[:, market.is_china].sum(axis=1) / Y[:, market.is_us].sum(axis=1)))
    once, often = found
    # The two runs have Monte Carlo errors of their own.
    error = np.sqrt(2 / 60_000)
    assert abs(often.mean() - once.mean()) < 0.02 + 2 * error * once.std()
    assert abs(often.std() / once.std() - 1) < 0.02 + 2 * error


def test_the_neutral_centre_solves_its_equation_on_two_cells(toy):
    # Two labs of equal panel volume: with one closed US and one open China lab, u_US - u_CN is
    # normal around -centre, so that P = 1/2 needs centre = 0 up to the antithetic draws.
    cells = [("A", "US closed", "mid", 0, 1.0, 1.0), ("B", "China open", "mid", 1, 1.0, 1.0)]
    market = toy.market(cells, elapsed=(0,), anchor=0)
    f = build_features(market, NEUTRAL)
    volume = np.log(market.Xs[0])
    assert f.mu[0] - volume == pytest.approx(NEUTRAL.b_0, abs=0.02)


def test_a_floor_and_a_ceiling_weigh_as_a_normal_distribution_function(toy):
    market, prior, _ = family_floor(toy, 1)
    prior = replace(prior, b_0=2.0, b_0_sd=1.0, omega=1e-6)
    for side, y in ((1, 3.0), (-1, 0.5)):
        row = {"family": "f", "cells": [0], "y": y, "s": 0.4, "side": side}
        b = toy.benchmarks(market, [row])
        fit = synthesise(market, b, prior=prior, n_draws=20_000, rng=6)
        level = np.log(off_platform(fit.features, prior, fit.draws, 0)[:, 0])

        def density(x, power, side=side, y=y):
            return x**power * np.exp(-0.5 * (x - 2.0) ** 2) * ndtr(side * (x - y) / 0.4)

        mass, first = (quad(density, -8, 12, args=(k,))[0] for k in (0, 1))
        assert np.exp(fit.log_evidence) == pytest.approx(mass / np.sqrt(2 * np.pi), rel=0.03)
        assert level.mean() == pytest.approx(first / mass, abs=0.03)


def test_a_floor_shares_the_error_common_to_its_country(toy):
    # Beside an exact figure a little above it the floor says nothing: both are off by the same.
    market, prior, _ = family_floor(toy, 1)
    prior = replace(prior, b_0=2.0, b_0_sd=1.0, omega=1e-6, s_cm=0.8)
    rows = [
        {"family": "exact", "cells": [0], "y": 3.0, "s": 0.1},
        {"family": "floor", "cells": [0], "y": 2.9, "s": 0.1, "side": 1},
    ]
    fit = synthesise(market, toy.benchmarks(market, rows), prior=prior, n_draws=20_000, rng=6)
    level = np.log(off_platform(fit.features, prior, fit.draws, 0)[:, 0])
    x, c = np.meshgrid(np.linspace(-4, 8, 1201), np.linspace(-5, 5, 1001), indexing="ij")
    density = norm.pdf(x - 2) * norm.pdf(c, scale=0.8) * norm.pdf(3 - x - c, scale=0.1)
    density *= ndtr((x + c - 2.9) / 0.1)
    mean = (density * x).sum() / density.sum()
    sd = np.sqrt((density * (x - mean) ** 2).sum() / density.sum())
    assert np.exp(fit.log_evidence) == pytest.approx(density.sum() * 0.01**2, rel=0.03)
    assert level.mean() == pytest.approx(mean, abs=SIGMAS * sd / np.sqrt(fit.ess))
    assert level.std() == pytest.approx(sd, rel=SIGMAS / np.sqrt(2 * fit.ess))
    # Were the floor free of that error, it would hold the level up.
    free = norm.pdf(x - 2) * norm.pdf(c, scale=0.8) * norm.pdf(3 - x - c, scale=0.1)
    free *= ndtr((x - 2.9) / 0.1)
    assert (free * x).sum() / free.sum() > mean + 0.4
