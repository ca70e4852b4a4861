"""What a refresh brought, in words."""

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offroute._checks import listing

_SHOWN = 12


def refresh_view(
    daily: pd.DataFrame,
    usage: pd.DataFrame,
    placed: pd.DataFrame,
    undecided: pd.DataFrame,
    restated: pd.DataFrame,
    notes: list[str],
) -> RenderableType:
    """Lay out the summary of a refresh.

    Parameters
    ----------
    daily, usage : pandas.DataFrame
        Tables of the panel.
    placed : pandas.DataFrame
        Register rows of models that the base does not have.
    undecided : pandas.DataFrame
        As of `offroute.data.refresh.Refreshed`.
    restated : pandas.DataFrame
        As the table of this name.
    notes : list of str
        Lines to end with.

    Returns
    -------
    rich renderable
        Lines and tables.
    """
    last_week = usage["week_start"].max()
    parts: list[RenderableType] = [
        Text(
            f"Panel: {daily['date'].nunique()} days to {daily['date'].max():%Y-%m-%d}, "
            f"{usage['week_start'].nunique()} weeks, the last of {last_week:%Y-%m-%d}"
        ),
        Text(_restated_line(restated)),
        Text(f"New models placed by rules: {len(placed)}"),
    ]
    if len(placed):
        columns = ["model", "lab", "origin", "weights", "weights_rule", "tier"]
        parts.append(_rows(placed[columns].rename(columns={"weights_rule": "rule"})))
    if len(undecided):
        parts += ["", undecided_view(undecided)]
    parts += [Text(note, style="dim") for note in notes]
    return Group(*parts)


def undecided_view(undecided: pd.DataFrame) -> RenderableType:
    """Lay out what the user has to decide, the largest first.

    Parameters
    ----------
    undecided : pandas.DataFrame
        As of `offroute.data.refresh.Refreshed`.

    Returns
    -------
    rich renderable
        Heading and table.
    """
    shown = undecided.assign(share=undecided["share"].map(lambda s: f"{100 * s:.3g} %"))
    columns = ["kind", "name", "lab", "origin", "weights", "share", "reason"]
    names = {"share": "of the tokens of 28 days"}
    heading = Text(f"For you to decide: {len(undecided)}", style="bold")
    return Group(heading, _rows(shown[columns].rename(columns=names)))


def _restated_line(restated: pd.DataFrame) -> str:
    """Say how many values changed, and the largest relative change."""
    if restated.empty:
        return "Restated values: none"
    gone = int(restated["new"].isna().sum())
    both = restated.dropna(subset=["old", "new"])
    both = both[both["old"] > 0]
    line = f"Restated values: {len(restated)} on {listing(_days(restated))}"
    if len(both):
        change = (both["new"] / both["old"] - 1).to_numpy()
        i = int(abs(change).argmax())
        row = both.iloc[i]
        line += f"; largest {row['name']} on {row['date']:%Y-%m-%d}, {100 * change[i]:+.3g} %"
    return line + (f"; {gone} rows gone" if gone else "")


def _days(frame: pd.DataFrame) -> list[str]:
    return [f"{day:%Y-%m-%d}" for day in sorted(frame["date"].unique())]


def _rows(frame: pd.DataFrame) -> Table:
    """Return the first rows of a frame as a table, and say how many are left out."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in frame.columns:
        table.add_column(str(column), overflow="fold")
    for row in frame.head(_SHOWN).itertuples(index=False):
        table.add_row(*[str(value) for value in row])
    if len(frame) > _SHOWN:
        table.add_row(f"and {len(frame) - _SHOWN} more")
    return table
