r"""Sample selection with unit logs: the maximum-likelihood estimator of Heckman's model."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

from offroute._typing import BoolArray, FloatArray
from offroute.estimators.selection import (
    SelectionFit,
    check_selection_input,
    heckman_two_step,
    inverse_mills,
    root_mean_square,
)
from offroute.exceptions import NotConverged

_LOG_2PI = float(np.log(2 * np.pi))
_NEWTON_STEPS = 60
#: Tolerance of the gradient per unit, and of the last step.
_GRADIENT = 1e-6
_MAX_ATANH = 8.0
_FARTHEST = 12.0

#: Parameters to minus the log likelihood and its gradient.
Objective = Callable[[FloatArray], tuple[float, FloatArray]]


def _negative_log_likelihood(
    theta: FloatArray, y: FloatArray, X: FloatArray, s: BoolArray, Z: FloatArray
) -> tuple[float, FloatArray]:
    """Minus the log likelihood and its gradient in (gamma, beta, log sigma, atanh rho)."""
    p, q = Z.shape[1], X.shape[1]
    g, b = theta[:p], theta[p : p + q]
    sigma, rho, root = np.exp(theta[-2]), *correlation(float(theta[-1]))
    root = 1 / root
    a, Xs, Zs = Z @ g, X[s], Z[s]
    e = (y[s] - Xs @ b) / sigma
    index = (a[s] + rho * e) * root
    value = log_ndtr(-a[~s]).sum() + log_ndtr(index).sum()
    value -= 0.5 * (e @ e) + s.sum() * (theta[-2] + 0.5 * _LOG_2PI)
    m = inverse_mills(index)
    d_g = Zs.T @ (m * root) - Z[~s].T @ inverse_mills(-a[~s])
    d_e = m * rho * root - e
    d_b = -Xs.T @ d_e / sigma
    d_sigma = -(d_e @ e) - s.sum()
    # d index / d atanh(rho) = root (e + rho a), since d rho / d atanh(rho) = 1 - rho^2.
    d_rho = (m * root * (e + rho * a[s])).sum()
    return -float(value), -np.concatenate([d_g, d_b, [d_sigma, d_rho]])


def correlation(atanh: float) -> tuple[float, float]:
    """Return rho and the root of 1 - rho^2, which stays above zero far beyond any estimate.

    Parameters
    ----------
    atanh : float
        Inverse hyperbolic tangent of the correlation.

    Returns
    -------
    rho, root : float
        The correlation and the root.
    """
    a = min(max(atanh, -_FARTHEST), _FARTHEST)
    return float(np.tanh(a)), float(1 / np.cosh(a))


def maximise(
    objective: Objective, start: FloatArray, n: int, *, name: str
) -> tuple[FloatArray, float, FloatArray]:
    """Maximise a likelihood given minus its log and gradient; the last parameter is atanh rho.

    Parameters
    ----------
    objective : callable
        Parameters to minus the log likelihood and its gradient.
    start : ndarray, shape (m,)
        Where to start.
    n : int
        Number of units; the gradient's tolerance is per unit.
    name : str
        What is fitted, for the message.

    Returns
    -------
    theta : ndarray, shape (m,)
        The maximum.
    log_likelihood : float
        Its value.
    covariance : ndarray, shape (m, m)
        Inverse of the observed information, from differences of the exact gradient.

    Raises
    ------
    NotConverged
        If the maximum is not found, or lies at rho = 1 or -1.
    """
    found = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-5 * n})
    theta = np.asarray(found.x, dtype=np.float64)
    for _ in range(_NEWTON_STEPS):
        gradient = objective(theta)[1]
        H = _hessian(objective, theta)
        if np.linalg.eigvalsh(H)[0] <= 0:
            break
        step = np.linalg.solve(H, gradient)
        theta = theta - step
        if np.abs(gradient).max() < _GRADIENT * n and np.abs(step).max() < _GRADIENT:
            covariance = np.asarray(np.linalg.inv(_hessian(objective, theta)), dtype=np.float64)
            return theta, -float(objective(theta)[0]), covariance
        if abs(theta[-1]) > _MAX_ATANH:
            break
    raise NotConverged(
        name,
        got=f"rho {np.tanh(theta[-1]):.4f}, largest gradient {np.abs(gradient).max():.3g}",
        rule="the likelihood must have a maximum with rho inside (-1, 1)",
        next_step="Look at the two-step fit and at the strength of the instrument.",
    )


def _hessian(objective: Objective, theta: FloatArray) -> FloatArray:
    """Central differences of the exact gradient."""
    out = np.empty((len(theta), len(theta)))
    for j in range(len(theta)):
        step = np.zeros_like(theta)
        step[j] = 1e-5 * max(1.0, abs(theta[j]))
        out[j] = (objective(theta + step)[1] - objective(theta - step)[1]) / (2 * step[j])
    return np.asarray(0.5 * (out + out.T))


def heckman_ml(y: FloatArray, X: FloatArray, selected: BoolArray, Z: FloatArray) -> SelectionFit:
    r"""Estimate the selection model by maximum likelihood.

    .. math::

       \ell = \sum_{s=0} \log\Phi(-z'\gamma) + \sum_{s=1} \Big[ \log\phi(e) - \log\sigma +
       \log\Phi\Big(\frac{z'\gamma + \rho e}{\sqrt{1-\rho^2}}\Big)\Big], \qquad
       e = (y - x'\beta)/\sigma

    Parameters
    ----------
    y, X, selected, Z : ndarray
        As for `heckman_two_step`.

    Returns
    -------
    SelectionFit
        Coefficients, sigma and rho, with the covariance of the observed information.

    Raises
    ------
    InvalidValue, CollinearMargins, NotIdentified, NotConverged
        If the input breaks a rule, or there is no maximum with rho inside (-1, 1).

    Notes
    -----
    Efficient under joint normality and wrong without it; not identified without an instrument but
    by the curve of the normal. Heckman (1979), doi:10.2307/1912352.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> z, x = rng.standard_normal((2, 5000))
    >>> v, e = rng.standard_normal((2, 5000))
    >>> one = np.ones_like(x)
    >>> fit = heckman_ml(1 + 2 * x - 0.5 * v + e, np.column_stack([one, x]), x + z + v > 0,
    ...                  np.column_stack([one, x, z]))
    >>> bool(abs(fit.rho + 0.447) < 0.1)
    True
    """
    y, X, s, Z = check_selection_input(y, X, selected, Z)
    # Columns of one size, so that one step of the differences suits all.
    unit = np.concatenate([root_mean_square(Z), root_mean_square(X[s])])
    p = Z.shape[1]
    Z, X = Z / unit[:p], X / unit[p:]
    first = heckman_two_step(y, X, s, Z)
    start = np.concatenate(
        [
            first.selection,
            first.outcome,
            [np.log(first.sigma), np.arctanh(np.clip(first.rho, -0.9, 0.9))],
        ]
    )
    theta, value, V = maximise(
        lambda t: _negative_log_likelihood(t, y, X, s, Z), start, len(s), name="selection model"
    )
    sigma, rho = float(np.exp(theta[-2])), float(np.tanh(theta[-1]))
    scale = np.concatenate([1 / unit, [sigma, 1 - rho**2]])
    return SelectionFit(
        "maximum likelihood",
        theta[:p] * scale[:p],
        theta[p:-2] * scale[p:-2],
        sigma,
        rho,
        rho * sigma,
        V * np.outer(scale, scale),
        value,
        len(s),
        int(s.sum()),
    )
