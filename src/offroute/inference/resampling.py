"""Variance by repeating an estimator under replicate weights; knows no estimator."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from offroute._parallel import run_chunks
from offroute._random import RngLike, spawn_seeds
from offroute._typing import FloatArray
from offroute.estimators.point import Estimator, PointEstimate, Sample, Target
from offroute.inference.estimate import Estimate, IntervalName, make_estimate
from offroute.inference.intervals import bca_interval, percentile_interval
from offroute.inference.replicates import (
    Replicates,
    bootstrap_replicates,
    jackknife_replicates,
    with_benchmark_error,
)
from offroute.inference.variance import cluster_totals, degrees_of_freedom

_BATCH_BYTES, _BATCH_ROWS = 32_000_000, 25


def replicate_estimates(
    estimator: Estimator, sample: Sample, target: Target, replicates: Replicates
) -> tuple[PointEstimate, FloatArray]:
    """Return the estimate and its replicates, shape (R, k).

    The whole estimator is repeated in every replicate: weights are calibrated anew. Replicates run
    on the workers that ``joblib.parallel_config`` names (processes, or a Dask cluster), else in
    this process; the result is the same to the bit.

    Parameters
    ----------
    estimator : callable
        ``(sample, target) -> PointEstimate``.
    sample : Sample
        Logs, n rows.
    target : Target
        Benchmarks.
    replicates : Replicates
        Replicate base weights.

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.expansion import expansion
    >>> from offroute.estimators.intake import read_sample
    >>> s = read_sample(pd.DataFrame({"y": [1.0, 2, 6]}), outcomes=["y"])
    >>> jk = jackknife_replicates(s.weights, s.design)
    >>> replicate_estimates(expansion, s, Target(), jk)[1].ravel().tolist()
    [4.0, 3.5, 1.5]
    """
    point = estimator(sample, target)
    # Cut alike for any number of workers, so that every chunk has the same bits.
    batch = max(1, min(_BATCH_ROWS, _BATCH_BYTES // (8 * sample.n)))
    starts = range(0, replicates.count, batch)
    chunks = [(start, min(start + batch, replicates.count)) for start in starts]
    batched = point.replicate
    if replicates.draw_reference is not None and target.reference is not None:
        batched = None
    work = partial(_repeat, estimator, batched, sample, target, replicates)
    return point, np.concatenate(run_chunks(work, chunks, label="chunks of replicates"))


def _repeat(
    estimator: Estimator,
    batched: Callable[[FloatArray, FloatArray | None], FloatArray] | None,
    sample: Sample,
    target: Target,
    replicates: Replicates,
    chunk: tuple[int, int],
) -> FloatArray:
    """Return the estimates of some replicates, shape (stop - start, k)."""
    start, stop = chunk
    weights = replicates.draw(start, stop)
    totals = None if replicates.totals is None else replicates.totals[start:stop]
    if batched is not None:
        return batched(weights, totals)
    targets = [target] * len(weights)
    if replicates.draw_reference is not None and target.reference is not None:
        reference = target.reference
        targets = [
            replace(target, reference=reference.with_weights(d))
            for d in replicates.draw_reference(start, stop)
        ]
    elif totals is not None:
        targets = [target.with_totals(row) for row in totals]
    return np.stack(
        [estimator(sample.with_weights(w), t).values for w, t in zip(weights, targets, strict=True)]
    )


def replicate_covariance(
    draws: FloatArray, values: FloatArray, replicates: Replicates
) -> FloatArray:
    """Return ``sum_r c_r (t_r - m)(t_r - m)'``, shape (k, k).

    Parameters
    ----------
    draws : numpy.ndarray of float64, shape (R, k)
        Replicate estimates.
    values : numpy.ndarray of float64, shape (k,)
        Full-sample estimates.
    replicates : Replicates
        Replicate base weights.
    """
    used = replicates.coefficients > 0
    centre = draws[used].mean(axis=0) if replicates.centre == "mean" else values
    deviation = draws - centre
    return np.asarray((deviation * replicates.coefficients[:, None]).T @ deviation)


def replicate_inference(
    estimator: Estimator,
    sample: Sample,
    target: Target,
    replicates: Replicates,
    *,
    level: float = 0.95,
    interval: IntervalName = "t",
    df: float | None = None,
) -> Estimate:
    """Estimate with a covariance from any replicate weights.

    Parameters
    ----------
    estimator : callable
        ``(sample, target) -> PointEstimate``; bind options with `functools.partial`.
    sample, target : Sample, Target
        Its inputs; benchmarks' error enters only through ``replicates.totals``.
    replicates : Replicates
        Replicate base weights.
    level : float
        Coverage of the intervals.
    interval : {"t", "normal", "logit", "log"}
        Kind of interval.
    df : float, optional
        Degrees of freedom; default clusters less strata.

    Returns
    -------
    Estimate
        With the replicate estimates as `draws`.
    """
    point, draws = replicate_estimates(estimator, sample, target, replicates)
    covariance = replicate_covariance(draws, point.values, replicates)
    free = float(degrees_of_freedom(sample.design)) if df is None else df
    return make_estimate(
        point.names,
        point.values,
        covariance,
        level=level,
        interval=interval,
        df=np.inf if interval == "normal" else free,
        draws=draws,
    )


def jackknife(
    estimator: Estimator,
    sample: Sample,
    target: Target,
    *,
    level: float = 0.95,
    interval: IntervalName = "t",
    rng: RngLike = None,
) -> Estimate:
    """Delete-one-cluster jackknife (JK1, or JKn with strata), the estimator repeated each time.

    ``V = sum_r c_r (t_r - t)(t_r - t)'``, ``c_r = (n_h - 1) / n_h`` for n_h clusters in the
    stratum, t of shape (k,). Assumes a smooth estimator: not for quantiles. The benchmarks' error
    enters by Fuller's replicates, placed with `rng`.

    Parameters
    ----------
    estimator : callable
        ``(sample, target) -> PointEstimate``.
    sample : Sample
        Logs, n rows.
    target : Target
        Benchmarks.
    level : float
        Coverage, between 0 and 1.
    interval : str
        Kind of interval.
    rng : int, Generator, SeedSequence or None
        Source of randomness.

    Returns
    -------
    Estimate
        With the replicate estimates as `draws`, shape (r, k).

    Raises
    ------
    NotIdentified
        If a stratum has one cluster.

    References
    ----------
    Fuller, W. A. (1998). Statistica Sinica 8, 1153-1164.
    Krewski, D. and Rao, J. N. K. (1981). Ann. Stat. 9, 1010-1019. doi:10.1214/aos/1176345580

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.expansion import expansion
    >>> from offroute.estimators.intake import read_sample
    >>> s = read_sample(pd.DataFrame({"y": [1.0, 2, 3, 4]}), outcomes=["y"])
    >>> jackknife(expansion, s, Target()).se.round(6).tolist()
    [0.645497]
    """
    replicates = jackknife_replicates(sample.weights, sample.design)
    replicates = with_benchmark_error(replicates, target, rng=rng)
    return replicate_inference(
        estimator, sample, target, replicates, level=level, interval=interval
    )


def bootstrap(
    estimator: Estimator,
    sample: Sample,
    target: Target,
    *,
    count: int = 500,
    method: Literal["rao-wu", "poisson"] = "rao-wu",
    level: float = 0.95,
    interval: Literal["percentile", "bca", "normal", "t", "logit", "log"] = "percentile",
    rng: RngLike = None,
) -> Estimate:
    """Bootstrap clusters within strata, the estimator repeated in every replicate.

    ``V = sum_r (t_r - m)(t_r - m)' / R``, m the mean of the replicates t_r of shape (k,). Holds for
    smooth functions of totals and for quantiles; with few clusters a stratum it is too short, and
    with volumes so heavy-tailed that their variance is infinite it fails.

    Parameters
    ----------
    estimator : callable
        ``(sample, target) -> PointEstimate``.
    sample, target : Sample, Target
        Its inputs; a target with covariance has its benchmarks drawn anew in every replicate, one
        with a reference sample and no totals its rows resampled by their own design.
    count : int
        Number of replicates.
    method : {"rao-wu", "poisson"}
        See `bootstrap_replicates`.
    level : float
        Coverage of the intervals.
    interval : {"percentile", "bca", "normal", "t", "logit", "log"}
        BCa takes its acceleration from the estimator's influence values by cluster.
    rng : int, Generator, SeedSequence or None
        Spawns one child per replicate, so that batches do not change the result.

    Returns
    -------
    Estimate
        With the replicate estimates as `draws`.

    Raises
    ------
    NotIdentified, NotConverged
        If the design or a replicate fails.

    References
    ----------
    Rao, J. N. K. and Wu, C. F. J. (1988). JASA 83, 231-241. doi:10.1080/01621459.1988.10478591
    Efron, B. (1987). JASA 82, 171-185. doi:10.1080/01621459.1987.10478410

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.expansion import expansion
    >>> from offroute.estimators.intake import read_sample
    >>> s = read_sample(pd.DataFrame({"y": range(50)}), outcomes=["y"])
    >>> e = bootstrap(expansion, s, Target(), rng=1)
    >>> bool(abs(e.se[0] - 2.06) < 0.25)
    True
    """
    weights_seed, totals_seed = spawn_seeds(rng, 2)
    replicates = bootstrap_replicates(
        sample.weights, sample.design, count=count, method=method, rng=weights_seed
    )
    if target.reference is not None and not target.names:
        other = bootstrap_replicates(
            target.reference.weights,
            target.reference.design,
            count=count,
            method=method,
            rng=totals_seed,
        )
        replicates = replace(replicates, draw_reference=other.draw)
    else:
        replicates = with_benchmark_error(replicates, target, rng=totals_seed, normal=True)
    point, draws = replicate_estimates(estimator, sample, target, replicates)
    covariance = replicate_covariance(draws, point.values, replicates)
    df = float(degrees_of_freedom(sample.design))
    if interval == "percentile":
        low, high = percentile_interval(draws, level=level)
    elif interval == "bca":
        units = cluster_totals(point.influence, point.design)[0]
        low, high = bca_interval(draws, point.values, units, level=level)
    else:
        return make_estimate(
            point.names,
            point.values,
            covariance,
            level=level,
            interval=interval,
            df=np.inf if interval == "normal" else df,
            draws=draws,
        )
    se = np.sqrt(np.diag(covariance))
    return Estimate(
        point.names, point.values, se, low, high, covariance, level, interval, df, draws
    )
