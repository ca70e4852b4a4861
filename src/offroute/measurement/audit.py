"""Headline audit: the press's rule, all named models, and bounds for stealth and the tail."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute.data.register import TAIL_MODEL, UNIDENTIFIED, join_register
from offroute.data.schema import USAGE, check_frame
from offroute.exceptions import UsageError

PRESS_TOP = 9
"""Models that the rankings chart names, and that press reports add up."""


@dataclass(frozen=True)
class PressFigure:
    """A printed weekly figure for China and the US.

    Attributes
    ----------
    week_start : str
        Monday of the week meant.
    china, us : float
        Trillions of tokens.
    source, url : str
        Where it was printed.
    """

    week_start: str
    china: float
    us: float
    source: str
    url: str


PRESS = (
    PressFigure(
        "2026-02-09", 4.12, 2.94, "36Kr, 2026-02", "https://eu.36kr.com/en/p/3700980530851712"
    ),
    PressFigure(
        "2026-03-09", 4.69, 3.294, "1m-reviews, 2026-03-22", "https://1m-reviews.com/?p=756"
    ),
    PressFigure(
        "2026-05-18",
        9.223,
        4.93,
        "vpsmesh, 2026-06-06",
        "https://vpsmesh.com/en/blog/2026-06-06-openrouter-weekly-token-rankings-billing-truth.html",
    ),
)


def audit_weeks(usage: pd.DataFrame, models: pd.DataFrame, *, top: int = PRESS_TOP) -> pd.DataFrame:
    """Return China and the US under the press's rule, on all named models, and bounded.

    With C and A the named tokens of China and the US, S those of models of unidentified origin and
    O the tail, the ratio of China to the US lies in ``[C / (A + S + O), (C + S + O) / A]``.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`. US means US or Canada.
    top : int
        Number of named models in the press's rule; stealth models count among the named, but for
        neither side.

    Returns
    -------
    pandas.DataFrame
        One row per week: ``week_start``, ``days``, ``basis``; ``top_china``, ``top_us`` (tokens;
        missing in weeks known by lab only); ``china``, ``us``, ``us_closed``, ``rest``,
        ``stealth``, ``unnamed``, ``total`` (tokens); ``top_share`` (share of the `top` models in
        the total); ``ratio``, ``ratio_low``, ``ratio_high``; ``leads`` (China ahead on all named
        models), ``leads_surely`` (also with stealth and tail all given to the US),
        ``leads_possibly`` (with both given to China).

    Raises
    ------
    UsageError
        If `top` is below 1.
    UnknownModel
        If a model is not in the register.
    SchemaError, InvalidValue, DuplicateKey
        If the usage table breaks its schema.

    Examples
    --------
    >>> from offroute.data.snapshot import load_models, load_usage
    >>> table = audit_weeks(load_usage(), load_models()).set_index("week_start")
    >>> (table.loc["2026-05-18", ["top_china", "china"]] / 1e12).round(3).tolist()
    [9.214, 12.63]
    """
    if top < 1:
        raise UsageError("top", got=top, rule="must be at least 1", next_step="The press uses 9.")
    rows = join_register(check_frame(usage, USAGE), models)
    tail = rows["model"] == TAIL_MODEL
    sides = {
        "china": rows["origin"] == "China",
        "us": rows["origin"] == "US",
        "us_closed": rows["group"] == "US closed",
        "stealth": (rows["origin"] == UNIDENTIFIED) & ~tail,
        "unnamed": tail,
    }
    named = rows[~tail & (rows["basis"] == "model")]
    # Ties are broken by name, so that the order of rows does not matter.
    named = named.sort_values(["week_start", "tokens", "model"], ascending=[True, False, True])
    largest = named.groupby("week_start").head(top)
    weeks = rows.groupby("week_start")
    out = pd.DataFrame({"days": weeks["days"].first(), "basis": weeks["basis"].first()})
    for name, side in (("top_china", "China"), ("top_us", "US")):
        sums = largest[largest["origin"] == side].groupby("week_start")["tokens"].sum()
        sums = sums.reindex(out.index, fill_value=0).astype(float)
        out[name] = sums.where(out["basis"] == "model")
    for name, mask in sides.items():
        sums = rows[mask].groupby("week_start")["tokens"].sum()
        out[name] = sums.reindex(out.index, fill_value=0).astype("int64")
    out["total"] = weeks["tokens"].sum()
    out["rest"] = out["total"] - out[["china", "us", "stealth", "unnamed"]].sum(axis=1)
    out["top_share"] = (
        largest.groupby("week_start")["tokens"].sum().reindex(out.index) / out["total"]
    )
    open_mass = out["stealth"] + out["unnamed"]
    us = out["us"].astype(float).replace(0.0, np.nan)
    out["ratio"] = out["china"] / us
    out["ratio_low"] = out["china"] / (us + open_mass)
    out["ratio_high"] = (out["china"] + open_mass) / us
    out["leads"] = out["china"] > out["us"]
    out["leads_surely"] = out["china"] > out["us"] + open_mass
    out["leads_possibly"] = out["china"] + open_mass > out["us"]
    order = [
        "days",
        "basis",
        "top_china",
        "top_us",
        "top_share",
        "china",
        "us",
        "us_closed",
        "rest",
        "stealth",
        "unnamed",
        "total",
        "ratio",
        "ratio_low",
        "ratio_high",
        "leads",
        "leads_surely",
        "leads_possibly",
    ]
    return out[order].reset_index()


def spells(weeks: pd.Series, flags: pd.Series) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Return the first and last week of every unbroken run of true flags.

    A week that is missing from the table does not break a run: nothing is known about it.

    Parameters
    ----------
    weeks : pandas.Series of datetime
        Weeks in order.
    flags : pandas.Series of bool
        One flag a week.

    Returns
    -------
    list of tuple
        Runs in order; the last one may be unfinished.

    Examples
    --------
    >>> weeks = pd.Series(pd.to_datetime(["2026-03-23", "2026-03-30", "2026-04-06", "2026-04-13"]))
    >>> [(a.day, b.day) for a, b in spells(weeks, pd.Series([True, True, False, True]))]
    [(23, 30), (13, 13)]
    """
    runs = (flags != flags.shift()).cumsum()
    kept = weeks[flags].groupby(runs[flags])
    return list(zip(kept.first(), kept.last(), strict=True))


def first_lasting(weeks: pd.Series, flags: pd.Series) -> pd.Timestamp | None:
    """Return the week from which the flag stays true to the end of the table, if there is one.

    Parameters
    ----------
    weeks : pandas.Series of datetime
        Weeks in order.
    flags : pandas.Series of bool
        One flag a week.

    Returns
    -------
    pandas.Timestamp or None
        The first week of the run that reaches the end; None if the last flag is false.

    Examples
    --------
    >>> weeks = pd.Series(pd.to_datetime(["2026-04-20", "2026-04-27"]))
    >>> first_lasting(weeks, pd.Series([False, True])).day
    27
    """
    runs = spells(weeks, flags)
    return runs[-1][0] if runs and runs[-1][1] == weeks.iloc[-1] else None


def press_check(table: pd.DataFrame) -> pd.DataFrame:
    """Put the press figures beside the panel's own sums.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `audit_weeks`.

    Returns
    -------
    pandas.DataFrame
        One row per press figure whose week is in `table`: ``week_start``, ``press_china``,
        ``press_us``, ``top_china``, ``top_us``, ``china``, ``us`` (tokens), ``source``, ``url``.
    """
    press = pd.DataFrame(
        {
            "week_start": pd.to_datetime([figure.week_start for figure in PRESS]),
            "press_china": [figure.china * 1e12 for figure in PRESS],
            "press_us": [figure.us * 1e12 for figure in PRESS],
            "source": [figure.source for figure in PRESS],
            "url": [figure.url for figure in PRESS],
        }
    )
    press["week_start"] = press["week_start"].astype("datetime64[us]")
    columns = ["week_start", "top_china", "top_us", "china", "us"]
    merged = press.merge(table[columns], on="week_start", how="inner")
    order = ["week_start", "press_china", "press_us", "top_china", "top_us", "china", "us"]
    return merged[[*order, "source", "url"]]
