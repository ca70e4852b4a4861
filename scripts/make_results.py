"""Write results/ from the shipped snapshot; with --check, fail if the committed files differ.

Every number of README.md and of the Estimates in CHANGELOG.md is read from these files.
"""

# ruff: noqa: E402 - the number of threads must be set before numpy is imported
import os

# Before numpy: the matrices are small, and one thread adds in one order.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd

import offroute
from offroute.data.snapshot import SNAPSHOT_DIR, load_crosswalk, load_models, sidecar_of
from offroute.inference.paths import ratio_series
from offroute.measurement.audit import first_lasting, press_check, spells
from offroute.measurement.market import latest_full_week
from offroute.report.files import frame_to_csv, frame_to_records, write_atomic

ROOT = Path(__file__).resolve().parent.parent
POPULATIONS = ("outside-china-external-api", "world-external-api", "world-all-uses")
WEEKS = ("2026-02-09", "2026-06-01")
SEED, N_DRAWS, LEVEL = 0, 4000, 0.9
TOLERANCE = 1e-6
"""Relative: another machine's BLAS adds in another order."""


def provenance() -> dict[str, object]:
    """Return what the numbers were made with; no clock, so that a rerun is byte-identical."""
    sidecars = [sidecar_of(path.stem) for path in sorted(SNAPSHOT_DIR.glob("*.json"))]
    return {
        "command": "python scripts/make_results.py",
        "offroute": offroute.__version__,
        "date": sidecar_of("usage").as_of,
        "data": {s.name: {"as_of": s.as_of, "sha256": s.sha256} for s in sidecars},
        "citation": sidecar_of("usage").citation,
        "seed": SEED,
        "n_draws": N_DRAWS,
        "level": LEVEL,
        "prior": offroute.NEUTRAL.name,
        "unit": "tokens a week; shares and coverage as fractions; intervals low, median, high",
    }


def corrected(market: offroute.Market) -> tuple[dict[str, object], pd.DataFrame]:
    """Return the main job by population and week, and its share tables."""
    results: dict[str, object] = {}
    tables = []
    latest = latest_full_week(market)
    for population in POPULATIONS:
        weeks = {}
        for week in (*WEEKS, latest):
            posterior = offroute.correct(
                population, weeks=(week,), n_draws=N_DRAWS, rng=SEED, market=market
            )
            v = offroute.volumes(posterior, int(posterior.draws.weeks[0]))
            shares = {
                by: offroute.share_table(v, by=by, level=LEVEL) for by in ("group", "origin", "lab")
            }
            tables += [
                table.assign(population=population, week_start=week, by=by)
                for by, table in shares.items()
            ]
            weeks[week] = {
                "contest": asdict(offroute.contest(v, level=LEVEL)),
                "shares": {
                    by: {r.pop("class"): r for r in frame_to_records(shares[by])}
                    for by in ("group", "origin")
                },
                "weeks_since_last_benchmark": v.stale,
                "extrapolated": v.extrapolated,
                "benchmarks": len(posterior.benchmarks),
                "families": len(posterior.benchmarks.families),
                "effective_draws": posterior.ess,
                "k_hat": posterior.k_hat,
            }
        results[population] = weeks
    frame = pd.concat(tables, ignore_index=True)
    keys = ["population", "week_start", "by"]
    return {"latest": latest, "weeks": results}, frame[
        keys + [c for c in frame.columns if c not in keys]
    ]


def audited(table: pd.DataFrame) -> dict[str, object]:
    """Return the press check and the weeks in which China leads."""
    lasting = first_lasting(table["week_start"], table["leads"])
    return {
        "press": frame_to_records(press_check(table)),
        "leads_for_good_from": None if lasting is None else f"{lasting:%Y-%m-%d}",
        "spells": {
            flag: [
                [f"{a:%Y-%m-%d}", f"{b:%Y-%m-%d}"]
                for a, b in spells(table["week_start"], table[flag])
            ]
            for flag in ("leads", "leads_surely", "leads_possibly")
        },
    }


def used_of_ledger(market: offroute.Market) -> dict[str, object]:
    """Return how many rows of the ledger speak of each population, and why the others do not."""
    rows, crosswalk = offroute.load_ledger(), load_crosswalk()
    built = {
        p: offroute.build_benchmarks(rows, crosswalk, market, population=p) for p in POPULATIONS
    }
    return {
        "rows": len(rows),
        "likelihood": int((rows["use"] == "likelihood").sum()),
        "benchmarks": {p: len(b) for p, b in built.items()},
        "not_used": {
            reason: int(n)
            for reason, n in rows.loc[rows["use"] == "context", "reason"].value_counts().items()
        },
    }


def build() -> dict[str, str]:
    """Return the text of every file of results/ by its name."""
    market = offroute.load_market()
    audit = offroute.audit_weeks(offroute.load_usage(), load_models())
    main, shares = corrected(market)
    paths = pd.concat(
        [
            ratio_series(
                offroute.correct(p, n_draws=N_DRAWS, rng=SEED, market=market),
                market.is_china,
                market.is_us,
                level=LEVEL,
            ).dropna(subset=["observed"])
            for p in POPULATIONS
        ],
        ignore_index=True,
    )
    document = {
        "provenance": provenance(),
        "correct": main,
        "audit": audited(audit),
        "ledger": used_of_ledger(market),
    }
    return {
        "results.json": json.dumps(document, indent=1, allow_nan=False) + "\n",
        "shares.csv": frame_to_csv(shares),
        "weekly.csv": frame_to_csv(paths),
        "audit.csv": frame_to_csv(audit),
    }


def drift(old: object, new: object, where: str = "") -> list[str]:
    """Return the places where two parsed documents differ by more than the tolerance."""
    if isinstance(old, dict) and isinstance(new, dict):
        out = [f"{where}/{key}: only on one side" for key in sorted(old.keys() ^ new.keys())]
        return out + [d for key in old.keys() & new.keys() for d in
                      drift(old[key], new[key], f"{where}/{key}")]  # fmt: skip
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [d for i, (a, b) in enumerate(zip(old, new, strict=True)) for d in
                drift(a, b, f"{where}/{i}")]  # fmt: skip
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (old, new))
    if numbers and math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=1e-12):
        return []
    return [] if old == new else [f"{where}: {old} is now {new}"]


def parsed(name: str, text: str) -> object:
    """Return JSON as it is, and a CSV as lists of cells with numbers as floats."""

    def _cell(cell: str) -> object:
        try:
            return float(cell)
        except ValueError:
            return cell

    if name.endswith(".json"):
        return json.loads(text)
    return [[_cell(cell) for cell in line.split(",")] for line in text.splitlines()]


def main() -> int:
    """Write the files, or compare them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--folder", type=Path, default=ROOT / "results", help="default: results/")
    options = parser.parse_args()
    texts = build()
    if not options.check:
        write_atomic({options.folder / name: text for name, text in texts.items()})
        return 0
    found = []
    for name, text in texts.items():
        path = options.folder / name
        if not path.is_file():
            found.append(f"{name}: no such file")
            continue
        found += drift(parsed(name, path.read_text()), parsed(name, text), name)
    for line in found[:20]:
        print(line, file=sys.stderr)
    if found:
        print(f"{len(found)} results differ: run make results", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
