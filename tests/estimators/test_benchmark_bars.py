"""The committed benchmarks of the estimators for own logs keep their promises."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
PAIRS = pd.read_csv(RESULTS / "logs_pairs.csv")
GROWTH = pd.read_csv(RESULTS / "logs_growth.csv")
MEMORY = pd.read_csv(RESULTS / "logs_memory.csv")
# Task, peer, and how many times our CPU time it takes at least, by the median of the rounds.
BARS = [
    ("rake", "weightpipe", 80),
    ("rake", "rimpy", 15),
    ("linear", "weightpipe", 25),
    ("entropy", "python-icarus", 25),
    ("entropy", "empirical-calibration", 25),
    ("logit", "python-icarus", 20),
    ("ipw", "scikit-learn", 10),
    ("ipw", "statsmodels", 30),
    ("replicates", "svy", 12),
]


@pytest.mark.parametrize(("task", "peer", "bar"), BARS)
def test_cpu_time(task, peer, bar):
    row = PAIRS[(PAIRS["task"] == task) & PAIRS["peer"].str.startswith(peer)]
    assert len(row) == 1
    assert row["cpu_ratio"].item() >= bar
    assert row["rounds"].item() >= 3
    assert row["lowest"].item() <= row["cpu_ratio"].item() <= row["highest"].item()


def test_accuracy():
    ours = pd.to_numeric(PAIRS.loc[PAIRS["task"] != "replicates", "our_error"])
    assert (ours <= 1e-10).all()


@pytest.mark.parametrize("task", ["rake", "linear", "entropy", "logit", "ipw"])
def test_growth_with_the_rows(task):
    """The slope of log CPU time on log rows from 1e4 to 1e7, and its last step within noise."""
    some = GROWTH[GROWTH["task"] == task]
    assert some["n"].tolist() == [10**4, 10**5, 10**6, 10**7]
    slope = np.polyfit(np.log(some["n"]), np.log(some["cpu_s"]), 1)[0]
    assert slope <= 1
    assert some["slope"].iloc[-1] <= 1.15


@pytest.mark.parametrize("task", ["linear", "entropy", "logit", "ipw", "replicates"])
def test_peak_memory_against_dense_peers(task):
    """The input that a call is handed and what the call adds to it at its peak."""
    some = MEMORY[MEMORY["task"] == task].set_index("who")
    both = some["input_mb"] + some["added_peak_mb"]
    assert (both.drop("offroute") >= 10 * both["offroute"]).all()
