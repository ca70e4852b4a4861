r"""Adaptive Gauss-Hermite quadrature over half-normal scales.

A scale :math:`x = s\,\Phi^{-1}((1 + \Phi(u)) / 2)` is half-normal with scale :math:`s` when
:math:`u` is standard normal. Evidence seldom has more than one peak in :math:`u`, so that few nodes
around the posterior mean of :math:`u`, as far apart as its standard deviation says, integrate it
(Naylor and Smith 1982, doi:10.2307/2347995).
"""

import numpy as np
from scipy.special import ndtr, ndtri

from offroute._typing import FloatArray

_LOG_2PI = float(np.log(2 * np.pi))


def half_normal(u: FloatArray, scale: FloatArray) -> FloatArray:
    """Half-normal values from standard normal ones, of the same probability.

    Parameters
    ----------
    u : ndarray
        Standard normal values.
    scale : ndarray
        Scales of the half-normals, broadcast against `u`.

    Returns
    -------
    ndarray
        Positive values.

    Examples
    --------
    >>> half_normal(np.array([0.0, 3.0]), np.array(1.0)).round(4).tolist()
    [0.6745, 3.2052]
    """
    out: FloatArray = -scale * ndtri(0.5 * ndtr(-u))
    return out


def normal_nodes(
    centre: FloatArray, spread: FloatArray, counts: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    r"""Product nodes around a centre and their log weights against independent standard normals.

    .. math:: \int f(u)\,N(u; 0, I)\,du \approx \sum_b e^{\ell_b} f(u_b), \qquad
       u_b = c + \sigma x_b

    Parameters
    ----------
    centre, spread : ndarray, shape (k,)
        Where the integrand has its mass, and how wide.
    counts : tuple of int, length k
        Nodes on each axis.

    Returns
    -------
    nodes : ndarray, shape (B, k)
        The nodes.
    log_weight : ndarray, shape (B,)
        Their log weights.

    Examples
    --------
    >>> u, log_weight = normal_nodes(np.array([0.5]), np.array([1.2]), (9,))
    >>> round(float(np.exp(log_weight) @ u[:, 0] ** 2), 3)
    1.0
    """
    axes = [np.polynomial.hermite_e.hermegauss(n) for n in counts]
    x = np.stack(np.meshgrid(*[a[0] for a in axes], indexing="ij"), axis=-1)
    x = x.reshape(-1, len(counts))
    log_axes = [np.log(a[1]) - 0.5 * _LOG_2PI for a in axes]
    log_weight = np.sum(np.meshgrid(*log_axes, indexing="ij"), axis=0).ravel()
    u = centre + spread * x
    log_weight += np.log(spread).sum() + 0.5 * ((x**2).sum(axis=1) - (u**2).sum(axis=1))
    return u, log_weight


def weighted_moments(u: FloatArray, log_weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of weighted nodes.

    Parameters
    ----------
    u : ndarray, shape (B, k)
        Nodes.
    log_weight : ndarray, shape (B,)
        Log weights, up to a constant.

    Returns
    -------
    mean, sd : ndarray, shape (k,)
        The moments.
    """
    w = np.exp(log_weight - log_weight.max())
    w /= w.sum()
    mean = w @ u
    return mean, np.sqrt(w @ (u - mean) ** 2)
