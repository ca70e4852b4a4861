"""Prediction-powered estimates against their closed forms."""

import numpy as np
import pandas as pd
import pytest

from offroute.estimators.estimands import mean, ratio, total
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.point import Target, make_target
from offroute.estimators.rectifier import rectify
from offroute.inference.estimate import infer

RNG = np.random.default_rng(3)
N, M = 60, 500
F = RNG.normal(5, 2, N + M)
Y = 0.7 * F + RNG.normal(0, 1, N + M)
FEW = pd.DataFrame({"y": Y[:N], "f": F[:N], "c": np.arange(N) // 3})
MANY = pd.DataFrame({"f": F[N:]})
LABELLED = read_sample(FEW, outcomes=["y"], covariates=["f"])
TARGET = Target(reference=read_sample(MANY, covariates=["f"]))


def test_untuned_is_prediction_powered_inference():
    """Angelopoulos et al. (2023): var(y - f) / n + var(f) / N."""
    e = infer(rectify(LABELLED, TARGET, predictions={"y": "f"}, tune=False))
    left = FEW["y"] - FEW["f"]
    assert e.values[0] == pytest.approx(MANY["f"].mean() + left.mean(), rel=1e-12)
    assert e.se[0] == pytest.approx(np.sqrt(left.var() / N + MANY["f"].var() / M), rel=1e-12)


def test_tuned_strength_minimises_the_variance():
    """The closed form cov / (1 + n/N) var, with each sample's own variance of f."""
    point = rectify(LABELLED, TARGET, predictions={"y": "f"})
    covariance = np.cov(FEW["y"], FEW["f"])
    strength = covariance[0, 1] / N / (covariance[1, 1] / N + MANY["f"].var() / M)
    assert point.diagnostics["strength 0"] == pytest.approx(strength, rel=1e-12)
    tuned, plain = (
        infer(point),
        infer(rectify(LABELLED, TARGET, predictions={"y": "f"}, tune=False)),
    )
    left = FEW["y"] - strength * FEW["f"]
    expected = np.sqrt(left.var() / N + strength**2 * MANY["f"].var() / M)
    assert tuned.se[0] == pytest.approx(expected, rel=1e-12)
    assert tuned.se[0] < plain.se[0]
    assert tuned.se[0] < FEW["y"].sem()


def test_useless_predictions_leave_the_mean_of_the_labels():
    few = FEW.assign(f=np.tile([0.0, 1.0, 1.0, 0.0], N // 4))
    few["y"] = np.tile([1.0, 1.0, 3.0, 3.0], N // 4)
    sample = read_sample(few, outcomes=["y"], covariates=["f"])
    point = rectify(sample, TARGET, predictions={"y": "f"})
    assert point.diagnostics["strength 0"] == pytest.approx(0, abs=1e-12)
    assert point.values[0] == pytest.approx(2, rel=1e-12)


def test_known_totals_are_a_large_reference_without_error():
    known = make_target({"f": float(MANY["f"].mean() * 1e6)}, size=1e6)
    e = infer(rectify(LABELLED, known, predictions={"y": "f"}))
    slope = np.cov(FEW["y"], FEW["f"])[0, 1] / FEW["f"].var()
    expected = FEW["y"].mean() + slope * (MANY["f"].mean() - FEW["f"].mean())
    assert e.values[0] == pytest.approx(expected, rel=1e-12)
    assert e.se[0] == pytest.approx((FEW["y"] - slope * FEW["f"]).sem(), rel=1e-12)


def test_error_of_totals_adds_as_that_of_a_reference_sample():
    """Covariance of (size, total of f) of the reference sample gives its own variance."""
    rows = np.column_stack([np.ones(M), MANY["f"]])
    centred = rows - rows.mean(axis=0)
    covariance = centred.T @ centred * M / (M - 1)
    noisy = make_target({"f": float(MANY["f"].sum())}, size=M, covariance=covariance)
    asked = [mean("y"), total("y")]
    options = {"predictions": {"y": "f"}, "estimands": asked, "tune": False}
    a = infer(rectify(LABELLED, TARGET, **options))
    b = infer(rectify(LABELLED, noisy, **options))
    np.testing.assert_allclose(b.values, a.values, rtol=1e-12)
    np.testing.assert_allclose(b.covariance, a.covariance, rtol=1e-9)


def test_clusters_and_ratios():
    sample = read_sample(
        FEW.assign(v=FEW["f"] ** 2, g=FEW["f"] ** 2 + 1),
        outcomes=["y", "v"],
        covariates=["f", "g"],
        design=DesignColumns(clusters="c"),
    )
    many = read_sample(MANY.assign(g=MANY["f"] ** 2 + 1), covariates=["f", "g"])
    asked = [ratio("v", "y")]
    point = rectify(
        sample, Target(reference=many), predictions={"y": "f", "v": "g"}, estimands=asked
    )
    e = infer(point)
    assert e.degrees_of_freedom == N / 3 - 1
    assert 0 < e.se[0] < abs(e.values[0])
