r"""Tokens, output tokens, requests and dollars (C8): one market in four units.

.. math:: V_g = \sum_{c \in g} q_c Y_c, \qquad q_c \in \{1, o_c, 1/n_c, p_c\},

with the completion share o, tokens per request n and the effective price p: list prices mixed by
cache and completion, times what discounts leave. Every q has an error, shared by the cells of a
lab; the second gateway, which publishes tokens and spend by lab, measures that of the price.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute._checks import check_choice
from offroute._random import RngLike, resolve_rng, spawn_seeds
from offroute._typing import FloatArray
from offroute.exceptions import NotIdentified
from offroute.inference.mechanisms.counterfactual import china_over_us, direction_of, triple
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import SHARE_PARTITIONS, Volumes
from offroute.measurement.composition import Composition, draw_ratio
from offroute.measurement.market import Market, week_index

UNITS = ("tokens", "output tokens", "requests", "dollars")
#: Realised discounts (commitments, batches) that neither list prices nor cache explain (log sd).
DISCOUNT_SD = 0.1
#: Days of the gateway within so many weeks of the panel's week are compared with it.
_WINDOW_WEEKS = 8.0
_FEWEST_LABS = 4
_FEWEST_DAYS = 3
_MAD_TO_SD = 1.4826
_LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class PriceCheck:
    """Effective prices of the panel against a gateway's spend over tokens.

    Attributes
    ----------
    table : pandas.DataFrame
        ``lab``; ``panel``, USD per million tokens; ``gateway``, spend share over token share;
        ``gap``, log of panel over gateway less its median; ``days``.
    sd : float
        Median absolute gap over labs times 1.4826: a bound of the error of a lab's log price, since
        the gateway's own mix of models and its noise are inside.
    """

    table: pd.DataFrame
    sd: float


def check_prices(market: Market, gateway: pd.DataFrame, *, week: str) -> PriceCheck:
    r"""Compare effective prices with a second gateway's spend and token shares.

    .. math:: g_l = \log p_l - \log(S_l / T_l) - \mathrm{med}(g)

    Parameters
    ----------
    market : Market
        The panel with its effective prices.
    gateway : pandas.DataFrame
        As of `load_gateway`.
    week : str
        A day of the week, ISO; days of the gateway within eight weeks of it count.

    Returns
    -------
    PriceCheck
        By lab, whole labs, and the error that it implies.

    Raises
    ------
    UnknownWeek
        If there is no such week.
    NotIdentified
        If fewer than four labs are on both, on three days or more.

    Notes
    -----
    Shares fix relative prices only: a discount common to all labs cancels, here and in every share.
    """
    t = week_index(market, week)
    day = pd.Timestamp(str(market.weeks[t]))
    near = gateway[(gateway["date"] - day).abs().dt.days <= 7 * _WINDOW_WEEKS]
    near = near[(near["token_share"] > _LEAST_SHARE) & (near["spend_share"] > 0)]
    sums = near.groupby("lab")[["spend_share", "token_share"]].sum()
    labs = np.array(market.labs)
    found = []
    for lab, row in sums.iterrows():
        X = market.X[t, labs == lab]
        days = int((near["lab"] == lab).sum())
        if X.sum() > 0 and days >= _FEWEST_DAYS:
            price = float(market.price[t, labs == lab] @ X / X.sum())
            found.append((lab, price * 1e6, row["spend_share"] / row["token_share"], days))
    if len(found) < _FEWEST_LABS:
        raise NotIdentified(
            "price check",
            got=f"{len(found)} labs on both",
            rule=f"at least {_FEWEST_LABS} labs must be on panel and gateway",
            next_step="Choose a week near a day of the gateway.",
        )
    table = pd.DataFrame(found, columns=["lab", "panel", "gateway", "days"])
    gap = (table["panel"] / table["gateway"]).map(np.log)
    table["gap"] = gap - gap.median()
    return PriceCheck(table, float(_MAD_TO_SD * table["gap"].abs().median()))


def unit_factors(
    market: Market,
    composition: Composition,
    *,
    week: str,
    price_sd: float,
    n_draws: int,
    rng: RngLike = None,
) -> dict[str, FloatArray]:
    """Draw what a token of each class is worth in each unit.

    Parameters
    ----------
    market : Market
        The panel.
    composition : Composition
        As of `market_composition`.
    week : str
        A day of the week, ISO.
    price_sd : float
        Log sd of a lab's effective price, besides that of discounts.
    n_draws : int
        Number of draws.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    dict of str to ndarray, shape (n_draws, C + 1)
        For each unit; the last class, models of undeclared origin, has the mean of all.

    Raises
    ------
    UnknownWeek
        If there is no such week.
    """
    t = week_index(market, week)
    seeds = spawn_seeds(rng, 3)
    labs = np.unique(market.labs, return_inverse=True)[1]
    sd = np.hypot(price_sd, DISCOUNT_SD)
    error = resolve_rng(seeds[2]).normal(0, sd, (n_draws, int(labs.max()) + 1))[:, labs]
    factors = {
        "tokens": np.ones((n_draws, len(labs))),
        "output tokens": draw_ratio(
            composition, market, "completion", n_draws=n_draws, rng=seeds[0]
        ),
        "requests": draw_ratio(composition, market, "requests", n_draws=n_draws, rng=seeds[1]),
        "dollars": market.price[t] * np.exp(error),
    }
    part = market.X[t] / market.X[t].sum()
    return {name: np.column_stack([q, q @ part]) for name, q in factors.items()}


def shares_by_unit(
    v: Volumes, factors: dict[str, FloatArray], *, by: str = "origin", level: float = 0.9
) -> pd.DataFrame:
    """Put token, output-token, request and dollar shares side by side.

    Parameters
    ----------
    v : Volumes
        Corrected volumes, k draws.
    factors : dict of str to ndarray, shape (k, C + 1)
        As of `unit_factors`.
    by : str
        Partition.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``class``, ``unit``; ``naive`` with ``naive_low``, ``naive_high`` (of the panel, whose error
        is that of the unit); ``corrected`` with ``low``, ``high``.

    Raises
    ------
    UnknownPartition
        If there is no such partition.
    UsageError
        If the level is not a probability.
    """
    check_choice(by, SHARE_PARTITIONS, name="by")
    label = v.labels[by].to_numpy()
    rows = []
    for unit, q in factors.items():
        panel, market = q * v.X, q[: len(v.Y)] * v.Y
        for name in sorted(set(label)):
            of = label == name
            naive = triple(panel[:, of].sum(axis=1) / panel.sum(axis=1), level)
            right = triple(market[:, of].sum(axis=1) / market.sum(axis=1), level)
            rows.append(
                {
                    "class": name,
                    "unit": unit,
                    "naive": naive[1],
                    "naive_low": naive[0],
                    "naive_high": naive[2],
                    "corrected": right[1],
                    "low": right[0],
                    "high": right[2],
                }
            )
    return pd.DataFrame(rows)


def unit_effect(
    v: Volumes,
    factors: dict[str, FloatArray],
    unit: str,
    *,
    evidence: tuple[str, ...],
    level: float = 0.9,
) -> Effect:
    """Say what counting another unit than tokens does.

    Parameters
    ----------
    v : Volumes
        Corrected volumes, k draws, or the panel's own.
    factors : dict of str to ndarray, shape (k, C + 1)
        As of `unit_factors`; of the panel's own volumes any number of draws.
    unit : str
        One of `UNITS`, not tokens.
    evidence : tuple of str
        Where the factors come from.
    level : float
        Probability of the interval.

    Returns
    -------
    Effect
        The parameter is a Chinese token's worth in the unit over that of a US token.

    Raises
    ------
    UsageError
        If there is no such unit.

    Notes
    -----
    A change of unit is no error of the panel: who asks for tokens gets tokens. The direction says
    which way a reader errs who takes tokens for the unit.
    """
    check_choice(unit, UNITS[1:], name="unit")
    change = china_over_us(v, factors[unit] * v.Y) - china_over_us(v, v.Y)
    effect = triple(change, level)
    low, middle, high = (float(x) for x in np.exp(effect))
    return Effect(
        critique="C8",
        mechanism=f"{unit} instead of tokens",
        population=v.population,
        week=v.week,
        parameter=f"{unit} per token, China over the US (ratio)",
        estimate=(low, middle, high),
        effect=effect,
        level=level,
        evidence=evidence,
        direction=direction_of(effect),
        strength="moderate" if unit == "dollars" else "weak",
        note="ratios of the ten largest models, the rest pooled by openness; naive: tokens of the "
        "same market",
    )
