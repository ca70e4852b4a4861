"""Simultaneous intervals against statsmodels, closed forms and their own definition."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.bands import (
    composition_intervals,
    design_effect_covariance,
    goodman_intervals,
    sison_glaz_intervals,
    sup_t_band,
    sup_t_band_of_draws,
    sup_t_critical,
)

FILE = Path(__file__).parent.parent / "oracles" / "published_calibration.json"
CASES = json.loads(FILE.read_text())["simultaneous"]
METHODS = {"goodman": goodman_intervals, "sison_glaz": sison_glaz_intervals}


@pytest.mark.parametrize("case", ["mj7", "sg4", "us3"])
@pytest.mark.parametrize("method", METHODS)
def test_multinomial_intervals_of_statsmodels(case, method):
    low, high = METHODS[method](np.array(CASES[case]["x"], dtype=float))
    np.testing.assert_allclose(np.column_stack([low, high]), CASES[case][method], rtol=1e-9)


def test_sup_t_of_independent_values():
    # Sidak: independent values need the quantile of level ** (1 / k).
    exact = norm.ppf((1 + 0.95 ** (1 / 5)) / 2)
    assert sup_t_critical(np.eye(5), draws=400_000) == pytest.approx(exact, abs=0.01)


def test_sup_t_of_one_value_repeated():
    assert sup_t_critical(np.ones((4, 4)), draws=400_000) == pytest.approx(1.96, abs=0.01)


def test_sup_t_ignores_what_does_not_vary():
    low, high = sup_t_band(np.array([1.0, 2.0]), np.diag([1.0, 0.0]))
    assert (low[1], high[1]) == (2.0, 2.0)


def test_band_of_draws_holds_whole_draws_and_is_invariant():
    rng = np.random.default_rng(5)
    draws = rng.standard_normal((2000, 3)) @ rng.standard_normal((3, 6))
    low, high = sup_t_band_of_draws(draws, level=0.9)
    inside = ((draws >= low) & (draws <= high)).all(axis=1).mean()
    assert 0.9 <= inside < 0.905
    e_low, e_high = sup_t_band_of_draws(np.exp(draws), level=0.9)
    np.testing.assert_allclose(np.log(e_low), low)
    np.testing.assert_allclose(np.log(e_high), high)


def test_band_of_too_few_draws_is_refused():
    with pytest.raises(NotIdentified, match="more draws"):
        sup_t_band_of_draws(np.random.default_rng(1).standard_normal((20, 10)))


def test_composition_intervals_cover_together():
    p, n = np.array([0.55, 0.3, 0.1, 0.05]), 400
    rng = np.random.default_rng(3)
    hits, repeats = 0, 1000
    for _ in range(repeats):
        x = rng.multinomial(n, p) / n
        covariance = design_effect_covariance(x, n, 1.0)
        low, high = composition_intervals(x, covariance, draws=2000, rng=rng)
        hits += bool(((low <= p) & (p <= high)).all())
    assert abs(hits / repeats - 0.95) <= 4 * np.sqrt(0.95 * 0.05 / repeats)


@pytest.mark.parametrize(
    "call",
    [
        lambda: goodman_intervals(np.array([1.0, -1.0])),
        lambda: goodman_intervals(np.array([3.0])),
        lambda: sison_glaz_intervals(np.array([1.5, 2.5])),
        lambda: composition_intervals(np.array([1.0, 0.0]), np.eye(2)),
        lambda: design_effect_covariance(np.array([0.5, 0.5]), 0, 1),
    ],
)
def test_unusable_input_is_refused(call):
    with pytest.raises(InvalidValue):
        call()
