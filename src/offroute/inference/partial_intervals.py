"""Confidence intervals for a number that is only known to lie between two estimated bounds."""

from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr, ndtri

from offroute._checks import check_finite, check_probability
from offroute.exceptions import InvalidValue


@dataclass(frozen=True)
class PartialInterval:
    """Interval that covers the number itself, wherever it lies between its bounds.

    Attributes
    ----------
    low, high : float
        Ends.
    critical_low, critical_high : float
        Standard errors by which each bound is moved out.
    level : float
        Nominal coverage of every point of the identified set.
    """

    low: float
    high: float
    critical_low: float
    critical_high: float
    level: float


def _check_bounds(bounds: tuple[float, float], se: tuple[float, float]) -> None:
    check_finite(bounds, name="bounds")
    check_finite(se, name="se", minimum=0)
    if bounds[0] > bounds[1] or max(se) == 0:
        raise InvalidValue(
            "bounds and se",
            got=f"bounds {bounds}, se {se}",
            rule="low <= high and at least one standard error above 0",
            next_step="Pass (low, high); without sampling error the bounds are the interval.",
        )


def imbens_manski(
    bounds: tuple[float, float], se: tuple[float, float], *, level: float = 0.95
) -> PartialInterval:
    r"""Interval of Imbens and Manski for a partially identified number.

    .. math:: [l - c\,s_l,\; u + c\,s_u], \qquad
       \Phi\!\left(c + \frac{u - l}{\max(s_l, s_u)}\right) - \Phi(-c) = level

    Parameters
    ----------
    bounds : tuple of two float
        Estimated bounds l and u.
    se : tuple of two float
        Their standard errors.
    level : float
        Coverage.

    Returns
    -------
    PartialInterval
        Between the one-sided critical value (wide sets) and the two-sided one (a point).

    Raises
    ------
    InvalidValue
        If the bounds cross, are not finite, or have no sampling error.
    UsageError
        If `level` is not between 0 and 1.

    Notes
    -----
    Assumes jointly normal bounds whose estimated width is much more precise than the bounds
    themselves (superefficiency); otherwise use `stoye`. Imbens and Manski (2004), Econometrica
    72, 1845-1857, doi:10.1111/j.1468-0262.2004.00555.x.

    Examples
    --------
    >>> interval = imbens_manski((0.10, 0.30), (0.02, 0.03))
    >>> round(interval.low, 6), round(interval.high, 6), round(interval.critical_low, 6)
    (0.067103, 0.349346, 1.644854)
    """
    level = check_probability(level, name="level")
    _check_bounds(bounds, se)
    width = (bounds[1] - bounds[0]) / max(se)
    c = float(
        brentq(
            lambda c: ndtr(c + width) - ndtr(-c) - level,
            0.0,
            float(ndtri((1 + level) / 2)) + 1.0,
            xtol=1e-14,
        )
    )
    return PartialInterval(bounds[0] - c * se[0], bounds[1] + c * se[1], c, c, level)


def _inside(a: float, b: float, correlation: float) -> float:
    """P(z1 <= a, z2 >= -b) of two standard normals."""
    if abs(correlation) > 1 - 1e-12:
        if correlation > 0:
            return float(max(ndtr(a) - ndtr(-b), 0.0))
        return float(ndtr(min(a, b)))
    scale = np.sqrt(1 - correlation**2)

    def density(z: float) -> float:
        part = ndtr((b + correlation * z) / scale)
        return float(np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) * part)

    return float(quad(density, -9.0, min(a, 9.0), epsabs=1e-12, epsrel=1e-10)[0])


def stoye(
    bounds: tuple[float, float],
    se: tuple[float, float],
    *,
    correlation: float,
    level: float = 0.95,
) -> PartialInterval:
    r"""Interval of Stoye for a partially identified number, without superefficiency.

    The shortest :math:`[l - c_l s_l, u + c_u s_u]` that covers either end with the level:

    .. math::

       P(z_l \le c_l,\; z_u \ge -c_u - (u - l) / s_u) &\ge level, \\
       P(z_l \le c_l + (u - l) / s_l,\; z_u \ge -c_u) &\ge level,

    where z_l and z_u are the standardised errors of the two bounds.

    Parameters
    ----------
    bounds : tuple of two float
        Estimated bounds l and u.
    se : tuple of two float
        Their standard errors, both above 0.
    correlation : float
        Correlation of the two estimates; bounds that share their data are close to 1.
    level : float
        Coverage.

    Returns
    -------
    PartialInterval
        Critical values may differ between the ends.

    Raises
    ------
    InvalidValue
        If the bounds cross, a standard error is not above 0, or the correlation is no correlation.
    UsageError
        If `level` is not between 0 and 1.

    Notes
    -----
    Stoye (2009), Econometrica 77, 1299-1315, doi:10.3982/ECTA7347, second interval. With
    correlation 1 and equal standard errors it is the interval of Imbens and Manski.

    Examples
    --------
    >>> interval = stoye((0.20, 0.21), (0.03, 0.03), correlation=1.0)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.1454, 0.2646)
    """
    level = check_probability(level, name="level")
    _check_bounds(bounds, se)
    check_finite(se, name="se", minimum=0, strict=True)
    if not -1 <= correlation <= 1:
        raise InvalidValue(
            "correlation",
            got=correlation,
            rule="must lie in [-1, 1]",
            next_step="Estimate it from draws of the two bounds.",
        )
    width = bounds[1] - bounds[0]
    least, most = float(ndtri(level)), float(ndtri((1 + level) / 2))
    # Far beyond the two-sided critical value nothing is gained.
    far = most + 4.0

    def _short(c_low: float, c_high: float) -> float:
        at_low = _inside(c_low, c_high + width / se[1], correlation)
        at_high = _inside(c_low + width / se[0], c_high, correlation)
        return min(at_low, at_high) - level

    def _partner(c_low: float) -> float:
        return float(brentq(lambda c: _short(c_low, c), least - 1e-9, far, xtol=1e-12))

    def _length(c_low: float) -> float:
        return se[0] * c_low + se[1] * _partner(c_low)

    # Below this value of c_low no c_high is large enough; a little more keeps clear of rounding.
    start = brentq(lambda c: _short(c, far), least - 1e-9, far, xtol=1e-12) + 1e-9
    found = minimize_scalar(
        _length, bounds=(start, most + 1.0), method="bounded", options={"xatol": 1e-10}
    )
    c_low = float(found.x)
    c_high = _partner(c_low)
    return PartialInterval(
        bounds[0] - c_low * se[0], bounds[1] + c_high * se[1], c_low, c_high, level
    )
