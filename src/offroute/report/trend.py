"""The trend in words."""

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from offroute.inference.trends import TrendReport
from offroute.report.overturn import extrapolation, heading, plain_table

_SERIES = ("China", "US", "China : US")


def trend_frame(report: TrendReport) -> pd.DataFrame:
    """Return the weekly part of a trend report as a tidy frame.

    Parameters
    ----------
    report : TrendReport
        As `offroute.inference.trends.trend_report` returns it.

    Returns
    -------
    pandas.DataFrame
        ``week_start``; ``change`` of the panel's log ratio since the base week with its bounds
        ``change_low``, ``change_high`` under the drift bound, ``breakdown`` M* and ``p_undone``;
        ``break_even`` coverage and ``coverage`` of China with intervals. Missing weeks have no
        values.
    """
    drift = report.drift
    out = pd.DataFrame(
        {
            "week_start": report.weeks.astype("datetime64[us]"),
            "change": drift.change,
            "change_low": drift.low,
            "change_high": drift.high,
            "breakdown": drift.breakdown,
            "p_undone": drift.probability,
        }
    )
    out = out.merge(report.break_even, on="week_start", how="left")
    return out.assign(population=report.population, base=str(report.base), level=report.level)


def _percent(x: float) -> str:
    return f"{100 * np.expm1(x):+.1f} %"


def trend_view(report: TrendReport, week: pd.Timestamp) -> RenderableType:
    """Lay out a trend report.

    Parameters
    ----------
    report : TrendReport
        As `offroute.inference.trends.trend_report` returns it.
    week : pandas.Timestamp
        Monday to speak of.

    Returns
    -------
    rich renderable
        Growth, drift-bounded change, open weights, break-even coverage.
    """
    g, level = report.growth, report.level
    at = int(np.flatnonzero(report.weeks == np.datetime64(week, "D"))[0])
    d = report.drift
    growth = plain_table(("growth a week", "mean", f"{level:.0%} interval"))
    for j, name in enumerate(_SERIES):
        growth.add_row(
            name,
            _percent(g.rate[0, j]),
            f"[{_percent(g.low[0, j])}, {_percent(g.high[0, j])}]",
        )
    correlation = g.covariance[0, 1] / np.sqrt(g.covariance[0, 0] * g.covariance[1, 1])
    like = plain_table(("open weights: coverages differ by at most", "low", "high"))
    for _, row in report.open_weights.iterrows():
        like.add_row(f"a factor of {row['factor']:g}", f"{row['low']:.2f}", f"{row['high']:.2f}")
    low, middle, high = report.change
    o = report.open_ratio
    pi = report.break_even.set_index("week_start").loc[week]
    return Group(
        *heading(report.population, f"Trend from {report.base} to {report.week}"),
        "",
        growth,
        Text(f"Correlation of the two countries' growth: {correlation:.2f}."),
        "",
        Text(
            f"Change of log(China : US): {d.change[at]:+.2f} on the panel, {middle:+.2f} "
            f"[{low:+.2f}, {high:+.2f}] corrected. The level of coverage cancels: the panel's "
            f"change is undone only if relative coverage drifts by M* = {d.breakdown[at]:.3f} a "
            f"week in one direction, which has probability {d.probability[at]:.2f}. With drift up "
            f"to M = {report.drift_bound:.3f} (the posterior's {level:.0%} bound) it lies in "
            f"[{d.low[at]:+.2f}, {d.high[at]:+.2f}]."
        ),
        "",
        like,
        Text(
            f"Among open weights China : US is {report.open_panel:.2f} on the panel and {o[1]:.2f} "
            f"[{o[0]:.2f}, {o[2]:.2f}] corrected, P(China leads) {report.p_open:.3f}; the order "
            f"flips if the two coverages differ by a factor of {report.open_breakdown:.1f}."
        ),
        "",
        Text(
            f"Break-even: China leads if the panel covers less than {100 * pi['break_even']:.2f} % "
            f"[{100 * pi['break_even_low']:.2f}, {100 * pi['break_even_high']:.2f}] of its tokens; "
            f"its coverage is {100 * pi['coverage']:.2f} % [{100 * pi['coverage_low']:.2f}, "
            f"{100 * pi['coverage_high']:.2f}]."
        ),
        *extrapolation(report.stale),
        "",
    )
