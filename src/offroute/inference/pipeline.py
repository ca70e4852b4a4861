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
from offroute.inference.identification import SELF_HOST, SOLD, Identification, identify
from offroute.inference.mechanisms.self_hosting import chinese_part, with_any_self_run
from offroute.inference.shares import Volumes, check_level, volumes
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
    population: str,
    *,
    week: str,
    market: Market,
    level: float = 0.9,
    rng: RngLike = 0,
    sold: Volumes | None = None,
    data_dir: Path | None = None,
) -> Identification:
    """Say whether the ledger of a folder identifies a population in a week, and bound it if not.

    Parameters
    ----------
    population : str
        Name of the population.
    week : str
        A day of the week, ISO.
    market : Market
        The panel.
    level : float
        Probability of the intervals among the bounds.
    rng : int, Generator, SeedSequence or None
        Randomness of the fit that bounds world-with-self-host.
    sold : Volumes, optional
        Volumes of world-external-api in the week, if they are at hand; fitted where they are
        needed.
    data_dir : pathlib.Path, optional
        Folder of tables; the shipped snapshot by default.

    Returns
    -------
    Identification
        Whether it is identified, why, and the bounds if not: those of `identify`, and for
        world-with-self-host those of `with_any_self_run` as the last.

    Raises
    ------
    UnknownPopulation, UnknownWeek, UsageError
        If there is no such population or week, or there are too few draws for the level.
    UnreliablePosterior
        If that fit fails.
    """
    ledger, index = load_ledger(data_dir), week_index(market, week)
    b = build_benchmarks(ledger, load_crosswalk(data_dir), market, population=population)
    found = identify(b, market, index, ledger, level=level)
    if population != SELF_HOST or found.identified:
        return found
    if sold is None:
        sold = volumes(
            correct(SOLD, weeks=(week,), rng=rng, market=market, data_dir=data_dir), index
        )
    check_level(sold, level)
    return with_any_self_run(found, sold, chinese_part(ledger), level=level)


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
