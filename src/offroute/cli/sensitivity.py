"""Command `sensitivity`: what could overturn the answer."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.progress import Progress

from offroute._checks import check_probability
from offroute.cli.app import (
    Csv,
    Data,
    Json,
    LatestWeek,
    Level,
    One,
    Plot,
    Seed,
    app,
    console,
    refusals,
)
from offroute.data.snapshot import load_models, load_usage, sidecar_of
from offroute.inference.information import value_of_information
from offroute.inference.mechanism_steps import mechanism_steps
from offroute.inference.overturn import contour_frame, contour_of, overturn
from offroute.inference.pipeline import correct as correct_population
from offroute.inference.pipeline import load_market
from offroute.inference.scenarios import scenario_table
from offroute.inference.shares import volumes
from offroute.measurement.audit import audit_weeks
from offroute.measurement.market import latest_full_week, week_index
from offroute.report.figures import check_plot, figure_bytes
from offroute.report.figures_overturn import overturn_figure
from offroute.report.files import frame_to_csv, write_atomic
from offroute.report.over_time import scenario_view
from offroute.report.overturn import extrapolation, overturn_json, overturn_view, steps_frame


@app.command(
    epilog="Examples: `offroute sensitivity`, `offroute sensitivity --week 2026-06-01 "
    "--population outside-china-external-api --csv sensitivity.csv`, `offroute sensitivity "
    "--no-families --plot contour.png --json sensitivity.json`"
)
@refusals
def sensitivity(  # numpydoc ignore=PR01
    *,
    week: LatestWeek = None,
    population: One = "world-external-api",
    families: Annotated[bool, typer.Option(help="Leave out each family in turn as well.")] = True,
    level: Level = 0.9,
    seed: Seed = 0,
    data: Data = None,
    json_file: Json = None,
    csv_file: Csv = None,
    plot_file: Plot = None,
) -> None:
    """Say what could overturn the answer: priors, common errors, families, mechanisms."""
    check_probability(level, name="level")
    if plot_file is not None:
        check_plot(plot_file)
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
    v = volumes(posterior, int(posterior.draws.weeks[0]))
    audit = audit_weeks(load_usage(data), load_models(data))
    steps = steps_frame(
        mechanism_steps(posterior, week_index(market, day), audit, level=level)
    ).assign(population=population, week=v.week)
    grid = contour_frame(contour_of(v))
    found = overturn(posterior, week_index(market, day), seed=seed)
    contents: dict[Path | None, str | bytes] = {
        csv_file: frame_to_csv(table.assign(population=population, week=day)),
        json_file: overturn_json(found, {"scenarios": table, "steps": steps, "contour": grid}),
    }
    if plot_file is not None:
        figure = overturn_figure(
            grid, steps, level=level, source=sidecar_of("usage", data).citation
        )
        contents[plot_file] = figure_bytes(figure, plot_file.suffix)
    write_atomic({path: content for path, content in contents.items() if path is not None})
    news = value_of_information(v)
    console().print(
        Group(
            scenario_view(table, news, posterior, day, level),
            overturn_view(found, steps, posterior.prior.s_cm, level),
            *extrapolation(v.stale),
        )
    )
