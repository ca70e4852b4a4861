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

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import chi2

from offroute._typing import BoolArray, FloatArray, IntArray
from offroute.estimators.gaussian_system import Features, cell_volume, walk_kernel
from offroute.estimators.linearise import error_covariance
from offroute.estimators.prior import Prior
from offroute.exceptions import NotConverged, NotIdentified
from offroute.measurement.ledger import Benchmarks, take
from offroute.measurement.market import Market

_TOLERANCE = 1e-12


@dataclass(frozen=True)
class PriceSlope:
    """Slope of the log odds of being off the panel in the log price within a lab.

    Attributes
    ----------
    gamma, se : float
        Slope and its standard error.
    gamma2, se2 : float
        Curvature and its standard error; nan when not fitted.
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

    Returns
    -------
    PriceSlope
        Estimate with the J test of the figures against each other.

    Raises
    ------
    NotIdentified
        If no lab of several tiers has both token and revenue figures, or there are fewer figures
        than coefficients, or prices of the labs do not tell the coefficients apart.
    NotConverged
        If the minimum is not found.

    Notes
    -----
    Assumes that the realised price of every tier lies below its list price by the same factor,
    which is in the offsets: a discount deeper for flagships would read as a negative slope. Hansen
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
    level_of = (unit[:, None] == names[None, :]).astype(np.float64)
    own = market.unit[None, :] == unit[:, None]
    panel = np.log(np.maximum(market.Xs[b.week], np.finfo(float).tiny))
    path = features.mu[b.week, unit]

    def _predict(theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        tilt = theta[len(names)] * z + (theta[-1] * z2 if curvature else 0.0)
        log_units = np.zeros((len(rows), len(features.group)))
        log_units[np.arange(len(rows)), unit] = path + level_of @ theta[: len(names)]
        D = cell_volume(features, log_units, panel, np.broadcast_to(tilt, panel.shape))
        D = np.where(own, D, 0.0)
        off = (b.w * D).sum(axis=1)
        total = off + (b.w * b.iota[:, None] * market.X[b.week]).sum(axis=1)
        return np.asarray(np.log(total)), np.asarray(off / total)

    W = _weight(features, b, prior, unit, _predict(np.zeros(n_coef))[1])
    for _ in range(3):  # the off-platform part of a figure enters its drift: iterate it
        root = np.linalg.cholesky(W).T
        found = least_squares(
            lambda t, root=root: root @ (b.y - b.off - _predict(t)[0]),
            np.zeros(n_coef),
            xtol=_TOLERANCE,
            ftol=_TOLERANCE,
            gtol=_TOLERANCE,
        )
        W = _weight(features, b, prior, unit, _predict(found.x)[1])
    if not found.success:
        raise NotConverged(
            "slope of coverage in price",
            got=found.message,
            rule="the criterion must have a minimum",
            next_step="Fit without curvature.",
        )
    jac = np.asarray(found.jac, dtype=np.float64)
    information = jac.T @ jac
    if np.linalg.cond(information) > 1 / np.sqrt(np.finfo(float).eps):
        raise NotIdentified(
            "slope of coverage in price",
            got=f"condition number {np.linalg.cond(information):.1e}",
            rule="prices of the labs must tell the coefficients apart",
            next_step="Fit without curvature.",
        )
    se = np.sqrt(np.diag(np.linalg.inv(information)))
    at, df, j = len(names), len(rows) - n_coef, float(2 * found.cost)
    first = {int(u): market.labs[int(np.flatnonzero(market.unit == u)[0])] for u in names}
    return PriceSlope(
        gamma=float(found.x[at]),
        se=float(se[at]),
        gamma2=float(found.x[-1]) if curvature else np.nan,
        se2=float(se[-1]) if curvature else np.nan,
        j_statistic=j,
        df=df,
        p_value=float(chi2.sf(j, df)) if df else np.nan,
        ids=b.ids,
        labs=tuple(first[int(u)] for u in names),
    )


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
