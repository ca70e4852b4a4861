"""Variance components of cell means by restricted likelihood, and the predictions they imply."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import ndtri
from scipy.stats import qmc

from offroute._typing import FloatArray, IntArray
from offroute.exceptions import NotConverged

_TINY = 1e-9
_DRAWS = 32


@dataclass(frozen=True)
class CellMeans:
    """Means of one column by cell, with what is known of their noise.

    Attributes
    ----------
    mean : numpy.ndarray of float64, shape (c,)
        Means of the sampled cells.
    size : numpy.ndarray of float64, shape (c,)
        Effective sample sizes; the noise variance of a mean is ``sigma^2 / size``.
    groups : tuple of numpy.ndarray of int64, shape (all cells,)
        Level of every cell, sampled cells first, on each pooled term.
    within : float
        Sum of squares within cells.
    within_df : float
        Its degrees of freedom.
    """

    mean: FloatArray
    size: FloatArray
    groups: tuple[IntArray, ...]
    within: float
    within_df: float

    @cached_property
    def same(self) -> FloatArray:
        """Whether two cells share a level of each pooled term, shape (f, all cells, all cells)."""
        return np.array([g[:, None] == g for g in self.groups], dtype=np.float64)


@dataclass(frozen=True)
class Components:
    """Restricted-likelihood fit.

    Attributes
    ----------
    sd : numpy.ndarray of float64, shape (f,)
        Standard deviation of each pooled term.
    sigma : float
        Standard deviation of a row within its cell.
    intercept, intercept_se : float
        Overall mean and its standard error given the components.
    fixed_noise : bool
        Whether sigma was given.
    """

    sd: FloatArray
    sigma: float
    intercept: float
    intercept_se: float
    fixed_noise: bool


def fit_components(cells: CellMeans, *, sigma: float | None = None) -> Components:
    """Fit ``mean_c = b + sum_f u_f[level] + e_c`` by restricted maximum likelihood.

    Parameters
    ----------
    cells : CellMeans
        Data.
    sigma : float, optional
        Known standard deviation of a row; default estimated with the rest.

    Returns
    -------
    Components
        Estimates; a standard deviation may be 0.

    Raises
    ------
    NotConverged
        If the likelihood has no maximum within reach.
    """
    count = len(cells.groups)
    spread = max(float(np.std(cells.mean)), _TINY)
    noise = spread if sigma is None else sigma
    if sigma is None and cells.within > 0 and cells.within_df > 0:
        noise = float(np.sqrt(cells.within / cells.within_df))
    free = count + (sigma is None)

    def _loss(theta: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = _log_likelihood(cells, *_unpack(theta, sigma, spread, noise))
        return -value, -gradient[:free] * np.append(np.full(count, spread), noise)[:free]

    found = minimize(
        _loss,
        np.append(np.full(count, 0.5), 1.0)[:free],
        jac=True,
        method="L-BFGS-B",
        bounds=([(0.0, 1e3)] * count + [(1e-4, 1e3)])[:free],
        options={"ftol": 1e-15, "gtol": 1e-9},
    )
    if not np.isfinite(found.fun):
        raise NotConverged(
            "partial pooling",
            got="a restricted likelihood without a maximum",
            rule="cell means must inform the variance components",
            next_step="Pool fewer terms.",
        )
    sd, s = _unpack(found.x, sigma, spread, noise)
    b, se = _restricted(cells, sd, s)[2:]
    return Components(sd, s, b, se, sigma is not None)


def predict_cells(
    cells: CellMeans, sd: FloatArray, sigma: float, shares: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Best linear predictor of ``sum_c p_c theta_c`` given the components.

    Parameters
    ----------
    cells : CellMeans
        Data.
    sd, sigma : numpy.ndarray, float
        Components.
    shares : numpy.ndarray of float64, shape (all cells, k)
        Weights p of all cells, sampled cells first.

    Returns
    -------
    tuple of numpy.ndarray
        Predictions of all cells (all cells,), weights L of the sampled cells' means (c, k), and
        mean squared error (k,) of ``L'mean`` as predictor of ``p'theta``.
    """
    c = cells.mean.size
    k_all = _kernel(cells, sd)
    noise = np.diag(sigma**2 / cells.size)
    factor = cho_factor(k_all[:c, :c] + noise, lower=True)
    ones = np.ones(c)
    solved = cho_solve(factor, ones)
    precision = float(ones @ solved)
    b = float(solved @ cells.mean / precision)
    theta = b + k_all[:, :c] @ cho_solve(factor, cells.mean - b)
    right = k_all[:c] @ shares
    inner = cho_solve(factor, right)
    slack = shares.sum(axis=0) - ones @ inner
    weights = inner + np.outer(solved, slack) / precision
    error = np.einsum("ck,ck->k", shares, k_all @ shares) - np.einsum("ck,ck->k", right, inner)
    return theta, weights, np.asarray(np.maximum(error + slack**2 / precision, 0.0))


def uncertain_error(cells: CellMeans, fit: Components, shares: FloatArray) -> FloatArray:
    """Mean squared error (k,) of the prediction at `fit`, the components' error included.

    The components' posterior under flat priors on the standard deviations is approximated by a
    normal on their logarithms at its mode, corrected by importance weights on 32 Sobol points;
    ``E[mse(phi)] + E[(prediction(phi) - prediction)^2]``.

    Parameters
    ----------
    cells : CellMeans
        Data.
    fit : Components
        Components at which it predicts.
    shares : numpy.ndarray of float64, shape (all cells, k)
        Weights of the cells, sampled cells first.
    """
    spread = max(float(np.std(cells.mean)), _TINY)
    sigma = fit.sigma if fit.fixed_noise else None
    free = fit.sd.size + (sigma is None)
    centre = shares.T @ predict_cells(cells, fit.sd, fit.sigma, shares)[0]

    scale = np.append(np.full(fit.sd.size, spread), fit.sigma)[:free]

    def _log_posterior(theta: FloatArray) -> tuple[float, FloatArray]:
        moved = np.exp(theta)
        value, gradient = _log_likelihood(cells, *_unpack(moved, sigma, spread, fit.sigma))
        return value + float(theta.sum()), gradient[:free] * scale * moved + 1

    def _loss(theta: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = _log_posterior(theta)
        return -value, -gradient

    start = np.log(np.maximum(np.append(fit.sd / spread, 1.0)[:free], 0.1))
    bounds = [(-12.0, 6.0)] * free
    mode = minimize(_loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    moves = 0.05 * np.eye(free)
    slopes = [_log_posterior(mode + m)[1] - _log_posterior(mode - m)[1] for m in moves]
    hessian = np.array(slopes) / 0.1
    hessian = (hessian + hessian.T) / 2
    values, vectors = np.linalg.eigh(-hessian)
    # Wider than the normal, so that the importance weights stay bounded.
    root = 1.2 * vectors / np.sqrt(np.maximum(values, 0.1))
    uniform = qmc.Sobol(free, scramble=False).random(_DRAWS)
    z = ndtri(np.clip(uniform + 0.5 / _DRAWS, 1e-4, 1 - 1e-4))
    thetas = mode + z @ root.T
    log_weight = np.array([_log_posterior(t)[0] for t in thetas]) + 0.5 * (z * z).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    error = np.zeros(shares.shape[1])
    for p, theta in zip(weight, thetas, strict=True):
        sd, s = _unpack(np.exp(theta), sigma, spread, fit.sigma)
        predicted, _, mse = predict_cells(cells, sd, s, shares)
        error += p * (mse + (shares.T @ predicted - centre) ** 2)
    return error


def _unpack(
    theta: FloatArray, sigma: float | None, spread: float, noise: float
) -> tuple[FloatArray, float]:
    if sigma is not None:
        return np.asarray(theta * spread), sigma
    return np.asarray(theta[:-1] * spread), float(theta[-1] * noise)


def _kernel(cells: CellMeans, sd: FloatArray) -> FloatArray:
    return np.asarray(np.tensordot(sd * sd, cells.same, axes=1))


def _restricted(
    cells: CellMeans, sd: FloatArray, sigma: float
) -> tuple[float, FloatArray, float, float]:
    """Restricted log-likelihood of the means, its gradient in (sd, sigma), intercept and error."""
    c = cells.mean.size
    v = _kernel(cells, sd)[:c, :c] + np.diag(sigma**2 / cells.size)
    w = np.linalg.inv(v)
    ones = w.sum(axis=0)
    precision = float(ones.sum())
    b = float(ones @ cells.mean) / precision
    left = w @ (cells.mean - b)
    projected = w - np.outer(ones, ones) / precision
    value = -0.5 * (np.linalg.slogdet(v)[1] + np.log(precision) + float(left @ (cells.mean - b)))
    same = cells.same[:, :c, :c]
    slopes = [
        -s * (float((projected * k).sum()) - float(left @ k @ left))
        for s, k in zip(sd, same, strict=True)
    ]
    noise = -sigma * float((np.diag(projected) - left**2) @ (1 / cells.size))
    return float(value), np.array([*slopes, noise]), b, float(precision**-0.5)


def _log_likelihood(cells: CellMeans, sd: FloatArray, sigma: float) -> tuple[float, FloatArray]:
    value, gradient = _restricted(cells, sd, sigma)[:2]
    if cells.within_df > 0:
        value -= cells.within_df * np.log(sigma) + 0.5 * cells.within / sigma**2
        gradient[-1] += cells.within / sigma**3 - cells.within_df / sigma
    return float(value), gradient
