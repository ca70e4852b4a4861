"""Time the estimators of unit logs against their peers, and their growth with the rows.

    python benchmarks/run_logs.py pairs --n 1000000 --out benchmarks/results/logs_pairs.csv
    python benchmarks/run_logs.py growth --out benchmarks/results/logs_growth.csv
    python benchmarks/run_logs.py memory --n 1000000 --out benchmarks/results/logs_memory.csv

`pairs` interleaves one call of the peer with three of ours in one process and reports the median
ratio of CPU times (user and system, which a busy machine distorts least) with its range. BLAS has
one thread. `memory` runs every call in its own process and reports what its input, made from the
logs, holds (`input_mb`) and what the call adds to that at its peak (`added_peak_mb`).
"""

import argparse
import contextlib
import csv
import io
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from generator import LEVELS, Logs, dense_columns, dense_totals, make_logs
from peers import BOUNDS, PEERS
from scipy.special import expit

from offroute.estimators.calibrate import calibrate, entropy_balance, rake
from offroute.estimators.estimands import share
from offroute.estimators.point import Design, Factor, Sample, Target, make_target
from offroute.estimators.propensity import ipw
from offroute.inference.resampling import bootstrap

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
TASKS = ("rake", "linear", "entropy", "logit", "ipw", "replicates")
REPLICATES, REPLICATE_ROWS = 500, 100_000
SLOW_ROWS = 1_000_000
FEW_ROWS = 1000


def sample_of(logs: Logs, *, unit: bool = False) -> Sample:
    """Return the logs as a sample; with `unit` base weights of 1."""
    columns: dict[str, Any] = {
        f"x{j}": Factor(codes, tuple(map(str, range(k))))
        for j, (codes, k) in enumerate(zip(logs.codes, LEVELS, strict=True))
    }
    columns |= {"c1": logs.c1, "c2": logs.c2, "y": logs.y}
    return Sample(columns, np.ones(logs.n) if unit else logs.base, Design(logs.n), ("y",))


def target_of(logs: Logs, *, moments: bool) -> Target:
    """Return the totals, with or without those of the continuous columns."""
    totals: dict[Any, Any] = {
        f"x{j}": dict(enumerate(margin.tolist())) for j, margin in enumerate(logs.margins)
    }
    if moments:
        names = ["c1", "c2", ("c1", "c1"), ("c1", "c2")]
        totals |= dict(zip(names, logs.moments.tolist(), strict=True))
    return make_target(totals)


def participation(logs: Logs) -> tuple[Sample, Target, list[Any]]:
    """Split the rows by y into logs and reference rows: ALP is then y's logistic regression."""

    def part(keep: np.ndarray) -> Sample:
        columns: dict[str, Any] = {
            f"x{j}": Factor(codes[keep], tuple(map(str, range(k))))
            for j, (codes, k) in enumerate(zip(logs.codes, LEVELS, strict=True))
        }
        columns |= {"c1": logs.c1[keep], "c2": logs.c2[keep]}
        rows = int(keep.sum())
        return Sample(columns, np.ones(rows), Design(rows), ())

    terms: list[Any] = [f"x{j}" for j in range(len(LEVELS))]
    terms += ["c1", "c2", ("c1", "c1"), ("c1", "c2")]
    return part(logs.y == 1), Target(reference=part(logs.y == 0)), terms


def ours(task: str, logs: Logs, *, unit: bool = False) -> Callable[[], Any]:
    """Return our call of a task; weights only, as the peers return."""
    if task == "ipw":
        inside, rest, terms = participation(logs)
        return lambda: ipw(inside, rest, method="alp", terms=terms, estimands=())
    s = sample_of(logs, unit=unit)
    margins, full = target_of(logs, moments=False), target_of(logs, moments=True)
    if task == "replicates":
        estimator = partial(rake, estimands=[share("x0", levels=["0"], of="y")])
        return lambda: bootstrap(estimator, s, margins, count=REPLICATES, rng=1)
    return {
        "rake": lambda: rake(s, margins, estimands=()),
        "linear": lambda: calibrate(s, full, estimands=()),
        "entropy": lambda: entropy_balance(s, full, estimands=()),
        "logit": lambda: calibrate(s, full, distance="logit", bounds=BOUNDS, estimands=()),
    }[task]


def error(task: str, logs: Logs, weights: np.ndarray) -> float:
    """Return the largest error of a total, relative to its size or 1e-3 of the rows.

    For "ipw", which has coefficients in place of weights, that of an estimating equation per row.
    """
    if task == "ipw":
        x = dense_columns(logs)
        return float(np.max(np.abs(x.T @ (logs.y - expit(x @ weights))))) / logs.n
    totals = dense_totals(logs)
    used = 36 if task in ("rake", "replicates") else 40
    gaps = np.abs(dense_columns(logs)[:, :used].T @ weights - totals[:used])
    return float(np.max(gaps / np.maximum(np.abs(totals[:used]), 1e-3 * logs.n)))


def answer(task: str, logs: Logs, weights: np.ndarray) -> np.ndarray:
    """Return what `error` judges: our weights, or the coefficients that they are made of."""
    if task != "ipw":
        return weights
    inside = np.flatnonzero(logs.y == 1)[: weights.size : max(1, weights.size // 5000)]
    some = -np.log(weights[:: max(1, weights.size // 5000)])
    return np.linalg.lstsq(dense_columns(logs)[inside], some)[0]


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return CPU seconds, wall seconds and the result."""
    with contextlib.redirect_stdout(io.StringIO()):
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        return time.process_time() - cpu, time.perf_counter() - wall, result


def pair(task: str, peer: str, n: int, rounds: int) -> dict[str, object]:
    """Interleave one peer with ours and return the medians and the range of the ratio."""
    logs = make_logs(n)
    call, weights_of = PEERS[task][peer](logs)
    mine = ours(task, logs, unit=peer == "rimpy")
    mine()
    theirs_cpu, our_cpu, ratios, result = [], [], [], None
    for _ in range(rounds):
        cpu, _, result = timed(call)
        own = [timed(mine)[0] for _ in range(1 if task == "replicates" else 3)]
        theirs_cpu.append(cpu)
        our_cpu.append(float(np.median(own)))
        ratios.append(cpu / our_cpu[-1])
    theirs = np.asarray(weights_of(result), dtype=float)
    if peer == "rimpy":
        theirs = theirs * (n / theirs.sum())
    row = {
        "task": task,
        "peer": f"{peer} {version(peer)}",
        "n": n,
        "peer_cpu_s": f"{np.median(theirs_cpu):.4g}",
        "our_cpu_s": f"{np.median(our_cpu):.4g}",
        "cpu_ratio": f"{np.median(ratios):.1f}",
        "lowest": f"{min(ratios):.1f}",
        "highest": f"{max(ratios):.1f}",
        "rounds": rounds,
        "peer_error": f"{error(task, logs, theirs):.1e}",
        "our_error": "1e-10 or an error, in every replicate",
    }
    if task != "replicates":
        row["our_error"] = f"{error(task, logs, answer(task, logs, mine().weights)):.1e}"
    return row


def pairs(n: int, tasks: list[str], rounds: int) -> list[dict[str, object]]:
    """Run every peer of every task."""
    rows = []
    for task in tasks:
        for peer in PEERS[task]:
            size = REPLICATE_ROWS if task == "replicates" else n
            row = pair(task, peer, size, rounds)
            print(row, flush=True)
            rows.append(row)
    return rows


def growth(sizes: list[int], tasks: list[str]) -> list[dict[str, object]]:
    """Time our tasks at several sizes; the slope is that of log CPU time on log rows."""
    rows: list[dict[str, object]] = []
    for task in tasks:
        medians: list[float] = []
        for n in sizes:
            call = ours(task, make_logs(n))
            call()
            medians.append(
                float(np.median([timed(call)[0] for _ in range(3 if n > SLOW_ROWS else 7)]))
            )
            slope = ""
            if len(medians) > 1:
                step = np.log(medians[-1] / medians[-2])
                slope = f"{step / np.log(n / sizes[len(medians) - 2]):.2f}"
            rows.append({"task": task, "n": n, "cpu_s": f"{medians[-1]:.4g}", "slope": slope})
            print(rows[-1], flush=True)
    return rows


def one_memory(task: str, who: str, path: str) -> None:
    """Print what the input of one call holds and what the call adds to the peak, in MB."""
    build = partial(ours, task) if who == "offroute" else PEERS[task][who]
    # Imports are no part of the input.
    build(make_logs(FEW_ROWS))
    # Read, not made here: what making the logs leaves free would hide what the call needs.
    stored = dict(np.load(path))
    margins = tuple(stored.pop(f"margin{j}") for j in range(len(LEVELS)))
    logs = Logs(margins=margins, **stored)
    before = memory_mb("VmRSS")
    built = build(logs)
    held = memory_mb("VmRSS") - before
    # What building the input took for a while would hide what the call needs.
    Path("/proc/self/clear_refs").write_text("5")
    before = memory_mb("VmHWM")
    timed(built if callable(built) else built[0])
    print(held, memory_mb("VmHWM") - before)


def memory_mb(field: str) -> float:
    """Return a field of this process's status; ru_maxrss would start at its parent's (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def memory(n: int, tasks: list[str]) -> list[dict[str, object]]:
    """Run every call in a process of its own."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks:
            size = REPLICATE_ROWS if task == "replicates" else n
            path = Path(folder, f"{size}.npz")
            if not path.exists():
                store(make_logs(size), path)
            for who in ["offroute", *PEERS[task]]:
                command = [sys.executable, __file__, "one-memory", task, who, str(path)]
                run = subprocess.run(command, capture_output=True, text=True, check=True)
                held, added = (f"{float(mb):.0f}" for mb in run.stdout.split()[-2:])
                row = {"task": task, "who": who, "n": size}
                rows.append(row | {"input_mb": held, "added_peak_mb": added})
                print(rows[-1], flush=True)
    return rows


def store(logs: Logs, path: Path) -> None:
    """Write the arrays of the logs."""
    margins = {f"margin{j}": margin for j, margin in enumerate(logs.margins)}
    fields = ("codes", "c1", "c2", "base", "y", "moments")
    np.savez(path, **margins, **{name: getattr(logs, name) for name in fields})


def write(rows: list[dict[str, object]], path: Path, command: str) -> None:
    """Write rows with the command, the date and the versions in each."""
    libraries = " ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    extra = {
        "command": command,
        "date": date.today().isoformat(),
        "versions": f"Python {platform.python_version()} {libraries}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [*rows[0], *extra], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | extra for row in rows)


def main() -> None:
    """Read the command line."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # BLAS reads its thread count when numpy is imported, which is done by now.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["one-memory"]:
        one_memory(*sys.argv[2:5])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["pairs", "growth", "memory"])
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.what == "pairs":
        rows = pairs(options.n, options.tasks, options.rounds)
    elif options.what == "memory":
        rows = memory(options.n, options.tasks)
    else:
        rows = growth(options.sizes, [t for t in options.tasks if t != "replicates"])
    write(rows, options.out, "python benchmarks/run_logs.py " + " ".join(sys.argv[1:-2]))


if __name__ == "__main__":
    main()
