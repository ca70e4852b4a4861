"""From the ratio of the chart to the corrected one, by mechanism."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from paper_io import save, source, table

from offroute.report.figures_overturn import steps_figure

save(steps_figure(table("steps"), source=source()), "steps")
