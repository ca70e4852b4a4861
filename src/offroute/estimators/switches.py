r"""Each mechanism of the central model as a switch.

With every mechanism off all cells have one coverage in every week,
:math:`D_{tc} = X_{tc} e^{b_0}`, and benchmarks are taken at their word: the corrected ratio is the
panel's own. Every subset is the same model with some scales at zero, so each gives a whole market.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from offroute._checks import check_choice
from offroute._typing import BoolArray
from offroute.estimators.prior import Prior
from offroute.measurement.ledger import Benchmarks, take
from offroute.measurement.market import Market

#: What each switch stands for: what the model says with it on, and what it says with it off.
MECHANISMS: dict[str, tuple[str, str]] = {
    "direct-purchase": ("closed models have a coverage of their own", "that of open models"),
    "reverse-selection": ("Chinese models have a coverage of their own", "that of US models"),
    "labs": ("labs of a group differ in coverage", "they do not"),
    "tiers": ("the mix of tiers elsewhere is its own", "it is the panel's"),
    "smoothing": ("volume elsewhere follows the panel of past weeks", "that of the week itself"),
    "pass-through": ("a surge on the panel happens in part elsewhere", "in full"),
    "drift": ("the coverage of a lab drifts", "it is constant in time"),
    "unseen-labs": ("labs that the panel hardly shows are in the market", "they are not"),
    "common-mode": ("figures about one country's labs share an error", "they do not"),
    "shared-bias": ("figures of one source share an error, and may be unreliable", "they do not"),
    "scope": ("figures speak of other buyers and channels, by known factors", "of the population"),
    "nesting": ("figures contain the panel's own tokens", "they do not"),
}
#: Mechanisms of time and error: without them figures of different weeks contradict each other, so
#: that a split of the road from panel to market keeps them on.
EVIDENCE = ("pass-through", "drift", "common-mode", "shared-bias", "scope", "nesting")
#: The others, by which the market differs from the panel in one week.
SELECTION = tuple(name for name in MECHANISMS if name not in EVIDENCE)
#: Part of the panel that stands for a lab without tokens, so that logarithms exist.
_NOTHING = 1e-9
#: A cell whose smoothed volume is this many times its own is a stand-in or a floor.
_STAND_IN = 100.0


@dataclass(frozen=True)
class Model:
    """The three inputs of the evidence synthesis after switching.

    Attributes
    ----------
    market : Market
        The panel.
    benchmarks : Benchmarks
        The evidence.
    prior : Prior
        The prior.
    """

    market: Market
    benchmarks: Benchmarks
    prior: Prior


def switch_prior(prior: Prior, mechanisms: Iterable[str]) -> Prior:
    """Turn off the mechanisms of the prior that are not named.

    Parameters
    ----------
    prior : Prior
        The prior with everything on.
    mechanisms : iterable of str
        Mechanisms to keep, keys of `MECHANISMS`.

    Returns
    -------
    Prior
        With the scales of the others at zero; the pass-through that is off is 1.

    Raises
    ------
    UsageError
        If there is no such mechanism.

    Examples
    --------
    >>> from offroute.estimators.prior import NEUTRAL
    >>> bare = switch_prior(NEUTRAL, ["direct-purchase"])
    >>> bare.b_closed_sd, bare.b_china_sd, bare.beta, bare.name
    (2.0, 0.0, 1.0, 'neutral: direct-purchase')
    """
    on = _checked(mechanisms)
    if on == frozenset(MECHANISMS):
        return prior
    names = [name for name in MECHANISMS if name in on]
    out = replace(prior, name=f"{prior.name}: {', '.join(names) or 'no mechanism'}")
    off: dict[str, dict[str, Any]] = {
        "direct-purchase": {"b_closed": 0.0, "b_closed_sd": 0.0},
        "reverse-selection": {"b_china": 0.0, "b_china_sd": 0.0},
        "labs": {"tau": 0.0, "delta_sd": 0.0},
        "tiers": {"gamma": 0.0, "gamma_sd": 0.0, "s_e": 0.0},
        "pass-through": {
            "beta": 1.0,
            "beta_sd": 0.0,
            "beta_group_sd": 0.0,
            "beta_unit_sd": 0.0,
            "quiet": 0.0,
        },
        "drift": {"s_rw": 0.0},
        "common-mode": {"s_cm": 0.0},
        "shared-bias": {"omega": 0.0, "p_unreliable": 0.0},
    }
    for name, fields in off.items():
        if name not in on:
            out = replace(out, **fields)
    return out


def switch(
    market: Market, benchmarks: Benchmarks, prior: Prior, mechanisms: Iterable[str]
) -> Model:
    r"""Turn off all mechanisms of the central model that are not named.

    Parameters
    ----------
    market : Market
        The panel.
    benchmarks : Benchmarks
        The evidence.
    prior : Prior
        The prior with everything on.
    mechanisms : iterable of str
        Mechanisms to keep, keys of `MECHANISMS`; all of them give the central model, none gives
        :math:`R = \log(X_{CN}/X_{US})` in every week.

    Returns
    -------
    Model
        Inputs of `synthesise`.

    Raises
    ------
    UsageError
        If there is no such mechanism.

    Notes
    -----
    With the mechanisms of `SELECTION` off and those of `EVIDENCE` on, the ratio is the panel's own
    in the anchor week; elsewhere the pass-through moves it. Without ``unseen-labs`` figures about
    such labs alone are left out. Without ``scope`` and ``nesting`` the figures keep their own
    errors and lose their factors.
    """
    on = _checked(mechanisms)
    unseen = _unseen(market)
    Xs = market.Xs.copy()
    nothing = _NOTHING * market.X.sum(axis=1, keepdims=True)
    if "smoothing" not in on:
        Xs = np.where(unseen, Xs, np.maximum(market.X, nothing))
    b = benchmarks
    if "unseen-labs" not in on:
        Xs = np.where(unseen, nothing, Xs)
        b = take(b, np.flatnonzero((b.w[:, ~unseen] > 0).any(axis=1)))
    if "scope" not in on:
        b = replace(b, off=np.zeros(len(b)), q=np.zeros(len(b)))
    if "nesting" not in on:
        b = replace(b, iota=np.zeros(len(b)))
    return Model(replace(market, Xs=Xs), b, switch_prior(prior, on))


def _checked(mechanisms: Iterable[str]) -> frozenset[str]:
    return frozenset(check_choice(m, MECHANISMS, name="mechanisms") for m in mechanisms)


def _unseen(market: Market) -> BoolArray:
    """Cells of units that the panel hardly shows, shape (C,)."""
    seen, stand_in = (np.bincount(market.unit, x.sum(axis=0)) for x in (market.X, market.Xs))
    out: BoolArray = (stand_in > _STAND_IN * seen)[market.unit]
    return out
