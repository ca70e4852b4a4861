"""Command `diagnose`: is the posterior to be trusted, and where does it come from."""

from typing import Annotated

import numpy as np
import pandas as pd
import typer

from offroute._checks import check_probability
from offroute.cli.app import Csv, Data, Json, LatestWeek, Level, One, Seed, app, console, refusals
from offroute.estimators.synthesis import synthesise
from offroute.inference.diagnostics import (
    family_reliability,
    lab_shrinkage,
    leave_one_out,
    refit_one_out,
)
from offroute.inference.panel_quality import price_proxy_bias, weekly_defect
from offroute.inference.parameters import parameter_table
from offroute.inference.pipeline import correct as correct_population
from offroute.inference.pipeline import load_market
from offroute.inference.shares import volumes
from offroute.measurement.ledger import take
from offroute.measurement.market import latest_full_week, week_index
from offroute.report.diagnose import diagnose_frame, diagnose_view
from offroute.report.files import frame_to_csv, frame_to_json, write_atomic


@app.command(
    epilog="Examples: `offroute diagnose`, `offroute diagnose --population "
    "outside-china-external-api --refit`, `offroute diagnose --csv diagnose.csv`"
)
@refusals
def diagnose(  # numpydoc ignore=PR01
    *,
    week: LatestWeek = None,
    population: One = "world-external-api",
    refit: Annotated[
        bool,
        typer.Option(help="Refit without each row whose weights are unreliable (up to a minute)."),
    ] = False,
    level: Level = 0.9,
    seed: Seed = 0,
    data: Data = None,
    json_file: Json = None,
    csv_file: Csv = None,
) -> None:
    """Check the posterior: rows left out, families, labs without evidence, the panel's defect."""
    check_probability(level, name="level")
    market = load_market(data)
    day = latest_full_week(market) if week is None else week
    index = week_index(market, day)
    posterior = correct_population(population, market=market, rng=seed, data_dir=data)
    rows = leave_one_out(posterior)
    rows = refit_one_out(posterior, rows, rng=seed) if refit else rows.assign(refitted=False)
    prior_only = synthesise(
        market,
        take(posterior.benchmarks, np.arange(0)),
        prior=posterior.prior,
        weeks=np.array([index]),
        n_draws=len(posterior.draws.base),
        rng=seed,
    )
    labs = lab_shrinkage(posterior, prior_only, index)
    families = family_reliability(posterior)
    defect = weekly_defect(posterior, level=level)
    proxy = price_proxy_bias(volumes(posterior, index), market.price[index])
    parameters = parameter_table(posterior, level=level)
    tables = {"row": rows, "family": families, "lab": labs, "parameter": parameters}
    table = diagnose_frame({**tables, "week": defect, "phi": proxy})
    table = table.assign(population=population, week=str(market.weeks[index]))
    texts = {csv_file: frame_to_csv(table), json_file: frame_to_json(table)}
    write_atomic({path: text for path, text in texts.items() if path is not None})
    monday = pd.Timestamp(str(market.weeks[index]))
    console().print(diagnose_view(posterior, tables, (defect, proxy, monday)))
