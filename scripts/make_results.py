"""Write results/ from the shipped snapshot and studies/; with --check, fail on a stale number.

Every number of README.md, of the Estimates in CHANGELOG.md and of the paper is read from these
files. The check compares hashes of all that went in and came out, and recomputes a small part; if
the code has changed since, it recomputes everything.
"""

# ruff: noqa: E402 - the number of threads must be set before numpy is imported
import os

# Before numpy: the matrices are small, and one thread adds in one order.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))

from results_answers import (
    answer,
    corrected,
    lab_coverage,
    ledger_use,
    one_week,
    over_time,
    unidentified,
)
from results_common import (
    CHART_WEEK,
    N_DRAWS,
    POPULATIONS,
    ROOT,
    SEED,
    finite,
    inputs,
    provenance,
)
from results_overturn import (
    bounds,
    critique_table,
    self_hosting,
    sensitivity,
    steps,
    tipping,
    trends,
)
from results_studies import (
    calibration_of_simulation,
    held_out,
    other_methods,
    pass_through,
    validation,
)

from offroute.data.snapshot import load_models, load_usage
from offroute.inference.pipeline import correct, load_market
from offroute.measurement.audit import audit_weeks, first_lasting, press_check, spells
from offroute.measurement.market import latest_full_week
from offroute.report.files import frame_to_csv, frame_to_records, write_atomic

TOLERANCE = 1e-6
"""Relative: another machine's BLAS adds in another order."""
PROBE = POPULATIONS[1]
"""Population whose answer in the chart's week every check recomputes."""


def audited(table: pd.DataFrame) -> dict[str, object]:
    """Return the press check, the weeks in which China leads, and the chart's week."""
    lasting = first_lasting(table["week_start"], table["leads"])
    return {
        "press": frame_to_records(press_check(table)),
        "leads_for_good_from": None if lasting is None else f"{lasting:%Y-%m-%d}",
        "chart_week": frame_to_records(table[table["week_start"] == CHART_WEEK])[0],
        "spells": {
            flag: [
                [f"{a:%Y-%m-%d}", f"{b:%Y-%m-%d}"]
                for a, b in spells(table["week_start"], table[flag])
            ]
            for flag in ("leads", "leads_surely", "leads_possibly")
        },
    }


def quick() -> tuple[dict[str, object], dict[str, pd.DataFrame]]:
    """Return the parts that are computed in a moment."""
    audit = audit_weeks(load_usage(), load_models())
    coverage, coverage_rows = validation()
    evidence, evidence_rows = held_out()
    document = {
        "audit": audited(audit),
        "validation": coverage,
        "sbc": calibration_of_simulation(),
        "other_methods": other_methods(),
        "held_out": evidence,
        "pass_through": pass_through(),
    }
    return document, {"audit": audit, "validation": coverage_rows, "held_out": evidence_rows}


def build() -> tuple[dict[str, object], dict[str, str]]:
    """Return the document and the text of every table of results/ by its name."""
    market = load_market()
    fast, tables = quick()
    main_job, more, of_chart = corrected(market)
    everywhen = {p: correct(p, n_draws=N_DRAWS, rng=SEED, market=market) for p in POPULATIONS}
    leads, series = over_time(everywhen)
    tables |= more | series
    tables["labs"] = lab_coverage(market, more["shares"], CHART_WEEK)
    tables["steps"] = steps(of_chart, tables["audit"])
    tables["tipping"] = tipping(of_chart)
    tables["bounds"], panel_bounds = bounds(market, of_chart, tables["audit"])
    moved, tables["scenarios"] = sensitivity(of_chart)
    undecided, tables["critiques"] = critique_table(of_chart)
    document = {
        "provenance": provenance(),
        "correct": main_job,
        **fast,
        "ledger": ledger_use(market),
        "leads": leads,
        "critiques_undecided": undecided,
        "steps": by_population(tables["steps"], "mechanism"),
        "units": {
            population: {
                week: {r.pop("unit"): r for r in frame_to_records(part)}
                for week, part in frame.groupby("week_start")
            }
            for population, frame in tables["units"].groupby("population")
        },
        "panel_bounds": panel_bounds,
        "bounds": by_population(tables["bounds"], "assumption"),
        "sensitivity": moved,
        "scenarios": by_population(tables["scenarios"], "scenario"),
        "trend": trends(everywhen),
        "self_hosting": self_hosting(of_chart[PROBE]),
        "unidentified": unidentified(market),
    }
    return finite(document), {f"{name}.csv": frame_to_csv(table) for name, table in tables.items()}


def by_population(table: pd.DataFrame, key: str) -> dict[str, object]:
    """Return the rows of a table by population and name, for a document."""
    return {
        str(population): {str(r.pop(key)): r for r in frame_to_records(part)}
        for population, part in table.groupby("population")
    }


def sealed(document: dict[str, object], tables: dict[str, str]) -> str:
    """Return the document with the hashes of all that went in and came out."""
    body = json.dumps(document, indent=1, allow_nan=False)
    seal = {
        "inputs": inputs(),
        "outputs": {
            "results.json": hashlib.sha256(body.encode()).hexdigest(),
            **{n: hashlib.sha256(t.encode()).hexdigest() for n, t in sorted(tables.items())},
        },
    }
    return json.dumps({**document, "seal": seal}, indent=1, allow_nan=False) + "\n"


def broken(folder: Path) -> list[str]:
    """Return the files that are not as they were written."""
    found = json.loads((folder / "results.json").read_text())
    seal = found.pop("seal")
    body = json.dumps(found, indent=1, allow_nan=False)
    out = []
    for name, digest in seal["outputs"].items():
        path = folder / name
        if not path.is_file():
            out.append(f"{name}: no such file")
            continue
        content = body.encode() if name == "results.json" else path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            out.append(f"{name}: changed by hand")
    return out


def changed(folder: Path) -> list[str]:
    """Return what went into the files and is different now."""
    old = json.loads((folder / "results.json").read_text())["seal"]["inputs"]
    new = inputs()
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def probe(folder: Path) -> list[str]:
    """Recompute what is cheap, and one answer, and return where it differs."""
    stored = json.loads((folder / "results.json").read_text())
    fast, tables = quick()
    market = load_market()
    found, _ = answer(*one_week(PROBE, CHART_WEEK, market))
    fast["ledger"] = ledger_use(market)
    # Through JSON, so that both sides are of the same types.
    fast = json.loads(json.dumps(finite(fast), allow_nan=False))
    out = [d for key, part in fast.items() for d in drift(stored[key], part, key)]
    kept = stored["correct"]["weeks"][PROBE][CHART_WEEK]
    out += drift(kept, json.loads(json.dumps(finite(found))), f"correct/{PROBE}/{CHART_WEEK}")
    if stored["correct"]["latest"] != latest_full_week(market):
        out.append("correct/latest: another week is the latest now")
    return out + compare(folder, {f"{n}.csv": frame_to_csv(t) for n, t in tables.items()})


def compare(folder: Path, texts: dict[str, str]) -> list[str]:
    """Return where files differ from texts by more than the tolerance."""
    found = []
    for name, text in texts.items():
        path = folder / name
        if path.is_file():
            found += drift(parsed(name, path.read_text()), parsed(name, text), name)
        else:
            found.append(f"{name}: no such file")
    return found


def drift(old: object, new: object, where: str = "") -> list[str]:
    """Return the places where two parsed documents differ by more than the tolerance."""
    if isinstance(old, dict) and isinstance(new, dict):
        out = [f"{where}/{key}: only on one side" for key in sorted(old.keys() ^ new.keys())]
        return out + [d for key in old.keys() & new.keys() for d in
                      drift(old[key], new[key], f"{where}/{key}")]  # fmt: skip  # dense
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [d for i, (a, b) in enumerate(zip(old, new, strict=True)) for d in
                drift(a, b, f"{where}/{i}")]  # fmt: skip  # dense
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


def check(folder: Path) -> list[str]:
    """Return what is stale: by hashes and a probe, or by all numbers if the inputs changed."""
    found = broken(folder)
    news = [] if found else changed(folder)
    if found or not news:
        return found or probe(folder)
    print(f"changed since results/ was made: {', '.join(news)}; recomputing all", file=sys.stderr)
    document, tables = build()
    stored = json.loads((folder / "results.json").read_text())
    stored.pop("seal")
    plain = json.loads(json.dumps(document, allow_nan=False))
    return drift(stored, plain, "results.json") + compare(folder, tables)


def main() -> int:
    """Write the files, or compare them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--folder", type=Path, default=ROOT / "results", help="default: results/")
    options = parser.parse_args()
    if not options.check:
        document, tables = build()
        texts = {**tables, "results.json": sealed(document, tables)}
        write_atomic({options.folder / name: text for name, text in texts.items()})
        return 0
    found = check(options.folder)
    for line in found[:20]:
        print(line, file=sys.stderr)
    if found:
        print(f"{len(found)} results differ: run make results", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
