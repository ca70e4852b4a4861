"""Intervals for single numbers, from standard errors, replicates or a ratio's two parts."""

import numpy as np
from scipy.special import expit, ndtr, ndtri, stdtrit

from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue, NotIdentified

Interval = tuple[FloatArray, FloatArray]


def critical_value(level: float, *, df: float | None = None) -> float:
    """Return the two-sided critical value, normal or Student t with `df` degrees of freedom.

    Parameters
    ----------
    level : float
        Coverage, between 0 and 1.
    df : float, optional
        Degrees of freedom; None is the normal distribution.

    Examples
    --------
    >>> round(critical_value(0.95), 6)
    1.959964
    """
    if not 0 < level < 1:
        raise InvalidValue(
            "level", got=level, rule="0 < level < 1", next_step="Use .9 or .95, for example."
        )
    if df is None or not np.isfinite(df):
        return float(ndtri((1 + level) / 2))
    if df < 1:
        raise NotIdentified(
            "df",
            got=df,
            rule="a t interval needs at least one degree of freedom",
            next_step="Use more clusters, or the normal interval.",
        )
    return float(stdtrit(df, (1 + level) / 2))


def normal_interval(
    values: FloatArray, se: FloatArray, *, level: float = 0.95, df: float | None = None
) -> Interval:
    """Return ``estimate -/+ c se``; Student t when `df` is given.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (k,)
        Estimates.
    se : numpy.ndarray of float64, shape (k,)
        Standard errors.
    level : float
        Coverage, between 0 and 1.
    df : float, optional
        Degrees of freedom; None is the normal distribution.

    Examples
    --------
    >>> low, high = normal_interval(np.array([1.0]), np.array([0.5]))
    >>> low.round(4).item(), high.round(4).item()
    (0.02, 1.98)
    """
    half = critical_value(level, df=df) * se
    return values - half, values + half


def logit_interval(
    values: FloatArray, se: FloatArray, *, level: float = 0.95, df: float | None = None
) -> Interval:
    """Return an interval for shares in (0, 1), symmetric on the logit scale.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (k,)
        Estimates.
    se : numpy.ndarray of float64, shape (k,)
        Standard errors.
    level : float
        Coverage, between 0 and 1.
    df : float, optional
        Degrees of freedom; None is the normal distribution.

    Raises
    ------
    InvalidValue
        If a value lies outside (0, 1) while its standard error is positive.

    Examples
    --------
    >>> low, high = logit_interval(np.array([0.5]), np.array([0.1]))
    >>> low.round(4).item(), high.round(4).item()
    (0.3135, 0.6865)
    """
    _require((values > 0) & (values < 1), values, "a logit interval needs shares in (0, 1)")
    centre = np.log(values / (1 - values))
    half = critical_value(level, df=df) * se / (values * (1 - values))
    return expit(centre - half), expit(centre + half)


def log_interval(
    values: FloatArray, se: FloatArray, *, level: float = 0.95, df: float | None = None
) -> Interval:
    """Return an interval for positive values, symmetric on the log scale.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (k,)
        Estimates.
    se : numpy.ndarray of float64, shape (k,)
        Standard errors.
    level : float
        Coverage, between 0 and 1.
    df : float, optional
        Degrees of freedom; None is the normal distribution.

    Examples
    --------
    >>> low, high = log_interval(np.array([2.0]), np.array([0.2]))
    >>> (low * high).round(9).item()
    4.0
    """
    _require(values > 0, values, "a log interval needs positive values")
    half = np.exp(critical_value(level, df=df) * se / values)
    return values / half, values * half


def percentile_interval(draws: FloatArray, *, level: float = 0.95) -> Interval:
    """Return equal-tailed quantiles of bootstrap or posterior draws, shape (b, k).

    Parameters
    ----------
    draws : numpy.ndarray of float64, shape (b, k)
        Draws.
    level : float
        Coverage, between 0 and 1.

    Examples
    --------
    >>> low, high = percentile_interval(np.arange(101.0)[:, None], level=0.9)
    >>> low.round(9).item(), high.round(9).item()
    (5.0, 95.0)
    """
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return np.asarray(low), np.asarray(high)


def bca_interval(
    draws: FloatArray, values: FloatArray, influence: FloatArray, *, level: float = 0.95
) -> Interval:
    """Return bias-corrected and accelerated bootstrap intervals.

    Parameters
    ----------
    draws : numpy.ndarray of float64, shape (b, k)
        Bootstrap estimates.
    values : numpy.ndarray of float64, shape (k,)
        Full-sample estimates.
    influence : numpy.ndarray of float64, shape (c, k)
        Influence values of the resampled units (clusters), whose skewness is the acceleration.
    level : float
        Coverage, between 0 and 1.

    Returns
    -------
    tuple of numpy.ndarray of float64, shape (k,)
        Lower and upper ends.

    Raises
    ------
    NotIdentified
        If all draws lie on one side of the estimate.

    References
    ----------
    Efron, B. (1987). JASA 82, 171-185. doi:10.1080/01621459.1987.10478410

    Examples
    --------
    >>> d = np.linspace(-2, 2, 401)[:, None]
    >>> low, high = bca_interval(d, np.zeros(1), np.array([[-1.0], [1.0]]), level=0.9)
    >>> bool(np.isclose(low, -high).all())
    True
    """
    below = (draws < values).mean(axis=0) + (draws == values).mean(axis=0) / 2
    if ((below == 0) | (below == 1)).any():
        raise NotIdentified(
            "draws",
            got="all draws on one side of the estimate",
            rule="the bias correction needs draws on both sides",
            next_step="Use more replicates, or the percentile interval.",
        )
    z0 = ndtri(below)
    spread = (influence**2).sum(axis=0) ** 1.5
    a = (influence**3).sum(axis=0) / (6 * np.where(spread > 0, spread, 1))
    c = critical_value(level)
    ends = []
    for z in (-c, c):
        p = ndtr(z0 + (z0 + z) / (1 - a * (z0 + z)))
        ends.append(np.array([np.quantile(d, q) for d, q in zip(draws.T, p, strict=True)]))
    return ends[0], ends[1]


def fieller_interval(
    numerator: float,
    denominator: float,
    covariance: FloatArray,
    *,
    level: float = 0.95,
    df: float | None = None,
) -> tuple[float, float]:
    """Return Fieller's interval of a ratio from two estimates and their covariance, shape (2, 2).

    The set ``{r: (a - r b)^2 <= c^2 Var(a - r b)}``; exact when (a, b) is normal.

    Parameters
    ----------
    numerator : float
        First estimate.
    denominator : float
        Second estimate.
    covariance : numpy.ndarray of float64, shape (2, 2)
        Their covariance.
    level : float
        Coverage, between 0 and 1.
    df : float, optional
        Degrees of freedom; None is the normal distribution.

    Raises
    ------
    NotIdentified
        If the denominator is not distinct from 0 at this level: the set is then unbounded.

    References
    ----------
    Fieller, E. C. (1954). J. R. Stat. Soc. B 16, 175-185. doi:10.1111/j.2517-6161.1954.tb00159.x

    Examples
    --------
    >>> low, high = fieller_interval(6.0, 3.0, np.diag([0.04, 0.01]))
    >>> round(low, 4), round(high, 4)
    (1.8232, 2.194)
    """
    c2 = critical_value(level, df=df) ** 2
    a = denominator**2 - c2 * covariance[1, 1]
    if a <= 0:
        raise NotIdentified(
            "denominator",
            got=f"{denominator:g} with standard error {np.sqrt(covariance[1, 1]):g}",
            rule="the denominator must differ from 0 at the interval's level",
            next_step="Report the two totals, or use a lower level.",
        )
    b = numerator * denominator - c2 * covariance[0, 1]
    c = numerator**2 - c2 * covariance[0, 0]
    root = float(np.sqrt(max(b * b - a * c, 0.0)))
    return float((b - root) / a), float((b + root) / a)


def _require(ok: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", got: object, rule: str) -> None:
    if not ok.all():
        raise InvalidValue("values", got=got, rule=rule, next_step="Use the normal interval.")
