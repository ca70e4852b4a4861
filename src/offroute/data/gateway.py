"""Client of the second gateway's public export: daily shares of tokens, spend and requests by lab.

"AI Gateway Leaderboard Data", (c) 2026 Vercel, CC BY 4.0. Shares only, no volume; no key. The
export has no time of its own, so that a vintage is dated by this machine's clock.
"""

from datetime import date
from typing import Annotated, Literal

import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from offroute.data.openrouter import Progress, store_answer
from offroute.data.openrouter_rows import Name, Row, check_rows, parse
from offroute.data.store import list_responses, read_body
from offroute.data.transport import Session, fetch
from offroute.data.vintages import AGAIN, Vintages, join_vintages, missing_windows
from offroute.exceptions import BadResponse, InvalidValue

BASE_URL = "https://vercel.com/api/ai"
SOURCE = "vercel"
EXPORT = "leaderboard-export"
FIRST_DAY = date(2025, 10, 1)
"""Earliest day of the export; an earlier start is refused by the server."""

METRICS = ("tokens", "spend", "requests")
_LONGEST = 366
_ROUNDING = 5e-4

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class ShareRow(Row):
    """One share of the export."""

    date: date
    name: Name
    metric: Name
    share_percent: Percent


class Shares(Row):
    """Answer of the export; ``from`` and ``to`` are its window."""

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    license: Literal["CC-BY-4.0"]
    rows: list[ShareRow]


SHARES_FRAME = pa.DataFrameSchema(
    {
        "date": pa.Column("datetime64[us]"),
        "lab": pa.Column(str, pa.Check.str_length(min_value=1)),
        "metric": pa.Column(str, pa.Check.isin(METRICS)),
        "share": pa.Column("float64", pa.Check.in_range(0, 1)),
    },
    unique=["date", "lab", "metric"],
    strict=True,
)
"""Frame of the daily shares: one row per day, lab and metric."""


def shares_frame(answer: Shares, *, name: str) -> pd.DataFrame:
    """Return the rows of an answer, checked, as fractions; counts of images are left out.

    Parameters
    ----------
    answer : Shares
        The answer.
    name : str
        Server and endpoint, for a message.

    Returns
    -------
    pandas.DataFrame
        ``date``, ``lab`` (the gateway's id), ``metric``, ``share``.

    Raises
    ------
    DuplicateKey
        If a lab occurs twice for a day and metric.
    InvalidValue
        If a day lies outside the window, lacks a metric, or its shares do not sum to 1.
    """
    kept = [row for row in answer.rows if row.metric in METRICS]
    frame = pd.DataFrame(
        {
            "date": pd.to_datetime([row.date for row in kept]).astype("datetime64[us]"),
            "lab": [row.name for row in kept],
            "metric": [row.metric for row in kept],
            "share": [row.share_percent / 100 for row in kept],
        }
    )
    check_rows(frame, SHARES_FRAME, name=name)
    sums = frame.pivot_table(index="date", columns="metric", values="share", aggfunc="sum")
    sums = sums.reindex(columns=list(METRICS)).fillna(0.0)
    wrong = (sums - 1).abs().max(axis=1) > _ROUNDING
    outside = ~frame["date"].between(pd.Timestamp(answer.first), pd.Timestamp(answer.last))
    if bool(wrong.any()) or bool(outside.any()):
        day = frame.loc[outside, "date"].iloc[0] if bool(outside.any()) else wrong[wrong].index[0]
        found = "" if bool(outside.any()) else f" with sums {sums.loc[day].round(4).to_dict()}"
        raise InvalidValue(
            name,
            got=f"{day:%Y-%m-%d}{found}",
            rule=f"days must lie from {answer.first} to {answer.last}, and the shares of "
            f"{', '.join(METRICS)} must each sum to 1",
            next_step="Nothing was stored. Run again; if it stays, update offroute.",
        )
    return frame


def pull_shares(
    session: Session, first: date, last: date, *, again: int = AGAIN, progress: Progress
) -> None:
    """Ask for the days of the export that are not settled in the cache.

    Parameters
    ----------
    session : Session
        The gateway.
    first, last : datetime.date
        Days that are wanted; `last` has ended.
    again : int
        Last completed days to ask again: the export shifts its last day or two.
    progress : callable
        Receives what is asked, how many requests are done, and of how many.

    Raises
    ------
    BadResponse, SchemaError, InvalidValue, DuplicateKey
        If an answer is not what the documentation says; earlier windows stay stored.
    RateLimited, ServerUnavailable
        As `fetch`.
    """
    name = f"{session.source} {EXPORT}"
    stored = list_responses(session.cache, session.source, EXPORT)
    start = max(first, FIRST_DAY)
    windows = missing_windows(stored, start, last, longest=_LONGEST, again=again)
    known = set(shares(session).newest["date"]) if windows else set()
    for done, (start, end) in enumerate(windows):
        progress(EXPORT, done, len(windows))
        params = {
            "dataset": "labs",
            "modality": "all",
            "format": "json",
            "from": start.isoformat(),
            "to": end.isoformat(),
        }
        body = fetch(session, EXPORT, params)
        answer = parse(Shares, body, name=name)
        frame = shares_frame(answer, name=name)
        before = {day for day in known if start <= day.date() <= end}
        lost = sorted(before - set(frame["date"]))
        if (answer.first, answer.last) != (start, end) or lost:
            raise BadResponse(
                name,
                got=f"no row of {lost[0]:%Y-%m-%d}, which had some"
                if lost
                else f"the window {answer.first} to {answer.last}",
                rule=f"the answer must cover {start} to {end}, with all days that it had before",
                next_step="Nothing was stored. Run again later; --cache NEW starts afresh.",
            )
        store_answer(session, EXPORT, params, body, window=(start, end))
    progress(EXPORT, len(windows), len(windows))


def shares(session: Session) -> Vintages:
    """Return the daily shares in the cache.

    Parameters
    ----------
    session : Session
        The gateway; nothing is asked.

    Returns
    -------
    Vintages
        ``date``, ``lab`` (the gateway's id), ``metric``, ``share``, and what was restated.
    """
    name = f"cached {session.source} {EXPORT}"
    parts = [
        (
            answer,
            shares_frame(parse(Shares, read_body(session.cache, answer), name=name), name=name),
        )
        for answer in list_responses(session.cache, session.source, EXPORT)
    ]
    return join_vintages(parts, key=("date", "lab", "metric"), value="share")


def wide_shares(newest: pd.DataFrame) -> pd.DataFrame:
    """Return the shares with one column per metric.

    Parameters
    ----------
    newest : pandas.DataFrame
        As in `Vintages` of `shares`.

    Returns
    -------
    pandas.DataFrame
        ``date``, ``lab``, ``token_share``, ``spend_share``, ``request_share``. The sums of a day
        are 1 without the labs that a metric does not list, so that theirs are 0.
    """
    wide = newest.pivot(index=["date", "lab"], columns="metric", values="share")
    wide = wide.reindex(columns=list(METRICS)).fillna(0.0)
    return wide.set_axis(["token_share", "spend_share", "request_share"], axis=1).reset_index()
