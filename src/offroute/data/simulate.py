r"""Simulated markets with a known truth, as an agent model that the estimators do not share.

Five segments of buyers choose among models by a logit in quality, price and reluctance to buy
Chinese models. Each segment sends a part of its tokens for each cell through the panel: a logistic
function of openness, of reluctance (which moves Chinese models into the panel), of price and of
lab and cell effects, rising with the panel's own growth. On top, promotions multiply a cell's
panel volume for some weeks without any change elsewhere, and makers show coming models on the
panel under cloaked names. With :math:`Y^0` the demand and :math:`\pi` the part through the panel,

.. math::

   X_{tc} = m_{tc} \sum_s \pi_{tsc} Y^0_{tsc} + Z_{tc}, \qquad
   Y_{tc} = X_{tc} + \sum_s (1 - \pi_{tsc}) Y^0_{tsc},

so that the truth and the bias are known exactly: the panel's log ratio of China to the United
States is wrong by :math:`\log \Lambda = \log(X_{CN}/X_{US}) - \log(Y_{CN}/Y_{US})`. The panel then
publishes the 50 largest models of each day and one row for all others, restates recent weeks, and
has lost two days. All tables have the columns of the shipped snapshot.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute._random import RngLike, resolve_rng, spawn_seeds
from offroute._typing import AnyArray, FloatArray, IntArray
from offroute.data.simulated_panel import make_catalogue, publish_panel

N_WEEKS = 78
FIRST_WEEK = "2025-01-06"
SEGMENTS = ("enterprise US", "startup US", "prosumer", "enterprise elsewhere", "developer Asia")
_LABS = (
    ("Amazon", "US closed", ("mid", "light")),
    ("Anthropic", "US closed", ("flagship", "mid", "light")),
    ("Google", "US closed", ("flagship", "light")),
    ("OpenAI", "US closed", ("flagship", "mid", "light")),
    ("xAI", "US closed", ("flagship", "light")),
    ("Google", "US open", ("light",)),
    ("Meta", "US open", ("flagship", "light")),
    ("NVIDIA", "US open", ("flagship", "light")),
    ("OpenAI", "US open", ("mid", "light")),
    ("Mistral", "Rest of world", ("flagship", "light")),
    ("Alibaba", "China open", ("flagship", "light")),
    ("DeepSeek", "China open", ("flagship", "light")),
    ("MiniMax", "China open", ("flagship",)),
    ("Moonshot", "China open", ("flagship",)),
    ("Tencent", "China open", ("flagship",)),
    ("Xiaomi", "China open", ("light",)),
    ("Zhipu", "China open", ("flagship", "light")),
    ("Alibaba", "China closed", ("flagship",)),
    ("ByteDance", "China closed", ("mid",)),
)
_QUALITY = {
    "US closed": {"flagship": 3.0, "mid": 2.5, "light": 1.9},
    "US open": {"flagship": 0.6, "mid": 0.4, "light": 0.2},
    "Rest of world": {"flagship": 0.9, "mid": 0.6, "light": 0.4},
    "China open": {"flagship": 1.0, "mid": 0.8, "light": 0.6},
    "China closed": {"flagship": 1.0, "mid": 0.8, "light": 0.6},
}
#: Labs whose models are bought more or less than the level of their group and tier says.
_STANDING = {"Amazon": -0.8, "Anthropic": 0.4, "Google": 0.5, "OpenAI": 0.4, "xAI": 0.0}
_STANDING |= {"MiniMax": 0.3, "Moonshot": 0.3, "Tencent": -0.2, "Xiaomi": -0.2}
_MARKET = 60e12
#: Log odds of the panel of every segment where segments do not differ.
_MEAN_HABIT = -4.0
#: Chinese quality at the end of the window over the level of `_QUALITY`, in every world.
_FINAL_GAIN = 1.6


@dataclass(frozen=True)
class World:
    """How one kind of world differs from the calibrated one.

    Attributes
    ----------
    name : str
        Key in `WORLDS`.
    bias_scale : float
        True spread of every bias and error of a disclosure over the spread that the analyst states;
        0 leaves rounding, restatements, discounts, the drift of a scope and a survey's sampling.
    us_shift : float
        Log shift common to all disclosures about US labs.
    demand : float
        Weekly log growth of demand, mean over segments.
    panel_growth : float
        Weekly growth of the log odds of buying through the panel, mean.
    drift : float
        Sd per square root of a week of a lab's own log odds of being bought through the panel.
    china_gain : float
        Rise in quality of Chinese models over the window.
    promotions : float
        Mean number of promotions per cell; half of it for closed US models.
    promotion_size : float
        Mean log multiple of a promotion at its height.
    retention : float
        Part of the log multiple that stays when a promotion ends, with a half-life of ten weeks.
    stealth : float
        Part of the panel's tokens under cloaked names while an episode lasts.
    contradiction : float
        Log shift of one of the two research houses that publish Chinese totals.
    chinese_evidence : bool
        Whether anything about Chinese models is published.
    openness, refuge, thrift : float
        Multiples of the effects of open weights, of reluctance (Chinese models bought through the
        panel) and of a low price on the log odds of the panel.
    spread, habits : float
        Multiples of the differences between labs and cells, and between segments, in these odds.
    """

    name: str
    bias_scale: float = 1.0
    us_shift: float = 0.0
    demand: float = 0.030
    panel_growth: float = 0.030
    drift: float = 0.035
    china_gain: float = 1.6
    promotions: float = 0.7
    promotion_size: float = 0.8
    retention: float = 0.3
    stealth: float = 0.02
    contradiction: float = 0.0
    chinese_evidence: bool = True
    openness: float = 1.0
    refuge: float = 1.0
    thrift: float = 1.0
    spread: float = 1.0
    habits: float = 1.0


WORLDS: dict[str, World] = {
    w.name: w
    for w in (
        World("calibrated"),
        World("over-confident", bias_scale=1.6),
        World("us-doubled", us_shift=float(np.log(2.0))),
        World("us-halved", us_shift=-float(np.log(2.0))),
        World(
            "promotions",
            demand=0.004,
            panel_growth=0.045,
            china_gain=0.3,
            promotions=2.5,
            promotion_size=1.3,
            retention=0.8,
        ),
        World("constant-coverage", demand=0.045, panel_growth=0.0, drift=0.0, promotions=0.0),
        World("contradictory", contradiction=float(np.log(4.0))),
        World("no-chinese-evidence", chinese_evidence=False),
        World("stealth-heavy", stealth=0.2),
    )
}


@dataclass(frozen=True)
class SimulatedMarket:
    """One market: its truth and what its panel published (T weeks, C cells, S segments).

    Attributes
    ----------
    world : World
        The kind of world.
    weeks : ndarray of datetime64[D], shape (T,)
        Mondays.
    labs, groups, tiers : tuple of str, length C
        Labels of the cells.
    price : ndarray, shape (C,)
        Effective price, USD per token.
    Y : ndarray, shape (T, C)
        All tokens a week of the population, by true maker.
    X : ndarray, shape (T, C)
        Tokens a week through the panel, by true maker; X <= Y.
    segment : ndarray, shape (T, S, C)
        Demand by segment, without promotions and cloaked models.
    promoted : ndarray, shape (T, C)
        Part of X that promotions brought.
    cloaked : ndarray, shape (T, C)
        Part of X under cloaked names.
    listed : ndarray, shape (T, C)
        Part of X listed under the maker's name among the day's 50 largest models.
    other : ndarray, shape (T,)
        Panel tokens a week outside the day's 50 largest models.
    usage, models, composition : pandas.DataFrame
        The panel as published, with the columns of the snapshot's tables.
    """

    world: World
    weeks: AnyArray
    labs: tuple[str, ...]
    groups: tuple[str, ...]
    tiers: tuple[str, ...]
    price: FloatArray
    Y: FloatArray
    X: FloatArray
    segment: FloatArray
    promoted: FloatArray
    cloaked: FloatArray
    listed: FloatArray
    other: FloatArray
    usage: pd.DataFrame
    models: pd.DataFrame
    composition: pd.DataFrame


def log_ratio(volume: FloatArray, groups: tuple[str, ...]) -> FloatArray:
    """Log of Chinese over US volume; the last axis holds the cells.

    Parameters
    ----------
    volume : ndarray, shape (..., C)
        Tokens or dollars.
    groups : tuple of str, length C
        Group of each cell.

    Returns
    -------
    ndarray, shape (...)
        The log ratio.

    Examples
    --------
    >>> float(log_ratio(np.array([3.0, 1.0, 2.0]), ("China open", "US open", "US closed")))
    0.0
    """
    china = np.array([g.startswith("China") for g in groups])
    us = np.array([g.startswith("US") for g in groups])
    out: FloatArray = np.log(volume[..., china].sum(axis=-1) / volume[..., us].sum(axis=-1))
    return out


def pass_through(market: SimulatedMarket) -> FloatArray:
    """Slope of the log volume off the panel on the log volume on it, over weeks, for each cell.

    Parameters
    ----------
    market : SimulatedMarket
        The market.

    Returns
    -------
    ndarray, shape (C,)
        Least-squares slopes: 1 where both rise together, 0 where the panel moves alone.
    """
    x, d = np.log(market.X), np.log(market.Y - market.X)
    x, d = x - x.mean(axis=0), d - d.mean(axis=0)
    out: FloatArray = (x * d).sum(axis=0) / (x**2).sum(axis=0)
    return out


def simulate_market(kind: World, *, rng: RngLike = None) -> SimulatedMarket:
    """Simulate one market.

    Parameters
    ----------
    kind : World
        The kind of world.
    rng : int, Generator, SeedSequence or None
        Randomness. Demand, panel and models draw from children of their own, so that worlds with
        the same seed share what they do not change.

    Returns
    -------
    SimulatedMarket
        Truth and published tables.

    Examples
    --------
    >>> market = simulate_market(WORLDS["calibrated"], rng=1)
    >>> bool((market.X <= market.Y).all()), market.Y.shape
    (True, (78, 33))
    """
    demand_rng, panel_rng, model_rng = (resolve_rng(s) for s in spawn_seeds(rng, 3))
    cells = [(lab, group, tier) for lab, group, tiers in _LABS for tier in tiers]
    labs, groups, tiers = (tuple(c[i] for c in cells) for i in range(3))
    catalogue = make_catalogue(cells, n_weeks=N_WEEKS, rng=model_rng)
    price = catalogue.price
    segment = _demand(kind, cells, price, demand_rng)
    inside = segment * _through_panel(kind, cells, price, panel_rng)
    base = inside.sum(axis=1) * np.exp(panel_rng.normal(0, 0.03, inside[:, 0].shape))
    promoted = base * np.expm1(_promotions(kind, groups, panel_rng))
    cloaked = _cloaked(kind, tiers, (base + promoted).sum(axis=1), panel_rng)
    X = base + promoted + cloaked
    weeks = np.datetime64(FIRST_WEEK) + 7 * np.arange(N_WEEKS)
    tables = publish_panel(catalogue, base + promoted, cloaked, weeks, rng=model_rng)
    return SimulatedMarket(
        world=kind,
        weeks=weeks,
        labs=labs,
        groups=groups,
        tiers=tiers,
        price=price,
        Y=X + (segment - inside).sum(axis=1),
        X=X,
        segment=segment,
        promoted=promoted,
        cloaked=cloaked,
        listed=tables.listed,
        other=tables.other,
        usage=tables.usage,
        models=tables.models,
        composition=tables.composition,
    )


def _walk(rng: np.random.Generator, sd: float, shape: tuple[int, ...]) -> FloatArray:
    """Random walk over the first axis that ends at zero."""
    path = np.cumsum(rng.normal(0, sd, shape), axis=0)
    out: FloatArray = path - path[-1]
    return out


def _by_lab(cells: list[tuple[str, str, str]]) -> IntArray:
    """Index of the lab of each cell."""
    return np.unique([lab for lab, _, _ in cells], return_inverse=True)[1]


def _demand(
    kind: World, cells: list[tuple[str, str, str]], price: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Tokens a week by segment and cell, shape (T, S, C): a logit of five segments of buyers."""
    lab = _by_lab(cells)
    n_labs, n_segments, t = int(lab.max()) + 1, len(SEGMENTS), np.arange(N_WEEKS)
    china = np.array([g.startswith("China") for _, g, _ in cells])
    level = np.array([_QUALITY[g][tier] + _STANDING.get(name, 0.0) for name, g, tier in cells])
    level = level + rng.normal(0, 0.3, n_labs)[lab]
    gain = kind.china_gain + rng.normal(0, 0.4)
    others = 0.3 * rng.normal(size=n_labs)[lab]
    rise = np.where(china, gain, others) / N_WEEKS
    quality = level + rise * (t[:, None] - t[-1]) + _walk(rng, 0.04, (N_WEEKS, n_labs))[:, lab]
    # At the end of the window the gain has happened: the level of Chinese models is the final one.
    quality = quality + np.where(china, _FINAL_GAIN + rng.normal(0.25, 0.45), 0.0)
    care = np.array([1.6, 1.3, 0.9, 1.6, 1.0]) * np.exp(rng.normal(0, 0.12, n_segments))
    thrift = np.array([0.15, 0.45, 0.8, 0.2, 0.7]) * np.exp(rng.normal(0, 0.25, n_segments))
    reluctance = np.array([3.0, 0.9, 0.2, 1.6, 0.0]) + rng.normal(0, 0.8, n_segments)
    size = np.array([0.35, 0.17, 0.10, 0.22, 0.16]) * np.exp(rng.normal(0, 0.4, n_segments))
    growth = kind.demand + rng.normal(0, 0.008, n_segments)
    path = growth * (t[:, None] - t[-1]) + _walk(rng, 0.02, (N_WEEKS, n_segments))
    total = _MARKET * size / size.sum() * np.exp(path)
    utility = care[:, None] * quality[:, None, :] - (
        thrift[:, None] * np.log(price * 1e6) + reluctance[:, None] * china
    )
    utility = utility + rng.normal(0, 0.5, (n_segments, len(cells)))
    choice = np.exp(utility - utility.max(axis=-1, keepdims=True))
    out: FloatArray = total[:, :, None] * choice / choice.sum(axis=-1, keepdims=True)
    return out


def _through_panel(
    kind: World, cells: list[tuple[str, str, str]], price: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Part of each segment's tokens that goes through the panel, shape (T, S, C)."""
    lab = _by_lab(cells)
    n_labs, t = int(lab.max()) + 1, np.arange(N_WEEKS)
    china = np.array([g.startswith("China") for _, g, _ in cells])
    is_open = np.array([not g.endswith("closed") for _, g, _ in cells])
    habit = np.array([-5.5, -3.7, -2.4, -5.5, -3.2]) + rng.normal(0, 0.6, len(SEGMENTS))
    habit = kind.habits * habit + (1 - kind.habits) * _MEAN_HABIT
    # A buyer who will not send data to China buys Chinese models through the panel.
    wary = np.array([1.0, 0.8, 0.6, 1.0, 0.2])
    effects = rng.normal([0.9, 0.5, 0.2], [0.35, 0.35, 0.15])
    openness, refuge, cheap = effects * (kind.openness, kind.refuge, kind.thrift)
    odds = habit[:, None] + openness * is_open + refuge * china * wary[:, None]
    odds = odds - cheap * np.log(price * 1e6) + kind.spread * rng.normal(0, 0.35, n_labs)[lab]
    odds = odds + kind.spread * rng.normal(0, 0.3, (len(SEGMENTS), len(cells)))
    growth = kind.panel_growth * (1 + rng.normal(0, 0.3)) * (t - t[-1])
    path = growth[:, None] + _walk(rng, 1.0, (N_WEEKS, n_labs))[:, lab] * kind.drift
    part: FloatArray = 1 / (1 + np.exp(-(odds + path[:, None, :])))
    return part


def _promotions(kind: World, groups: tuple[str, ...], rng: np.random.Generator) -> FloatArray:
    """Log multiple of each cell's panel volume that promotions bring, shape (T, C)."""
    out = np.zeros((N_WEEKS, len(groups)))
    for c, group in enumerate(groups):
        rate = kind.promotions * (0.5 if group == "US closed" else 1.0)
        for _ in range(rng.poisson(rate)):
            start, length = rng.integers(0, N_WEEKS), rng.integers(3, 11)
            height = kind.promotion_size * rng.uniform(0.5, 1.5)
            after = np.arange(N_WEEKS - start)
            tail = kind.retention * 0.5 ** ((after - length) / 10.0)
            out[start:, c] += height * np.where(after < length, 1.0, tail)
    return out


def _cloaked(
    kind: World, tiers: tuple[str, ...], panel: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Panel tokens under cloaked names by true maker, shape (T, C): one maker at a time."""
    out = np.zeros((N_WEEKS, len(tiers)))
    makers = np.flatnonzero(np.array(tiers) == "flagship")
    week = int(rng.integers(0, 4))
    while week < N_WEEKS:
        length = int(rng.integers(4, 10))
        stop = min(week + length, N_WEEKS)
        part = min(kind.stealth * rng.gamma(4.0, 0.25), 0.4)
        out[week:stop, rng.choice(makers)] += part * panel[week:stop]
        week = stop + int(rng.integers(0, 4))
    return out
