"""Pareto-smoothed importance weights."""

import numpy as np
from scipy.special import logsumexp

from offroute._typing import FloatArray

_NEARLY_EXPONENTIAL = 1e-6
_MIN_TAIL = 5
_TIED = 1e-12


def _generalized_pareto(x: FloatArray) -> tuple[float, float]:
    """Zhang-Stephens estimate of shape and scale from sorted exceedances `x`."""
    n = len(x)
    m = 20 + int(np.sqrt(n))
    quartile = x[int(n / 4 + 0.5) - 1]
    grid = 1 / x[-1] + (1 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3 * max(quartile, 1e-300))
    k = np.log1p(-grid[:, None] * x).mean(axis=1)
    profile = n * (np.log(-grid / k) - k - 1)
    weight = np.exp(profile - logsumexp(profile))
    b = float(grid @ weight)
    shape = float(np.log1p(-b * x).mean())
    scale = -shape / b
    # Weak prior on the shape, as in the published method, worth ten observations at one half.
    return (shape * n + 5.0) / (n + 10.0), scale


def pareto_smooth(log_ratio: FloatArray) -> tuple[FloatArray, float]:
    r"""Smooth the largest importance ratios by a generalized Pareto distribution.

    Parameters
    ----------
    log_ratio : ndarray, shape (n,)
        Logarithms of target density over proposal density, up to a constant.

    Returns
    -------
    weights : ndarray, shape (n,)
        Smoothed weights that sum to one.
    k_hat : float
        Estimated tail shape; above 0.7 the weights cannot be trusted.

    Notes
    -----
    The largest :math:`M = \min(n/5, 3\sqrt n)` ratios are replaced by expected order statistics of
    the fitted distribution and truncated at the largest raw ratio (Vehtari, Simpson, Gelman, Yao
    and Gabry, Pareto smoothed importance sampling, JMLR 2024, arXiv:1507.02646).

    Examples
    --------
    >>> w, k_hat = pareto_smooth(np.zeros(100))
    >>> bool(np.allclose(w, 0.01)), k_hat
    (True, 0.0)
    """
    log_weight = log_ratio - log_ratio.max()
    n = len(log_weight)
    m = int(min(0.2 * n, 3 * np.sqrt(n)))
    order = np.argsort(log_weight, kind="stable")
    cut = np.exp(log_weight[order[n - m - 1]])
    tail = order[n - m :]
    tail = tail[np.exp(log_weight[tail]) > cut + _TIED]
    if len(tail) < _MIN_TAIL:
        return np.exp(log_weight - logsumexp(log_weight)), 0.0
    m, x = len(tail), np.exp(log_weight[tail]) - cut
    k_hat, scale = _generalized_pareto(x)
    p = (np.arange(m) + 0.5) / m
    exponential = abs(k_hat) <= _NEARLY_EXPONENTIAL
    excess = -np.log1p(-p) if exponential else np.expm1(-k_hat * np.log1p(-p)) / k_hat
    smooth = cut + scale * excess
    log_weight = log_weight.copy()
    log_weight[tail] = np.minimum(np.log(smooth), 0.0)
    return np.exp(log_weight - logsumexp(log_weight)), k_hat
