"""What the committed studies of the selection models and of overlapping lists promise."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

STUDIES = Path(__file__).parents[2] / "studies"
NOMINAL = 0.9


def rows(name):
    return pd.read_csv(STUDIES / f"{name}_coverage.csv").set_index(["world", "estimator"])


def error(row):
    return (row["coverage"] - NOMINAL) / np.sqrt(NOMINAL * (1 - NOMINAL) / row["replicates"])


@pytest.mark.parametrize(
    "estimator", ["mean: two-step", "mean: maximum likelihood", "share: binary maximum likelihood"]
)
def test_intervals_hold_where_the_assumptions_do(estimator):
    table = rows("selection")
    row = table.loc[("assumptions hold", estimator)]
    assert abs(error(row)) < 4
    assert abs(row["bias"]) < 4 * row["sd"] / np.sqrt(row["replicates"])
    assert row["refused"] == 0


def test_what_fails_is_shown_to_fail():
    table = rows("selection")
    naive = table[table.index.get_level_values(1).str.endswith("naive")]
    assert (naive["coverage"] < 0.05).all()
    direct = table.loc["instrument acts directly (.2)"]
    assert direct.loc["mean: two-step", "coverage"] < 0.05
    assert error(direct.loc["mean: dial over direct effects of -.2 to .2"]) > -4
    lists = rows("overlap").loc["lists 1 and 2 with odds ratio 3"]
    assert lists.loc["Chapman, lists 1 and 2", "coverage"] < 0.05
    assert lists.loc["log-linear, independence", "coverage"] < 0.05


@pytest.mark.parametrize("psi", [1, 3])
def test_intervals_of_lists_hold_where_the_dependence_is_right(psi):
    lists = rows("overlap").loc[f"lists 1 and 2 with odds ratio {psi}"]
    for name in ("dial at the true odds ratio", "log-linear, dependence of lists 1 and 2"):
        assert abs(error(lists.loc[name])) < 4
    assert lists.loc["dial over odds ratios 1 to 5", "coverage"] >= NOMINAL
