r"""Laplace approximation of the evidence synthesis on a grid of hyper-parameters.

For every node :math:`(\tau, \omega, s_{rw})` at once, Gauss-Newton steps with halving find the mode
of the log volumes :math:`G_i` of the units at the date of each benchmark and of the split
:math:`\xi`:

.. math::

   h_i &= \log \sum_c w_{ic}\,(D_{ic} + \iota_i X_{ic}), \qquad
   J_{il} = \sum_{c \in l} w_{ic} D_{ic} / e^{h_i}, \\
   \Sigma &= J K J' + S, \qquad \tilde y = y - off - h + J (G - \mu), \qquad
   \alpha = \Sigma^{-1} \tilde y, \qquad G \leftarrow \mu + K J' \alpha .

The matrices are dense in the number of benchmarks only.
"""

from dataclasses import dataclass

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.gaussian_system import (
    Features,
    cell_volume,
    sum_units,
    walk_kernel,
)
from offroute.estimators.prior import Prior
from offroute.exceptions import NotConverged
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import GROUPS, Market

_LOG_2PI = float(np.log(2 * np.pi))
#: Any linearisation is a valid proposal; a good one cannot gain more than this.
_TOLERANCE = 1e-2
_MAX_ITERATIONS = 60
#: A gain after the last iteration above which the mode is not worth using.
_LOST = 1.0
_HALVINGS = 12
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Laplace:
    """Linearised posterior at every node of the grid (B nodes, n benchmarks, C cells, U units).

    Attributes
    ----------
    tau, omega, s_rw : ndarray, shape (B,)
        Hyper-parameters of the nodes.
    J : ndarray, shape (B, n, U)
        Share of each benchmark that is off-platform volume of each unit.
    J_split : ndarray, shape (B, n, C)
        Derivative with respect to the log split over tiers.
    Sigma, S : ndarray, shape (B, n, n)
        Covariance of the linearised benchmarks, and its error part.
    target : ndarray, shape (B, n)
        Linearised benchmarks minus offset, h and prior mean: the vector y-tilde.
    alpha : ndarray, shape (B, n)
        Solution of ``Sigma alpha = target``.
    log_evidence : ndarray, shape (B,)
        Laplace approximation of the log density of the benchmarks.
    G : ndarray, shape (B, n, U)
        Mode of the log volumes of the units at the date of each benchmark.
    xi : ndarray, shape (B, C)
        Mode of the log split over tiers.
    """

    tau: FloatArray
    omega: FloatArray
    s_rw: FloatArray
    J: FloatArray
    J_split: FloatArray
    Sigma: FloatArray
    S: FloatArray
    target: FloatArray
    alpha: FloatArray
    log_evidence: FloatArray
    G: FloatArray
    xi: FloatArray


def error_covariance(b: Benchmarks, prior: Prior, omega: FloatArray) -> FloatArray:
    r"""Covariance of the errors of the benchmarks, without those of one-sided rows.

    .. math:: S = diag(s^2) + \sum_f (\omega^2 + q q')\,1_f 1_f' + s_{cm}^2 (1_{US} 1_{US}' +
       1_{CN} 1_{CN}')

    A share table has the flat multiplier instead of omega and no common mode. A one-sided row
    carries its variance on the diagonal: it bounds, and lends nothing to its family. What it shares
    with its country is a coordinate of its own in `components`.

    Parameters
    ----------
    b : Benchmarks
        The benchmarks.
    prior : Prior
        Scales.
    omega : ndarray, shape (B,)
        Family scale of each node.

    Returns
    -------
    ndarray, shape (B, n, n)
        One matrix per node.
    """
    n = len(b)
    same = b.family[:, None] == b.family[None, :]
    flat = b.flat[b.family]
    exact = b.side == 0
    pair = exact[:, None] & exact[None, :]
    level = pair & ~(flat[:, None] | flat[None, :])
    base = same * pair * np.outer(b.q, b.q) * ~flat[:, None] + same * pair * flat * prior.flat**2
    base = base + prior.s_cm**2 * level * (b.origin[:, None] * b.origin[None, :] > 0)
    diagonal = b.s**2 + np.where(flat, b.q**2, 0.0)
    base[np.arange(n), np.arange(n)] += np.where(exact, diagonal, b.s**2 + b.q**2)
    shared = same * level + np.diag(~exact & ~flat)
    S: FloatArray = base[None] + omega[:, None, None] ** 2 * shared[None]
    return S


def half_normal_nodes(scale: float, n: int) -> tuple[FloatArray, FloatArray]:
    """Gauss-Hermite nodes and weights of a half-normal distribution.

    Parameters
    ----------
    scale : float
        Scale of the half-normal.
    n : int
        Number of nodes; even moments up to order 4n - 2 are exact.

    Returns
    -------
    nodes, weights : ndarray, shape (n,)
        Positive nodes, weights that sum to one.

    Examples
    --------
    >>> x, p = half_normal_nodes(0.75, 4)
    >>> round(float(p @ x**2), 12)
    0.5625
    """
    x, p = np.polynomial.hermite_e.hermegauss(2 * n)
    keep = x > 0
    return scale * x[keep], p[keep] / p[keep].sum()


def _predict(
    features: Features, b: Benchmarks, inside: FloatArray, G: FloatArray, xi: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Off-platform money or tokens of each benchmark by cell, (B, n, C), and the log total h."""
    wD = b.w * cell_volume(features, G, features.mix[b.week], xi[:, None, :])
    return wD, np.log(inside + wD.sum(axis=2))


def _gradients(
    features: Features, b: Benchmarks, cell: FloatArray, xi: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the derivatives of h in the log volumes, (B, n, U), and in the split, (B, n, C)."""
    J = sum_units(features, cell)
    part = np.exp(features.mix[b.week] + xi[:, None, :])
    part /= sum_units(features, part)[:, :, features.unit]
    return J, cell - part * J[:, :, features.unit]


def _objective(b: Benchmarks, root: FloatArray, h: FloatArray, quadratic: FloatArray) -> FloatArray:
    """Negative log posterior of each node up to a constant, shape (B,)."""
    white = (root @ (b.y - b.off - h)[:, :, None])[:, :, 0]
    out: FloatArray = 0.5 * (quadratic + (white**2).sum(axis=1))
    return out


def _line_search(
    target: tuple[Features, Benchmarks, FloatArray, FloatArray],
    state: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    step: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Halve the step of each node until its density does not fall; prior terms are bilinear."""
    features, b, inside, root = target
    G, xi, quadratic, last = state
    G_step, xi_step, cross, own = step
    damp = np.ones(len(xi))
    for _ in range(_HALVINGS):
        trial, trial_xi = G + damp[:, None, None] * G_step, xi + damp[:, None] * xi_step
        norm = (1 - damp) ** 2 * quadratic + 2 * damp * (1 - damp) * cross + damp**2 * own
        wD, h = _predict(features, b, inside, trial, trial_xi)
        value = _objective(b, root, h, norm)
        worse = ~(value <= last + _ROUNDING)
        if not worse.any():
            break
        damp = np.where(worse, 0.5 * damp, damp)
    else:
        # A node that no step improves stays where it is.
        damp = np.where(worse, 0.0, damp)
        trial, trial_xi = G + damp[:, None, None] * G_step, xi + damp[:, None] * xi_step
        norm = (1 - damp) ** 2 * quadratic + 2 * damp * (1 - damp) * cross + damp**2 * own
        wD, h = _predict(features, b, inside, trial, trial_xi)
        value = _objective(b, root, h, norm)
    return trial, trial_xi, norm, wD, h, value


def laplace(
    market: Market,
    features: Features,
    b: Benchmarks,
    prior: Prior,
    nodes: tuple[FloatArray, FloatArray, FloatArray],
    *,
    shift: FloatArray | float = 0.0,
    start: tuple[FloatArray, FloatArray] | None = None,
) -> Laplace:
    """Find the mode and the Laplace evidence at every node.

    Parameters
    ----------
    market : Market
        The panel.
    features : Features
        Design under the prior.
    b : Benchmarks
        The evidence; exact figures.
    prior : Prior
        Scales that the grid does not vary.
    nodes : tuple of three ndarray, shape (B,)
        tau, omega, s_rw.
    shift : ndarray, shape (B, n, n), optional
        Extra error covariance of each node.
    start : tuple of ndarray, shapes (n, U) and (C,), optional
        Log volumes and split to linearise at first; the prior mean by default.

    Returns
    -------
    Laplace
        The linearised posterior.

    Raises
    ------
    NotConverged
        If the log density still gains after the largest number of steps.
    """
    tau, omega, s_rw = nodes
    K = company_kernel(features, tau)
    K_split = features.split @ features.split.T
    at = features.elapsed[b.week]
    walk = walk_kernel(at, at)
    rise, mu = features.rise[b.week], features.mu[b.week]
    inside = b.iota * (b.w * market.X[b.week]).sum(axis=1)
    of_group = np.eye(len(GROUPS))[features.group]
    S = error_covariance(b, prior, omega) + shift
    root = np.linalg.inv(np.linalg.cholesky(S))
    first = (mu, np.zeros(len(features.unit))) if start is None else start
    G = np.broadcast_to(first[0], (len(tau), *mu.shape)).copy()
    xi = np.broadcast_to(first[1], (len(tau), len(features.unit))).copy()
    wD, h = _predict(features, b, inside, G, xi)
    # The prior density of a start that is not the prior mean is not known: its step is taken whole.
    quadratic = np.full(len(tau), 0.0 if start is None else np.inf)
    value, gain = _objective(b, root, h, quadratic), np.inf
    for _ in range(_MAX_ITERATIONS):
        J, J_split = _gradients(features, b, wD / np.exp(h)[:, :, None], xi)
        linear = (J * (G - mu)).sum(axis=2) + (J_split @ xi[:, :, None])[:, :, 0]
        target = b.y - b.off - h + linear
        V = J * rise
        slope, slope_group = V.sum(axis=2), V @ of_group
        JK, JK_split = J @ K, J_split @ K_split
        Sigma = JK @ J.transpose(0, 2, 1) + JK_split @ J_split.transpose(0, 2, 1) + S
        Sigma += s_rw[:, None, None] ** 2 * walk * (J @ J.transpose(0, 2, 1))
        Sigma += prior.beta_sd**2 * slope[:, :, None] * slope[:, None, :]
        Sigma += prior.beta_group_sd**2 * slope_group @ slope_group.transpose(0, 2, 1)
        Sigma += prior.beta_unit_sd**2 * V @ V.transpose(0, 2, 1)
        alpha = np.linalg.solve(Sigma, target[:, :, None])[:, :, 0]
        beta = prior.beta_sd**2 * (slope * alpha).sum(axis=1)[:, None] + (
            prior.beta_group_sd**2 * (slope_group * alpha[:, :, None]).sum(axis=1)
        )
        G_step = mu + (alpha[:, None, :] @ JK) + rise * beta[:, None, features.group] - G
        G_step += prior.beta_unit_sd**2 * rise * (alpha[:, None, :] @ V)
        G_step += s_rw[:, None, None] ** 2 * (walk @ (alpha[:, :, None] * J))
        xi_step = (alpha[:, None, :] @ JK_split)[:, 0] - xi
        cross = (linear * alpha).sum(axis=1)
        own = (alpha * (target - (S @ alpha[:, :, None])[:, :, 0])).sum(axis=1)
        last = value
        if np.isinf(quadratic[0]):
            G, xi, quadratic = G + G_step, xi + xi_step, own
            wD, h = _predict(features, b, inside, G, xi)
            value = _objective(b, root, h, quadratic)
            continue
        G, xi, quadratic, wD, h, value = _line_search(
            (features, b, inside, root), (G, xi, quadratic, value), (G_step, xi_step, cross, own)
        )
        gain = float((last - value).max())
        if gain < _TOLERANCE:
            break
    if gain > _LOST:
        raise NotConverged(
            "Gauss-Newton of the evidence synthesis",
            got=f"a gain of {gain:.1e} after {_MAX_ITERATIONS} iterations",
            rule=f"the gain in log density must fall below {_LOST:g}",
            next_step="Look for benchmarks that contradict each other by orders of magnitude.",
        )
    logdet = np.linalg.slogdet(Sigma)[1]
    evidence = -0.5 * (logdet + (target * alpha).sum(axis=1) + len(b) * _LOG_2PI)
    return Laplace(tau, omega, s_rw, J, J_split, Sigma, S, target, alpha, evidence, G, xi)


def company_kernel(features: Features, tau: FloatArray) -> FloatArray:
    """Prior covariance of the part of the units that does not change in time.

    Parameters
    ----------
    features : Features
        Design.
    tau : ndarray, shape (B,)
        Scale of the companies at each node.

    Returns
    -------
    ndarray, shape (B, U, U)
        One matrix per node.
    """
    same = features.company[:, None] == features.company[None, :]
    K: FloatArray = (features.fixed @ features.fixed.T)[None] + tau[:, None, None] ** 2 * same
    return K
