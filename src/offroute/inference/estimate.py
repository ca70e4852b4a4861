"""From a point estimate to an estimate with standard errors and intervals."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.point import PointEstimate
from offroute.exceptions import InvalidValue
from offroute.inference.intervals import log_interval, logit_interval, normal_interval
from offroute.inference.variance import LonelyRule, degrees_of_freedom, point_covariance

IntervalName = Literal["normal", "t", "logit", "log"]
_SCALES = {"normal": normal_interval, "logit": logit_interval, "log": log_interval}


@dataclass(frozen=True)
class Estimate:
    """Estimates with their uncertainty.

    Attributes
    ----------
    names : tuple of str, length k
        Names of the estimands.
    values, se, lower, upper : numpy.ndarray of float64, shape (k,)
        Estimates, standard errors and ends of the interval for each.
    covariance : numpy.ndarray of float64, shape (k, k)
        Covariance of the estimates.
    level : float
        Nominal coverage of each interval.
    interval : str
        Kind of interval.
    degrees_of_freedom : float
        Clusters less strata; infinite when not used.
    draws : numpy.ndarray of float64, shape (r, k), or None
        Replicate estimates, when there are any.
    """

    names: tuple[str, ...]
    values: FloatArray
    se: FloatArray
    lower: FloatArray
    upper: FloatArray
    covariance: FloatArray
    level: float
    interval: str
    degrees_of_freedom: float
    draws: FloatArray | None = None


def infer(
    point: PointEstimate,
    *,
    level: float = 0.95,
    interval: IntervalName = "t",
    lonely: LonelyRule = "refuse",
) -> Estimate:
    """Attach linearised standard errors and intervals to a point estimate.

    The covariance is the design variance of the influence values z, which carry the effect of
    estimated weights, plus that of a reference sample and of the benchmarks' own error:
    ``V = V_A(sum_i z_i) + V_B(sum_j z_j) + B' S B``, shape (k, k). Assumes the design that the
    sample states and clusters enough for sums to be normal ("t" and "logit" help with few); an
    estimator's bias is not in it, nor is a single row that dominates a heavy-tailed volume.

    Parameters
    ----------
    point : PointEstimate
        From any estimator.
    level : float
        Coverage of each interval, 0 to 1.
    interval : {"t", "normal", "logit", "log"}
        "t" uses clusters less strata as degrees of freedom, as do "logit" (shares) and "log"
        (positive values).
    lonely : {"refuse", "certainty", "adjust"}
        Rule for strata with one sampled cluster; see `design_variance`.

    Returns
    -------
    Estimate
        Values, standard errors, covariance and intervals.

    Raises
    ------
    NotIdentified
        If the design cannot give a variance.
    InvalidValue
        If the interval's scale does not fit the values, or influence values are not finite.

    References
    ----------
    Binder, D. A. (1983). Int. Stat. Rev. 51, 279-292. doi:10.2307/1402588

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.expansion import expansion
    >>> from offroute.estimators.intake import read_sample
    >>> s = read_sample(pd.DataFrame({"y": [1.0, 2, 3, 4]}), outcomes=["y"])
    >>> infer(expansion(s)).se.round(6).tolist()
    [0.645497]
    """
    if not np.isfinite(point.influence).all():
        raise InvalidValue(
            "influence",
            got="values that are not finite",
            rule="a linearised variance needs finite influence values",
            next_step="Use bootstrap, or check the estimator's overlap diagnostics.",
        )
    covariance = point_covariance(point, lonely=lonely)
    df = np.inf if interval == "normal" else float(degrees_of_freedom(point.design))
    return make_estimate(
        point.names, point.values, covariance, level=level, interval=interval, df=df
    )


def make_estimate(
    names: tuple[str, ...],
    values: FloatArray,
    covariance: FloatArray,
    *,
    level: float,
    interval: IntervalName,
    df: float,
    draws: FloatArray | None = None,
) -> Estimate:
    """Build an `Estimate` from a covariance, shape (k, k).

    Parameters
    ----------
    names : tuple of str
        Names of the values.
    values : numpy.ndarray of float64, shape (k,)
        Estimates.
    covariance : numpy.ndarray of float64, shape (k, k)
        Covariance of the values.
    level : float
        Coverage, between 0 and 1.
    interval : str
        Kind of interval.
    df : float
        Degrees of freedom; infinite for the normal distribution.
    draws : numpy.ndarray of float64, shape (r, k), optional
        Replicate estimates.
    """
    scale = "normal" if interval == "t" else interval
    if scale not in _SCALES:
        raise InvalidValue(
            "interval",
            got=interval,
            rule=f"one of {['t', *_SCALES]}",
            next_step="Percentile and BCa intervals come from bootstrap.",
        )
    se = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    low, high = _SCALES[scale](values, se, level=level, df=df) if se.size else (se, se)
    return Estimate(names, values, se, low, high, covariance, level, interval, df, draws)
