r"""Groups of labs (C7) and charts of the largest models (C12), with the rule of whoever claimed it.

A claim compares China with a group G of labs over the k largest named models,

.. math:: R_{G,k} = \log \frac{\sum_{i \le k,\, i \in CN} X_i}{\sum_{i \le k,\, i \in G} X_i} ,

where all models of China and the US were meant. What it leaves out is counted or bounded.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute._checks import check_columns, listing
from offroute.data.frames import resolve_week
from offroute.data.register import STEALTH, TAIL_MODEL, join_register
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import NotIdentified, UnknownLab, UsageError
from offroute.inference.mechanisms.counterfactual import direction_of, triple
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes
from offroute.measurement.audit import PRESS_TOP
from offroute.measurement.observed import observed_shares

#: The labs of "the Big 3 only have 35 %".
BIG_THREE = ("Anthropic", "Google", "OpenAI")
#: So many sources about a group make the evidence moderate.
_SOURCES = 2


@dataclass(frozen=True)
class GroupRatio:
    """China against a group of labs under a rule of truncation.

    Attributes
    ----------
    week : str
        Monday of the week.
    labs : tuple of str
        The group.
    top : int or None
        Number of named models counted; None for all.
    china, group, us, total : float
        Tokens of China and the group among those counted; of all named US models; of the week.
    log_ratio : float
        log(China / group) as claimed.
    """

    week: str
    labs: tuple[str, ...]
    top: int | None
    china: float
    group: float
    us: float
    total: float
    log_ratio: float


def group_ratio(
    usage: pd.DataFrame,
    models: pd.DataFrame,
    *,
    week: str,
    labs: tuple[str, ...] = BIG_THREE,
    top: int | None = None,
) -> GroupRatio:
    """Compare China with any group of labs, on the largest models or on all.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    week : str
        Monday of the week.
    labs : tuple of str
        The group.
    top : int, optional
        Count only so many of the largest named models; all by default.

    Returns
    -------
    GroupRatio
        The claim.

    Raises
    ------
    UnknownWeek
        If there is no such week.
    UnknownLab
        If a lab is not in the register.
    SchemaError
        If a column is missing.
    UsageError
        If `top` is below 1 or not whole.
    NotIdentified
        If a side has no token under the rule, or a week is known by lab only and `top` is given.
    """
    check_columns(usage, ["week_start", "model", "tokens", "basis"], name="usage")
    check_columns(models, ["model", "lab", "origin"], name="models")
    known = sorted(set(models["lab"]))
    strange = [lab for lab in labs if lab not in known]
    if strange or not labs:
        raise UnknownLab(
            "labs",
            got=listing(strange) or "none",
            rule="must be labs of the register",
            next_step=f"Such as {listing(known)}.",
        )
    if top is not None and (not isinstance(top, int | np.integer) or top < 1):
        raise UsageError(
            "top",
            got=top,
            rule="must be a whole number of at least 1",
            next_step="The press uses 9.",
        )
    start = resolve_week(usage, week)
    rows = join_register(usage[usage["week_start"] == start], models)
    if top is not None and bool((rows["basis"] == "lab").any()):
        raise NotIdentified(
            "top",
            got=f"top={top} in a week known by lab",
            rule="the largest models are not known",
            next_step="Choose an earlier week, or all models.",
        )
    named = rows[rows["model"] != TAIL_MODEL].sort_values(
        ["tokens", "model"], ascending=[False, True]
    )
    counted = named if top is None else named.head(top)
    china = float(counted.loc[counted["origin"] == "China", "tokens"].sum())
    group = float(counted.loc[counted["lab"].isin(labs), "tokens"].sum())
    if not (china > 0 and group > 0):
        raise NotIdentified(
            "log(China / group)",
            got=f"China {china:g}, group {group:g} tokens",
            rule="both need tokens under the rule",
            next_step="Count more models.",
        )
    return GroupRatio(
        week=start.date().isoformat(),
        labs=labs,
        top=top,
        china=china,
        group=group,
        us=float(named.loc[named["origin"] == "US", "tokens"].sum()),
        total=float(rows["tokens"].sum()),
        log_ratio=float(np.log(china / group)),
    )


def big_three(
    usage: pd.DataFrame,
    models: pd.DataFrame,
    *,
    week: str,
    labs: tuple[str, ...] = BIG_THREE,
    top: int | None = None,
    level: float = 0.9,
) -> Effect:
    """Say what taking a group of labs for the United States does.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    week : str
        Monday of the week.
    labs : tuple of str
        The group that stood for the US.
    top : int, optional
        The claim's rule of truncation.
    level : float
        Printed; the effect is counted.

    Returns
    -------
    Effect
        All named US models in place of the group, under the same rule; the parameter is the
        group's share of named US tokens, or of those among the counted.

    Raises
    ------
    UnknownWeek, UnknownLab, UsageError, NotIdentified
        As `group_ratio`.
    """
    claim = group_ratio(usage, models, week=week, labs=labs, top=top)
    us_labs = tuple(sorted(set(models.loc[models["origin"] == "US", "lab"])))
    whole = group_ratio(usage, models, week=week, labs=us_labs, top=top)
    part, effect = claim.group / whole.group, whole.log_ratio - claim.log_ratio
    rule = "all named models" if top is None else f"the {top} largest models"
    return Effect(
        critique="C7",
        mechanism=f"a group is not the US ({', '.join(labs)})",
        population="panel",
        week=claim.week,
        parameter=f"the group's part of US tokens among {rule} (fraction)",
        estimate=(part, part, part),
        effect=(effect, effect, effect),
        level=level,
        evidence=("usage", "models"),
        direction=direction_of((effect, effect, effect)),
        strength="strong",
        note=f"counted; the group has {claim.group / claim.total:.0%} of all tokens; naive: China "
        "over the group",
    )


def corrected_group(
    posterior: Posterior, v: Volumes, *, labs: tuple[str, ...] = BIG_THREE, level: float = 0.9
) -> Effect:
    """Say what taking a group of labs for the United States does in a population.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    v : Volumes
        Its volumes in one week.
    labs : tuple of str
        The group.
    level : float
        Probability of the interval.

    Returns
    -------
    Effect
        The parameter is the group's corrected share of all tokens. Moderate where two sources have
        figures of absolute size about the group, else weak.

    Raises
    ------
    UnknownLab
        If the market has no such lab.
    """
    lab = v.labels["lab"].to_numpy()
    strange = sorted(set(labs) - set(lab))
    if strange or not labs:
        raise UnknownLab(
            "labs",
            got=listing(strange) or "none",
            rule="must be labs of the market",
            next_step=f"Such as {listing(sorted(set(lab)))}.",
        )
    group = v.Y[:, np.isin(lab, labs)].sum(axis=1)
    us = v.Y[:, (v.labels["origin"] == "US").to_numpy()].sum(axis=1)
    effect = triple(np.log(group / us), level)
    b, of = posterior.benchmarks, np.isin(posterior.market.labs, labs)
    rows = np.flatnonzero(
        ~b.flat[b.family] & (b.w[:, of] > 0).any(axis=1) & ~(b.w[:, ~of] > 0).any(axis=1)
    )
    sources = len(set(b.family[rows]))
    return Effect(
        critique="C7",
        mechanism=f"a group is not the US ({', '.join(labs)})",
        population=v.population,
        week=v.week,
        parameter="the group's corrected share of all tokens (fraction)",
        estimate=triple(group / v.Y.sum(axis=1), level),
        effect=effect,
        level=level,
        evidence=tuple(b.ids[i] for i in rows) or ("models",),
        direction=direction_of(effect),
        strength="moderate" if sources >= _SOURCES else "weak",
        note=f"corrected volumes, {len(rows)} figures of {sources} sources about the group; "
        "naive: corrected China over the group",
    )


def top_chart(
    usage: pd.DataFrame,
    models: pd.DataFrame,
    *,
    week: str,
    top: int = PRESS_TOP,
    hidden: pd.DataFrame | None = None,
    level: float = 0.9,
) -> Effect:
    r"""Say what counting all models in place of the largest k does, with bounds.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    week : str
        Monday of the week.
    top : int
        Models in the chart.
    hidden : pandas.DataFrame, optional
        Sharp bounds of the unnamed rest by origin, from `hidden_bounds`; else all of it may be of
        either side.
    level : float
        Printed; the bounds hold surely.

    Returns
    -------
    Effect
        The middle has the unnamed rest completed and models of undeclared origin left apart; the
        ends give both wholly to one side. The parameter is the chart's part of the week's tokens.

    Raises
    ------
    UnknownWeek, UsageError, NotIdentified
        As `group_ratio`.
    """
    us_labs = tuple(sorted(set(models.loc[models["origin"] == "US", "lab"])))
    chart = group_ratio(usage, models, week=week, labs=us_labs, top=top)
    table = observed_shares(
        usage, models, by="origin", week=week, tail="bounds", hidden=hidden
    ).set_index("class")
    total = float(chart.total)
    loose = float(table["low"].to_dict().get(STEALTH, 0.0)) * total
    china, us = (_tokens(table, origin, total) for origin in ("China", "US"))
    middle = float(np.log(china["share"] / us["share"]))
    # What one side gains the other loses: the rest can be given only once.
    unnamed = total * float((table["high"] - table["low"]).max())
    low = np.log(china["low"] / (us["low"] + min(us["high"] - us["low"], unnamed) + loose))
    high = np.log((china["low"] + min(china["high"] - china["low"], unnamed) + loose) / us["low"])
    naive = chart.log_ratio
    effect = float(low) - naive, middle - naive, float(high) - naive
    counted = _chart_tokens(usage, models, chart) / total
    return Effect(
        critique="C12",
        mechanism=f"chart of the {top} largest models",
        population="panel",
        week=chart.week,
        parameter="part of the week's tokens in the chart (fraction)",
        estimate=(counted, counted, counted),
        effect=effect,
        level=level,
        evidence=("usage", "models") if hidden is None else ("usage", "models", "roster"),
        direction=direction_of(effect),
        strength="strong",
        note="ends give the unnamed rest and models of undeclared origin to one side; naive: the "
        "chart",
    )


def _tokens(table: pd.DataFrame, origin: str, total: float) -> dict[str, float]:
    """Tokens of an origin, with the ends of their bounds."""
    columns = ("share", "low", "high")
    return {name: float(table[name].to_dict()[origin]) * total for name in columns}


def _chart_tokens(usage: pd.DataFrame, models: pd.DataFrame, chart: GroupRatio) -> float:
    """Tokens of the models in the chart."""
    rows = usage[usage["week_start"] == pd.Timestamp(chart.week)]
    named = rows[rows["model"] != TAIL_MODEL]["tokens"]
    return float(named.nlargest(chart.top or len(named)).sum())
