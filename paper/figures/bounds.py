"""Nested bounds of the ratio, from no assumption to a point."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from paper_io import save, source, table

from offroute.report.figures_overturn import nested_figure

save(nested_figure(table("bounds"), source=source()), "bounds")
