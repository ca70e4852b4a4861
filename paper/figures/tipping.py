"""Who leads if the unseen part of either side is larger or smaller."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from paper_io import save, source, table

from offroute.report.figures_overturn import tipping_figure

save(tipping_figure(table("tipping"), source=source()), "tipping")
