"""Draw the figure of README.md from results/weekly.csv; with --check, fail if it differs."""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from offroute.report.figures import figure_bytes, ratio_figure
from offroute.report.files import write_atomic

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "figures" / "ratio.svg"
TITLES = {
    "outside-china-external-api": "Customers outside mainland China, any API",
    "world-external-api": "Customers everywhere, any API",
}


def main() -> int:
    """Write the figure, or compare it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--out", type=Path, default=TARGET, help="default: docs/figures/ratio.svg")
    options = parser.parse_args()
    weekly = pd.read_csv(ROOT / "results" / "weekly.csv", parse_dates=["week_start"])
    provenance = json.loads((ROOT / "results" / "results.json").read_text())["provenance"]
    source = f"{provenance['citation']} Licensed under CC BY 4.0. Estimates: offroute."
    content = figure_bytes(ratio_figure(weekly, titles=TITLES, source=source), options.out.suffix)
    if not options.check:
        write_atomic({options.out: content})
        return 0
    if options.out.is_file() and options.out.read_bytes() == content:
        return 0
    print(f"{options.out.name} differs from results/weekly.csv: run make results", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
