"""Cells of people's own logs in words."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offroute._checks import listing
from offroute.data.cell_table import ROWS, CellTable

if TYPE_CHECKING:
    from offroute.inference.estimate import Estimate


def cells_table(cells: CellTable, estimate: "Estimate | None") -> pd.DataFrame:
    """Sum the cells up by their first column, with the shares of the volume.

    Parameters
    ----------
    cells : CellTable
        The cells.
    estimate : Estimate or None
        Shares of the levels of the first column, sorted by level; None when the design gives no
        standard error.

    Returns
    -------
    pandas.DataFrame
        Level, rows, volume, share and its interval; largest share first.
    """
    first = cells.by[0]
    size = "sum_w" if cells.volume is None else f"sum_w_{cells.volume}"
    table = cells.frame.groupby(first, sort=True)[[ROWS, size]].sum().reset_index()
    table["share"] = table[size] / table[size].sum()
    if estimate is not None:
        at = {name: i for i, name in enumerate(estimate.names)}
        place = [at[f"share({first}={level})"] for level in table[first]]
        table["share"] = estimate.values[place]
        table["lower"], table["upper"] = estimate.lower[place], estimate.upper[place]
    return table.sort_values("share", ascending=False, ignore_index=True)


def cells_view(
    cells: CellTable,
    table: pd.DataFrame,
    *,
    left_out: Mapping[str, int],
    unclassified: Sequence[str],
) -> RenderableType:
    """Lay out the shares of the log itself, and what was left out.

    Parameters
    ----------
    cells : CellTable
        The cells.
    table : pandas.DataFrame
        As `cells_table` returns it.
    left_out : mapping of str to int
        Rows that are no model calls.
    unclassified : sequence of str
        Models without a lab.

    Returns
    -------
    rich renderable
        A table and notes.
    """
    first, size = table.columns[0], table.columns[2]
    shares = Table(box=None, pad_edge=False, header_style="bold")
    shares.add_column(str(first), overflow="fold")
    headings = ["rows", cells.volume or "weight", "share", "95 % interval"]
    for heading in headings if "lower" in table else headings[:-1]:
        shares.add_column(heading, justify="right")
    for _, row in table.iterrows():
        words = [str(row[first]), f"{row[ROWS]:,}", f"{row[size]:,.6g}", f"{row['share']:.1%}"]
        if "lower" in table:
            words.append(f"{row['lower']:.1%} to {row['upper']:.1%}")
        shares.add_row(*words)
    unit = f"clusters of {cells.clusters}" if cells.clusters else "rows sampled on their own"
    notes = [f"{cells.rows:,} rows in {len(cells.frame):,} cells of {', '.join(cells.keys)}."]
    if "lower" in table:
        notes.append(
            f"Intervals: {unit}. They say how sure the log is of the population it was sampled "
            "from, which need not be a market."
        )
    else:
        notes.append("No intervals: the variance needs two clusters.")
    if left_out:
        words = [f"{count:,} {what}" for what, count in sorted(left_out.items())]
        notes.append(f"Left out, no model calls: {', '.join(words)}.")
    if unclassified:
        notes.append(f"No rule knows the lab of {listing(unclassified)}.")
    return Group(shares, "", *(Text(note, style="dim") for note in notes))
