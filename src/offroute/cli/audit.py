"""Command `audit`: the press's figures."""

from offroute.cli.app import Csv, Data, Json, Week, app, console, refusals
from offroute.data.frames import resolve_week
from offroute.data.snapshot import (
    load_models,
    load_usage,
)
from offroute.measurement.audit import audit_weeks
from offroute.report.audit import audit_json, audit_view
from offroute.report.files import frame_to_csv, write_atomic

AUDIT_FROM = "2026-02-02"
"""First week that `audit` prints by default: the one before the press's first figure."""


@app.command(
    epilog="Examples: `offroute audit`, `offroute audit --week 2026-05-18`, "
    "`offroute audit --csv audit.csv --json audit.json`"
)
@refusals
def audit(  # numpydoc ignore=PR01
    week: Week = None, data: Data = None, json_file: Json = None, csv_file: Csv = None
) -> None:
    """Check the press's figures: its rule, all named models, and what the panel leaves open."""
    usage = load_usage(data)
    asked = None if week is None else resolve_week(usage, week)
    table = audit_weeks(usage, load_models(data))
    shown = table[
        table["week_start"] >= AUDIT_FROM if asked is None else table["week_start"] == asked
    ]
    texts = {json_file: audit_json(table, shown), csv_file: frame_to_csv(shown)}
    write_atomic({path: text for path, text in texts.items() if path is not None})
    console().print(audit_view(table, shown))
