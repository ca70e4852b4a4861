"""What the parts of results/ share: populations, weeks, seed, and the hash of what made them."""

import ast
import hashlib
import math
import sys
from pathlib import Path

import offroute
from offroute.data.snapshot import SNAPSHOT_DIR, sidecar_of

ROOT = Path(__file__).resolve().parent.parent
POPULATIONS = ("outside-china-external-api", "world-external-api", "world-all-uses")
CHART_WEEK = "2026-06-01"
"""Week of the chart that the press showed."""
WEEKS = ("2026-02-09", CHART_WEEK)
SEED, N_DRAWS, LEVEL = 0, 4000, 0.9
#: Layers that a number of results/ can depend on.
_LAYERS = ("data", "measurement", "estimators", "inference", "_random", "_checks")
#: Tables of studies/ that results/ is also made from.
STUDIES = (
    "beta",
    "coverage",
    "coverage_reliability",
    "families",
    "holdout",
    "interval_coverage",
    "overlap_coverage",
    "prequential",
    "sbc",
    "selection_coverage",
    "unit_logs_coverage",
    "weights_coverage",
)


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
        "chart_week": CHART_WEEK,
        "unit": "tokens a week; shares and coverage as fractions; intervals low, median, high",
    }


def finite(x: object) -> object:
    """Return a document whose infinite and missing numbers are null, as JSON has it."""
    if isinstance(x, dict):
        return {key: finite(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [finite(value) for value in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x


def code_only(source: str) -> str:
    """Return a module without docstrings, comments and blank lines, the same on every Python."""
    tree = ast.parse(source)
    skip: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for statement in body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                skip |= set(range(statement.lineno, statement.end_lineno + 1))
    lines = enumerate(source.splitlines(), start=1)
    kept = [line.rstrip() for n, line in lines if n not in skip and line.strip()[:1] != "#"]
    return "\n".join(line for line in kept if line)


def code_hash() -> str:
    """Return one hash of the code that is imported for results/, statistics and scripts."""
    loaded = [
        name
        for name in sys.modules
        if name.partition(".")[0] == "offroute" and name.split(".")[1:2] and
        name.split(".")[1] in _LAYERS
    ]  # fmt: skip  # dense
    paths = [Path(str(sys.modules[name].__file__)) for name in sorted(loaded)]
    paths += sorted((ROOT / "scripts").glob("results_*.py"))
    digest = hashlib.sha256()
    for path in paths:
        digest.update(code_only(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def inputs() -> dict[str, str]:
    """Return the hash of everything that goes into results/."""
    tables = {s: (ROOT / "studies" / f"{s}.csv").read_bytes() for s in STUDIES}
    return {
        "code": code_hash(),
        **{
            f"data/{path.stem}": sidecar_of(path.stem).sha256
            for path in sorted(SNAPSHOT_DIR.glob("*.json"))
        },
        **{f"studies/{name}": hashlib.sha256(raw).hexdigest() for name, raw in tables.items()},
    }
