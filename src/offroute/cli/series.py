"""Command `series`: China against the US over time."""

from pathlib import Path
from typing import Annotated

import typer

from offroute._checks import check_choice, check_probability
from offroute.cli.app import Csv, Data, One, Plot, Seed, app, console, refusals
from offroute.data.snapshot import sidecar_of
from offroute.exceptions import UnknownPartition, UsageError
from offroute.inference.paths import ratio_series, share_series
from offroute.inference.pipeline import correct as correct_population
from offroute.inference.pipeline import load_market
from offroute.inference.shares import SHARE_PARTITIONS
from offroute.inference.trends import lead_weeks
from offroute.report.figures import check_plot, figure_bytes
from offroute.report.figures_series import series_figure, share_series_figure
from offroute.report.files import frame_to_csv, write_atomic
from offroute.report.over_time import series_view, share_series_view


@app.command(
    epilog="Examples: `offroute series`, `offroute series --population world-all-uses`, "
    "`offroute series --against closed --last 20 --csv series.csv`, "
    "`offroute series --by lab --quantity dollars --csv labs.csv --plot labs.png`"
)
@refusals
def series(  # numpydoc ignore=PR01
    *,
    population: One = "world-external-api",
    against: Annotated[str, typer.Option(help="The US side: all or closed.")] = "all",
    level: Annotated[float, typer.Option(help="Probability of intervals and band.")] = 0.9,
    by: Annotated[
        str | None,
        typer.Option(help="Shares of group, origin, weights, lab or tier instead of the ratio."),
    ] = None,
    quantity: Annotated[
        str, typer.Option(help="With --by: tokens, or dollars at the panel's prices.")
    ] = "tokens",
    last: Annotated[int, typer.Option(min=1, help="Weeks to print.")] = 30,
    seed: Seed = 0,
    data: Data = None,
    csv_file: Csv = None,
    plot_file: Plot = None,
) -> None:
    """Follow China against the US week by week, with a simultaneous band and the crossing week."""
    if by is not None:
        check_choice(by, SHARE_PARTITIONS, name="by", error=UnknownPartition)
    check_choice(quantity, ["tokens", "dollars"], name="quantity", error=UsageError)
    check_choice(against, ["all", "closed"], name="against", error=UsageError)
    check_probability(level, name="level")
    if plot_file is not None:
        check_plot(plot_file)
    market = load_market(data)
    posterior = correct_population(population, market=market, rng=seed, data_dir=data)
    cited = sidecar_of("usage", data).citation
    side = "US" if against == "all" else "closed US models"
    contents: dict[Path | None, str | bytes] = {}
    if by is not None:
        shares = share_series(posterior, by=by, quantity=quantity, level=level)
        contents[csv_file] = frame_to_csv(shares)
        view = share_series_view(shares, posterior, level, last)
        if plot_file is not None:
            title = f"Shares of {quantity} by {by}, {population}"
            figure = share_series_figure(shares, title=title, level=level, source=cited)
            contents[plot_file] = figure_bytes(figure, plot_file.suffix)
    else:
        us = market.is_us if against == "all" else market.is_us & market.is_closed
        table = ratio_series(posterior, market.is_china, us, level=level)
        leads = lead_weeks(posterior, closed_only=against == "closed")
        contents[csv_file] = frame_to_csv(table)
        view = series_view(table.tail(last), list(leads.values()), posterior, level)
        if plot_file is not None:
            title = f"Chinese tokens per token to {side}, {population}"
            figure = series_figure(table, leads, title=title, level=level, source=cited)
            contents[plot_file] = figure_bytes(figure, plot_file.suffix)
    write_atomic({path: content for path, content in contents.items() if path is not None})
    console().print(view)
