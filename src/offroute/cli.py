"""Command line: parse, call, print."""

# ruff: noqa: E402 - the number of threads must be set before numpy is imported
import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    # The matrices are small: more threads only wait for each other.
    os.environ.setdefault(_name, "1")

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import pandas as pd
import typer
from rich.console import Console
from rich.progress import Progress

from offroute import __version__
from offroute._checks import check_choice, check_probability
from offroute.data.frames import resolve_week
from offroute.data.snapshot import (
    load_crosswalk,
    load_ledger,
    load_models,
    load_usage,
    sidecar_of,
)
from offroute.estimators.prior import PRIORS
from offroute.exceptions import NotIdentified, OffrouteError, UnknownPartition, UsageError
from offroute.inference.crossing import crossing
from offroute.inference.information import value_of_information
from offroute.inference.paths import log_ratio_paths, ratio_series
from offroute.inference.pipeline import correct as correct_population
from offroute.inference.pipeline import identify_population, load_market
from offroute.inference.scenarios import scenario_table
from offroute.inference.shares import SHARE_PARTITIONS, check_level, contest, share_table, volumes
from offroute.measurement.audit import audit_weeks
from offroute.measurement.conversion import conversion_steps, find_row
from offroute.measurement.market import latest_full_week, week_index
from offroute.measurement.populations import population as population_of
from offroute.report.audit import audit_json, audit_view
from offroute.report.correct import (
    correct_document,
    correct_json,
    correct_view,
    unidentified_json,
    unidentified_view,
    week_notes,
)
from offroute.report.figures import check_plot, figure_bytes, shares_figure
from offroute.report.files import frame_to_csv, write_atomic
from offroute.report.ledger import ledger_table, ledger_view, row_view
from offroute.report.over_time import scenario_view, series_view

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


DEFAULT_POPULATIONS = ("outside-china-external-api", "world-external-api")
"""Both are always printed: the sign of the correction depends on the population."""


@app.command(
    epilog="Examples: `offroute correct`, `offroute correct --week 2026-06-01 --population "
    "world-all-uses`, `offroute correct --by lab --level 0.95 --json out.json --csv out.csv`, "
    "`offroute correct --plot shares.png`"
)
@refusals
def correct(  # numpydoc ignore=PR01
    *,
    week: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="A day of the week; default: the latest full week."),
    ] = None,
    population: Annotated[
        list[str] | None,
        typer.Option(help="Population; repeat for several. Default: the two external-api ones."),
    ] = None,
    by: Annotated[
        str, typer.Option(help="Partition: group, origin, weights, lab or tier.")
    ] = "group",
    level: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.9,
    prior: Annotated[str, typer.Option(help="Prior: neutral or informed.")] = "neutral",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    data: Data = None,
    json_file: Json = None,
    csv_file: Csv = None,
    plot_file: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw here: .png, .svg or .pdf."),
    ] = None,
) -> None:
    """Correct the shares of one week for what the panel does not see (the main job)."""
    check_choice(prior, list(PRIORS), name="prior", error=UsageError)
    check_choice(by, SHARE_PARTITIONS, name="by", error=UnknownPartition)
    check_probability(level, name="level")
    names = population or list(DEFAULT_POPULATIONS)
    for name in names:
        population_of(name)
    if plot_file is not None:
        check_plot(plot_file)
    usage, market = load_usage(data), load_market(data)
    day = latest_full_week(market) if week is None else week
    views, documents, tables = [], [], []
    for name in names:
        found = identify_population(name, week=day, market=market, data_dir=data)
        if not found.identified:
            views.append(unidentified_view(found, day))
            documents.append(unidentified_json(found, day))
            continue
        posterior = correct_population(
            name, weeks=(day,), prior=PRIORS[prior], rng=seed, market=market, data_dir=data
        )
        v = volumes(posterior, int(posterior.draws.weeks[0]))
        check_level(v, level)
        table, result = share_table(v, by=by, level=level), contest(v, level=level)
        notes = week_notes(market, usage, v.week)
        views.append(correct_view(v, table, result, posterior, level, notes))
        documents.append(correct_json(v, table, result, posterior, level, notes))
        tables.append(table.assign(population=v.population, week=v.week, level=level))
    if plot_file is not None and not tables:
        raise NotIdentified(
            f"plot '{plot_file}'",
            got=f"no identified population among {', '.join(names)}",
            rule="there must be a share to draw",
            next_step="Leave the plot out to see the bounds.",
        )
    panel = sidecar_of("usage", data)
    shares = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    contents: dict[Path | None, str | bytes] = {
        json_file: correct_document(documents, panel.as_of, seed),
        csv_file: frame_to_csv(shares),
    }
    if plot_file is not None:
        figure = shares_figure(shares, level=level, source=panel.citation)
        contents[plot_file] = figure_bytes(figure, plot_file.suffix)
    write_atomic({path: content for path, content in contents.items() if path is not None})
    for view in views:
        console().print(view)


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


One = Annotated[str, typer.Option(help="Population.")]


@app.command(
    epilog="Examples: `offroute series`, `offroute series --population world-all-uses`, "
    "`offroute series --against closed --last 20 --csv series.csv`"
)
@refusals
def series(  # numpydoc ignore=PR01
    *,
    population: One = "world-external-api",
    against: Annotated[str, typer.Option(help="The US side: all or closed.")] = "all",
    level: Annotated[float, typer.Option(help="Probability of intervals and band.")] = 0.9,
    last: Annotated[int, typer.Option(min=1, help="Weeks to print.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    data: Data = None,
    csv_file: Csv = None,
) -> None:
    """Follow China against the US week by week, with a simultaneous band and the crossing week."""
    check_choice(against, ["all", "closed"], name="against", error=UsageError)
    check_probability(level, name="level")
    market = load_market(data)
    posterior = correct_population(population, market=market, rng=seed, data_dir=data)
    us = market.is_us if against == "all" else market.is_us & market.is_closed
    table = ratio_series(posterior, market.is_china, us, level=level)
    weeks, paths, _ = log_ratio_paths(posterior, market.is_china, us)
    leads = [
        crossing(paths, weeks),
        crossing(paths, weeks, run=1),
        crossing(paths, weeks, for_good=True),
    ]
    if csv_file is not None:
        write_atomic({csv_file: frame_to_csv(table)})
    console().print(series_view(table.tail(last), leads, posterior, level))


@app.command(
    epilog="Examples: `offroute sensitivity`, `offroute sensitivity --week 2026-06-01 "
    "--population outside-china-external-api --csv sensitivity.csv`"
)
@refusals
def sensitivity(  # numpydoc ignore=PR01
    *,
    week: Annotated[str | None, typer.Option(metavar="DAY", help="A day of the week.")] = None,
    population: One = "world-external-api",
    families: Annotated[bool, typer.Option(help="Leave out each family in turn as well.")] = True,
    level: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    data: Data = None,
    csv_file: Csv = None,
) -> None:
    """Refit under other priors, common errors of US disclosures, and without each family."""
    check_probability(level, name="level")
    market = load_market(data)
    day = latest_full_week(market) if week is None else week
    posterior = correct_population(population, weeks=(day,), market=market, rng=seed, data_dir=data)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("refits")
        table = scenario_table(
            posterior,
            week_index(market, day),
            families=families,
            level=level,
            seed=seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if csv_file is not None:
        write_atomic({csv_file: frame_to_csv(table.assign(population=population, week=day))})
    news = value_of_information(volumes(posterior, int(posterior.draws.weeks[0])))
    console().print(scenario_view(table, news, posterior, day, level))
