"""Lambda without each family, and predicted disclosures."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from paper_io import save, source, table

from offroute.report.figures_validation import held_out_figure

save(
    held_out_figure(table("held_out"), population="world-external-api", source=source()),
    "held_out",
)
