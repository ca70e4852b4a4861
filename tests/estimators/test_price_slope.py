"""The slope of coverage in price: known truth, the J test, and the exact conditional posterior."""

import numpy as np
import pytest

from offroute.estimators.gaussian_system import build_features, cell_volume
from offroute.estimators.price_slope import (
    elasticity_gap,
    fit_price_slope,
    log_price_within,
    slope_given_split,
)
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import NotIdentified
from offroute.measurement.ledger import take

#: Two labs with tiers and both kinds of figures; one with one tier, which must not count.
CELLS = [
    ("OpenAI", "US closed", "flagship", 0, 4.0, 4.0),
    ("OpenAI", "US closed", "mid", 0, 3.0, 1.2),
    ("OpenAI", "US closed", "light", 0, 3.0, 0.4),
    ("Anthropic", "US closed", "flagship", 1, 5.0, 5.0),
    ("DeepSeek", "China open", "flagship", 2, 2.0, 2.0),
    ("DeepSeek", "China open", "light", 2, 6.0, 0.2),
]
ROWS = [
    {"family": f"{kind}:{lab}{week}", "cells": cells, "week": week, "y": 0.0, "iota": iota,
     "money": kind == "revenue", "s": 0.08, "q": q}
    for lab, cells in (("OpenAI", [0, 1, 2]), ("DeepSeek", [4, 5]), ("Anthropic", [3]))
    for kind, iota, q in (("tokens", 0.8, 0.05), ("revenue", 1.0, 0.1))
    for week in (1, 5)
]  # fmt: skip  # dense
#: Families of one row and no error common to a country, so that the truth can be drawn exactly.
PRIOR = Prior(s_cm=0.0, omega=0.05, s_rw=0.02, p_unreliable=0.0)


def drawn(toy, rng, gamma, *, gamma2=0.0, wrong=0.0):
    """Benchmarks drawn from a truth with that slope; `wrong` shifts one revenue figure."""
    market = toy.market(CELLS)
    features = build_features(market, PRIOR)
    b = toy.benchmarks(market, ROWS)
    z = log_price_within(market)
    z2 = z**2 - (np.bincount(market.unit, z**2) / np.bincount(market.unit))[market.unit]
    elapsed = features.elapsed
    level = rng.normal(0, 1, len(features.group))
    rise = features.rise * (PRIOR.beta_unit_sd * rng.standard_normal(len(features.group)))
    walk = np.cumsum(rng.standard_normal(rise.shape) * np.sqrt(np.diff(elapsed, prepend=elapsed[0])
                     )[:, None], axis=0)  # fmt: skip  # dense
    walk = PRIOR.s_rw * (walk - walk[market.anchor])
    D = cell_volume(
        features, features.mu + level + rise + walk, np.log(market.Xs), gamma * z + gamma2 * z2
    )
    total = (b.w * (D[b.week] + b.iota[:, None] * market.X[b.week])).sum(axis=1)
    sd = np.sqrt(b.s**2 + b.q**2 + PRIOR.omega**2)
    y = np.log(total) + sd * rng.standard_normal(len(b))
    y[2] += wrong
    object.__setattr__(b, "y", y)
    return market, features, b


def test_the_interval_holds_and_the_j_statistic_is_chi_squared(toy):
    rng = np.random.default_rng(1)
    fits = [fit_price_slope(*drawn(toy, rng, 0.4), PRIOR) for _ in range(80)]
    gamma = np.array([f.gamma for f in fits])
    assert abs(np.median(gamma) - 0.4) < 4 * 1.25 * gamma.std() / np.sqrt(80)
    # Drift shared by all labs and by a group is in the weights and not drawn: slightly wide.
    held = np.mean([f.low < 0.4 < f.high for f in fits])
    assert 0.9 - 4 * np.sqrt(0.09 / 80) < held < 0.97
    assert fits[0].df == 8 - 3
    assert fits[0].labs == ("OpenAI", "DeepSeek")
    assert abs(np.mean([f.j_statistic for f in fits]) - 5) < 4 * np.sqrt(10 / 80)
    assert np.mean([f.p_value < 0.05 for f in fits]) < 0.15


def test_a_figure_in_conflict_shows_in_the_j_test(toy):
    rng = np.random.default_rng(2)
    right = [fit_price_slope(*drawn(toy, rng, 0.5), PRIOR).p_value for _ in range(15)]
    wrong = [fit_price_slope(*drawn(toy, rng, 0.5, wrong=3.0), PRIOR).p_value for _ in range(15)]
    assert np.median(wrong) < 1e-3 < np.median(right)


def test_the_barbell_is_found(toy):
    rng = np.random.default_rng(3)
    fits = [
        fit_price_slope(*drawn(toy, rng, 0.3, gamma2=0.5), PRIOR, curvature=True) for _ in range(25)
    ]
    z = np.array([(f.gamma2 - 0.5) / f.se2 for f in fits])
    assert abs(np.median(z)) < 0.7
    assert np.mean(np.abs(z) < 1.96) > 0.85
    assert np.isnan(fit_price_slope(*drawn(toy, rng, 0.3), PRIOR).gamma2)


def test_no_lab_with_both_kinds_is_not_identified(toy):
    market, features, b = drawn(toy, np.random.default_rng(4), 0.5)
    money = np.array([row["money"] for row in ROWS])
    with pytest.raises(NotIdentified, match="tokens and revenue"):
        fit_price_slope(market, features, take(b, np.flatnonzero(~money)), PRIOR)
    single = np.array([row["cells"] == [3] for row in ROWS])
    with pytest.raises(NotIdentified, match="0 labs"):
        fit_price_slope(market, features, take(b, np.flatnonzero(single)), PRIOR)


def test_without_figures_the_slope_is_its_prior(toy):
    market = toy.market(CELLS)
    posterior = synthesise(
        market, toy.benchmarks(market, []), weeks=np.array([3]), n_draws=4000, rng=1
    )
    mean, sd = slope_given_split(posterior.draws.xi, market, NEUTRAL)
    assert abs(mean.mean()) < 4 * mean.std() / np.sqrt(4000)
    assert np.sqrt(mean.var() + sd**2) == pytest.approx(NEUTRAL.gamma_sd, rel=0.05)


def test_figures_pull_the_posterior_to_the_truth(toy):
    market, _, b = drawn(toy, np.random.default_rng(5), 1.2)
    posterior = synthesise(market, b, prior=PRIOR, weeks=np.array([3]), n_draws=1000, rng=1)
    mean, sd = slope_given_split(posterior.draws.xi, market, PRIOR)
    total = np.sqrt(mean.var() + sd**2)
    assert total < 0.75 * PRIOR.gamma_sd
    assert abs(mean.mean() - 1.2) < 3 * total


def test_a_fixed_slope_has_no_posterior(toy):
    with pytest.raises(NotIdentified, match="tiers"):
        slope_given_split(np.zeros((3, 6)), toy.market(CELLS), Prior(gamma_sd=0.0))


def test_the_elasticity_gap_is_a_derivative_of_log_coverage():
    gamma, b, step = 0.7, 2.0, 1e-5

    def log_coverage(log_p):
        return -np.log1p(np.exp(b + gamma * log_p))

    slope = (log_coverage(step) - log_coverage(-step)) / (2 * step)
    gap = elasticity_gap(np.array(gamma), 1 / (1 + np.exp(np.array(b))))
    assert gap == pytest.approx(-slope, rel=1e-8)


def test_a_mean_price_beyond_the_tiers_has_no_finite_slope(toy):
    market, features, b = drawn(toy, np.random.default_rng(6), 0.4)
    y = b.y.copy()
    y[[2, 3, 6, 7]] += 3.0
    object.__setattr__(b, "y", y)
    found = fit_price_slope(market, features, b, PRIOR)
    assert found.gamma == np.inf
    assert found.high == np.inf
    assert 0.4 < found.low < 20
    assert np.isnan(found.se)
