"""Figures of how well the method does: simulated markets, held-out figures, other units."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from offroute._checks import check_columns
from offroute.report.figures_paper import BOX, name_panel, panels
from offroute.report.figures_sensitivity import ratio_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOMINAL = 0.9
QUANTITIES = {
    "log_ratio": "log ratio, tokens",
    "china_share": "share, of China",
    "log_lambda": "log, Lambda",
    "log_ratio_usd": "log ratio, dollars",
}
#: Rivals of the synthesis that have an interval.
RIVALS = {
    "naive": "naive:",
    "coverage ratio, Monte Carlo": "coverage\nratio:",
    "replicated calibration": "calibr.,\nrepl.:",
    "soft calibration": "calibr.,\nsoft:",
}


def validation_figure(table: pd.DataFrame, *, source: str) -> "Figure":
    """Draw coverage on simulated markets by world, and stated probabilities against frequencies.

    Parameters
    ----------
    table : pandas.DataFrame
        ``kind`` (coverage, calibration), ``world``, ``estimator``, ``quantity``, ``nominal``,
        ``measured``, ``markets``, ``se``, ``too_low``.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Left: coverage of nominal 90 % intervals of the log ratio by estimator and world, and of
        other quantities by the synthesis; below nominal in full colour. Right: how often China
        leads where a probability was stated.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from seaborn import heatmap, light_palette  # noqa: PLC0415 - likewise

    from offroute.report.style import CORRECTED, INK, MUTED, RC, TOO_LOW, source_line  # noqa: PLC0415 - it loads matplotlib

    needed = ["kind", "world", "estimator", "quantity", "nominal", "measured", "markets", "se"]
    check_columns(table, [*needed, "too_low"], name="table")
    held = table[(table["kind"] == "coverage") & (table["nominal"] == NOMINAL)]
    worlds = list(dict.fromkeys(held["world"]))
    columns = [(estimator, "log_ratio") for estimator in RIVALS]
    columns += [("synthesis", quantity) for quantity in QUANTITIES]
    with rc_context(RC):
        from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

        figure = Figure(figsize=(7.2, 3.7))
        left, right = figure.subplots(1, 2, width_ratios=(2.5, 1.0))
        figure.subplots_adjust(left=0.165, right=0.985, top=0.8, bottom=0.14, wspace=0.25)
        order = pd.MultiIndex.from_tuples(columns)
        held = held.assign(
            shown=100 * held["measured"],
            missing=(NOMINAL - held["measured"]).where(held["too_low"], 0.0),
        )
        shown, missing = (
            held.pivot(index="world", columns=["estimator", "quantity"], values=name).reindex(
                index=worlds, columns=order
            )
            for name in ("shown", "missing")
        )
        heatmap(
            missing, annot=shown, fmt=".0f", cmap=light_palette(TOO_LOW, as_cmap=True), vmin=0,
            vmax=1.3, cbar=False, linewidths=2.5, annot_kws={"size": 8, "color": INK}, ax=left,
        )  # fmt: skip  # dense
        left.set(xlabel="", ylabel="")
        left.set_yticks(np.arange(len(worlds)) + 0.5, worlds, color=INK, rotation=0)
        names = [f"{name}\nlog\nratio" for name in RIVALS.values()]
        names += ["synth.:\n" + text.replace(", ", "\n") for text in QUANTITIES.values()]
        left.set_xticks(np.arange(len(columns)) + 0.5, names, color=INK)
        left.xaxis.tick_top()
        left.tick_params(length=0, labelsize=7.2)
        left.text(0, len(worlds) + 0.2, "% of markets whose truth lies in the 90 % interval; "
                  "red: below it by\nmore than two standard errors", fontsize=7.2, color=MUTED,
                  va="top")  # fmt: skip  # dense
        curve = table[table["kind"] == "calibration"]
        right.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
        for _, row in curve.iterrows():
            p, f, reach = row["nominal"], row["measured"], 2 * row["se"]
            right.vlines(p, max(f - reach, 0), min(f + reach, 1), color=CORRECTED, linewidth=1)
            right.plot(p, f, "o", color=CORRECTED, markersize=5)
            right.annotate(f"{row['markets']:.0f}", (p, f), xytext=(6, -2), fontsize=7,
                           textcoords="offset points", color=MUTED)  # fmt: skip  # dense
        right.set_xlim(0, 1)
        right.set_ylim(0, 1)
        right.grid()
        right.tick_params(labelsize=7.5)
        right.set_xlabel("stated P(China leads)", fontsize=8)
        right.set_ylabel("China leads, part of markets", fontsize=8)
        name_panel(right, "all worlds, markets")
        source_line(figure, source)
    return figure


def held_out_figure(table: pd.DataFrame, *, population: str, source: str) -> "Figure":
    """Draw Lambda without each family of sources, and where held-out disclosures fell.

    Parameters
    ----------
    table : pandas.DataFrame
        ``kind`` (family, holdout, prequential), ``population``, ``family``, ``lambda`` with
        ``lambda_low`` and ``lambda_high``, ``pit``.
    population : str
        Population of the left part.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Left: Lambda of one population with all families and without each. Right: probability
        transforms of disclosures predicted without them, in all populations, as distribution
        functions against the diagonal.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise
    from seaborn import ecdfplot  # noqa: PLC0415 - likewise

    from offroute.report.style import CORRECTED, INK, MUTED, PANEL, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    needed = ["kind", "population", "family", "lambda", "lambda_low", "lambda_high", "pit"]
    check_columns(table, needed, name="table")
    rows = table[(table["kind"] == "family") & (table["population"] == population)]
    whole = rows[rows["family"] == "all families"].iloc[0]
    others = rows[rows["family"] != "all families"].sort_values("lambda")
    with rc_context(RC):
        figure = Figure(figsize=(7.2, 0.165 * len(others) + 1.25))
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
        figure.subplots_adjust(left=0.235, right=0.985, top=0.93, bottom=0.15, wspace=0.2)
        left.axvspan(whole["lambda_low"], whole["lambda_high"], color=CORRECTED, alpha=0.1, lw=0)
        left.axvline(whole["lambda"], color=CORRECTED, linewidth=1.2)
        for place, (_, row) in enumerate(others.iterrows()):
            left.hlines(place, row["lambda_low"], row["lambda_high"], color=PANEL, linewidth=1.2)
            left.plot(row["lambda"], place, "o", color=INK, markersize=3.5)
        ratio_axis(left, float(rows["lambda_low"].min()), float(rows["lambda_high"].max()))
        left.set_xticks([x for x in (0.5, 1, 2, 3, 5, 8) if x < 1.2 * rows["lambda_high"].max()])
        left.set_yticks(np.arange(len(others)), list(others["family"]), color=INK)
        left.set_ylim(-0.7, len(others) - 0.3)
        left.tick_params(labelsize=7, length=0)
        left.set_xlabel("Lambda without the family (log scale)", fontsize=8)
        name_panel(left, population)
        left.tick_params(axis="y", labelsize=6.8)
        names = {"holdout": "family left out", "prequential": "from earlier ones"}
        right.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
        for place, ((kind, text), colour) in enumerate(
            zip(names.items(), (INK, CORRECTED), strict=True)
        ):
            pit = table.loc[table["kind"] == kind, "pit"]
            ecdfplot(x=pit, color=colour, linewidth=1.5, ax=right)
            right.text(0.93, 0.15 - 0.08 * place, f"{text}: {len(pit)}", color=colour, fontsize=8,
                       ha="right", weight="bold")  # fmt: skip  # dense
        right.axvspan(0, 0.05, color=MUTED, alpha=0.12, lw=0)
        right.axvspan(0.95, 1, color=MUTED, alpha=0.12, lw=0)
        right.set_xlim(0, 1)
        right.set_ylim(0, 1)
        right.grid()
        right.set_xlabel("predicted probability of a smaller figure", fontsize=8)
        right.set_ylabel("part of the disclosures", fontsize=8)
        name_panel(right, "predicted, all populations")
        source_line(figure, source)
    return figure


def units_figure(units: pd.DataFrame, *, week: str, source: str) -> "Figure":
    """Draw the ratio of China to the US in every unit, on the panel and corrected.

    Parameters
    ----------
    units : pandas.DataFrame
        As `offroute.inference.other_units.unit_table` returns it, with ``population`` and
        ``week_start``.
    week : str
        Monday of the week drawn.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a population, one row a unit; bounds have no dot.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra

    from offroute.report.style import CORRECTED, INK, MUTED, PANEL, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    needed = ["population", "week_start", "unit", "observed", "observed_low", "observed_high"]
    check_columns(units, [*needed, "ratio", "low", "high"], name="units")
    units = units[units["week_start"].astype(str) == week]
    names = list(dict.fromkeys(units["population"]))
    with rc_context(RC):
        figure, axes = panels(len(names), 2.8, left=0.205, bottom=0.235)
        edge = (
            max(float(units["low"].min()), 0.01),
            float(units[["high", "observed_high"]].max().max()),
        )
        for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
            rows = units[units["population"] == name].reset_index(drop=True)
            for place, (_, row) in enumerate(rows.iterrows()):
                for y, stem, colour, width in (
                    (place - 0.16, "observed", PANEL, 2.2), (place + 0.16, "", CORRECTED, 2.6),
                ):  # fmt: skip  # dense
                    low, high = (row[f"{stem}_{k}" if stem else k] for k in ("low", "high"))
                    middle = row[stem or "ratio"]
                    ax.hlines(y, low, high, color=colour, linewidth=width, alpha=0.75)
                    if np.isfinite(middle):
                        ax.plot(middle, y, "o", color=colour, markersize=4.5)
                        ax.annotate(f"{middle:.2f}", (high, y), xytext=(4, 0), fontsize=7,
                                    textcoords="offset points", va="center",
                                    color=MUTED if stem else CORRECTED, bbox=BOX)  # fmt: skip
            ratio_axis(ax, edge[0], edge[1] * 1.6)
            ax.set_xticks([0.03, 0.1, 0.3, 1, 3])
            ax.tick_params(axis="y", length=0)
            name_panel(ax, name)
            if i == 0:
                ax.set_yticks(np.arange(len(rows)), list(rows["unit"]), color=INK)
                ax.set_ylim(len(rows) - 0.4, -0.6)
        axes[len(axes) // 2].set_xlabel(
            "China : US (log scale); grey: panel, violet: corrected", fontsize=8
        )
        source_line(figure, source)
    return figure
