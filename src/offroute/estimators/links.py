"""Links of participation models: a probability and its derivative, stable far in the tails."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import log_ndtr

from offroute._checks import check_choice
from offroute._typing import FloatArray
from offroute.estimators.pooled import chunks

LinkName = Literal["logit", "probit", "cloglog"]
_LOG_ROOT_2PI = 0.5 * np.log(2 * np.pi)
# exp(-exp(4)) is 2e-24: beyond it 1 - pi is 0 in double precision.
_CLOGLOG_MAX = 4.0
_LOGIT_MAX = 700.0


@dataclass(frozen=True)
class LinkValues:
    """A participation model at linear predictors eta, every array of their shape.

    Attributes
    ----------
    probability : numpy.ndarray of float64
        ``pi``.
    entry, stay : numpy.ndarray of float64
        ``kappa = pi' / pi`` and ``lambda = pi' / (1 - pi)``: derivatives of ``log pi`` and of
        ``-log(1 - pi)``.
    entry_slope, stay_slope : numpy.ndarray of float64
        Their derivatives.
    """

    probability: FloatArray
    entry: FloatArray
    stay: FloatArray
    entry_slope: FloatArray
    stay_slope: FloatArray


def evaluate_link(name: LinkName, eta: FloatArray) -> LinkValues:
    """Evaluate link `name` at linear predictors.

    Parameters
    ----------
    name : {"logit", "probit", "cloglog"}
        Link.
    eta : numpy.ndarray of float64
        Linear predictors, any shape.

    Examples
    --------
    >>> evaluate_link("logit", np.array([0.0])).probability.tolist()
    [0.5]
    """
    return _LINKS[check_choice(name, _LINKS, name="link")](eta)


def map_link(
    name: LinkName, eta: FloatArray, *parts: Callable[[LinkValues], FloatArray]
) -> list[FloatArray]:
    """Return what each of `parts` makes of the link's values, few of which exist at a time.

    Parameters
    ----------
    name : {"logit", "probit", "cloglog"}
        Link.
    eta : numpy.ndarray of float64, shape (n,)
        Linear predictors.
    *parts : callable
        Link values to an array of their shape.

    Examples
    --------
    >>> map_link("logit", np.array([0.0]), lambda v: v.stay, lambda v: v.probability)
    [array([0.5]), array([0.5])]
    """
    out = [np.empty_like(eta) for _ in parts]
    for rows in chunks(eta.size):
        values = evaluate_link(name, eta[rows])
        for column, part in zip(out, parts, strict=True):
            column[rows] = part(values)
    return out


def linear_predictor(name: LinkName, probability: float) -> float:
    """Return the linear predictor of a probability strictly between 0 and 1, by bisection.

    Parameters
    ----------
    name : {"logit", "probit", "cloglog"}
        Link.
    probability : float
        Strictly between 0 and 1.

    Examples
    --------
    >>> round(linear_predictor("cloglog", 0.5), 6)
    -0.366513
    """
    low, high = -40.0, 8.0
    for _ in range(80):
        middle = (low + high) / 2
        if evaluate_link(name, np.array([middle])).probability[0] < probability:
            low = middle
        else:
            high = middle
    return low


def _logit(eta: FloatArray) -> LinkValues:
    # Both tails exactly, from one exponential; beyond 700 it would overflow.
    odds = np.exp(np.minimum(-eta, _LOGIT_MAX))
    p = 1 / (1 + odds)
    q = odds * p
    slope = p * q
    return LinkValues(p, q, p, -slope, slope)


def _probit(eta: FloatArray) -> LinkValues:
    log_density = -0.5 * eta * eta - _LOG_ROOT_2PI
    log_p = log_ndtr(eta)
    kappa = np.exp(log_density - log_p)
    mills = np.exp(log_density - log_ndtr(-eta))
    return LinkValues(np.exp(log_p), kappa, mills, -kappa * (kappa + eta), mills * (mills - eta))


def _cloglog(eta: FloatArray) -> LinkValues:
    rate = np.exp(np.minimum(eta, _CLOGLOG_MAX))
    kappa = rate / np.expm1(rate)
    return LinkValues(-np.expm1(-rate), kappa, rate, kappa * (1 - kappa - rate), rate)


_LINKS: dict[str, Callable[[FloatArray], LinkValues]] = {
    "logit": _logit,
    "probit": _probit,
    "cloglog": _cloglog,
}
