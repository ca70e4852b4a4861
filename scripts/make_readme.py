"""Write README.md and the first Estimates of CHANGELOG.md from results/; --check compares."""

import argparse
import csv
import json
import re
import sys
from pathlib import Path

from offroute.report.files import write_atomic

ROOT = Path(__file__).resolve().parent.parent
NAMES = {
    "outside": "outside-china-external-api",
    "world": "world-external-api",
    "uses": "world-all-uses",
}
SMALLEST = 0.001
WEEKS = ("2026-02-09", "2026-06-01")
BEGIN, END = "<!-- estimates: begin, written by make results -->", "<!-- estimates: end -->"


def interval(low: float, middle: float, high: float, *, digits: int, scale: float = 1.0) -> str:
    """Return a median with its interval."""
    a, b, c = (f"{scale * x:.{digits}f}" for x in (low, middle, high))
    return f"{b} [{a}, {c}]"


def share(cell: dict[str, float]) -> str:
    """Return a corrected share in per cent with its interval."""
    return interval(cell["low"], cell["corrected"], cell["high"], digits=0, scale=100)


def probability(p: float) -> str:
    """Return a probability, never as zero: the draws are finite."""
    return "< 0.001" if p < SMALLEST else f"{p:.3f}"


def spans(runs: list[list[str]]) -> str:
    """Return runs of weeks in words."""
    words = [a if a == b else f"{a} to {b}" for a, b in runs]
    return ", ".join(words[:-1]) + (" and " if words[:-1] else "") + words[-1]


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, without its comments."""
    with path.open() as handle:
        return list(csv.DictReader(line for line in handle if not line.startswith("#")))


def studied(folder: Path) -> dict[str, str]:
    """Return what the committed studies measured."""
    rows = [
        row
        for row in read_table(folder / "coverage.csv")
        if (row["estimator"], row["quantity"]) == ("synthesis", "log_ratio")
    ]
    out = {f"coverage.{r['world']}": f"{100 * float(r['coverage_90']):.0f}" for r in rows}
    out |= {f"failed.{r['world']}": f"{100 * float(r['failed']):.0f}" for r in rows}
    held = [r["inside_90"] == "True" for r in read_table(folder / "prequential.csv")]
    out["prequential.rows"] = str(len(held))
    out["prequential.inside"] = f"{100 * sum(held) / len(held):.0f}"
    return out


def values(results: dict, speed: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the text of every placeholder that the results and the timings fill."""
    latest, weeks = results["correct"]["latest"], results["correct"]["weeks"]
    ledger, provenance = results["ledger"], results["provenance"]
    panel = weeks[NAMES["world"]][latest]
    out = {
        "version": provenance["offroute"],
        "n_draws": str(provenance["n_draws"]),
        "seed": str(provenance["seed"]),
        "data.citation": provenance["citation"],
        "data.citation_short": f"usage data as of {provenance['date']}",
        "ledger.rows": str(ledger["rows"]),
        "ledger.likelihood": str(ledger["likelihood"]),
        "ledger.context": str(ledger["rows"] - ledger["likelihood"]),
        "latest.week": latest,
        "latest.panel.ratio": f"{panel['contest']['observed_ratio']:.2f}",
        "latest.panel.china": f"{100 * panel['shares']['origin']['China']['observed']:.0f}",
        "latest.panel.us": f"{100 * panel['shares']['origin']['US']['observed']:.0f}",
        "audit.surely": spans(results["audit"]["spells"]["leads_surely"]),
        "audit.lasting": results["audit"]["leads_for_good_from"],
        "speed.import": f"{float(speed['import offroute']['cpu_s']):.2f}",
        "speed.correct": f"{float(speed['offroute correct']['cpu_s']):.1f}",
        "speed.memory": speed["offroute correct"]["peak_mb"],
    }
    for short, name in NAMES.items():
        for label, day in (("latest", latest), ("june", WEEKS[1])):
            week = weeks[name][day]
            contest, origin = week["contest"], week["shares"]["origin"]
            key = f"{label}.{short}"
            out[f"{key}.ratio"] = interval(*contest["ratio"], digits=2)
            out[f"{key}.lambda"] = interval(*contest["undersampling"], digits=1)
            out[f"{key}.p"] = probability(contest["p_china_leads"])
            out[f"{key}.p_printed"] = f"{contest['p_china_leads']:.3f}"
            out[f"{key}.stale"] = (
                f" (an extrapolation: its last benchmark is "
                f"{week['weeks_since_last_benchmark']:.0f} weeks older)"
                if week["extrapolated"]
                else ""
            )
            for side in ("China", "US"):
                cell = origin[side]
                out[f"{key}.{side.lower()}"] = share(cell)
                out[f"{key}.{side.lower()}_list"] = str(
                    [round(cell[part], 2) for part in ("observed", "low", "corrected", "high")]
                )
    return out


def fill(template: str, texts: dict[str, str]) -> str:
    """Replace every ``{{name}}``; a name without a text is an error."""
    return re.sub(r"\{\{([\w.-]+)\}\}", lambda found: texts[found[1]], template)


def estimates(results: dict) -> str:
    """Return the dated entry of the changelog."""
    provenance, weeks = results["provenance"], results["correct"]["weeks"]
    lines = [
        BEGIN,
        f"#### {provenance['date']} (as-of date of the usage data): first estimates",
        "",
        "Nothing stood here before. Tokens to China per token to the US on the panel, and",
        f"corrected with {100 * provenance['level']:.0f} % interval; {provenance['prior']} prior, "
        f"{provenance['n_draws']} draws, seed {provenance['seed']}.",
        "Cause: the first version of the model, ledger and snapshot. Command: `make results`.",
        "",
        "| population | week | panel | corrected | P(China leads) | Lambda |",
        "|---|---|---|---|---|---|",
    ]
    for name in NAMES.values():
        for day, week in weeks[name].items():
            contest = week["contest"]
            leads = probability(contest["p_china_leads"])
            lines.append(
                f"| {name} | {day} | {contest['observed_ratio']:.2f} | "
                f"{interval(*contest['ratio'], digits=2)} | {leads} | "
                f"{interval(*contest['undersampling'], digits=2)} |"
            )
    return "\n".join([*lines, END])


def main() -> int:
    """Write both files, or compare them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    root = parser.parse_args().root
    results = json.loads((root / "results" / "results.json").read_text())
    speed = {row["what"]: row for row in read_table(root / "benchmarks" / "startup.csv")}
    template = (root / "scripts" / "README.template.md").read_text()
    log = (root / "CHANGELOG.md").read_text()
    before, _, rest = log.partition(BEGIN)
    texts = {
        root / "README.md": fill(template, values(results, speed) | studied(root / "studies")),
        root / "CHANGELOG.md": before + estimates(results) + rest.partition(END)[2],
    }
    if not parser.parse_args().check:
        write_atomic(texts)
        return 0
    stale = [p.name for p, text in texts.items() if not p.is_file() or p.read_text() != text]
    for name in stale:
        print(f"{name} differs from results/: run make results", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
