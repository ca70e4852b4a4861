"""Resumable studies: workers, and the sidecar of a result."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from results_common import code_only

import offroute
from offroute._parallel import run_chunks
from offroute.estimators.prior import NEUTRAL, Prior

#: Layers above the statistics, which no study depends on.
_NO_STATISTICS = ("cli", "report")


def chunks_of_this_code(folder: Path) -> Path:
    """Return the folder, made if need be, of the chunks that this code computes: no older ones."""
    package = Path(offroute.__file__).parent
    paths = [
        p for p in package.rglob("*.py") if p.relative_to(package).parts[0] not in _NO_STATISTICS
    ]
    digest = hashlib.sha256()
    for path in (*sorted(paths), *sorted(Path(__file__).parent.glob("study_*.py"))):
        digest.update(code_only(path.read_text(encoding="utf-8")).encode())
    out = folder / digest.hexdigest()[:12]
    out.mkdir(parents=True, exist_ok=True)
    return out


def run_study(work: Callable[[Any], Path], tasks: Sequence[Any], *, workers: int) -> pd.DataFrame:
    """Run all tasks that are not finished and return the rows of all, in the order of the tasks.

    With other workers than processes of this machine, such as a Dask cluster, call `run_chunks`
    within ``joblib.parallel_config(backend="dask")`` instead.
    """
    with parallel_config(n_jobs=workers):
        paths = run_chunks(work, tasks, label="chunks of the study")
    return pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)


def parse_prior(items: Sequence[str]) -> Prior:
    """Change fields of the neutral prior, as in ``s_cm=0.25``."""
    names = {f.name for f in fields(Prior)} - {"name"}
    changes: dict[str, float] = {}
    for item in items:
        name, _, value = item.partition("=")
        if name not in names:
            raise SystemExit(f"--prior: no field {name!r}; there are {', '.join(sorted(names))}")
        changes[name] = float(value)
    return replace(NEUTRAL, name="changed" if changes else NEUTRAL.name, **changes)


def accepted(block: pd.DataFrame) -> pd.DataFrame:
    """Return the fits that were not refused."""
    return block[block["refused"].isna() | (block["refused"] == "")]


def interval_scores(block: pd.DataFrame) -> dict[str, float]:
    """Score fits of a kind: ``low``, ``median`` and ``high`` at 90 % against ``truth``."""
    done = accepted(block)
    error = done["median"] - done["truth"]
    rate = ((done["low"] <= done["truth"]) & (done["truth"] <= done["high"])).mean()
    return {
        "bias": error.mean(),
        "rmse": np.sqrt((error**2).mean()),
        "half_width_90": ((done["high"] - done["low"]) / 2).median(),
        "coverage_90": rate,
        "se_90": np.sqrt(rate * (1 - rate) / max(len(done), 1)),
    }


def write_result(
    table: pd.DataFrame, output: Path, *, about: str, command: str, prior: Prior, seeds: str
) -> None:
    """Write a table and, beside it, how it was made."""
    output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(output, index=False, float_format="%.4f")
    note = {
        "about": about,
        "command": command,
        "seeds": seeds,
        "prior": {f.name: getattr(prior, f.name) for f in fields(Prior)},
        "offroute": version("offroute"),
        "date": datetime.now(UTC).date().isoformat(),
        "columns": list(table.columns),
        "rows": len(table),
    }
    output.with_suffix(".json").write_text(json.dumps(note, indent=1) + "\n")
