"""Command `correct`: the main job."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from offroute._checks import check_choice, check_probability
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
from offroute.data.snapshot import (
    load_usage,
    sidecar_of,
)
from offroute.estimators.prior import PRIORS
from offroute.exceptions import NotIdentified, UnknownPartition, UsageError
from offroute.inference.pipeline import correct as correct_population
from offroute.inference.pipeline import identify_population, load_market
from offroute.inference.shares import SHARE_PARTITIONS, check_level, contest, share_table, volumes
from offroute.measurement.market import latest_full_week
from offroute.measurement.populations import population as population_of
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


@app.command(
    epilog="Examples: `offroute correct`, `offroute correct --week 2026-06-01 --population "
    "world-all-uses`, `offroute correct --by lab --level 0.95 --json out.json --csv out.csv`, "
    "`offroute correct --plot shares.png`"
)
@refusals
def correct(  # numpydoc ignore=PR01
    *,
    week: LatestWeek = None,
    population: Several = None,
    by: Annotated[
        str, typer.Option(help="Partition: group, origin, weights, lab or tier.")
    ] = "group",
    level: Level = 0.9,
    prior: Annotated[str, typer.Option(help="Prior: neutral or informed.")] = "neutral",
    seed: Seed = 0,
    data: Data = None,
    json_file: Json = None,
    csv_file: Csv = None,
    plot_file: Plot = None,
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
        found = identify_population(
            name, week=day, market=market, level=level, rng=seed, data_dir=data
        )
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
