"""Outcome models: the conditional mean of each totalled column, fitted on the logs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from offroute._checks import check_choice
from offroute._typing import FloatArray
from offroute.estimators.estimating_equations import Fit, solve_equations
from offroute.estimators.pooled import RowIndex, sums_in_slices
from offroute.estimators.regressors import Regressors
from offroute.exceptions import InvalidValue

Family = Literal["gaussian", "binomial", "poisson"]
_MAX_EXPONENT = 300.0


@dataclass(frozen=True)
class OutcomeModel:
    """Fitted means ``m(x'b)`` of one column on all distinct rows.

    Attributes
    ----------
    fit : Fit or None
        None for a constant column, whose mean is known without a model.
    mean, slope : numpy.ndarray of float64, shape (rows,)
        m and its derivative in the linear predictor.
    residual : numpy.ndarray of float64, shape (n,)
        ``v_i - m_i`` of the sample rows.
    weights : numpy.ndarray of float64, shape (n,)
        Weights of the fit.
    """

    fit: Fit | None
    mean: FloatArray
    slope: FloatArray
    residual: FloatArray
    weights: FloatArray

    def contribution(self, gradient: FloatArray) -> FloatArray:
        """Return what each sample row adds, shape (n,), to an estimate with derivative D (p,).

        Parameters
        ----------
        gradient : numpy.ndarray of float64, shape (p,)
            Derivative D.
        """
        if self.fit is None:
            return np.zeros_like(self.residual)
        row = self.fit.effect(gradient[:, None])[0][:, 0]
        return np.asarray(self.weights * self.residual * row)


def fit_outcomes(
    x: Regressors, columns: FloatArray, weights: FloatArray, *, family: Family
) -> list[OutcomeModel]:
    """Fit ``sum_A a_i x_i (v_i - m(x_i'b)) = 0`` for every column, shape (n, m), on its own.

    Parameters
    ----------
    x : Regressors
        Regressors.
    columns : numpy.ndarray of float64, shape (n, m)
        Columns v.
    weights : numpy.ndarray of float64, shape (n,)
        Weights a.
    family : {"gaussian", "binomial", "poisson"}
        Mean m, with canonical link.

    Raises
    ------
    InvalidValue
        If values do not fit the family.
    NotConverged
        If the fit has no solution (a level whose outcomes are all 0 or all 1).
    """
    check_choice(family, ("gaussian", "binomial", "poisson"), name="family")
    return [fit_outcome(x, column, weights, family=family) for column in columns.T]


def fit_outcome(
    x: Regressors,
    column: FloatArray,
    weights: FloatArray,
    *,
    family: Family,
    start: FloatArray | None = None,
) -> OutcomeModel:
    """Fit one column, shape (n,); see `fit_outcomes`.

    Parameters
    ----------
    x : Regressors
        Regressors.
    column : numpy.ndarray of float64, shape (n,)
        Column v.
    weights : numpy.ndarray of float64, shape (n,)
        Weights a.
    family : {"gaussian", "binomial", "poisson"}
        Mean m, with canonical link.
    start : numpy.ndarray of float64, shape (p,), optional
        First coefficients.
    """
    if np.ptp(column) == 0:
        rows = np.full(x.rows, float(column[0]))
        return OutcomeModel(None, rows, np.zeros(x.rows), np.zeros(column.size), weights)
    _check_family(column, family)
    a = sums_in_slices(x.sample_row, weights, x.rows)
    sums = sums_in_slices(x.sample_row, weights * column, x.rows)

    def _equation(eta: FloatArray, rows: slice) -> tuple[FloatArray, FloatArray, FloatArray]:
        mean, slope = mean_function(family, eta)
        here = a(rows)
        curvature = here * slope
        return sums(rows) - here * mean, curvature, curvature

    if start is None:
        start = np.zeros(x.free.size)
        if family == "poisson":
            start[0] = np.log(weights @ column / weights.sum())
    fit = solve_equations(x, _equation, start, name=f"{family} outcome model")
    mean, slope = mean_function(family, fit.predictor)
    return OutcomeModel(fit, mean, slope, column - mean[x.sample_row], weights)


def mean_function(family: Family, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean and its derivative under the canonical link of the family.

    Parameters
    ----------
    family : {"gaussian", "binomial", "poisson"}
        Family.
    eta : numpy.ndarray of float64
        Linear predictors.
    """
    if family == "gaussian":
        return eta, np.ones_like(eta)
    if family == "binomial":
        return expit(eta), expit(eta) * expit(-eta)
    mean = np.exp(np.minimum(eta, _MAX_EXPONENT))
    return mean, mean


def at_rows(models: Sequence[OutcomeModel], rows: RowIndex) -> FloatArray:
    """Return fitted means, shape (len(rows), m), of some distinct rows.

    Parameters
    ----------
    models : sequence of OutcomeModel
        Models, one a column.
    rows : numpy.ndarray of integers, or slice
        Distinct rows.
    """
    return np.stack([m.mean[rows] for m in models], axis=1)


def _check_family(column: FloatArray, family: Family) -> None:
    low, high = float(column.min()), float(column.max())
    if (family == "binomial" and (low < 0 or high > 1)) or (family == "poisson" and low < 0):
        raise InvalidValue(
            "family",
            got=f"values from {low:g} to {high:g} under {family}",
            rule="binomial needs totalled columns in [0, 1], poisson non-negative ones",
            next_step='Use family="gaussian", or rescale the outcome.',
        )
