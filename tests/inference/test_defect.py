"""Meng's identity on finite populations, weekly series with gaps, joint coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.defect import (
    defect_correlation,
    defect_error,
    defect_series,
    effective_size,
    joint_coverage,
)


@given(st.integers(0, 10_000))
def test_correlation_is_that_of_inclusion_and_variable(seed):
    rng = np.random.default_rng(seed)
    y = rng.normal(2.0, 3.0, 60)
    recorded = rng.permutation(60) < rng.integers(5, 55)
    expected = np.corrcoef(recorded, y)[0, 1]
    f = recorded.mean()
    rho = defect_correlation(y[recorded].mean(), y.mean(), f, population_sd=y.std())
    assert float(rho) == pytest.approx(expected, abs=1e-12)
    error = defect_error(rho, f, y.std())
    assert float(error) == pytest.approx(y[recorded].mean() - y.mean(), abs=1e-12)
    size = effective_size(rho, f)
    assert float(size) == pytest.approx(y.var() / float(error) ** 2, rel=1e-9)


@given(panel=st.floats(0.01, 0.99), share=st.floats(0.01, 0.99), f=st.floats(1e-6, 0.99))
def test_effective_size_does_not_depend_on_coverage(panel, share, f):
    size = float(effective_size(defect_correlation(panel, share, f), f))
    gap = panel - share
    assert size == pytest.approx(share * (1 - share) / gap**2 if gap else np.inf, rel=1e-6)


def test_series_keeps_gaps_and_carries_the_benchmarks_error():
    rng = np.random.default_rng(5)
    panel = np.array([0.6, np.nan, 0.5])
    share = rng.beta(30, 70, size=(2000, 3))
    coverage = np.full((2000, 3), 0.05)
    share[:, 1] = coverage[:, 1] = np.nan
    share[:, 2] = 0.5
    found = defect_series(panel, share, coverage)
    assert np.isnan(found.correlation[1])
    assert np.isnan(found.effective_high[1])
    assert found.correlation_low[0] < found.correlation[0] < found.correlation_high[0]
    assert found.correlation[2] == 0
    assert found.effective_size[2] == np.inf
    rho = defect_correlation(0.6, share[:, 0], 0.05)
    assert found.correlation[0] == pytest.approx(np.median(rho))


def test_series_refuses_what_does_not_match():
    panel, draws = np.array([0.6, 0.5]), np.full((4, 2), 0.3)
    gap = draws.copy()
    gap[:, 1] = np.nan
    with pytest.raises(InvalidValue, match="gaps"):
        defect_series(panel, gap, draws)
    with pytest.raises(InvalidValue, match="joint draws"):
        defect_series(panel, draws, draws[:3])
    with pytest.raises(NotIdentified):
        defect_series(np.full(2, np.nan), np.full((4, 2), np.nan), np.full((4, 2), np.nan))
    half = draws.copy()
    half[0, 1] = np.nan
    with pytest.raises(InvalidValue, match="every draw"):
        defect_series(panel, half, draws)


@pytest.mark.parametrize("coverage", [0.0, 1.0, 1.5, np.nan])
def test_coverage_must_be_a_fraction(coverage):
    with pytest.raises(InvalidValue, match="coverage"):
        defect_correlation(0.6, 0.3, coverage)


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.floats(0.001, 1)), min_size=1, max_size=8),
)
def test_joint_coverage_is_panel_over_market(members):
    panel, coverage = np.array(members).T
    joint = joint_coverage(panel, coverage)
    assert joint == pytest.approx(panel.sum() / (panel / coverage).sum())
    assert coverage.min() - 1e-12 <= joint <= panel @ coverage / panel.sum() + 1e-12


@pytest.mark.parametrize(
    ("panel", "coverage"), [([1, 1], [0.5]), ([0, 0], [0.5, 0.5]), ([1, 1], [0.5, 0.0])]
)
def test_joint_coverage_refuses(panel, coverage):
    with pytest.raises(InvalidValue):
        joint_coverage(panel, coverage)
