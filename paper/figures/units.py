"""The ratio in tokens, output tokens, requests, dollars and text."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from paper_io import chart_week, save, source, table

from offroute.report.figures_validation import units_figure

save(units_figure(table("units"), week=chart_week(), source=source()), "units")
