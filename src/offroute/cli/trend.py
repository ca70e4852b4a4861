"""Command `trend`: growth, drift and like with like."""

from typing import Annotated

import pandas as pd
import typer

from offroute._checks import check_probability
from offroute.cli.app import Csv, Data, Json, LatestWeek, Level, One, Seed, app, console, refusals
from offroute.inference.pipeline import correct as correct_population
from offroute.inference.pipeline import load_market
from offroute.inference.trends import check_window, trend_report
from offroute.measurement.market import latest_full_week, week_index
from offroute.report.files import frame_to_csv, frame_to_json, write_atomic
from offroute.report.trend import trend_frame, trend_view


@app.command(
    epilog="Examples: `offroute trend`, `offroute trend --since 2026-02-09 --week 2026-06-01 "
    "--population outside-china-external-api`, `offroute trend --csv trend.csv`"
)
@refusals
def trend(  # numpydoc ignore=PR01
    *,
    week: LatestWeek = None,
    since: Annotated[str, typer.Option(metavar="DAY", help="A day of the base week.")] = (
        "2026-01-05"
    ),
    population: One = "world-external-api",
    level: Level = 0.9,
    seed: Seed = 0,
    data: Data = None,
    json_file: Json = None,
    csv_file: Csv = None,
) -> None:
    """Say what survives without the level of coverage: the trend, open weights, break-even."""
    check_probability(level, name="level")
    market = load_market(data)
    day = latest_full_week(market) if week is None else week
    ends = week_index(market, since), week_index(market, day)
    check_window(market, *ends)
    posterior = correct_population(population, market=market, rng=seed, data_dir=data)
    report = trend_report(posterior, base=ends[0], week=ends[1], level=level)
    table = trend_frame(report)
    texts = {csv_file: frame_to_csv(table), json_file: frame_to_json(table)}
    write_atomic({path: text for path, text in texts.items() if path is not None})
    monday = pd.Timestamp(str(report.week))
    console().print(trend_view(report, monday))
