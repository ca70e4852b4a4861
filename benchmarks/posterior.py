"""The posterior of the shipped snapshot: offroute against PyMC with nutpie, same model.

Every timed run is a fresh process with one BLAS thread, from start to summary, tables read
included; CPU is user plus system time of the process and its children. The runs take turns:
offroute, PyMC with an empty compilation cache, PyMC with that cache. Afterwards the quantiles of
all runs are compared; their Monte Carlo errors come from independent seeds and chains.

    python -m venv ENV && ENV/bin/pip install -e '.[bench-posterior]'
    .venv/bin/python benchmarks/posterior.py --pymc ENV/bin/python
"""

import argparse
import csv
import datetime as dt
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from startup import machine

from offroute import __version__
from offroute.estimators.field import off_platform
from offroute.estimators.prior import NEUTRAL
from offroute.inference.pipeline import correct, load_market
from offroute.measurement.market import Market

HERE = Path(__file__).resolve().parent
POPULATION, WEEK = "world-external-api", "2026-06-01"
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
DRAWS, CHAINS, PER_CHAIN = 2000, 4, 1000
BAR = 10.0
"""PyMC must take this many times the CPU of offroute."""


def functionals(market: Market, D: np.ndarray, week: int) -> dict[str, np.ndarray]:
    """Return log China/US, the two log totals and log Lambda of draws of volume, (..., C)."""
    Y, X = market.X[week] + D, market.X[week]
    china, us = (np.log(Y[..., k].sum(axis=-1)) for k in (market.is_china, market.is_us))
    panel = np.log(X[market.is_china].sum() / X[market.is_us].sum())
    return {
        "log_ratio": china - us,
        "log_us": us,
        "log_china": china,
        "log_lambda": panel - (china - us),
    }


def quantiles(x: np.ndarray) -> list[float]:
    """Return the compared quantiles."""
    return [float(q) for q in np.quantile(x, LEVELS)]


def fit(seed: int, market: Market | None = None) -> tuple[dict[str, np.ndarray], float]:
    """Return draws of the functionals and the effective draws of R that offroute reports."""
    prior = replace(NEUTRAL, p_unreliable=0.0)
    p = correct(POPULATION, weeks=(WEEK,), prior=prior, n_draws=DRAWS, rng=seed, market=market)
    week = int(p.draws.weeks[0])
    D = off_platform(p.features, prior, p.draws, week)
    scales = dict(zip(("tau", "omega", "s_rw"), p.draws.hyper.T, strict=True))
    return functionals(p.market, D, week) | scales, p.ess


def child(command: list[str], variables: dict[str, str]) -> tuple[float, float, dict[str, Any]]:
    """Run a process; return wall seconds, CPU seconds and the JSON it printed last."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **variables}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, json.loads(done.stdout.splitlines()[-1])


def take_turns(pymc: str, rounds: int, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Run the engines in turns; return what each run cost and summarised."""
    runs: dict[str, list[dict[str, Any]]] = {"offroute": [], "pymc cold": [], "pymc warm": []}
    child([sys.executable, __file__, "--seed", "0"], {})
    for turn in range(rounds):
        cache = folder / f"cache{turn}"
        caches = {
            "PYTENSOR_FLAGS": f"base_compiledir={cache}",
            "NUMBA_CACHE_DIR": str(cache / "numba"),
        }
        for name, out in runs.items():
            seed = 1 + len(runs) * turn + list(runs).index(name)
            command = [sys.executable, __file__, "--seed", str(seed)]
            if name != "offroute":
                command = [pymc, str(HERE / "posterior_pymc.py"), "--seed", str(seed)]
                command += ["--draws", str(PER_CHAIN), "--chains", str(CHAINS)]
                command += ["--out", str(folder / f"{name}{turn}.npz")]
            wall, cpu, summary = child(command, {} if name == "offroute" else caches)
            out.append({"wall_s": wall, "cpu_s": cpu, **summary})
            print(f"{name}: {cpu:.1f} s CPU, {summary['ess']:.0f} effective draws of R", flush=True)
    return runs


def agreement(ours: list[dict[str, np.ndarray]], files: list[Path]) -> list[dict[str, Any]]:
    """Compare pooled quantiles; errors from independent runs of offroute and chains of PyMC."""
    loaded = [np.load(file) for file in files]
    rows = []
    for name in ours[0]:
        runs = [run[name] for run in ours]
        chains = [chain for x in loaded for chain in x[name]]
        sets = {"offroute": runs, "pymc": chains}
        pooled = {k: quantiles(np.concatenate(v)) for k, v in sets.items()}
        error = {
            k: np.std([quantiles(x) for x in v], axis=0, ddof=1) / np.sqrt(len(v))
            for k, v in sets.items()
        }
        sd = float(np.concatenate(chains).std())
        for j, level in enumerate(LEVELS):
            difference = pooled["offroute"][j] - pooled["pymc"][j]
            both = float(np.hypot(error["offroute"][j], error["pymc"][j]))
            rows.append(
                {
                    "what": name,
                    "level": level,
                    "offroute": pooled["offroute"][j],
                    "offroute_mcse": error["offroute"][j],
                    "pymc": pooled["pymc"][j],
                    "pymc_mcse": error["pymc"][j],
                    "difference": difference,
                    "z": difference / both,
                    "in_posterior_sd": difference / sd,
                }
            )
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows of one table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def main() -> int:
    """Time, compare, write both tables; return 1 if the bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pymc", help="interpreter with the extra bench-posterior")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicates", type=int, default=40, help="seeds for the quantiles")
    parser.add_argument("--seed", type=int, help="one run of offroute, printed as JSON")
    options = parser.parse_args()
    if options.seed is not None:
        draws, ess = fit(options.seed)
        summary = {k: quantiles(v) for k, v in draws.items()}
        print(json.dumps({"quantiles": summary, "ess": ess, "versions": {}}))
        return 0
    if options.pymc is None:
        parser.error("--pymc is needed: see the head of this file")
    with tempfile.TemporaryDirectory() as folder:
        runs = take_turns(options.pymc, options.rounds, Path(folder))
        market = load_market()
        fits = [fit(100 + i, market)[0] for i in range(options.replicates)]
        quantile_rows = agreement(fits, sorted(Path(folder).glob("*.npz")))
    write(HERE / "posterior_quantiles.csv", quantile_rows)
    # The variance of the mean over seeds says what the draws are worth, whatever a run reports.
    means = np.array([f["log_ratio"].mean() for f in fits])
    worth = float(np.mean([f["log_ratio"].var() for f in fits]) / means.var(ddof=1))
    base = statistics.median(r["cpu_s"] for r in runs["offroute"])
    rows = []
    for name, out in runs.items():
        cpu, wall, ess = (statistics.median(r[k] for r in out) for k in ("cpu_s", "wall_s", "ess"))
        rows.append(
            {
                "engine": name,
                "cpu_s": cpu,
                "wall_s": wall,
                "times_offroute": cpu / base,
                "draws": DRAWS if name == "offroute" else CHAINS * PER_CHAIN,
                "ess_of_log_ratio": ess,
                "ess_from_seeds": worth if name == "offroute" else "",
                "ess_per_cpu_s": (min(worth, ess) if name == "offroute" else ess) / cpu,
                "compile_cpu_s": statistics.median(r.get("compile_s", 0.0) for r in out),
                "sample_cpu_s": statistics.median(r.get("sample_s", 0.0) for r in out),
                "divergences": max(r.get("divergences", 0) for r in out),
                "r_hat": max(r.get("r_hat", 1.0) for r in out),
                "parameters": out[0].get("parameters", ""),
                "runs": len(out),
                "load": f"{os.getloadavg()[0]:.1f}",
                "date": dt.date.today(),
                "versions": " ".join(
                    f"{k} {v}"
                    for k, v in (
                        out[0]["versions"] or {"offroute": __version__, "numpy": np.__version__}
                    ).items()
                ),
                "python": platform.python_version(),
                "machine": machine(),
                "command": f"python benchmarks/posterior.py --rounds {options.rounds}",
            }
        )
    write(HERE / "posterior.csv", rows)
    slowest = min(row["times_offroute"] for row in rows[1:])
    print(f"PyMC takes {slowest:.0f} times the CPU or more; bar {BAR:g}")
    return int(slowest < BAR)


if __name__ == "__main__":
    sys.exit(main())
