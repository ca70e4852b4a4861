"""Bands for weekly series from joint draws; gaps in the data stay gaps."""

from dataclasses import dataclass

import numpy as np

from offroute._checks import check_probability
from offroute._typing import FloatArray
from offroute.exceptions import NotIdentified
from offroute.inference._arrays import as_draws, tails
from offroute.inference.bands import sup_t_band_of_draws


@dataclass(frozen=True)
class SeriesBands:
    """Median, pointwise interval and simultaneous band of a series.

    Attributes
    ----------
    median, low, high : ndarray, shape (T,)
        Median and pointwise interval; not a number in gaps.
    band_low, band_high : ndarray, shape (T,)
        Band that holds the whole path with probability `level`; use it for any statement about
        several weeks.
    level : float
        Coverage of each.
    """

    median: FloatArray
    low: FloatArray
    high: FloatArray
    band_low: FloatArray
    band_high: FloatArray
    level: float


def series_bands(paths: FloatArray, *, level: float = 0.9) -> SeriesBands:
    r"""Summarise joint draws of a weekly series, pointwise and simultaneously.

    The simultaneous band is :math:`[q_{p/2}(t), q_{1-p/2}(t)]` with the largest p for which a share
    `level` of the paths lies inside in all weeks: a sup-t band from draws, equal-tailed in every
    week and invariant to monotone transforms.

    Parameters
    ----------
    paths : ndarray, shape (k, T)
        Joint draws, rows are paths; a week that does not exist is NaN in all rows.
    level : float
        Coverage.

    Returns
    -------
    SeriesBands
        NaN in the gaps: nothing is interpolated.

    Raises
    ------
    InvalidValue
        If a week is missing in some rows only, or values are infinite.
    NotIdentified
        If there is no week at all, or there are too few draws for a band of that level.
    UsageError
        If `level` is not between 0 and 1.

    Notes
    -----
    Needs draws of whole paths: weeks drawn one by one give too wide a band. Montiel Olea and
    Plagborg-Moller (2019), J. Appl. Econometrics 34, 1-17, doi:10.1002/jae.2656, Algorithm 2.

    Examples
    --------
    >>> paths = np.random.default_rng(0).standard_normal((4000, 3))
    >>> paths[:, 1] = np.nan
    >>> bands = series_bands(paths)
    >>> bool(np.isnan(bands.median[1])), bool((bands.band_high > bands.high)[[0, 2]].all())
    (True, True)
    """
    level = check_probability(level, name="level")
    draws = as_draws(paths, name="paths", ndim=(2,), gaps=True)
    there = ~np.isnan(draws[0])
    if not there.any():
        raise NotIdentified(
            "paths",
            got="no week with values",
            rule="a series needs at least one week",
            next_step="Widen the window.",
        )
    seen = draws[:, there]
    out = np.full((5, draws.shape[1]), np.nan)
    out[0, there] = np.median(seen, axis=0)
    out[1:3, there] = np.quantile(seen, tails(level), axis=0)
    low, high = sup_t_band_of_draws(seen, level=level)
    # With one week the band is the interval; rank and interpolated quantiles differ in the last
    # digits only, and the band must never be the narrower.
    out[3, there], out[4, there] = np.minimum(low, out[1, there]), np.maximum(high, out[2, there])
    return SeriesBands(out[0], out[1], out[2], out[3], out[4], level)
