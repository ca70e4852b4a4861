"""The tables behind the critiques: labs, units, tiers, factors, hosts, gateways, promotions."""

from contextlib import suppress

import pandas as pd

from offroute.estimators.synthesis import Posterior
from offroute.exceptions import NotIdentified
from offroute.inference.mechanisms.coverage import coverage_by_lab
from offroute.inference.mechanisms.crosswalk import factor_sensitivity
from offroute.inference.mechanisms.dollars import check_prices, shares_by_unit, unit_factors
from offroute.inference.mechanisms.hosts import origin_by_host
from offroute.inference.mechanisms.promotions import promotion_windows
from offroute.inference.mechanisms.second_gateway import relative_selection
from offroute.inference.mechanisms.self_hosting import chinese_part, self_hosting
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
        ``coverage by lab``, ``tiers``, ``factors`` (of the crosswalk, those that move the ratio
        most), ``self-hosting`` (by size), ``units``, ``hosts``, ``prices`` (panel against gateway),
        ``second gateway`` (relative selection of labs) and ``promotions`` (the largest windows).
        What the week does not have is absent.

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
        factors = factor_sensitivity(posterior, v, tables.ledger, tables.crosswalk)
        out["factors"] = factors.head(_WINDOWS)
        part = chinese_part(tables.ledger)
        out["self-hosting"] = self_hosting(v, part, level=q.level).by_size
    try:
        prices = check_prices(tables.market, tables.gateway, week=q.week)
    except NotIdentified:
        prices = None
    if prices is not None:
        out["prices"] = prices.table
        if fit is not None:
            in_units = unit_factors(
                tables.market,
                tables.composition,
                week=q.week,
                price_sd=prices.sd,
                n_draws=len(fit[1].Y),
                rng=q.seed,
            )
            out["units"] = shares_by_unit(fit[1], in_units, level=q.level)
    if not (tables.usage.loc[tables.usage["week_start"] == q.week, "basis"] == "lab").any():
        out["hosts"] = origin_by_host(tables.usage, tables.models, tables.hosts, week=q.week)
    with suppress(NotIdentified):
        out["second gateway"] = relative_selection(
            tables.market, tables.gateway, week=q.week, level=q.level
        )
    out["promotions"] = promotion_windows(tables.usage, tables.models).head(_WINDOWS)
    return out
