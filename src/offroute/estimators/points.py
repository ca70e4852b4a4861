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
    even : ndarray, shape (m, n)
        Weight of a point in a benchmark that weighs all tiers of the unit alike.
    tilted : ndarray of int, shape (r,)
        Pairs whose benchmark weighs the tiers unlike each other (prices, or some tiers only).
    cells : ndarray of int, shape (q,)
        Cells of the units of the tilted pairs.
    panel, weighted : ndarray, shape (q, r)
        Panel mix of the cells of a tilted pair, zero outside its unit, and the same times the
        weight of the cell in the benchmark.
    spread : ndarray, shape (r, n)
        Which benchmark a tilted pair belongs to.
    inside : ndarray, shape (n,)
        Panel tokens or dollars that the benchmark contains.
    exact : ndarray of int, shape (n,)
        Place of a benchmark among the exact ones, -1 for a one-sided row.
    """

    week: IntArray
    unit: IntArray
    row: IntArray
    point: IntArray
    even: FloatArray
    tilted: IntArray
    cells: IntArray
    panel: FloatArray
    weighted: FloatArray
    spread: FloatArray
    inside: FloatArray
    exact: IntArray


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
    for i in range(len(b)):
        pairs += [(i, int(b.week[i]), int(u)) for u in np.unique(features.unit[b.w[i] > 0])]
    places = sorted({x[1:] for x in pairs})
    number = {place: j for j, place in enumerate(places)}
    row = np.array([x[0] for x in pairs], dtype=np.int64)
    point = np.array([number[x[1:]] for x in pairs], dtype=np.int64)
    members = [np.flatnonzero(features.unit == x[2]) for x in pairs]
    level = [np.ptp(b.w[i, c]) == 0 for i, c in zip(row, members, strict=True)]
    alike = np.array(level, dtype=bool)
    even = np.zeros((len(places), len(b)))
    for k in np.flatnonzero(alike):
        even[point[k], row[k]] = b.w[row[k], members[k][0]]
    tilted = np.flatnonzero(~alike)
    of = row[tilted]
    inside_pair = np.zeros((len(features.unit), len(tilted)))
    for j, k in enumerate(tilted):
        inside_pair[members[k], j] = np.exp(features.mix[b.week[row[k]], members[k]])
    cells = np.flatnonzero(inside_pair.any(axis=1))
    return Points(
        week=np.array([x[0] for x in places], dtype=np.int64),
        unit=np.array([x[1] for x in places], dtype=np.int64),
        row=row,
        point=point,
        even=even,
        tilted=tilted,
        cells=cells,
        panel=inside_pair[cells],
        weighted=inside_pair[cells] * b.w[of][:, cells].T,
        spread=(of[:, None] == np.arange(len(b))).astype(np.float64),
        inside=b.iota * (b.w * market.X[b.week]).sum(axis=1),
        exact=np.where(b.side == 0, np.cumsum(b.side == 0) - 1, -1),
    )


def predict(points: Points, phi: FloatArray) -> FloatArray:
    """Log total h of every benchmark.

    Parameters
    ----------
    points : Points
        Index arrays.
    phi : ndarray, shape (k, at least m + C)
        Log volumes at the points, then the split of all cells.

    Returns
    -------
    ndarray, shape (k, n)
        Log tokens, dollars or common multiples a week.
    """
    m = len(points.week)
    volume = np.exp(phi[:, :m])
    total = points.inside + volume @ points.even
    if len(points.tilted):
        split = np.exp(phi[:, m + points.cells])
        weight = (split @ points.weighted) / (split @ points.panel)
        total += (volume[:, points.point[points.tilted]] * weight) @ points.spread
    return np.asarray(np.log(total))


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
    scale = prior.beta_sd**2 + prior.beta_group_sd**2 * same
    scale = scale + prior.beta_unit_sd**2 * (unit[:, None] == unit[None, :])
    out: FloatArray = K + np.outer(rise, rise) * scale
    return out


def prior_mean(points: Points, features: Features) -> FloatArray:
    """Prior mean of the points.

    Parameters
    ----------
    points, features : Points, Features
        Where the benchmarks look, and the design.

    Returns
    -------
    ndarray, shape (m + C + 2,)
        Mean log volumes, then zeros for the split and for what is common to a side.
    """
    level = features.mu[points.week, points.unit]
    return np.asarray(np.concatenate([level, np.zeros(len(features.unit) + 2)]))


def gradient(points: Points, features: Features, fit: Laplace, node: int) -> FloatArray:
    """Linear map from the points to the linearised exact benchmarks.

    Parameters
    ----------
    points, features : Points, Features
        Where the benchmarks look, and the design.
    fit : Laplace
        Linearised posterior given the exact benchmarks, in their order.
    node : int
        Node of the grid.

    Returns
    -------
    ndarray, shape (n exact, m + C)
        Derivatives of the log figures with respect to the points.
    """
    m = len(points.week)
    out = np.zeros((fit.target.shape[1], m + len(features.unit)))
    pair = np.flatnonzero(points.exact[points.row] >= 0)
    row = points.exact[points.row[pair]]
    out[row, points.point[pair]] = fit.J[node, row, points.unit[points.point[pair]]]
    out[:, m:] = fit.J_split[node]
    return out


def prior_field(
    features: Features,
    prior: Prior,
    hyper: tuple[float, float],
    dates: IntArray,
    k: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw the field from its prior.

    Parameters
    ----------
    features, prior : Features, Prior
        Design and scales.
    hyper : tuple of float
        tau and s_rw.
    dates : ndarray of int
        Weeks of the walks, sorted.
    k : int
        Number of draws.
    rng : Generator
        Randomness.

    Returns
    -------
    base, beta, walk : ndarray, shapes (k, U), (k, U), (k, U, dates)
        beta is a deviation from its prior mean.
    """
    tau, s_rw = hyper
    base = rng.standard_normal((k, features.fixed.shape[1])) @ features.fixed.T
    base += tau * rng.standard_normal((k, int(features.company.max()) + 1))[:, features.company]
    beta = prior.beta_sd * rng.standard_normal((k, 1))
    beta = beta + (prior.beta_group_sd * rng.standard_normal((k, len(GROUPS))))[:, features.group]
    beta += prior.beta_unit_sd * rng.standard_normal(beta.shape)
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
    points, features, prior : Points, Features, Prior
        Where the benchmarks look, the design and the scales.
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
    base, beta, walk : ndarray, shapes (k, U), (k, U), (k, U, dates)
        One draw of the field for each row of G; beta as a deviation from its prior mean.
    """
    base, beta, walk = prior_field(features, prior, hyper, dates, len(G), rng)
    if not len(points.week):
        return base, beta, walk
    at = np.searchsorted(dates, points.week)
    unit = points.unit
    rise = features.rise[points.week, unit]
    value = features.mu[points.week, unit] + base[:, unit] + walk[:, unit, at]
    value += beta[:, unit] * rise
    K = prior_covariance(points, features, prior, hyper)
    K[np.diag_indices_from(K)] += 1e-9 * np.trace(K) / len(K)
    alpha = np.linalg.solve(K, (G - value).T).T
    company = company_kernel(features, np.array([hyper[0]]))[0]
    base += alpha @ company[unit]
    pull = np.array([alpha[:, unit == u] @ rise[unit == u] for u in range(beta.shape[1])]).T
    same = np.eye(len(GROUPS))[features.group]
    beta += prior.beta_sd**2 * pull.sum(axis=1, keepdims=True)
    beta += prior.beta_group_sd**2 * (pull @ same)[:, features.group]
    beta += prior.beta_unit_sd**2 * pull
    kernel = hyper[1] ** 2 * walk_kernel(features.elapsed[points.week], features.elapsed[dates])
    for u in np.unique(unit):
        walk[:, u] += alpha[:, unit == u] @ kernel[unit == u]
    return base, beta, walk
