"""Coverage of each lab, and what single figures imply."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from paper_io import save, source, table

from offroute.report.figures_paper import coverage_figure

save(
    coverage_figure(table("labs"), population="world-external-api", source=source()),
    "coverage",
)
