"""Command `sensitivity`: what could overturn the answer."""

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from offroute._checks import check_probability
from offroute.cli.app import Csv, Data, One, app, console, refusals
from offroute.inference.information import value_of_information
from offroute.inference.pipeline import correct as correct_population
from offroute.inference.pipeline import load_market
from offroute.inference.scenarios import scenario_table
from offroute.inference.shares import volumes
from offroute.measurement.market import latest_full_week, week_index
from offroute.report.files import frame_to_csv, write_atomic
from offroute.report.over_time import scenario_view


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
