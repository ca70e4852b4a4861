"""Figures of the paper about the panel and the corrected market; each takes one tidy frame."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from offroute._checks import check_columns
from offroute.report.figures import runs_of_weeks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Labs drawn, the largest on the panel first.
MOST_LABS = 15
WIDTH = 7.2
"""Inches: the width of a page's text."""
DASH = (0, (2, 1.3))
BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
"""Behind a number that may cross a line."""


def panels(
    count: int,
    height: float,
    *,
    left: float = 0.075,
    bottom: float = 0.17,
    top: float = 0.9,
    title: str = "",
) -> tuple["Figure", list["Axes"]]:
    """Return a figure of the width of the text with axes side by side that share y.

    Parameters
    ----------
    count : int
        Number of axes.
    height : float
        Inches.
    left, bottom, top : float
        Margins, fractions of the height or width without the title.
    title : str
        Heading above all axes.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, list of matplotlib.axes.Axes
        In the settings that hold when it is called.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - matplotlib is an extra

    whole = height + (0.2 if title else 0.0)
    part = height / whole
    figure = Figure(figsize=(WIDTH, whole))
    axes = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    figure.subplots_adjust(
        left=left, right=0.985, top=top * part, bottom=bottom * part, wspace=0.09
    )
    figure.text(0.01, 1 - 0.08 / whole, title, fontsize=10, weight="bold", va="top")
    return figure, list(axes)


def name_panel(ax: "Axes", text: str) -> None:
    """Write the population, or whatever a panel is about, above it.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The panel.
    text : str
        Its name.
    """
    ax.set_title(text, loc="left", fontsize=7.4, pad=5, weight="bold")
    ax.tick_params(labelsize=7.5)


def months(ax: "Axes", weeks: pd.Series, every: int) -> None:
    """Tick the first days of some months, the year under January.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The panel.
    weeks : pandas.Series
        Mondays in order.
    every : int
        Months between ticks.
    """
    days = pd.date_range(weeks.iloc[0] - pd.Timedelta(days=6), weeks.iloc[-1], freq=f"{every}MS")
    # Counted from January, so that the year has a tick.
    days = days[[(day.month - 1) % every == 0 for day in days]] if every > 1 else days
    if len(days) == 0 or every > 1:
        first = pd.Timestamp(weeks.iloc[0] - pd.Timedelta(days=6)).to_period("Q").start_time
        days = pd.date_range(first, weeks.iloc[-1], freq=f"{every}MS")
        days = days[days >= weeks.iloc[0] - pd.Timedelta(days=6)]
    names = [f"{d:%b}\n{d:%Y}" if d.month == 1 or d == days[0] else f"{d:%b}" for d in days]
    ax.set_xticks(days.to_pydatetime(), names)


def audit_figure(audit: pd.DataFrame, *, chart_week: str, since: str, source: str) -> "Figure":
    """Draw the panel's own ratio: the chart's models, all named models, and bounds.

    Parameters
    ----------
    audit : pandas.DataFrame
        As `offroute.measurement.audit.audit_weeks` returns it.
    chart_week, since : str
        Week of the chart, which is marked, and first week drawn.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Log ratio of China to the US by week.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra

    from offroute.report.style import COLOURS, INK, MUTED, PANEL, RC, plain_log_axis, source_line  # noqa: PLC0415 - it loads matplotlib

    needed = ["week_start", "top_china", "top_us", "ratio", "ratio_low", "ratio_high"]
    check_columns(audit, needed, name="audit")
    frame = audit[audit["week_start"] >= since].reset_index(drop=True)
    # In some weeks none of the nine is Chinese: no point on a log scale.
    china = frame["top_china"].where(frame["top_china"] > 0)
    top = china / frame["top_us"].where(frame["top_us"] > 0)
    with rc_context(RC):
        figure, (ax,) = panels(1, 3.1, left=0.06)
        plain_log_axis(ax, [0.1, 0.2, 0.5, 1, 2, 5, 10])
        ax.axhline(1, color=INK, linewidth=0.9)
        for run in runs_of_weeks(frame["week_start"]):
            part, x = frame.iloc[run], frame["week_start"].iloc[run]
            ax.fill_between(x, part["ratio_low"], part["ratio_high"], color=PANEL, alpha=0.3, lw=0)
            ax.plot(x, part["ratio"], color=INK, linewidth=1.6)
            ax.plot(x, top.iloc[run], color=COLOURS["China"], linewidth=1.2, linestyle=DASH)
        # Days since 1970, the unit of a time axis.
        dates = ((frame["week_start"] - pd.Timestamp(0)) / pd.Timedelta(days=1)).to_numpy()
        at = int(np.flatnonzero(frame["week_start"] == pd.Timestamp(chart_week))[0])
        day = float(dates[at])
        ax.axvline(day, color=MUTED, linewidth=0.7, linestyle=":")
        ax.set_ylim(0.09, max(5.5, 1.2 * float(top.max())))
        for value, colour, lift in ((top[at], COLOURS["China"], 8), (frame["ratio"][at], INK, -13)):
            ax.plot(day, value, "o", color=colour, markersize=4.5)
            ax.annotate(
                f"{value:.2f}", (day, value), xytext=(6, lift), textcoords="offset points",
                fontsize=8, color=colour, weight="bold",
            )  # fmt: skip  # dense
        highest = int(np.nanargmax(top.to_numpy()[: max(at - 3, 1)]))
        for place, y, text, colour in (
            (highest, 1.22 * float(top[highest]), "the nine largest models", COLOURS["China"]),
            (at + 1, 0.72 * float(frame["ratio_low"][at:].min()), "all named models", INK),
            (at + 1, 0.5 * float(frame["ratio_low"][at:].min()),
             "grey: unnamed and stealth\nmodels all to either side", MUTED),
        ):  # fmt: skip  # dense
            where = float(dates[min(place, len(frame) - 1)])
            above = colour == COLOURS["China"]
            ax.text(where, y, text, color=colour, fontsize=8, weight="bold",
                    ha="center" if above else "left", va="bottom" if above else "top")  # fmt: skip
        ax.text(day, 0.097, " week of the chart", fontsize=7.5, color=MUTED, va="bottom")
        first = frame["week_start"][0]
        ax.text(first, 1.06, "China ahead ↑", fontsize=7.5, color=MUTED, va="bottom")
        ax.text(first, 0.94, "US ahead ↓", fontsize=7.5, color=MUTED, va="top")
        months(ax, frame["week_start"], 3)
        ax.margins(x=0.015)
        ax.tick_params(labelsize=7.5)
        source_line(figure, source)
    return figure


def coverage_figure(labs: pd.DataFrame, *, population: str, source: str) -> "Figure":
    """Draw each lab's coverage by the panel, and what single figures imply on their own.

    Parameters
    ----------
    labs : pandas.DataFrame
        Rows of kind posterior, money and tokens with ``population``, ``lab``, ``origin``,
        ``coverage``, ``low``, ``high``, ``panel``, ``side``.
    population : str
        Which population to draw.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One row a lab, the largest on the panel first: its posterior coverage in the colour of its
        origin, and every public figure about it as a grey mark with its own interval.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: PLC0415 - likewise

    from offroute.report.style import COLOURS, INK, MUTED, PANEL, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    needed = ["population", "kind", "lab", "origin", "coverage", "low", "high", "panel", "side"]
    check_columns(labs, needed, name="labs")
    frame = labs[labs["population"] == population]
    main = frame[(frame["kind"] == "posterior") & (frame["lab"] != "Other labs")]
    main = main.sort_values("panel", ascending=False).head(MOST_LABS)
    names = list(main["lab"])
    with rc_context(RC):
        figure, (ax,) = panels(1, 0.29 * len(names) + 1.0, left=0.125, bottom=0.175, top=0.945)
        ax.set_xscale("log")
        ax.set_xlim(4e-4, 1.15)
        for place, (_, row) in enumerate(main.iterrows()):
            colour = COLOURS[row["origin"]]
            ax.hlines(place - 0.17, row["low"], row["high"], color=colour, linewidth=3.2, alpha=0.8)
            ax.plot(row["coverage"], place - 0.17, "o", color=colour, markersize=5)
            told = frame[(frame["kind"] != "posterior") & (frame["lab"] == row["lab"])]
            for j, (_, figure_row) in enumerate(told.iterrows()):
                y = place + 0.08 + 0.32 * j / max(len(told) - 1, 5)
                mark = "s" if figure_row["kind"] == "money" else "D"
                ax.hlines(y, figure_row["low"], figure_row["high"], color=PANEL, linewidth=0.6)
                ax.plot(figure_row["coverage"], y, mark, color=MUTED, markersize=2.4)
        ax.set_yticks(np.arange(len(names)), names)
        for tick, origin in zip(ax.get_yticklabels(), main["origin"], strict=True):
            tick.set_color(COLOURS[origin])
        ax.set_ylim(len(names) - 0.3, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.tick_params(labelsize=8)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.grid(axis="x")
        ax.set_xlabel("tokens on the panel, % of all tokens of the lab (log scale)", fontsize=8)
        handles = [
            *(ax.plot([], [], "o-", color=COLOURS[o], lw=3, ms=5, label=o)[0]
              for o in dict.fromkeys(main["origin"])),
            ax.plot([], [], "D", color=MUTED, ms=3, label="a token figure alone")[0],
            ax.plot([], [], "s", color=MUTED, ms=3, label="a revenue figure alone")[0],
        ]  # fmt: skip  # dense
        ax.legend(
            handles=handles, fontsize=7.5, frameon=False, loc="upper center", labelcolor=INK,
            ncols=len(handles), bbox_to_anchor=(0.45, -0.105),
        )  # fmt: skip  # dense
        name_panel(ax, population)
        ax.tick_params(labelsize=8)
        source_line(figure, source)
    return figure


def shares_over_time_figure(weekly: pd.DataFrame, *, since: str, source: str) -> "Figure":
    """Draw the weekly shares of China and the US by population, naive against corrected.

    Parameters
    ----------
    weekly : pandas.DataFrame
        As `offroute.inference.paths.share_series` returns it by origin, for several populations.
    since : str
        First week drawn.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a population: the panel's share dashed, the corrected one with its interval of
        each week (dark) and its simultaneous band (light).

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra

    from offroute.report.style import COLOURS, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    bands = [("band_low", "band_high", 0.13), ("low", "high", 0.28)]
    needed = ["population", "class", "week_start", "observed", "corrected", "weeks_since_last"]
    check_columns(weekly, [*needed, *[c for low, high, _ in bands for c in (low, high)]],
                  name="weekly")  # fmt: skip  # dense
    weekly = weekly[weekly["week_start"] >= since]
    names = list(dict.fromkeys(weekly["population"]))
    with rc_context(RC):
        figure, axes = panels(len(names), 2.9, left=0.072, bottom=0.2)
        for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
            for side in ("US", "China"):
                frame = weekly[(weekly["population"] == name) & (weekly["class"] == side)]
                frame = frame.sort_values("week_start").reset_index(drop=True)
                stale = frame["weeks_since_last"] > 0
                for run in runs_of_weeks(frame["week_start"]):
                    part, x, after = frame.iloc[run], frame["week_start"].iloc[run], stale.iloc[run]
                    for low, high, shade in bands:
                        ax.fill_between(x, 100 * part[low], 100 * part[high], color=COLOURS[side],
                                        alpha=shade, linewidth=0)  # fmt: skip  # dense
                    ax.plot(x[~after], 100 * part["corrected"][~after], color=COLOURS[side], lw=1.8)
                    late = after | (part["weeks_since_last"] == 0)
                    ax.plot(x[late], 100 * part["corrected"][late], color=COLOURS[side], lw=1.8,
                            linestyle=(0, (1, 0.8)))  # fmt: skip  # dense
                    ax.plot(x, 100 * part["observed"], color=COLOURS[side], lw=0.9, linestyle=DASH)
                if i == 0:
                    where = frame["week_start"].iloc[-2]
                    height = 100 * float(frame["corrected"].iloc[-2]) + 2.5
                    ax.text(where, height, side, fontsize=8, weight="bold", ha="right",
                            va="bottom", color=COLOURS[side])  # fmt: skip  # dense
            ax.set_ylim(0, 100)
            ax.grid(axis="y")
            months(ax, frame["week_start"], 3)
            ax.margins(x=0.02)
            name_panel(ax, name)
        axes[0].set_ylabel("% of tokens", fontsize=8, labelpad=2)
        source_line(figure, source)
    return figure


def crossing_figure(crossings: pd.DataFrame, *, against: str, source: str) -> "Figure":
    """Draw the posterior of the week in which China's lead begins.

    Parameters
    ----------
    crossings : pandas.DataFrame
        ``population``, ``against``, ``lead``, ``kind`` (week, atom), ``part``, ``week_start``,
        ``probability``.
    against : {'US', 'US closed'}
        The other side.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One column a population, one row a meaning of a lead: the distribution function over the
        weeks, which starts at the mass of leads that are there from the first week and ends below
        one by the mass at never. Unfinished leads widen it to a band.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra

    from offroute.report.style import COLOURS, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    needed = ["population", "against", "lead", "kind", "part", "week_start", "probability"]
    check_columns(crossings, needed, name="crossings")
    chosen = crossings[crossings["against"] == against]
    leads = {"a week at all": "-", "four weeks in a row": DASH, "for good": (0, (1, 1))}
    dated = pd.to_datetime(chosen.loc[chosen["kind"] == "week", "week_start"])
    weeks = pd.Series(pd.date_range(dated.min() - pd.Timedelta(days=7), dated.max(), freq="7D"))
    names = list(dict.fromkeys(chosen["population"]))
    with rc_context(RC):
        figure, axes = panels(len(names), 3.0, left=0.072, bottom=0.275)
        for ax, name in zip(axes, names, strict=True):
            masses: list[str] = []
            for lead, dash in leads.items():
                rows = chosen[(chosen["population"] == name) & (chosen["lead"] == lead)]
                start = float(rows.loc[rows["part"] == "at the start", "probability"].sum())
                never = float(rows.loc[rows["part"] == "never", "probability"].sum())
                curve = {}
                for part in ("begins", "unfinished"):
                    of = rows[rows["part"] == part]
                    mass = of.groupby(pd.to_datetime(of["week_start"]))["probability"].sum()
                    curve[part] = mass.reindex(weeks, fill_value=0.0).cumsum().to_numpy()
                least = start + curve["begins"]
                ax.fill_between(weeks, least, least + curve["unfinished"], step="post", lw=0,
                                color=COLOURS["China"], alpha=0.15)  # fmt: skip  # dense
                ax.step(weeks, least, where="post", color=COLOURS["China"], linestyle=dash, lw=1.5,
                        label=lead)  # fmt: skip  # dense
                masses.append(f"{never:.2f}")
            ax.text(0.03, 0.97, f"never: {' / '.join(masses)}", fontsize=7.5, va="top",
                    transform=ax.transAxes)  # fmt: skip  # dense
            ax.set_ylim(0, 1)
            ax.grid(axis="y")
            months(ax, weeks, 3)
            name_panel(ax, name)
        axes[0].set_ylabel("P(China's lead has begun)", fontsize=8, labelpad=2)
        axes[len(axes) // 2].legend(fontsize=7.5, frameon=False, ncols=len(leads),
                                    loc="upper center", bbox_to_anchor=(0.5, -0.2))  # fmt: skip
        source_line(figure, source)
    return figure
