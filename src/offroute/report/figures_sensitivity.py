"""The axis of a ratio, the contours of a lead, and every estimator beside each other."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from offroute._checks import check_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TICKS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def ratio_axis(ax: "Axes", low: float, high: float) -> None:
    """Logarithmic x axis of a ratio with plain labels and a line at one.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes to set.
    low : float
        Least ratio.
    high : float
        Largest ratio.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: PLC0415 - an extra

    from offroute.report.style import INK  # noqa: PLC0415 - it loads matplotlib

    ax.set_xscale("log")
    ax.set_xlim(low / 1.25, high * 1.25)
    ax.set_xticks([t for t in _TICKS if low / 1.25 <= t <= high * 1.25])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(axis="x")
    ax.axvline(1.0, color=INK, linewidth=0.9)


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

    from offroute.report.style import CORRECTED, INK, MUTED, PANEL, RC, source_line  # noqa: PLC0415 - it loads matplotlib

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
        )  # fmt: skip  # dense
        figure.text(
            0.01, 1 - 0.12 / height, f"One week, every estimator: week of {table['week'].iloc[0]}",
            fontsize=12, weight="bold", va="top",
        )  # fmt: skip  # dense
        figure.text(
            0.01, 1 - 0.38 / height, "Tokens to Chinese models per token to US models, with the "
            f"{table['level'].iloc[0]:.0%} interval where the estimator has one. Log scale.",
            color=MUTED, va="top",
        )  # fmt: skip  # dense
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
                )  # fmt: skip  # dense
                inside = min(max(row["ratio"], low), high)
                ax.plot(inside, place, "o", color=colour, markersize=6 if main else 4)
                if inside != row["ratio"]:
                    ax.annotate(
                        f"{row['ratio']:.0f} →", (inside, place), fontsize=7.5, color=colour,
                        ha="right", va="center", xytext=(-6, 0), textcoords="offset points",
                    )  # fmt: skip  # dense
            ax.set_title(name, loc="left", fontsize=9.5, color=INK, pad=6)
            ratio_axis(ax, low, high)
        axes[0].set_yticks(np.arange(len(names)), names, color=INK)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        for ax in axes:
            ax.tick_params(axis="y", length=0)
        source_line(figure, source)
    return figure


def contour_panel(ax: "Axes", grid: pd.DataFrame) -> None:
    """Draw filled contours of the probability over the two factors, on log axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes to draw on.
    grid : pandas.DataFrame
        Probability of a Chinese lead by the two factors.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: PLC0415 - an extra
    from seaborn import blend_palette  # noqa: PLC0415 - likewise

    from offroute.report.style import COLOURS, INK  # noqa: PLC0415 - it loads matplotlib

    table = grid.pivot(index="factor_china", columns="factor_us_closed", values="p_china_leads")
    x, y, p = table.columns.to_numpy(), table.index.to_numpy(), table.to_numpy()
    levels = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    shades = blend_palette([COLOURS["US"], "white", COLOURS["China"]], len(levels) + 3)
    # Neither the full colours nor the white of the middle: six shades on its two sides.
    ax.contourf(x, y, p, levels=levels, colors=[*shades[1:4], *shades[5:8]])
    if p.min() < 0.5 < p.max():  # noqa: PLR2004 - the order flips
        ax.contour(x, y, p, levels=[0.5], colors=[INK], linewidths=1.4)
    lines = ax.contour(x, y, p, levels=[0.05, 0.25, 0.75, 0.95], colors=[INK], linewidths=0.5)
    ax.clabel(lines, fmt="%.2f", fontsize=7)
    ax.plot(1.0, 1.0, "o", color=INK, markersize=5)
    ax.annotate("the estimate", (1.0, 1.0), xytext=(6, 5), textcoords="offset points", fontsize=8)
    for axis, set_scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        set_scale("log")
        axis.set_ticks([0.25, 0.5, 1.0, 2.0, 4.0])
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"x {v:g}"))
        axis.set_minor_locator(NullLocator())
    ax.set_xlabel("closed US models off the panel, times the estimate", fontsize=8)
    ax.set_ylabel("Chinese models off the panel, times the estimate", fontsize=8)
    ax.set_title("P(China leads)", loc="left", fontsize=9.5, color=INK, pad=6)
