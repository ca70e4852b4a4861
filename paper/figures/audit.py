"""The panel's own ratio: the chart's nine models, all named models, bounds."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from paper_io import chart_week, save, source, table

from offroute.report.figures_paper import audit_figure

save(
    audit_figure(
        table("audit", parse_dates=["week_start"]),
        chart_week=chart_week(),
        since="2025-07-01",
        source=source(estimates=False),
    ),
    "audit",
)
