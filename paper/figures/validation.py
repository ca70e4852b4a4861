"""Coverage and calibration on simulated markets."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from paper_io import save, table

from offroute.report.figures_validation import validation_figure

save(
    validation_figure(
        table("validation"), source="Simulated markets of offroute; studies/coverage.csv."
    ),
    "validation",
)
