"""Posterior of the week in which the lead of China begins."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from paper_io import save, source, table

from offroute.report.figures_paper import crossing_figure

save(crossing_figure(table("crossing"), against="US", source=source()), "crossing")
