r"""Natural experiments in the panel: a free route that ends, a list price that changes.

.. math:: \hat\epsilon = -\hat\tau / \Delta \log p

They tell how demand on the panel answers to a price, the panel's side of the elasticity gap. They
say nothing of the same elasticity elsewhere, so that by themselves they bound the slope of coverage
and do not identify it: with a population that is not more elastic than the panel, the gap lies
between zero and the panel's elasticity.
"""

import numpy as np
import pandas as pd

from offroute._checks import check_columns, check_finite, check_probability
from offroute._typing import FloatArray
from offroute.exceptions import NotIdentified
from offroute.inference.event_study import event_study

_FREE = ":free"
#: A model must have this part of a week's tokens, on average before the event, to be looked at.
_LEAST_SHARE = 5e-4
#: Smallest change of the log price that counts as one, and the longest spell between two readings.
_LEAST_CHANGE = 0.25
_LONGEST_SPELL = 21
#: A price that comes back within this many days is a reading of two hosts, not a change.
_BACK_WITHIN = 28
_COLUMNS = ["week_start", "model", "tokens", "basis"]


def weekly_models(usage: pd.DataFrame) -> pd.DataFrame:
    """Arrange log tokens by week and model, a free route together with its paid sibling.

    Parameters
    ----------
    usage : pandas.DataFrame
        As `offroute.data.snapshot.load_usage` returns it.

    Returns
    -------
    pandas.DataFrame
        Weeks known by model down, models across; nan where a model is not named.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    check_columns(usage, _COLUMNS, name="usage")
    rows = usage[usage["basis"] == "model"]
    tokens = rows["tokens"] * 7.0 / rows["days"]
    base = rows["model"].str.removesuffix(_FREE)
    table = tokens.groupby([rows["week_start"], base]).sum().unstack()
    return pd.DataFrame(np.log(table.where(table > 0)))


def ended_free_routes(usage: pd.DataFrame) -> pd.DataFrame:
    """Find free routes that end while the paid route of the model goes on.

    Parameters
    ----------
    usage : pandas.DataFrame
        Weekly usage.

    Returns
    -------
    pandas.DataFrame
        ``model`` (paid), ``week`` (first one without the free route), ``free_part`` (of the
        model's tokens in the last four free weeks).

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    check_columns(usage, _COLUMNS, name="usage")
    rows = usage[usage["basis"] == "model"]
    weeks = np.sort(rows["week_start"].unique())
    out = []
    for name, block in rows[rows["model"].str.endswith(_FREE)].groupby("model"):
        last = int(np.searchsorted(weeks, block["week_start"].max().to_datetime64()))
        paid = rows[rows["model"] == str(name).removesuffix(_FREE)].set_index("week_start")[
            "tokens"
        ]
        if last + 1 >= len(weeks) or pd.Timestamp(weeks[last + 1]) not in paid.index:
            continue
        recent = [pd.Timestamp(w) for w in weeks[max(last - 3, 0) : last + 1]]
        free = block[block["week_start"].isin(recent)]["tokens"].sum()
        both = free + paid[paid.index.isin(recent)].sum()
        out.append((str(name).removesuffix(_FREE), pd.Timestamp(weeks[last + 1]), free / both))
    return pd.DataFrame(out, columns=["model", "week", "free_part"])


def price_changes(prices: pd.DataFrame) -> pd.DataFrame:
    """Find changes of list prices that one source saw within three weeks and that stayed.

    Parameters
    ----------
    prices : pandas.DataFrame
        As `offroute.data.snapshot.load_prices` returns them.

    Returns
    -------
    pandas.DataFrame
        ``model``, ``week`` (Monday of the later reading), ``change`` of the log of the completion
        price.

    Raises
    ------
    SchemaError
        If a column is missing.

    Notes
    -----
    The catalogue shows the price of one host of an open model; a price that did not stand for four
    weeks on either side is another host and is left out.
    """
    check_columns(prices, ["model", "as_of", "completion", "source"], name="prices")
    out = []
    for (model, _), block in prices[prices["completion"] > 0].groupby(["model", "source"]):
        rows = block.sort_values("as_of")
        log_p = np.log(rows["completion"].to_numpy(dtype=np.float64))
        day = rows["as_of"].to_numpy().astype("datetime64[D]")
        for i in range(1, len(rows)):
            step = float(log_p[i] - log_p[i - 1])
            spell = int((day[i] - day[i - 1]).astype(int))
            if abs(step) < _LEAST_CHANGE or spell > _LONGEST_SPELL:
                continue
            near = np.timedelta64(_BACK_WITHIN, "D")
            later = (day > day[i]) & (day <= day[i] + near)
            earlier = (day < day[i - 1]) & (day >= day[i - 1] - near)
            moved = np.append(log_p[later] - log_p[i], log_p[earlier] - log_p[i - 1])
            if (np.abs(moved) > 0.5 * abs(step)).any():
                continue
            monday = pd.Timestamp(day[i]) - pd.Timedelta(days=pd.Timestamp(day[i]).weekday())
            out.append((model, monday, step))
    return pd.DataFrame(out, columns=["model", "week", "change"]).sort_values("week")


def study_events(
    usage: pd.DataFrame,
    events: pd.DataFrame,
    *,
    before: int = 4,
    after: int = 4,
    level: float = 0.9,
) -> pd.DataFrame:
    """Measure the change of each model's tokens at its event against models without one.

    Parameters
    ----------
    usage : pandas.DataFrame
        Weekly usage.
    events : pandas.DataFrame
        ``model`` and ``week``, and what else is to be kept.
    before, after : int
        Weeks averaged on either side of the event; the week of the event itself is left out.
    level : float
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        The events with ``tokens`` (change of log tokens less that of the controls), ``low``,
        ``high``, ``p_value``, ``placebos`` and, where it cannot be told, ``reason``. No event is
        dropped.

    Raises
    ------
    SchemaError
        If a column is missing.
    UsageError, InvalidValue
        If the level is not a probability, or a window holds no week.
    """
    check_columns(events, ["model", "week"], name="events")
    check_probability(level, name="level")
    check_finite([before, after], name="before and after", minimum=1)
    table = weekly_models(usage)
    volume = pd.DataFrame(np.exp(table))
    part = volume.div(volume.sum(axis=1), axis=0)
    dates = {str(m): list(block["week"]) for m, block in events.groupby("model")}
    out = []
    for event in events.to_dict("records"):
        model, week = event["model"], pd.Timestamp(event["week"])
        row = {**event, "tokens": np.nan, "low": np.nan, "high": np.nan, "p_value": np.nan}
        at = int(np.searchsorted(table.index.to_numpy(), week.to_datetime64()))
        try:
            found = event_study(
                _column(table, model, at),
                _controls(table, part, dates, model, at, before, after),
                at,
                before=before,
                after=after,
                others=tuple(
                    int(np.searchsorted(table.index.to_numpy(), pd.Timestamp(d).to_datetime64()))
                    for d in dates[str(model)]
                    if pd.Timestamp(d) != week
                ),
                level=level,
            )
            row |= {"tokens": found.change, "low": found.low, "high": found.high}
            row |= {"p_value": found.p_value, "placebos": len(found.placebos), "reason": ""}
        except NotIdentified as error:
            row |= {"placebos": 0, "reason": error.got}
        out.append(row)
    return pd.DataFrame(out)


def _column(table: pd.DataFrame, model: str, at: int) -> FloatArray:
    if model not in table.columns or at >= len(table):
        raise NotIdentified(
            "event",
            got="the panel does not name the model then",
            rule="its tokens must be known around the event",
            next_step="Choose another event.",
        )
    return table[model].to_numpy(dtype=np.float64)


def _controls(
    table: pd.DataFrame,
    part: pd.DataFrame,
    dates: dict[str, list[pd.Timestamp]],
    model: str,
    at: int,
    before: int,
    after: int,
) -> FloatArray:
    """Models with a share worth looking at and no event of their own in the window."""
    first, last = table.index[max(at - before, 0)], table.index[min(at + after, len(table) - 1)]
    quiet = [
        name
        for name in table.columns
        if name != model and not any(first <= d <= last for d in dates.get(name, []))
    ]
    large = part[quiet].iloc[max(at - before, 0) : at].mean() >= _LEAST_SHARE
    return table[[name for name in quiet if large[name]]].to_numpy(dtype=np.float64)


def panel_elasticity(studied: pd.DataFrame, *, level: float = 0.9) -> tuple[float, float, float]:
    r"""Median elasticity of panel demand over price changes, with a distribution-free interval.

    .. math:: \hat\epsilon_i = -\hat\tau_i / \Delta \log p_i

    Parameters
    ----------
    studied : pandas.DataFrame
        As of `study_events`, with ``change``.
    level : float
        Coverage, reached only if there are enough events for it.

    Returns
    -------
    low, median, high : float
        Elasticity as a positive number. The interval is that of the sign test; with fewer than
        five events it is the range, whose coverage is below the level.

    Raises
    ------
    SchemaError, UsageError
        If a column is missing, or the level is not a probability.
    NotIdentified
        If no change of price could be studied.
    """
    from scipy.stats import binom  # noqa: PLC0415 - keeps the import of the package cheap

    check_columns(studied, ["tokens", "change"], name="studied")
    check_probability(level, name="level")
    rows = studied.dropna(subset=["tokens"])
    if not len(rows):
        raise NotIdentified(
            "elasticity of the panel",
            got=f"none of {len(studied)} price changes has four weeks on either side",
            rule="at least one must",
            next_step="Shorten the window.",
        )
    e = np.sort(-(rows["tokens"] / rows["change"]).to_numpy(dtype=np.float64))
    n = len(e)
    k = int(binom.ppf(0.5 - level / 2, n, 0.5))
    # Order statistics k and n - k + 1 cover the median with at least the level.
    k = max(k if binom.cdf(k - 1, n, 0.5) <= 0.5 - level / 2 else k - 1, 1)
    return float(e[k - 1]), float(np.median(e)), float(e[n - k])
