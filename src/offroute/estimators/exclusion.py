r"""The exclusion restriction of a selection model: tested where it can be, dialled where not.

Relevance of an instrument can be tested; validity only if there is more than one. What the dial
does instead: it gives the instrument a direct effect :math:`\delta` on the outcome,

.. math:: y = x'\beta + \delta w + u ,

and refits at each :math:`\delta` (Conley, Hansen and Rossi 2012, doi:10.1162/REST_a_00139).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import chi2

from offroute._checks import check_choice, check_finite, check_probability
from offroute._typing import BoolArray, FloatArray
from offroute.estimators.selection import (
    SelectionFit,
    check_selection_input,
    excluded_columns,
    heckman_two_step,
)
from offroute.estimators.selection_binary import heckman_binary
from offroute.estimators.selection_ml import heckman_ml
from offroute.exceptions import NotIdentified, UsageError

_FITS = {"two-step": heckman_two_step, "ml": heckman_ml}
#: A test of the others needs one more instrument.
_ENOUGH = 2


@dataclass(frozen=True)
class WaldTest:
    """A Wald test.

    Attributes
    ----------
    statistic : float
        The statistic, chi-squared under the hypothesis.
    df : int
        Degrees of freedom.
    p_value : float
        Probability of a larger one under the hypothesis.
    """

    statistic: float
    df: int
    p_value: float


@dataclass(frozen=True)
class PopulationMean:
    """Mean outcome of all units, seen or not.

    Attributes
    ----------
    estimate, se : float
        Mean and its standard error.
    naive : float
        Mean of the seen outcomes.
    """

    estimate: float
    se: float
    naive: float


@dataclass(frozen=True)
class Dial:
    """Mean outcome of all units when the instrument has a direct effect.

    Attributes
    ----------
    delta : ndarray, shape (m,)
        Direct effect of a unit of the instrument, in units of the outcome's index.
    estimate, low, high : ndarray, shape (m,)
        Mean with its interval at each direct effect.
    union : tuple of float
        Interval that holds for every direct effect of the grid.
    """

    delta: FloatArray
    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    union: tuple[float, float]


def _wald(value: FloatArray, covariance: FloatArray) -> WaldTest:
    statistic = float(value @ np.linalg.solve(covariance, value))
    return WaldTest(statistic, len(value), float(chi2.sf(statistic, len(value))))


def instrument_strength(fit: SelectionFit, instruments: list[int]) -> WaldTest:
    r"""Test that the instruments do not move selection.

    .. math:: W = \hat\gamma_w' \hat V_w^{-1} \hat\gamma_w

    Parameters
    ----------
    fit : SelectionFit
        The fit.
    instruments : list of int
        Columns of Z that are not in X, as `excluded_columns` returns them.

    Returns
    -------
    WaldTest
        A statistic below about 10 a degree of freedom is a weak instrument.

    Raises
    ------
    UsageError
        If there is no such column, or none is given.

    Examples
    --------
    >>> fit = SelectionFit("two-step", np.array([0.1, 0.4]), np.zeros(1), 1.0, 0.0, 0.0,
    ...                    np.diag([0.01, 0.01, 1.0, 1.0]), np.nan, 10, 5)
    >>> round(instrument_strength(fit, [1]).statistic, 6)
    16.0
    """
    if not instruments or not all(0 <= j < len(fit.selection) for j in instruments):
        raise UsageError(
            "instruments",
            got=instruments,
            rule=f"must be columns of Z, 0 to {len(fit.selection) - 1}, at least one",
            next_step="Use excluded_columns.",
        )
    block = fit.covariance[np.ix_(instruments, instruments)]
    return _wald(fit.selection[instruments], block)


def exclusion_test(
    y: FloatArray, X: FloatArray, selected: BoolArray, Z: FloatArray, *, instrument: int
) -> WaldTest:
    """Test one instrument's exclusion, the others being taken as valid.

    Parameters
    ----------
    y, X, selected, Z : ndarray
        As for `offroute.estimators.selection.heckman_two_step`.
    instrument : int
        Column of Z whose exclusion from the outcome is tested.

    Returns
    -------
    WaldTest
        Of its coefficient in the outcome equation; robust to nothing but what `heckman_two_step`
        assumes.

    Raises
    ------
    InvalidValue, CollinearMargins
        If the input breaks a rule; see `offroute.estimators.selection.check_selection_input`.
    NotIdentified
        If there is no second instrument: then exclusion is an assumption, see `exclusion_dial`.

    Examples
    --------
    >>> rng = np.random.default_rng(4)
    >>> z, w, v, e = rng.standard_normal((4, 4000))
    >>> one = np.ones((4000, 1))
    >>> y = 1 + 0.5 * w + 0.5 * v + e
    >>> exclusion_test(y, one, z + w + v > 0, np.column_stack([one, z, w]), instrument=2).df
    1
    """
    y, X, selected, Z = check_selection_input(y, X, selected, Z)
    instruments = excluded_columns(X, Z, selected)
    if instrument not in instruments or len(instruments) < _ENOUGH:
        raise NotIdentified(
            "instrument",
            got=f"column {instrument}; instruments are {instruments}",
            rule="must be an instrument, and another one must remain",
            next_step="Use exclusion_dial: with one instrument its exclusion cannot be tested.",
        )
    fit = heckman_two_step(y, np.column_stack([X, Z[:, instrument]]), selected, Z)
    at = Z.shape[1] + X.shape[1]
    return _wald(fit.outcome[-1:], fit.covariance[at : at + 1, at : at + 1])


def population_mean(
    fit: SelectionFit,
    y: FloatArray,
    X: FloatArray,
    selected: BoolArray,
    *,
    offset: float | FloatArray = 0.0,
) -> PopulationMean:
    r"""Mean outcome of all units, by the fitted outcome equation.

    .. math:: \hat\mu = n^{-1} \sum_i x_i'\hat\beta \text{ or } n^{-1}\sum_i \Phi(x_i'\hat\beta)

    Parameters
    ----------
    fit : SelectionFit
        The fit.
    y, X, selected : ndarray
        What it was fitted to, with X of all units.
    offset : float or ndarray, shape (n,)
        What a dialled direct effect adds to a linear outcome; its spread over units enters the
        error.

    Returns
    -------
    PopulationMean
        Estimate with the error of the coefficients and, over units, of the regressors.

    Raises
    ------
    InvalidValue
        If X has a missing value: a mean over all units needs all of them.

    Examples
    --------
    >>> fit = SelectionFit("two-step", np.zeros(1), np.array([2.0]), 1.0, 0.0, 0.0,
    ...                    np.diag([0.0, 0.25, 1.0]), np.nan, 4, 2)
    >>> population_mean(fit, np.array([1.0, 3.0, 0.0, 0.0]), np.ones((4, 1)),
    ...                 np.array([True, True, False, False]))
    PopulationMean(estimate=2.0, se=0.5, naive=2.0)
    """
    check_finite(X, name="X")
    p, q = len(fit.selection), len(fit.outcome)
    index = X @ fit.outcome
    if fit.method.startswith("binary"):
        each = ndtr(index)
        gradient = (np.exp(-0.5 * index**2)[:, None] * X).mean(axis=0) / np.sqrt(2 * np.pi)
    else:
        each, gradient = index + offset, X.mean(axis=0)
    variance = gradient @ fit.covariance[p : p + q, p : p + q] @ gradient + each.var() / len(each)
    return PopulationMean(
        estimate=float(each.mean()),
        se=float(np.sqrt(variance)),
        naive=float(np.mean(y[selected])),
    )


def exclusion_dial(
    y: FloatArray,
    X: FloatArray,
    selected: BoolArray,
    Z: FloatArray,
    *,
    instrument: int,
    delta: FloatArray,
    estimator: str = "two-step",
    level: float = 0.9,
) -> Dial:
    r"""Refit with a given direct effect of the instrument on the outcome.

    Parameters
    ----------
    y, X, selected, Z : ndarray
        As for the estimator; X must be known for all units.
    instrument : int
        Column of Z that may act on the outcome directly.
    delta : ndarray, shape (m,)
        Direct effects to try; 0 is the exclusion restriction. For a binary outcome in units of the
        probit's index.
    estimator : {'two-step', 'ml', 'binary'}
        Which fit.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Dial
        Population mean for each direct effect, and the union of the intervals.

    Raises
    ------
    UsageError
        If the estimator does not exist, no direct effect is given, or the column is no instrument.
    InvalidValue, CollinearMargins, NotIdentified
        If the input breaks a rule; see `offroute.estimators.selection.check_selection_input`.

    Notes
    -----
    The data cannot choose among the values of delta. The union has at least the stated coverage if
    the true direct effect lies inside the grid.

    Examples
    --------
    >>> rng = np.random.default_rng(5)
    >>> w, v, e = rng.standard_normal((3, 4000))
    >>> one = np.ones((4000, 1))
    >>> dial = exclusion_dial(1 + 0.3 * w + 0.5 * v + e, one, w + v > 0,
    ...                       np.column_stack([one, w]), instrument=1, delta=np.array([0.0, 0.3]))
    >>> bool(abs(dial.estimate[1] - 1) < 0.1 < abs(dial.estimate[0] - 1))
    True
    """
    check_choice(estimator, [*_FITS, "binary"], name="estimator")
    level = check_probability(level, name="level")
    delta = np.atleast_1d(np.asarray(delta, dtype=np.float64))
    check_finite(delta, name="delta")
    if not len(delta):
        raise UsageError(
            "delta",
            got="no value",
            rule="needs at least one direct effect",
            next_step="Begin with [0.0].",
        )
    check_finite(X, name="X")
    y, X, s, Z = check_selection_input(y, X, selected, Z)
    instruments = excluded_columns(X, Z, s)
    if instrument not in instruments:
        raise UsageError(
            "instrument",
            got=f"column {instrument}",
            rule=f"must be an instrument, one of {instruments}",
            next_step="See excluded_columns: X must not span it.",
        )
    w = Z[:, instrument]
    rows = []
    for d in delta:
        if estimator == "binary":
            fit = heckman_binary(y, X, s, Z, offset=d * w)
            mean = _binary_mean(fit, X, d * w)
        else:
            fit = _FITS[estimator](y - d * w, X, s, Z)
            found = population_mean(fit, y, X, s, offset=d * w)
            mean = (found.estimate, found.se)
        rows.append(mean)
    estimate, se = np.array(rows).T
    half = ndtri(0.5 + level / 2) * se
    low, high = estimate - half, estimate + half
    return Dial(delta, estimate, low, high, (float(low.min()), float(high.max())))


def _binary_mean(fit: SelectionFit, X: FloatArray, offset: FloatArray) -> tuple[float, float]:
    """Mean probability with an offset in the index, and its standard error."""
    p = len(fit.selection)
    index = X @ fit.outcome + offset
    gradient = (np.exp(-0.5 * index**2)[:, None] * X).mean(axis=0) / np.sqrt(2 * np.pi)
    each = ndtr(index)
    variance = gradient @ fit.covariance[p:-1, p:-1] @ gradient + each.var() / len(each)
    return float(each.mean()), float(np.sqrt(variance))
