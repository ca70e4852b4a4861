"""What survives without the level of coverage, asked of a posterior with all weeks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute._typing import AnyArray, FloatArray
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import UsageError
from offroute.inference.crossing import Crossing, crossing
from offroute.inference.paths import log_ratio_paths, volume_paths
from offroute.inference.trend import DriftBounds, Growth, drift_bounds, growth_rates, like_with_like
from offroute.measurement.market import Market

#: Factors between the coverages of Chinese and US open weights that are tried.
OPEN_FACTORS = (1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class TrendReport:
    """Growth, drift-bounded change and like-with-like comparison of one population.

    Attributes
    ----------
    population : str
        The population.
    base, week : numpy.datetime64
        Mondays between which the change is taken.
    growth : Growth
        Log change per week of China, the US and their ratio, between the two weeks.
    drift : DriftBounds
        Of the panel's log ratio since the base week, by week of `weeks`; its M is `drift_bound`.
    weeks : ndarray of datetime64[D], shape (T,)
        All Mondays of the series.
    drift_bound : float
        M: the quantile of the posterior's absolute drift of log Lambda per week at the level.
    change : tuple of float
        Corrected change of the log ratio, low, median, high.
    open_weights : pandas.DataFrame
        ``factor``, ``low``, ``high`` of the ratio of Chinese to US open weights.
    open_panel, open_breakdown : float
        Ratio on the panel, and the factor between the coverages at which the order flips.
    open_ratio : tuple of float
        Corrected ratio of open weights, low, median, high.
    p_open : float
        P(China leads among open weights).
    break_even : pandas.DataFrame
        ``week_start``; ``break_even``, the coverage of China below which it leads, and
        ``coverage``, its posterior coverage, each with ``_low`` and ``_high``.
    stale : float
        Weeks since the last benchmark; above 4 the week is an extrapolation.
    level : float
        Probability of the intervals.
    """

    population: str
    base: np.datetime64
    week: np.datetime64
    growth: Growth
    drift: DriftBounds
    weeks: AnyArray
    drift_bound: float
    change: tuple[float, float, float]
    open_weights: pd.DataFrame
    open_panel: float
    open_breakdown: float
    open_ratio: tuple[float, float, float]
    p_open: float
    break_even: pd.DataFrame
    stale: float
    level: float


def _triple(x: FloatArray, level: float) -> tuple[float, float, float]:
    low, middle, high = np.quantile(x, [0.5 - level / 2, 0.5, 0.5 + level / 2])
    return float(low), float(middle), float(high)


def check_window(market: Market, base: int, week: int) -> None:
    """Refuse a base week that is not before the other.

    Parameters
    ----------
    market : Market
        The panel.
    base, week : int
        Indices of the two weeks.

    Raises
    ------
    UsageError
        If the base week is not before the other.
    """
    if not base < week:
        raise UsageError(
            "since",
            got=f"{market.weeks[base]} to {market.weeks[week]}",
            rule="the base week must come before the week",
            next_step="Choose an earlier base week.",
        )


def trend_report(posterior: Posterior, *, base: int, week: int, level: float = 0.9) -> TrendReport:
    """Say what is known of the trend between two weeks.

    Parameters
    ----------
    posterior : Posterior
        The fit, with draws in all weeks.
    base, week : int
        Indices of the two weeks of the market.
    level : float
        Probability of the intervals.

    Returns
    -------
    TrendReport
        The panel's change with the drift that would undo it, and the posterior's own.

    Raises
    ------
    UsageError
        If the base week is not before the other.

    Examples
    --------
    >>> import offroute
    >>> days = ("2026-02-09", "2026-06-01")
    >>> posterior = offroute.correct("world-external-api", weeks=days, n_draws=400)
    >>> base, week = (int(t) for t in posterior.draws.weeks)
    >>> report = trend_report(posterior, base=base, week=week)
    >>> report.change[0] < report.change[1] < report.change[2]
    True
    """
    market, drawn = posterior.market, posterior.draws.weeks
    check_window(market, base, week)
    weeks, paths, panel = log_ratio_paths(posterior, market.is_china, market.is_us)
    days = market.weeks.astype("datetime64[D]")
    at = np.searchsorted(weeks, days[[base, week]])
    span = float(market.elapsed[week] - market.elapsed[base])
    change = paths[:, at[1]] - paths[:, at[0]]
    lambda_drift = (panel[at[1]] - panel[at[0]] - change) / span
    bound = float(np.quantile(np.abs(lambda_drift), level))
    member = np.array([market.is_china, market.is_us], dtype=np.float64)
    ends = np.searchsorted(drawn, [base, week])
    log_volume = np.log(volume_paths(posterior, member)[:, ends])
    series = np.dstack([log_volume, log_volume[:, :, :1] - log_volume[:, :, 1:]])
    is_open = ~market.is_closed
    open_member = np.array([market.is_china & is_open, market.is_us & is_open], dtype=np.float64)
    open_X = market.X[week] @ open_member.T
    Y = volume_paths(posterior, open_member)[:, ends[1]]
    R_open = np.log(Y[:, 0] / Y[:, 1])
    rows = [(f, like_with_like(*open_X, factor=f)) for f in OPEN_FACTORS]
    return TrendReport(
        population=posterior.benchmarks.population,
        base=days[base],
        week=days[week],
        growth=growth_rates(series, days[[base, week]], level=level),
        drift=drift_bounds(panel, weeks, drift=bound, base=int(at[0]), drift_draws=lambda_drift),
        weeks=weeks,
        drift_bound=bound,
        change=_triple(change, level),
        open_weights=pd.DataFrame(
            [
                {"factor": f, "low": float(np.exp(c.low)), "high": float(np.exp(c.high))}
                for f, c in rows
            ]
        ),
        open_panel=float(open_X[0] / open_X[1]),
        open_breakdown=float(rows[0][1].breakdown),
        open_ratio=_triple(np.exp(R_open), level),
        p_open=float((R_open > 0).mean()),
        break_even=_break_even(posterior, level),
        stale=float(market.elapsed[week] - market.elapsed[int(posterior.benchmarks.week.max())]),
        level=level,
    )


def _break_even(posterior: Posterior, level: float) -> pd.DataFrame:
    market, weeks = posterior.market, posterior.draws.weeks
    member = np.array([market.is_china, market.is_us], dtype=np.float64)
    Y = volume_paths(posterior, member)
    X = market.X[weeks, :][:, market.is_china].sum(axis=1)
    out = {"week_start": market.weeks[weeks].astype("datetime64[us]")}
    for name, j in (("break_even", 1), ("coverage", 0)):
        q = np.quantile(X / Y[:, :, j], [0.5 - level / 2, 0.5, 0.5 + level / 2], axis=0)
        out |= {name: q[1], f"{name}_low": q[0], f"{name}_high": q[2]}
    return pd.DataFrame(out)


def lead_weeks(posterior: Posterior, *, closed_only: bool = False) -> dict[str, Crossing]:
    """Posterior of the week in which China's lead begins, under three meanings of a lead.

    Parameters
    ----------
    posterior : Posterior
        The fit, with draws in all weeks.
    closed_only : bool
        Whether the other side are the closed US models alone.

    Returns
    -------
    dict of str to Crossing
        ``four weeks in a row``, ``a week at all``, ``for good``.
    """
    market = posterior.market
    us = market.is_us & market.is_closed if closed_only else market.is_us
    weeks, paths, _ = log_ratio_paths(posterior, market.is_china, us)
    return {
        "four weeks in a row": crossing(paths, weeks),
        "a week at all": crossing(paths, weeks, run=1),
        "for good": crossing(paths, weeks, for_good=True),
    }
