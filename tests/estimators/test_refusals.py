"""Wrong input for people's own logs raises a typed error before any work."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

import offroute as o
from offroute.exceptions import InvalidValue, SchemaError, UsageError

LOGS = pd.DataFrame(
    {
        "a": list("xxyyzz"),
        "y": [1.0, 2, 3, 4, 5, 6],
        "volume": [1.0, 2, 3, 4, 5, 6],
        "nothing": 0.0,
    }
)
KNOWN = {"a": {"x": 10, "y": 20, "z": 30}}


def sample(frame=LOGS, **options):
    return o.read_sample(frame, **({"outcomes": ["y"], "covariates": ["a"]} | options))


def reference():
    rows = pd.DataFrame({"a": list("xyz"), "d": [10.0, 20, 30]})
    return o.Target(reference=o.read_sample(rows, covariates=["a"], weights="d"))


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pd.date_range("2026-06-01", periods=6), "datetime64"),
        (LOGS["y"] + 1j, "complex"),
        ([1, "a", 3, 4, 5, 6], "object"),
        ([[1]] * 6, "object"),
    ],
)
def test_columns_that_are_neither_numbers_nor_labels(values, names):
    with pytest.raises(SchemaError, match=names):
        sample(LOGS.assign(y=values))


@pytest.mark.parametrize("data", [[1, 2, 3], pd.concat([LOGS, LOGS[["y"]]], axis=1)])
def test_data_that_is_no_usable_frame(data):
    with pytest.raises(SchemaError, match="data"):
        sample(data)


@pytest.mark.parametrize("role", ["outcomes", "covariates"])
def test_a_name_in_place_of_a_list(role):
    with pytest.raises(UsageError, match=role):
        sample(**{role: "y"})


@pytest.mark.parametrize("estimands", [["y"], "y", o.mean("y"), [o.mean("y"), None]])
def test_estimands_that_are_none(estimands):
    with pytest.raises(UsageError, match="estimands"):
        o.expansion(sample(), estimands=estimands)


def test_a_population_of_nobody():
    with pytest.raises(InvalidValue, match="population of size 0"):
        o.make_target({"a": {"x": 0, "y": 0}})


@pytest.mark.parametrize(
    "estimand", [o.share("a", levels=["x"], of="nothing"), o.ratio("y", "nothing")]
)
def test_a_volume_of_zero(estimand):
    s = sample(covariates=["a", "nothing"])
    with pytest.raises(InvalidValue, match="denominator"):
        o.expansion(s, estimands=[estimand])


def test_a_replicate_without_the_domain():
    only = [o.mean("y", domain=("a", "x"))]
    with pytest.raises(InvalidValue, match="denominator"):
        o.bootstrap(partial(o.expansion, estimands=only), sample(), o.Target(), count=400, rng=1)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: o.bootstrap(o.expansion, s, o.Target(), method="rao", rng=1),
        lambda s: o.infer(o.expansion(s), lonely="drop"),
        lambda s: o.calibrate(s, o.make_target(KNOWN), linearisation="exact"),
        lambda s: o.ipw(s, reference(), link="cauchit"),
        lambda s: o.impute(s, reference(), method="hot deck"),
        lambda _: sample(missing="ignore"),
    ],
)
def test_an_unknown_choice_is_not_taken_for_another(call):
    with pytest.raises(UsageError, match="must be one of"):
        call(sample())


@pytest.mark.parametrize("neighbours", [0, 1.5, -1, np.nan])
def test_a_number_of_donors_that_is_none(neighbours):
    with pytest.raises(InvalidValue, match="neighbours"):
        o.impute(sample(), reference(), method="nearest", neighbours=neighbours)


def test_no_estimands_are_weights_only():
    point = o.ipw(sample(), reference(), estimands=())
    assert point.values.size == 0
    assert point.weights.sum() == pytest.approx(60)
    assert o.infer(point).covariance.shape == (0, 0)


def test_the_mode_of_soft_calibration_is_that_of_its_prior():
    """``w ~ N(d, c d)``, ``T ~ N(x'w, S)``: the closed form of a Gaussian mode."""
    logs = pd.DataFrame({"x": [1.0, 2, 0, 3], "d": [1.0, 2, 3, 1]})
    s = o.read_sample(logs, outcomes=["x"], weights="d")
    x, d, c, variance = logs["x"].to_numpy(), logs["d"].to_numpy(), 3.0, 2.0
    gain = c * d * x / (x @ (c * d * x) + variance)
    target = o.make_target({"x": 12.0}, covariance=[[variance]])
    weights = o.soft_calibrate(s, target, distance="linear", trust=c).weights
    np.testing.assert_allclose(weights, d + gain * (12 - x @ d), rtol=1e-10)
