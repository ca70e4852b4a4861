"""Bands of weekly series: simultaneous coverage, gaps, refusals."""

import numpy as np
import pytest
from scipy.special import ndtri

from offroute.exceptions import InvalidValue, NotIdentified, UsageError
from offroute.inference.series import series_bands


def walks(rng, k):
    return np.cumsum(rng.standard_normal((k, 30)), axis=1)


def test_band_covers_whole_paths_and_the_interval_does_not():
    rng = np.random.default_rng(8)
    bands = series_bands(walks(rng, 20_000), level=0.9)
    fresh = walks(rng, 20_000)
    held = ((fresh >= bands.band_low) & (fresh <= bands.band_high)).all(axis=1).mean()
    pointwise = ((fresh >= bands.low) & (fresh <= bands.high)).mean(axis=0)
    # Two samples of 20,000: four standard errors of their difference.
    error = 4 * np.sqrt(2 * 0.09 / 20_000)
    assert abs(held - 0.9) < error
    assert (np.abs(pointwise - 0.9) < error).all()
    assert (((fresh >= bands.low) & (fresh <= bands.high)).all(axis=1)).mean() < 0.75


def test_independent_weeks_have_the_sidak_band():
    draws = np.random.default_rng(9).standard_normal((100_000, 5))
    bands = series_bands(draws, level=0.9)
    expected = ndtri((1 + 0.9 ** (1 / 5)) / 2)
    np.testing.assert_allclose(bands.band_high, expected, atol=0.05)
    np.testing.assert_allclose(bands.band_low, -expected, atol=0.05)


def test_one_week_band_is_the_interval_and_gaps_stay():
    draws = np.random.default_rng(10).standard_normal((4001, 3))
    draws[:, 1:] = np.nan
    bands = series_bands(draws)
    assert bands.band_high[0] == pytest.approx(bands.high[0], abs=0.01)
    assert np.isnan(bands.band_low[1:]).all()
    assert np.isnan(bands.median[1:]).all()


def test_bands_follow_monotone_transforms():
    draws = walks(np.random.default_rng(11), 3000) / 10
    plain, moved = series_bands(draws), series_bands(np.exp(draws))
    np.testing.assert_allclose(np.exp(plain.band_low), moved.band_low, rtol=5e-3)
    np.testing.assert_allclose(np.exp(plain.band_high), moved.band_high, rtol=5e-3)


def test_wrong_input_is_refused():
    with pytest.raises(NotIdentified, match="no week"):
        series_bands(np.full((5, 2), np.nan))
    with pytest.raises(NotIdentified, match="draws"):
        series_bands(np.random.default_rng(0).standard_normal((30, 20)))
    with pytest.raises(InvalidValue, match="axes"):
        series_bands(np.ones(5))
    with pytest.raises(InvalidValue, match="finite"):
        series_bands(np.array([[1.0, np.inf], [1.0, 2.0]]))
    with pytest.raises(UsageError, match="level"):
        series_bands(np.ones((5, 2)), level=90)
