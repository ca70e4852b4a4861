"""The road from the panel to the market in one call: the model refitted to each set of switches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from offroute._checks import check_choice
from offroute._random import RngLike, spawn_seeds
from offroute._typing import FloatArray
from offroute.estimators.switches import MECHANISMS, SELECTION
from offroute.exceptions import UnreliablePosterior, UsageError
from offroute.inference.pipeline import correct, load_market
from offroute.inference.shares import volumes
from offroute.inference.waterfall import MOST, waterfall
from offroute.measurement.market import Market, week_index


@dataclass(frozen=True)
class SwitchSteps:
    """Steps of the posterior mean of log(China / US) over switches, refitted.

    Attributes
    ----------
    population, week : str
        What was asked; the Monday, ISO.
    start, end : float
        Mean with all split mechanisms off and on.
    table : pandas.DataFrame
        ``mechanism``, ``step`` (mean over all orders), ``least``, ``most`` (over orders); steps add
        up to ``end - start``.
    """

    population: str
    week: str
    start: float
    end: float
    table: pd.DataFrame


def switch_steps(
    population: str,
    week: str,
    *,
    mechanisms: Sequence[str] = SELECTION,
    n_draws: int = 2000,
    rng: RngLike = 0,
    market: Market | None = None,
    data_dir: Path | None = None,
) -> SwitchSteps:
    r"""Split the way from the panel to the market by refitting every subset of switches.

    .. math:: v(S) = E[R \mid \text{figures},\; S \cup \text{the mechanisms that are not split}]

    Parameters
    ----------
    population : str
        Name of the population.
    week : str
        A day of the week, ISO.
    mechanisms : sequence of str
        Mechanisms to split, keys of `offroute.estimators.switches.MECHANISMS`, at most 12; the
        others stay on. With those of `SELECTION` the way starts at the panel in the anchor week.
    n_draws : int
        Draws of each of the :math:`2^m` fits.
    rng : int, Generator, SeedSequence or None
        Randomness; the same for every fit.
    market : Market, optional
        The panel, if it is at hand.
    data_dir : pathlib.Path, optional
        Folder of tables; the shipped snapshot by default.

    Returns
    -------
    SwitchSteps
        Steps of the mean. They have no interval: draws of two fits are not paired.

    Raises
    ------
    UsageError
        If there is no such mechanism, one is named twice, or none is.
    UnknownPopulation, UnknownWeek, NotIdentified
        As `offroute.inference.pipeline.correct`.
    UnreliablePosterior
        If a subset cannot be fitted; the message names it. Figures of different weeks contradict
        each other without the mechanisms of `EVIDENCE`: splitting these may be refused.

    Notes
    -----
    A description of the model, not a causal statement. Sixty-four fits with the default.
    """
    names = [check_choice(m, MECHANISMS, name="mechanisms") for m in mechanisms]
    if not 0 < len(names) <= MOST or len(set(names)) < len(names):
        raise UsageError(
            "mechanisms",
            got=f"{len(names)} names",
            rule=f"must be 1 to {MOST} different mechanisms",
            next_step="Leave it out to split those of SELECTION.",
        )
    market = load_market(data_dir) if market is None else market
    at = week_index(market, week)
    held = frozenset(MECHANISMS) - frozenset(names)
    seed = spawn_seeds(rng, 1)[0]

    def _fit(on: frozenset[str]) -> FloatArray:
        try:
            posterior = correct(
                population,
                weeks=(week,),
                mechanisms=on | held,
                n_draws=n_draws,
                rng=np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key),
                market=market,
                data_dir=data_dir,
            )
        except UnreliablePosterior as error:
            raise UnreliablePosterior(
                f"fit with {', '.join(sorted(on)) or 'none'} of the split mechanisms",
                got=error.got,
                rule=error.rule,
                next_step="Split fewer mechanisms, or raise n_draws.",
            ) from error
        v = volumes(posterior, at)
        china, us = (
            v.Y[:, (v.labels["origin"] == o).to_numpy()].sum(axis=1) for o in ("China", "US")
        )
        return np.sort(np.log(china / us))

    found = waterfall(names, _fit)
    table = pd.DataFrame(
        {"mechanism": names, "step": found.step, "least": found.least, "most": found.most}
    )
    return SwitchSteps(population, str(market.weeks[at]), found.start, found.end, table)
