"""Time `import offroute` and a cold `offroute correct`; write benchmarks/startup.csv.

Each run is a fresh process with one BLAS thread and compiled bytecode; the files are in the page
cache, as after `make`. CPU is user plus system time of the process; the figures are medians. This
script imports nothing heavy: until a child starts, its peak memory counts its parent's.
"""

import argparse
import datetime as dt
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import offroute

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import offroute": [sys.executable, "-c", "import offroute"],
    "offroute correct": [str(BIN / "offroute"), "correct"],
    "offroute audit": [str(BIN / "offroute"), "audit"],
    "offroute ledger": [str(BIN / "offroute"), "ledger"],
}
BARS = {"import offroute": 0.5, "offroute correct": 3.0}
"""Most seconds allowed: CPU of the import, wall time of the main job."""


def run(command: list[str]) -> tuple[float, float, float]:
    """Run a command and return wall seconds, CPU seconds and peak memory in MB."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    process = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0o600)],
    )
    _, status, used = os.wait4(process, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    # Linux counts the peak in kB, macOS in bytes.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / unit


def machine() -> str:
    """Return what the numbers depend on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{model}; {os.cpu_count()} cores; {platform.system()} {platform.machine()}"


def main() -> int:
    """Write the table; return 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="runs of each command")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "startup.csv")
    options = parser.parse_args()
    facts = f"{offroute.__version__},{platform.python_version()},{machine()}"
    lines = ["what,wall_s,cpu_s,peak_mb,runs,load,date,offroute,python,machine"]
    failed = []
    for what, command in COMMANDS.items():
        run(command)
        wall, cpu, peak = (
            statistics.median(x)
            for x in zip(*(run(command) for _ in range(options.repeat)), strict=True)
        )
        measured = wall if what == "offroute correct" else cpu
        if measured > BARS.get(what, float("inf")):
            failed.append(f"{what}: {measured:.2f} s, bar {BARS[what]} s")
        lines.append(
            f"{what},{wall:.3f},{cpu:.3f},{peak:.0f},{options.repeat},"
            f"{os.getloadavg()[0]:.1f},{dt.date.today()},{facts}"
        )
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print("\n".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
