"""A few posterior draws that stand for many."""

import numpy as np

from offroute._random import RngLike, resolve_rng
from offroute._typing import FloatArray, IntArray
from offroute.exceptions import UsageError

#: Levels at which the kept draws are to have the quantiles of all.
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST_SWAPS = 4000


def balanced_subset(
    values: FloatArray, size: int, *, levels: tuple[float, ...] = LEVELS, rng: RngLike = 0
) -> IntArray:
    r"""Keep draws whose quantiles are those of all draws.

    With the indicators :math:`f_i = 1\{v_{im} \le q_m(p)\} - p` of draw i for every functional m
    and level p, the subset S minimises

    .. math:: \big\| \textstyle\sum_{i \in S} f_i \big\|^2

    by exchanges from a random start, until no exchange helps. All draws have weight one, before and
    after.

    Parameters
    ----------
    values : ndarray, shape (k, m)
        Functionals of the draws, such as the log ratio of every week.
    size : int
        Draws to keep, at most k.
    levels : tuple of float
        Levels of the quantiles to balance.
    rng : int, Generator, SeedSequence or None
        Randomness of the start.

    Returns
    -------
    ndarray of int, shape (size,)
        Sorted positions of the kept draws.

    Raises
    ------
    UsageError
        If more draws are to be kept than there are.

    Notes
    -----
    Balanced sampling with equal inclusion probabilities (Deville and Tille 2004, Biometrika 91,
    893-912, doi:10.1093/biomet/91.4.893) reached by exchange. It reduces the error that keeping few
    draws adds; that of the posterior itself stays.

    Examples
    --------
    >>> v = np.random.default_rng(0).standard_normal((2000, 3))
    >>> below = lambda kept: (v[kept] <= np.quantile(v, 0.05, axis=0)).mean(axis=0)
    >>> below(slice(100)).tolist(), below(balanced_subset(v, 100)).tolist()
    ([0.05, 0.04, 0.04], [0.05, 0.05, 0.05])
    """
    k = len(values)
    if not 0 < size <= k:
        raise UsageError(
            "size",
            got=size,
            rule=f"must be between 1 and the {k} draws there are",
            next_step="Draw more, or keep fewer.",
        )
    cuts = np.quantile(values, levels, axis=0)
    f = np.concatenate([values <= cut for cut in cuts], axis=1).astype(np.float64)
    f -= f.mean(axis=0)
    square = (f * f).sum(axis=1)
    inside = np.zeros(k, dtype=bool)
    inside[resolve_rng(rng).permutation(k)[:size]] = True
    total = f[inside].sum(axis=0)
    for _ in range(_MOST_SWAPS):
        along = f @ total
        # The draws whose leaving helps most are tried first.
        leaving = np.flatnonzero(inside)
        leaving = leaving[np.argsort(square[leaving] - 2 * along[leaving], kind="stable")]
        outside = np.flatnonzero(~inside)
        swap = _best_swap(f, square, along, leaving, outside)
        if swap is None:
            break
        i, j = swap
        inside[i], inside[j] = False, True
        total += f[j] - f[i]
    return np.flatnonzero(inside)


def _best_swap(
    f: FloatArray, square: FloatArray, along: FloatArray, leaving: IntArray, outside: IntArray
) -> tuple[int, int] | None:
    """Return the first draw that can leave with profit, and who replaces it best."""
    if not len(outside):
        return None
    for i in leaving:
        change = square[i] - 2 * along[i] + square + 2 * along - 2 * (f @ f[i])
        j = outside[np.argmin(change[outside])]
        if change[j] < -1e-9 * (1 + square[i]):
            return int(i), int(j)
    return None
