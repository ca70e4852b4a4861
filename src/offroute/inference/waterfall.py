"""Order-averaged decomposition of a corrected figure over named mechanisms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial

import numpy as np

from offroute._checks import check_probability, listing
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue, UsageError
from offroute.inference._arrays import as_draws, tails

#: Beyond this many mechanisms the subsets are too many to be evaluated one by one.
MOST = 12


@dataclass(frozen=True)
class Waterfall:
    """Steps from a naive figure to a corrected one.

    Attributes
    ----------
    names : tuple of str, length m
        The mechanisms.
    start, end : float
        Mean without any and with all mechanisms; ``end = start + step.sum()``.
    step, low, high : ndarray, shape (m,)
        Mean of each order-averaged step and the ends of its interval.
    least, most : ndarray, shape (m,)
        Smallest and largest mean step over all orders; far apart when mechanisms interact.
    draws : ndarray, shape (k, m)
        Draws of the steps.
    level : float
        Coverage of the intervals.
    """

    names: tuple[str, ...]
    start: float
    end: float
    step: FloatArray
    low: FloatArray
    high: FloatArray
    least: FloatArray
    most: FloatArray
    draws: FloatArray
    level: float


def waterfall(
    names: Sequence[str],
    evaluate: Callable[[frozenset[str]], FloatArray],
    *,
    level: float = 0.9,
) -> Waterfall:
    r"""Split the way from naive to corrected over mechanisms, averaged over all orders.

    .. math::

       \phi_m = \sum_{S \not\ni m} \frac{|S|!\,(M - |S| - 1)!}{M!}\,[v(S \cup m) - v(S)]

    Shapley's value of every draw: steps add up to v(all) - v(none) exactly, and do not depend on
    the order in which corrections happen to be listed.

    Parameters
    ----------
    names : sequence of str
        The mechanisms, at most 12: each of the 2^M subsets is evaluated once.
    evaluate : callable
        Subset of the mechanisms that are switched on, to draws of the log ratio, shape (k,). All
        subsets must use the same draws (common random numbers), draw by draw.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Waterfall
        Steps with intervals and their range over orders.

    Raises
    ------
    UsageError
        If names repeat, are none, or are more than 12; or if `level` is not a probability.
    InvalidValue
        If a subset's draws are not finite or differ in number.

    Notes
    -----
    A description, not a causal statement: a step says what switching a mechanism on does to the
    estimate. Shapley (1953), A value for n-person games, doi:10.1515/9781400881970-018.

    Examples
    --------
    >>> effect = {"bypass": -1.0, "promotions": -0.5}
    >>> def corrected(on):
    ...     together = 0.2 if len(on) == 2 else 0.0
    ...     return np.full(4, 0.3 + sum(effect[m] for m in on) + together)
    >>> steps = waterfall(["bypass", "promotions"], corrected)
    >>> steps.step.round(6).tolist(), round(steps.end, 6)
    ([-0.9, -0.4], -1.0)
    """
    level = check_probability(level, name="level")
    names = tuple(names)
    m = len(names)
    if not 0 < m <= MOST or len(set(names)) < m:
        raise UsageError(
            "names",
            got=f"{m} names: {listing(names)}",
            rule=f"must be 1 to {MOST} different names",
            next_step="Group small mechanisms into one.",
        )
    weight = [factorial(s) * factorial(m - s - 1) / factorial(m) for s in range(m)]
    naive = as_draws(evaluate(frozenset()), name="evaluate(nothing)")
    steps = np.repeat(-weight[0] * naive[:, None], m, axis=1)
    mean = {frozenset[int](): float(naive.mean())}
    for size in range(1, m + 1):
        for chosen in combinations(range(m), size):
            on = frozenset(names[j] for j in chosen)
            value = as_draws(evaluate(on), name=f"evaluate({listing(sorted(on))})")
            if len(value) != len(steps):
                raise InvalidValue(
                    f"evaluate({listing(sorted(on))})",
                    got=f"{len(value)} draws",
                    rule=f"must return the same {len(steps)} joint draws for every subset",
                    next_step="Fix the draws once and apply the mechanisms to them.",
                )
            mean[frozenset(chosen)] = float(value.mean())
            # Linear in v(S): each value enters all m steps once, so no subset has to be kept.
            for j in range(m):
                sign = weight[size - 1] if j in chosen else -weight[size]
                steps[:, j] += sign * value
    marginal = np.array(
        [[mean[on | {j}] - value for on, value in mean.items() if j not in on] for j in range(m)]
    )
    low, high = np.quantile(steps, tails(level), axis=0)
    return Waterfall(
        names=names,
        start=mean[frozenset()],
        end=mean[frozenset(range(m))],
        step=steps.mean(axis=0),
        low=low,
        high=high,
        least=marginal.min(axis=1),
        most=marginal.max(axis=1),
        draws=steps,
        level=level,
    )
