"""Figures over time: a weekly ratio with its band and the crossing, shares by class."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from offroute._checks import check_columns
from offroute.inference.crossing import Crossing
from offroute.report.figures import runs_of_weeks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Classes drawn, the largest on the panel first; more would be too small to read.
MOST_CLASSES = 8
_BAND = ["observed", "low", "high", "band_low", "band_high", "weeks_since_last", "week_start"]


def series_figure(
    table: pd.DataFrame, leads: dict[str, Crossing], *, title: str, level: float, source: str
) -> "Figure":
    """Draw the weekly ratio with interval and band, and when China's lead begins.

    Parameters
    ----------
    table : pandas.DataFrame
        As `offroute.inference.paths.ratio_series` returns it.
    leads : dict of str to Crossing
        Crossing weeks by the meaning of a lead.
    title : str
        Heading.
    level : float
        Probability of interval and band.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Left the series: broken where weeks are missing, dashed after the last disclosure. Right
        the posterior of the lead: at the start, later, unfinished, never.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise
    from seaborn import light_palette  # noqa: PLC0415 - likewise

    from offroute.report import style  # noqa: PLC0415 - it loads matplotlib
    from offroute.report.style import COLOURS, INK, MUTED, PANEL, RC, plain_log_axis  # noqa: PLC0415 - it loads matplotlib

    check_columns(table, [*_BAND, "ratio"], name="table")
    with rc_context(RC):
        figure = Figure(figsize=(10.6, 4.6))
        left, right = figure.subplots(1, 2, width_ratios=(2.6, 1.0))
        figure.subplots_adjust(left=0.055, right=0.985, top=0.79, bottom=0.13, wspace=0.32)
        figure.text(0.01, 0.965, title, fontsize=12, weight="bold", va="top")
        figure.text(
            0.01, 0.895, f"Grey: on the panel. Colour: corrected, with the {level:.0%} interval of "
            f"each week (dark) and the band that holds all weeks with {level:.0%} (light). "
            "Log scale.", color=MUTED, va="top",
        )  # fmt: skip  # dense
        plain_log_axis(left, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20])
        left.axhline(1, color=INK, linewidth=0.9)
        seen = table.dropna(subset=["observed"]).reset_index(drop=True)
        _band(left, seen, "ratio", scale=1.0, colour=style.CORRECTED)
        left.set_ylim(
            max(float(seen["band_low"].min()) / 1.2, 0.01), float(seen["band_high"].max()) * 1.2
        )
        left.margins(x=0.01)
        _months(left, seen["week_start"], "3MS")
        at = np.arange(len(leads), dtype=np.float64)
        start = np.zeros(len(leads))
        shades = light_palette(COLOURS["China"], 4)
        parts = (
            ("at the start", [c.left_censored for c in leads.values()], shades[3]),
            ("later", [float(c.probability.sum()) for c in leads.values()], shades[2]),
            ("unfinished", [c.right_censored for c in leads.values()], shades[1]),
            ("never", [c.never for c in leads.values()], PANEL),
        )
        for name, values, colour in parts:
            right.barh(at, values, left=start, color=colour, height=0.5, label=name)
            start = start + np.array(values)
        for y, c in enumerate(leads.values()):
            right.text(1.01, y - 0.42, f"never {c.never:.2f}", fontsize=8, ha="right", color=INK)
        right.set_yticks(at, list(leads), color=INK)
        right.set_ylim(len(leads) - 0.4, -0.75)
        right.set_xlim(0, 1)
        right.tick_params(axis="y", length=0)
        right.set_title("China's lead begins ...", loc="left", fontsize=9.5, color=INK, pad=6)
        right.legend(
            ncols=4, fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.35, -0.06),
            handlelength=0.9, columnspacing=0.8,
        )  # fmt: skip  # dense
        style.source_line(figure, source)
    return figure


def _months(ax: "Axes", weeks: pd.Series, every: str) -> None:
    """Tick the first days of months."""
    days = pd.date_range(weeks.iloc[0] - pd.Timedelta(days=6), weeks.iloc[-1], freq=every)
    ax.set_xticks(days.to_pydatetime(), [f"{day:%b %y}" for day in days])


def _band(ax: "Axes", frame: pd.DataFrame, middle: str, *, scale: float, colour: str) -> None:
    """Draw panel, median, interval and band of one series, run by run."""
    from offroute.report.style import PANEL  # noqa: PLC0415 - matplotlib is an extra

    stale = frame["weeks_since_last"] > 0
    for run in runs_of_weeks(frame["week_start"]):
        part, after = frame.iloc[run], stale.iloc[run]
        x = part["week_start"]
        for low, high, shade in (("band_low", "band_high", 0.12), ("low", "high", 0.25)):
            ax.fill_between(
                x, scale * part[low], scale * part[high], color=colour, alpha=shade, linewidth=0
            )
        ax.plot(x, scale * part["observed"], color=PANEL, linewidth=1.4)
        # The dashed part starts at the last disclosure, so that the two parts meet.
        for piece, dash in (
            (part[~after], "-"),
            (part[after | (part["weeks_since_last"] == 0)], (0, (2, 1.3))),
        ):
            ax.plot(
                piece["week_start"], scale * piece[middle], color=colour, linewidth=1.8,
                linestyle=dash,
            )  # fmt: skip  # dense


def share_series_figure(table: pd.DataFrame, *, title: str, level: float, source: str) -> "Figure":
    """Draw the weekly shares of the largest classes of a partition.

    Parameters
    ----------
    table : pandas.DataFrame
        As `offroute.inference.paths.share_series` returns it.
    title : str
        Heading.
    level : float
        Probability of interval and band.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a class, at most eight, with a scale of its own.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    from offroute.report.style import COLOURS, CORRECTED, INK, MUTED, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    check_columns(table, [*_BAND, "class", "corrected"], name="table")
    seen = table.dropna(subset=["observed"])
    peak = seen.groupby("class")[["observed", "corrected"]].max().max(axis=1)
    classes = list(peak.sort_values(ascending=False).index[:MOST_CLASSES])
    with rc_context(RC):
        columns = min(len(classes), 4)
        rows = -(-len(classes) // columns)
        height = 1.25 + 2.15 * rows
        figure = Figure(figsize=(2.75 * columns + 0.6, height))
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        figure.subplots_adjust(
            left=0.05, right=0.985, top=1 - 1.0 / height, bottom=0.62 / height, wspace=0.2,
            hspace=0.3,
        )  # fmt: skip  # dense
        figure.text(0.01, 1 - 0.12 / height, title, fontsize=12, weight="bold", va="top")
        figure.text(
            0.01, 1 - 0.40 / height, f"%. Grey: on the panel. Colour: corrected, {level:.0%} "
            "interval and band; dashed after the last disclosure.", color=MUTED, va="top",
        )  # fmt: skip  # dense
        for ax, name in zip(axes, classes, strict=False):
            frame = seen[seen["class"] == name].sort_values("week_start").reset_index(drop=True)
            _band(ax, frame, "corrected", scale=100.0, colour=COLOURS.get(str(name), CORRECTED))
            ax.set_ylim(bottom=0)
            ax.set_title(str(name), loc="left", fontsize=9, color=INK, pad=4)
            ax.grid(axis="y")
            _months(ax, frame["week_start"], "6MS")
            ax.tick_params(labelsize=7.5)
        for ax in axes[len(classes) :]:
            ax.set_axis_off()
        source_line(figure, source)
    return figure
