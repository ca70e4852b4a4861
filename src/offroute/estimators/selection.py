r"""Sample selection with unit logs: what all estimators share, and Heckman's two steps.

.. math::

   s_i = 1\{z_i'\gamma + v_i > 0\}, \qquad y_i = x_i'\beta + u_i \text{ seen if } s_i = 1, \qquad
   (v_i, u_i) \sim N\!\left(0, \begin{pmatrix} 1 & \rho\sigma \\ \rho\sigma & \sigma^2
   \end{pmatrix}\right) .

`offroute.estimators.selection_ml` maximises the likelihood, `selection_binary` beside it has a
binary outcome, and `exclusion` tests the exclusion restriction and dials its failure.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from offroute._checks import check_finite
from offroute._typing import BoolArray, FloatArray
from offroute.exceptions import CollinearMargins, InvalidValue, NotConverged, NotIdentified

_LOG_2PI = float(np.log(2 * np.pi))
_NEWTON_STEPS = 60
#: Tolerance of the gradient per unit, and of the last step, of the probit.
_GRADIENT = 1e-8


@dataclass(frozen=True)
class SelectionFit:
    """A fitted selection model (p columns of Z, q columns of X).

    Attributes
    ----------
    method : {'two-step', 'maximum likelihood', 'binary maximum likelihood'}
        How it was fitted.
    selection : ndarray, shape (p,)
        Coefficients gamma of the probit of being seen.
    outcome : ndarray, shape (q,)
        Coefficients beta of the outcome; of its probit for a binary outcome.
    sigma : float
        Standard deviation of the outcome's error; 1 for a binary outcome.
    rho : float
        Correlation of the two errors. The two-step estimate can lie outside [-1, 1].
    mills : float
        Coefficient of the inverse Mills ratio, rho sigma; nan for a binary outcome.
    covariance : ndarray
        Covariance of the estimates in the order gamma, beta, then the coefficient of the Mills
        ratio (two-step), sigma and rho (maximum likelihood), or rho (binary).
    log_likelihood : float
        Log likelihood at the estimate; nan for the two-step estimator.
    n, n_selected : int
        Number of units, and of those whose outcome is seen.
    """

    method: str
    selection: FloatArray
    outcome: FloatArray
    sigma: float
    rho: float
    mills: float
    covariance: FloatArray
    log_likelihood: float
    n: int
    n_selected: int

    @property
    def standard_errors(self) -> FloatArray:
        """Standard errors in the order of `covariance`."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


def inverse_mills(a: FloatArray) -> FloatArray:
    r"""Inverse Mills ratio :math:`\phi(a) / \Phi(a)`, stable in the far left tail.

    Parameters
    ----------
    a : ndarray
        Index of the probit.

    Returns
    -------
    ndarray
        The ratio, of the shape of `a`.

    Examples
    --------
    >>> inverse_mills(np.array([0.0, -40.0])).round(4).tolist()
    [0.7979, 40.025]
    """
    return np.asarray(np.exp(-0.5 * a**2 - 0.5 * _LOG_2PI - log_ndtr(a)))


def check_selection_input(
    y: FloatArray, X: FloatArray, selected: BoolArray, Z: FloatArray
) -> tuple[FloatArray, FloatArray, BoolArray, FloatArray]:
    """Check what a selection model is fitted to.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Outcome; what stands where it is not seen is ignored.
    X : ndarray, shape (n, q)
        Regressors of the outcome, with a constant.
    selected : ndarray of bool, shape (n,)
        Whether the outcome is seen.
    Z : ndarray, shape (n, p)
        Regressors of selection, with a constant.

    Returns
    -------
    tuple
        The four arrays, with y set to zero where it is not seen.

    Raises
    ------
    InvalidValue
        If lengths differ, a value is not finite, or all or no units are seen.
    CollinearMargins
        If the columns of X among the selected, or those of Z, are linearly dependent.
    NotIdentified
        If a constant aside no column of Z is missing from X.
    """
    s = np.asarray(selected)
    X, Z = np.asarray(X, dtype=np.float64), np.asarray(Z, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64)
    if not (s.dtype == bool and X.ndim == Z.ndim == 2 and len(y) == len(X) == len(s) == len(Z)):  # noqa: PLR2004 - two axes
        raise InvalidValue(
            "y, X, selected, Z",
            got=f"shapes {y.shape}, {X.shape}, {s.shape} of {s.dtype}, {Z.shape}",
            rule="must be (n,), (n, q), (n,) of bool and (n, p)",
            next_step="Keep one row for each unit, seen or not.",
        )
    if not 0 < s.sum() < len(s):
        raise InvalidValue(
            "selected",
            got=f"{int(s.sum())} of {len(s)} units seen",
            rule="some units must be seen and some not",
            next_step="Without unseen units there is nothing to correct.",
        )
    for name, values in (("y", y[s]), ("X", X[s]), ("Z", Z)):
        check_finite(values, name=name)
    for name, matrix in (("X", X[s]), ("Z", Z)):
        if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
            raise CollinearMargins(
                name,
                got=f"rank {np.linalg.matrix_rank(matrix)} of {matrix.shape[1]} columns",
                rule="its columns must be linearly independent",
                next_step="Drop the redundant column.",
            )
    if not len(excluded_columns(X, Z, s)):
        raise NotIdentified(
            "Z",
            got="no column that X does not span",
            rule="selection must depend on something that the outcome does not",
            next_step="Add an instrument; without one only the curve of the normal identifies.",
        )
    return np.where(s, y, 0.0), np.where(s[:, None] | np.isfinite(X), X, 0.0), s, Z


def excluded_columns(X: FloatArray, Z: FloatArray, selected: BoolArray) -> list[int]:
    """Return the columns of Z that the columns of X do not span among the selected.

    Parameters
    ----------
    X, Z : ndarray, shapes (n, q) and (n, p)
        Regressors of the outcome and of selection.
    selected : ndarray of bool, shape (n,)
        Whether the outcome is seen.

    Returns
    -------
    list of int
        The instruments.

    Examples
    --------
    >>> X = np.column_stack([np.ones(4), [0.0, 1.0, 2.0, 3.0]])
    >>> Z = np.column_stack([X, [1.0, 0.0, 0.0, 1.0]])
    >>> excluded_columns(X, Z, np.ones(4, dtype=bool))
    [2]
    """
    x, z = X[selected], Z[selected]
    residual = z - x @ np.linalg.lstsq(x, z, rcond=None)[0]
    scale = np.sqrt((z**2).sum(axis=0))
    return [int(j) for j in np.flatnonzero(np.sqrt((residual**2).sum(axis=0)) > 1e-8 * scale)]


def root_mean_square(M: FloatArray) -> FloatArray:
    """Root mean square of the columns of a matrix.

    Parameters
    ----------
    M : ndarray, shape (n, m)
        The matrix.

    Returns
    -------
    ndarray, shape (m,)
        One value a column.
    """
    return np.asarray(np.sqrt((M**2).mean(axis=0)))


def probit(selected: BoolArray, Z: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    r"""Fit :math:`P(s = 1) = \Phi(z'\gamma)` by maximum likelihood.

    Parameters
    ----------
    selected : ndarray of bool, shape (n,)
        Whether a unit is seen.
    Z : ndarray, shape (n, p)
        Regressors.

    Returns
    -------
    coefficients : ndarray, shape (p,)
        The estimate.
    covariance : ndarray, shape (p, p)
        Inverse of the observed information.
    log_likelihood : float
        At the estimate.

    Raises
    ------
    NotConverged
        If the units are separated, so that no finite estimate exists.

    Examples
    --------
    >>> from scipy.special import ndtri
    >>> seen = np.arange(10) < 3
    >>> bool(abs(probit(seen, np.ones((10, 1)))[0][0] - ndtri(0.3)) < 1e-8)
    True
    """
    sign = np.where(selected, 1.0, -1.0)
    g = np.zeros(Z.shape[1])
    for _ in range(_NEWTON_STEPS):
        a = Z @ g
        ratio = sign * inverse_mills(sign * a)
        score = Z.T @ ratio
        # The observed information of a probit is positive definite everywhere.
        step = np.linalg.solve((Z * (ratio * (ratio + a))[:, None]).T @ Z, score)
        g = g + step
        if np.abs(score).max() < _GRADIENT * len(Z) and np.abs(step).max() < _GRADIENT:
            a = Z @ g
            ratio = sign * inverse_mills(sign * a)
            covariance = np.linalg.inv((Z * (ratio * (ratio + a))[:, None]).T @ Z)
            return g, np.asarray(covariance, np.float64), float(log_ndtr(sign * a).sum())
    raise NotConverged(
        "probit of selection",
        got=f"largest coefficient {np.abs(g).max():.3g} after {_NEWTON_STEPS} steps",
        rule="the seen and the unseen must overlap in Z",
        next_step="Drop the column of Z that separates them.",
    )


def heckman_two_step(
    y: FloatArray, X: FloatArray, selected: BoolArray, Z: FloatArray
) -> SelectionFit:
    r"""Estimate the selection model by a probit and a regression with the inverse Mills ratio.

    .. math:: E[y \mid x, z, s = 1] = x'\beta + \rho\sigma\,\lambda(z'\gamma), \qquad
       \lambda = \phi / \Phi

    Parameters
    ----------
    y : ndarray, shape (n,)
        Outcome, such as the log price paid; ignored where not seen.
    X : ndarray, shape (n, q)
        Regressors of the outcome with a constant.
    selected : ndarray of bool, shape (n,)
        Whether the unit is on the panel.
    Z : ndarray, shape (n, p)
        Regressors of selection with a constant and at least one instrument that is not in X.

    Returns
    -------
    SelectionFit
        Coefficients with standard errors that carry the error of the first step.

    Raises
    ------
    InvalidValue, CollinearMargins, NotIdentified, NotConverged
        If the input breaks a rule; see `check_selection_input` and `probit`.

    Notes
    -----
    Assumes normal errors and a valid instrument. Consistent, less efficient than
    maximum likelihood, and its rho may leave [-1, 1]. Heckman (1979), doi:10.2307/1912352; the
    covariance is that of Greene (1981), doi:10.2307/1911523.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> z, x = rng.standard_normal((2, 20_000))
    >>> v, e = rng.standard_normal((2, 20_000))
    >>> seen = 0.3 + x + z + v > 0
    >>> one = np.ones_like(x)
    >>> y = 1 + 2 * x - 0.5 * v + e
    >>> fit = heckman_two_step(y, np.column_stack([one, x]), seen, np.column_stack([one, x, z]))
    >>> bool(np.all(np.abs(fit.outcome - [1, 2]) < 4 * fit.standard_errors[3:5]))
    True
    """
    y, X, s, Z = check_selection_input(y, X, selected, Z)
    g, V, _ = probit(s, Z)
    a = (Z @ g)[s]
    mills = inverse_mills(a)
    delta = mills * (mills + a)
    W = np.column_stack([X[s], mills])
    inverse = np.linalg.inv(W.T @ W)
    b = inverse @ (W.T @ y[s])
    residual = y[s] - W @ b
    sigma = float(np.sqrt(residual @ residual / s.sum() + delta.mean() * b[-1] ** 2))
    rho = float(b[-1] / sigma)
    F = (W * delta[:, None]).T @ Z[s]
    # sigma^2 (1 - rho^2 delta) is the variance of the truncated error; F V F' the first step's.
    middle = sigma**2 * (W * (1 - rho**2 * delta)[:, None]).T @ W + b[-1] ** 2 * F @ V @ F.T
    cov_b = inverse @ middle @ inverse
    p, q = Z.shape[1], X.shape[1]
    covariance = np.zeros((p + q + 1, p + q + 1))
    covariance[:p, :p], covariance[p:, p:] = V, cov_b
    covariance[p:, :p] = -b[-1] * inverse @ F @ V
    covariance[:p, p:] = covariance[p:, :p].T
    return SelectionFit(
        "two-step", g, b[:-1], sigma, rho, float(b[-1]), covariance, np.nan, len(s), int(s.sum())
    )
