r"""What companies, surveys and research houses publish about a simulated market.

A figure about a set of cells :math:`S` in week :math:`t` is

.. math:: v = \lfloor F_f\, e^{d_l + d_o + \epsilon}
   \sum_{c \in S} p_c^{k} (D_{tc} + \iota X_{tc}) \rfloor ,

with :math:`D = Y - X`, :math:`k` 1 for money and 0 for tokens, the part :math:`F_f` of the volume
that the source covers, which drifts in time, what the lab (:math:`d_l`) and its country
(:math:`d_o`) count as a token, an error of the row with heavy tails, and rounding as people do it:
"more than 6 billion a minute". The analyst knows the median of :math:`F_f` and states the spread
of its log, with that of :math:`d_l + d_o` inside. The truth is a logistic-normal part for tokens,
and a gamma multiple for money (realised over listed price, other business inside) and where a count
holds more than the cells. A tenth of the figures are restated later; the ledger has the newest
value. Factors and stated spreads of the publishers are those of the shipped ledger and crosswalk
for the population ``world-external-api``. In an over-confident world all spreads are larger than
stated.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaincinv

from offroute._random import RngLike, resolve_rng
from offroute._typing import BoolArray, FloatArray
from offroute.data.simulate import SimulatedMarket

POPULATION = "world-external-api"
#: What a lab, and all labs of a country, count as a token: log sd in a calibrated world.
_LAB_SD = 0.12
_COUNTRY_SD = 0.10
_DRIFT_SD = 0.02
_RESTATED = 0.1
_RESTATEMENT_SD = 0.1
_WEEKS_PER_YEAR = 365.25 / 7
_PER_WEEK = {"T tokens/day": 7e12, "B tokens/minute": 7 * 24 * 60 * 1e9, "T/week": 1e12}
_USD_PER_WEEK = 1e6 / _WEEKS_PER_YEAR


@dataclass(frozen=True)
class Source:
    """A series of figures of one publisher.

    Attributes
    ----------
    family : str
        Kind and entity; figures of a family share what they leave out.
    form : {'tokens', 'revenue'}
        What is counted.
    selector : str
        Cells, as the ledger names them.
    unit : str
        Unit of the published value.
    weeks : tuple of int
        Weeks of the figures.
    factor, q : float
        Median of the part covered, and the log sd that the analyst states for it.
    sd : float
        Log sd of one row that the analyst states.
    iota : float
        Part of the panel's own tokens inside.
    side : {'exact', 'over', 'floor', 'ceiling'}
        How the figure is put.
    """

    family: str
    form: str
    selector: str
    unit: str
    weeks: tuple[int, ...]
    factor: float
    q: float
    sd: float
    iota: float
    side: str = "exact"


_GOOGLE, _OPENAI = "lab:Google weights:closed", "lab:OpenAI weights:closed"
_MINUTE, _DAY, _USD = "B tokens/minute", "T tokens/day", "USD m ARR"
SOURCES = (
    Source(
        "tokens:Google",
        "tokens",
        _GOOGLE,
        _MINUTE,
        (39, 51, 64, 70),
        0.86,
        0.18,
        0.13,
        0.85,
        "over",
    ),
    Source("tokens:OpenAI", "tokens", _OPENAI, _MINUTE, (39, 64), 0.70, 0.22, 0.13, 0.85, "over"),
    Source("tokens:OpenAI", "tokens", _OPENAI, _MINUTE, (45,), 0.70, 0.22, 0.13, 0.85, "floor"),
    Source("tokens:OpenAI", "tokens", _OPENAI, _DAY, (9,), 0.70, 0.22, 0.13, 0.85, "ceiling"),
    Source("tokens:Microsoft", "tokens", _OPENAI, _DAY, (5, 9), 0.35, 0.45, 0.15, 0.0, "over"),
    Source("tokens:Microsoft", "tokens", _OPENAI, _DAY, (53,), 0.35, 0.45, 0.15, 0.0, "floor"),
    Source(
        "revenue:Anthropic",
        "revenue",
        "lab:Anthropic",
        _USD,
        (0, 12, 20, 25, 29, 41, 51, 57, 65, 70),
        0.82,
        0.38,
        0.12,
        1.0,
    ),
    Source("revenue:OpenAI", "revenue", _OPENAI, _USD, (33,), 0.53, 0.40, 0.20, 1.0),
    Source("revenue:xAI", "revenue", "lab:xAI", _USD, (31,), 1.5, 0.8, 0.15, 1.0),
    Source("tokens:xAI", "tokens", "lab:xAI", _DAY, (69,), 2.0, 0.8, 0.6, 1.0),
    Source("revenue:Alibaba", "revenue", "lab:Alibaba", _USD, (70,), 0.55, 0.6, 0.2, 1.0, "over"),
    Source("tokens:DeepSeek", "tokens", "lab:DeepSeek", _DAY, (7, 58), 0.75, 0.7, 0.2, 0.3),
    Source("revenue:Moonshot", "revenue", "lab:Moonshot", _USD, (67,), 1.4, 0.5, 0.2, 1.0, "over"),
    Source("revenue:MiniMax", "revenue", "lab:MiniMax", _USD, (25, 57), 1.9, 0.6, 0.25, 1.0),
    Source("tokens:Zhipu", "tokens", "lab:Zhipu", _DAY, (23, 44), 1.15, 0.3, 0.15, 0.5),
    Source("revenue:Zhipu", "revenue", "lab:Zhipu", _USD, (60, 75), 0.8, 0.9, 0.25, 1.0),
    Source("tokens:house A", "tokens", "origin:China", "T/week", (12, 38, 64), 0.6, 0.45, 0.2, 0.0),
    Source("tokens:house B", "tokens", "origin:China", "T/week", (12, 38), 1.0, 0.65, 0.2, 0.0),
    Source("tokens:host 1", "tokens", "weights:open", _DAY, (36,), 0.07, 0.9, 0.25, 0.05),
    Source("tokens:host 2", "tokens", "weights:open", _DAY, (72,), 0.3, 1.0, 0.7, 0.05),
    Source("revenue:hosts", "revenue", "weights:open", _USD, (74,), 0.4, 0.95, 0.4, 0.05),
)
#: Surveys of spend among US enterprises: week, and respondents over a design effect of 2.
_SURVEYS = ((23, 75), (44, 250))
#: Items, with factor and stated sd; the first survey has those about one lab only.
_SURVEY_ITEMS = (
    ("lab:Anthropic", 1.0, 0.55),
    (_OPENAI, 1.0, 0.55),
    (_GOOGLE, 1.0, 0.55),
    ("origin:China weights:open", 0.06, 1.2),
)
_SURVEY_BIAS_SD = 0.4


@dataclass(frozen=True)
class Disclosures:
    """What was published, as an analyst's ledger, and the truth behind it.

    Attributes
    ----------
    ledger : pandas.DataFrame
        One row per figure, with the columns of the snapshot's ledger that the pipeline reads, and
        ``first_value``, what was published before a restatement.
    crosswalk : pandas.DataFrame
        Known part covered, its stated sd, and the panel tokens inside, by class of source.
    truth : pandas.DataFrame
        ``id``, ``week``, ``volume`` (what the figure would be if it covered the cells exactly) and
        ``error`` (log of the figure over its expected value ``factor * volume``).
    """

    ledger: pd.DataFrame
    crosswalk: pd.DataFrame
    truth: pd.DataFrame


def publish_disclosures(
    market: SimulatedMarket, *, sources: tuple[Source, ...] = SOURCES, rng: RngLike = None
) -> Disclosures:
    """Publish figures about a market.

    Parameters
    ----------
    market : SimulatedMarket
        The market; its world says how wrong the analyst's budgets are.
    sources : tuple of Source
        The publishers of absolute figures.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    Disclosures
        Ledger, crosswalk and truth.
    """
    generator = resolve_rng(rng)
    scale = market.world.bias_scale
    country = dict(zip(("US", "China"), generator.normal(0, _COUNTRY_SD * scale, 2), strict=True))
    country["US"] += market.world.us_shift
    lab_bias: dict[str, float] = {}
    scope: dict[tuple[str, float], tuple[float, FloatArray]] = {}
    discount = np.exp(generator.normal(0, 0.1, len(market.labs)))
    rows: list[dict[str, object]] = []
    for source in sources:
        keep = cells_of(market, source.selector)
        origin = _origin(market, keep)
        key = (source.family, source.factor)
        if key not in scope:
            walk = np.cumsum(generator.normal(0, _DRIFT_SD, len(market.weeks)))
            scope[key] = (_scope(source, scale, generator), walk)
        if source.selector not in lab_bias:
            lab_bias[source.selector] = generator.normal(0, _LAB_SD * scale)
        shift = country.get(origin, 0.0) + lab_bias[source.selector]
        if source.family == "tokens:house B":
            shift += market.world.contradiction
        part, drift = scope[key]
        for week in source.weeks:
            D = market.Y[week] - market.X[week]
            unit_value = market.price * discount if source.form == "revenue" else np.ones(len(keep))
            volume = float((keep * unit_value * (D + source.iota * market.X[week])).sum())
            noise = scale * source.sd * generator.standard_t(5) * np.sqrt(3 / 5)
            exact = volume * part * np.exp(shift + drift[week] - drift[-1] + noise)
            rows.append(_row(source, market, week, exact, volume, generator))
    rows += _survey(market, generator)
    frame = pd.DataFrame(rows)
    if not market.world.chinese_evidence:
        frame = frame[
            ~frame["selector"].map(lambda s: _origin(market, cells_of(market, s)) == "China")
        ].reset_index(drop=True)
    return Disclosures(
        ledger=frame.drop(columns=["week", "volume", "factor", "q", "iota", "error"]),
        crosswalk=_crosswalk(frame),
        truth=frame[["id", "week", "volume", "error"]],
    )


def cells_of(market: SimulatedMarket, selector: str) -> BoolArray:
    """Return which cells a selector of the ledger names.

    Parameters
    ----------
    market : SimulatedMarket
        The market.
    selector : str
        Terms ``key:value`` that must all hold; keys are ``lab``, ``weights`` and ``origin``.

    Returns
    -------
    ndarray of bool, shape (C,)
        The cells.
    """
    labels = {
        "lab": list(market.labs),
        "origin": [g.split(" ")[0] for g in market.groups],
        "weights": ["closed" if g.endswith("closed") else "open" for g in market.groups],
    }
    terms = [term.split(":") for term in selector.split(" ")]
    return np.array(
        [all(labels[key][c] == value for key, value in terms) for c in range(len(market.labs))]
    )


def _origin(market: SimulatedMarket, keep: BoolArray) -> str:
    """Origin that all chosen cells share, or an empty string."""
    origins = {market.groups[c].split(" ")[0] for c in np.flatnonzero(keep)}
    return origins.pop() if len(origins) == 1 else ""


def _scope(source: Source, scale: float, rng: np.random.Generator) -> float:
    """Part of the volume that a source covers; its median is the stated factor."""
    # The stated spread holds what counts as a token as well.
    q = scale * np.sqrt(source.q**2 - _LAB_SD**2 - _COUNTRY_SD**2)
    factor = source.factor
    if q == 0:
        return factor
    if factor < 1 and source.form == "tokens":
        # The log of a part has sd (1 - factor) times that of its log odds, to first order.
        odds = np.log(factor / (1 - factor)) + rng.normal() * min(q / (1 - factor), 1.5)
        return float(1 / (1 + np.exp(-odds)))
    shape = 1 / q**2
    return float(factor * rng.gamma(shape) / gammaincinv(shape, 0.5))


def _round_down(value: float) -> float:
    """Round down to the last impressive number: in steps of a tenth below 3, of a half above."""
    power = 10.0 ** np.floor(np.log10(value))
    step = 0.1 if value / power < 3 else 0.5  # noqa: PLR2004 - "more than 16", "more than 6.5"
    return float(np.floor(value / power / step) * step * power)


def _row(
    source: Source,
    market: SimulatedMarket,
    week: int,
    exact: float,
    volume: float,
    rng: np.random.Generator,
) -> dict[str, object]:
    """One figure as it is put in the ledger."""
    per_week = _USD_PER_WEEK if source.form == "revenue" else _PER_WEEK[source.unit]
    first = exact / per_week
    late = first * np.exp(rng.normal(0, _RESTATEMENT_SD)) if rng.uniform() < _RESTATED else first
    loose = rng.uniform(0.4, 0.95)
    if source.side == "ceiling":
        value = _round_down(late / loose) * 1.1
    else:
        value = _round_down(late * loose if source.side == "floor" else late)
    if source.side == "exact":
        value = float(np.format_float_scientific(late, precision=1))
    return {
        "id": f"{source.family}:{week}:{source.side}",
        "entity": source.family.split(":")[1],
        "family": source.family,
        "scope_class": f"{source.family} {source.selector} {source.factor:g}",
        "form": source.form,
        "selector": source.selector,
        "measured_on": pd.Timestamp(market.weeks[week])
        + pd.Timedelta(days=int(rng.integers(0, 7))),
        "value": value,
        "low": np.nan,
        "high": np.nan,
        "unit": source.unit,
        "sd": source.sd,
        "side": source.side,
        "use": "likelihood",
        "reason": "",
        "first_value": first,
        "week": week,
        "volume": volume / per_week,
        "factor": source.factor,
        "q": source.q,
        "iota": source.iota,
        "error": float(np.log(value / (volume * source.factor / per_week))),
    }


def _survey(market: SimulatedMarket, rng: np.random.Generator) -> list[dict[str, object]]:
    """Shares of spend in a sample of US enterprises, with a bias of each item."""
    rows: list[dict[str, object]] = []
    scale = market.world.bias_scale
    masks = [cells_of(market, selector) for selector, _, _ in _SURVEY_ITEMS]
    bias = rng.normal(0, _SURVEY_BIAS_SD * scale, len(masks) + 1)
    for week, size in _SURVEYS:
        spend = market.price * market.segment[week, 0]
        total = np.array([spend[m].sum() for m in masks])
        total = np.append(total, spend.sum() - total.sum()) * np.exp(bias)
        counts = rng.multinomial(size, total / total.sum())
        for (selector, factor, q), count in zip(_SURVEY_ITEMS, counts[:-1], strict=True):
            percent = round(100 * count / size)
            # What would be printed as 0 % is not in the table.
            if not percent or (week == _SURVEYS[0][0] and not selector.startswith("lab:")):
                continue
            truth = 100 * float(spend[cells_of(market, selector)].sum() / spend.sum())
            rows.append(
                {
                    "id": f"survey:{week}:{selector}",
                    "entity": "survey",
                    "family": f"share:survey-{week}",
                    "scope_class": f"survey {factor:g}",
                    "form": "share-spend",
                    "selector": selector,
                    "measured_on": pd.Timestamp(market.weeks[week]),
                    "value": float(percent),
                    "low": np.nan,
                    "high": np.nan,
                    "unit": "% of spend",
                    "sd": float(np.sqrt(1 / count)),
                    "side": "exact",
                    "use": "likelihood",
                    "reason": "",
                    "first_value": float(percent),
                    "week": week,
                    "volume": truth,
                    "factor": factor,
                    "q": q,
                    "iota": 0.0,
                    "error": float(np.log(percent / truth)),
                }
            )
    return rows


def _crosswalk(frame: pd.DataFrame) -> pd.DataFrame:
    """Collect what the analyst states about each class of source."""
    classes = frame.drop_duplicates("scope_class")
    return pd.DataFrame(
        {
            "scope_class": classes["scope_class"],
            "population": POPULATION,
            "factor": classes["factor"],
            "sd": classes["q"],
            "iota": classes["iota"],
            "side": "exact",
            "reason": "simulated",
        }
    ).reset_index(drop=True)
