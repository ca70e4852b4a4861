"""Figures by population of what could overturn the answer; each takes one tidy frame."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from offroute._checks import check_columns
from offroute.report.figures_paper import BOX, name_panel, panels
from offroute.report.figures_sensitivity import contour_panel, ratio_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EDGE = (0.02, 60.0)
"""Ends of the axis of bounds; beyond, an arrow."""


def steps_figure(steps: pd.DataFrame, *, source: str, title: str = "") -> "Figure":
    """Draw the way from the chart's ratio to the corrected one, by population.

    Parameters
    ----------
    steps : pandas.DataFrame
        ``population``, ``mechanism``, ``step`` of the log ratio with ``low`` and ``high``; first
        and last row of a population are its ends.
    source : str
        Line under the figure.
    title : str
        Heading, for a figure without a caption.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a population: bars from top to bottom, with the interval of each.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra

    from offroute.report.style import INK, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    check_columns(steps, ["population", "mechanism", "step", "low", "high"], name="steps")
    names = list(dict.fromkeys(steps["population"]))
    with rc_context(RC):
        figure, axes = panels(len(names), 3.4, left=0.268, bottom=0.19, title=title)
        edges = []
        for ax, name in zip(axes, names, strict=True):
            rows = steps[steps["population"] == name].reset_index(drop=True)
            edges += steps_panel(ax, rows)
            name_panel(ax, name)
        rows = steps[steps["population"] == names[0]]
        axes[0].set_yticks(np.arange(len(rows)), list(rows["mechanism"]), color=INK)
        axes[0].set_ylim(len(rows) - 0.4, -0.6)
        low, high = max(min(edges), 0.05), max(edges)
        for ax in axes:
            ratio_axis(ax, low, high)
            ax.tick_params(axis="y", length=0)
            ax.tick_params(labelsize=7.5)
        axes[len(axes) // 2].set_xlabel("China : US in tokens (log scale)", fontsize=8)
        source_line(figure, source)
    return figure


def steps_panel(ax: "Axes", rows: pd.DataFrame) -> list[float]:
    """Draw the steps of one population from top to bottom.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes to draw on.
    rows : pandas.DataFrame
        Its rows of the frame of `steps_figure`, indexed from 0.

    Returns
    -------
    list of float
        The ratios that the axis must hold.
    """
    from offroute.report.style import COLOURS, CORRECTED, INK, PANEL  # noqa: PLC0415 - an extra

    at, edges, last = 0.0, [1.0], len(rows) - 1
    for place, (_, row) in enumerate(rows.iterrows()):
        step = float(row["step"])
        if place in (0, last):
            ratio = float(np.exp(step))
            ax.plot(ratio, place, "o", color=PANEL if place == 0 else CORRECTED, markersize=7)
            ax.annotate(
                f"{ratio:.2f}", (ratio, place), xytext=(7 if place else -7, 0),
                textcoords="offset points", fontsize=8, va="center",
                ha="left" if place else "right", weight="bold", bbox=BOX,
            )  # fmt: skip  # dense
            at = step
            edges.append(ratio)
            continue
        ends = np.exp([at, at + step])
        colour = COLOURS["China" if step > 0 else "US"]
        ax.hlines(place, *ends, color=colour, linewidth=7, alpha=0.75)
        low, high = np.exp(at + row["low"]), np.exp(at + row["high"])
        ax.hlines(place, low, high, color=INK, linewidth=0.9)
        ax.vlines(ends[1], place, place + 1, color=PANEL, linewidth=0.7, linestyle=":")
        edges += [float(low), float(high)]
        at += step
    return edges


def overturn_figure(
    grid: pd.DataFrame, steps: pd.DataFrame, *, level: float, source: str
) -> "Figure":
    """Draw what would have to be true for China to lead, and what moves the ratio.

    Parameters
    ----------
    grid : pandas.DataFrame
        As `offroute.inference.overturn.contour_frame` returns it.
    steps : pandas.DataFrame
        As `offroute.report.overturn.steps_frame` returns it, with ``population`` and ``week``.
    level : float
        Probability of the intervals.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Left: P(China leads) when what the panel does not see of either side is larger or smaller
        than estimated, with the line on which the order flips. Right: steps from the chart to the
        corrected ratio.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    from offroute.report.style import INK, MUTED, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    check_columns(grid, ["factor_china", "factor_us_closed", "p_china_leads"], name="grid")
    check_columns(steps, ["mechanism", "step", "low", "high", "population", "week"], name="steps")
    with rc_context(RC):
        figure = Figure(figsize=(11.4, 4.9))
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.12))
        figure.subplots_adjust(left=0.065, right=0.985, top=0.8, bottom=0.15, wspace=0.72)
        figure.text(
            0.01, 0.97, f"What could overturn the week of {steps['week'].iloc[0]}, "
            f"{steps['population'].iloc[0]}", fontsize=12, weight="bold", va="top",
        )  # fmt: skip  # dense
        figure.text(
            0.01, 0.91, "Left: probability that China leads if the unseen part of either side is "
            "larger or smaller than estimated. Right: what moves the ratio of China to the US "
            f"({level:.0%} intervals).", color=MUTED, va="top",
        )  # fmt: skip  # dense
        contour_panel(left, grid)
        edges = steps_panel(right, steps.reset_index(drop=True))
        ratio_axis(right, min(edges), max(edges))
        right.set_yticks(np.arange(len(steps)), list(steps["mechanism"]), color=INK)
        right.set_ylim(len(steps) - 0.5, -0.5)
        right.tick_params(axis="y", length=0)
        right.set_title("China : US, from the chart to the market", loc="left", fontsize=9.5)
        source_line(figure, source)
    return figure


def tipping_figure(grid: pd.DataFrame, *, source: str, title: str = "") -> "Figure":
    """Draw who leads if the unseen part of either side is larger or smaller than estimated.

    Parameters
    ----------
    grid : pandas.DataFrame
        As `offroute.inference.overturn.contour_frame` returns it, with ``population``.
    source : str
        Line under the figure.
    title : str
        Heading, for a figure without a caption.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a population with contours of P(China leads).

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra

    from offroute.report.style import RC, source_line  # noqa: PLC0415 - it loads matplotlib

    needed = ["population", "factor_china", "factor_us_closed", "p_china_leads"]
    check_columns(grid, needed, name="grid")
    names = list(dict.fromkeys(grid["population"]))
    height = 2.9 if len(names) > 1 else 5.2
    with rc_context(RC):
        figure, axes = panels(len(names), height, left=0.085, bottom=0.64 / height, title=title)
        for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
            contour_panel(ax, grid[grid["population"] == name])
            name_panel(ax, name)
            ax.set_xlabel("")
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_ticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
            if i:
                ax.set_ylabel("")
        axes[0].set_ylabel("unseen Chinese use, times the estimate", fontsize=7.5)
        axes[len(axes) // 2].set_xlabel("unseen use of closed US models, times the estimate",
                                        fontsize=8)  # fmt: skip  # dense
        source_line(figure, source)
    return figure


def nested_figure(nested: pd.DataFrame, *, source: str, title: str = "") -> "Figure":
    """Draw what each assumption leaves of the ratio of China to the US, by population.

    Parameters
    ----------
    nested : pandas.DataFrame
        As `offroute.inference.identified_sets.nested_table` returns it, with ``population`` and
        ``panel``, the ratio on the panel.
    source : str
        Line under the figure.
    title : str
        Heading, for a figure without a caption.

    Returns
    -------
    matplotlib.figure.Figure
        One bar an assumption, from none at all to the posterior's point; an arrow where nothing
        bounds it.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra

    from offroute.report.style import COLOURS, CORRECTED, INK, MUTED, PANEL, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    needed = ["population", "panel", "assumption", "low", "high", "leads"]
    check_columns(nested, needed, name="nested")
    names = list(dict.fromkeys(nested["population"]))
    with rc_context(RC):
        height = 0.22 * int(nested["population"].value_counts().max()) + 1.0
        figure, axes = panels(
            len(names), height, left=0.285, top=1 - 0.34 / height, bottom=0.65 / height, title=title
        )
        for ax, name in zip(axes, names, strict=True):
            rows = nested[nested["population"] == name].reset_index(drop=True)
            ax.axvline(float(rows["panel"].iloc[0]), color=PANEL, linewidth=1.1, linestyle="--")
            for place, (_, row) in enumerate(rows.iterrows()):
                if np.isnan(row["low"]):
                    ax.text(0.05, place, "refuted by the figures", fontsize=7, va="center",
                            color=MUTED, style="italic")  # fmt: skip  # dense
                    continue
                if row["low"] == row["high"]:
                    ax.plot(row["low"], place, "o", color=CORRECTED, markersize=6)
                    ax.annotate(f"{row['low']:.2f}", (row["low"], place), xytext=(7, 0),
                                textcoords="offset points", fontsize=8, va="center",
                                weight="bold", bbox=BOX)  # fmt: skip  # dense
                    continue
                colour = COLOURS.get(str(row["leads"]), PANEL)
                a, b = max(row["low"], _EDGE[0]), min(row["high"], _EDGE[1])
                ax.hlines(place, a, b, color=colour, linewidth=6, alpha=0.65)
                for end, beyond, mark in ((a, row["low"] < a, "<"), (b, row["high"] > b, ">")):
                    if beyond:
                        ax.plot(end, place, mark, color=colour, markersize=6, clip_on=False)
            ratio_axis(ax, *_EDGE)
            ax.set_xticks([0.03, 0.3, 1, 3, 30])
            name_panel(ax, name)
            ax.tick_params(axis="y", length=0)
        rows = nested[nested["population"] == names[0]]
        labels = [
            "Lambda: posterior median"
            if text.startswith("Lambda")
            else text.replace("coverage odds", "odds")
            for text in rows["assumption"]
        ]
        axes[0].set_yticks(np.arange(len(rows)), labels, color=INK)
        axes[0].set_ylim(len(rows) - 0.4, -0.6)
        axes[len(axes) // 2].set_xlabel("China : US in tokens (log scale)", fontsize=8)
        source_line(figure, source)
    return figure
