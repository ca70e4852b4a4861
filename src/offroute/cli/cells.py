"""Command `cells`: people's own logs summed up in cells."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offroute.cli.app import Csv, app, console, refusals
from offroute.data.cell_table import CellTable, cells_to_csv
from offroute.data.cells import collapse
from offroute.data.log_formats import FORMATS, LogTable, read_log
from offroute.exceptions import NotIdentified, UsageError
from offroute.report.cells import cells_table, cells_view
from offroute.report.files import write_atomic

if TYPE_CHECKING:
    from offroute.inference.estimate import Estimate


@app.command(
    epilog="Examples: `offroute cells --format litellm spend.csv`, "
    "`offroute cells --format openrouter activity.csv --by lab,week --csv cells.csv`, "
    "`offroute cells logs.parquet --by origin,size --volume tokens --cluster account`"
)
@refusals
def cells(  # numpydoc ignore=PR01
    files: Annotated[list[Path], typer.Argument(help="CSV, Parquet or JSON-lines files.")],
    *,
    format_name: Annotated[
        str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; none: as it is.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Columns of the cells: origin,week.")] = None,
    volume: Annotated[str | None, typer.Option(help="Volume of a row.")] = None,
    weight: Annotated[str | None, typer.Option(help="Base weight of a row.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Sampled unit, as the account.")] = None,
    stratum: Annotated[str | None, typer.Option(help="Stratum of the sample.")] = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OURS=THEIRS", help="Another name of a column."),
    ] = None,
    csv_file: Csv = None,
) -> None:
    """Sum a log of any size up in cells, and show its own shares.

    With --format, columns get our names: model, lab, origin, provider, account, day, week,
    prompt_tokens, completion_tokens, tokens, dollars. Default then: by origin, tokens, clusters of
    accounts.
    """
    if format_name is None:
        if by is None or mapped:
            raise UsageError(
                "by, map",
                got=f"by {by}, map {mapped} without a format",
                rule="a log without a format needs --by, and its columns keep their names",
                next_step="Pass --by COLUMNS, or --format.",
            )
        log, source = LogTable(None), list(files)
    else:
        log = read_log(list(files), format=format_name, columns=_pairs(mapped or []))
        source = log.table
        by, volume, cluster = by or "origin", volume or "tokens", cluster or "account"
    found = collapse(
        source,
        by=[name.strip() for name in by.split(",") if name.strip()],
        volume=volume,
        weight=weight,
        strata=stratum,
        clusters=cluster,
    )
    table = cells_table(found, _shares(found))
    if csv_file is not None:
        write_atomic({csv_file: cells_to_csv(found)})
    console().print(cells_view(found, table, left_out=log.left_out, unclassified=log.unclassified))


def _pairs(items: list[str]) -> dict[str, str]:
    pairs = [item.partition("=") for item in items]
    wrong = [item for item, (ours, _, theirs) in zip(items, pairs, strict=True) if not theirs]
    if wrong:
        raise UsageError(
            "map",
            got=wrong[0],
            rule="must be OURS=THEIRS",
            next_step="Write --map account=team_id.",
        )
    return {ours: theirs for ours, _, theirs in pairs}


def _shares(found: CellTable) -> "Estimate | None":
    """Shares over the first column; None when the design cannot give a variance."""
    from offroute.estimators.cells import read_cells  # noqa: PLC0415 - slow to import
    from offroute.estimators.expansion import expansion  # noqa: PLC0415 - slow to import
    from offroute.inference.estimate import infer  # noqa: PLC0415 - slow to import

    point = expansion(read_cells(found, outcomes=[found.by[0]]))
    inside = bool(((point.values > 0) & (point.values < 1)).all())
    try:
        return infer(point, interval="logit" if inside else "t")
    except NotIdentified:
        return None
