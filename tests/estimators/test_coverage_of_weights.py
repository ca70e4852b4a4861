"""What the committed study of soft and generalized calibration and of replicates promises."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

NOMINAL = 0.9
PATH = Path(__file__).parents[2] / "studies" / "weights_coverage.csv"
HOLD = [
    ("totals with an error of 3%", "calibrate, with their error"),
    ("totals with an error of 3%", "soft_calibrate, trust 100 000"),
    ("entry by outcome, x predicts it", "generalized_calibrate, z the outcome"),
]


@pytest.fixture(scope="module")
def table():
    frame = pd.read_csv(PATH).set_index(["world", "estimator"])
    frame["error"] = (frame["coverage"] - NOMINAL) / np.sqrt(
        NOMINAL * (1 - NOMINAL) / (frame["replicates"] - frame["refused"])
    )
    return frame


@pytest.mark.parametrize("row", HOLD, ids=lambda row: row[1])
def test_intervals_hold_where_the_assumptions_do(table, row):
    found = table.loc[row]
    assert abs(found["error"]) < 4
    assert found["refused"] == 0


def test_ways_to_a_variance_agree(table):
    accounts = table.loc["40 of 400 accounts"]
    for outcome in ("share of volume", "mean"):
        block = accounts[accounts.index.str.startswith(outcome)]
        assert len(block) == 4
        assert np.ptp(block["coverage"]) < 0.08
        assert (block["error"] > -4).all()


def test_what_fails_is_shown_to_fail(table):
    assert (table.filter(like="naive", axis=0)["coverage"] < 0.05).all()
    for row in (
        ("totals with an error of 3%", "calibrate, the totals taken as exact"),
        ("totals with an error of 3%", "soft_calibrate"),
        ("entry by outcome, x predicts it", "entropy_balance on x"),
    ):
        assert table.loc[row, "error"] < -4
