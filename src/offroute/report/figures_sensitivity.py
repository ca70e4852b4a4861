"""Figures of what could overturn the answer; each takes a tidy frame and returns a Figure."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from offroute._checks import check_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TICKS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def _ratio_axis(ax: "Axes", low: float, high: float) -> None:
    """Logarithmic x axis of a ratio with plain labels and a line at one."""
    from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: PLC0415 - an extra

    from offroute.report.style import GRID, INK  # noqa: PLC0415 - likewise

    ax.set_xscale("log")
    ax.set_xlim(low / 1.25, high * 1.25)
    ax.set_xticks([t for t in _TICKS if low / 1.25 <= t <= high * 1.25])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(axis="x", color=GRID, linewidth=0.7)
    ax.axvline(1.0, color=INK, linewidth=0.9)
    ax.set_axisbelow(True)


def estimators_figure(table: pd.DataFrame, *, source: str) -> "Figure":
    """Draw the ratio of China to the US under every estimator.

    Parameters
    ----------
    table : pandas.DataFrame
        As `offroute.inference.comparison.compare_estimators` returns it, with ``population``,
        ``week`` and ``level``; several populations under each other.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a population, one row an estimator, the naive ratio as a dashed line. An
        estimator that has no answer says so.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    from offroute.report.style import CORRECTED, INK, MUTED, PANEL, RC, source_line  # noqa: PLC0415

    check_columns(
        table,
        ["population", "week", "level", "estimator", "ratio", "ratio_low", "ratio_high", "refused"],
        name="table",
    )
    populations = list(dict.fromkeys(table["population"]))
    names = list(dict.fromkeys(table["estimator"]))
    # The prior alone spans orders of magnitude; its line is cut at the edge.
    firm = table[~table["estimator"].isin(["bias analysis", "selection on covariates"])]
    low = max(float(firm[["ratio", "ratio_low"]].min().min()), 0.005)
    high = min(float(firm[["ratio", "ratio_high"]].max().max()) * 3, 200.0)
    with rc_context(RC):
        height = 1.7 + 0.33 * len(names)
        figure = Figure(figsize=(4.6 * len(populations) + 1.4, height))
        axes = figure.subplots(1, len(populations), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(
            left=1.95 / (4.6 * len(populations) + 1.4), right=0.98, top=1 - 0.98 / height,
            bottom=0.78 / height, wspace=0.06,
        )  # fmt: skip
        figure.text(
            0.01, 1 - 0.12 / height, f"One week, every estimator: week of {table['week'].iloc[0]}",
            fontsize=12, weight="bold", va="top",
        )  # fmt: skip
        figure.text(
            0.01, 1 - 0.38 / height, "Tokens to Chinese models per token to US models, with the "
            f"{table['level'].iloc[0]:.0%} interval where the estimator has one. Log scale.",
            color=MUTED, va="top",
        )  # fmt: skip
        for ax, name in zip(axes, populations, strict=True):
            rows = table[table["population"] == name].set_index("estimator").reindex(names)
            ax.axvline(rows.loc["naive", "ratio"], color=PANEL, linewidth=1.0, linestyle="--")
            for place, (estimator, row) in enumerate(rows.iterrows()):
                if not np.isfinite(row["ratio"]):
                    ax.text(
                        1.0, place, " no answer", fontsize=7.5, color=MUTED, va="center", ha="left"
                    )
                    continue
                main = estimator == "evidence synthesis"
                colour = CORRECTED if main else PANEL if estimator == "naive" else INK
                ax.hlines(
                    place, row["ratio_low"], row["ratio_high"], color=colour,
                    linewidth=2.4 if main else 1.2,
                )  # fmt: skip
                inside = min(max(row["ratio"], low), high)
                ax.plot(inside, place, "o", color=colour, markersize=6 if main else 4)
                if inside != row["ratio"]:
                    ax.annotate(
                        f"{row['ratio']:.0f} →", (inside, place), fontsize=7.5, color=colour,
                        ha="right", va="center", xytext=(-6, 0), textcoords="offset points",
                    )  # fmt: skip
            ax.set_title(name, loc="left", fontsize=9.5, color=INK, pad=6)
            _ratio_axis(ax, low, high)
        axes[0].set_yticks(np.arange(len(names)), names, color=INK)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        for ax in axes:
            ax.tick_params(axis="y", length=0)
        source_line(figure, source)
    return figure
