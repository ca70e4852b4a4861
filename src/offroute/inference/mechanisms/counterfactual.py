r"""A market in which coverage differs only by some properties of a model.

For a partition of the cells into classes k, every cell of a class gets the coverage that the class
has as a whole, draw by draw,

.. math:: Y'_c = X_c\, \frac{\sum_{c' \in k} Y_{c'}}{\sum_{c' \in k} X_{c'}}, \qquad c \in k .

One class for all gives the panel's own shares; a class for each cell gives the corrected market.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from offroute._checks import check_choice, check_probability
from offroute._typing import FloatArray
from offroute.exceptions import NotIdentified, UnknownPartition
from offroute.inference._arrays import tails
from offroute.inference.shares import SHARE_PARTITIONS, Volumes, cell_labels
from offroute.measurement.market import Market, week_index

Triple = tuple[float, float, float]

#: Property by which coverage differs when a mechanism is on; the names are those of the switches.
SELECTION = {
    "direct-purchase": "weights",
    "reverse-selection": "origin",
    "labs": "lab",
    "tiers": "tier",
}


def triple(draws: FloatArray, level: float) -> Triple:
    """Return low, median and high of draws.

    Parameters
    ----------
    draws : ndarray, shape (k,)
        The draws.
    level : float
        Probability of the interval.

    Returns
    -------
    tuple of float
        Equal-tailed interval around the median.
    """
    low, high = tails(check_probability(level, name="level"))
    a, b, c = np.quantile(draws, [low, 0.5, high])
    return float(a), float(b), float(c)


def direction_of(effect: Triple) -> str:
    """Say which way the panel errs, from the effect of putting it right.

    Parameters
    ----------
    effect : tuple of float
        Low, median and high of the change of log(China / US).

    Returns
    -------
    str
        A direction of `offroute.inference.mechanisms.effect.DIRECTIONS`.

    Examples
    --------
    >>> direction_of((-0.4, -0.2, -0.1)), direction_of((-0.1, 0.2, 0.4))
    ('panel overstates China', 'either')
    """
    if effect[2] < 0:
        return "panel overstates China"
    return "panel understates China" if effect[0] > 0 else "either"


def china_over_us(v: Volumes, volume: FloatArray) -> FloatArray:
    """Return log(China / US) of volumes by class, models of undeclared origin on neither side.

    Parameters
    ----------
    v : Volumes
        The week, for the labels.
    volume : ndarray, shape (..., C + 1)
        Tokens or dollars.

    Returns
    -------
    ndarray, shape (...)
        The log ratio.

    Raises
    ------
    NotIdentified
        If a side has no volume.
    """
    origin = v.labels["origin"].to_numpy()
    china, us = (volume[..., origin == o].sum(axis=-1) for o in ("China", "US"))
    if not (np.all(china > 0) and np.all(us > 0)):
        raise NotIdentified(
            "log(China / US)",
            got="no volume on one side",
            rule="both sides must have tokens",
            next_step="Choose another week or unit.",
        )
    out: FloatArray = np.log(china / us)
    return out


def panel_volumes(market: Market, week: str) -> Volumes:
    """Collect the panel's own volumes of a week, as if it were the market.

    Parameters
    ----------
    market : Market
        The panel.
    week : str
        A day of the week, ISO.

    Returns
    -------
    Volumes
        Of the population ``panel``, with one draw: the panel itself.

    Raises
    ------
    UnknownWeek
        If there is no such week.
    """
    t = week_index(market, week)
    X = np.append(market.X[t], market.stealth[t])
    labels = cell_labels(market)
    labels.loc[len(labels)] = "Stealth"
    return Volumes("panel", str(market.weeks[t]), X, X[None], labels, 0.0)


def pool_coverage(v: Volumes, by: Sequence[str]) -> Volumes:
    """Give all cells that agree in some properties one coverage, draw by draw.

    Parameters
    ----------
    v : Volumes
        Corrected volumes.
    by : sequence of str
        Properties, among group, origin, weights, lab and tier; none for one coverage for all.

    Returns
    -------
    Volumes
        With the same total. Models of undeclared origin keep what the panel shows of them; a class
        that the panel does not show at all keeps its corrected volume.

    Raises
    ------
    UnknownPartition
        If there is no such property.
    """
    for name in by:
        check_choice(name, SHARE_PARTITIONS, name="by", error=UnknownPartition)
    declared = np.flatnonzero((v.labels["origin"] != "Stealth").to_numpy())
    key = v.labels[list(by)].agg("|".join, axis=1).to_numpy() if by else np.full(len(v.X), "all")
    Y = v.Y.copy()
    for name in sorted(set(key[declared])):
        member = declared[key[declared] == name]
        panel = v.X[member].sum()
        if panel > 0:
            Y[:, member] = v.Y[:, member].sum(axis=1, keepdims=True) * v.X[member] / panel
    return replace(v, Y=Y)


def selection_log_ratio(v: Volumes, mechanisms: Iterable[str]) -> FloatArray:
    """Return draws of log(China / US) with only some mechanisms of selection on.

    Parameters
    ----------
    v : Volumes
        Corrected volumes.
    mechanisms : iterable of str
        Keys of `SELECTION`; none gives the panel's own ratio, all the corrected one.

    Returns
    -------
    ndarray, shape (k,)
        The log ratio. All subsets share the draws, as `offroute.inference.waterfall` asks.

    Raises
    ------
    UsageError
        If there is no such mechanism.

    Notes
    -----
    A description of the posterior: nothing is refitted. A lab has one origin, so that with ``labs``
    on ``reverse-selection`` adds nothing. With all four on every cell keeps its own coverage.
    """
    on = [SELECTION[check_choice(m, SELECTION, name="mechanisms")] for m in mechanisms]
    return china_over_us(v, pool_coverage(v, on).Y)
