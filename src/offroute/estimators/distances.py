"""Calibration distances, as the function F that turns the dual score into a weight factor.

Calibration minimises ``sum_i (d_i / q_i) G(w_i / d_i)`` subject to ``sum_i w_i x_i = T``. Its
solution is ``w_i = d_i F(q_i x_i' lambda)``, F the inverse of the derivative of G, with
``F(0) = F'(0) = 1`` (Deville and Sarndal 1992, doi:10.1080/01621459.1992.10475217).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue


@dataclass(frozen=True)
class Distance:
    """A calibration distance.

    Attributes
    ----------
    name : str
        Name for messages.
    evaluate : callable
        Score u (any shape, may be overwritten) to the pair (F(u), F'(u)); the two may be the same
        array.
    lower, upper : float
        Bounds of F.
    """

    name: str
    evaluate: Callable[[FloatArray], tuple[FloatArray, FloatArray]]
    lower: float = -np.inf
    upper: float = np.inf


def linear() -> Distance:
    """Return the chi-squared distance: ``F(u) = 1 + u``; weights may be negative (GREG).

    Examples
    --------
    >>> linear().evaluate(np.array([0.5]))[0].tolist()
    [1.5]
    """

    def _evaluate(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        one = np.ones_like(u)
        return np.add(u, 1.0, out=u), one

    return Distance("linear", _evaluate)


def raking() -> Distance:
    """Return the entropy distance: ``F(u) = exp(u)``; weights are positive, without upper bound.

    Examples
    --------
    >>> raking().evaluate(np.array([0.0]))[0].tolist()
    [1.0]
    """

    def _evaluate(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        g = np.exp(u, out=u)
        return g, g

    return Distance("raking", _evaluate, lower=0.0)


def logit(lower: float, upper: float) -> Distance:
    """Return the logit distance: weight factors strictly inside (`lower`, `upper`).

    ``F(u) = L + (U - L) / (1 + exp(-(A u + c)))``, ``c = log((1 - L) / (U - 1))``,
    ``A = (U - L) / ((1 - L)(U - 1))``.

    Parameters
    ----------
    lower : float
        Lower bound of g, below 1.
    upper : float
        Upper bound of g, above 1.

    Examples
    --------
    >>> logit(0.2, 5).evaluate(np.array([0.0]))[0].round(12).tolist()
    [1.0]
    """
    _check_bounds(lower, upper)
    a = (upper - lower) / ((1 - lower) * (upper - 1))
    c = np.log((1 - lower) / (upper - 1))

    def _evaluate(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        np.multiply(u, -a, out=u)
        u -= c
        np.exp(u, out=u)
        u += 1.0
        p = np.reciprocal(u, out=u)
        slope = np.subtract(1.0, p)
        slope *= p
        slope *= a * (upper - lower)
        p *= upper - lower
        p += lower
        return p, slope

    return Distance("logit", _evaluate, lower, upper)


def truncated_linear(lower: float, upper: float) -> Distance:
    """Return the chi-squared distance restricted to ``lower <= F <= upper``.

    Parameters
    ----------
    lower : float
        Lower bound of g, below 1.
    upper : float
        Upper bound of g, above 1.

    Examples
    --------
    >>> truncated_linear(0.5, 2).evaluate(np.array([-3.0, 0.25]))[0].tolist()
    [0.5, 1.25]
    """
    _check_bounds(lower, upper)

    def _evaluate(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        np.add(u, 1.0, out=u)
        inside = ((u > lower) & (u < upper)).astype(np.float64)
        return np.clip(u, lower, upper, out=u), inside

    return Distance("truncated linear", _evaluate, lower, upper)


def sinh(alpha: float = 1.0) -> Distance:
    """Return the hyperbolic sine distance: positive weights, upper tail thinner than raking.

    ``F(u) = (a + sqrt(a^2 + 4)) / 2``, ``a = asinh(2 alpha u) / alpha``, the inverse of
    ``sinh(alpha (g - 1/g)) / (2 alpha)``.

    Parameters
    ----------
    alpha : float
        Positive; larger values hold g closer to 1.

    Examples
    --------
    >>> sinh().evaluate(np.array([0.0]))[0].tolist()
    [1.0]
    """
    if not alpha > 0:
        raise InvalidValue(
            "alpha", got=alpha, rule="alpha must be positive", next_step="Use 1 for the default."
        )

    def _evaluate(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        v = 2 * alpha * u
        a = np.arcsinh(v) / alpha
        root = np.sqrt(a * a + 4)
        # For very negative u, a + root cancels; its reciprocal form does not.
        g = np.where(a > 0, (a + root) / 2, 2 / (root - a))
        return g, 2 * g / (root * np.sqrt(1 + v * v))

    return Distance("sinh", _evaluate, lower=0.0)


def _check_bounds(lower: float, upper: float) -> None:
    if not (np.isfinite(lower) and np.isfinite(upper) and lower < 1 < upper):
        raise InvalidValue(
            "bounds",
            got=(lower, upper),
            rule="bounds on the weight factor must satisfy lower < 1 < upper",
            next_step="Widen the bounds.",
        )
