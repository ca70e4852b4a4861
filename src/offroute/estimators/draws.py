"""Draws of the evidence synthesis: Matheron's rule, then Pareto-smoothed importance resampling."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import log_ndtr

from offroute._typing import FloatArray, IntArray
from offroute.estimators.gaussian_system import Features, cell_volume, walk_kernel
from offroute.estimators.linearise import Laplace, company_kernel
from offroute.estimators.prior import Prior
from offroute.estimators.psis import pareto_smooth
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import GROUPS, Market

_PROPOSALS_PER_DRAW = 2


@dataclass(frozen=True)
class Draws:
    """Draws of the coefficients of the log off-platform volume (k draws).

    Attributes
    ----------
    base : ndarray, shape (k, U)
        Part of a unit that does not change in time, as a deviation from the prior mean.
    xi : ndarray, shape (k, C)
        Log split over the tiers of a unit, as a deviation from the panel's mix.
    beta : ndarray, shape (k, G)
        Pass-through of each group.
    walk : ndarray, shape (k, U, W)
        Random walk of each unit in the weeks of `weeks`.
    weeks : ndarray of int, shape (W,)
        Weeks of the market in which the draws can be evaluated, sorted.
    """

    base: FloatArray
    xi: FloatArray
    beta: FloatArray
    walk: FloatArray
    weeks: IntArray


def _prior_walk(
    rng: np.random.Generator, k: int, n_units: int, elapsed: FloatArray
) -> FloatArray:
    """Unit random walks that are zero at the anchor, shape (k, U, W); `elapsed` is sorted."""
    out = np.zeros((k, n_units, len(elapsed)))
    for times, order in (
        (elapsed[elapsed > 0], np.flatnonzero(elapsed > 0)),
        (-elapsed[elapsed < 0][::-1], np.flatnonzero(elapsed < 0)[::-1]),
    ):
        if len(times):
            step = np.sqrt(np.diff(times, prepend=0.0))
            out[:, :, order] = np.cumsum(rng.standard_normal((k, n_units, len(times))) * step, 2)
    return out


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
    """
    d = int(np.searchsorted(draws.weeks, week))
    G = features.mu[week] + draws.base + draws.walk[:, :, d]
    G += (draws.beta - prior.beta)[:, features.group] * features.rise[week]
    return cell_volume(features, G, features.mix[week], draws.xi)


def _allocate(weight: FloatArray, n: int, rng: np.random.Generator) -> IntArray:
    """Systematic numbers of proposals per component."""
    edges = np.floor(np.cumsum(weight.ravel()) * n + rng.uniform())
    return np.diff(edges, prepend=0.0).astype(np.int64).reshape(weight.shape)


def draw(  # noqa: PLR0913 - one call site, all of it the state of the fit
    market: Market,
    features: Features,
    b: Benchmarks,
    prior: Prior,
    fit: Laplace,
    weight: FloatArray,
    shifts: list[FloatArray],
    *,
    weeks: IntArray,
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[Draws, float, float]:
    """Draw from the mixture of linearised posteriors and correct by importance resampling.

    Parameters
    ----------
    market, features, b, prior, fit
        The state of the fit.
    weight : ndarray, shape (B, F + 1)
        Posterior weight of each node with no or one unreliable family.
    shifts : list of ndarray, shape (n, n)
        Extra error covariance of each column of `weight`.
    weeks : ndarray of int
        Weeks to evaluate.
    n_draws : int
        Draws to return.
    rng : Generator
        Randomness.

    Returns
    -------
    draws : Draws
        Equally weighted.
    k_hat, ess : float
        Diagnostics of the importance weights.
    """
    dates = np.unique(np.concatenate([weeks, b.week])).astype(np.int64)
    counts = _allocate(weight, _PROPOSALS_PER_DRAW * n_draws, rng)
    n = int(counts.sum())
    n_units = len(features.group)
    base = rng.standard_normal((n, features.fixed.shape[1])) @ features.fixed.T
    company = rng.standard_normal((n, int(features.company.max()) + 1))[:, features.company]
    xi = rng.standard_normal((n, features.split.shape[1])) @ features.split.T
    beta = prior.beta_sd * rng.standard_normal((n, 1))
    beta = beta + prior.beta_group_sd * rng.standard_normal((n, len(GROUPS)))
    walk = _prior_walk(rng, n, n_units, features.elapsed[dates])
    noise = rng.standard_normal((n, len(b)))
    log_ratio = np.zeros(n)
    at = np.searchsorted(dates, b.week)
    kernel = walk_kernel(features.elapsed[b.week], features.elapsed[dates])
    start = 0
    for node, column in zip(*np.nonzero(counts), strict=True):
        rows = slice(start, start + int(counts[node, column]))
        start = rows.stop
        base[rows] += fit.tau[node] * company[rows]
        walk[rows] *= fit.s_rw[node]
        theta = (base[rows], xi[rows], beta[rows], walk[rows])
        component = _component(features, b, fit, int(node), shifts[column])
        _condition(features, prior, component, at, kernel, theta, noise[rows])
        log_ratio[rows] = _log_ratio(market, features, b, component, at, theta)
    weights, k_hat = pareto_smooth(log_ratio)
    points = (np.arange(n_draws) + rng.uniform()) / n_draws
    pick = np.searchsorted(np.cumsum(weights), points).clip(0, n - 1)
    pick = rng.permutation(pick)
    draws = Draws(base[pick], xi[pick], beta[pick] + prior.beta, walk[pick], dates)
    return draws, k_hat, float(1.0 / (weights**2).sum())


@dataclass(frozen=True)
class _Component:
    """One node with no or one unreliable family: its linear map and covariances."""

    J: FloatArray
    J_split: FloatArray
    slope_group: FloatArray
    K: FloatArray
    Sigma: FloatArray
    S: FloatArray
    target: FloatArray
    omega: float
    s_rw: float


def _component(
    features: Features, b: Benchmarks, fit: Laplace, node: int, shift: FloatArray
) -> _Component:
    J = fit.J[node]
    return _Component(
        J=J,
        J_split=fit.J_split[node],
        slope_group=(J * features.rise[b.week]) @ np.eye(len(GROUPS))[features.group],
        K=company_kernel(features, fit.tau[node : node + 1])[0],
        Sigma=fit.Sigma[node] + shift,
        S=fit.S[node] + shift,
        target=fit.target[node],
        omega=float(fit.omega[node]),
        s_rw=float(fit.s_rw[node]),
    )


def _linear_prediction(
    c: _Component, at: IntArray, theta: tuple[FloatArray, FloatArray, FloatArray, FloatArray]
) -> FloatArray:
    """Deviation of the linearised benchmarks from their prior mean, shape (k, n)."""
    base, xi, beta, walk = theta
    out: FloatArray = base @ c.J.T + xi @ c.J_split.T + beta @ c.slope_group.T
    for i in range(len(at)):
        units = np.flatnonzero(c.J[i])
        out[:, i] += walk[:, units, at[i]] @ c.J[i, units]
    return out


def _condition(
    features: Features,
    prior: Prior,
    c: _Component,
    at: IntArray,
    kernel: FloatArray,
    theta: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    noise: FloatArray,
) -> None:
    """Turn prior draws into posterior draws of one component, in place (Matheron's rule)."""
    base, xi, beta, walk = theta
    error = noise @ np.linalg.cholesky(c.S).T
    residual = c.target - _linear_prediction(c, at, theta) - error
    alpha = cho_solve(cho_factor(c.Sigma, lower=True), residual.T).T
    base += alpha @ (c.J @ c.K)
    xi += alpha @ (c.J_split @ features.split) @ features.split.T
    beta += prior.beta_sd**2 * (alpha @ c.slope_group.sum(axis=1))[:, None]
    beta += prior.beta_group_sd**2 * (alpha @ c.slope_group)
    for u in range(c.J.shape[1]):
        rows = np.flatnonzero(c.J[:, u])
        if len(rows):
            walk[:, u] += c.s_rw**2 * (alpha[:, rows] * c.J[rows, u]) @ kernel[rows]


def _log_ratio(
    market: Market,
    features: Features,
    b: Benchmarks,
    c: _Component,
    at: IntArray,
    theta: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
) -> FloatArray:
    """Log of exact over linearised likelihood of each draw, shape (k,)."""
    base, xi, beta, walk = theta
    h = np.empty((len(base), len(b)))
    for i in range(len(b)):
        week = b.week[i]
        units = np.unique(features.unit[b.w[i] > 0])
        G = features.mu[week, units] + base[:, units] + walk[:, units, at[i]]
        G += beta[:, features.group[units]] * features.rise[week, units]
        total = np.full(len(base), b.iota[i] * (b.w[i] @ market.X[week]))
        for j, u in enumerate(units):
            cells = np.flatnonzero(features.unit == u)
            part = np.exp(features.mix[week, cells] + xi[:, cells])
            total += np.exp(G[:, j]) * (part @ b.w[i, cells]) / part.sum(axis=1)
        h[:, i] = np.log(total)
    linear = c.target - _linear_prediction(c, at, theta)
    exact = b.side == 0
    root = np.linalg.inv(np.linalg.cholesky(c.S[np.ix_(exact, exact)]))
    after = ((b.y - b.off - h)[:, exact] @ root.T) ** 2
    before = (linear[:, exact] @ root.T) ** 2
    out: FloatArray = 0.5 * (before.sum(axis=1) - after.sum(axis=1))
    for i in np.flatnonzero(~exact):
        whole = b.s[i] ** 2 + b.q[i] ** 2 + (0.0 if b.flat[b.family[i]] else c.omega**2)
        out += log_ndtr(b.side[i] * (h[:, i] + b.off[i] - b.y[i]) / np.sqrt(whole))
        out += 0.5 * linear[:, i] ** 2 / c.S[i, i]
    return out
