"""Command line: parse, call, print; one module per command.

A library that only one command needs is imported inside that command, so that the others start
quickly.
"""

# ruff: noqa: E402 - the number of threads must be set before numpy is imported
import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    # The matrices are small: more threads only wait for each other.
    os.environ.setdefault(_name, "1")

# Each module registers its command; this is their order in `--help`.
from offroute.cli import correct, summary, series, trend, sensitivity, bounds  # isort: skip
from offroute.cli import critiques, diagnose, estimators, audit, ledger, report  # isort: skip
from offroute.cli import cells, refresh  # isort: skip
from offroute.cli.app import app

__all__ = [
    "app",
    "audit",
    "bounds",
    "cells",
    "correct",
    "critiques",
    "diagnose",
    "estimators",
    "ledger",
    "refresh",
    "report",
    "sensitivity",
    "series",
    "summary",
    "trend",
]
