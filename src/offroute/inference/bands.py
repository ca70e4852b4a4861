"""Simultaneous intervals: sup-t bands, multinomial shares, compositions under a design effect."""

import numpy as np
from scipy.special import chdtri, gammaln, xlogy

from offroute._random import RngLike, resolve_rng
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.intervals import Interval


def sup_t_critical(
    covariance: FloatArray, *, level: float = 0.95, draws: int = 100_000, rng: RngLike = 0
) -> float:
    """Return c with ``P(max_j |Z_j| / sd_j <= c) = level`` for Z normal with this covariance.

    Elements of zero variance are left out. Monte Carlo error of the level is
    ``sqrt(level (1 - level) / draws)``.

    Parameters
    ----------
    covariance : numpy.ndarray of float64, shape (k, k)
        Covariance of the values.
    level : float
        Coverage, between 0 and 1.
    draws : int
        Monte Carlo draws.
    rng : int, Generator, SeedSequence or None
        Source of randomness.

    References
    ----------
    Montiel Olea, J. L. and Plagborg-Moller, M. (2019). J. Appl. Econometrics 34, 1-17.
    doi:10.1002/jae.2656

    Examples
    --------
    >>> abs(sup_t_critical(np.eye(1)) - 1.96) < 0.02
    True
    """
    sd = np.sqrt(np.diag(covariance))
    used = sd > 0
    if not used.any():
        return 0.0
    correlation = covariance[np.ix_(used, used)] / np.outer(sd[used], sd[used])
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(values, 0))
    z = resolve_rng(rng).standard_normal((draws, root.shape[0])) @ root.T
    return float(np.quantile(np.abs(z).max(axis=1), level))


def sup_t_band(
    values: FloatArray,
    covariance: FloatArray,
    *,
    level: float = 0.95,
    draws: int = 100_000,
    rng: RngLike = 0,
) -> Interval:
    """Return a band that covers all k values together with probability `level`.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (k,)
        Estimates.
    covariance : numpy.ndarray of float64, shape (k, k)
        Covariance of the values.
    level : float
        Coverage, between 0 and 1.
    draws : int
        Monte Carlo draws.
    rng : int, Generator, SeedSequence or None
        Source of randomness.

    Examples
    --------
    >>> low, high = sup_t_band(np.zeros(2), np.eye(2))
    >>> bool(abs(high[0] - 2.236) < 0.03)
    True
    """
    half = sup_t_critical(covariance, level=level, draws=draws, rng=rng) * np.sqrt(
        np.diag(covariance)
    )
    return values - half, values + half


def sup_t_band_of_draws(draws: FloatArray, *, level: float = 0.95) -> Interval:
    """Return the narrowest equal-tailed band that holds a share `level` of whole draws.

    Bootstrap or posterior draws, shape (b, k): every element gets the quantiles
    ``[p / 2, 1 - p / 2]`` with the largest p for which that share of the draws lies inside
    everywhere. Invariant to monotone transforms of single elements.

    Parameters
    ----------
    draws : numpy.ndarray of float64, shape (b, k)
        Draws.
    level : float
        Coverage, between 0 and 1.

    Raises
    ------
    NotIdentified
        If too few draws exist to reach the level.

    Examples
    --------
    >>> d = np.random.default_rng(0).standard_normal((4000, 2))
    >>> low, high = sup_t_band_of_draws(d)
    >>> inside = ((d >= low) & (d <= high)).all(axis=1).mean()
    >>> bool(inside >= 0.95)
    True
    """
    b, k = draws.shape
    order = np.sort(draws, axis=0)
    rank_low = np.stack([np.searchsorted(order[:, j], draws[:, j], "left") for j in range(k)], 1)
    rank_high = np.stack([np.searchsorted(order[:, j], draws[:, j], "right") for j in range(k)], 1)
    # Depth: how many draws may be cut from each tail before this draw leaves the band.
    depth = np.minimum(rank_high - 1, b - 1 - rank_low).min(axis=1)
    cut = int(np.sort(depth)[::-1][int(np.ceil(level * b)) - 1])
    if cut < 1:
        raise NotIdentified(
            "draws",
            got=f"{b} draws of {k} values",
            rule="the band needs enough draws to cut the tails",
            next_step="Use more draws.",
        )
    return order[cut], order[b - 1 - cut]


def goodman_intervals(counts: FloatArray, *, level: float = 0.95) -> Interval:
    """Return Goodman's simultaneous intervals for multinomial shares.

    Counts may be effective counts, ``n_eff * share``.

    Parameters
    ----------
    counts : numpy.ndarray of float64, shape (k,)
        Count of each class.
    level : float
        Coverage, between 0 and 1.

    References
    ----------
    Goodman, L. A. (1965). Technometrics 7, 247-254. doi:10.1080/00401706.1965.10490252

    Examples
    --------
    >>> goodman_intervals(np.array([23.0, 12, 44]))[0].round(6).tolist()
    [0.186276, 0.079173, 0.423861]
    """
    x = _counts(counts)
    n = x.sum()
    a = float(chdtri(1, (1 - level) / x.size))
    root = np.sqrt(a * (a + 4 * x * (n - x) / n))
    return (a + 2 * x - root) / (2 * (n + a)), (a + 2 * x + root) / (2 * (n + a))


def sison_glaz_intervals(counts: FloatArray, *, level: float = 0.95) -> Interval:
    """Return Sison and Glaz's simultaneous intervals for multinomial shares (whole counts).

    The Edgeworth approximation of the probability that truncated Poisson counts add up to n;
    narrower than Goodman's for many small classes, poor for one dominant class.

    Parameters
    ----------
    counts : numpy.ndarray of float64, shape (k,)
        Count of each class.
    level : float
        Coverage, between 0 and 1.

    References
    ----------
    Sison, C. P. and Glaz, J. (1995). JASA 90, 366-369. doi:10.1080/01621459.1995.10476521

    Examples
    --------
    >>> sison_glaz_intervals(np.array([23.0, 12, 44]))[0].round(6).tolist()
    [0.189873, 0.050633, 0.455696]
    """
    x = _counts(counts)
    if not np.array_equal(x, np.round(x)):
        raise InvalidValue(
            "counts",
            got=counts,
            rule="Sison-Glaz intervals need whole counts",
            next_step="Use goodman_intervals for effective counts.",
        )
    n = int(x.sum())
    previous, width = 0.0, 0
    for candidate in range(1, n + 1):
        coverage = _coverage(x, n, candidate)
        if previous < level <= coverage:
            width = candidate - 1
            break
        previous = coverage
    gamma = (level - previous) / (coverage - previous)
    share = x / n
    return np.maximum(share - width / n, 0), np.minimum(share + (width + 2 * gamma) / n, 1)


def composition_intervals(
    shares: FloatArray,
    covariance: FloatArray,
    *,
    level: float = 0.95,
    draws: int = 100_000,
    rng: RngLike = 0,
) -> Interval:
    """Return simultaneous intervals for shares of a whole, symmetric on their log odds.

    ``log(p_k / (1 - p_k))`` has variance ``V_kk / (p_k (1 - p_k))^2``, V any design-based
    covariance of the shares, so clustering and weighting are in it; the critical value is that of
    a sup-t band on the log odds.

    Parameters
    ----------
    shares : numpy.ndarray of float64, shape (k,)
        Shares in (0, 1).
    covariance : numpy.ndarray of float64, shape (k, k)
        Their covariance.
    level : float
        Coverage, between 0 and 1.
    draws : int
        Monte Carlo draws.
    rng : int, Generator, SeedSequence or None
        Source of randomness.

    Returns
    -------
    tuple of numpy.ndarray of float64, shape (k,)
        Lower and upper ends, inside (0, 1).

    Examples
    --------
    >>> p = np.array([0.6, 0.3, 0.1])
    >>> low, high = composition_intervals(p, (np.diag(p) - np.outer(p, p)) / 200)
    >>> bool(((low > 0) & (low < p) & (p < high) & (high < 1)).all())
    True
    """
    if not ((shares > 0) & (shares < 1)).all():
        raise InvalidValue(
            "shares",
            got=shares,
            rule="log ratios need shares inside (0, 1)",
            next_step="Merge empty classes.",
        )
    slope = 1 / (shares * (1 - shares))
    scaled = covariance * np.outer(slope, slope)
    half = sup_t_critical(scaled, level=level, draws=draws, rng=rng) * np.sqrt(np.diag(scaled))
    odds = shares / (1 - shares)
    low, high = odds * np.exp(-half), odds * np.exp(half)
    return low / (1 + low), high / (1 + high)


def design_effect_covariance(shares: FloatArray, n: float, design_effect: float) -> FloatArray:
    """Return the covariance of multinomial shares of n units under a design effect, (k, k).

    ``deff (diag(p) - p p') / n``: for published shares whose microdata are not at hand.

    Parameters
    ----------
    shares : numpy.ndarray of float64, shape (k,)
        Shares that add up to 1.
    n : float
        Number of units.
    design_effect : float
        Variance over that of a simple random sample.

    Examples
    --------
    >>> design_effect_covariance(np.array([0.5, 0.5]), 100, 2.0)[0, 0]
    np.float64(0.005)
    """
    if not (n > 0 and design_effect > 0):
        raise InvalidValue(
            "n, design_effect",
            got=(n, design_effect),
            rule="both must be positive",
            next_step="Give the survey's sample size and design effect.",
        )
    return np.asarray(design_effect * (np.diag(shares) - np.outer(shares, shares)) / n)


def _counts(counts: FloatArray) -> FloatArray:
    x = np.asarray(counts, dtype=np.float64)
    if x.size <= 1 or not np.isfinite(x).all() or x.min() < 0 or x.sum() <= 0:
        raise InvalidValue(
            "counts",
            got=counts,
            rule="at least two finite, non-negative counts with a positive sum are needed",
            next_step="Correct the counts.",
        )
    return x


def _coverage(x: FloatArray, n: int, c: int) -> float:
    """Probability that every multinomial count lies within c of its mean (Sison and Glaz)."""
    moments = np.array([_truncated_poisson(lam, c) for lam in x])
    mu, variance, third, fourth, inside = moments.T
    s2 = variance.sum()
    skew = third.sum() / s2**1.5
    kurtosis = (fourth - 3 * variance**2).sum() / s2**2
    z = (n - mu.sum()) / np.sqrt(s2)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    edgeworth = density * (
        1
        + skew * (z**3 - 3 * z) / 6
        + kurtosis * (z**4 - 6 * z**2 + 3) / 24
        + skew**2 * (z**6 - 15 * z**4 + 45 * z**2 - 15) / 72
    )
    log_scale = gammaln(n + 1) - n * np.log(n) + n
    return float(np.prod(inside) * np.exp(log_scale) * edgeworth / np.sqrt(s2))


def _truncated_poisson(lam: float, c: int) -> tuple[float, float, float, float, float]:
    """Mean, central moments 2 to 4 of a Poisson truncated to lam -/+ c, and its probability."""
    support = np.arange(max(int(lam) - c, 0), int(lam) + c + 1)
    p = np.exp(xlogy(support, lam) - lam - gammaln(support + 1))
    inside = float(p.sum())
    p = p / inside
    mu = float(p @ support)
    d = support - mu
    return mu, float(p @ d**2), float(p @ d**3), float(p @ d**4), inside
