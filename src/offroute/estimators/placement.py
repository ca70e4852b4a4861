r"""Where the components of the posterior stand: nodes of the scales, sets of unreliable families.

Passes of few nodes of :math:`(\tau, \omega, s_{rw})` find the mean and the spread of their
posterior, and which families are in conflict with all the others; the last pass has more nodes.
Every set of suspects gets its own mode at every node, so that a family whose figure is wrong by
orders of magnitude does not drag the others along.
"""

from dataclasses import fields
from itertools import combinations

import numpy as np
from scipy.special import logsumexp

from offroute._typing import FloatArray, IntArray
from offroute.estimators.families import all_in_first, state_covariance
from offroute.estimators.gaussian_system import Features
from offroute.estimators.linearise import Laplace, laplace
from offroute.estimators.prior import Prior
from offroute.estimators.quadrature import half_normal, normal_nodes, weighted_moments
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import Market

#: Nodes on the axes of tau, omega and s_rw: in the passes that find their place, and at last.
_PILOT = (3, 3, 3)
_NODES = (4, 4, 4)
#: Passes at most; fewer if mean and spread move by less than this part of the spread.
_PASSES = 5
_STEADY = 0.3
#: A pass narrows the nodes by no more than this.
_NARROWEST = 0.25
#: Families are suspects above these log odds of being unreliable, and so many at most.
_SUSPECT = -1.0
_MOST_SUSPECTS = 3


def place_components(
    market: Market, features: Features, b: Benchmarks, prior: Prior
) -> tuple[Laplace, FloatArray, tuple[IntArray, ...]]:
    """Place nodes and sets of unreliable families where the evidence is.

    Parameters
    ----------
    market : Market
        The panel.
    features : Features
        Design under the prior.
    b : Benchmarks
        Exact benchmarks.
    prior : Prior
        Scales.

    Returns
    -------
    fit : Laplace
        Linearised posterior of every component: nodes within sets.
    log_weight : ndarray, shape (B,)
        Log prior weight plus log evidence, relative to all families being in their first state.
    certain : tuple of ndarray of int, length B
        Families that are unreliable for certain in each component.

    Raises
    ------
    NotConverged
        If a mode is not found.
    """
    centre, spread = np.zeros(3), np.ones(3)
    start: tuple[FloatArray, FloatArray] | None = None
    for _ in range(_PASSES):
        u, log_node = normal_nodes(centre, spread, _PILOT)
        fit = laplace(market, features, b, prior, _scales(prior, u), start=start)
        log_weight = log_node + fit.log_evidence
        sets = _suspect_sets(b, prior, fit, log_weight)
        log_weight += logsumexp(_gains(b, prior, fit, sets) + _log_odds(b, prior, sets), axis=1)
        mean, sd = weighted_moments(u, log_weight)
        sd = np.maximum(sd, _NARROWEST * spread)
        best = int(np.argmax(log_weight))
        start = (fit.G[best], fit.xi[best])
        moved = np.maximum(np.abs(mean - centre) / spread, np.abs(np.log(sd / spread)))
        centre, spread = mean, sd
        if (moved < _STEADY).all():
            break
    u, log_node = normal_nodes(centre, spread, _NODES)
    fits, weights = [], []
    for families in sets:
        shift = state_covariance(b, prior, 0.0, all_in_first(b, families))
        fit = laplace(market, features, b, prior, _scales(prior, u), shift=shift, start=start)
        fits.append(fit)
        weights.append(fit.log_evidence + log_node + _log_odds(b, prior, [families]))
    joined = {f.name: np.concatenate([getattr(g, f.name) for g in fits]) for f in fields(Laplace)}
    certain = tuple(families for families in sets for _ in range(len(u)))
    return Laplace(**joined), np.concatenate(weights), certain


def _scales(prior: Prior, u: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return tau, omega and s_rw of standard normal values, each of shape (B,)."""
    tau, omega, s_rw = half_normal(u, np.array([prior.tau, prior.omega, prior.s_rw])).T
    return tau, omega, s_rw


def _log_odds(b: Benchmarks, prior: Prior, sets: list[IntArray]) -> FloatArray:
    """Log prior odds of the families of each set being unreliable over their first state."""
    if prior.p_unreliable == 0:
        return np.zeros(len(sets))
    odds = np.log(prior.p_unreliable / (1 - prior.p_unreliable))
    each = odds - np.where(b.flat, 0.0, np.log1p(-prior.tail_p))
    return np.array([each[families].sum() for families in sets])


def _gains(b: Benchmarks, prior: Prior, fit: Laplace, sets: list[IntArray]) -> FloatArray:
    """Log evidence that each set of unreliable families adds at each node, shape (B, sets)."""
    out = np.zeros((len(fit.tau), len(sets)))
    inverse = np.linalg.inv(fit.Sigma)
    for j, families in enumerate(sets):
        rows = np.flatnonzero(np.isin(b.family, families))
        if not len(rows):
            continue
        extra = state_covariance(b, prior, 0.0, all_in_first(b, families))[np.ix_(rows, rows)]
        inner = np.eye(len(rows)) + extra @ inverse[:, rows[:, None], rows]
        a = fit.alpha[:, rows]
        gain = (a[:, None, :] @ np.linalg.solve(inner, extra @ a[:, :, None]))[:, 0, 0]
        out[:, j] = 0.5 * (gain - np.linalg.slogdet(inner)[1])
    return out


def _suspect_sets(
    b: Benchmarks, prior: Prior, fit: Laplace, log_weight: FloatArray
) -> list[IntArray]:
    """All subsets of the few families that conflict most with the others; the empty one first."""
    there = np.unique(b.family)
    if prior.p_unreliable == 0 or not len(there):
        return [there[:0]]
    each = [there[[j]] for j in range(len(there))]
    weight = np.exp(log_weight - logsumexp(log_weight))
    odds = weight @ (_gains(b, prior, fit, each) + _log_odds(b, prior, each))
    top = np.argsort(-odds, kind="stable")[:_MOST_SUSPECTS]
    found = there[np.sort(top[odds[top] > _SUSPECT])]
    sizes = range(len(found) + 1)
    return [np.array(c, dtype=np.int64) for k in sizes for c in combinations(found, k)]
