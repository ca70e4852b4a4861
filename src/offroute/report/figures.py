"""Figures: each function takes a tidy frame and returns a Figure; writing is separate."""

from importlib.util import find_spec
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from offroute._checks import check_columns
from offroute.exceptions import SchemaError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
_METADATA: dict[str, dict[str, str | None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None, "Producer": None},
}
_WEEK = np.timedelta64(7, "D")


def check_plot(path: Path) -> Path:
    """Return the path of a figure if it can be drawn, before any work is done for it.

    Parameters
    ----------
    path : pathlib.Path
        File to write.

    Raises
    ------
    UsageError
        If its suffix is no format of a figure, or the extra ``figures`` is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"plot '{path}'",
            got=f"suffix {path.suffix!r}",
            rule=f"its suffix must be one of {', '.join(FORMATS)}",
            next_step="Name the file, for example, shares.png.",
        )
    absent = [name for name in ("matplotlib", "seaborn") if find_spec(name) is None]
    if absent:
        raise UsageError(
            f"plot '{path}'",
            got=f"no {' and no '.join(absent)}",
            rule="figures need the extra 'figures'",
            next_step="Install it: pip install 'offroute[figures]'.",
        )
    return path


def figure_bytes(figure: "Figure", suffix: str) -> bytes:
    """Return a figure as a file's content, the same for the same figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    suffix : {'.png', '.svg', '.pdf'}
        Format.

    Returns
    -------
    bytes
        Without date or software version.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra

    from offroute.report.style import RC  # noqa: PLC0415 - it loads matplotlib

    kind = suffix.lower()
    out = BytesIO()
    with rc_context(RC):
        figure.savefig(out, format=kind.removeprefix("."), metadata=_METADATA[kind])
    return out.getvalue()


def runs_of_weeks(weeks: pd.Series) -> list[slice]:
    """Return the stretches of consecutive weeks, so that a line is not drawn over a gap.

    Parameters
    ----------
    weeks : pandas.Series of datetime
        Mondays in order.

    Returns
    -------
    list of slice
        Positions.

    Examples
    --------
    >>> runs_of_weeks(pd.Series(pd.to_datetime(["2025-06-02", "2025-06-16", "2025-06-23"])))
    [slice(0, 1, None), slice(1, 3, None)]
    """
    days = weeks.to_numpy().astype("datetime64[D]")
    cuts = [0, *(np.flatnonzero(np.diff(days) > _WEEK) + 1).tolist(), len(days)]
    return [slice(a, b) for a, b in pairwise(cuts)]


def ratio_figure(weekly: pd.DataFrame, *, titles: dict[str, str], source: str) -> "Figure":
    """Draw the weekly ratio of China to the US, on the panel and corrected.

    Parameters
    ----------
    weekly : pandas.DataFrame
        As `offroute.inference.paths.ratio_series` returns it, for one population or several.
    titles : dict of str to str
        Title of each population to draw, from left to right.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a population: the panel's ratio, the corrected median with its band, broken where
        weeks are missing and dashed after the last disclosure; a tick per week with a disclosure.

    Raises
    ------
    SchemaError
        If a column or a population is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    from offroute.report.style import INK, MUTED, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    needed = ["population", "week_start", "observed", "low", "ratio", "high"]
    check_columns(weekly, [*needed, "benchmarks", "weeks_since_last"], name="weekly")
    absent = sorted(set(titles) - set(weekly["population"]))
    if absent:
        raise SchemaError(
            "weekly",
            got=f"no row of {', '.join(absent)}",
            rule="it must hold every population of titles",
            next_step="Run ratio_series for each of them.",
        )
    with rc_context(RC):
        figure = Figure(figsize=(9.4, 4.5))
        axes = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(left=0.065, right=0.985, top=0.79, bottom=0.125, wspace=0.05)
        figure.text(
            0.01, 0.965, "Tokens to Chinese models per token to US models, by week",
            fontsize=12, weight="bold", va="top",
        )  # fmt: skip  # dense
        figure.text(
            0.01, 0.895, "On the panel, and corrected for what the panel does not see "
            "(median and 90 % interval). Log scale.",
            color=MUTED, va="top",
        )  # fmt: skip  # dense
        for i, (ax, (population, title)) in enumerate(zip(axes, titles.items(), strict=True)):
            frame = weekly[weekly["population"] == population].sort_values("week_start")
            _ratio_panel(ax, frame.reset_index(drop=True), named=i == 0)
            ax.set_title(title, loc="left", fontsize=9.5, color=INK, pad=8)
        source_line(figure, source)
    return figure


def _ratio_panel(ax: "Axes", frame: pd.DataFrame, *, named: bool) -> None:
    """Draw one population; `named` panels carry the labels that the others share."""
    from offroute.report.style import CORRECTED, INK, PANEL, plain_log_axis  # noqa: PLC0415 - it loads matplotlib

    plain_log_axis(ax, [0.05, 0.1, 0.2, 0.5, 1, 2])
    weeks, stale = frame["week_start"], frame["weeks_since_last"] > 0
    ax.axhline(1, color=INK, linewidth=0.9)
    for run in runs_of_weeks(weeks):
        part, after = frame.iloc[run], stale.iloc[run]
        ax.plot(part["week_start"], part["observed"], color=PANEL, linewidth=1.5)
        known = part[~after]
        # The dashed part starts at the last disclosure, so that the two parts meet.
        beyond = part[after | (part["weeks_since_last"] == 0)] if after.any() else part[:0]
        for piece, dash, shade in ((known, "-", 0.20), (beyond, (0, (2, 1.3)), 0.08)):
            x = piece["week_start"]
            ax.fill_between(
                x, piece["low"], piece["high"], color=CORRECTED, alpha=shade, linewidth=0
            )
            ax.plot(x, piece["ratio"], color=CORRECTED, linewidth=1.9, linestyle=dash)
    told = frame.loc[frame["benchmarks"] > 0, "week_start"]
    ax.plot(told, np.full(len(told), 0.034), "|", color=INK, markersize=6, markeredgewidth=0.9)
    ax.set_ylim(0.029, 3.2)
    _date_axis(ax, weeks)
    _direct_labels(ax, frame, named=named)


def _direct_labels(ax: "Axes", frame: pd.DataFrame, *, named: bool) -> None:
    """Label the lines where they are, instead of a legend."""
    from offroute.report.style import CORRECTED, INK, MUTED  # noqa: PLC0415 - it loads matplotlib

    def _at(part: float) -> pd.Series:
        return frame.iloc[round(part * (len(frame) - 1))]

    late, middle = _at(0.88), _at(0.72)
    ax.text(
        late["week_start"], 1.1 * frame["observed"].tail(12).max(), "panel", color=MUTED,
        weight="bold", ha="center", va="bottom",
    )  # fmt: skip  # dense
    ax.text(
        middle["week_start"], middle["ratio"] * 0.88, "corrected", color=CORRECTED, weight="bold",
        ha="center", va="top",
    )  # fmt: skip  # dense
    if not named:
        return
    side = _at(0.30)["week_start"]
    ax.text(side, 1.05, "China ahead \u2191", fontsize=7.5, color=MUTED, va="bottom")
    ax.text(side, 0.95, "US ahead \u2193", fontsize=7.5, color=MUTED, va="top")
    first, last = frame["week_start"].iloc[0], frame["week_start"].iloc[-1]
    ax.text(first, 0.0385, "weeks with a disclosure", fontsize=7.5, color=INK, va="bottom")
    ax.text(
        last, _at(1)["high"] * 1.06, "dashed: after the\nlast disclosure", fontsize=7.5,
        color=CORRECTED, ha="right", va="bottom",
    )  # fmt: skip  # dense


def _date_axis(ax: "Axes", weeks: pd.Series) -> None:
    """Tick the quarters; January is labelled by its year."""
    quarters = pd.date_range(weeks.iloc[0] - pd.Timedelta(days=6), weeks.iloc[-1], freq="QS")
    names = [f"{day:%Y}" if day.month == 1 else f"{day:%b}" for day in quarters]
    ax.set_xticks(quarters.to_pydatetime(), names)
    ax.margins(x=0.03)


def shares_figure(shares: pd.DataFrame, *, level: float, source: str) -> "Figure":
    """Draw observed shares beside corrected ones with their intervals.

    Parameters
    ----------
    shares : pandas.DataFrame
        Tables of `offroute.inference.shares.share_table`, one under the other, with ``population``
        and ``week``.
    level : float
        Probability of the intervals, for the heading.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a population, one row a class: the share on the panel in grey, the corrected one
        in the colour of its group.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    from offroute.report.style import INK, MUTED, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    needed = ["population", "week", "class", "observed", "corrected", "low", "high"]
    check_columns(shares, needed, name="shares")
    populations = list(dict.fromkeys(shares["population"]))
    classes = list(dict.fromkeys(shares["class"]))
    with rc_context(RC):
        height = 2.0 + 0.52 * len(classes)
        figure = Figure(figsize=(max(4.7 * len(populations), 6.4), height))
        axes = figure.subplots(1, len(populations), sharex=True, sharey=True, squeeze=False)[0]
        figure.subplots_adjust(
            left=0.72 / len(populations) ** 0.5 / 3.6, right=0.975, top=1 - 1.0 / height,
            bottom=0.72 / height, wspace=0.07,
        )  # fmt: skip  # dense
        week = shares["week"].iloc[0]
        figure.text(
            0.01, 1 - 0.12 / height, f"Shares of tokens, week of {week}", fontsize=12,
            weight="bold", va="top",
        )  # fmt: skip  # dense
        figure.text(
            0.01, 1 - 0.40 / height, f"Grey: on the panel. Colour: corrected, with the {level:.0%} "
            "interval.", color=MUTED, va="top",
        )  # fmt: skip  # dense
        for ax, population in zip(axes, populations, strict=True):
            rows = shares[shares["population"] == population].set_index("class").reindex(classes)
            _share_bars(ax, rows)
            ax.set_title(population, loc="left", fontsize=9.5, color=INK, pad=6)
        axes[0].set_ylim(len(classes) - 0.4, -0.6)
        axes[0].set_xlim(0, min(112.0, 100 * float(shares[["observed", "high"]].max().max()) + 12))
        source_line(figure, source)
    return figure


def _share_bars(ax: "Axes", rows: pd.DataFrame) -> None:
    """Draw one population, a row per class of the index."""
    from offroute.report.style import COLOURS, CORRECTED, INK, MUTED, PANEL  # noqa: PLC0415 - it loads matplotlib

    place = np.arange(len(rows), dtype=np.float64)
    colours = [COLOURS.get(str(name), CORRECTED) for name in rows.index]
    percent = 100 * rows[["observed", "corrected", "low", "high"]]
    ax.barh(place - 0.19, percent["observed"], height=0.34, color=PANEL, alpha=0.55)
    ax.barh(place + 0.19, percent["corrected"], height=0.34, color=colours, alpha=0.85)
    ax.hlines(place + 0.19, percent["low"], percent["high"], color=INK, linewidth=1.2)
    for where, (_, row) in zip(place, percent.iterrows(), strict=True):
        if np.isfinite(row["corrected"]):
            reach = max(row["high"], row["corrected"])
            ax.text(reach + 1.2, where + 0.19, f"{row['corrected']:.1f}", fontsize=8, va="center")
            ax.text(
                row["observed"] + 1.2, where - 0.19, f"{row['observed']:.1f}", fontsize=8,
                va="center", color=MUTED,
            )  # fmt: skip  # dense
    ax.set_yticks(place, [str(name) for name in rows.index], color=INK)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel("% of tokens", fontsize=8)
