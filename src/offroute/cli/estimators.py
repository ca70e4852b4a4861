"""Command `estimators`: all market estimators side by side."""

from pathlib import Path

import pandas as pd
from rich.console import RenderableType

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
from offroute.data.snapshot import load_crosswalk, load_ledger, sidecar_of
from offroute.inference.comparison import compare_estimators
from offroute.inference.pipeline import identify_population, load_market
from offroute.measurement.ledger import build_benchmarks
from offroute.measurement.market import latest_full_week, week_index
from offroute.report.correct import unidentified_view
from offroute.report.estimators import estimators_view
from offroute.report.figures import check_plot, figure_bytes
from offroute.report.figures_sensitivity import estimators_figure
from offroute.report.files import frame_to_csv, frame_to_json, write_atomic


@app.command(
    epilog="Examples: `offroute estimators`, `offroute estimators --week 2026-06-01 --population "
    "world-all-uses`, `offroute estimators --csv estimators.csv --plot estimators.png`"
)
@refusals
def estimators(  # numpydoc ignore=PR01
    *,
    week: LatestWeek = None,
    population: Several = None,
    level: Level = 0.9,
    seed: Seed = 0,
    data: Data = None,
    json_file: Json = None,
    csv_file: Csv = None,
    plot_file: Plot = None,
) -> None:
    """Compare the market estimators: what each believes of coverage, and what follows."""
    check_probability(level, name="level")
    if plot_file is not None:
        check_plot(plot_file)
    market = load_market(data)
    day = latest_full_week(market) if week is None else week
    index = week_index(market, day)
    ledger, crosswalk = load_ledger(data), load_crosswalk(data)
    views: list[RenderableType] = []
    tables = []
    for name in population or DEFAULT_POPULATIONS:
        found = identify_population(
            name, week=day, market=market, level=level, rng=seed, data_dir=data
        )
        if not found.identified:
            views.append(unidentified_view(found, day))
            continue
        benchmarks = build_benchmarks(ledger, crosswalk, market, population=name)
        table = compare_estimators(market, benchmarks, index, level=level, seed=seed)
        tables.append(table.assign(population=name, week=str(market.weeks[index]), level=level))
        views.append(estimators_view(tables[-1]))
    whole = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    contents: dict[Path | None, str | bytes] = {
        json_file: frame_to_json(whole),
        csv_file: frame_to_csv(whole),
    }
    if plot_file is not None and tables:
        figure = estimators_figure(whole, source=sidecar_of("usage", data).citation)
        contents[plot_file] = figure_bytes(figure, plot_file.suffix)
    write_atomic({path: content for path, content in contents.items() if path is not None})
    for view in views:
        console().print(view)
