"""Command `summary`: the answer in every population."""

from typing import Annotated

import typer

from offroute._checks import check_choice, check_probability
from offroute.cli.app import Csv, Data, Json, Level, Seed, app, console, refusals
from offroute.estimators.prior import PRIORS
from offroute.exceptions import UsageError
from offroute.inference.pipeline import load_market
from offroute.inference.summary import answer_table
from offroute.report.files import frame_to_csv, write_atomic
from offroute.report.summary import summary_json, summary_view

DEFAULT_WEEKS = ("2026-02-09", "2026-06-01", "2026-09-07")


@app.command(
    epilog="Examples: `offroute summary`, `offroute summary --week 2026-03-09 --week 2026-07-06`, "
    "`offroute summary --prior informed --csv answers.csv --json answers.json`"
)
@refusals
def summary(  # numpydoc ignore=PR01
    *,
    week: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY", help="A day of a week; repeat for several."),
    ] = None,
    prior: Annotated[str, typer.Option(help="Prior: neutral or informed.")] = "neutral",
    level: Level = 0.9,
    seed: Seed = 0,
    data: Data = None,
    json_file: Json = None,
    csv_file: Csv = None,
) -> None:
    """Answer for all six populations: ratio, Lambda, who leads, and since when."""
    check_choice(prior, list(PRIORS), name="prior", error=UsageError)
    check_probability(level, name="level")
    answers, leads, unidentified = answer_table(
        load_market(data),
        tuple(week or DEFAULT_WEEKS),
        prior=PRIORS[prior],
        level=level,
        seed=seed,
        data_dir=data,
    )
    texts = {csv_file: frame_to_csv(answers), json_file: summary_json(answers, leads, unidentified)}
    write_atomic({path: text for path, text in texts.items() if path is not None})
    console().print(summary_view(answers, leads, unidentified, level))
