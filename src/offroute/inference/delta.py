"""The delta method: covariance of a smooth function of estimates."""

from collections.abc import Callable

import numpy as np

from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue

_STEP = 6e-6


def jacobian(function: Callable[[FloatArray], FloatArray], at: FloatArray) -> FloatArray:
    """Return the Jacobian, shape (m, k), of a function by central differences.

    Parameters
    ----------
    function : callable
        Shape (k,) to shape (m,) or a number.
    at : numpy.ndarray of float64, shape (k,)
        Point.

    Examples
    --------
    >>> jacobian(lambda t: np.array([t[0] * t[1]]), np.array([2.0, 3.0])).round(6).tolist()
    [[3.0, 2.0]]
    """
    columns = []
    for j, value in enumerate(at):
        step = np.zeros(at.size)
        step[j] = _STEP * max(abs(value), 1e-8)
        difference = np.atleast_1d(function(at + step)) - np.atleast_1d(function(at - step))
        columns.append(difference / (2 * step[j]))
    return np.stack(columns, axis=1)


def delta_method(
    values: FloatArray,
    covariance: FloatArray,
    function: Callable[[FloatArray], FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Return f(values), shape (m,), and its covariance ``J V J'``, shape (m, m).

    Assumes f is differentiable at the estimate and close to linear within a few standard errors.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (k,)
        Estimates.
    covariance : numpy.ndarray of float64, shape (k, k)
        Their covariance V.
    function : callable
        Shape (k,) to shape (m,) or a number.

    Returns
    -------
    tuple of numpy.ndarray of float64
        Value and covariance.

    Raises
    ------
    InvalidValue
        If the function or its derivative is not finite at the estimate.

    Examples
    --------
    >>> v, c = delta_method(np.array([4.0, 2.0]), np.diag([0.16, 0.01]), lambda t: np.log(t))
    >>> np.sqrt(np.diag(c)).round(6).tolist()
    [0.1, 0.05]
    """
    j = jacobian(function, values)
    result = np.atleast_1d(function(values))
    if not (np.isfinite(j).all() and np.isfinite(result).all()):
        raise InvalidValue(
            "function",
            got=result,
            rule="the function and its derivative must be finite at the estimate",
            next_step="Restrict the function to its domain.",
        )
    return result, j @ covariance @ j.T
