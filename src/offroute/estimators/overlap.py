r"""Size of a population from lists that overlap: accounts or apps, never tokens.

Two lists of lengths :math:`n_1, n_2` with :math:`m` in both, or t lists with the number of units of
every capture history. A token passes one gateway, so that the overlap of tokens is empty by
construction and nothing here applies to them. An app can be on the list of two gateways.

.. math:: \hat N = \frac{(n_1 + 1)(n_2 + 1)}{m + 1} - 1

For more lists with chosen dependences see `offroute.estimators.loglinear`.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from offroute._checks import check_finite, check_probability
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue, NotIdentified

_TWO = 2


@dataclass(frozen=True)
class PopulationSize:
    """Estimated number of units, on a list or not.

    Attributes
    ----------
    method : str
        Estimator.
    estimate, se : float
        Number of units and its standard error; for the Chao bound that of the bound.
    low, high : float
        Ends of the interval, never below the number of units seen.
    seen : int
        Units on at least one list.
    level : float
        Coverage of the interval.
    deviance, aic : float
        Fit of a log-linear model; nan elsewhere.
    """

    method: str
    estimate: float
    se: float
    low: float
    high: float
    seen: int
    level: float
    deviance: float = np.nan
    aic: float = np.nan


@dataclass(frozen=True)
class Dependence:
    """Population size when two lists depend on each other.

    Attributes
    ----------
    odds_ratio : ndarray, shape (m,)
        Assumed odds ratio of being on both lists; above 1 the same units are on both.
    estimate, low, high : ndarray, shape (m,)
        Size with its interval at each odds ratio.
    bounds : tuple of float
        Interval that holds for every odds ratio of the grid.
    """

    odds_ratio: FloatArray
    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    bounds: tuple[float, float]


def _log_interval(seen: float, unseen: float, variance: float, level: float) -> tuple[float, float]:
    """Log-normal interval of the unseen units (Burnham; Chao 1987), added to those seen."""
    if unseen <= 0:
        return seen, seen
    spread = np.exp(ndtri(0.5 + level / 2) * np.sqrt(np.log1p(variance / unseen**2)))
    return float(seen + unseen / spread), float(seen + unseen * spread)


def _check_lists(n1: float, n2: float, both: float) -> None:
    for name, value in (("n1", n1), ("n2", n2), ("both", both)):
        check_finite(value, name=name, minimum=0)
        if value != int(value):
            raise InvalidValue(
                name,
                got=value,
                rule="must be a whole number of units",
                next_step="Volumes and shares cannot overlap; count accounts or apps.",
            )
    if both > min(n1, n2) or min(n1, n2) == 0:
        raise InvalidValue(
            "both",
            got=f"{both:g} on both lists of {n1:g} and {n2:g}",
            rule="each list needs a unit, and no more can be on both than on the shorter one",
            next_step="Match the lists again.",
        )


def chapman(n1: int, n2: int, both: int, *, level: float = 0.9) -> PopulationSize:
    r"""Estimate a population from two independent lists.

    .. math:: \hat N = \frac{(n_1+1)(n_2+1)}{m+1} - 1, \qquad
       \hat V = \frac{(n_1+1)(n_2+1)(n_1-m)(n_2-m)}{(m+1)^2 (m+2)}

    Parameters
    ----------
    n1, n2 : int
        Units on each list.
    both : int
        Units on both.
    level : float
        Coverage of the interval, which is log-normal in the units seen on no list.

    Returns
    -------
    PopulationSize
        The estimate.

    Raises
    ------
    InvalidValue
        If counts are not whole, or more units are on both lists than on one.

    Notes
    -----
    Assumes a closed population, perfect matching, equal chances on at least one list, and
    independence of the lists, which two lists cannot test: see `dependence_dial`. Chapman (1951);
    variance of Seber (1970), doi:10.1093/biomet/57.1.13.

    Examples
    --------
    >>> found = chapman(200, 150, 30)
    >>> round(found.estimate, 4), round(found.se**2, 3)
    (978.0645, 20133.988)
    """
    level = check_probability(level, name="level")
    _check_lists(n1, n2, both)
    estimate = (n1 + 1) * (n2 + 1) / (both + 1) - 1
    variance = (n1 + 1) * (n2 + 1) * (n1 - both) * (n2 - both) / ((both + 1) ** 2 * (both + 2))
    seen = n1 + n2 - both
    low, high = _log_interval(seen, estimate - seen, variance, level)
    return PopulationSize(
        "Chapman", float(estimate), float(np.sqrt(variance)), low, high, int(seen), level
    )


def dependence_dial(
    n1: int, n2: int, both: int, *, odds_ratio: FloatArray, level: float = 0.9
) -> Dependence:
    r"""Estimate the size for a given odds ratio of being on both lists.

    .. math:: \hat x_{00} = \psi\, \frac{x_{10} x_{01}}{x_{11} + 1}, \qquad
       \frac{Var(\hat x_{00} - x_{00})}{\hat x_{00}^2} \approx \frac1{x_{11} + 1} + \frac1{x_{10}} +
       \frac1{x_{01}} + \frac1{\hat x_{00}}

    Parameters
    ----------
    n1, n2, both : int
        Units on each list and on both.
    odds_ratio : ndarray, shape (m,)
        Values to try; 1 is independence.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Dependence
        Size for each value, and the union of the intervals.

    Raises
    ------
    NotIdentified
        If no unit is on both lists, or one list holds the other: then no size is finite or
        the dial does not move it.
    InvalidValue
        If counts are not whole or an odds ratio is not above 0.

    Notes
    -----
    Two lists have three counts and four cells: the odds ratio is assumed, not estimated. At an odds
    ratio of 1 the size is that of `chapman`. Gerritse, van der Heijden and Bakker (2015),
    doi:10.1515/jos-2015-0032.

    Examples
    --------
    >>> dial = dependence_dial(200, 150, 30, odds_ratio=np.array([0.5, 1.0, 2.0]))
    >>> dial.estimate.round().tolist()
    [649.0, 978.0, 1636.0]
    """
    level = check_probability(level, name="level")
    _check_lists(n1, n2, both)
    psi = np.atleast_1d(np.asarray(odds_ratio, dtype=np.float64))
    check_finite(psi, name="odds_ratio", minimum=0, strict=True)
    if not len(psi):
        raise InvalidValue(
            "odds_ratio", got="no value", rule="needs at least one", next_step="Begin with [1.0]."
        )
    only1, only2 = n1 - both, n2 - both
    if min(both, only1, only2) == 0:
        raise NotIdentified(
            "lists",
            got=f"{both} on both, {only1} and {only2} on one alone",
            rule="some units must be on both lists and some on each alone",
            next_step="Without overlap nothing bounds the population from above.",
        )
    cells = np.array([both + 1, only1, only2], dtype=np.float64)
    unseen = psi * only1 * only2 / (both + 1)
    seen = n1 + n2 - both
    # Given its mean the unseen count is Poisson; the mean has the error of the three cells.
    variance = unseen**2 * (1 / cells).sum() + unseen
    ends = [_log_interval(seen, u, v, level) for u, v in zip(unseen, variance, strict=True)]
    low, high = np.array(ends).T
    return Dependence(psi, seen + unseen, low, high, (float(low.min()), float(high.max())))


def chao_bound(frequencies: FloatArray, *, level: float = 0.9) -> PopulationSize:
    r"""Lower bound of a population whose units differ in their chance of being listed.

    .. math:: \hat N = n + \frac{t-1}{t} \frac{f_1^2}{2 f_2}

    Parameters
    ----------
    frequencies : ndarray, shape (t,)
        Number of units on exactly 1, 2, ..., t of the t lists.
    level : float
        Coverage of the interval of the bound.

    Returns
    -------
    PopulationSize
        The bound; the population is at least as large whatever the differences between units.

    Raises
    ------
    InvalidValue
        If frequencies are negative or not whole.
    NotIdentified
        If no unit is on exactly two lists.

    Notes
    -----
    A bound under independence of the lists within a unit. Chao (1987), doi:10.2307/2531532.

    Examples
    --------
    >>> round(chao_bound(np.array([25.0, 22.0, 13.0, 5.0, 1.0, 2.0])).estimate, 4)
    79.8371
    """
    level = check_probability(level, name="level")
    f = np.asarray(frequencies, dtype=np.float64)
    check_finite(f, name="frequencies", minimum=0)
    if f.ndim != 1 or len(f) < _TWO or (f != np.round(f)).any():
        raise InvalidValue(
            "frequencies",
            got=f"shape {f.shape}, {f.ravel()[:4].tolist()}",
            rule="must be whole numbers of units on 1, 2, ..., t lists with t of at least 2",
            next_step="Count units by the number of lists that they are on.",
        )
    if f[1] == 0:
        raise NotIdentified(
            "frequencies",
            got=f"{f[0]:g} units on one list and none on two",
            rule="some units must be on two lists",
            next_step="Without overlap there is no bound above the units seen.",
        )
    k, r, n = (len(f) - 1) / len(f), f[0] / f[1], f.sum()
    unseen = k * f[0] ** 2 / (2 * f[1])
    variance = f[1] * (k / 2 * r**2 + k**2 * r**3 + k**2 / 4 * r**4)
    low, high = _log_interval(n, unseen, variance, level)
    return PopulationSize(
        "Chao bound", float(n + unseen), float(np.sqrt(variance)), low, high, int(n), level
    )
