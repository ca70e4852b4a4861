"""Observed shares of the panel, with the tail, stealth and free rows treated in the open."""

from datetime import date
from typing import Literal, get_args

import pandas as pd

from offroute._checks import check_choice
from offroute.data.frames import check_partition, resolve_week
from offroute.data.register import STEALTH, TAIL, TAIL_MODEL, class_labels, join_register
from offroute.data.schema import USAGE, check_frame
from offroute.exceptions import NotIdentified
from offroute.measurement.truncation import complete_other

Tail = Literal["own row", "bounds", "completed"]
Stealth = Literal["own row", "bounds", "excluded"]
Free = Literal["kept", "own row", "excluded"]

FREE = "Free"
"""Class of the ``:free`` rows when they are kept apart."""

_BY_MODEL_ONLY = ("variant", "charging", "tier")


def observed_shares(
    usage: pd.DataFrame,
    models: pd.DataFrame,
    *,
    by: str = "group",
    week: str | date | None = None,
    tail: Tail = "own row",
    stealth: Stealth = "own row",
    free: Free = "kept",
    hidden: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return what the panel itself says: tokens and shares by class.

    With n_g the named tokens of class g, O the tail, S the stealth tokens, T the total, and the
    tail of class g in ``[l_g, u_g]`` (``[0, O]`` unless `hidden` is sharper), the share of g lies
    in ``[(n_g + l_g) / T, (n_g + u_g + S) / T]`` when tail and stealth are both bounded.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    by : str
        Register column: group, origin, lab, author, weights, tier, variant or charging.
    week : str or datetime.date, optional
        One Monday; all weeks by default.
    tail : {'own row', 'bounds', 'completed'}
        What becomes of the row ``other``: a class of its own; spread over the classes by
        `complete_other` and bounded by all it could be; or spread only.
    stealth : {'own row', 'bounds', 'excluded'}
        A class of its own; spread in proportion over the classes and given wholly to each in its
        upper bound; left out altogether.
    free : {'kept', 'own row', 'excluded'}
        What becomes of ``:free`` rows: counted in their class, a class ``Free``, or left out. The
        tail is not split by it.
    hidden : pandas.DataFrame, optional
        Sharp bounds of the tail for the same `by`, from `hidden_bounds`.

    Returns
    -------
    pandas.DataFrame
        ``week_start``, ``days``, ``basis``, ``by``, ``class``, ``tokens`` (named, and out of the
        tail if it is spread), ``share``, ``low``, ``high`` (fractions; equal to the share where
        nothing is bounded), and the choices ``tail``, ``stealth``, ``free``. The shares of a week
        add up to 1.

    Raises
    ------
    UnknownPartition, UnknownWeek, UsageError, UnknownModel
        If an argument or a model is unknown.
    SchemaError, InvalidValue, DuplicateKey
        If the usage table breaks its schema.
    NotIdentified
        If a week known only by lab is to be split by a property of single models.

    Examples
    --------
    >>> from offroute.data.snapshot import load_models, load_usage
    >>> shares = observed_shares(load_usage(), load_models(), by="origin", week="2026-06-01")
    >>> float(shares.set_index("class")["share"].round(3)["China"])
    0.505
    """
    check_partition(by)
    check_choice(tail, get_args(Tail), name="tail")
    check_choice(stealth, get_args(Stealth), name="stealth")
    check_choice(free, get_args(Free), name="free")
    usage = check_frame(usage, USAGE)
    asked = usage if week is None else usage[usage["week_start"] == resolve_week(usage, week)]
    if bool((asked["basis"] == "lab").any()) and (by in _BY_MODEL_ONLY or free != "kept"):
        raise NotIdentified(
            "by and free",
            got=f"by='{by}', free='{free}'",
            rule="weeks from 2026-09-14 are known by lab only, without tiers and variants",
            next_step="Choose an earlier week, or another partition with free='kept'.",
        )
    models = models.assign(**{by: class_labels(models, by=by)})
    rows = join_register(asked, models)
    is_free = (rows["variant"] == "free") & (rows["model"] != TAIL_MODEL)
    if free == "own row":
        rows[by] = rows[by].mask(is_free, FREE)
    elif free == "excluded":
        rows = rows[~is_free]
    if stealth == "excluded":
        rows = rows[rows[by] != STEALTH]
    listed = rows.groupby(["week_start", by])["tokens"].sum().unstack(fill_value=0).astype(float)
    if tail == "own row":
        point, low, high = listed, listed, listed
    else:
        # Weeks by lab complete their tail from earlier weeks by model: these must stay in sight.
        scope = usage[usage["week_start"].isin(asked["week_start"]) | (usage["basis"] == "model")]
        filled = complete_other(scope, models, by=by, hidden=hidden)
        filled = filled[filled["week_start"].isin(asked["week_start"])]
        extra = filled.pivot(index="week_start", columns=by, values="hidden").fillna(0.0)
        point, low, high = _with_tail(
            listed,
            extra.drop(columns=STEALTH if stealth == "excluded" else [], errors="ignore"),
            bounded=tail == "bounds",
            hidden=hidden,
        )
    total = point.sum(axis=1)
    share = point.div(total, axis=0)
    if stealth == "bounds" and STEALTH in point:
        placed = point.columns.difference([STEALTH, TAIL])
        unnamed = listed.get(TAIL, pd.Series(0.0, index=listed.index))
        most = listed.reindex(columns=placed, fill_value=0.0).add(unnamed + listed[STEALTH], axis=0)
        high = high.assign(**high[placed].add(high[STEALTH], axis=0).clip(upper=most))
        spread = share[STEALTH] / share[placed].sum(axis=1) + 1
        share = share.assign(**share[placed].mul(spread, axis=0)).drop(columns=STEALTH)
        point, low, high = (frame[share.columns] for frame in (point, low, high))
    table = pd.DataFrame(
        {
            "tokens": point.unstack(),
            "share": share.unstack(),
            "low": low.div(total, axis=0).unstack(),
            "high": high.div(total, axis=0).unstack(),
        }
    )
    return _tidy(table, asked, by=by).assign(tail=tail, stealth=stealth, free=free)


def _with_tail(
    listed: pd.DataFrame, extra: pd.DataFrame, *, bounded: bool, hidden: pd.DataFrame | None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return point, low and high tokens by week and class with the tail spread."""
    unnamed = listed[TAIL] if TAIL in listed else pd.Series(0.0, index=listed.index)
    named = listed.drop(columns=TAIL, errors="ignore")
    classes = named.columns.union(extra.columns)
    named = named.reindex(columns=classes, fill_value=0.0)
    extra = extra.reindex(index=named.index, columns=classes, fill_value=0.0)
    # Leaving stealth out leaves its part of the tail to the others.
    extra = extra.mul((unnamed / extra.sum(axis=1)).fillna(0.0), axis=0)
    point = named + extra
    if not bounded:
        return point, point, point
    least = pd.DataFrame(0.0, index=named.index, columns=classes)
    most = least.add(unnamed, axis=0)
    if hidden is not None:
        for side, frame in (("low", least), ("high", most)):
            sharp = hidden.pivot(index="week_start", columns="class", values=side)
            scale = unnamed / hidden.groupby("week_start")["unnamed"].first()
            sharp = sharp.reindex(columns=classes).fillna(0.0).mul(scale, axis=0)
            frame.update(sharp.reindex(index=frame.index.intersection(sharp.index)))
    return point, named + least, named + most


def _tidy(table: pd.DataFrame, asked: pd.DataFrame, *, by: str) -> pd.DataFrame:
    about = asked.drop_duplicates("week_start")[["week_start", "days", "basis"]]
    table = table.rename_axis(index=["class", "week_start"]).reset_index()
    table = table[(table["tokens"] > 0) | (table["high"] > 0)]
    table = about.assign(by=by).merge(table, on="week_start", how="right")
    return table.sort_values(["week_start", "class"]).reset_index(drop=True)
