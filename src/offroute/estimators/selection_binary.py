r"""Sample selection with a binary outcome: a probit seen through a probit.

.. math::

   s = 1\{z'\gamma + v > 0\}, \quad y = 1\{x'\beta + u > 0\} \text{ seen if } s = 1, \quad
   P(s = 1, y = 1) = \Phi_2(z'\gamma, x'\beta; \rho) .
"""

import numpy as np
from scipy.special import log_ndtr, ndtr, owens_t

from offroute._typing import BoolArray, FloatArray
from offroute.estimators.selection import (
    SelectionFit,
    check_selection_input,
    inverse_mills,
    probit,
    root_mean_square,
)
from offroute.estimators.selection_ml import correlation, maximise
from offroute.exceptions import InvalidValue

#: Owen's function is exact to about 1e-16, so that smaller probabilities are noise.
_SMALLEST = 1e-15


def bivariate_normal_cdf(h: FloatArray, k: FloatArray, rho: float) -> FloatArray:
    r"""Probability that two standard normal variables lie below h and k.

    .. math:: \Phi_2(h, k; \rho) = \tfrac12 [\Phi(h) + \Phi(k)] - T(h, a_h) - T(k, a_k) -
       \tfrac12 [hk < 0 \text{ or } hk = 0, h + k < 0]

    with Owen's T and :math:`a_h = (k/h - \rho)/\sqrt{1-\rho^2}`.

    Parameters
    ----------
    h, k : ndarray, shape (n,)
        Upper limits.
    rho : float
        Correlation inside (-1, 1).

    Returns
    -------
    ndarray, shape (n,)
        Probabilities, with an absolute error of about 1e-16.

    Notes
    -----
    Owen (1956), doi:10.1214/aoms/1177728074.

    Examples
    --------
    >>> bivariate_normal_cdf(np.zeros(1), np.zeros(1), 0.5).round(12).tolist()
    [0.333333333333]
    """
    root = np.sqrt(1 - rho**2)
    # A limit of zero has the same value as one beside it, and the ratio then exists.
    h, k = (np.where(x == 0, 1e-300, x) for x in (h, k))
    out = 0.5 * (ndtr(h) + ndtr(k))
    out -= owens_t(h, (k / h - rho) / root) + owens_t(k, (h / k - rho) / root)
    return np.asarray(out - 0.5 * (np.sign(h) * np.sign(k) < 0))


def _negative_log_likelihood(
    theta: FloatArray,
    data: tuple[FloatArray, FloatArray, BoolArray, FloatArray],
    offset: FloatArray,
) -> tuple[float, FloatArray]:
    """Minus the log likelihood and its gradient in (gamma, beta, atanh rho)."""
    sign, X, s, Z = data
    p = Z.shape[1]
    rho, root = correlation(float(theta[-1]))
    a_all = Z @ theta[:p]
    a, b = a_all[s], X @ theta[p:-1] + offset
    k, r = sign * b, sign * rho
    joint = np.empty(len(a))
    for value in (1.0, -1.0):
        of = sign == value
        joint[of] = bivariate_normal_cdf(a[of], k[of], value * rho)
    P = np.maximum(joint, _SMALLEST)
    unseen = -a_all[~s]
    log_likelihood = log_ndtr(unseen).sum() + np.log(P).sum()
    density = np.exp(-0.5 * a**2) / np.sqrt(2 * np.pi)
    d_a = density * ndtr((k - r * a) / root) / P
    d_k = np.exp(-0.5 * k**2) / np.sqrt(2 * np.pi) * ndtr((a - r * k) / root) / P
    both = np.exp(-0.5 * (a**2 - 2 * r * a * k + k**2) / root**2) / (2 * np.pi * root) / P
    d_g = Z[s].T @ d_a - Z[~s].T @ inverse_mills(unseen)
    d_b = X.T @ (sign * d_k)
    d_rho = (sign * both).sum() * (1 - rho**2)
    return -float(log_likelihood), -np.concatenate([d_g, d_b, [d_rho]])


def heckman_binary(
    y: FloatArray,
    X: FloatArray,
    selected: BoolArray,
    Z: FloatArray,
    *,
    offset: FloatArray | None = None,
) -> SelectionFit:
    r"""Estimate a binary outcome with selection by maximum likelihood.

    .. math::

       \ell = \sum_{s=0} \log\Phi(-z'\gamma) + \sum_{s=1,y=1} \log\Phi_2(z'\gamma, x'\beta; \rho) +
       \sum_{s=1,y=0} \log\Phi_2(z'\gamma, -x'\beta; -\rho)

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (n,)
        Outcome, such as whether the unit calls a Chinese model; ignored where not seen.
    X : ndarray, shape (n, q)
        Regressors of the outcome with a constant.
    selected : ndarray of bool, shape (n,)
        Whether the unit is on the panel.
    Z : ndarray, shape (n, p)
        Regressors of selection with a constant and at least one instrument that is not in X.
    offset : ndarray, shape (n,), optional
        Added to the outcome's index with coefficient one; `exclusion_dial` uses it.

    Returns
    -------
    SelectionFit
        Coefficients of both probits and rho, with the covariance of the observed information.

    Raises
    ------
    InvalidValue, CollinearMargins, NotIdentified, NotConverged
        If the input breaks a rule, or there is no maximum with rho inside (-1, 1).

    Notes
    -----
    Assumes normal errors and a valid instrument. Van de Ven and Van Praag (1981),
    doi:10.1016/0304-4076(81)90028-2.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> z, x = rng.standard_normal((2, 8000))
    >>> v, e = rng.standard_normal((2, 8000))
    >>> y = (0.2 + 0.5 * x + 0.6 * v + 0.8 * e > 0).astype(float)
    >>> one = np.ones_like(x)
    >>> fit = heckman_binary(y, np.column_stack([one, x]), 0.3 + z + v > 0,
    ...                      np.column_stack([one, z]))
    >>> bool(abs(fit.rho - 0.6) < 4 * fit.standard_errors[-1])
    True
    """
    y, X, s, Z = check_selection_input(y, X, selected, Z)
    seen = y[s]
    if not np.isin(seen, (0.0, 1.0)).all() or np.ptp(seen) == 0:
        raise InvalidValue(
            "y",
            got=f"values {np.unique(seen)[:4].tolist()} among the selected",
            rule="must be 0 and 1, and take both values",
            next_step="For an outcome on a scale use heckman_ml.",
        )
    shift = np.zeros(len(seen)) if offset is None else np.asarray(offset, dtype=np.float64)[s]
    unit = np.concatenate([root_mean_square(Z), root_mean_square(X[s])])
    p = Z.shape[1]
    sign = np.where(seen == 1, 1.0, -1.0)
    data = (sign, X[s] / unit[p:], s, Z / unit[:p])
    start = np.concatenate([probit(s, data[3])[0], probit(seen == 1, data[1])[0], [0.0]])
    theta, value, V = maximise(
        lambda t: _negative_log_likelihood(t, data, shift),
        start,
        len(s),
        name="binary selection model",
    )
    rho = float(np.tanh(theta[-1]))
    scale = np.concatenate([1 / unit, [1 - rho**2]])
    return SelectionFit(
        "binary maximum likelihood",
        theta[:p] * scale[:p],
        theta[p:-1] * scale[p:-1],
        1.0,
        rho,
        np.nan,
        V * np.outer(scale, scale),
        value,
        len(s),
        int(s.sum()),
    )
