"""Partial pooling against metafor, closed forms and its limits."""

import numpy as np
import pandas as pd
import pytest

from offroute.estimators.estimands import mean
from offroute.estimators.intake import read_sample
from offroute.estimators.partial_pooling import mrp
from offroute.estimators.point import Target, make_target
from offroute.estimators.poststratify import poststratify
from offroute.estimators.variance_components import (
    CellMeans,
    fit_components,
    predict_cells,
    uncertain_error,
)
from offroute.inference.estimate import infer

# BCG trials of Colditz et al. (1994), JAMA 271, 698-702: cases and non-cases, vaccinated and not.
BCG = np.array(
    [
        [4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619],
        [33, 5036, 47, 5761], [180, 1361, 372, 1079], [8, 2537, 10, 619],
        [505, 87886, 499, 87892], [29, 7470, 45, 7232], [17, 1699, 65, 1600],
        [186, 50448, 141, 27197], [5, 2493, 3, 2338], [27, 16886, 29, 17825],
    ]
)  # fmt: skip  # dense
# R 4.2.2, metafor 3.8-1, rma(yi, vi, method="REML"), run 2026-11-23. Its tau2 stops at 1e-5.
REML = {"est": -0.714532348365101, "se": 0.179781531780361, "tau2": 0.313243325980895}


def trials():
    a, b, c, d = BCG.T
    log_ratio = np.log(a / (a + b)) - np.log(c / (c + d))
    variance = 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    return CellMeans(log_ratio, 1 / variance, (np.arange(13),), 0.0, 0.0)


def test_components_are_those_of_metafor():
    fit = fit_components(trials(), sigma=1.0)
    assert fit.sd[0] ** 2 == pytest.approx(REML["tau2"], rel=1e-6)
    assert fit.intercept == pytest.approx(REML["est"], rel=1e-7)
    assert fit.intercept_se == pytest.approx(REML["se"], rel=1e-6)


def test_predictions_shrink_by_the_closed_form():
    cells = trials()
    fit = fit_components(cells, sigma=1.0)
    theta, weights, _ = predict_cells(cells, fit.sd, 1.0, np.eye(13))
    gain = fit.sd[0] ** 2 / (fit.sd[0] ** 2 + 1 / cells.size)
    expected = fit.intercept + gain * (cells.mean - fit.intercept)
    np.testing.assert_allclose(theta, expected, rtol=1e-10)
    np.testing.assert_allclose(weights.T @ cells.mean, expected, rtol=1e-10)


def test_uncertain_components_cost_something():
    cells = trials()
    fit = fit_components(cells, sigma=1.0)
    shares = np.eye(13)
    plug_in = predict_cells(cells, fit.sd, 1.0, shares)[2]
    full = uncertain_error(cells, fit, shares)
    assert full.sum() > plug_in.sum()
    assert (full < 3 * plug_in).all()


def test_balanced_one_way_layout_is_the_analysis_of_variance():
    """REML of a balanced layout: sigma2 = MSW, tau2 = (MSB - MSW) / n."""
    y = np.array([[1.0, 2, 3], [5, 6, 10], [2, 3, 1], [8, 6, 7]])
    frame = pd.DataFrame({"g": np.repeat(list("abcd"), 3), "y": y.ravel()})
    sample = read_sample(frame, outcomes=["y"], covariates=["g"])
    target = make_target({"g": dict.fromkeys("abcd", 10)})
    point = mrp(sample, target)
    within = ((y - y.mean(1, keepdims=True)) ** 2).sum() / 8
    between = 3 * y.mean(1).var(ddof=1)
    assert point.diagnostics["sigma"] ** 2 == pytest.approx(within, rel=1e-6)
    assert point.diagnostics["sd[g]"] ** 2 == pytest.approx((between - within) / 3, rel=1e-5)
    assert point.values[0] == pytest.approx(y.mean(), rel=1e-9)


def large():
    rng = np.random.default_rng(1)
    n = 8000
    g = rng.integers(0, 6, n)
    frame = pd.DataFrame({"g": g.astype(str), "y": g + rng.normal(size=n)})
    return frame, make_target({"g": {str(k): float(10 + 5 * k) for k in range(6)}})


def test_full_cells_are_hardly_pooled():
    frame, target = large()
    sample = read_sample(frame, outcomes=["y"], covariates=["g"])
    pooled, plain = infer(mrp(sample, target)), infer(poststratify(sample, target))
    assert pooled.values[0] == pytest.approx(plain.values[0], abs=0.1 * plain.se[0])
    assert pooled.se[0] == pytest.approx(plain.se[0], rel=0.1)


def test_an_empty_cell_is_predicted_with_its_uncertainty():
    frame, target = large()
    held = frame[frame["g"] != "3"]
    sample = read_sample(held, outcomes=["y"], covariates=["g"])
    with_gap = infer(mrp(sample, target))
    without = infer(mrp(read_sample(frame, outcomes=["y"], covariates=["g"]), target))
    assert with_gap.se[0] > 5 * without.se[0]
    assert abs(with_gap.values[0] - without.values[0]) < 2 * with_gap.se[0]


def test_reference_sample_counts_the_cells():
    frame, target = large()
    sample = read_sample(frame, outcomes=["y"], covariates=["g"])
    counts = {
        k[0]: t for k, t in zip(target.margins[0].levels, target.margins[0].totals, strict=True)
    }
    panel = pd.DataFrame({"g": list(counts), "d": list(counts.values())})
    panel = panel.loc[panel.index.repeat(20)].assign(d=lambda f: f["d"] / 20)
    rows = Target(reference=read_sample(panel, covariates=["g"], weights="d"))
    known, estimated = (infer(mrp(sample, t, estimands=[mean("y")])) for t in (target, rows))
    assert estimated.values[0] == pytest.approx(known.values[0], rel=1e-12)
    assert estimated.se[0] > known.se[0]
