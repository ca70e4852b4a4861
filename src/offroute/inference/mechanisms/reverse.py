r"""Reverse selection (C4): whether Chinese models are drawn onto the panel, sign left free.

Buyers who will not send data to a Chinese API call Chinese models through a router instead; buyers
near the labs call them directly and never touch the panel. The first lowers, the second raises the
odds of being off the panel,

.. math:: \beta_{CN} = b_{China} + \delta_{CN\,open} - \delta_{US\,open} ,

the log odds of open Chinese models less those of open US models. Its prior is centred so that
before any figure either sign of the under-sampling is as likely as the other.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from offroute._random import RngLike, resolve_rng
from offroute._typing import FloatArray
from offroute.estimators.gaussian_system import Features, sum_units
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import NotIdentified
from offroute.inference.information import value_of_information
from offroute.inference.mechanisms.counterfactual import (
    direction_of,
    selection_log_ratio,
    triple,
)
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes
from offroute.measurement.market import GROUPS, Market

_CHINA, _US = GROUPS.index("China open"), GROUPS.index("US open")
#: Columns of the fixed part: intercept, closed, China, then the groups.
_FIRST_GROUP = 3
_MODERATE = 0.75
_JITTER = 1e-9


@dataclass(frozen=True)
class ReverseSelection:
    """Posterior of the China effect.

    Attributes
    ----------
    effect : Effect
        On the log ratio.
    china : tuple of float
        Log odds of being off the panel, open Chinese less open US models: low, median, high.
    p_negative : float
        Posterior probability that it is negative: reverse selection.
    p_negative_before : float
        The same before any figure.
    contraction : float
        1 less its variance over its prior variance.
    would_identify : pandas.DataFrame
        Hypothetical figures by how much each would narrow the log ratio.
    """

    effect: Effect
    china: tuple[float, float, float]
    p_negative: float
    p_negative_before: float
    contraction: float
    would_identify: pd.DataFrame


def coefficients_given_units(
    base: FloatArray, tau: FloatArray, features: Features, rng: RngLike = 0
) -> FloatArray:
    r"""Draw the coefficients of the units' log odds given their sum.

    .. math:: a = F c + \tau L e, \qquad c \mid a \sim N\big(F'V^{-1}a,\; I - F'V^{-1}F\big), \qquad
       V = FF' + \tau^2 LL'

    The figures inform the coefficients through the units alone, so that this is the exact
    posterior.

    Parameters
    ----------
    base : ndarray, shape (k, U)
        Draws of the units, as a deviation from the prior mean.
    tau : ndarray, shape (k,)
        Scale of the differences between labs in each draw.
    features : Features
        Design.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    ndarray, shape (k, P)
        Standardised coefficients c.
    """
    generator = resolve_rng(rng)
    F = features.fixed
    same = (features.company[:, None] == features.company[None, :]).astype(np.float64)
    noise = generator.standard_normal((len(base), F.shape[1]))
    out = np.empty_like(noise)
    for value in np.unique(tau):
        of = np.flatnonzero(tau == value)
        V = F @ F.T + value**2 * same
        V[np.diag_indices_from(V)] += _JITTER * np.trace(V) / len(V)
        gain = np.linalg.solve(V, F).T
        size, axes = np.linalg.eigh(np.eye(F.shape[1]) - gain @ F)
        out[of] = base[of] @ gain.T + noise[of] @ (axes * np.sqrt(np.maximum(size, 0.0))).T
    return out


def china_effect(
    features: Features, market: Market, coefficients: FloatArray
) -> tuple[FloatArray, float, float]:
    r"""Log odds of being off the panel, open Chinese less open US models.

    Parameters
    ----------
    features : Features
        Design.
    market : Market
        The panel.
    coefficients : ndarray, shape (k, P)
        Standardised coefficients.

    Returns
    -------
    draws : ndarray, shape (k,)
        Draws of the contrast.
    centre, sd : float
        Its prior mean and standard deviation.

    Raises
    ------
    NotIdentified
        If the market has no open models of one of the two origins, or the prior fixes the effect.
    """
    unit = [np.flatnonzero(features.group == g) for g in (_CHINA, _US)]
    if not (len(unit[0]) and len(unit[1])):
        raise NotIdentified(
            "China effect",
            got="a market without open models of both origins",
            rule="the two must be compared at equal openness",
            next_step="See the effect by origin in the critiques table.",
        )
    contrast = features.fixed[unit[0][0]] - features.fixed[unit[1][0]]
    sd = float(np.sqrt(contrast @ contrast))
    if sd == 0:
        raise NotIdentified(
            "China effect",
            got="a prior without spread",
            rule="the prior must leave it free",
            next_step="Fit with the mechanism 'reverse-selection' on.",
        )
    at = market.anchor
    level = features.mu[at] - np.log(sum_units(features, market.Xs[at]))
    centre = float(level[unit[0][0]] - level[unit[1][0]])
    return coefficients @ contrast + centre, centre, sd


def reverse_selection(
    posterior: Posterior, v: Volumes, *, level: float = 0.9, rng: RngLike = 0
) -> ReverseSelection:
    r"""Measure the China effect with its sign left free.

    The effect on the log ratio is that of giving the two origins coverages of their own where
    models of one openness had one coverage: R with direct purchase and origin less R with direct
    purchase alone, draw by draw.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    v : Volumes
        Its volumes in one week.
    level : float
        Probability of the intervals.
    rng : int, Generator, SeedSequence or None
        Randomness of the coefficients given the units.

    Returns
    -------
    ReverseSelection
        Posterior of the effect and what would identify it. The strength is moderate where the
        figures contract the effect by .75, else weak; it is never strong, since an error common to
        all figures about one country moves it one for one.

    Raises
    ------
    NotIdentified
        If the prior fixes the effect, or the market lacks open models of an origin.

    Notes
    -----
    The same aversion to Chinese APIs also lowers what Chinese models sell: that part is no bias of
    the panel and is not in the effect. The median effect can differ in sign from the coefficient,
    since closed US models enter the first and not the second.
    """
    c = coefficients_given_units(
        posterior.draws.base, posterior.draws.hyper[:, 0], posterior.features, rng
    )
    china, centre, sd = china_effect(posterior.features, posterior.market, c)
    contraction = 1 - float(china.var() / sd**2)
    on = selection_log_ratio(v, ("direct-purchase", "reverse-selection"))
    change = triple(on - selection_log_ratio(v, ("direct-purchase",)), level)
    strength = "moderate" if contraction >= _MODERATE else "weak"
    b = posterior.benchmarks
    rows = tuple(b.ids[i] for i in np.flatnonzero((b.origin < 0) & ~b.flat[b.family]))
    negative = float((china < 0).mean())
    would = value_of_information(v)
    effect = Effect(
        critique="C4",
        mechanism="reverse selection",
        population=v.population,
        week=v.week,
        parameter="log odds of being off the panel, open Chinese less open US models",
        estimate=triple(china, level),
        effect=change,
        level=level,
        evidence=rows or ("prior",),
        direction=direction_of(change),
        strength=strength,
        note=(
            f"The sign is free: P(Chinese models are drawn onto the panel) = {negative:.2f} "
            f"({float(ndtr(-centre / sd)):.2f} before any figure); most would be learned from one "
            f"source's {would['disclosure'].iloc[0]}."
        ),
    )
    return ReverseSelection(
        effect, effect.estimate, negative, float(ndtr(-centre / sd)), contraction, would
    )
