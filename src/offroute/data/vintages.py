"""Days and their vintages: what is still to be asked, what is newest, what was restated."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from offroute.data.store import Response

AGAIN = 2
"""Last completed days that are asked again, since the servers restate them."""

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Vintages:
    """A daily series with its history.

    Attributes
    ----------
    newest : pandas.DataFrame
        The rows of each day from the newest answer that covers it, with ``as_of``.
    restated : pandas.DataFrame
        One row per changed value: ``date``, the other keys, ``old``, ``old_as_of``, ``new``,
        ``new_as_of``. A missing value says that the row was absent from that answer.
    absent : tuple of datetime.date
        Days that were asked for and have no row.
    """

    newest: pd.DataFrame
    restated: pd.DataFrame
    absent: tuple[date, ...]

    @property
    def as_of(self) -> str:
        """Time of the newest answer; empty if there is none."""
        return "" if self.newest.empty else str(self.newest["as_of"].max())


def days_between(first: date, last: date) -> list[date]:
    """Return the days from `first` to `last`, both included.

    Parameters
    ----------
    first, last : datetime.date
        Ends of the span.

    Examples
    --------
    >>> len(days_between(date(2026, 2, 28), date(2026, 3, 1)))
    2
    """
    return [first + i * _DAY for i in range((last - first).days + 1)]


def missing_windows(
    stored: Iterable[Response], first: date, last: date, *, longest: int, again: int = AGAIN
) -> list[tuple[date, date]]:
    """Return the windows that are still to be asked.

    A day is settled if an answer covers it that was made when `again` days after it had been
    completed; every other day is asked.

    Parameters
    ----------
    stored : iterable of Response
        Answers in the cache.
    first, last : datetime.date
        Days that are wanted.
    longest : int
        Most days in a window.
    again : int
        Last completed days to ask again.

    Returns
    -------
    list of tuple of datetime.date
        First and last day of each window, in order.

    Examples
    --------
    >>> missing_windows([], date(2025, 1, 6), date(2026, 2, 1), longest=366)[-1]
    (datetime.date(2026, 1, 7), datetime.date(2026, 2, 1))
    """
    settled: set[date] = set()
    for answer in stored:
        end = min(
            date.fromisoformat(answer.last),
            date.fromisoformat(answer.as_of[:10]) - (1 + again) * _DAY,
        )
        settled.update(days_between(date.fromisoformat(answer.first), end))
    windows: list[tuple[date, date]] = []
    for day in days_between(first, last):
        if day in settled:
            continue
        start, end = windows[-1] if windows else (day, day)
        if windows and end + _DAY == day and (day - start).days < longest:
            windows[-1] = (start, day)
        else:
            windows.append((day, day))
    return windows


def join_vintages(
    parts: Sequence[tuple[Response, pd.DataFrame]], *, key: Sequence[str], value: str
) -> Vintages:
    """Join the answers of a daily series; keep what a later one changed.

    Parameters
    ----------
    parts : sequence of tuple
        Answers with their rows, the oldest first; an answer speaks for all days that it covers.
    key : sequence of str
        Columns that identify a row, ``date`` the first.
    value : str
        Column that may be restated.

    Returns
    -------
    Vintages
        Newest rows, restatements, days without rows.
    """
    names = list(key)
    newest = pd.DataFrame(columns=[*names, value, "as_of"])
    changes: list[pd.DataFrame] = []
    covered: set[date] = set()
    for answer, frame in parts:
        first, last = pd.Timestamp(answer.first), pd.Timestamp(answer.last)
        rows = frame.assign(as_of=answer.as_of)
        if newest.empty:
            newest = rows
        else:
            inside = newest["date"].between(first, last)
            old = newest[inside]
            both = old.merge(
                rows[rows["date"].isin(old["date"])], on=names, how="outer", suffixes=("", "_new")
            )
            changed = both[both[value].ne(both[f"{value}_new"])]
            if len(changed):
                changes.append(
                    changed[names].assign(
                        old=changed[value].astype("float64"),
                        old_as_of=changed["as_of"].fillna(old["as_of"].max()),
                        new=changed[f"{value}_new"].astype("float64"),
                        new_as_of=answer.as_of,
                    )
                )
            newest = pd.concat([newest[~inside], rows], ignore_index=True)
        covered.update(days_between(first.date(), last.date()))
    columns = [*names, "old", "old_as_of", "new", "new_as_of"]
    restated = pd.concat(changes, ignore_index=True) if changes else pd.DataFrame(columns=columns)
    present = set(pd.to_datetime(newest["date"]).dt.date)
    return Vintages(
        newest=newest.sort_values(names).reset_index(drop=True),
        restated=restated[columns],
        absent=tuple(sorted(covered - present)),
    )
