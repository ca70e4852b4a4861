"""Command `ledger`: the public figures behind the correction."""

from typing import Annotated

import typer

from offroute.cli.app import Csv, Data, app, console, refusals
from offroute.data.snapshot import (
    load_crosswalk,
    load_ledger,
)
from offroute.inference.pipeline import load_market
from offroute.measurement.conversion import conversion_steps, find_row
from offroute.report.files import frame_to_csv, write_atomic
from offroute.report.ledger import ledger_table, ledger_view, row_view


@app.command(
    epilog="Examples: `offroute ledger`, `offroute ledger A-R12` (its conversion, step by step), "
    "`offroute ledger --family revenue:Anthropic`, `offroute ledger --use context --csv rest.csv`"
)
@refusals
def ledger(  # numpydoc ignore=PR01
    row: Annotated[str | None, typer.Argument(help="Id of a row whose conversion to show.")] = None,
    entity: Annotated[str | None, typer.Option(help="Rows whose entity contains this.")] = None,
    family: Annotated[str | None, typer.Option(help="Rows of this family.")] = None,
    use: Annotated[str | None, typer.Option(help="likelihood or context.")] = None,
    data: Data = None,
    csv_file: Csv = None,
) -> None:
    """List the public figures behind the correction, or show one row's conversion."""
    rows = load_ledger(data)
    if row is not None:
        steps = conversion_steps(find_row(rows, row), load_crosswalk(data), load_market(data))
        console().print(row_view(find_row(rows, row), steps))
        return
    shown = ledger_table(rows, entity=entity, family=family, use=use)
    if csv_file is not None:
        write_atomic({csv_file: frame_to_csv(shown)})
    console().print(ledger_view(shown, rows))
