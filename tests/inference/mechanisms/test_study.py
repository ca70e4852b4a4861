"""The committed study of one mechanism at a time: cover the truth, and show the damage."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

STUDIES = Path(__file__).resolve().parents[3] / "studies"


@pytest.fixture(scope="module")
def study():
    return pd.read_csv(STUDIES / "mechanisms.csv").set_index(["world", "reading"])


def test_the_central_model_covers_every_mechanism_at_its_level(study):
    rows = study.xs("all on", level="reading")
    assert set(rows.index) == {
        "none",
        "direct-purchase",
        "reverse-selection",
        "price",
        "labs",
        "segments",
        "surges",
    }
    done = rows["markets"] - rows["refused"]
    assert (abs(rows["coverage_90"] - 0.9) <= 4 * np.sqrt(0.09 / done)).all()
    # It removes most of what the panel is wrong by, where that is much.
    wrong = rows[rows["naive_bias"].abs() > 0.3]
    assert (wrong["bias"].abs() < 0.6 * wrong["naive_bias"].abs()).all()


def test_a_world_without_selection_is_left_as_it_is(study):
    row = study.loc[("none", "all on")]
    assert abs(row["naive_bias"]) < 0.1
    assert abs(row["bias"]) < row["half_width_90"] / 2


@pytest.mark.parametrize("world", ["direct-purchase", "reverse-selection"])
def test_a_prior_alone_covers_when_right_and_misses_when_wrong(study, world):
    right, sign, size = (
        study.loc[(world, f"prior alone: {reading}")]
        for reading in ("right", "wrong sign", "three times")
    )
    assert right["coverage_90"] >= 0.9 - 4 * np.sqrt(0.09 / right["markets"])
    assert sign["bias"] > 2 * abs(right["bias"])
    assert size["bias"] < -2 * abs(right["bias"])
    assert sign["coverage_90"] < 0.5
    # The wrong sign makes the naive error larger.
    assert sign["rmse"] > study.loc[(world, "all on"), "naive_bias"]


def test_disclosures_undo_a_prior_that_is_sure_of_the_wrong_sign(study):
    with_evidence = study.loc[("direct-purchase", "wrong sign, sure")]
    without = study.loc[("direct-purchase", "prior alone: wrong sign")]
    assert abs(with_evidence["bias"]) < 0.2 * abs(without["bias"])


def test_one_coverage_for_all_segments_is_wrong_and_sure_of_itself(study):
    row = study.loc[("segments", "one coverage")]
    assert row["coverage_90"] < 0.2
    assert row["bias"] > 0.5
