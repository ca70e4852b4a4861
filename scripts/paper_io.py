"""What the scripts of paper/figures/ share: where tables are, and how a figure is written."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from offroute.report.figures import figure_bytes
from offroute.report.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "paper" / "build"


def table(name: str, **options: object) -> pd.DataFrame:
    """Return a table of results/."""
    return pd.read_csv(ROOT / "results" / f"{name}.csv", **options)


def source(*, estimates: bool = True) -> str:
    """Return the line under a figure: source and licence, as the snapshot has them."""
    cited = json.loads((ROOT / "results" / "results.json").read_text())["provenance"]["citation"]
    return f"{cited} CC BY 4.0." + (" Estimates: offroute." if estimates else "")


def chart_week() -> str:
    """Return the Monday of the chart's week."""
    stored = json.loads((ROOT / "results" / "results.json").read_text())
    return str(stored["provenance"]["chart_week"])


def save(figure: "Figure", name: str) -> None:
    """Write a figure where the paper looks for it, or where the first argument says."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else BUILD
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic({folder / f"{name}.svg": figure_bytes(figure, ".svg")})
