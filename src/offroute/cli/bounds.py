"""Command `bounds`: what is known without a model."""

from pathlib import Path

import numpy as np
import pandas as pd

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
from offroute.data.snapshot import (
    load_crosswalk,
    load_daily,
    load_ledger,
    load_models,
    load_roster,
    load_usage,
    sidecar_of,
)
from offroute.inference.billing import billing_parts
from offroute.inference.identification import SELF_HOST, SOLD, survey_bounds
from offroute.inference.identified_sets import (
    nested_table,
    self_hosting_break_even,
    truncation_table,
    us_customers,
)
from offroute.inference.overturn import log_ratio
from offroute.inference.pipeline import correct as correct_population
from offroute.inference.pipeline import identify_population, load_market
from offroute.inference.shares import contest, volumes
from offroute.measurement.audit import audit_weeks
from offroute.measurement.ledger import build_benchmarks
from offroute.measurement.market import latest_full_week, week_index
from offroute.measurement.truncation import hidden_bounds
from offroute.report.figures import check_plot, figure_bytes
from offroute.report.figures_overturn import nested_figure
from offroute.report.files import frame_to_csv, frame_to_json, write_atomic
from offroute.report.overturn import bounds_view


@app.command(
    epilog="Examples: `offroute bounds`, `offroute bounds --week 2026-06-01 --population "
    "us-enterprise`, `offroute bounds --population world-all-uses --csv bounds.csv "
    "--plot bounds.png`"
)
@refusals
def bounds(  # numpydoc ignore=PR01
    *,
    week: LatestWeek = None,
    population: One = "world-external-api",
    level: Level = 0.9,
    seed: Seed = 0,
    data: Data = None,
    json_file: Json = None,
    csv_file: Csv = None,
    plot_file: Plot = None,
) -> None:
    """Bound the answer without a model, from no assumption to the posterior's point."""
    check_probability(level, name="level")
    if plot_file is not None:
        check_plot(plot_file)
    market = load_market(data)
    day = latest_full_week(market) if week is None else week
    index = week_index(market, day)
    monday = pd.Timestamp(str(market.weeks[index]))
    ledger, models = load_ledger(data), load_models(data)
    sold = None
    if population == SELF_HOST:
        posterior = correct_population(SOLD, weeks=(day,), market=market, rng=seed, data_dir=data)
        sold = volumes(posterior, index)
    found = identify_population(
        population, week=day, market=market, level=level, sold=sold, data_dir=data
    )
    # What is sold through APIs is a part of what is used when self-hosting counts as well.
    part_of = SOLD if population == SELF_HOST else population
    b = build_benchmarks(ledger, load_crosswalk(data), market, population=part_of)
    hidden = hidden_bounds(load_daily(data), load_roster(data), models, by="origin")
    panel = truncation_table(audit_weeks(load_usage(data), models), hidden, monday)
    point, notes = None, []
    if found.identified:
        posterior = correct_population(
            population, weeks=(day,), market=market, rng=seed, data_dir=data
        )
        point = contest(volumes(posterior, index)).undersampling[1]
    nested = nested_table(market, b, index, ceilings=part_of == population, coverage_ratio=point)
    if population.startswith("us-"):
        # The panel is no part of these populations, so that Y >= X does not hold for them.
        nested = nested.iloc[:1]
    x = [market.X[index, side].sum() for side in (market.is_china, market.is_us)]
    part, total = billing_parts(ledger)["US"], market.X[index].sum() + market.stealth[index]
    share, extra = float(x[0] / sum(x)), []
    exact, interval = us_customers(share, part, rest=1 - float(sum(x) / total), level=level)
    extra.append(("US customers of the panel (Duncan and Davis)", *exact))
    extra.append((f"the same, {level:.0%} interval (Imbens and Manski)", *interval))
    notes.append(
        f"US customers of the panel: China's share among them lies in [{exact[0]:.3g}, "
        f"{exact[1]:.3g}] by the panel's margins alone (Duncan and Davis); with an error of 3 "
        f"points in their part of {part:.0%}, in [{interval[0]:.3g}, {interval[1]:.3g}] "
        f"({level:.0%}, Imbens and Manski)."
    )
    chained = found.bounds[-1:] if population == SELF_HOST else ()
    for name, low, high in (*survey_bounds(ledger, population), *chained):
        extra.append((name, low, high))
        notes.append(f"China's share in [{low:.3g}, {high:.3g}] {name}.")
    if sold is not None:
        h = np.quantile(self_hosting_break_even(sold), [0.05, 0.5, 0.95])
        R = log_ratio(sold, against="US closed")
        notes.append(
            f"Self-hosting can only add to open weights. From {SOLD}: the ratio of "
            f"China to closed US models is at least {np.exp(np.median(R)):.2f} (median), "
            f"P(China > US closed) at least {(R > 0).mean():.3f}; China leads all US models only "
            "if self-hosted tokens of Chinese open weights exceed "
            f"{h[1]:.1f} [{h[0]:.1f}, {h[2]:.1f}] times those sold through APIs, more if US "
            "weights are self-hosted as well."
        )
    if not found.identified:
        notes.insert(0, f"NOT IDENTIFIED: {found.reason}.")
    table = pd.concat(
        [
            panel.rename(columns={"what": "assumption"}).assign(of="panel ratio"),
            nested.assign(of="market ratio"),
            pd.DataFrame(extra, columns=["assumption", "low", "high"]).assign(of="China's share"),
        ],
        ignore_index=True,
    ).assign(population=population, week=f"{monday:%Y-%m-%d}")
    contents: dict[Path | None, str | bytes] = {
        csv_file: frame_to_csv(table),
        json_file: frame_to_json(table),
    }
    if plot_file is not None:
        title = f"What the data allow, week of {monday:%Y-%m-%d} (dashed: on the panel)"
        cited = sidecar_of("usage", data).citation
        figure = nested_figure(
            nested.assign(population=population, panel=x[0] / x[1]), title=title, source=cited
        )
        contents[plot_file] = figure_bytes(figure, plot_file.suffix)
    write_atomic({path: content for path, content in contents.items() if path is not None})
    console().print(bounds_view(panel, nested, notes, name=population, week=f"{monday:%Y-%m-%d}"))
