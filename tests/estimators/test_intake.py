"""Frames in: three libraries, missing values, weights and types."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from offroute.estimators.calibrate import rake
from offroute.estimators.expansion import expansion
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.point import Factor, Target, make_target
from offroute.estimators.reference import target_from_reference
from offroute.estimators.weights import (
    LowEffectiveSize,
    balance_table,
    summarise_weights,
    trim,
    trim_weights,
    uncovered_share,
)
from offroute.exceptions import InvalidValue, SchemaError

DATA = {
    "origin": ["US", "CN", "US", "EU"],
    "open": [True, False, True, True],
    "tier": [1, 2, 1, 3],
    "tokens": [5.0, 9.0, 4.0, 1.0],
    "w": [1.0, 2.0, 1.0, 4.0],
}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
KEEP = {"outcomes": ["tokens"], "covariates": ["origin", "open", "tier"], "weights": "w"}


@pytest.mark.parametrize("library", FRAMES)
def test_every_library_gives_the_same_sample(library):
    s = read_sample(FRAMES[library](DATA), **KEEP)
    assert s.factor("origin").levels == ("CN", "EU", "US")
    assert s.factor("origin").codes.tolist() == [2, 0, 2, 1]
    assert s.factor("open").levels == ("False", "True")
    assert s.factor("tier").levels == ("1", "2", "3")
    assert s.numeric("tier").dtype == np.float64
    assert expansion(s).values[0] == pytest.approx(31 / 8)


def test_categorical_types_keep_their_order():
    levels = ["small", "large", "unused"]
    series = pd.Categorical(["large", "small", "large", "small"], categories=levels)
    s = read_sample(pd.DataFrame(DATA).assign(size=series), covariates=["size"])
    assert s.factor("size").levels == tuple(levels)
    polar = pl.DataFrame(DATA).with_columns(pl.col("origin").cast(pl.Categorical))
    assert read_sample(polar, covariates=["origin"]).factor("origin").levels == ("CN", "EU", "US")


def test_numbers_can_be_margins():
    s = read_sample(pd.DataFrame(DATA), **KEEP)
    point = rake(s, make_target({"tier": {1: 5, 2: 3, 3: 2}}))
    np.testing.assert_allclose(point.weights, [2.5, 3, 2.5, 2])


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("column", ["origin", "tokens", "w"])
def test_missing_values_are_named_and_refused(library, column):
    holes = {**DATA, column: [*DATA[column][:3], None]}
    frame = FRAMES[library](holes)
    with pytest.raises(InvalidValue, match=f"{column}.*1 missing"):
        read_sample(frame, **KEEP)
    assert read_sample(frame, missing="drop", **KEEP).n == 3
    if column == "origin":
        assert "(missing)" in read_sample(frame, missing="level", **KEEP).factor("origin").levels
    else:
        with pytest.raises(InvalidValue):
            read_sample(frame, missing="level", **KEEP)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([1, -1, 1, 1], "1 negative"),
        ([0, 0, 0, 0], "sum to 0"),
        ([1, np.nan, 1, 1], "missing"),
        ([1, np.inf, 1, 1], "infinite"),
    ],
)
def test_unusable_weights_are_refused(weights, match):
    with pytest.raises(InvalidValue, match=match):
        read_sample(pd.DataFrame(DATA).assign(w=weights), **KEEP)


def test_other_unusable_input_is_refused():
    frame = pd.DataFrame(DATA)
    with pytest.raises(SchemaError, match="nothere"):
        read_sample(frame, outcomes=["nothere"])
    with pytest.raises(SchemaError, match="numeric"):
        read_sample(frame, weights="origin")
    with pytest.raises(InvalidValue, match="rows"):
        read_sample(frame.iloc[:0], outcomes=["tokens"])
    with pytest.raises(InvalidValue, match="non-negative"):
        read_sample(frame.assign(v=-1.0), volume="v")
    s = read_sample(frame, **KEEP)
    with pytest.raises(SchemaError, match="categorical"):
        s.numeric("origin")
    with pytest.raises(SchemaError, match="must be in the sample"):
        s.factor("w")
    with pytest.raises(InvalidValue, match="shape"):
        s.with_weights(np.ones(3))


def test_design_columns_nest_clusters_in_strata():
    frame = pd.DataFrame(DATA).assign(s=[0, 0, 1, 1], c=["x", "y", "x", "x"])
    design = read_sample(frame, design=DesignColumns("s", "c")).design
    assert design.clusters.tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize(
    "call",
    [
        lambda: make_target({"a": {"x": -1}}),
        lambda: make_target({"a": np.nan}),
        lambda: make_target({"a": 1.0}, size=-1),
        lambda: make_target({"a": 1.0}, covariance=np.eye(2)),
        lambda: make_target({"a": 1.0, "b": 1.0}, covariance=[[1, 2], [2, 1]]),
        lambda: make_target({"a": 1.0, "b": 1.0}, covariance=[[1, 0.5], [0, 1]]),
    ],
)
def test_unusable_targets_are_refused(call):
    with pytest.raises(InvalidValue):
        call()


def test_targets_keep_their_order():
    target = make_target({("a", "b"): {("x", 1.0): 2, ("y", 2): 3}, "c": 7}, size=5)
    assert target.names == ("(size)", "a:b[x:1]", "a:b[y:2]", "c")
    moved = target.with_totals(np.array([6.0, 2.5, 3.5, 8.0]))
    np.testing.assert_array_equal(moved.totals, [6.0, 2.5, 3.5, 8.0])
    assert Target().names == ()


def test_reference_terms_do_not_mix_types():
    s = read_sample(pd.DataFrame(DATA), **KEEP)
    target = target_from_reference(s, [("origin", "open"), ("tokens", "tokens")])
    assert dict(zip(target.names, target.totals, strict=True))["origin:open[US:True]"] == 2
    with pytest.raises(SchemaError, match="factors and numeric"):
        target_from_reference(s, [("origin", "tokens")])


def test_few_effective_rows_are_reported_with_the_number():
    s = read_sample(pd.DataFrame(DATA), volume="tokens", **KEEP)
    with pytest.warns(LowEffectiveSize, match=r"2\.\d effective rows of 4"):
        summary = summarise_weights(expansion(s), s)
    product = np.array([5.0, 18, 4, 4])
    assert summary.volume == pytest.approx(product.sum() ** 2 / (product @ product))
    assert summary.largest_share == pytest.approx(18 / 31)
    assert (summary.n, summary.negative) == (4, 0)


def test_balance_is_measured_before_and_after():
    s = read_sample(pd.DataFrame(DATA), **KEEP)
    target = make_target({"open": {"True": 5, "False": 5}})
    table = balance_table(rake(s, target), s, target)
    np.testing.assert_allclose(table.target, [0.5, 0.5])
    np.testing.assert_allclose(table.base, [0.25, 0.75])
    np.testing.assert_allclose(np.abs(table.base_difference), 0.25 / np.sqrt(3 / 16))
    np.testing.assert_allclose(table.weighted_difference, 0, atol=1e-12)
    moment = make_target({"tokens": 40.0}, size=10)
    by_moment = balance_table(expansion(s), s, moment)
    assert by_moment.names == ("(size)", "tokens")
    assert by_moment.target[1] == 4


def test_trimming_keeps_the_sum_and_reports_its_shift():
    s = read_sample(pd.DataFrame(DATA), **KEEP)
    result = trim(expansion(s), s, upper=2.5)
    assert result.weights.sum() == pytest.approx(8)
    assert result.weights.max() <= 2.5
    assert result.kish_after > result.kish_before
    assert result.shift[0] == pytest.approx(result.values[0] - 31 / 8)
    once = trim_weights(np.array([1.0, 2.4, 10.0]), upper=5.0)
    assert once.sum() == pytest.approx(13.4)
    with pytest.raises(InvalidValue, match="mean weight"):
        trim_weights(np.ones(3), upper=0.5)


def test_uncovered_share_counts_levels_and_ranges():
    logs = read_sample(pd.DataFrame(DATA), **KEEP)
    other = pd.DataFrame(DATA).assign(tokens=[5.0, 99.0, 4.0, 1.0], origin=["US", "CN", "JP", "EU"])
    reference = read_sample(other, **KEEP)
    assert uncovered_share(logs, reference, ["origin", "tokens"]) == pytest.approx(3 / 8)
    assert isinstance(logs.columns["origin"], Factor)
