r"""Whether one weekly series moves ahead of another, and which lags the data cannot exclude.

.. math:: r_k = Corr\big(\Delta g(t_i),\; \Delta p_k(t_i)\big), \qquad
   \Delta p_k(t_i) = p(t_i - k) - p(t_{i-1} - k)

Changes between consecutive readings of the second series are correlated with changes of the first
over the same spans, shifted by k weeks. A positive k means that the first series leads.
"""

from dataclasses import dataclass

import numpy as np

from offroute._checks import check_finite, check_probability
from offroute._random import RngLike, resolve_rng
from offroute._typing import FloatArray, IntArray
from offroute.exceptions import InvalidValue, NotIdentified

_FEWEST = 10
_LEAST_SPREAD = 1e-12
_LARGEST = 1 - 1e-9


@dataclass(frozen=True)
class LeadLag:
    """Cross-correlation of changes over lags.

    Attributes
    ----------
    lags : ndarray of int, shape (L,)
        Weeks by which the first series leads.
    correlation, low, high : ndarray, shape (L,)
        Correlation at each lag with a pointwise interval: Fisher's z, the sd of a block bootstrap,
        and the t quantile of as many degrees as blocks less one.
    best : int
        Lag with the largest correlation.
    not_excluded : tuple of int
        Lags whose correlation is not below the largest one at the level, all lags compared
        together.
    p_value : float
        Of no correlation at any lag, by circular shifts of the first series' changes.
    changes : int
        Number of changes.
    level : float
        Coverage.
    """

    lags: IntArray
    correlation: FloatArray
    low: FloatArray
    high: FloatArray
    best: int
    not_excluded: tuple[int, ...]
    p_value: float
    changes: int
    level: float


def _correlations(g: FloatArray, p: FloatArray) -> FloatArray:
    """Correlation of g with every column of p over the second to last axis."""
    a = g - g.mean(axis=-1, keepdims=True)
    b = p - p.mean(axis=-2, keepdims=True)
    top = (a[..., None] * b).sum(axis=-2)
    scale = np.sqrt((a**2).sum(axis=-1)[..., None] * (b**2).sum(axis=-2))
    return np.asarray(top / np.maximum(scale, _LEAST_SPREAD))


def _fisher(r: FloatArray) -> FloatArray:
    """Fisher's z, with a perfect correlation kept finite."""
    return np.asarray(np.arctanh(np.clip(r, -_LARGEST, _LARGEST)))


def lead_lag(
    first: tuple[FloatArray, FloatArray],
    second: tuple[FloatArray, FloatArray],
    *,
    max_lag: int = 8,
    block: int = 6,
    replicates: int = 2000,
    level: float = 0.9,
    rng: RngLike = 0,
) -> LeadLag:
    """Estimate by how many weeks one series leads another that is read irregularly.

    Parameters
    ----------
    first : tuple of two ndarray, shape (T,)
        Times in weeks, rising, and values of the regular series, such as a log ratio of the panel;
        values between two times are interpolated.
    second : tuple of two ndarray, shape (n,)
        The same of the series that is read now and then.
    max_lag : int
        Largest lead or lag, weeks.
    block : int
        Consecutive changes drawn together by the bootstrap.
    replicates : int
        Bootstrap samples.
    level : float
        Coverage of the intervals and of the set of lags.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    LeadLag
        Correlations, and the set of lags that are not excluded.

    Raises
    ------
    InvalidValue
        If times do not rise, lengths differ, or a count is too small.
    NotIdentified
        If fewer than ten changes have all shifted spans inside the first series.

    Notes
    -----
    Pointwise intervals are short of their level when changes are strongly autocorrelated: over 150
    pairs of independent series with 39 changes, 90 % intervals held zero in .91, .89 and .86 at an
    autocorrelation of weekly changes of 0, .5 and .8. The p value held its size in all three.

    A lag inside the spacing of the readings blurs over its neighbours, and two series that follow a
    third look the same as one following the other: a lead is no cause. The set compares every lag
    with the best one by the largest studentised difference over bootstrap samples (Hansen, Lunde
    and Nason 2011, doi:10.3982/ECTA5771, in one step).

    Examples
    --------
    >>> rng = np.random.default_rng(3)
    >>> walk = np.cumsum(rng.standard_normal(120))
    >>> t = np.arange(120.0)
    >>> found = lead_lag((t, walk), (t[20:], walk[17:-3]), max_lag=5, replicates=200)
    >>> found.best, found.not_excluded
    (3, (3,))
    """
    from scipy.stats import t as student  # noqa: PLC0415 - keeps the import of the package cheap

    level = check_probability(level, name="level")
    for name, count, least in (
        ("max_lag", max_lag, 0), ("block", block, 1), ("replicates", replicates, 2)
    ):  # fmt: skip  # dense
        if count < least:
            raise InvalidValue(
                name, got=count, rule=f"must be at least {least}", next_step="Leave it out."
            )
    (t, p), (s, g) = first, second
    for name, time, value in (("first", t, p), ("second", s, g)):
        check_finite(value, name=name)
        if len(time) != len(value) or bool((np.diff(time) <= 0).any()):
            raise InvalidValue(
                name,
                got=f"{len(time)} times and {len(value)} values",
                rule="must have one value for each time, and times must rise",
                next_step="Sort the readings and average those of one time.",
            )
    lags = np.arange(-max_lag, max_lag + 1)
    inside = (s - max_lag >= t[0]) & (s + max_lag <= t[-1])
    s, g = s[inside], g[inside]
    n = len(s) - 1
    if n < _FEWEST:
        raise NotIdentified(
            "lead or lag",
            got=f"{max(n, 0)} changes with all lags inside the first series",
            rule=f"at least {_FEWEST} are needed",
            next_step="Lower max_lag or lengthen the first series.",
        )
    dg = np.diff(g)
    dp = np.column_stack([np.diff(np.interp(s - k, t, p)) for k in lags])
    r = _correlations(dg, dp)
    generator = resolve_rng(rng)
    starts = generator.integers(0, n, (replicates, -(-n // block)))
    rows = ((starts[:, :, None] + np.arange(block)) % n).reshape(replicates, -1)[:, :n]
    draws = _correlations(dg[rows], dp[rows])
    # Percentiles of few blocks are too narrow: Fisher's z, and as many degrees as blocks less one.
    z, spread = _fisher(r), _fisher(draws).std(axis=0)
    half = float(student.ppf(0.5 + level / 2, max(n / block - 1, 1.0))) * spread
    low, high = np.tanh(z - half), np.tanh(z + half)
    best = int(r.argmax())
    gap, gaps = r[best] - r, draws[:, [best]] - draws
    sd = np.maximum(gaps.std(axis=0), _LEAST_SPREAD)
    largest = ((gap - gaps) / sd)[:, np.arange(len(lags)) != best].max(axis=1)
    critical = float(np.quantile(largest, level))
    kept = lags[(gap <= critical * sd) | (np.arange(len(lags)) == best)]
    shifts = np.arange(1, n)
    chance = np.array([_correlations(dg, np.roll(dp, k, axis=0)).max() for k in shifts])
    return LeadLag(
        lags=lags,
        correlation=r,
        low=low,
        high=high,
        best=int(lags[best]),
        not_excluded=tuple(int(k) for k in kept),
        p_value=float((1 + (chance >= r[best]).sum()) / (1 + len(chance))),
        changes=n,
        level=level,
    )
