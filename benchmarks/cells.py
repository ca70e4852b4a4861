"""Time and memory of summing logs up in cells, against the same sums in plain DuckDB SQL.

    python benchmarks/cells.py --rows 10_000_000 --out benchmarks/results/cells.csv
    python benchmarks/cells.py --rows 100_000_000 --out benchmarks/results/cells_large.csv

The logs are made in chunks of 5e6 rows, a Parquet file each, and removed afterwards. Every run is
a fresh process on the same files, plain SQL and `collapse` in turns; times are of the query and the
frame, after a first query of three rows that imports what the engine imports late. Memory is the
peak of the process, Python included. Exits with 1 when the median ratio of CPU times is above 1.5
or the peak above 1.2 GB.
"""

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

CHUNK = 5_000_000
BY = ("origin", "size", "use", "hour")
LEVELS = (6, 8, 10, 24)
RATIO, PEAK_MB = 1.5, 1200.0

SQL = f"""
SELECT {", ".join(BY)}, count(*) AS "rows", sum(w) AS sum_w, sum(w * w) AS sum_w2,
    sum(w * tokens) AS sum_w_tokens, sum(w * w * tokens) AS sum_w2_tokens,
    sum(w * w * tokens * tokens) AS sum_w2_tokens_tokens
FROM (SELECT {", ".join(BY)}, w, tokens::DOUBLE AS tokens FROM read_parquet(?))
GROUP BY ALL
"""


def make_logs(folder: Path, rows: int) -> None:
    """Write made-up logs, one Parquet file per chunk, so that no more is ever in memory."""
    for part, start in enumerate(range(0, rows, CHUNK)):
        rng = np.random.default_rng((7, part))
        n = min(CHUNK, rows - start)
        columns = {
            name: pa.DictionaryArray.from_arrays(
                rng.integers(0, k, n, dtype=np.int8), [f"{name} {i}" for i in range(k)]
            )
            for name, k in zip(BY, LEVELS, strict=True)
        }
        columns["tokens"] = pa.array(rng.lognormal(7, 1.5, n).astype(np.int64))
        columns["w"] = pa.array(rng.lognormal(0, 0.5, n).astype(np.float32))
        pq.write_table(pa.table(columns), folder / f"part-{part:03}.parquet", compression="zstd")


def once(engine: str, files: str) -> dict[str, float]:
    """Run one engine in this process and say what it took and found."""
    if engine == "collapse":
        from offroute.data.cells import collapse  # noqa: PLC0415 - one engine a process

        def run(path: str) -> pd.DataFrame:
            return collapse(path, by=BY, volume="tokens", weight="w").frame
    else:
        import duckdb  # noqa: PLC0415 - likewise

        def run(path: str) -> pd.DataFrame:
            return duckdb.connect().execute(SQL, [path]).df()

    with tempfile.TemporaryDirectory() as folder:
        make_logs(Path(folder), 3)
        run(f"{folder}/part-*.parquet")
    wall, cpu = time.perf_counter(), time.process_time()
    frame = run(files)
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "cells": len(frame),
        "rows": int(frame["rows"].sum()),
        "tokens": float(frame["sum_w_tokens"].sum()),
    }


def measure(rows: int, rounds: int) -> list[dict[str, object]]:
    """Run both engines in turns and return medians."""
    runs: dict[str, list[dict[str, float]]] = {"duckdb": [], "collapse": []}
    with tempfile.TemporaryDirectory() as folder:
        # A process of its own, so that making the logs does not count for their reader.
        subprocess.run(
            [sys.executable, __file__, "--make", folder, "--rows", str(rows)], check=True
        )
        size = sum(p.stat().st_size for p in Path(folder).iterdir()) / 1e6
        for _ in range(rounds):
            for engine, found in runs.items():
                call = [sys.executable, __file__, "--engine", engine, "--files", folder]
                done = subprocess.run(call, check=True, capture_output=True, text=True)
                found.append(json.loads(done.stdout))
                print(engine, found[-1], flush=True)
    if not np.isclose(runs["duckdb"][0]["tokens"], runs["collapse"][0]["tokens"], rtol=1e-12):
        raise SystemExit("the two engines disagree")
    ratios = [b["cpu_s"] / a["cpu_s"] for a, b in zip(*runs.values(), strict=True)]
    walls = [b["wall_s"] / a["wall_s"] for a, b in zip(*runs.values(), strict=True)]
    facts = {
        "rounds": rounds,
        "date": date.today().isoformat(),
        "versions": f"duckdb {version('duckdb')}; ibis {version('ibis-framework')}",
        "machine": f"{os.cpu_count()} cores; {platform.system()} {platform.machine()}; "
        f"load {os.getloadavg()[0]:.0f}; Python {platform.python_version()}",
    }
    return [
        {
            "engine": engine,
            "rows": rows,
            "parquet_mb": f"{size:.0f}",
            "cells": int(found[0]["cells"]),
            "wall_s": f"{np.median([f['wall_s'] for f in found]):.3f}",
            "cpu_s": f"{np.median([f['cpu_s'] for f in found]):.3f}",
            "cpu_ratio": f"{np.median(ratios):.2f}" if engine == "collapse" else "1",
            "wall_ratio": f"{np.median(walls):.2f}" if engine == "collapse" else "1",
            "peak_mb": f"{max(f['peak_mb'] for f in found):.0f}",
            **facts,
        }
        for engine, found in runs.items()
    ]


def main() -> int:
    """Measure, write the table, and return 1 when a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--files", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make_logs(options.make, options.rows)
        return 0
    if options.engine:
        print(json.dumps(once(options.engine, f"{options.files}/part-*.parquet")))
        return 0
    table = measure(options.rows, options.rounds)
    if options.out:
        with options.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
    ours = table[1]
    print(ours)
    return int(float(str(ours["cpu_ratio"])) > RATIO or float(str(ours["peak_mb"])) > PEAK_MB)


if __name__ == "__main__":
    sys.exit(main())
