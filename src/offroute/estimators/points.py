r"""The part of the latent field that the benchmarks see.

Every benchmark depends on the log volumes :math:`G` of a few units at its own date and on the split
:math:`\xi` over tiers. Collected once, these are the points :math:`\phi = (G, \xi)`: a few hundred
numbers whose prior is Gaussian at each node of the hyper-parameters, whatever the number of weeks.
"""

from dataclasses import dataclass

import numpy as np

from offroute._typing import FloatArray, IntArray
from offroute.estimators.gaussian_system import Features, walk_kernel
from offroute.estimators.linearise import Laplace, company_kernel
from offroute.estimators.prior import Prior
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import GROUPS, Market


@dataclass(frozen=True)
class Points:
    """Where the benchmarks look at the field (m points, n benchmarks, C cells).

    Attributes
    ----------
    week, unit : ndarray of int, shape (m,)
        Week and unit of each point.
    row, point : ndarray of int, shape (p,)
        Pairs of a benchmark and one of its points, ordered by benchmark.
    first : ndarray of int, shape (n,)
        First pair of each benchmark.
    cells : ndarray of int, shape (q,)
        Cells of the units of the pairs, ordered by pair.
    start : ndarray of int, shape (p,)
        First cell of each pair.
    mix, w : ndarray, shape (q,)
        Log panel mix and weight of the cells in the benchmark.
    inside : ndarray, shape (n,)
        Panel tokens or dollars that the benchmark contains.
    """

    week: IntArray
    unit: IntArray
    row: IntArray
    point: IntArray
    first: IntArray
    cells: IntArray
    start: IntArray
    mix: FloatArray
    w: FloatArray
    inside: FloatArray


def build_points(market: Market, features: Features, b: Benchmarks) -> Points:
    """Collect the points of a set of benchmarks.

    Parameters
    ----------
    market : Market
        The panel.
    features : Features
        Design.
    b : Benchmarks
        All benchmarks.

    Returns
    -------
    Points
        Index arrays.
    """
    pairs: list[tuple[int, int, int]] = []
    cells: list[IntArray] = []
    for i in range(len(b)):
        for u in np.unique(features.unit[b.w[i] > 0]):
            pairs.append((i, int(b.week[i]), int(u)))
            cells.append(np.flatnonzero(features.unit == u))
    row = np.array([x[0] for x in pairs], dtype=np.int64)
    places = sorted({x[1:] for x in pairs})
    number = {place: j for j, place in enumerate(places)}
    sizes = np.array([len(c) for c in cells])
    flat = np.concatenate(cells)
    of_row = np.repeat(row, sizes)
    return Points(
        week=np.array([x[0] for x in places], dtype=np.int64),
        unit=np.array([x[1] for x in places], dtype=np.int64),
        row=row,
        point=np.array([number[x[1:]] for x in pairs], dtype=np.int64),
        first=np.searchsorted(row, np.arange(len(b))),
        cells=flat,
        start=np.concatenate([[0], np.cumsum(sizes)[:-1]]),
        mix=features.mix[b.week[of_row], flat],
        w=b.w[of_row, flat],
        inside=b.iota * (b.w * market.X[b.week]).sum(axis=1),
    )


def predict(points: Points, phi: FloatArray) -> FloatArray:
    """Log total h of every benchmark.

    Parameters
    ----------
    points : Points
        Index arrays.
    phi : ndarray, shape (k, m + C)
        Log volumes at the points, then the split of all cells.

    Returns
    -------
    ndarray, shape (k, n)
        Log tokens, dollars or common multiples a week.
    """
    m = len(points.week)
    part = np.exp(points.mix + phi[:, m + points.cells])
    weight = np.add.reduceat(part * points.w, points.start, axis=1)
    weight /= np.add.reduceat(part, points.start, axis=1)
    volume = np.exp(phi[:, points.point]) * weight
    h: FloatArray = np.log(points.inside + np.add.reduceat(volume, points.first, axis=1))
    return h


def prior_covariance(
    points: Points, features: Features, prior: Prior, hyper: tuple[float, float]
) -> FloatArray:
    """Prior covariance of the log volumes at the points.

    Parameters
    ----------
    points : Points
        Index arrays.
    features : Features
        Design.
    prior : Prior
        Scales.
    hyper : tuple of float
        tau and s_rw.

    Returns
    -------
    ndarray, shape (m, m)
        The covariance.
    """
    tau, s_rw = hyper
    unit, group = points.unit, features.group[points.unit]
    rise = features.rise[points.week, unit]
    elapsed = features.elapsed[points.week]
    K: FloatArray = company_kernel(features, np.array([tau]))[0][np.ix_(unit, unit)]
    K = K + s_rw**2 * walk_kernel(elapsed, elapsed) * (unit[:, None] == unit[None, :])
    same = group[:, None] == group[None, :]
    return K + np.outer(rise, rise) * (prior.beta_sd**2 + prior.beta_group_sd**2 * same)


def prior_mean(points: Points, features: Features) -> FloatArray:
    """Prior mean of the points, shape (m + C,)."""
    level = features.mu[points.week, points.unit]
    return np.concatenate([level, np.zeros(len(features.unit))])


def core_gradient(points: Points, features: Features, fit: Laplace, node: int) -> FloatArray:
    """Linear map from the points to the linearised core, shape (n_core, m + C)."""
    n_core, m = fit.target.shape[1], len(points.week)
    out = np.zeros((n_core, m + len(features.unit)))
    pair = np.flatnonzero(points.row < n_core)
    row = points.row[pair]
    out[row, points.point[pair]] = fit.J[node, row, points.unit[points.point[pair]]]
    out[:, m:] = fit.J_split[node]
    return out


def prior_field(
    features: Features, prior: Prior, hyper: tuple[float, float], dates: IntArray, k: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw base (k, U), beta as a deviation (k, G) and walks (k, U, dates) from the prior."""
    tau, s_rw = hyper
    base = rng.standard_normal((k, features.fixed.shape[1])) @ features.fixed.T
    base += tau * rng.standard_normal((k, int(features.company.max()) + 1))[:, features.company]
    beta = prior.beta_sd * rng.standard_normal((k, 1))
    beta = beta + prior.beta_group_sd * rng.standard_normal((k, len(GROUPS)))
    elapsed = features.elapsed[dates]
    walk = np.zeros((k, len(features.group), len(dates)))
    for sign in (1.0, -1.0):
        order = np.flatnonzero(sign * elapsed > 0)[:: int(sign)]
        step = s_rw * np.sqrt(np.diff(sign * elapsed[order], prepend=0.0))
        shape = (k, len(features.group), len(order))
        walk[:, :, order] = np.cumsum(rng.standard_normal(shape) * step, axis=2)
    return base, beta, walk


def field_given_points(
    points: Points,
    features: Features,
    prior: Prior,
    hyper: tuple[float, float],
    G: FloatArray,
    dates: IntArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw the whole field given its values at the points (Matheron's rule without noise).

    Parameters
    ----------
    points, features, prior
        As above.
    hyper : tuple of float
        tau and s_rw.
    G : ndarray, shape (k, m)
        Log volumes at the points.
    dates : ndarray of int
        Weeks at which the walks are wanted; the weeks of the points are among them.
    rng : Generator
        Randomness.

    Returns
    -------
    base, beta, walk : ndarray, shapes (k, U), (k, G), (k, U, dates)
        One draw of the field for each row of G; beta as a deviation from its prior mean.
    """
    base, beta, walk = prior_field(features, prior, hyper, dates, len(G), rng)
    at = np.searchsorted(dates, points.week)
    unit, group = points.unit, features.group[points.unit]
    rise = features.rise[points.week, unit]
    value = features.mu[points.week, unit] + base[:, unit] + walk[:, unit, at]
    value += beta[:, group] * rise
    K = prior_covariance(points, features, prior, hyper)
    K[np.diag_indices_from(K)] += 1e-9 * np.trace(K) / len(K)
    alpha = np.linalg.solve(K, (G - value).T).T
    company = company_kernel(features, np.array([hyper[0]]))[0]
    base += alpha @ company[unit]
    slope = np.zeros((len(G), len(GROUPS)))
    for g in range(len(GROUPS)):
        slope[:, g] = alpha[:, group == g] @ rise[group == g]
    beta += prior.beta_sd**2 * slope.sum(axis=1, keepdims=True) + prior.beta_group_sd**2 * slope
    kernel = hyper[1] ** 2 * walk_kernel(features.elapsed[points.week], features.elapsed[dates])
    for u in np.unique(unit):
        walk[:, u] += alpha[:, unit == u] @ kernel[unit == u]
    return base, beta, walk
