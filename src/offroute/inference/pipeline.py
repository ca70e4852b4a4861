"""From the tables to the posterior of one population: the whole path in one call."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from offroute._random import RngLike
from offroute.data.snapshot import (
    load_composition,
    load_crosswalk,
    load_ledger,
    load_models,
    load_usage,
)
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.estimators.switches import switch
from offroute.estimators.synthesis import Posterior, synthesise
from offroute.exceptions import NotIdentified
from offroute.inference.identification import Identification, identify
from offroute.measurement.ledger import build_benchmarks, ledger_labs
from offroute.measurement.market import Market, build_market, week_index
from offroute.measurement.populations import population as population_of


def load_market(data_dir: Path | None = None) -> Market:
    """Load the panel and arrange it by week and cell.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder of tables; the shipped snapshot by default.

    Returns
    -------
    Market
        The panel.

    Examples
    --------
    >>> market = load_market()
    >>> bool((market.X >= 0).all())
    True
    """
    return build_market(
        load_usage(data_dir),
        load_models(data_dir),
        load_composition(data_dir),
        keep=ledger_labs(load_ledger(data_dir)),
    )


def identify_population(
    population: str, *, week: str, market: Market, data_dir: Path | None = None
) -> Identification:
    """Say whether the ledger of a folder identifies a population in a week.

    Parameters
    ----------
    population : str
        Name of the population.
    week : str
        A day of the week, ISO.
    market : Market
        The panel.
    data_dir : pathlib.Path, optional
        Folder of tables; the shipped snapshot by default.

    Returns
    -------
    Identification
        Whether it is identified, why, and the bounds if not.

    Raises
    ------
    UnknownPopulation, UnknownWeek
        If there is no such population or week.
    """
    ledger = load_ledger(data_dir)
    b = build_benchmarks(ledger, load_crosswalk(data_dir), market, population=population)
    return identify(b, market, week_index(market, week), ledger)


def correct(
    population: str,
    *,
    weeks: tuple[str, ...] = (),
    prior: Prior = NEUTRAL,
    mechanisms: Iterable[str] | None = None,
    n_draws: int = 2000,
    rng: RngLike = 0,
    market: Market | None = None,
    data_dir: Path | None = None,
) -> Posterior:
    """Estimate the off-platform volume of a population from the tables of a folder.

    Parameters
    ----------
    population : str
        Name of the population; there is no default, since the sign of the correction depends on it.
    weeks : tuple of str
        Days, ISO, whose weeks are to be evaluated; all weeks if empty.
    prior : Prior
        The prior.
    mechanisms : iterable of str, optional
        Mechanisms that are on, keys of `offroute.estimators.switches.MECHANISMS`; all by default.
    n_draws : int
        Posterior draws.
    rng : int, Generator, SeedSequence or None
        Randomness.
    market : Market, optional
        The panel, if it is at hand.
    data_dir : pathlib.Path, optional
        Folder of tables; the shipped snapshot by default.

    Returns
    -------
    Posterior
        For `offroute.inference.shares.volumes` and what follows from it.

    Raises
    ------
    UnknownPopulation, UnknownWeek, UsageError
        If there is no such population, week or mechanism.
    BenchmarkBelowPanel
        If a ledger row lies below what the panel itself saw.
    NotIdentified
        If the ledger says nothing about the population.
    UnreliablePosterior
        If the importance weights are too heavy-tailed.

    Examples
    --------
    >>> from offroute.inference.shares import contest, volumes
    >>> posterior = correct("world-external-api", weeks=("2026-06-01",), n_draws=400)
    >>> v = volumes(posterior, posterior.draws.weeks[0])
    >>> contest(v).p_china_leads < 0.5
    True
    """
    population_of(population)
    market = load_market(data_dir) if market is None else market
    asked = np.array([week_index(market, week) for week in weeks], dtype=np.int64)
    ledger = load_ledger(data_dir)
    benchmarks = build_benchmarks(ledger, load_crosswalk(data_dir), market, population=population)
    found = identify(benchmarks, market, int(asked[0]) if len(asked) else market.anchor, ledger)
    if not found.identified:
        raise NotIdentified(
            f"population '{population}'",
            got=found.reason,
            rule="China against the US needs figures of absolute size about both",
            next_step="See `identify_population` for the bounds, or add rows to the ledger.",
        )
    if mechanisms is not None:
        model = switch(market, benchmarks, prior, mechanisms)
        market, benchmarks, prior = model.market, model.benchmarks, model.prior
    return synthesise(
        market,
        benchmarks,
        prior=prior,
        weeks=np.unique(asked) if len(asked) else None,
        n_draws=n_draws,
        rng=rng,
    )
