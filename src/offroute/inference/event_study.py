r"""Event study of one series against others, with placebo dates and placebo series.

.. math:: \hat\tau = (\bar y^{post}_1 - \bar y^{pre}_1) - \operatorname{median}_j (\bar y^{post}_j -
   \bar y^{pre}_j)

The same difference at dates without an event and for series without one says how large it is by
chance; that distribution, not a standard error, gives the interval.
"""

from dataclasses import dataclass

import numpy as np

from offroute._checks import check_finite, check_probability
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue, NotIdentified

_FEWEST_PLACEBOS = 10
_ROUNDING = 1e-9


@dataclass(frozen=True)
class EventStudy:
    """Change of a series at an event, against what happens without one.

    Attributes
    ----------
    change : float
        Change of the mean log level, less the median change of the controls.
    low, high : float
        Interval from the placebo distribution.
    p_value : float
        Part of the placebos whose change is at least as large in size, the event counted in.
    placebos : ndarray, shape (m,)
        Changes at dates and in series without an event.
    level : float
        Coverage of the interval.
    """

    change: float
    low: float
    high: float
    p_value: float
    placebos: FloatArray
    level: float


def _change(y: FloatArray, at: int, before: int, after: int, skip: int) -> FloatArray:
    """Mean after less mean before of each column; nan where a value is missing."""
    first, last = at - before, at + skip + after
    if first < 0 or last > len(y):
        return np.full(y.shape[1], np.nan)
    out: FloatArray = y[at + skip : last].mean(axis=0) - y[first:at].mean(axis=0)
    return out


def event_study(
    series: FloatArray,
    controls: FloatArray,
    event: int,
    *,
    before: int = 4,
    after: int = 4,
    skip: int = 1,
    others: tuple[int, ...] = (),
    level: float = 0.9,
) -> EventStudy:
    """Compare a series with others around an event.

    Parameters
    ----------
    series : ndarray, shape (T,)
        Log level; nan where it does not exist.
    controls : ndarray, shape (T, m)
        Log levels of series without an event in the window.
    event : int
        First period that the event touches.
    before, after : int
        Periods averaged on either side.
    skip : int
        Periods left out from the event on, in which the change is under way.
    others : tuple of int
        First periods of other events of the series, whose windows are no placebos.
    level : float
        Coverage of the interval.

    Returns
    -------
    EventStudy
        Change with its interval between order statistics of placebos: if what the event's change
        would be without it is exchangeable with them, it covers with at least the level.

    Raises
    ------
    InvalidValue
        If shapes or the window do not fit, or a value is infinite.
    NotIdentified
        If the series is missing around the event, or there are fewer placebos than the level
        needs: 2 / (1 - level) - 1, which are 19 at 90 %.

    Notes
    -----
    Assumes that without the event the series would have moved like the median of the controls, up
    to what placebos show. Placebos are the series itself at earlier dates whose window does not
    touch this or another event, and every control at the event's date. Windows of a series that
    overlap are not independent: the earlier dates count for less than their number. Abadie,
    Diamond and Hainmueller (2010), doi:10.1198/jasa.2009.ap08746.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = 0.1 * rng.standard_normal((40, 12))
    >>> y[30:, 0] += 1.0
    >>> found = event_study(y[:, 0], y[:, 1:], 30)
    >>> found.low < 1.0 < found.high, found.p_value < 0.05
    (True, True)
    """
    level = check_probability(level, name="level")
    if np.ndim(series) != 1 or np.ndim(controls) != 2 or len(series) != len(controls):  # noqa: PLR2004 - a table has two axes
        raise InvalidValue(
            "series and controls",
            got=f"shapes {np.shape(series)} and {np.shape(controls)}",
            rule="must be (T,) and (T, m)",
            next_step="Give one column for each control.",
        )
    y = np.column_stack([series, controls]).astype(np.float64)
    check_finite(y[~np.isnan(y)], name="series and controls")
    if not (before > 0 and after > 0 and skip >= 0 and 0 <= event < len(y)):
        raise InvalidValue(
            "event",
            got=f"period {event} of {len(y)}, {before} before, {after} after, {skip} skipped",
            rule="windows must hold periods and the event must lie in the series",
            next_step="Count periods from 0.",
        )
    here = _change(y, event, before, after, skip)
    rest = here[1:][~np.isnan(here[1:])]
    if np.isnan(here[0]) or not len(rest):
        raise NotIdentified(
            "event study",
            got=f"{int(np.isnan(y[:, 0]).sum())} missing periods, {len(rest)} controls",
            rule=f"the series must exist {before} periods before and {after} after the event",
            next_step="Shorten the window or choose another event.",
        )
    middle = float(np.median(rest))
    placebos = [rest[j] - np.median(np.delete(rest, j)) for j in range(len(rest)) if len(rest) > 1]
    for at in range(before, event - skip - after + 1):
        # The level changes at e and is under way for `skip` periods.
        if any(at - before < e + skip and e < at + skip + after for e in others):
            continue
        then = _change(y, at, before, after, skip)
        controls_then = then[1:][~np.isnan(then[1:])]
        if not np.isnan(then[0]) and len(controls_then):
            placebos.append(then[0] - np.median(controls_then))
    fewest = max(_FEWEST_PLACEBOS, int(np.ceil(2 / (1 - level) - 1 - _ROUNDING)))
    if len(placebos) < fewest:
        raise NotIdentified(
            "event study",
            got=f"{len(placebos)} placebos",
            rule=f"at least {fewest} dates and series without an event are needed at {level:.0%}",
            next_step="Add controls or lower the level.",
        )
    chance = np.sort(np.array(placebos))
    change = float(here[0]) - middle
    k = int((len(chance) + 1) * (1 - level) / 2 + _ROUNDING)
    low, high = chance[k - 1], chance[-k]
    p = (1 + (np.abs(chance) >= abs(change)).sum()) / (1 + len(chance))
    # What chance adds is taken off, so that its upper end gives the lower end of the effect.
    return EventStudy(change, change - float(high), change - float(low), float(p), chance, level)
