"""Figure of the critiques: what each does to the ratio of China to the United States."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from offroute._checks import check_columns
from offroute.exceptions import InvalidValue

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Factors on the axis; what reaches beyond the ends is drawn to the edge with an arrow.
_TICKS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_EDGE = 40.0
_COLUMNS = ("asked", "critique", "mechanism", "population", "week", "low", "effect", "high")


def critiques_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Arrange effects as the rows of the figure.

    Parameters
    ----------
    table : pandas.DataFrame
        As `offroute.inference.mechanisms.effect.effects_frame` returns it, with ``asked``, the
        population of the question, ``level`` and ``strength``.

    Returns
    -------
    pandas.DataFrame
        ``asked``, ``label``, ``row`` (the same for one label in every population), ``low``,
        ``middle`` (nan for bounds), ``high``: factors on the ratio of China to the US;
        ``strength``.

    Raises
    ------
    SchemaError
        If a column is missing.
    InvalidValue
        If there is no effect.

    Examples
    --------
    >>> table = pd.DataFrame([("p", "C5", "population", "p", "w", -0.5, 0.0, 0.5, 0.9, "weak")],
    ...                      columns=[*_COLUMNS, "level", "strength"])
    >>> critiques_rows(table)["label"][0], float(critiques_rows(table)["middle"][0])
    ('C5 population', 1.0)
    """
    check_columns(table, [*_COLUMNS, "level", "strength"], name="table")
    if table.empty:
        raise InvalidValue(
            "table",
            got="no effect",
            rule="the figure needs at least one",
            next_step="Ask for a population and week with effects.",
        )
    panel = np.where(table["population"] == "panel", " (panel)", "")
    label = table["critique"] + " " + table["mechanism"] + panel
    order = sorted(dict.fromkeys(label), key=lambda x: int(x.split()[0][1:]))
    return pd.DataFrame(
        {
            "asked": table["asked"],
            "label": label,
            "row": [order.index(x) for x in label],
            **{
                name: np.exp(table[column])
                for name, column in (("low", "low"), ("middle", "effect"), ("high", "high"))
            },
            "strength": table["strength"],
        }
    )


def critiques_figure(table: pd.DataFrame, *, source: str) -> "Figure":
    """Draw the effect of every critique with its interval or bounds.

    Parameters
    ----------
    table : pandas.DataFrame
        As for `critiques_rows`; several populations side by side.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a population, one row an effect. Estimates have a point, darker with stronger
        evidence; bounds are grey bars without one; an arrow leaves the axis. A mechanism that
        refuses one of the populations says so.

    Raises
    ------
    SchemaError, InvalidValue
        As `critiques_rows`.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise
    from matplotlib.lines import Line2D  # noqa: PLC0415 - likewise
    from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: PLC0415 - likewise

    from offroute.report.style import CORRECTED, INK, MUTED, PANEL, RC, source_line  # noqa: PLC0415 - it loads matplotlib

    rows = critiques_rows(table)
    names = list(dict.fromkeys(rows["asked"]))
    labels = rows.drop_duplicates("row").set_index("row")["label"].sort_index()
    look = {
        "strong": (CORRECTED, 2.6, CORRECTED),
        "moderate": (CORRECTED, 1.6, CORRECTED),
        "weak": (CORRECTED, 0.9, "white"),
        "bounds only": (PANEL, 5.0, None),
    }
    with rc_context(RC):
        width, height = 3.7 * len(names) + 4.3, 1.75 + 0.26 * len(labels)
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(
            left=4.0 / width, right=0.985, top=1 - 1.0 / height, bottom=0.72 / height, wspace=0.07
        )
        figure.text(
            0.01, 1 - 0.1 / height,
            f"What each critique does to China / US: week of {table['week'].mode().iloc[0]}",
            fontsize=12, fontweight="bold", va="top",
        )  # fmt: skip  # dense
        figure.text(
            0.01, 1 - 0.36 / height,
            f"Factor on the ratio of tokens, China / US; {float(table['level'].iloc[0]):.0%} "
            "intervals, or bounds. Effects overlap: they do not multiply.",
            color=MUTED, va="top",
        )  # fmt: skip  # dense
        for ax, name in zip(axes, names, strict=True):
            ax.set_xscale("log")
            ax.set_xlim(1 / _EDGE, _EDGE)
            ax.set_xticks(_TICKS)
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.grid(axis="x")
            ax.axvline(1.0, color=INK, linewidth=0.9)
            ax.tick_params(axis="y", length=0)
            ax.set_title(name, fontsize=9, loc="left", color=INK)
            ax.set_xlabel("China less than shown  <  1  <  China more than shown")
            for missing in sorted(set(labels.index) - set(rows.loc[rows["asked"] == name, "row"])):
                ax.text(1.0, missing, " no answer", color=MUTED, fontsize=7, va="center")
            for row in rows[rows["asked"] == name].itertuples():
                colour, line, face = look[row.strength]
                low, high = max(row.low, 1 / _EDGE), min(row.high, _EDGE)
                ax.plot(
                    [low, high], [row.row] * 2, color=colour, linewidth=line,
                    alpha=0.45 if face is None else 1.0, solid_capstyle="butt",
                )  # fmt: skip  # dense
                for end, beyond, mark in (
                    (1 / _EDGE, row.low < 1 / _EDGE, "<"),
                    (_EDGE, row.high > _EDGE, ">"),
                ):
                    if beyond:
                        ax.plot(end, row.row, mark, color=colour, markersize=5, clip_on=False)
                if face is not None:
                    ax.plot(
                        row.middle, row.row, "o", color=colour, markerfacecolor=face, markersize=4.5
                    )
        axes[0].set_yticks(list(labels.index), list(labels), fontsize=8, color=INK)
        axes[0].set_ylim(len(labels) - 0.4, -0.6)
        figure.legend(
            handles=[
                Line2D(
                    [], [], color=colour, linewidth=line, alpha=0.45 if face is None else 1.0,
                    marker="" if face is None else "o", markerfacecolor=face, markersize=4.5,
                    label=name,
                )
                for name, (colour, line, face) in look.items()
            ],
            loc="upper right", bbox_to_anchor=(0.99, 1 - 0.05 / height), ncols=4, frameon=False,
            title="strength of evidence", title_fontsize=8, fontsize=8,
        )  # fmt: skip  # dense
        source_line(figure, source)
    return figure
