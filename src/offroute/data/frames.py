"""Look up weeks and partitions in the tables, with typed errors."""

from datetime import date

import numpy as np
import pandas as pd

from offroute._checks import check_choice
from offroute.exceptions import UnknownPartition, UnknownWeek

PARTITIONS = ("group", "origin", "lab", "author", "weights", "tier", "variant", "charging")
"""Register columns by which tokens may be summed."""


def resolve_week(usage: pd.DataFrame, week: str | date) -> pd.Timestamp:
    """Return the Monday that opens a week of the usage table.

    Parameters
    ----------
    usage : pandas.DataFrame
        Table with a column ``week_start``.
    week : str or datetime.date
        The Monday, as ``2026-06-01``.

    Returns
    -------
    pandas.Timestamp
        The week.

    Raises
    ------
    UnknownWeek
        If it is no date, no Monday, or not in the table.

    Examples
    --------
    >>> usage = pd.DataFrame({"week_start": pd.to_datetime(["2026-06-01"])})
    >>> resolve_week(usage, "2026-06-01").date().isoformat()
    '2026-06-01'
    """
    known = pd.DatetimeIndex(usage["week_start"].unique()).sort_values()
    span = f"{known[0]:%Y-%m-%d} to {known[-1]:%Y-%m-%d}" if len(known) else "no week at all"
    rule = f"must be the Monday of a week in the usage table ({span})"
    day = pd.to_datetime(str(week), format="%Y-%m-%d", errors="coerce")
    if pd.isna(day):
        raise UnknownWeek("week", got=repr(week), rule=rule, next_step="Write it as 2026-06-01.")
    if day in known:
        return day
    if not len(known):
        raise UnknownWeek("week", got=repr(week), rule=rule, next_step="Load a usage table.")
    nearest = known[np.abs((known - day).to_numpy()).argmin().item()]
    raise UnknownWeek(
        "week", got=repr(str(week)), rule=rule, next_step=f"The nearest is {nearest:%Y-%m-%d}."
    )


def check_partition(by: str) -> str:
    """Return `by` if tokens may be summed by it.

    Parameters
    ----------
    by : str
        Name of a partition.

    Raises
    ------
    UnknownPartition
        If it is not a partition of the register.

    Examples
    --------
    >>> check_partition("lab")
    'lab'
    """
    return check_choice(by, PARTITIONS, name="by", error=UnknownPartition)
