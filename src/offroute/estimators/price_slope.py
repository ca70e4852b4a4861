r"""Slope of coverage in the price within a lab, from token and revenue figures of the same lab.

The off-platform volume of a lab is its total, split over tiers by a softmax,

.. math::

   D_{tc} = D_{tl}\, \frac{X^s_{tc} e^{\gamma z_c + \gamma_2 (z_c^2 - \overline{z^2})}}
   {\sum_{c' \in l} X^s_{tc'} e^{\gamma z_{c'} + \gamma_2 (z_{c'}^2 - \overline{z^2})}}, \qquad
   z_c = \log p_c - \overline{\log p}_l .

Token figures fix :math:`D_{tl}` whatever the split; revenue figures fix the mean price; their ratio
fixes :math:`\gamma`. Curvature :math:`\gamma_2` is the barbell: both ends of the price list bought
directly. No effect of price between labs enters: it would be one with the lab's own coverage.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2

from offroute._typing import BoolArray, FloatArray, IntArray
from offroute.estimators.gaussian_system import Features, walk_kernel
from offroute.estimators.linearise import error_covariance
from offroute.estimators.prior import Prior
from offroute.exceptions import NotIdentified
from offroute.measurement.ledger import Benchmarks, take
from offroute.measurement.market import Market

_TOLERANCE = 1e-10
_STEPS = 100
_HALVINGS = 30
_REWEIGHTINGS = 3
#: Beyond this slope a lab's volume elsewhere is all in one tier.
_STEEPEST = 20.0
_SINGULAR = 1e12


@dataclass(frozen=True)
class PriceSlope:
    """Slope of the log odds of being off the panel in the log price within a lab.

    Attributes
    ----------
    gamma, se : float
        Slope and its standard error; infinite with nan where the figures imply a mean price beyond
        the dearest or the cheapest tier.
    low, high : float
        Interval from the rise of the criterion; an end that the figures do not bound is infinite.
    gamma2, se2 : float
        Curvature and its standard error; nan when not fitted or not bounded by the figures.
    j_statistic : float
        Sargan-Hansen statistic of over-identification, chi-squared if errors are as elicited.
    df : int
        Figures less coefficients.
    p_value : float
        Of the J statistic; nan when exactly identified.
    ids : tuple of str
        Figures used.
    labs : tuple of str
        Labs with both kinds of figures.
    """

    gamma: float
    se: float
    low: float
    high: float
    gamma2: float
    se2: float
    j_statistic: float
    df: int
    p_value: float
    ids: tuple[str, ...]
    labs: tuple[str, ...]


def log_price_within(market: Market) -> FloatArray:
    """Log price of each cell less the mean of its unit, in the anchor week.

    Parameters
    ----------
    market : Market
        The panel.

    Returns
    -------
    ndarray, shape (C,)
        The z of the central model.
    """
    log_price = np.log(market.price[market.anchor])
    mean = np.bincount(market.unit, log_price) / np.bincount(market.unit)
    return np.asarray(log_price - mean[market.unit])


def elasticity_gap(gamma: FloatArray, coverage: FloatArray) -> FloatArray:
    r"""Turn a slope of log odds into the gap of two price elasticities.

    .. math:: \epsilon_{panel} - \epsilon_{population} = -\frac{\partial \log\pi}{\partial \log p}
       = (1 - \pi)\,\gamma

    Parameters
    ----------
    gamma : ndarray
        Slope of log(off-platform / panel) in the log price.
    coverage : ndarray
        Coverage pi of the panel, between 0 and 1.

    Returns
    -------
    ndarray
        How much more elastic the panel is, elasticities taken as positive numbers.

    Notes
    -----
    With cells held fixed, log coverage is log X less log Y. A published elasticity of about 1.1
    (Fradkin 2026) is one of requests across the hosts of one open model: it says how users switch
    host, not lab, and identifies neither side of this gap.

    Examples
    --------
    >>> elasticity_gap(np.array([0.5]), np.array([0.2])).tolist()
    [0.4]
    """
    return np.asarray((1 - coverage) * gamma)


def _paired_rows(market: Market, b: Benchmarks) -> tuple[IntArray, IntArray]:
    """Exact figures of absolute size about one unit that has tokens and revenue; their unit."""
    exact = (b.side == 0) & ~b.flat[b.family]
    unit = np.full(len(b), -1, dtype=np.int64)
    priced = np.zeros(len(b), dtype=bool)
    for i in np.flatnonzero(exact):
        found = np.unique(market.unit[b.w[i] > 0])
        if len(found) == 1:
            own = b.w[i, market.unit == found[0]]
            # A lab of one tier has one price: its revenue says nothing about a slope.
            if len(own) > 1 and (own > 0).all():
                unit[i], priced[i] = found[0], np.ptp(own) > 0
    both = set(unit[priced & (unit >= 0)]) & set(unit[~priced & (unit >= 0)])
    rows = np.flatnonzero(np.isin(unit, sorted(both)))
    return rows, unit[rows]


def fit_price_slope(
    market: Market,
    features: Features,
    benchmarks: Benchmarks,
    prior: Prior,
    *,
    curvature: bool = False,
    level: float = 0.9,
) -> PriceSlope:
    r"""Estimate the slope by the generalised method of moments, without any prior on it.

    .. math:: \min_{a, \gamma} r'W r, \qquad r_i = y_i - o_i - \log \sum_c w_{ic}
       (D_{t_i c} + \iota_i X_{t_i c}), \qquad W = (S + J K J')^{-1}

    with one free level a for each lab, S the error of the figures and K the drift of the lab's
    volume between their dates, both as the prior of the central model has them.

    Parameters
    ----------
    market : Market
        The panel.
    features : Features
        Design of the central model, for the path of the panel.
    benchmarks : Benchmarks
        The evidence.
    prior : Prior
        Scales of the errors and of the drift; its gamma is not used.
    curvature : bool
        Whether to fit the barbell.
    level : float
        Coverage of the interval.

    Returns
    -------
    PriceSlope
        Estimate with the J test of the figures against each other.

    Raises
    ------
    NotIdentified
        If no lab of several tiers has both token and revenue figures, or there are fewer figures
        than coefficients.

    Notes
    -----
    Assumes that the realised price of every tier lies below its list price by the same factor,
    which is in the offsets: a discount deeper for flagships would read as a negative slope. The
    mean price of a lab lies between those of its tiers: figures that imply one beyond them have no
    finite slope, which is then infinite, with the end of the interval on the other side. Hansen
    (1982), doi:10.2307/1912775.
    """
    rows, unit = _paired_rows(market, benchmarks)
    names = np.unique(unit)
    n_coef = len(names) + 1 + curvature
    if not len(rows) or len(rows) < n_coef:
        raise NotIdentified(
            "slope of coverage in price",
            got=f"{len(rows)} figures about {len(names)} labs with tokens and revenue",
            rule=f"needs at least {n_coef} figures about labs of several tiers with both",
            next_step="Take the posterior of the central model, which adds a prior.",
        )
    b = take(benchmarks, rows)
    z = log_price_within(market)
    z2 = z**2 - (np.bincount(market.unit, z**2) / np.bincount(market.unit))[market.unit]
    at = len(names)
    level_of = (unit[:, None] == names[None, :]).astype(np.float64)
    own = market.unit[None, :] == unit[:, None]
    panel = np.log(np.maximum(market.Xs[b.week], np.finfo(float).tiny))
    path = features.mu[b.week, unit]

    inside = (b.w * b.iota[:, None] * market.X[b.week]).sum(axis=1)
    # Only the cells of a figure's own lab count: its volume is its level split over them.
    weight, mix = np.where(own, b.w, 0.0), np.where(own, panel, -np.inf)

    def _predict(theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Log figures, their off-platform part and their derivatives."""
        tilt = theta[at] * z + (theta[-1] * z2 if curvature else 0.0)
        log_part = mix + tilt
        part = np.exp(log_part - log_part.max(axis=1, keepdims=True))
        part /= part.sum(axis=1, keepdims=True)
        D = part * np.exp(path + level_of @ theta[:at])[:, None]
        off = (weight * D).sum(axis=1)
        total = off + inside
        slopes = []
        for x in (z, z2)[: 1 + curvature]:
            slopes.append((weight * D * (x - (part @ x)[:, None])).sum(axis=1) / total)
        J = np.column_stack([level_of * (off / total)[:, None], *slopes])
        return np.log(total), off / total, J

    def _whitened(theta: FloatArray, root: np.ndarray) -> tuple[FloatArray, FloatArray]:
        log_total, _, J = _predict(theta)
        return np.asarray(root @ (b.y - b.off - log_total)), np.asarray(-root @ J)

    W = _weight(features, b, prior, unit, _predict(np.zeros(n_coef))[1])
    for _ in range(_REWEIGHTINGS):  # the off-platform part of a figure enters its drift
        root = np.linalg.cholesky(W).T
        theta, cost, jac = _minimise(partial(_whitened, root=root), np.zeros(n_coef), at)
        W = _weight(features, b, prior, unit, _predict(theta)[1])

    def _excess(value: float) -> float:
        start = np.delete(theta, at)

        def _rest(other: FloatArray) -> tuple[FloatArray, FloatArray]:
            r, J = _whitened(np.insert(other, at, value), root)
            return r, np.delete(J, at, axis=1)

        return _minimise(_rest, start, None)[1] - cost - float(chi2.ppf(level, 1))

    low, high = (_profile_end(_excess, float(theta[at]), end) for end in (-_STEEPEST, _STEEPEST))
    information = jac.T @ jac
    finite = np.abs(theta[at:]).max() < 0.99 * _STEEPEST and np.linalg.cond(information) < _SINGULAR
    se = np.full(n_coef, np.nan)
    if finite:
        se = np.sqrt(np.diag(np.linalg.inv(information)))
    # With curvature two coefficients run off together, and neither has a direction of its own.
    steep = np.nan if curvature else float(np.copysign(np.inf, theta[at]))
    df = len(rows) - n_coef
    first = {int(u): market.labs[int(np.flatnonzero(market.unit == u)[0])] for u in names}
    return PriceSlope(
        gamma=float(theta[at]) if finite else steep,
        se=float(se[at]),
        low=low,
        high=high,
        gamma2=float(theta[-1]) if curvature and finite else np.nan,
        se2=float(se[-1]) if curvature else np.nan,
        j_statistic=cost,
        df=df,
        p_value=float(chi2.sf(cost, df)) if df else np.nan,
        ids=b.ids,
        labs=tuple(first[int(u)] for u in names),
    )


def _minimise(
    residual: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    start: FloatArray,
    bounded: int | None,
) -> tuple[FloatArray, float, FloatArray]:
    """Gauss-Newton steps with halving; return the minimum, its value and the derivative there."""
    x = start
    r, J = residual(x)
    cost = float(r @ r)
    for _ in range(_STEPS):
        step = np.linalg.lstsq(J, -r)[0]
        for _ in range(_HALVINGS):
            new = x + step
            if bounded is not None:
                new[bounded:] = np.clip(new[bounded:], -_STEEPEST, _STEEPEST)
            r_new, J_new = residual(new)
            lower = float(r_new @ r_new)
            if lower <= cost:
                break
            step = 0.5 * step
        else:
            break
        done = cost - lower <= _TOLERANCE * (1 + cost)
        x, r, J, cost = new, r_new, J_new, lower
        if done:
            break
    return x, cost, J


def _profile_end(excess: Callable[[float], float], best: float, end: float) -> float:
    """Where the criterion has risen enough, between its minimum and an end; infinite if nowhere."""
    if abs(best) >= 0.99 * _STEEPEST and np.sign(best) == np.sign(end):
        return float(np.copysign(np.inf, end))
    if excess(end) < 0:
        return float(np.copysign(np.inf, end))
    low, high = sorted((best, end))
    return float(brentq(excess, low, high, xtol=1e-4, rtol=1e-4))


def _weight(
    features: Features, b: Benchmarks, prior: Prior, unit: IntArray, off: FloatArray
) -> FloatArray:
    """Inverse covariance of figures: their errors and the drift of the volume between dates."""
    S = error_covariance(b, prior, np.array([prior.omega]))[0]
    same: BoolArray = unit[:, None] == unit[None, :]
    rise = features.rise[b.week, unit]
    group = features.group[unit]
    slope = prior.beta_sd**2 + prior.beta_group_sd**2 * (group[:, None] == group[None, :])
    slope = slope + prior.beta_unit_sd**2 * same
    elapsed = features.elapsed[b.week]
    drift = np.outer(rise, rise) * slope + prior.s_rw**2 * walk_kernel(elapsed, elapsed) * same
    return np.asarray(np.linalg.inv(S + np.outer(off, off) * drift))


def slope_given_split(xi: FloatArray, market: Market, prior: Prior) -> tuple[FloatArray, float]:
    r"""Posterior of the slope in the central model, from draws of the log split over tiers.

    .. math:: \gamma \mid \xi \sim N\big(\gamma_0 + v z'(\xi - \gamma_0 z)/s_e^2,\; v\big), \qquad
       v^{-1} = s_\gamma^{-2} + z'z / s_e^2

    The figures inform the slope through the split alone, so that averaging this over draws of the
    split gives the exact posterior.

    Parameters
    ----------
    xi : ndarray, shape (k, C)
        Draws of the split as a deviation from its prior mean, `Draws.xi`.
    market : Market
        The panel.
    prior : Prior
        Its slope and scales.

    Returns
    -------
    mean : ndarray, shape (k,)
        Conditional mean of each draw.
    sd : float
        Conditional standard deviation.

    Raises
    ------
    NotIdentified
        If the prior holds the slope or the residual of a cell fixed.
    """
    if not (prior.gamma_sd > 0 and prior.s_e > 0):
        raise NotIdentified(
            "slope of coverage in price",
            got=f"prior scales {prior.gamma_sd:g} and {prior.s_e:g}",
            rule="the prior must let the split over tiers vary",
            next_step="Fit with the mechanism 'tiers' on.",
        )
    z = log_price_within(market)
    variance = 1 / (1 / prior.gamma_sd**2 + z @ z / prior.s_e**2)
    mean = prior.gamma + variance * (xi @ z) / prior.s_e**2
    return mean, float(np.sqrt(variance))
