r"""Draws of the evidence synthesis by tempered sequential Monte Carlo on the points.

Exact figures about one unit (the core) are close to linear: their posterior at every node of the
hyper-parameters is Gaussian but for a small correction. Sums over labs and one-sided rows (the
rest) bend too much to be linearised and enter exactly. Both corrections get a power that grows from
0 to 1,

.. math:: \log r_\lambda(\phi) = \lambda\,[\log N(e; 0, S) + \log P(side) -
   \log N(\tilde e_{core}; 0, S_{core})],

with the exact errors :math:`e = y - off - h(\phi)` (Del Moral, Doucet and Jasra 2006,
doi:10.1111/j.1467-9868.2006.00553.x). Moves are elliptical-slice steps under the Gaussian posterior
of the core (Murray, Adams and MacKay 2010, AISTATS, PMLR 9:541-548).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, logsumexp

from offroute._typing import FloatArray, IntArray
from offroute.estimators.gaussian_system import Features, cell_volume
from offroute.estimators.linearise import Laplace, error_covariance
from offroute.estimators.points import (
    Points,
    core_gradient,
    field_given_points,
    predict,
    prior_covariance,
    prior_mean,
)
from offroute.estimators.prior import Prior
from offroute.estimators.psis import pareto_smooth
from offroute.exceptions import UnknownWeek
from offroute.measurement.ledger import Benchmarks, take
from offroute.measurement.market import GROUPS

#: Proposals come in blocks of one component, so that few components have to be factorised.
_BLOCK = 40
#: Shrinks of a slice after which a draw stays where it is; that leaves the target invariant.
_SHRINKS = 6
#: A step of the power is halved until its tail shape is below this, or it is this short.
_TAME = 0.5
_SHORTEST = 1e-2
_EXTRA_MOVES = 24
#: Tail shape above which importance weights cannot be trusted.
MAX_K_HAT = 0.7
_WANTED = 0.5


@dataclass(frozen=True)
class Draws:
    """Draws of the coefficients of the log off-platform volume (k draws).

    Attributes
    ----------
    base : ndarray, shape (k, U)
        Part of a unit that does not change in time, as a deviation from the prior mean.
    xi : ndarray, shape (k, C)
        Log split over the tiers of a unit, as a deviation from the panel's mix.
    beta : ndarray, shape (k, U)
        Pass-through of each unit.
    walk : ndarray, shape (k, U, W)
        Random walk of each unit in the weeks of `weeks`.
    weeks : ndarray of int, shape (W,)
        Weeks of the market in which the draws can be evaluated, sorted.
    hyper : ndarray, shape (k, 3)
        tau, omega and s_rw of each draw.
    error : ndarray, shape (k, n)
        Exact error y - off - h of each benchmark.
    unreliable : ndarray of int, shape (k,)
        Family of the core that is unreliable in the draw, -1 for none.
    """

    base: FloatArray
    xi: FloatArray
    beta: FloatArray
    walk: FloatArray
    weeks: IntArray
    hyper: FloatArray
    error: FloatArray
    unreliable: IntArray


@dataclass(frozen=True)
class Problem:
    """What the target density needs.

    Attributes
    ----------
    features, prior, points : Features, Prior, Points
        Design, prior and the places where the benchmarks look.
    b : Benchmarks
        All benchmarks, the core first.
    n_core : int
        Number of core rows.
    fit : Laplace
        Linearised posterior given the core.
    weight : ndarray, shape (B, F + 1)
        Weight of each node with no or one unreliable family of the core.
    """

    features: Features
    prior: Prior
    points: Points
    b: Benchmarks
    n_core: int
    fit: Laplace
    weight: FloatArray


def off_platform(features: Features, prior: Prior, draws: Draws, week: int) -> FloatArray:
    """Off-platform volume of every cell in one week.

    Parameters
    ----------
    features : Features
        Design.
    prior : Prior
        The prior of the fit.
    draws : Draws
        Draws that can be evaluated in the week.
    week : int
        Index of the week.

    Returns
    -------
    ndarray, shape (k, C)
        Tokens a week.

    Raises
    ------
    UnknownWeek
        If the draws cannot be evaluated in the week.
    """
    found = np.flatnonzero(draws.weeks == week)
    if not len(found):
        raise UnknownWeek(
            "week",
            got=week,
            rule=f"the draws have {len(draws.weeks)} weeks, and this index is not one of them",
            next_step="Ask for the week when the posterior is drawn.",
        )
    d = int(found[0])
    G = features.mu[week] + draws.base + draws.walk[:, :, d]
    G += (draws.beta - prior.beta) * features.rise[week]
    return cell_volume(features, G, features.mix[week], draws.xi)


def family_shift(b: Benchmarks, prior: Prior, f: int) -> FloatArray:
    """Extra error covariance of a family that is unreliable.

    Parameters
    ----------
    b : Benchmarks
        The benchmarks.
    prior : Prior
        Scale of the extra error.
    f : int
        Index of the family; -1 for none.

    Returns
    -------
    ndarray, shape (n, n)
        A shared shift of absolute figures, independent errors of the items of a share table.
    """
    member = (b.family == f) & (b.side == 0)
    if f >= 0 and b.flat[f]:
        return prior.s_unreliable**2 * np.diag(member.astype(np.float64))
    return prior.s_unreliable**2 * np.outer(member, member).astype(np.float64)


@dataclass(frozen=True)
class _Component:
    """Gaussian posterior of the points given the core, at one node with one (or no) bad family."""

    mean: FloatArray
    root: FloatArray
    gradient: FloatArray
    target: FloatArray
    white: FloatArray
    bad: FloatArray
    bad_scale: FloatArray
    log_odds: float
    bound: FloatArray
    level: float
    unreliable: int
    hyper: tuple[float, float, float]


def _component(p: Problem, node: int, column: int) -> _Component:
    """Condition the points on the core and factorise the errors."""
    f, prior, fit, b = p.features, p.prior, p.fit, p.b
    core = take(b, np.arange(p.n_core))
    hyper = (float(fit.tau[node]), float(fit.s_rw[node]))
    m = len(p.points.week)
    K = np.zeros((m + len(f.unit),) * 2)
    K[:m, :m] = prior_covariance(p.points, f, prior, hyper)
    K[m:, m:] = f.split @ f.split.T
    A = core_gradient(p.points, f, fit, node)
    Sigma = fit.Sigma[node] + family_shift(core, prior, column - 1)
    gain = np.linalg.solve(Sigma, A @ K).T
    V = K - gain @ (A @ K)
    V[np.diag_indices_from(V)] += 1e-8
    mu = prior_mean(p.points, f)
    exact = np.flatnonzero(b.side == 0)
    omega = float(fit.omega[node])
    S = error_covariance(b, prior, np.array([omega]))[0] + family_shift(b, prior, column - 1)
    white = np.linalg.inv(np.linalg.cholesky(S[np.ix_(exact, exact)]))
    others = sorted(set(b.family[exact[p.n_core :]]) - set(b.family[: p.n_core]))
    members = np.array([(b.family[exact] == g) for g in others], dtype=np.float64).reshape(
        len(others), len(exact)
    )
    if prior.p_unreliable == 0:
        members = members[:0]
    bad = white @ members.T
    odds = prior.p_unreliable / (1 - prior.p_unreliable)
    return _Component(
        mean=mu + gain @ fit.target[node],
        root=np.asarray(np.linalg.cholesky(V)),
        gradient=A,
        target=fit.target[node] + A @ mu,
        white=white,
        bad=bad,
        bad_scale=prior.s_unreliable**2 / (1 + prior.s_unreliable**2 * (bad**2).sum(axis=0)),
        log_odds=np.log(odds) if len(members) else 0.0,
        unreliable=column - 1,
        level=float(np.log(np.diag(white)[p.n_core :]).sum())
        - 0.5 * (len(exact) - p.n_core) * np.log(2 * np.pi)
        - np.log1p(len(members) * odds),
        bound=(-b.side / np.sqrt(b.s**2 + b.q**2 + omega**2 * ~b.flat[b.family]))[b.side != 0],
        hyper=(hyper[0], omega, hyper[1]),
    )


def _log_ratio(p: Problem, c: _Component, phi: FloatArray, error: FloatArray) -> FloatArray:
    """Log of the target over the Gaussian posterior of the core, up to its weight, shape (k,)."""
    b, n = p.b, p.n_core
    exact = b.side == 0
    white = error[:, exact] @ c.white.T
    # The core comes first, so the leading block of the triangular whitening whitens the core.
    linear = (c.target - phi @ c.gradient.T) @ c.white[:n, :n].T
    out: FloatArray = 0.5 * ((linear**2).sum(axis=1) - (white**2).sum(axis=1)) + c.level
    # An unreliable family of the rest is a rank-one shift of the errors, added up over families.
    if c.bad.shape[1]:
        gain = c.log_odds + 0.5 * np.log(c.bad_scale / p.prior.s_unreliable**2)
        gain = gain + 0.5 * c.bad_scale * (white @ c.bad) ** 2
        # In the order of the sum: no unreliable family of the rest, then each one in turn.
        top = np.maximum(gain.max(axis=1), 0.0)
        out += top + np.log(np.exp(-top) + np.exp(gain - top[:, None]).sum(axis=1))
    if not exact.all():
        out += log_ndtr(error[:, ~exact] * c.bound).sum(axis=1)
    return out


def _ratios(
    p: Problem, components: list[_Component], of: IntArray, phi: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Log ratios (k,) and exact errors (k, n) of draws that belong to different components."""
    error = p.b.y - p.b.off - predict(p.points, phi)
    out = np.empty(len(of))
    for j in np.unique(of):
        rows = np.flatnonzero(of == j)
        out[rows] = _log_ratio(p, components[j], phi[rows], error[rows])
    return out, error


def _gauss(components: list[_Component], of: IntArray, rng: np.random.Generator) -> FloatArray:
    """Deviations from the mean drawn from each draw's component, shape (k, m + C)."""
    out = rng.standard_normal((len(of), len(components[0].mean)))
    for j in np.unique(of):
        rows = np.flatnonzero(of == j)
        out[rows] = out[rows] @ components[j].root.T
    return out


def _slice_move(
    p: Problem,
    components: list[_Component],
    of: IntArray,
    phi: FloatArray,
    ratio: FloatArray,
    power: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """One elliptical-slice move of every draw under a power of the ratio."""
    k = len(of)
    mean = np.array([c.mean for c in components])[of]
    d, nu = phi - mean, _gauss(components, of, rng)
    bar = power * ratio + np.log(rng.uniform(size=k))
    angle = rng.uniform(0.0, 2 * np.pi, k)
    low, high = angle - 2 * np.pi, angle.copy()
    phi, ratio, todo = phi.copy(), ratio.copy(), np.arange(k)
    for _ in range(_SHRINKS):
        cos, sin = np.cos(angle[todo])[:, None], np.sin(angle[todo])[:, None]
        trial = mean[todo] + cos * d[todo] + sin * nu[todo]
        new, _ = _ratios(p, components, of[todo], trial)
        good = power * new > bar[todo]
        phi[todo[good]], ratio[todo[good]] = trial[good], new[good]
        todo = todo[~good]
        if not len(todo):
            break
        negative = angle[todo] < 0
        low[todo[negative]] = angle[todo[negative]]
        high[todo[~negative]] = angle[todo[~negative]]
        angle[todo] = rng.uniform(low[todo], high[todo])
    return phi, ratio


def _next_power(ratio: FloatArray, power: float, wanted: float) -> float:
    """Largest power of the ratio at which `wanted` draws stay effective (bisection)."""

    def _effective(x: float) -> float:
        w = np.exp((x - power) * (ratio - ratio.max()))
        return float(w.sum() ** 2 / (w**2).sum())

    low, high = power, 1.0
    if _effective(high) >= wanted:
        return 1.0
    while high - low > 1e-3:  # noqa: PLR2004 - finer steps change nothing
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _effective(middle) >= wanted else (low, middle)
    return min(max(low, power + 1e-3), 1.0)


def draw(
    p: Problem,
    *,
    weeks: IntArray,
    n_draws: int,
    n_proposals: int,
    n_moves: int,
    rng: np.random.Generator,
) -> tuple[Draws, float, float, IntArray]:
    """Draw from the posterior.

    Parameters
    ----------
    p : Problem
        The target.
    weeks : ndarray of int
        Weeks in which the draws are to be evaluated.
    n_draws, n_proposals, n_moves : int
        Draws to return, proposals for the core, elliptical-slice moves at each power.
    rng : Generator
        Randomness.

    Returns
    -------
    draws : Draws
        Equally weighted.
    k_hat : float
        Largest Pareto shape of the weights of a step.
    log_norm : float
        Log of the mean ratio: what the rest and the corrections add to the log evidence.
    ancestor : ndarray of int, shape (n_draws,)
        Proposal from which each draw descends.
    """
    edges = np.floor(np.cumsum(p.weight.ravel()) * (n_proposals // _BLOCK) + rng.uniform())
    blocks = np.diff(edges, prepend=0.0).astype(np.int64).reshape(p.weight.shape)
    used = np.argwhere(blocks)
    components = [_component(p, int(node), int(column)) for node, column in used]
    of = np.repeat(np.arange(len(used)), blocks[blocks > 0] * _BLOCK)
    phi = np.array([c.mean for c in components])[of] + _gauss(components, of, rng)
    ratio, _ = _ratios(p, components, of, phi)
    ancestor, power, k_hat, log_norm = np.arange(len(of)), 0.0, -np.inf, 0.0
    while power < 1.0:
        step = _next_power(ratio, power, 0.5 * n_draws)
        weights, k = pareto_smooth((step - power) * ratio)
        # The tail shape falls with the power: a shorter step tames a heavy tail.
        while k > _TAME and step - power > _SHORTEST:
            step = power + 0.5 * (step - power)
            weights, k = pareto_smooth((step - power) * ratio)
        log_norm += float(logsumexp((step - power) * ratio)) - np.log(len(of))
        points = (np.arange(n_draws) + rng.uniform()) / n_draws
        pick = np.searchsorted(np.cumsum(weights), points).clip(0, len(of) - 1)
        phi, ratio, of, ancestor = phi[pick], ratio[pick], of[pick], ancestor[pick]
        power, k_hat = step, max(k_hat, k)
        for _ in range(n_moves):
            phi, ratio = _slice_move(p, components, of, phi, ratio, power, rng)
    # Clones of one proposal part only by moving: go on until enough of them have.
    level = phi[:, : len(p.points.week)] @ _contrast(p)
    for _ in range(_EXTRA_MOVES):
        if effective_draws(level, ancestor) >= _WANTED * n_draws:
            break
        phi, ratio = _slice_move(p, components, of, phi, ratio, power, rng)
        level = phi[:, : len(p.points.week)] @ _contrast(p)
    mix = rng.permutation(n_draws)
    return _expand(p, components, of[mix], phi[mix], weeks, rng), k_hat, log_norm, ancestor[mix]


def _contrast(p: Problem) -> FloatArray:
    """Weights of the points in the mean log volume of China less that of the US, shape (m,)."""
    group = p.features.group[p.points.unit]
    out = np.zeros(len(group))
    for sign, first in ((1.0, "China"), (-1.0, "US")):
        of = np.array([GROUPS[g].startswith(first) for g in group], dtype=bool)
        out[of] = sign / max(int(of.sum()), 1)
    return out


def effective_draws(x: FloatArray, ancestor: IntArray) -> float:
    r"""Effective number of draws that descend from common ancestors.

    .. math:: k_{eff} = k^2 s^2 / \sum_a \big(\sum_{i \in a} (x_i - \bar x)\big)^2

    Parameters
    ----------
    x : ndarray, shape (k,)
        A functional of the draws.
    ancestor : ndarray of int, shape (k,)
        Cluster of each draw.

    Returns
    -------
    float
        k over the design effect of the clusters, at most k.

    Examples
    --------
    >>> effective_draws(np.array([1.0, 1.0, 2.0, 2.0]), np.array([0, 0, 1, 1]))
    2.0
    """
    deviation = x - x.mean()
    between = (np.bincount(ancestor, deviation) ** 2).sum()
    if between == 0:
        return float(len(x))
    return float(min(len(x), len(x) * (deviation @ deviation) / between))


def _expand(
    p: Problem,
    components: list[_Component],
    of: IntArray,
    phi: FloatArray,
    weeks: IntArray,
    rng: np.random.Generator,
) -> Draws:
    """Draw the field in the wanted weeks given the points."""
    m, n_units = len(p.points.week), len(p.features.group)
    dates = np.unique(np.concatenate([weeks, p.points.week])).astype(np.int64)
    base, beta = np.empty((len(of), n_units)), np.empty((len(of), 0))
    keep = np.searchsorted(dates, np.unique(weeks))
    walk = np.empty((len(of), n_units, len(keep)))
    hyper = np.array([c.hyper for c in components])[of]
    out: list[tuple[IntArray, FloatArray]] = []
    for pair in sorted({(c.hyper[0], c.hyper[2]) for c in components}):
        rows = np.flatnonzero((hyper[:, 0] == pair[0]) & (hyper[:, 2] == pair[1]))
        if len(rows):
            base[rows], slope, path = field_given_points(
                p.points, p.features, p.prior, pair, phi[rows, :m], dates, rng
            )
            walk[rows] = path[:, :, keep]
            out.append((rows, slope))
    beta = np.empty((len(of), out[0][1].shape[1]))
    for rows, slope in out:
        beta[rows] = slope + p.prior.beta
    error = p.b.y - p.b.off - predict(p.points, phi)
    bad = np.array([c.unreliable for c in components], dtype=np.int64)[of]
    return Draws(base, phi[:, m:], beta, walk, dates[keep], hyper, error, bad)
