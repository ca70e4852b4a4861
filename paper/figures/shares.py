"""Shares over time by population, naive against corrected, with simultaneous bands."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from paper_io import save, source, table

from offroute.report.figures_paper import shares_over_time_figure

weekly = table("share_weekly", parse_dates=["week_start"])
save(shares_over_time_figure(weekly, since="2025-07-01", source=source()), "shares")
