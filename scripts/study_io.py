"""Resumable studies: chunks that are written once, workers, and the sidecar of a result."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from offroute.estimators.prior import NEUTRAL, Prior


def write_once(path: Path, make: Callable[[], pd.DataFrame]) -> Path:
    """Make a table and put it at `path` in one step, unless it is there."""
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        make().to_csv(unfinished, index=False)
        unfinished.rename(path)
    return path


def run_chunks(work: Callable[[Any], Path], tasks: Sequence[Any], *, workers: int) -> pd.DataFrame:
    """Run all tasks that are not finished and return the rows of all; order does not matter."""
    paths = []
    with get_context("spawn").Pool(workers) as pool:
        for done, path in enumerate(pool.imap(work, tasks), start=1):
            paths.append(path)
            print(f"{done}/{len(tasks)} {path.name}", flush=True)
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
