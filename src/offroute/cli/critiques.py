"""Command `critiques`: each critique's mechanism and what it does."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from offroute._checks import check_probability
from offroute.cli.app import (
    DEFAULT_POPULATIONS,
    Csv,
    Data,
    Json,
    LatestWeek,
    Level,
    Plot,
    Seed,
    Several,
    app,
    console,
    refusals,
)
from offroute.data.snapshot import sidecar_of
from offroute.exceptions import UsageError
from offroute.inference.pipeline import correct as correct_population
from offroute.inference.pipeline import identify_population, load_market
from offroute.inference.shares import check_level, volumes
from offroute.measurement.market import latest_full_week, week_index
from offroute.measurement.populations import population as population_of
from offroute.report.figures import check_plot, figure_bytes
from offroute.report.figures_critiques import critiques_figure
from offroute.report.files import frame_to_csv, write_atomic


@app.command(
    epilog="Examples: `offroute critiques --week 2026-06-01`, `offroute critiques --week "
    "2026-06-01 --population us-startups`, `offroute critiques --detail`, `offroute critiques "
    "--csv c.csv --json c.json --plot c.png`"
)
@refusals
def critiques(  # numpydoc ignore=PR01
    *,
    week: LatestWeek = None,
    population: Several = None,
    level: Level = 0.9,
    seed: Seed = 0,
    detail: Annotated[
        bool, typer.Option("--detail", help="Print the tables behind: labs, units, hosts ...")
    ] = False,
    data: Data = None,
    json_file: Json = None,
    csv_file: Csv = None,
    plot_file: Plot = None,
) -> None:
    """Tabulate each critique: mechanism, parameter, evidence, direction, effect and strength."""
    from offroute.inference.mechanisms.detail import detail_tables  # noqa: PLC0415 - slow
    from offroute.inference.mechanisms.effect import effects_frame  # noqa: PLC0415 - likewise
    from offroute.inference.mechanisms.table import Question, Tables  # noqa: PLC0415 - likewise
    from offroute.inference.mechanisms.table import critiques as ask  # noqa: PLC0415 - likewise
    from offroute.report.critiques import (  # noqa: PLC0415 - likewise
        critiques_json,
        critiques_view,
        detail_view,
    )

    check_probability(level, name="level")
    if plot_file is not None:
        check_plot(plot_file)
    names = population or list(DEFAULT_POPULATIONS)
    for name in names:
        population_of(name)
    if len(set(names)) < len(names):
        raise UsageError(
            "population",
            got=", ".join(names),
            rule="each must be asked once",
            next_step="Leave out the repeated one.",
        )
    market = load_market(data)
    day = latest_full_week(market) if week is None else week
    monday = str(market.weeks[week_index(market, day)])
    tables, results, details = Tables(market, data), [], []
    for name in names:
        identified = identify_population(
            name, week=day, market=market, level=level, rng=seed, data_dir=data
        )
        fit = None
        if identified.identified:
            posterior = correct_population(
                name, weeks=(day,), rng=seed, market=market, data_dir=data
            )
            v = volumes(posterior, int(posterior.draws.weeks[0]))
            check_level(v, level)
            fit = posterior, v
        question = Question(name, monday, level, seed)
        results.append(ask(tables, question, fit, reason=identified.reason))
        details.append(detail_tables(tables, question, fit) if detail else {})
    frames = [effects_frame(r.effects).assign(asked=r.question.population) for r in results]
    table = pd.concat(frames, ignore_index=True)
    contents: dict[Path | None, str | bytes] = {
        json_file: critiques_json(results),
        csv_file: frame_to_csv(table),
    }
    if plot_file is not None:
        figure = critiques_figure(table, source=sidecar_of("usage", data).citation)
        contents[plot_file] = figure_bytes(figure, plot_file.suffix)
    write_atomic({path: content for path, content in contents.items() if path is not None})
    for result, behind in zip(results, details, strict=True):
        console().print(critiques_view(result))
        console().print(detail_view(behind))
