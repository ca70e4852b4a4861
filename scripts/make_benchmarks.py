"""Write benchmarks/README.md from the tables beside it; --check compares.

Every number is read from the CSV files that the scripts in benchmarks/ write.
"""

import argparse
import csv
import math
import sys
from pathlib import Path

from offroute.report.files import write_atomic

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONALS = {
    "log_ratio": "R = log(China / US)",
    "log_us": "log US total",
    "log_china": "log China total",
    "log_lambda": "log Lambda",
}
TASKS = {
    "rake": "rake, base weights",
    "linear": "calibrate, linear",
    "entropy": "entropy balancing",
    "logit": "calibrate, logit in (.2, 5)",
    "ipw": "ipw, logistic",
    "replicates": "500 raked replicates",
}
SCALES = {
    "weeks": "weeks drawn, volume paths included",
    "draws": "draws",
    "labs": "copies of all labs",
    "labs and proxies": "copies of all labs and benchmarks",
    "mode": "the same, mode and evidence alone",
}


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown; all columns but the first are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def source(row: dict[str, str], command: str) -> str:
    """Return what a table was made with."""
    return f"{row['date']}, `{command}`, Python {row['python']}, {row['machine']}."


def engines(rows: list[dict[str, str]]) -> str:
    """Return the cost of the engines and where the time of PyMC goes."""
    body = [
        [
            row["engine"],
            f"{float(row['cpu_s']):.1f}",
            f"{float(row['times_offroute']):.0f}",
            row["draws"],
            f"{float(row['ess_from_seeds'] or row['ess_of_log_ratio']):.0f}",
            f"{float(row['ess_per_cpu_s']):.0f}",
            row["runs"],
        ]
        for row in rows
    ]
    head = ["engine", "CPU s", "times offroute", "draws", "effective", "effective / CPU s", "runs"]
    by_name = {row["engine"]: row for row in rows}
    warm, ours = by_name["pymc warm"], by_name["offroute"]
    versions = "; ".join(sorted({row["versions"] for row in rows}))
    return "\n\n".join(
        [
            table(head, body),
            f"Of PyMC's CPU with a warm cache, {float(warm['compile_cpu_s']):.0f} s compile and "
            f"{float(warm['sample_cpu_s']):.0f} s sample ({warm['parameters']} parameters, at most "
            f"{warm['divergences']} divergences a run, R-hat at most {float(warm['r_hat']):.3f}). "
            f"offroute itself reports {float(ours['ess_of_log_ratio']):.0f} effective draws of R; "
            "the table has the number that the spread of its mean over seeds implies.",
            f"{versions}. {source(ours, ours['command'])}",
        ]
    )


def agreement(rows: list[dict[str, str]]) -> str:
    """Return the compared quantiles."""
    body = [
        [
            FUNCTIONALS[row["what"]],
            f"{100 * float(row['level']):.0f} %",
            row["offroute"],
            row["pymc"],
            f"{float(row['difference']):+.3f}",
            f"{float(row['z']):+.1f}",
            f"{float(row['in_posterior_sd']):+.3f}",
        ]
        for row in rows
        if row["what"] in FUNCTIONALS
    ]
    head = ["functional", "quantile", "offroute", "PyMC", "difference", "in its MC error", "in sd"]
    return table(head, body)


def scaling(rows: list[dict[str, str]]) -> str:
    """Return times and slopes."""
    body = []
    for what, words in SCALES.items():
        some = [row for row in rows if row["what"] == what]
        body.append(
            [
                words,
                ", ".join(row["size"] for row in some),
                ", ".join(f"{float(row['cpu_s']):.2f}" for row in some),
                some[-1]["slope"],
            ]
        )
    head = ["what grows", "sizes", "CPU s", "last log-log slope"]
    return "\n\n".join([table(head, body), source(rows[0], rows[0]["command"])])


def startup(rows: list[dict[str, str]]) -> str:
    """Return the time of the first import and of the commands."""
    body = [[f"`{r['what']}`", r["wall_s"], r["cpu_s"], r["peak_mb"], r["runs"]] for r in rows]
    head = ["fresh process", "wall s", "CPU s", "peak MB", "runs"]
    return "\n\n".join(
        [table(head, body), source(rows[0], "python benchmarks/startup.py")],
    )


def cells(tables: list[list[dict[str, str]]]) -> str:
    """Return the cost of summing logs up in cells."""
    body = [
        [
            row["engine"],
            f"{int(row['rows']):,}",
            row["cells"],
            row["cpu_s"],
            row["cpu_ratio"],
            row["wall_s"],
            row["peak_mb"],
        ]
        for rows in tables
        for row in rows
    ]
    head = ["engine", "rows", "cells", "CPU s", "times DuckDB", "wall s", "peak MB"]
    row = tables[0][0]
    made = f"{row['date']}, `python benchmarks/cells.py`, {row['versions']}, {row['machine']}."
    return "\n\n".join([table(head, body), made])


def log_pairs(rows: list[dict[str, str]]) -> str:
    """Return what peers take in multiples of what we take."""
    body = [
        [
            "rake, unit weights" if row["peer"].startswith("rimpy") else TASKS[row["task"]],
            row["peer"],
            f"{int(row['n']):,}",
            f"{float(row['peer_cpu_s']):.3g}",
            f"{float(row['our_cpu_s']):.3g}",
            f"{float(row['cpu_ratio']):.1f}",
            f"{float(row['lowest']):.1f} to {float(row['highest']):.1f}",
            row["rounds"],
            row["peer_error"],
            row["our_error"] if row["task"] != "replicates" else "at most 1e-10",
        ]
        for row in rows
    ]
    head = ["task", "peer", "rows", "peer CPU s", "our CPU s", "ratio", "range"]
    head += ["rounds", "peer error", "our error"]
    return "\n\n".join([table(head, body), made_by(rows)])


def log_growth(rows: list[dict[str, str]]) -> str:
    """Return CPU times by rows and the slopes of their logs."""
    body = []
    for task in dict.fromkeys(row["task"] for row in rows):
        some = [row for row in rows if row["task"] == task]
        size, cpu = ([float(row[k]) for row in some] for k in ("n", "cpu_s"))
        overall = math.log(cpu[-1] / cpu[0]) / math.log(size[-1] / size[0])
        body.append(
            [
                TASKS[task],
                ", ".join(f"{x:.0e}".replace("e+0", "e") for x in size),
                ", ".join(f"{1000 * x:.3g}" for x in cpu),
                ", ".join(row["slope"] for row in some[1:]),
                f"{overall:.2f}",
            ]
        )
    head = ["task", "rows", "CPU ms", "log-log slopes", "slope over all"]
    return "\n\n".join([table(head, body), made_by(rows)])


def log_memory(rows: list[dict[str, str]]) -> str:
    """Return what the input of a call holds and what the call adds to it at its peak."""
    body = []
    for task in dict.fromkeys(row["task"] for row in rows):
        some = {
            row["who"]: (float(row["input_mb"]), float(row["added_peak_mb"]))
            for row in rows
            if row["task"] == task
        }
        own = sum(some["offroute"])
        body += [
            [TASKS[task], who, f"{held:.0f}", f"{added:.0f}", f"{(held + added) / own:.0f}x"]
            for who, (held, added) in some.items()
        ]
    head = ["task", "who", "input MB", "call adds MB", "both, over ours"]
    return "\n\n".join([table(head, body), made_by(rows)])


def made_by(rows: list[dict[str, str]]) -> str:
    """Return how a table of logs was made; rows may come from several runs."""
    runs = dict.fromkeys((row["command"], row["date"], row["versions"]) for row in rows)
    return "; ".join(f"`{command}`, {day}, {versions}" for command, day, versions in runs) + "."


def build(folder: Path) -> str:
    """Return the text of the page."""
    return (
        "\n\n".join(
            [
                "# Benchmarks",
                "Written by `python scripts/make_benchmarks.py` from the CSV files in this folder.",
                "## Start",
                startup(read(folder / "startup.csv")),
                "## Posterior against PyMC and nutpie",
                "One fit of the shipped snapshot, from process start to summary, one BLAS thread, "
                "engines in turns. The mixture over unreliable families is off in both. One thing "
                "differs: offroute has quadrature nodes where PyMC has continuous scales tau, "
                "omega and s_rw. The head of `posterior.py` says how to rerun.",
                engines(read(folder / "posterior.csv")),
                agreement(read(folder / "posterior_quantiles.csv")),
                "## Growth of the cost",
                scaling(read(folder / "posterior_scaling.csv")),
                "## Logs to cells",
                "Parquet logs summed up in cells by `collapse`, and the same sums in plain DuckDB "
                "SQL without its checks; each run a fresh process, memory with Python.",
                cells([read(folder / "results" / f"{n}.csv") for n in ("cells", "cells_large")]),
                "## Estimators for own logs against their peers",
                "CPU time (user and system), one BLAS thread, one call of the peer and three of "
                "ours in turns; the ratio is the median over the rounds, with its range. A million "
                "rows in 23,040 possible cells, 40 constraints (raking: 36), made by "
                "`generator.py`; `peers.py` has the calls and `requirements.txt` the versions. "
                "Errors are the largest of a total, relative to it (ipw: of an estimating "
                "equation, per row).",
                log_pairs(read(folder / "results" / "logs_pairs.csv")),
                "Growth with the rows:",
                log_growth(read(folder / "results" / "logs_growth.csv")),
                "Memory of one call in a process of its own: what its input holds (a dense "
                "design, a frame of labels, or our sample), made from the same codes and numeric "
                "columns, and what the call adds to that at its peak. The codes and columns "
                "themselves are not counted: our samples refer to them, except that for ipw they "
                "hold copies, split into logs and reference rows.",
                log_memory(read(folder / "results" / "logs_memory.csv")),
            ]
        )
        + "\n"
    )


def main() -> int:
    """Write the page, or compare it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args()
    path = ROOT / "benchmarks" / "README.md"
    text = build(path.parent)
    if not options.check:
        write_atomic({path: text})
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return 0
    print("benchmarks/README.md differs: run python scripts/make_benchmarks.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
