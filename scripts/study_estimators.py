"""Run every market estimator on the real ledger, and answer for all populations.

Run: python scripts/study_estimators.py  (about a minute of one core)
"""

import argparse
from pathlib import Path

import pandas as pd

from offroute import __version__
from offroute.data.snapshot import load_crosswalk, load_ledger
from offroute.inference.comparison import compare_estimators
from offroute.inference.pipeline import load_market
from offroute.inference.summary import answer_table
from offroute.measurement.ledger import build_benchmarks
from offroute.measurement.market import week_index
from offroute.report.files import write_atomic

POPULATIONS = ("outside-china-external-api", "world-external-api", "world-all-uses")
WEEKS = ("2026-02-09", "2026-06-01", "2026-09-07")
SEED = 0


def study(folder: Path) -> None:
    """Write estimators.csv, answers.csv and leads.csv."""
    market, ledger, crosswalk = load_market(), load_ledger(), load_crosswalk()
    frames = []
    for population in POPULATIONS:
        b = build_benchmarks(ledger, crosswalk, market, population=population)
        for week in WEEKS:
            table = compare_estimators(market, b, week_index(market, week), seed=SEED)
            frames.append(table.assign(population=population, week=week))
    answers, leads, _ = answer_table(market, WEEKS, seed=SEED)
    tables = {"estimators": pd.concat(frames), "answers": answers, "leads": leads}
    head = f"# offroute {__version__}, seed {SEED}, python scripts/study_estimators.py\n"
    write_atomic(
        {
            folder / f"{name}.csv": head
            + table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
            for name, table in tables.items()
        }
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("studies"))
    study(parser.parse_args().out)
