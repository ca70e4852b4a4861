"""Command line: parse, call, print."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console

from offroute.data.frames import resolve_week
from offroute.data.snapshot import load_models, load_usage
from offroute.exceptions import OffrouteError
from offroute.measurement.audit import audit_weeks
from offroute.report.audit import audit_json, audit_view
from offroute.report.files import frame_to_csv, write_atomic

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Corrected shares of large-language-model usage from a biased panel.",
)

Week = Annotated[str | None, typer.Option(metavar="MONDAY", help="One week, as 2026-06-01.")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", exists=True, file_okay=False, help="Folder of tables; default: the snapshot."
    ),
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON here.")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV here.")]

AUDIT_FROM = "2026-02-02"
"""First week that `audit` prints by default: the one before the press's first figure."""

WIDTH = 120
"""Columns of the output where it is not a terminal."""

P = ParamSpec("P")


def refusals(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a typed error into one message on stderr and its exit code (2 usage, 1 data).

    Parameters
    ----------
    command : callable
        Command to wrap.
    """

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> None:  # numpydoc ignore=GL08
        try:
            command(*args, **options)
        except OffrouteError as error:
            typer.echo(f"offroute: {type(error).__name__}: {error}", err=True)
            raise typer.Exit(error.exit_code) from error

    return run


def console() -> Console:
    """Return the console for standard output: the terminal's width, else a fixed one."""
    probe = Console()
    return probe if probe.is_terminal else Console(width=WIDTH)


@app.callback()
def root() -> None:
    """Correct the shares of a usage panel that covers parts of the market unevenly."""


@app.command(
    epilog="Examples: `offroute audit`, `offroute audit --week 2026-05-18`, "
    "`offroute audit --csv audit.csv --json audit.json`"
)
@refusals
def audit(  # numpydoc ignore=PR01
    week: Week = None, data: Data = None, json_file: Json = None, csv_file: Csv = None
) -> None:
    """Check the press's figures: its rule, all named models, and what the panel leaves open."""
    usage = load_usage(data)
    asked = None if week is None else resolve_week(usage, week)
    table = audit_weeks(usage, load_models(data))
    shown = table[
        table["week_start"] >= AUDIT_FROM if asked is None else table["week_start"] == asked
    ]
    texts = {json_file: audit_json(table, shown), csv_file: frame_to_csv(shown)}
    write_atomic({path: text for path, text in texts.items() if path is not None})
    console().print(audit_view(table, shown))
