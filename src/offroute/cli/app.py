"""The application and what its commands share: options, errors, the console."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console

from offroute import __version__
from offroute.exceptions import OffrouteError
from offroute.report.files import check_outputs

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

Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw here: .png, .svg or .pdf."),
]
LatestWeek = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="A day of the week; default: the latest full week."),
]
One = Annotated[str, typer.Option(help="Population.")]
Several = Annotated[
    list[str] | None,
    typer.Option(help="Population; repeat for several. Default: the two external-api ones."),
]
Level = Annotated[float, typer.Option(help="Probability of the intervals.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the draws.")]

DEFAULT_POPULATIONS = ("outside-china-external-api", "world-external-api")
"""Both are always printed: the sign of the correction depends on the population."""

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
        files = [options.get(f"{kind}_file") for kind in ("csv", "json", "plot", "page")]
        try:
            check_outputs([f for f in files if isinstance(f, Path)])
            command(*args, **options)
        except OffrouteError as error:
            typer.echo(f"offroute: {type(error).__name__}: {error}", err=True)
            raise typer.Exit(error.exit_code) from error

    return run


def console() -> Console:
    """Return the console for standard output: the terminal's width, else a fixed one.

    Names in people's logs and answers of servers are shown as they are, brackets included.
    """
    probe = Console(markup=False, emoji=False)
    return probe if probe.is_terminal else Console(width=WIDTH, markup=False, emoji=False)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"offroute {__version__}")
        raise typer.Exit


@app.callback()
def root(  # numpydoc ignore=PR01
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Correct the shares of a usage panel that covers parts of the market unevenly."""
