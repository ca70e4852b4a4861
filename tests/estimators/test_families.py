"""States of the families against sums over all of their combinations, and the nodes of scales."""

from itertools import product

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import halfnorm, multivariate_normal, norm

from offroute.estimators.families import (
    LAST,
    bias_mixture,
    draw_prior_states,
    draw_states,
    family_errors,
    log_first_states,
    log_states,
    own_covariance,
    state_covariance,
)
from offroute.estimators.field import off_platform
from offroute.estimators.prior import Prior
from offroute.estimators.quadrature import half_normal, normal_nodes, weighted_moments
from offroute.estimators.synthesis import synthesise

EXACT = 1e-9
SIGMAS = 4.0
OMEGA = 0.3
NONE = np.zeros(0, dtype=np.int64)
ROWS = [
    {"family": "a", "cells": [0, 1], "week": 1, "y": 5.0, "q": 0.2},
    {"family": "a", "cells": [0, 1], "week": 5, "y": 5.6, "q": 0.1},
    {"family": "b", "cells": [2], "week": 6, "y": 4.2},
    {"family": "share:d", "cells": [2], "week": 4, "y": -1.0},
    {"family": "share:d", "cells": [6], "week": 4, "y": -2.0, "q": 0.3},
]


def enumerated(b, prior, error):
    """Log joint density of the errors and each combination of states; (k, combinations)."""
    p = bias_mixture(prior, OMEGA)[0]
    table_p = np.array([1 - prior.p_unreliable, 0.0, prior.p_unreliable])
    states = [s for s in product(range(3), repeat=3) if s[2] != 1]
    out = []
    for s in states:
        S = own_covariance(b, prior, OMEGA) + state_covariance(b, prior, OMEGA, np.array(s))
        with np.errstate(divide="ignore"):
            log_p = np.log([p[s[0]], p[s[1]], table_p[s[2]]]).sum()
        density = multivariate_normal(np.zeros(len(b)), S).logpdf(error)
        out.append(log_p + np.atleast_1d(density))
    return np.array(states), np.array(out).T


@pytest.mark.parametrize(("tail_p", "p_unreliable"), [(0, 0.1), (0.3, 0.1), (0.3, 0), (0, 0)])
def test_the_density_is_the_sum_over_all_states(toy, tail_p, p_unreliable):
    prior = Prior(tail_p=tail_p, p_unreliable=p_unreliable, tail_scale=2.5)
    b = toy.benchmarks(toy.market(), ROWS)
    error = np.random.default_rng(1).standard_normal((6, len(b)))
    f = family_errors(b, prior, OMEGA, NONE, NONE)
    white = error @ f.white.T
    got = log_first_states(b, prior) + log_states(f, error, white) - 0.5 * (white**2).sum(axis=1)
    got += np.log(np.diag(f.white)).sum() - 0.5 * len(b) * np.log(2 * np.pi)
    np.testing.assert_allclose(got, logsumexp(enumerated(b, prior, error)[1], axis=1), atol=EXACT)


def test_settled_families_split_the_density(toy):
    # Unreliable for certain, plus not unreliable for certain, is everything.
    prior = Prior(tail_p=0.2)
    b = toy.benchmarks(toy.market(), ROWS)
    error = 2 * np.random.default_rng(2).standard_normal((6, len(b)))

    def density(certain, excluded):
        f = family_errors(b, prior, OMEGA, certain, excluded)
        white = error @ f.white.T
        log_det = np.log(np.diag(f.white)).sum()
        return log_states(f, error, white) - 0.5 * (white**2).sum(axis=1) + log_det

    odds = prior.p_unreliable / (1 - prior.p_unreliable)
    for family, first in ((0, odds / (1 - prior.tail_p)), (2, odds)):
        one = np.array([family])
        both = np.logaddexp(density(NONE, one), np.log(first) + density(one, one))
        np.testing.assert_allclose(both, density(NONE, NONE), atol=EXACT)


def test_states_are_drawn_with_their_probabilities(toy):
    prior = Prior(tail_p=0.3, p_unreliable=0.2)
    b = toy.benchmarks(toy.market(), ROWS)
    error = np.array([0.9, 0.8, -0.2, 0.7, -0.9])
    states, log_p = enumerated(b, prior, error[None])
    p = np.exp(log_p[0] - logsumexp(log_p[0]))
    k = 20_000
    f = family_errors(b, prior, OMEGA, NONE, NONE)
    got = draw_states(f, np.tile(error, (k, 1)), 3, np.random.default_rng(3))
    for family in range(3):
        for state in range(3):
            want = p[states[:, family] == state].sum()
            tolerance = SIGMAS * np.sqrt(want * (1 - want) / k)
            assert abs((got[:, family] == state).mean() - want) <= tolerance


def test_prior_states_have_the_probabilities_of_the_prior(toy):
    prior, k = Prior(tail_p=0.3, p_unreliable=0.2), 20_000
    b = toy.benchmarks(toy.market(), ROWS)
    got = draw_prior_states(b, prior, k, np.random.default_rng(4))
    p = bias_mixture(prior, OMEGA)[0]
    want = np.array([[p[0], p[0], 0.8], [p[1], p[1], 0.0], [p[2], p[2], 0.2]])
    share = np.array([(got == s).mean(axis=0) for s in (0, 1, LAST)])
    assert (np.abs(share - want) <= SIGMAS * np.sqrt(want * (1 - want) / k)).all()


def test_half_normals_keep_their_probability():
    u = np.array([-9.0, -1.0, 0.0, 1.5, 12.0])
    x = half_normal(u, np.array(0.4))
    np.testing.assert_allclose(halfnorm(scale=0.4).sf(x), norm.sf(u), rtol=1e-9)


def test_nodes_integrate_a_likelihood_away_from_the_prior():
    centre, sd = 1.2, 0.3
    likelihood = norm(centre, sd)
    u, log_weight = normal_nodes(np.array([1.1, 0.0]), np.array([0.35, 1.0]), (6, 3))
    value = log_weight + likelihood.logpdf(u[:, 0])
    evidence = quad(lambda x: norm.pdf(x) * likelihood.pdf(x), -8, 8, points=[centre])[0]
    assert logsumexp(value) == pytest.approx(np.log(evidence), abs=1e-4)
    mean, spread = weighted_moments(u, value)
    precision = 1 + 1 / sd**2
    assert mean == pytest.approx([centre / sd**2 / precision, 0.0], abs=1e-3)
    assert spread == pytest.approx([precision**-0.5, 1.0], abs=1e-3)


def test_reported_effective_draws_are_those_of_repeated_seeds(toy):
    market = toy.market()
    b = toy.benchmarks(market, toy.rows)
    week = np.array([market.anchor])
    means, variances, reported = [], [], []
    for seed in range(24):
        fit = synthesise(market, b, weeks=week, n_draws=400, rng=seed)
        Y = market.X[week[0]] + off_platform(fit.features, fit.prior, fit.draws, week[0])
        R = np.log(Y[:, market.is_china].sum(axis=1) / Y[:, market.is_us].sum(axis=1))
        means.append(R.mean())
        variances.append(R.var())
        reported.append(fit.ess)
    true = np.mean(variances) / np.var(means, ddof=1)
    # A chi-squared of 23 degrees of freedom leaves the true number this uncertain (99.9 %).
    assert 0.44 < np.median(reported) / true < 2.2
