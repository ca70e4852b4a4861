"""The ledger in words."""

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offroute._checks import check_choice
from offroute.exceptions import UsageError

_COLUMNS = ["id", "measured_on", "entity", "value", "unit", "population", "family", "confidence"]


def ledger_table(
    ledger: pd.DataFrame, *, entity: str | None, family: str | None, use: str | None
) -> pd.DataFrame:
    """Select rows of the ledger.

    Parameters
    ----------
    ledger : pandas.DataFrame
        The ledger.
    entity : str or None
        Text that the entity contains, in any case.
    family : str or None
        Exact family.
    use : {'likelihood', 'context'} or None
        Use.

    Returns
    -------
    pandas.DataFrame
        The rows, all columns.

    Raises
    ------
    UsageError
        If the use or the family does not exist.
    """
    keep = pd.Series(True, index=ledger.index)
    if use is not None:
        check_choice(use, ["likelihood", "context"], name="use", error=UsageError)
        keep &= ledger["use"] == use
    if family is not None:
        families = sorted(set(ledger["family"].dropna()))
        check_choice(family, families, name="family", error=UsageError)
        keep &= ledger["family"] == family
    if entity is not None:
        keep &= ledger["entity"].str.contains(entity, case=False, regex=False)
    return ledger[keep].reset_index(drop=True)


def ledger_view(shown: pd.DataFrame, ledger: pd.DataFrame) -> RenderableType:
    """Lay out a list of rows: the benchmarks, then the others counted by reason.

    Parameters
    ----------
    shown : pandas.DataFrame
        Rows to show.
    ledger : pandas.DataFrame
        The whole ledger, for the counts.

    Returns
    -------
    rich renderable
        Two tables and a summary.
    """
    used = shown[shown["use"] == "likelihood"].sort_values(["family", "measured_on"])
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        rows.add_column(column.replace("_", " "), overflow="fold")
    for _, row in used.iterrows():
        rows.add_row(*[_cell(row[column]) for column in _COLUMNS])
    rest = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("rows", "why not a benchmark", "ids"):
        rest.add_column(heading, overflow="fold")
    others = shown[shown["use"] == "context"].groupby("reason")["id"]
    for reason, ids in sorted(others, key=lambda pair: -len(pair[1])):
        rest.add_row(str(len(ids)), str(reason), " ".join(ids))
    counts = ledger["use"].value_counts()
    summary = (
        f"{len(shown)} of {len(ledger)} rows; of all, {counts['likelihood']} are benchmarks and "
        f"{counts['context']} are not, each with its reason."
    )
    return Group(rows, "", rest, "", Text(summary, style="dim"))


def row_view(row: pd.Series, steps: list[tuple[str, str]]) -> RenderableType:
    """Lay out one row's conversion.

    Parameters
    ----------
    row : pandas.Series
        The row.
    steps : list of (str, str)
        As `offroute.measurement.conversion.conversion_steps` returns them.

    Returns
    -------
    rich renderable
        Steps and source.
    """
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in steps:
        table.add_row(name, text)
    table.add_row("confidence", row["confidence"])
    for name in ("source_title", "source_url", "note"):
        if pd.notna(row[name]):
            table.add_row(name.replace("_", " "), str(row[name]))
    return Group(Text(str(row["id"]), style="bold"), table)


def _cell(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:g}"
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]  # a cell is a scalar
