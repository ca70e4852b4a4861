"""The tables behind the critiques: labs, units, tiers, hosts, promotions."""

import pandas as pd

from offroute.estimators.synthesis import Posterior
from offroute.exceptions import NotIdentified
from offroute.inference.mechanisms.coverage import coverage_by_lab
from offroute.inference.mechanisms.dollars import check_prices, shares_by_unit, unit_factors
from offroute.inference.mechanisms.hosts import origin_by_host
from offroute.inference.mechanisms.promotions import promotion_windows
from offroute.inference.mechanisms.table import Question, Tables
from offroute.inference.mechanisms.tiers import tier_mix
from offroute.inference.shares import Volumes

_WINDOWS = 12


def detail_tables(
    tables: Tables, question: Question, fit: tuple[Posterior, Volumes] | None
) -> dict[str, pd.DataFrame]:
    """Collect the tables behind the critiques.

    Parameters
    ----------
    tables : Tables
        The panel and what is known about it.
    question : Question
        Population, week and level.
    fit : tuple of (Posterior, Volumes), or None
        Corrected volumes; without them the tables of the panel alone.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``coverage by lab``, ``tiers``, ``units``, ``hosts``, ``prices`` (panel against gateway) and
        ``promotions`` (the largest windows). What the week does not have is absent.

    Raises
    ------
    UnknownWeek
        If there is no such week.
    """
    q, out = question, {}
    if fit is not None:
        posterior, v = fit
        out["coverage by lab"] = coverage_by_lab(posterior, v, level=q.level)
        out["tiers"] = tier_mix(v, level=q.level)
    try:
        prices = check_prices(tables.market, tables.gateway, week=q.week)
    except NotIdentified:
        prices = None
    if prices is not None:
        out["prices"] = prices.table
        if fit is not None:
            factors = unit_factors(
                tables.market,
                tables.composition,
                week=q.week,
                price_sd=prices.sd,
                n_draws=len(fit[1].Y),
                rng=0,
            )
            out["units"] = shares_by_unit(fit[1], factors, level=q.level)
    if not (tables.usage.loc[tables.usage["week_start"] == q.week, "basis"] == "lab").any():
        out["hosts"] = origin_by_host(tables.usage, tables.models, tables.hosts, week=q.week)
    out["promotions"] = promotion_windows(tables.usage, tables.models).head(_WINDOWS)
    return out
