"""Diagnostics of weights: balance, effective sample size, trimming and what it costs, overlap."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offroute._typing import AnyArray, FloatArray
from offroute.estimators.cell_rows import require_rows, sum_of_squares
from offroute.estimators.constraints import constrain
from offroute.estimators.estimands import Estimand, linearise
from offroute.estimators.margins import collapse
from offroute.estimators.point import Factor, PointEstimate, Sample, Target
from offroute.exceptions import InvalidValue


class LowEffectiveSize(UserWarning):
    """Few units carry most of the weighted volume."""


@dataclass(frozen=True)
class WeightSummary:
    """How concentrated the weights are.

    Attributes
    ----------
    n : int
        Rows with positive weight; of a sample of cells, the rows of cells with positive weight.
    kish : float
        ``(sum w)^2 / sum w^2``, effective number of rows for a mean of a row-level outcome.
    volume : float
        ``(sum w v)^2 / sum (w v)^2``, effective number of rows for a share of the volume v.
    largest_share : float
        Share of the weighted volume in the single largest row; missing (nan) for a sample of
        cells, which do not keep it.
    g_min, g_max : float
        Range of final over base weights.
    negative : int
        Rows with negative weight.
    """

    n: int
    kish: float
    volume: float
    largest_share: float
    g_min: float
    g_max: float
    negative: int


@dataclass(frozen=True)
class BalanceTable:
    """Means of each benchmark column in target, sample and weighted sample.

    Attributes
    ----------
    names : tuple of str, length p
        Columns.
    target, base, weighted : numpy.ndarray of float64, shape (p,)
        Mean per population unit.
    base_difference, weighted_difference : numpy.ndarray of float64, shape (p,)
        Difference to the target in standard deviations of the base-weighted sample.
    """

    names: tuple[str, ...]
    target: FloatArray
    base: FloatArray
    weighted: FloatArray
    base_difference: FloatArray
    weighted_difference: FloatArray


@dataclass(frozen=True)
class Trimming:
    """What trimming did.

    Attributes
    ----------
    weights : numpy.ndarray of float64, shape (n,)
        Trimmed weights, with the same sum.
    values : numpy.ndarray of float64, shape (k,)
        Estimates under them.
    shift : numpy.ndarray of float64, shape (k,)
        ``values`` less the untrimmed estimates: the bias bought, if the untrimmed are unbiased.
    moved : float
        Share of the total weight that was moved.
    kish_before, kish_after : float
        Effective sample sizes.
    """

    weights: FloatArray
    values: FloatArray
    shift: FloatArray
    moved: float
    kish_before: float
    kish_after: float


def effective_size(weights: FloatArray) -> float:
    """Return Kish's effective sample size, ``(sum w)^2 / sum w^2``.

    Parameters
    ----------
    weights : numpy.ndarray of float64, shape (n,)
        Weights.

    Examples
    --------
    >>> round(effective_size(np.array([1.0, 1.0, 2.0])), 6)
    2.666667
    """
    return float(weights.sum() ** 2 / (weights @ weights))


def summarise_weights(
    point: PointEstimate, sample: Sample, *, warn_below: float = 30.0
) -> WeightSummary:
    """Summarise final weights, and warn when few rows carry the weighted volume.

    ``n_eff = (sum w)^2 / sum w^2`` (Kish), and the same of ``w y`` for volume y. The n that
    matters for a share of volume is that of weight times volume: with heavy-tailed volumes a
    million rows can be worth twenty.

    Parameters
    ----------
    point : PointEstimate
        From any weighting estimator.
    sample : Sample
        The rows behind it.
    warn_below : float
        Warn when the volume's effective size is below; 0 switches the warning off.

    Returns
    -------
    WeightSummary
        Counts, effective sizes and range.

    Warns
    -----
    LowEffectiveSize
        With the measured number.

    References
    ----------
    Kish, L. (1965). Survey Sampling. Wiley, sec. 11.2C.

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.expansion import expansion
    >>> from offroute.estimators.intake import read_sample
    >>> s = read_sample(pd.DataFrame({"v": [1.0, 1, 98]}), outcomes=["v"], volume="v")
    >>> summarise_weights(expansion(s), s, warn_below=0).largest_share
    0.98
    """
    volume = np.ones(sample.n) if sample.volume is None else sample.volume
    product = point.weights * volume
    cells = sample.design.cells
    size = float(product.sum() ** 2 / sum_of_squares(product, cells))
    each = np.ones(sample.n)
    if cells is not None:
        each = np.repeat(cells.counts, cells.nodes) / cells.nodes
    rows = round(each.sum())
    if size < warn_below:
        warnings.warn(
            f"the weighted volume rests on {size:.1f} effective rows of {rows} (safe from "
            f"{warn_below:g}): intervals may be too short. Use the bootstrap or bound the largest "
            "rows; warn_below=0 switches this warning off.",
            LowEffectiveSize,
            stacklevel=2,
        )
    largest = np.abs(product).max() / np.abs(product).sum() if cells is None else np.nan
    return WeightSummary(
        n=round(each[point.weights > 0].sum()),
        kish=float(point.weights.sum() ** 2 / sum_of_squares(point.weights, cells)),
        volume=size,
        largest_share=float(largest),
        g_min=float(point.g_weights.min()),
        g_max=float(point.g_weights.max()),
        negative=round(each[point.weights < 0].sum()),
    )


def balance_table(point: PointEstimate, sample: Sample, target: Target) -> BalanceTable:
    """Compare every benchmark column with the target before and after weighting.

    ``(sum w x / sum w - T / N) / sd(x)`` with base and with final weights.

    Parameters
    ----------
    point : PointEstimate
        Estimate.
    sample : Sample
        Logs, n rows.
    target : Target
        Benchmarks.

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.calibrate import calibrate
    >>> from offroute.estimators.intake import read_sample
    >>> from offroute.estimators.point import make_target
    >>> logs = pd.DataFrame({"origin": ["US", "US", "CN"]})
    >>> s = read_sample(logs, covariates=["origin"])
    >>> t = make_target({"origin": {"US": 5, "CN": 5}})
    >>> balance_table(calibrate(s, t), s, t).weighted_difference.round(9).tolist()
    [0.0, 0.0]
    """
    c = constrain(sample, target, drop_implied=False)
    sums = [c.cross(w[:, None])[:, 0] / w.sum() for w in (sample.weights, point.weights)]
    size = float(point.weights.sum()) if target.size is None else target.size
    if target.margins:
        size = float(target.margins[0].totals.sum())
    mean = c.totals / size
    squares = np.empty(c.free.size)
    levels = c.free < c.cells.width
    squares[levels] = sums[0][levels]
    d = sample.weights
    for i in np.flatnonzero(~levels):
        column = np.prod(c.moments[c.free[i] - c.cells.width], axis=0)
        squares[i] = d @ column**2 / d.sum()
    sd = np.sqrt(np.maximum(squares - sums[0] ** 2, 0))
    scale = np.where(sd > 0, sd, 1.0)
    return BalanceTable(
        c.names, mean, sums[0], sums[1], (sums[0] - mean) / scale, (sums[1] - mean) / scale
    )


def trim_weights(
    weights: FloatArray, *, lower: float = 0.0, upper: float = np.inf, strict: bool = False
) -> FloatArray:
    """Cut weights to [lower, upper] and spread what was cut equally over the others.

    One round may push other weights over a bound; `strict` repeats until none is.

    Parameters
    ----------
    weights : numpy.ndarray of float64, shape (n,)
        Weights to cut.
    lower : float
        Lower bound.
    upper : float
        Upper bound.
    strict : bool
        Repeat until no weight lies outside.

    Raises
    ------
    InvalidValue
        If the mean weight lies outside the bounds, so that no weights fit.

    Examples
    --------
    >>> trim_weights(np.array([1.0, 1.0, 4.0]), upper=3.0).tolist()
    [1.5, 1.5, 3.0]
    """
    if not lower <= weights.mean() <= upper:
        raise InvalidValue(
            "lower, upper",
            got=(lower, upper),
            rule=f"the bounds must contain the mean weight {weights.mean():g}",
            next_step="Widen the bounds.",
        )
    current = weights
    fixed = np.zeros(weights.size, bool)
    while True:
        outside = (current < lower) | (current > upper)
        fixed = outside | (fixed if strict else False)
        cut = np.clip(current, lower, upper)
        if not outside.any() or fixed.all():
            return cut
        spread = (current - cut).sum() / (~fixed).sum()
        current = np.where(fixed, cut, cut + spread)
        if not strict:
            return current


def trim(
    point: PointEstimate,
    sample: Sample,
    *,
    lower: float = 0.0,
    upper: float = np.inf,
    estimands: Sequence[Estimand] | None = None,
) -> Trimming:
    """Trim an estimate's weights strictly and report the shift of every estimate.

    Trimming trades variance for bias; the shift estimates the bias it buys, which no standard
    error of the trimmed estimate contains. Benchmarks are no longer met exactly.

    Parameters
    ----------
    point : PointEstimate
        Estimate before trimming.
    sample : Sample
        Its rows.
    lower, upper : float
        Bounds on the final weights.
    estimands : sequence of Estimand, optional
        The ones `point` was made with.

    Returns
    -------
    Trimming
        Weights, estimates and their shift.

    Raises
    ------
    InvalidValue
        If the bounds exclude the mean weight.

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.expansion import expansion
    >>> from offroute.estimators.intake import read_sample
    >>> logs = pd.DataFrame({"y": [0.0, 0, 6], "d": [1.0, 1, 4]})
    >>> s = read_sample(logs, outcomes=["y"], weights="d")
    >>> trim(expansion(s), s, upper=3).shift.tolist()
    [-1.0]
    """
    require_rows(sample.design.cells, "trim")
    cut = trim_weights(point.weights, lower=lower, upper=upper, strict=True)
    lin = linearise(sample, estimands)
    values = lin.value(cut @ lin.columns)
    return Trimming(
        weights=cut,
        values=values,
        shift=values - point.values,
        moved=float(np.abs(cut - point.weights).sum() / (2 * point.weights.sum())),
        kish_before=effective_size(point.weights),
        kish_after=effective_size(cut),
    )


def uncovered_share(sample: Sample, reference: Sample, variables: Sequence[str]) -> float:
    """Return the weighted share of a reference sample that no logged unit resembles.

    A reference row is covered when its combination of factor levels occurs in the logs and its
    numeric values lie within the logs' ranges. Any estimator extrapolates to the rest.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    reference : Sample
        Reference sample.
    variables : sequence of str
        Columns to compare.

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> logs = read_sample(pd.DataFrame({"a": ["x", "y"]}), covariates=["a"])
    >>> ref = read_sample(pd.DataFrame({"a": ["x", "y", "z", "x"]}), covariates=["a"])
    >>> uncovered_share(logs, ref, ["a"])
    0.25
    """
    covered = np.ones(reference.n, bool)
    axes_logs: list[tuple[AnyArray, int]] = []
    axes_reference: list[tuple[AnyArray, int]] = []
    for name in variables:
        if isinstance(sample.columns.get(name), Factor):
            ours, theirs = sample.factor(name), reference.factor(name)
            levels = list(dict.fromkeys([*ours.levels, *theirs.levels]))
            for factor, axes in ((ours, axes_logs), (theirs, axes_reference)):
                place = np.array([levels.index(v) for v in factor.levels], dtype=np.int64)
                axes.append((place[factor.codes], len(levels)))
        else:
            mine, other = sample.numeric(name), reference.numeric(name)
            covered &= (other >= mine.min()) & (other <= mine.max())
    if axes_logs:
        both = [
            (np.concatenate([a, b]), k)
            for (a, k), (b, _) in zip(axes_logs, axes_reference, strict=True)
        ]
        cells = collapse(both, sample.n + reference.n)
        seen = np.zeros(cells.size, bool)
        seen[cells.code[: sample.n]] = True
        covered &= seen[cells.code[sample.n :]]
    return float(reference.weights[~covered].sum() / reference.weights.sum())
