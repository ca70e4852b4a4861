"""Truncation: sharp bounds and a completion for what lies outside the day's top 50."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from offroute._typing import FloatArray
from offroute.data.frames import check_partition
from offroute.data.register import TAIL_MODEL, class_labels, join_register
from offroute.data.schema import DAILY, check_frame
from offroute.exceptions import InvalidValue, NotIdentified

TOP = 25
"""Models by rank that do not speak for the tail: the completion looks at ranks 26 and below."""

CARRIED_WEEKS = 4
"""Last weeks by model whose low ranks stand for the tail of the weeks by lab."""

_DAYS_PER_WEEK = 7


def water_fill(
    total: float, *, weights: FloatArray, low: FloatArray, high: FloatArray
) -> FloatArray:
    """Spread a total in proportion to weights, within bounds.

    Solves ``sum_g h_g = total`` with ``h_g = min(high_g, max(low_g, lambda * weights_g))``; the
    solution minimises the Kullback-Leibler distance to the weights under the bounds. What classes
    without weight must take beyond their lower bounds is spread over the room that they have.

    Parameters
    ----------
    total : float
        Amount to spread, at least 0.
    weights : ndarray of shape (G,)
        Non-negative weights.
    low, high : ndarray of shape (G,)
        Bounds, ``0 <= low <= high``.

    Returns
    -------
    ndarray of shape (G,)
        Amounts that sum to `total`.

    Raises
    ------
    NotIdentified
        If the bounds cannot hold the total.

    Examples
    --------
    >>> water_fill(10.0, weights=np.array([3.0, 1.0, 1.0]), low=np.zeros(3),
    ...            high=np.array([4.0, 9.0, 9.0])).tolist()
    [4.0, 3.0, 3.0]
    """
    slack = 1e-9 * max(total, 1.0)
    if not low.sum() - slack <= total <= high.sum() + slack or bool((low > high + slack).any()):
        raise NotIdentified(
            "tail",
            got=f"{total:g} tokens",
            rule=f"must lie between the sums of the bounds, {low.sum():g} and {high.sum():g}",
            next_step="The catalogue misses models: extend the roster.",
        )
    weighted = weights > 0
    if total >= (reachable := float(np.where(weighted, high, low).sum())):
        room = np.where(weighted, 0.0, high - low)
        spill = (total - reachable) / room.sum() if room.sum() > 0 else 0.0
        return np.asarray(np.where(weighted, high, low) + spill * room)
    # The filled amount is piecewise linear in lambda, with a kink where a class meets a bound.
    safe = np.where(weighted, weights, 1.0)
    kinks = np.unique(np.concatenate([[0.0], (low / safe)[weighted], (high / safe)[weighted]]))
    filled = np.clip(kinks[:, None] * weights, low, high).sum(axis=1)
    level = np.interp(total, filled, kinks)
    return np.asarray(np.clip(level * weights, low, high))


def _roster_counts(roster: pd.DataFrame, days: pd.DatetimeIndex, by: str) -> pd.DataFrame:
    first, last = roster["first"].to_numpy(), roster["last"].to_numpy()
    # Days just outside the catalogue's window are read as its first or last day.
    shown = np.clip(days.to_numpy(), first.min(), last.max())
    alive = (first[None, :] <= shown[:, None]) & (shown[:, None] <= last[None, :])
    return (
        pd.DataFrame(alive.astype(int), index=days, columns=roster[by]).T.groupby(level=0).sum().T
    )


def hidden_bounds(
    daily: pd.DataFrame, roster: pd.DataFrame, models: pd.DataFrame, *, by: str = "group"
) -> pd.DataFrame:
    """Bound what each class has outside the day's top 50, week by week.

    On day d a hidden model has at most the tokens of the 50th model, ``cap_d``. With ``n_gd``
    models of class g in the catalogue but not listed, and ``O_d`` tokens in the tail,

        hidden_gd in [max(0, O_d - cap_d * n_-g,d),  min(O_d, cap_d * n_gd)],

    which is sharp day by day; a week adds its days. A model listed on some days only is
    interval-censored on the others, not absent.

    Parameters
    ----------
    daily : pandas.DataFrame
        As of `load_daily`: date, model, tokens, with the row ``other`` on each day.
    roster : pandas.DataFrame
        As of `load_roster`: the catalogue by spell.
    models : pandas.DataFrame
        Register of the listed models.
    by : {'group', 'origin', 'lab', 'author', 'weights'}
        Partition that roster and register share.

    Returns
    -------
    pandas.DataFrame
        ``week_start``, ``class``, ``low``, ``high`` (tokens) and ``unnamed`` (tokens of the tail in
        the week), for weeks of which all seven days are in `daily`.

    Raises
    ------
    UnknownPartition
        If `by` is no partition.
    NotIdentified
        If the catalogue has no such column, or cannot hold a day's tail.
    UnknownModel
        If a listed model is not in the register.

    Notes
    -----
    Assumes that the catalogue is complete on the day. Models withdrawn from the catalogue that
    still have traffic would loosen the bounds.
    """
    check_partition(by)
    if by not in roster.columns:
        raise NotIdentified(
            "by",
            got=repr(by),
            rule="the catalogue has no such column, so hidden models cannot be counted by it",
            next_step="Use group, origin, lab, author or weights.",
        )
    roster = roster.assign(**{by: class_labels(roster, by=by)})
    rows = join_register(
        check_frame(daily, DAILY), models.assign(**{by: class_labels(models, by=by)})
    )
    named = rows[rows["model"] != TAIL_MODEL]
    tail = rows[rows["model"] == TAIL_MODEL].set_index("date")["tokens"].sort_index()
    cap = named.groupby("date")["tokens"].min().reindex(tail.index)
    listed = named.groupby(["date", by]).size().unstack(fill_value=0).reindex(tail.index)
    alive = _roster_counts(roster, pd.DatetimeIndex(tail.index), by)
    classes = sorted(set(alive.columns) | set(listed.columns))
    hidden = (
        alive.reindex(columns=classes, fill_value=0) - listed.reindex(columns=classes, fill_value=0)
    ).clip(lower=0)
    room = hidden.mul(cap, axis=0)
    short = room.sum(axis=1) < tail
    if bool(short.any()):
        raise NotIdentified(
            "roster",
            got=f"{int(short.sum())} days whose tail exceeds the room of all hidden models",
            rule="tail <= cap * hidden models on every day",
            next_step="The catalogue misses models: extend the roster.",
        )
    rest = room.mul(-1).add(room.sum(axis=1), axis=0)
    low = rest.mul(-1).add(tail, axis=0).clip(lower=0)
    high = room.clip(upper=tail, axis=0)
    weeks = pd.DatetimeIndex(tail.index).to_period("W-SUN").start_time
    full = pd.Series(1, index=weeks).groupby(level=0).sum()
    whole = full.index[full == _DAYS_PER_WEEK]
    out = pd.DataFrame(
        {
            "low": low.groupby(weeks).sum().loc[whole].unstack(),
            "high": high.groupby(weeks).sum().loc[whole].unstack(),
        }
    )
    out.index.names = ["class", "week_start"]
    out = out.reset_index().sort_values(["week_start", "class"], ignore_index=True)
    out["unnamed"] = out["week_start"].map(tail.groupby(weeks).sum()).astype("int64")
    out["week_start"] = out["week_start"].astype("datetime64[us]")
    return out[["week_start", "class", "low", "high", "unnamed"]]


def tail_weights(
    usage: pd.DataFrame, models: pd.DataFrame, *, by: Sequence[str], top: int = TOP
) -> pd.DataFrame:
    """Return the composition that stands for the tail: models ranked below `top` in the week.

    For weeks that are only known by lab, the low ranks of the last four weeks by model are used.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    by : sequence of str
        Register columns.
    top : int
        Number of large models left out.

    Returns
    -------
    pandas.DataFrame
        ``week_start``, the columns of `by`, and ``weight`` (adds to 1 in each week).

    Raises
    ------
    UnknownPartition, UnknownModel
        If a column or a model is not in the register.
    NotIdentified
        If a week has no model below `top`, or there is no week by model to carry forward.
    """
    columns = [check_partition(column) for column in by]
    rows = join_register(usage[usage["model"] != TAIL_MODEL], models)
    by_model = rows[rows["basis"] == "model"]
    # Ties are broken by name, so that the order of rows does not matter.
    by_model = by_model.sort_values(["tokens", "model"], ascending=[False, True])
    low = by_model[by_model.groupby("week_start").cumcount() >= top]
    own = low.groupby(["week_start", *columns], as_index=False).agg(tokens=("tokens", "sum"))
    last = sorted(low["week_start"].unique())[-CARRIED_WEEKS:]
    carried = own[own["week_start"].isin(last)]
    carried = carried.groupby(columns, as_index=False).agg(tokens=("tokens", "sum"))
    lab_weeks = rows.loc[rows["basis"] == "lab", ["week_start"]].drop_duplicates()
    table = pd.concat([own, lab_weeks.merge(carried, how="cross")], ignore_index=True)
    missing = sorted(set(usage["week_start"]) - set(table["week_start"]))
    if missing:
        raise NotIdentified(
            "usage",
            got=f"{len(missing)} weeks without them, first {missing[0]:%Y-%m-%d}",
            rule=f"the tail is completed from the week's models below rank {top}",
            next_step="Pass the weeks before as well, or keep the tail as its own row.",
        )
    table["weight"] = table["tokens"] / table.groupby("week_start")["tokens"].transform("sum")
    return table.drop(columns="tokens")


def _spread(total: float, weights: pd.Series, limits: pd.DataFrame) -> pd.Series:
    """Water-fill one week's tail over the classes that its limits name."""
    classes = limits.index.union(weights.index)
    # A class that the catalogue does not hold has no hidden model.
    low = limits["low"].reindex(classes, fill_value=0.0).to_numpy(float)
    high = np.minimum(limits["high"].reindex(classes, fill_value=0.0).to_numpy(float), total)
    filled = water_fill(
        total,
        weights=weights.reindex(classes, fill_value=0.0).to_numpy(float),
        low=np.minimum(low, high),
        high=high,
    )
    return pd.Series(filled, index=classes)


def complete_other(
    usage: pd.DataFrame,
    models: pd.DataFrame,
    *,
    by: str | Sequence[str] = "group",
    hidden: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Spread the tail of each week over classes.

    The tail has the composition of the week's models ranked 26 and below (`tail_weights`); where
    `hidden` gives bounds, classes are clipped to them and the rest is spread again
    (`water_fill`). On simulated markets this brought the truncation error of the log ratio from
    .41 to .10.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    by : str or sequence of str
        Register columns that define a class, such as ``("lab", "tier")``.
    hidden : pandas.DataFrame, optional
        As of `hidden_bounds` for the first column of `by`; weeks it does not name are not clipped.

    Returns
    -------
    pandas.DataFrame
        ``week_start``, ``days``, ``basis``, the columns of `by`, ``named`` (tokens listed),
        ``hidden`` (tokens out of the tail) and ``tokens``, their sum, as ``float64``. The tail is
        no row of its own: each week adds up to its total in `usage`.

    Raises
    ------
    UnknownPartition, UnknownModel, NotIdentified
        As `tail_weights` and `water_fill`.
    InvalidValue
        If `by` is empty.
    """
    columns = [by] if isinstance(by, str) else list(by)
    if not columns:
        raise InvalidValue(
            "by", got="nothing", rule="must name a partition", next_step="Use by='group'."
        )
    check_partition(columns[0])
    models = models.assign(**{columns[0]: class_labels(models, by=columns[0])})
    weights = tail_weights(usage, models, by=columns)
    rows = join_register(usage, models)
    tail = rows[rows["model"] == TAIL_MODEL].set_index("week_start")["tokens"]
    named = rows[rows["model"] != TAIL_MODEL]
    key = ["week_start", *columns]
    cells = named.groupby(key)["tokens"].sum().astype(float).rename("named")
    parts = []
    for week, block in weights.groupby("week_start"):
        inside = block.set_index(columns)["weight"]
        total = float(tail.get(week, 0))
        amount = inside * total
        if hidden is not None and bool((mine := hidden["week_start"] == week).any()):
            limits = hidden[mine].set_index("class")[["low", "high"]]
            # The tail may have been restated since the days were read.
            limits *= total / float(hidden.loc[mine, "unnamed"].iloc[0])
            outer = inside.groupby(level=0).sum()
            filled = _spread(total, outer, limits)
            if len(columns) == 1:
                amount = filled
            else:
                first = inside.index.get_level_values(0)
                amount = inside * (filled / outer).reindex(first).to_numpy()
                # A class that only its bounds fill has no cells: it gets one, unclassified.
                for label in filled.index[filled > 0].difference(outer.index):
                    cell = (label, *["unclassified"] * (len(columns) - 1))
                    amount.loc[cell] = filled[label]
        frame = amount[amount > 0].rename("hidden").rename_axis(columns).reset_index()
        parts.append(frame.assign(week_start=week))
    spread = pd.concat(parts, ignore_index=True).set_index(key)["hidden"]
    out = pd.concat([cells, spread], axis=1).fillna(0.0).reset_index().sort_values(key)
    out["tokens"] = out["named"] + out["hidden"]
    about = usage.drop_duplicates("week_start")[["week_start", "days", "basis"]]
    out = about.merge(out, on="week_start", how="right")
    out = out[out["tokens"] > 0]
    return out[["week_start", "days", "basis", *columns, "named", "hidden", "tokens"]].reset_index(
        drop=True
    )
