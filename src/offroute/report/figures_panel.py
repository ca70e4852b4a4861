"""Figures of the analyses alone: parts of a whole, lists of intervals."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from offroute._checks import check_columns
from offroute.report.figures import runs_of_weeks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TICKS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_LEAST_LABEL = 0.05


def parts_figure(table: pd.DataFrame, *, title: str, subtitle: str, source: str) -> "Figure":
    """Draw the parts of a whole by week as stacked areas with their names beside.

    Parameters
    ----------
    table : pandas.DataFrame
        ``week_start``, ``class``, ``share``; the shares of a week add up to 1. Classes are stacked
        in the order in which they first appear.
    title, subtitle : str
        Headings.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Areas broken where weeks are missing; a class is named at the right where it is 5 % or
        more in the last week, with its share.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    from offroute.report.style import INK, MUTED, RC, colours_of, source_line  # noqa: PLC0415 - it loads matplotlib

    check_columns(table, ["week_start", "class", "share"], name="table")
    classes = list(dict.fromkeys(table["class"]))
    wide = table.pivot(index="week_start", columns="class", values="share")[classes].fillna(0.0)
    weeks = pd.Series(wide.index)
    colours = colours_of(classes)
    with rc_context(RC):
        figure = Figure(figsize=(9.4, 4.3))
        ax = figure.subplots()
        figure.subplots_adjust(left=0.055, right=0.82, top=0.83, bottom=0.12)
        figure.text(0.01, 0.965, title, fontsize=12, weight="bold", va="top")
        figure.text(0.01, 0.9, subtitle, color=MUTED, va="top")
        for run in runs_of_weeks(weeks):
            part = wide.iloc[run]
            ax.stackplot(
                part.index, 100 * part.to_numpy().T, colors=list(colours.values()),
                edgecolor="white", linewidth=0.5,
            )  # fmt: skip  # dense
        ends = 100 * wide.iloc[-1]
        top = ends.cumsum()
        for name in classes:
            if ends[name] >= 100 * _LEAST_LABEL:
                ax.annotate(
                    f"{name} {ends[name]:.0f}", (weeks.iloc[-1], top[name] - ends[name] / 2),
                    xytext=(6, 0), textcoords="offset points", fontsize=8.5,
                    color=MUTED if name == "Other" else colours[name],
                    weight="bold", va="center", annotation_clip=False,
                )  # fmt: skip  # dense
        ax.set_ylim(0, 100)
        ax.set_ylabel("% of tokens", fontsize=8)
        months = pd.date_range(weeks.iloc[0] - pd.Timedelta(days=6), weeks.iloc[-1], freq="QS")
        ax.set_xticks(months.to_pydatetime(), [f"{day:%b %y}" for day in months])
        ax.margins(x=0.0)
        ax.tick_params(colors=INK)
        source_line(figure, source)
    return figure


def intervals_figure(
    rows: pd.DataFrame,
    *,
    title: str,
    subtitle: str,
    source: str,
    line: float | None = None,
    log: bool = False,
    spec: str = ".2f",
) -> "Figure":
    """Draw values with their intervals, one row each, written out at the right.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``label``, ``value``, ``low``, ``high`` (missing for a point), ``kind``: a group, or
        ``panel`` for what is naive, ``truth``, or else the colour of estimates; optionally
        ``section``, a heading over rows that stand together.
    title, subtitle : str
        Headings.
    source : str
        Line under the figure.
    line : float, optional
        Value that all are compared with.
    log : bool
        Whether the axis is logarithmic.
    spec : str
        Format of the numbers.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    from offroute.report.style import COLOURS, CORRECTED, INK, MUTED, PANEL, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    check_columns(rows, ["label", "value", "low", "high", "kind"], name="rows")
    sections = rows["section"] if "section" in rows else pd.Series("", index=rows.index)
    named = {"panel": PANEL, "truth": INK, **COLOURS}
    place, headings = _places(sections)
    # Bold headings are wider than the labels under them.
    longest = max(12.0, rows["label"].str.len().max(), 1.1 * sections.str.len().max())
    with rc_context(RC):
        height = 1.35 + 0.29 * (place[-1] + 1)
        figure = Figure(figsize=(9.4, height))
        ax = figure.subplots()
        figure.subplots_adjust(
            left=min(0.02 + 0.0079 * longest, 0.5), right=0.82, top=1 - 0.78 / height,
            bottom=0.5 / height,
        )  # fmt: skip  # dense
        figure.text(0.01, 1 - 0.12 / height, title, fontsize=12, weight="bold", va="top")
        figure.text(0.01, 1 - 0.4 / height, subtitle, color=MUTED, va="top")
        if line is not None:
            ax.axvline(line, color=INK, linewidth=0.9)
        for y, (_, row) in zip(place, rows.iterrows(), strict=True):
            colour = named.get(row["kind"], CORRECTED)
            ax.hlines(y, row["low"], row["high"], color=colour, linewidth=2.2, alpha=0.55)
            mark = "D" if row["kind"] == "panel" else "o"
            ax.plot(row["value"], y, mark, color=colour, markersize=5)
            text = format(row["value"], spec) if np.isfinite(row["value"]) else ""
            if np.isfinite(row["low"]) and row["high"] > row["low"]:
                text += f"  [{row['low']:{spec}}, {row['high']:{spec}}]"
            ax.annotate(
                text, (1.01, y), xycoords=("axes fraction", "data"), fontsize=8, va="center",
                color=colour,
            )  # fmt: skip  # dense
        ax.set_yticks(place, list(rows["label"]), color=INK, fontsize=8.5)
        for y, text in headings:
            ax.annotate(
                text, (0, y), xycoords=("axes fraction", "data"), xytext=(-6, 0),
                textcoords="offset points", fontsize=8.5, weight="bold", ha="right", va="center",
            )  # fmt: skip  # dense
        ax.set_ylim(place[-1] + 0.6, min([place[0], *[y for y, _ in headings]]) - 0.6)
        ax.tick_params(axis="y", length=0)
        _value_axis(ax, rows, line=line, log=log, spec=spec)
        source_line(figure, source)
    return figure


def _places(sections: pd.Series) -> tuple[list[float], list[tuple[float, str]]]:
    """Rows from the top, with room for the headings of sections."""
    place: list[float] = []
    headings: list[tuple[float, str]] = []
    y, before = 0.0, None
    for section in sections:
        if section != before and section:
            y += 0.4 if before is not None else 0.0
            headings.append((y, section))
            y += 1.0
        before = section
        place.append(y)
        y += 1.0
    return place, headings


def _value_axis(
    ax: "Axes", rows: pd.DataFrame, *, line: float | None, log: bool, spec: str
) -> None:
    """Scale and ticks of the values."""
    from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter  # noqa: PLC0415 - it loads matplotlib

    if log:
        values = rows[["value", "low", "high"]].to_numpy(dtype=np.float64)
        shown = values[np.isfinite(values) & (values > 0)]
        shown = shown if line is None else np.append(shown, line)
        low, high = float(shown.min()) / 1.3, float(shown.max()) * 1.3
        ax.set_xscale("log")
        ax.set_xlim(low, high)
        ax.set_xticks([tick for tick in _TICKS if low <= tick <= high])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
    elif spec.endswith("%"):
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.grid(axis="x")
