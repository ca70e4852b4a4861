"""Command `series`: China against the US over time."""

from typing import Annotated

import typer

from offroute._checks import check_choice, check_probability
from offroute.cli.app import Csv, Data, One, app, console, refusals
from offroute.exceptions import UsageError
from offroute.inference.crossing import crossing
from offroute.inference.paths import log_ratio_paths, ratio_series
from offroute.inference.pipeline import correct as correct_population
from offroute.inference.pipeline import load_market
from offroute.report.files import frame_to_csv, write_atomic
from offroute.report.over_time import series_view


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
