"""All critiques as one table: each mechanism's effect on China against the United States.

`PANEL`, `BOUNDS` and `CORRECTED` are the lists of mechanisms; to add one is to add a function to a
list.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pandas as pd

from offroute.data import snapshot, snapshot_detail
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import NotIdentified
from offroute.inference.identification import SELF_HOST, SOLD
from offroute.inference.mechanisms.concentration import app_concentration, one_app, one_model
from offroute.inference.mechanisms.counterfactual import panel_volumes
from offroute.inference.mechanisms.coverage import direct_purchase
from offroute.inference.mechanisms.crosswalk import population_bounds, population_effect
from offroute.inference.mechanisms.dollars import UNITS, check_prices, unit_effect, unit_factors
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.mechanisms.geography import nesting, place_of_buyers, restatement
from offroute.inference.mechanisms.groups import big_three, corrected_group, top_chart
from offroute.inference.mechanisms.hosts import host_not_origin
from offroute.inference.mechanisms.price import price_selection
from offroute.inference.mechanisms.promotions import (
    free_routes,
    promotion_windows,
    window_pass_through,
)
from offroute.inference.mechanisms.reverse import reverse_selection
from offroute.inference.mechanisms.second_gateway import second_gateway
from offroute.inference.mechanisms.self_hosting import chinese_part, self_hosting
from offroute.inference.mechanisms.text_units import PARTS, tokenizers, without_part
from offroute.inference.mechanisms.tiers import tier_selection
from offroute.inference.pipeline import correct, identify_population
from offroute.inference.shares import Volumes, volumes
from offroute.measurement.composition import (
    Composition,
    composition_table,
    market_composition,
)
from offroute.measurement.market import Market
from offroute.measurement.truncation import hidden_bounds

_DRAWS = 2000
_UNIT_EVIDENCE = {
    "dollars": ("prices", "composition", "gateway"),
    "output tokens": ("composition",),
    "requests": ("composition",),
}


@dataclass(frozen=True)
class Tables:
    """Tables of a folder, read when a mechanism first asks.

    Attributes
    ----------
    market : Market
        The panel, arranged.
    folder : pathlib.Path or None
        Folder; None for the shipped snapshot.
    """

    market: Market
    folder: Path | None = None

    @cached_property
    def usage(self) -> pd.DataFrame:
        """Weekly tokens."""
        return snapshot.load_usage(self.folder)

    @cached_property
    def models(self) -> pd.DataFrame:
        """Register."""
        return snapshot.load_models(self.folder)

    @cached_property
    def daily(self) -> pd.DataFrame:
        """Daily tokens."""
        return snapshot.load_daily(self.folder)

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """Public figures."""
        return snapshot.load_ledger(self.folder)

    @cached_property
    def crosswalk(self) -> pd.DataFrame:
        """Factors from scopes to populations."""
        return snapshot.load_crosswalk(self.folder)

    @cached_property
    def gateway(self) -> pd.DataFrame:
        """Shares of the second gateway."""
        return snapshot.load_gateway(self.folder)

    @cached_property
    def hosts(self) -> pd.DataFrame:
        """Hosts by model."""
        return snapshot_detail.load_hosts(self.folder)

    @cached_property
    def apps(self) -> pd.DataFrame:
        """App rankings."""
        return snapshot.load_apps(self.folder)

    @cached_property
    def app_models(self) -> pd.DataFrame:
        """Apps by model."""
        return snapshot_detail.load_app_models(self.folder)

    @cached_property
    def composition(self) -> Composition:
        """Composition of tokens by cell of the market."""
        table = composition_table(snapshot.load_composition(self.folder), self.models)
        return market_composition(self.market, table)

    @cached_property
    def hidden(self) -> pd.DataFrame:
        """Sharp bounds of what lies outside the day's top 50, by origin."""
        roster = snapshot.load_roster(self.folder)
        return hidden_bounds(self.daily, roster, self.models, by="origin")


@dataclass(frozen=True)
class Question:
    """What a mechanism is asked about.

    Attributes
    ----------
    population : str
        The population.
    week : str
        Monday of the week, ISO.
    level : float
        Probability of the intervals.
    seed : int
        Seed of what is drawn besides the fit: units, and the fit that bounds
        world-with-self-host.
    """

    population: str
    week: str
    level: float = 0.9
    seed: int = 0


@dataclass(frozen=True)
class Critiques:
    """Effects of all mechanisms, and those that could not be had.

    Attributes
    ----------
    question : Question
        What was asked.
    effects : tuple of Effect
        In the order of the critiques.
    left_out : tuple of (str, str)
        Mechanism, and why it says nothing here.
    """

    question: Question
    effects: tuple[Effect, ...]
    left_out: tuple[tuple[str, str], ...]


Panel = Callable[[Tables, Question], Iterable[Effect]]
Corrected = Callable[[Tables, Question, Posterior, Volumes], Iterable[Effect]]


def _places(t: Tables, q: Question) -> Iterable[Effect]:
    yield place_of_buyers(t.market, t.ledger, population=q.population, week=q.week, level=q.level)


def _hosts(t: Tables, q: Question) -> Iterable[Effect]:
    yield host_not_origin(t.usage, t.models, t.hosts, week=q.week, level=q.level)


def _groups(t: Tables, q: Question) -> Iterable[Effect]:
    yield big_three(t.usage, t.models, week=q.week, level=q.level)


def _charts(t: Tables, q: Question) -> Iterable[Effect]:
    # Sharp bounds of the unnamed rest exist where days are known; else all of it may be anyone's.
    known = bool((t.hidden["week_start"] == pd.Timestamp(q.week)).any())
    hidden = t.hidden if known else None
    yield top_chart(t.usage, t.models, week=q.week, hidden=hidden, level=q.level)


def _free(t: Tables, q: Question) -> Iterable[Effect]:
    yield free_routes(t.usage, t.models, week=q.week, level=q.level)


def _windows(t: Tables, q: Question) -> Iterable[Effect]:
    windows = promotion_windows(t.usage, t.models)
    yield window_pass_through(windows, t.usage, t.models, week=q.week, level=q.level)


def _models(t: Tables, q: Question) -> Iterable[Effect]:
    yield one_model(t.usage, t.models, week=q.week, level=q.level)


def _apps(t: Tables, q: Question) -> Iterable[Effect]:
    found = app_concentration(t.apps, t.usage)
    yield one_app(t.app_models, t.daily, t.models, found, level=q.level)


def _vintages(t: Tables, q: Question) -> Iterable[Effect]:
    yield restatement(t.usage, t.daily, t.models, week=q.week, level=q.level)


def _direct(t: Tables, q: Question, p: Posterior, v: Volumes) -> Iterable[Effect]:
    yield direct_purchase(p, v, level=q.level)


def _tiers(t: Tables, q: Question, p: Posterior, v: Volumes) -> Iterable[Effect]:
    yield tier_selection(p, v, level=q.level)


def _group(t: Tables, q: Question, p: Posterior, v: Volumes) -> Iterable[Effect]:
    yield corrected_group(p, v, level=q.level)


def _in_units(t: Tables, q: Question, v: Volumes, n_draws: int) -> Iterable[Effect]:
    price_sd = check_prices(t.market, t.gateway, week=q.week).sd
    factors = unit_factors(
        t.market, t.composition, week=q.week, price_sd=price_sd, n_draws=n_draws, rng=q.seed
    )
    for unit in UNITS[1:]:
        yield unit_effect(v, factors, unit, evidence=_UNIT_EVIDENCE[unit], level=q.level)


def _panel_units(t: Tables, q: Question) -> Iterable[Effect]:
    yield from _in_units(t, q, panel_volumes(t.market, q.week), _DRAWS)


def _units(t: Tables, q: Question, p: Posterior, v: Volumes) -> Iterable[Effect]:
    yield from _in_units(t, q, v, len(v.Y))


def _tokenizers(t: Tables, q: Question) -> Iterable[Effect]:
    yield tokenizers(panel_volumes(t.market, q.week), t.ledger, level=q.level)


def _text(t: Tables, q: Question, p: Posterior, v: Volumes) -> Iterable[Effect]:
    for part in PARTS:
        yield without_part(v, t.market, t.composition, part, level=q.level)


def _nesting(t: Tables, q: Question, p: Posterior, v: Volumes) -> Iterable[Effect]:
    yield nesting(p, v, level=q.level)


def _bounds(t: Tables, q: Question) -> Iterable[Effect]:
    sold = more = None
    if q.population == SELF_HOST:
        # The population is what is sold and what its users run on top.
        posterior = correct(SOLD, weeks=(q.week,), rng=q.seed, market=t.market, data_dir=t.folder)
        sold = volumes(posterior, int(posterior.draws.weeks[0]))
        more = self_hosting(sold, chinese_part(t.ledger), level=q.level).effect
        yield more
    found = identify_population(
        q.population, week=q.week, market=t.market, level=q.level, sold=sold, data_dir=t.folder
    )
    place = next(iter(_places(t, q)), None) if q.population.startswith("us-") else None
    v = panel_volumes(t.market, q.week)
    yield population_bounds(found, v, place=place, self_run=more, level=q.level)


def _gateway(t: Tables, q: Question) -> Iterable[Effect]:
    yield second_gateway(panel_volumes(t.market, q.week), t.gateway, level=q.level)


def _price(t: Tables, q: Question, p: Posterior, v: Volumes) -> Iterable[Effect]:
    yield price_selection(p, v, level=q.level).effect


def _reverse(t: Tables, q: Question, p: Posterior, v: Volumes) -> Iterable[Effect]:
    yield reverse_selection(p, v, level=q.level).effect


def _population(t: Tables, q: Question, p: Posterior, v: Volumes) -> Iterable[Effect]:
    yield population_effect(p, v, level=q.level)


def _self_run(t: Tables, q: Question, p: Posterior, v: Volumes) -> Iterable[Effect]:
    yield self_hosting(v, chinese_part(t.ledger), level=q.level).effect


#: Mechanisms that the panel and the tables about it decide.
PANEL: dict[str, Panel] = {
    "C2 place of the buyers": _places,
    "C6 hosts": _hosts,
    "C7 groups of labs": _groups,
    "C8 units on the panel": _panel_units,
    "C10 tokenizers": _tokenizers,
    "C11 free routes": _free,
    "C11 promotion windows": _windows,
    "C11 one model": _models,
    "C11 one app": _apps,
    "C12 charts": _charts,
    "C13 second gateway": _gateway,
    "C14 restated weeks": _vintages,
}
#: Mechanisms that bound what no figure identifies.
BOUNDS: dict[str, Panel] = {"C5 population without figures": _bounds}
#: Mechanisms that need the corrected volumes of the population.
CORRECTED: dict[str, Corrected] = {
    "C1 direct purchase": _direct,
    "C2 tiers": _tiers,
    "C3 price-elastic selection": _price,
    "C4 reverse selection": _reverse,
    "C5 population": _population,
    "C7 groups of labs, corrected": _group,
    "C8 units": _units,
    "C9 self-hosting": _self_run,
    "C10 cache and reasoning": _text,
    "C14 nesting": _nesting,
}


def critiques(
    tables: Tables,
    question: Question,
    fit: tuple[Posterior, Volumes] | None,
    *,
    reason: str = "the population is not identified",
) -> Critiques:
    """Ask every mechanism for its effect.

    Parameters
    ----------
    tables : Tables
        The panel and what is known about it.
    question : Question
        Population, week and level.
    fit : tuple of (Posterior, Volumes), or None
        Corrected volumes of the week; None where the population is not identified.
    reason : str
        Why there is no fit.

    Returns
    -------
    Critiques
        Effects by critique. A mechanism whose data cannot decide it is listed with the reason:
        none is dropped in silence.

    Raises
    ------
    UnknownWeek, UnknownPopulation, SchemaError
        If the question or a table is wrong.
    """
    effects: list[Effect] = []
    left_out: list[tuple[str, str]] = []

    def _ask(name: str, mechanism: Callable[[], Iterable[Effect]]) -> None:
        try:
            effects.extend(mechanism())
        except NotIdentified as error:
            left_out.append((name, f"{error.rule}; got {error.got}"))

    for name, panel in (PANEL if fit else PANEL | BOUNDS).items():
        _ask(name, partial(panel, tables, question))
    bounded = {f"{e.critique} {e.mechanism}" for e in effects}
    for name, corrected in CORRECTED.items():
        if fit is not None:
            _ask(name, partial(corrected, tables, question, *fit))
        elif name not in bounded:
            left_out.append((name, reason))
    effects.sort(key=lambda e: int(e.critique[1:]))
    return Critiques(question, tuple(effects), tuple(left_out))
