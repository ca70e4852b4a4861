r"""Data defect: how good a panel's share is, whatever its size.

Meng's identity for a share theta (or any mean) of a population of which the fraction f is recorded:

.. math:: \hat\theta - \theta = \rho\,\sqrt{\frac{1 - f}{f}}\;\sigma, \qquad
   \sigma^2 = \theta (1 - \theta) \text{ for a share}

with rho the correlation, over the population, of being recorded and of the variable (Meng 2018,
Annals of Applied Statistics 12, 685-726, doi:10.1214/18-AOAS1161SF).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroute._checks import check_finite, check_probability
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference._arrays import as_draws, check_together, tails

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class DefectSeries:
    """Data defect of a panel's share by week, with the error of the benchmark.

    Attributes
    ----------
    correlation, correlation_low, correlation_high : ndarray, shape (T,)
        Median of the data defect correlation and the ends of its interval.
    effective_size, effective_low, effective_high : ndarray, shape (T,)
        The same for the size of a simple random sample with the panel's squared error.
    level : float
        Coverage of the intervals.
    """

    correlation: FloatArray
    correlation_low: FloatArray
    correlation_high: FloatArray
    effective_size: FloatArray
    effective_low: FloatArray
    effective_high: FloatArray
    level: float


def _fraction(values: "ArrayLike", *, name: str, top: bool = False) -> FloatArray:
    """Return values in (0, 1), or (0, 1] with `top`."""
    array = np.asarray(values, dtype=np.float64)
    check_finite(array, name=name, minimum=0, strict=True)
    if bool((array > 1).any() if top else (array >= 1).any()):
        raise InvalidValue(
            name,
            got=f"{array.max():g}",
            rule=f"must be {'at most' if top else 'below'} 1",
            next_step="Divide percentages by 100.",
        )
    return array


def _spread(population_share: "ArrayLike", population_sd: "ArrayLike | None") -> FloatArray:
    if population_sd is None:
        theta = _fraction(population_share, name="population_share")
        return np.asarray(np.sqrt(theta * (1 - theta)))
    check_finite(population_share, name="population_share")
    check_finite(population_sd, name="population_sd", minimum=0, strict=True)
    return np.asarray(population_sd, dtype=np.float64)


def defect_correlation(
    panel_share: "ArrayLike",
    population_share: "ArrayLike",
    coverage: "ArrayLike",
    *,
    population_sd: "ArrayLike | None" = None,
) -> FloatArray:
    r"""Return the data defect correlation of a share or a mean.

    .. math:: \rho = \frac{\hat\theta - \theta}{\sigma} \sqrt{\frac{f}{1 - f}}

    Parameters
    ----------
    panel_share : array_like
        Share (or mean) on the panel.
    population_share : array_like
        Share (or mean) in the population: a benchmark, or draws of it.
    coverage : array_like
        Recorded fraction f of the population, between 0 and 1.
    population_sd : array_like, optional
        Standard deviation of the variable in the population; that of a share by default.

    Returns
    -------
    ndarray
        rho, of the arrays' common shape.

    Raises
    ------
    InvalidValue
        If a share or the coverage lies outside (0, 1), or a value is not finite.

    Notes
    -----
    Exact algebra without assumptions, and so without content unless the population share comes
    from elsewhere: the panel cannot tell its own defect.

    Examples
    --------
    >>> float(defect_correlation(0.6, 0.3, 0.1).round(7))
    0.2182179
    """
    f = _fraction(coverage, name="coverage")
    check_finite(panel_share, name="panel_share")
    gap = np.asarray(panel_share, dtype=np.float64) - np.asarray(population_share, dtype=np.float64)
    return np.asarray(gap / _spread(population_share, population_sd) * np.sqrt(f / (1 - f)))


def defect_error(
    correlation: "ArrayLike", coverage: "ArrayLike", population_sd: "ArrayLike"
) -> FloatArray:
    r"""Return the error that a data defect correlation causes: Meng's identity, read forwards.

    .. math:: \hat\theta - \theta = \rho \sqrt{(1 - f) / f}\, \sigma

    Parameters
    ----------
    correlation : array_like
        Data defect correlation rho.
    coverage : array_like
        Recorded fraction f.
    population_sd : array_like
        Standard deviation sigma of the variable in the population.

    Returns
    -------
    ndarray
        Panel less population.

    Raises
    ------
    InvalidValue
        If the coverage lies outside (0, 1) or a value is not finite.

    Examples
    --------
    >>> rho = defect_correlation(0.6, 0.3, 0.1)
    >>> float(defect_error(rho, 0.1, np.sqrt(0.3 * 0.7)).round(12))
    0.3
    """
    f = _fraction(coverage, name="coverage")
    check_finite(correlation, name="correlation")
    check_finite(population_sd, name="population_sd", minimum=0)
    rho, sigma = np.asarray(correlation, dtype=np.float64), np.asarray(population_sd)
    return np.asarray(rho * np.sqrt((1 - f) / f) * sigma)


def effective_size(correlation: "ArrayLike", coverage: "ArrayLike") -> FloatArray:
    r"""Return the size of the simple random sample that would have the panel's squared error.

    .. math:: n_{eff} = \frac{f}{1 - f}\,\frac{1}{\rho^2} = \frac{\sigma^2}{(\hat\theta-\theta)^2}

    The second form shows that neither the panel's size nor its coverage enters once the error is
    known: a panel of 10^13 tokens can be worth one.

    Parameters
    ----------
    correlation : array_like
        Data defect correlation.
    coverage : array_like
        Recorded fraction f.

    Returns
    -------
    ndarray
        Effective size; infinite where the correlation is 0.

    Raises
    ------
    InvalidValue
        If the coverage lies outside (0, 1) or a correlation is not finite.

    Examples
    --------
    >>> float(effective_size(defect_correlation(0.6, 0.3, 0.1), 0.1).round(6))
    2.333333
    """
    f = _fraction(coverage, name="coverage")
    check_finite(correlation, name="correlation")
    rho = np.asarray(correlation, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(f / (1 - f) / rho**2)


def defect_series(
    panel_share: FloatArray,
    share_draws: FloatArray,
    coverage_draws: FloatArray,
    *,
    level: float = 0.9,
) -> DefectSeries:
    """Return the data defect of a panel's share week by week, with the benchmark's own error.

    Every draw of the population gives one exact correlation and one effective size; the intervals
    are their quantiles.

    Parameters
    ----------
    panel_share : ndarray, shape (T,)
        Share of the group on the panel; NaN where the week does not exist.
    share_draws : ndarray, shape (k, T)
        Joint draws of the share in the population, NaN in the same weeks.
    coverage_draws : ndarray, shape (k, T)
        Draws of the panel's volume over the population's, NaN in the same weeks.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DefectSeries
        NaN in the gaps. The median of the effective size is not the effective size of the median
        correlation; draws near a correlation of 0 make its upper end large.

    Raises
    ------
    InvalidValue
        If shapes do not match or values lie outside (0, 1).
    NotIdentified
        If no week has values.
    UsageError
        If `level` is not between 0 and 1.

    Examples
    --------
    >>> share = np.array([[0.28, 0.3], [0.3, 0.3], [0.32, 0.3]])
    >>> found = defect_series(np.array([0.6, 0.6]), share, np.full((3, 2), 0.1))
    >>> found.effective_size.round(3).tolist()
    [2.333, 2.333]
    """
    level = check_probability(level, name="level")
    shares = as_draws(share_draws, name="share_draws", ndim=(2,), gaps=True)
    coverage = as_draws(coverage_draws, name="coverage_draws", ndim=(2,), gaps=True)
    check_together("share_draws and coverage_draws", shares, coverage)
    panel = np.asarray(panel_share, dtype=np.float64)
    missing = np.isnan(panel)
    if not (panel.shape == shares.shape[1:] == coverage.shape[1:]) or not (
        np.array_equal(missing, np.isnan(shares[0]))
        and np.array_equal(missing, np.isnan(coverage[0]))
    ):
        raise InvalidValue(
            "panel_share",
            got=f"shape {panel.shape} with {int(missing.sum())} gaps",
            rule=f"must match draws of shape {shares.shape}, gaps included",
            next_step="Take panel and draws in the same weeks.",
        )
    if missing.all():
        raise NotIdentified(
            "panel_share",
            got="no week with values",
            rule="a series needs at least one week",
            next_step="Widen the window.",
        )
    there = ~missing
    rho = defect_correlation(panel[there], shares[:, there], coverage[:, there])
    size = effective_size(rho, coverage[:, there])
    at = (0.5, *tails(level))
    out = np.full((6, len(panel)), np.nan)
    out[:3, there] = np.quantile(rho, at, axis=0)
    # Order statistics: interpolation with an infinite size would give not-a-number.
    out[3:, there] = np.quantile(size, at, axis=0, method="inverted_cdf")
    return DefectSeries(out[0], out[1], out[2], out[3], out[4], out[5], level)


def joint_coverage(panel: "ArrayLike", coverage: "ArrayLike") -> float:
    r"""Return the coverage of a group from that of its members: a harmonic mean.

    .. math:: \pi_g = \frac{\sum_l X_l}{\sum_l X_l / \pi_l}

    The arithmetic mean of coverages is wrong, and wildly so when they differ: a group is covered
    about as badly as its worst covered large member.

    Parameters
    ----------
    panel : array_like, shape (n,)
        Panel volumes of the members, 0 or more.
    coverage : array_like, shape (n,)
        Coverage of each, above 0 and at most 1.

    Returns
    -------
    float
        Coverage of the group.

    Raises
    ------
    InvalidValue
        If a volume is negative, a coverage outside (0, 1], or all volumes are 0.

    Examples
    --------
    >>> round(joint_coverage([10.0, 10.0], [0.5, 0.01]), 8)
    0.01960784
    """
    x = np.asarray(panel, dtype=np.float64)
    check_finite(x, name="panel", minimum=0)
    pi = _fraction(coverage, name="coverage", top=True)
    if x.shape != pi.shape or x.sum() == 0:
        raise InvalidValue(
            "panel",
            got=f"shape {x.shape}, total {x.sum():g}",
            rule=f"must match coverage of shape {pi.shape} and have a positive total",
            next_step="Give one volume and one coverage for each member.",
        )
    return float(x.sum() / (x / pi).sum())
