"""When one group overtakes another: the crossing week of joint paths, with censoring."""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from offroute._typing import AnyArray, BoolArray, FloatArray, IntArray
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference._arrays import as_draws


@dataclass(frozen=True)
class Crossing:
    """Posterior of the first week of a lead, in four parts that add up to 1.

    Attributes
    ----------
    weeks : ndarray of datetime64[D], shape (T,)
        Weeks of the window that exist.
    probability : ndarray, shape (T,)
        P(the lead begins in this week), seen and confirmed inside the window. The first week is
        always 0: a lead that is there from the start is left-censored.
    pending : ndarray, shape (T,)
        P(a lead begins in this week and is unfinished when the window ends).
    left_censored : float
        P(the lead was there from the first week): it began on or before it.
    right_censored : float
        P(an unfinished lead at the end), the sum of `pending`.
    never : float
        P(no lead, finished or not).
    """

    weeks: AnyArray
    probability: FloatArray
    pending: FloatArray
    left_censored: float
    right_censored: float
    never: float


def _runs(positive: BoolArray) -> IntArray:
    """Length of the run of positive weeks that begins in each week, shape (k, T)."""
    length = np.zeros(positive.shape, dtype=np.int64)
    running = np.zeros(len(positive), dtype=np.int64)
    for t in range(positive.shape[1] - 1, -1, -1):
        running = np.where(positive[:, t], running + 1, 0)
        length[:, t] = running
    return length


def crossing(
    paths: FloatArray, weeks: AnyArray, *, run: int = 4, for_good: bool = False
) -> Crossing:
    r"""Return the posterior of the week in which a lead begins.

    For a path :math:`R_1, \dots, R_T` of log ratios,

    .. math:: T_k = \min\{t : R_t, \dots, R_{t+k-1} > 0,\; t + k - 1 \le T\}

    with k = `run`; k = 1 is the first week at all. With `for_good` the run must last to the end of
    the window, and still have k weeks.

    Parameters
    ----------
    paths : ndarray, shape (k, T)
        Joint draws of the log ratio, rows are paths; a week that does not exist is NaN in all rows.
    weeks : ndarray of datetime64, shape (T,)
        The weeks, rising. Weeks that do not exist may also be left out.
    run : int
        Consecutive weeks that make a lead.
    for_good : bool
        Whether the lead must last to the end of the window.

    Returns
    -------
    Crossing
        Posterior over weeks, with left-censored, right-censored and never kept apart.

    Raises
    ------
    InvalidValue
        If weeks do not rise or do not match the paths, `run` is below 1, or a week is missing in
        some paths only.
    NotIdentified
        If the window holds fewer than `run` weeks.

    Notes
    -----
    A missing week neither breaks a run nor counts towards it: the weeks around it are taken as
    consecutive. A path that leads from the first week on with a full run is left-censored; if its
    first run is too short, the search goes on. A path without a full run whose last weeks are
    positive is right-censored, not 'never'. Paths must be joint draws over weeks: the median of the
    crossing week is not the week in which the median crosses.

    Examples
    --------
    >>> weeks = np.arange("2026-03-02", "2026-04-13", 7, dtype="datetime64[D]")
    >>> paths = np.array([[-1, 1, 1, 1, 1, 1], [-1, -1, -1, 1, 1, 1], [-1, 1, -1, 1, -1, -1],
    ...                   [1, 1, 1, 1, -1, -1]])
    >>> found = crossing(paths, weeks)
    >>> found.probability.tolist(), found.pending.tolist()
    ([0.0, 0.25, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.25, 0.0, 0.0])
    >>> found.left_censored, found.right_censored, found.never
    (0.25, 0.25, 0.25)
    """
    draws = as_draws(paths, name="paths", ndim=(2,), gaps=True)
    dates = np.asarray(weeks)
    if (
        dates.shape != (draws.shape[1],)
        or dates.dtype.kind != "M"
        or bool(np.isnat(dates).any())
        or bool((np.diff(dates) <= np.timedelta64(0)).any())
    ):
        raise InvalidValue(
            "weeks",
            got=f"shape {dates.shape} of type {dates.dtype}",
            rule=f"must hold {draws.shape[1]} dates that rise",
            next_step="Pass the Mondays of the columns of paths.",
        )
    if run < 1:
        raise InvalidValue(
            "run", got=run, rule="must be at least 1", next_step="4 weeks are the default."
        )
    there = ~np.isnan(draws[0])
    seen, n = draws[:, there], int(there.sum())
    if n < run:
        raise NotIdentified(
            "weeks",
            got=f"{n} weeks with values",
            rule=f"a run of {run} weeks must fit into the window",
            next_step="Widen the window or shorten the run.",
        )
    positive = seen > 0
    length = _runs(positive)
    to_end = length == n - np.arange(n)
    full = (length >= run) & to_end if for_good else length >= run
    crossed = full.any(axis=1)
    first = full.argmax(axis=1)
    left = crossed & (first == 0)
    open_end = ~crossed & positive[:, -1]
    begun = (to_end & positive).argmax(axis=1)
    inside = crossed & ~left
    return Crossing(
        weeks=dates[there].astype("datetime64[D]"),
        probability=np.bincount(first[inside], minlength=n) / len(seen),
        pending=np.bincount(begun[open_end], minlength=n) / len(seen),
        left_censored=float(left.mean()),
        right_censored=float(open_end.mean()),
        never=float((~crossed & ~open_end).mean()),
    )


def probability_by(found: Crossing, date: str | dt.date) -> tuple[float, float]:
    """Return P(the lead had begun by a date), as the least and the most it can be.

    Parameters
    ----------
    found : Crossing
        Posterior of the crossing week.
    date : str or datetime.date
        A date; weeks that begin on or before it count.

    Returns
    -------
    tuple of float
        Without and with the leads that are unfinished at the end of the window.

    Raises
    ------
    NotIdentified
        If the date is before the first week: left-censoring leaves that open.

    Examples
    --------
    >>> weeks = np.arange("2026-03-02", "2026-03-23", 7, dtype="datetime64[D]")
    >>> found = crossing(np.array([[-1.0, 1, 1], [-1, -1, 1]]), weeks, run=2)
    >>> probability_by(found, "2026-03-16")
    (0.5, 1.0)
    """
    day = np.datetime64(str(date), "D")
    if day < found.weeks[0]:
        raise NotIdentified(
            "date",
            got=str(day),
            rule=f"a lead before the first week, {found.weeks[0]}, cannot be dated",
            next_step="Widen the window to earlier weeks.",
        )
    upto = found.weeks <= day
    least = found.left_censored + float(found.probability[upto].sum())
    return least, least + float(found.pending[upto].sum())


def crossing_quantile(found: Crossing, probability: float) -> np.datetime64:
    """Return the week by which a lead has begun with a given probability.

    Parameters
    ----------
    found : Crossing
        Posterior of the crossing week.
    probability : float
        Between 0 and 1.

    Returns
    -------
    numpy.datetime64
        The week. The first week of the window stands for 'on or before it'; NaT says that the
        quantile lies in the mass of unfinished leads and 'never'.

    Raises
    ------
    InvalidValue
        If the probability is not between 0 and 1.

    Examples
    --------
    >>> weeks = np.arange("2026-03-02", "2026-03-23", 7, dtype="datetime64[D]")
    >>> found = crossing(np.array([[-1.0, 1, 1], [-1, -1, -1]]), weeks, run=2)
    >>> str(crossing_quantile(found, 0.4)), str(crossing_quantile(found, 0.6))
    ('2026-03-09', 'NaT')
    """
    if not 0 < probability < 1:
        raise InvalidValue(
            "probability",
            got=probability,
            rule="must lie above 0 and below 1",
            next_step="0.5 asks for the median.",
        )
    reached = found.left_censored + np.cumsum(found.probability) >= probability - 1e-12
    return np.datetime64(found.weeks[reached.argmax()] if reached.any() else "NaT", "D")
