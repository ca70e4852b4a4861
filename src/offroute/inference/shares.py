r"""Functionals of the corrected volumes: shares, coverage, under-sampling, tipping point.

With panel volume X and total volume Y = X + D of a week,

.. math:: s_g = Y_g / \sum_h Y_h, \quad \pi_g = X_g / Y_g, \quad R = \log(Y_{CN}/Y_{US}), \quad
   \Lambda = \frac{X_{CN}/X_{US}}{Y_{CN}/Y_{US}}, \quad \Lambda^* = X_{CN}/X_{US} .

China leads if and only if :math:`\Lambda < \Lambda^*`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute._checks import check_choice, check_probability
from offroute._typing import FloatArray
from offroute.estimators.coverage_draws import CoverageDraws
from offroute.estimators.field import off_platform
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import UnknownPartition, UnknownWeek, UsageError
from offroute.measurement.market import Market

#: Partitions of the market that a share can be taken by.
SHARE_PARTITIONS = ("group", "origin", "weights", "lab", "tier")
_MAX_FRESH_WEEKS = 4.0
_FEWEST_IN_TAIL = 2


@dataclass(frozen=True)
class Volumes:
    """Panel and total volume of one week, with the models of undeclared origin as a last class.

    Attributes
    ----------
    population : str
        The population.
    week : str
        Monday of the week.
    X : ndarray, shape (C + 1,)
        Panel tokens a week; the last entry is stealth.
    Y : ndarray, shape (k, C + 1)
        Draws of total tokens a week; stealth is taken as the panel shows it.
    labels : pandas.DataFrame
        ``group``, ``origin``, ``weights``, ``lab``, ``tier`` of the C + 1 classes.
    stale : float
        Weeks since the last benchmark; above 4 the week is an extrapolation.
    """

    population: str
    week: str
    X: FloatArray
    Y: FloatArray
    labels: pd.DataFrame
    stale: float

    @property
    def extrapolated(self) -> bool:
        """Whether no benchmark is near: the last one is more than four weeks older."""
        return self.stale > _MAX_FRESH_WEEKS


def volumes(posterior: Posterior, week: int) -> Volumes:
    """Collect panel and total volume of one week.

    Parameters
    ----------
    posterior : Posterior
        Result of `offroute.estimators.synthesis.synthesise`.
    week : int
        Index of a week that the draws can be evaluated in.

    Returns
    -------
    Volumes
        The week.

    Examples
    --------
    >>> import offroute
    >>> posterior = offroute.correct("world-external-api", weeks=("2026-06-01",), n_draws=400)
    >>> week = volumes(posterior, int(posterior.draws.weeks[0]))
    >>> print(week.week)
    2026-06-01
    """
    market, b = posterior.market, posterior.benchmarks
    D = off_platform(posterior.features, posterior.prior, posterior.draws, week)
    last = int(b.week.max()) if len(b) else 0
    return _collect(market, market.X[week] + D, week, b.population, last)


def coverage_volumes(draws: CoverageDraws, week: int) -> Volumes:
    """Collect panel and total volume of one week from the draws of any estimator.

    Parameters
    ----------
    draws : CoverageDraws
        Result of `offroute.estimators.presets.estimate`.
    week : int
        Index of one of its weeks.

    Returns
    -------
    Volumes
        The week.

    Raises
    ------
    UnknownWeek
        If it is not one of them.
    """
    found = np.flatnonzero(draws.weeks == week)
    if not len(found):
        raise UnknownWeek(
            "week",
            got=week,
            rule=f"the draws have {len(draws.weeks)} weeks, and this index is not one of them",
            next_step="Ask for the week when the estimate is made.",
        )
    return _collect(draws.market, draws.Y[:, found[0]], week, draws.population, draws.last)


def cell_labels(market: Market) -> pd.DataFrame:
    """Return the labels of the cells in every partition.

    Parameters
    ----------
    market : Market
        The panel.

    Returns
    -------
    pandas.DataFrame
        ``group``, ``lab``, ``tier``, ``origin``, ``weights``, one row per cell.
    """
    labels = pd.DataFrame({"group": market.groups, "lab": market.labs, "tier": market.tiers})
    labels["origin"] = labels["group"].map(lambda g: g if g == "Rest of world" else g.split(" ")[0])
    labels["weights"] = np.where(labels["group"].str.endswith("closed"), "closed", "open")
    return labels


def _collect(market: Market, Y: FloatArray, week: int, population: str, last: int) -> Volumes:
    X = np.append(market.X[week], market.stealth[week])
    extra = np.full((len(Y), 1), market.stealth[week])
    labels = cell_labels(market)
    labels.loc[len(labels)] = "Stealth"
    return Volumes(
        population=population,
        week=str(market.weeks[week]),
        X=X,
        Y=np.column_stack([Y, extra]),
        labels=labels,
        stale=float(market.elapsed[week] - market.elapsed[last]),
    )


def sum_classes(v: Volumes, by: str) -> tuple[list[str], FloatArray, FloatArray]:
    """Add up the volumes of a partition.

    Parameters
    ----------
    v : Volumes
        The week.
    by : {'group', 'origin', 'weights', 'lab', 'tier'}
        The partition.

    Returns
    -------
    classes : list of str
        Names, by falling panel volume.
    X : ndarray, shape (G,)
        Panel tokens a week.
    Y : ndarray, shape (k, G)
        Total tokens a week.

    Raises
    ------
    UnknownPartition
        If there is no such partition.
    """
    check_choice(by, SHARE_PARTITIONS, name="by", error=UnknownPartition)
    label = v.labels[by].to_numpy()
    # Ties, such as labs that the panel does not show, in the order of their names.
    names = sorted(set(label), key=lambda g: (-v.X[label == g].sum(), g))
    member = np.array([label == g for g in names], dtype=np.float64)
    return names, member @ v.X, v.Y @ member.T


def check_level(v: Volumes, level: float) -> None:
    """Refuse a level whose tails the draws cannot hold.

    Parameters
    ----------
    v : Volumes
        The week.
    level : float
        Probability of an interval.

    Raises
    ------
    UsageError
        If it is not between 0 and 1, or leaves fewer than two draws in a tail.
    """
    check_probability(level, name="level")
    if len(v.Y) * (1 - level) / 2 < _FEWEST_IN_TAIL:
        raise UsageError(
            "level",
            got=f"{level:g} with {len(v.Y)} draws",
            rule=f"at least {_FEWEST_IN_TAIL} draws must lie beyond either end",
            next_step="Ask for a lower level or for more draws.",
        )


def share_table(v: Volumes, *, by: str = "group", level: float = 0.9) -> pd.DataFrame:
    """Tabulate observed and corrected shares with equal-tailed intervals.

    Parameters
    ----------
    v : Volumes
        The week.
    by : {'group', 'origin', 'weights', 'lab', 'tier'}
        The partition.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``class``; ``observed`` and ``corrected`` share with ``low``, ``high``; ``panel`` tokens a
        week; total ``tokens`` with ``tokens_low``, ``tokens_high``; ``coverage`` of the panel with
        ``coverage_low``, ``coverage_high``. Points are posterior medians, so that corrected shares
        need not add up to one exactly.

    Raises
    ------
    UnknownPartition, InvalidValue
        If there is no such partition, or the level is not between 0 and 1.

    Examples
    --------
    >>> import offroute
    >>> posterior = offroute.correct("world-external-api", weeks=("2026-06-01",), n_draws=400)
    >>> week = volumes(posterior, int(posterior.draws.weeks[0]))
    >>> share_table(week, by="origin")["class"].tolist()
    ['China', 'US', 'Stealth', 'Rest of world']
    """
    check_probability(level, name="level")
    names, X, Y = sum_classes(v, by)
    # Undeclared models are absent in some weeks: a class without any token has no coverage.
    seen = Y.max(axis=0) > 0
    names, X, Y = [n for n, keep in zip(names, seen, strict=True) if keep], X[seen], Y[:, seen]
    q = [0.5 - level / 2, 0.5, 0.5 + level / 2]
    share = np.quantile(Y / Y.sum(axis=1, keepdims=True), q, axis=0)
    total = np.quantile(Y, q, axis=0)
    coverage = np.quantile(X / Y, q, axis=0)
    return pd.DataFrame(
        {
            "class": names,
            "observed": X / X.sum(),
            "corrected": share[1],
            "low": share[0],
            "high": share[2],
            "panel": X,
            "tokens": total[1],
            "tokens_low": total[0],
            "tokens_high": total[2],
            "coverage": coverage[1],
            "coverage_low": coverage[0],
            "coverage_high": coverage[2],
        }
    )


@dataclass(frozen=True)
class Contest:
    """China against the United States in one week; triples are (low, median, high).

    Attributes
    ----------
    ratio : tuple of float
        Corrected volume of China over that of the US.
    observed_ratio : float
        The same on the panel: the tipping point Lambda*.
    undersampling : tuple of float
        Lambda: how many times less the panel covers the US than China.
    p_china_leads : float
        Posterior probability that China's volume exceeds that of the US.
    p_china_leads_closed : float
        The same against the closed US models alone.
    break_even : tuple of float
        Coverage of China at which the order flips: China leads if its coverage is below.
    """

    ratio: tuple[float, float, float]
    observed_ratio: float
    undersampling: tuple[float, float, float]
    p_china_leads: float
    p_china_leads_closed: float
    break_even: tuple[float, float, float]


def contest(v: Volumes, *, level: float = 0.9) -> Contest:
    """Compare China and the United States.

    Parameters
    ----------
    v : Volumes
        The week.
    level : float
        Probability of the intervals.

    Returns
    -------
    Contest
        Ratios, probabilities and tipping points. Models of undeclared origin are on neither side.

    Raises
    ------
    InvalidValue
        If the level is not between 0 and 1.

    Examples
    --------
    >>> import offroute
    >>> posterior = offroute.correct("world-external-api", weeks=("2026-06-01",), n_draws=400)
    >>> week = volumes(posterior, int(posterior.draws.weeks[0]))
    >>> found = contest(week)
    >>> round(found.observed_ratio, 2), found.ratio[1] < found.observed_ratio
    (1.33, True)
    """
    check_probability(level, name="level")
    names, X, Y = sum_classes(v, "origin")
    cn, us = names.index("China"), names.index("US")
    closed = v.Y[:, (v.labels["group"] == "US closed").to_numpy()].sum(axis=1)
    observed = float(X[cn] / X[us])
    q = [0.5 - level / 2, 0.5, 0.5 + level / 2]

    def _triple(x: FloatArray) -> tuple[float, float, float]:
        low, middle, high = np.quantile(x, q)
        return float(low), float(middle), float(high)

    ratio = Y[:, cn] / Y[:, us]
    return Contest(
        ratio=_triple(ratio),
        observed_ratio=observed,
        undersampling=_triple(observed / ratio),
        p_china_leads=float((ratio > 1).mean()),
        p_china_leads_closed=float((Y[:, cn] > closed).mean()),
        break_even=_triple(X[cn] / Y[:, us]),
    )
