r"""Price-elastic selection (C3): what price does to coverage, and to China against the US.

.. math:: \log\frac{1 - \pi_c}{\pi_c} = b + \gamma\,(\log p_c - \overline{\log p})

Within a lab the slope :math:`\gamma` is identified by token and revenue figures of the same lab. It
moves tokens between the tiers of a lab and, lab totals being free, none between labs. What the
critique says needs one more assumption: that the slope within labs holds between them.
"""

from dataclasses import dataclass

import numpy as np

from offroute._random import RngLike, resolve_rng
from offroute._typing import FloatArray
from offroute.estimators.price_slope import (
    PriceSlope,
    elasticity_gap,
    fit_price_slope,
    slope_given_split,
)
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import NotIdentified
from offroute.inference.mechanisms.counterfactual import china_over_us, direction_of, triple
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes
from offroute.measurement.market import week_index

Triple = tuple[float, float, float]

#: A slope known this much better than before any figure is well informed by them.
_WELL_INFORMED = 0.75


@dataclass(frozen=True)
class PriceSelection:
    """Slope of coverage in price and its effects.

    Attributes
    ----------
    effect : Effect
        On tokens, with the slope within labs taken to hold between them.
    gamma : tuple of float
        Posterior of the slope of log(off-platform / panel) in the log price: low, median, high.
    contraction : float
        1 less the variance of the slope over its prior variance.
    moments : PriceSlope or None
        The slope by the method of moments, without a prior; None where no lab has both kinds of
        figures.
    gap : tuple of float
        Panel elasticity less that of the population, within labs.
    dollars : tuple of float
        Change of the log ratio of dollars by the slope within labs alone: identified without the
        further assumption.
    """

    effect: Effect
    gamma: Triple
    contraction: float
    moments: PriceSlope | None
    gap: Triple
    dollars: Triple


def price_selection(
    posterior: Posterior, v: Volumes, *, level: float = 0.9, rng: RngLike = 0
) -> PriceSelection:
    r"""Measure price-elastic selection.

    .. math:: \Delta = \log\frac{\sum_{CN} X_c (1 + e^{b + \gamma \tilde z_c})}
       {\sum_{US} X_c (1 + e^{b + \gamma \tilde z_c})} - \log\frac{X_{CN}}{X_{US}}, \qquad
       \tilde z_c = \log p_c - \overline{\log p}

    with b the log odds of being off the panel for the whole market, draw by draw.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    v : Volumes
        Its volumes in one week.
    level : float
        Probability of the intervals.
    rng : int, Generator, SeedSequence or None
        Randomness of the slope given the split over tiers.

    Returns
    -------
    PriceSelection
        Slope, elasticity gap and effects. The strength is moderate where the figures contract the
        slope by .75 and two labs have both kinds, weak where by less, and never strong, for the
        effect on tokens rests on an assumption that no figure tests.

    Raises
    ------
    NotIdentified
        If the prior holds the slope fixed.

    Notes
    -----
    The published elasticity of about -1.1 (Fradkin 2026) is across the hosts of one open model: it
    does not identify switching between labs and is not used.
    """
    market, prior = posterior.market, posterior.prior
    mean, sd = slope_given_split(posterior.draws.xi, market, prior)
    gamma = mean + sd * resolve_rng(rng).standard_normal(len(mean))
    contraction = 1 - float((mean.var() + sd**2) / prior.gamma_sd**2)
    try:
        moments = fit_price_slope(market, posterior.features, posterior.benchmarks, prior)
    except NotIdentified:
        moments = None
    log_price = np.log(market.price[week_index(market, v.week)])
    X, Y = v.X[:-1], v.Y[:, :-1]
    odds = Y.sum(axis=1) / X.sum() - 1
    between = log_price - X @ log_price / X.sum()
    moved = between_labs(v, gamma, odds, between)
    change = triple(moved - china_over_us(v, v.X), level)
    both = 0 if moments is None else len(moments.labs)
    strength = "moderate" if contraction >= _WELL_INFORMED and both > 1 else "weak"
    source = (
        f"Identified within labs by tokens and revenue of {' and '.join(moments.labs)}"
        if moments
        else "No lab of this population has both tokens and revenue: the prior speaks"
    )
    coverage = X.sum() / Y.sum(axis=1)
    effect = Effect(
        critique="C3",
        mechanism="price-elastic selection",
        population=v.population,
        week=v.week,
        parameter="slope of log(off-platform / panel) in log price",
        estimate=triple(gamma, level),
        effect=change,
        level=level,
        evidence=moments.ids if moments else ("prior",),
        direction=direction_of(change),
        strength=strength,
        note=(
            f"{source} (contraction {contraction:.2f}); the effect assumes that it holds between "
            "labs too, and it is then part of the effects of C1 and C4, not on top of them."
        ),
    )
    return PriceSelection(
        effect=effect,
        gamma=effect.estimate,
        contraction=contraction,
        moments=moments,
        gap=triple(elasticity_gap(gamma, coverage), level),
        dollars=triple(_dollars_within(posterior, v, gamma, np.exp(log_price)), level),
    )


def between_labs(v: Volumes, gamma: FloatArray, odds: FloatArray, z: FloatArray) -> FloatArray:
    """Log(China / US) of a market in which coverage depends on price alone.

    Parameters
    ----------
    v : Volumes
        The week.
    gamma : ndarray, shape (k,)
        Slopes.
    odds : ndarray, shape (k,)
        Off-platform over panel tokens of the whole market.
    z : ndarray, shape (C,)
        Log price of the cells, less its mean.

    Returns
    -------
    ndarray, shape (k,)
        The log ratio; the whole market keeps its odds in every draw.
    """
    tilt = np.exp(gamma[:, None] * z)
    X = v.X[:-1]
    off = X * tilt * (odds * X.sum() / (tilt @ X))[:, None]
    return china_over_us(v, np.column_stack([X + off, np.full(len(off), v.X[-1])]))


def _dollars_within(
    posterior: Posterior, v: Volumes, gamma: FloatArray, price: FloatArray
) -> FloatArray:
    """Change of the log ratio of dollars when each lab's total is split by the slope."""
    market = posterior.market
    log_p = np.log(price)
    mean = np.bincount(market.unit, log_p) / np.bincount(market.unit)
    tilt = np.exp(gamma[:, None] * (log_p - mean[market.unit]))
    member = (market.unit[:, None] == np.arange(int(market.unit.max()) + 1)).astype(np.float64)
    X, off = v.X[:-1], (v.Y[:, :-1] - v.X[:-1]) @ member
    # The same off-platform total of each lab, once with the panel's mix and once tilted by price.
    mix = market.Xs[week_index(market, v.week)]
    split = [mix * np.ones_like(tilt), mix * tilt]
    flat, new = (X + part * (off / (part @ member))[:, market.unit] for part in split)
    money = [np.column_stack([y * price, np.zeros(len(y))]) for y in (new, flat)]
    return china_over_us(v, money[0]) - china_over_us(v, money[1])
