"""Replicate base weights: jackknife, Rao-Wu and Poisson bootstrap, or the caller's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from offroute._checks import check_choice
from offroute._random import RngLike, resolve_rng, spawn_seeds
from offroute._typing import AnyArray, FloatArray, IntArray
from offroute.estimators.cell_rows import require_rows
from offroute.estimators.point import Design, Target
from offroute.estimators.reference import benchmark_columns
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.variance import design_variance

Centre = Literal["mean", "estimate"]
_MATRIX = 2


@dataclass(frozen=True)
class Replicates:
    """Replicate base weights and how to turn replicate estimates into a covariance.

    ``V = sum_r c_r (t_r - m)(t_r - m)'``, m the mean of the replicates or the full estimate.

    Attributes
    ----------
    count : int
        Number of replicates R.
    draw : callable
        ``(start, stop)`` to base weights of those replicates, shape (stop - start, n); the same
        for any division into batches.
    coefficients : numpy.ndarray of float64, shape (R,)
        The c_r.
    centre : {"mean", "estimate"}
        What deviations are taken from.
    totals : numpy.ndarray of float64, shape (R, q), or None
        Benchmarks of each replicate, when they have an error of their own.
    draw_reference : callable or None
        As `draw`, weights of the rows of a reference sample whose rows the estimator uses.
    """

    count: int
    draw: Callable[[int, int], FloatArray]
    coefficients: FloatArray
    centre: Centre = "mean"
    totals: FloatArray | None = None
    draw_reference: Callable[[int, int], FloatArray] | None = None


def jackknife_replicates(
    weights: FloatArray, design: Design, *, centre: Centre = "mean"
) -> Replicates:
    """Delete one cluster at a time: JK1 without strata, JKn with.

    Cluster c of stratum h deleted, its stratum-mates are raised by ``n_h / (n_h - 1)``;
    ``c_r = (1 - f_h)(n_h - 1) / n_h``.

    Parameters
    ----------
    weights : numpy.ndarray of float64, shape (n,)
        Base weights.
    design : Design
        Strata, clusters and population counts.
    centre : {"mean", "estimate"}
        What deviations are taken from.

    Raises
    ------
    NotIdentified
        If a stratum has one cluster.

    References
    ----------
    Rust, K. F. and Rao, J. N. K. (1996). Stat. Methods Med. Res. 5, 283-310.
    doi:10.1177/096228029600500305

    Examples
    --------
    >>> jackknife_replicates(np.ones(3), Design(3)).draw(0, 1).tolist()
    [[0.0, 1.5, 1.5]]
    """
    cluster, stratum, count, fraction = _structure(design)
    size = count[stratum].astype(np.float64)
    row_stratum = stratum[cluster]

    def _draw(start: int, stop: int) -> FloatArray:
        out = np.empty((stop - start, design.n))
        for row, deleted in zip(out, range(start, stop), strict=True):
            mates = row_stratum == stratum[deleted]
            row[:] = weights
            row[mates] *= size[deleted] / (size[deleted] - 1)
            row[cluster == deleted] = 0.0
        return out

    return Replicates(
        stratum.size, _draw, (1 - fraction[stratum]) * (size - 1) / size, centre=centre
    )


def bootstrap_replicates(
    weights: FloatArray,
    design: Design,
    *,
    count: int = 500,
    method: Literal["rao-wu", "poisson"] = "rao-wu",
    rng: RngLike = None,
) -> Replicates:
    """Resample clusters within strata; one spawned seed per replicate.

    "rao-wu" draws ``m_h = n_h - 1`` clusters with replacement and rescales,
    ``1 + sqrt(1 - f_h) (n_h / (n_h - 1) k_c - 1)``: unbiased for totals and with the finite
    population correction. "poisson" multiplies every cluster's weight by an independent Poisson(1)
    count: fast, no fixed sample size (so it overstates the variance of uncalibrated totals), no
    finite population correction.

    Parameters
    ----------
    weights : numpy.ndarray of float64, shape (n,)
        Base weights.
    design : Design
        Strata, clusters and population counts.
    count : int
        Number of replicates.
    method : {"rao-wu", "poisson"}
        Scheme, see above.
    rng : int, Generator, SeedSequence or None
        Source of randomness.

    Raises
    ------
    NotIdentified
        If a stratum has one cluster ("rao-wu").
    InvalidValue
        If `count` is below 2, or "poisson" meets a finite population correction.

    References
    ----------
    Rao, J. N. K. and Wu, C. F. J. (1988). JASA 83, 231-241. doi:10.1080/01621459.1988.10478591

    Examples
    --------
    >>> r = bootstrap_replicates(np.ones(4), Design(4), count=10, rng=1)
    >>> bool(np.allclose(r.draw(0, 10).sum(axis=1), 4))
    True
    """
    check_choice(method, ("rao-wu", "poisson"), name="method")
    if count <= 1:
        raise InvalidValue(
            "count", got=count, rule="at least two replicates", next_step="Use 500 or more."
        )
    seeds = spawn_seeds(rng, count)
    if method == "poisson":
        if design.population_clusters is not None:
            raise InvalidValue(
                "method",
                got="poisson with population counts",
                rule="the Poisson bootstrap has no finite population correction",
                next_step='Use method="rao-wu".',
            )
        multipliers = _poisson_multipliers(design)
    else:
        multipliers = _rao_wu_multipliers(design)

    def _draw(start: int, stop: int) -> FloatArray:
        out = np.empty((stop - start, design.n))
        for row, seed in zip(out, seeds[start:stop], strict=True):
            np.multiply(multipliers(np.random.Generator(np.random.SFC64(seed))), weights, out=row)
        return out

    return Replicates(count, _draw, np.full(count, 1 / (count - 1)))


def given_replicates(
    weights: AnyArray,
    *,
    scale: float,
    rscales: AnyArray | None = None,
    centre: Centre = "mean",
) -> Replicates:
    """Use replicate weights that came with the data, shape (n, R).

    Parameters
    ----------
    weights : array_like, shape (n, R)
        Final replicate base weights (not factors).
    scale : float
        Overall factor.
    rscales : array_like, shape (R,), optional
        Factor of each replicate; default 1.
    centre : {"mean", "estimate"}
        What deviations are taken from.

    Raises
    ------
    InvalidValue
        If weights are missing or infinite, or the factors do not fit.

    Examples
    --------
    >>> given_replicates(np.ones((3, 2)), scale=0.5).coefficients.tolist()
    [0.5, 0.5]
    """
    w = np.ascontiguousarray(np.asarray(weights, dtype=np.float64).T)
    factors = np.ones(w.shape[0]) if rscales is None else np.asarray(rscales, np.float64)
    if (
        np.ndim(weights) != _MATRIX
        or not np.isfinite(w).all()
        or factors.shape != (w.shape[0],)
        or scale <= 0
    ):
        raise InvalidValue(
            "weights, rscales",
            got=f"shapes {w.T.shape} and {factors.shape}, scale {scale}",
            rule="weights (n, R) must be finite, rscales (R,), scale positive",
            next_step="Give the weights and factors documented with the data.",
        )
    return Replicates(w.shape[0], lambda a, b: w[a:b], scale * factors, centre)


def with_benchmark_error(
    replicates: Replicates,
    target: Target,
    *,
    rng: RngLike = None,
    normal: bool = False,
    chosen: Sequence[int] | None = None,
) -> Replicates:
    """Give every replicate its own benchmarks, so that their error enters the variance.

    Fuller (1998): the q eigenvectors of the benchmarks' covariance, each scaled by the root of its
    eigenvalue over ``c_r`` and with its largest element negative, are added to the benchmarks of q
    replicates, largest first. Deviations are then taken from the full estimate, so that the
    replicate variance of the calibrated totals is the covariance itself. With `normal` (bootstrap)
    every replicate draws its benchmarks from the normal distribution.

    Parameters
    ----------
    replicates : Replicates
        Replicate base weights.
    target : Target
        Benchmarks.
    rng : int, Generator, SeedSequence or None
        Source of randomness.
    normal : bool
        Draw every benchmark in every replicate.
    chosen : sequence of int, optional
        The q replicates to use; default at random.

    Returns
    -------
    Replicates
        The same weights with `totals`; unchanged when the target has neither a covariance nor a
        reference sample (whose design then gives the covariance).

    Raises
    ------
    NotIdentified
        If there are fewer replicates than benchmarks, or the target has a reference sample and no
        totals.

    References
    ----------
    Fuller, W. A. (1998). Statistica Sinica 8, 1153-1164.
    Opsomer, J. D. and Erciulescu, A. (2021). Survey Methodology 47(2).

    Examples
    --------
    >>> from offroute.estimators.point import make_target
    >>> t = make_target({"x": 10.0}, covariance=[[4.0]])
    >>> r = with_benchmark_error(jackknife_replicates(np.ones(3), Design(3)), t, rng=0)
    >>> round(float((r.coefficients * (r.totals[:, 0] - 10) ** 2).sum()), 9)
    4.0
    """
    covariance = target.covariance
    if covariance is None and target.reference is not None:
        reference = target.reference
        if not target.names:
            raise NotIdentified(
                "target",
                got="a reference sample without totals",
                rule="replicates of the logs do not move the rows of a reference sample",
                next_step="Use bootstrap, which resamples both, or infer.",
            )
        rows = reference.weights[:, None] * benchmark_columns(reference, target)
        covariance = design_variance(rows, reference.design)
    if covariance is None:
        return replicates
    generator = resolve_rng(rng)
    values, vectors = np.linalg.eigh(covariance)
    q = values.size
    # LAPACK leaves the sign of an eigenvector open: this one has the numbers of R's svrep.
    largest = np.abs(vectors).argmax(axis=0)
    vectors *= -np.sign(vectors[largest, np.arange(q)])
    root = (vectors * np.sqrt(np.maximum(values, 0.0)))[:, ::-1]
    if normal:
        shift = generator.standard_normal((replicates.count, q)) @ root.T
        return replace(replicates, totals=target.totals + shift)
    usable = np.flatnonzero(replicates.coefficients > 0)
    if usable.size < q:
        raise NotIdentified(
            "replicates",
            got=f"{usable.size} replicates for {q} benchmarks",
            rule="each benchmark direction needs a replicate of its own",
            next_step="Use more replicates, or bootstrap.",
        )
    places = generator.choice(usable, q, replace=False) if chosen is None else np.asarray(chosen)
    totals = np.tile(target.totals, (replicates.count, 1))
    totals[places] += (root / np.sqrt(replicates.coefficients[places])).T
    return replace(replicates, totals=totals, centre="estimate")


def _structure(design: Design) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Cluster of each row, stratum of each cluster, clusters and fraction of each stratum."""
    _require_clusters(design)
    cluster = np.arange(design.n) if design.clusters is None else design.clusters
    first = np.unique(cluster, return_index=True)[1]
    stratum = np.zeros(first.size, np.int64) if design.strata is None else design.strata[first]
    count = np.bincount(stratum)
    fraction = np.zeros(count.size)
    if design.population_clusters is not None:
        fraction[stratum] = count[stratum] / design.population_clusters[first]
    if (count == 1).any():
        raise NotIdentified(
            "design",
            got=f"{int((count == 1).sum())} strata with one sampled cluster",
            rule="resampling needs two clusters in every stratum",
            next_step="Merge strata.",
        )
    return cluster, stratum, count, fraction


def _require_clusters(design: Design) -> None:
    if design.clusters is None:
        require_rows(design.cells, "replicates of independent rows")


def _rao_wu_multipliers(design: Design) -> Callable[[np.random.Generator], FloatArray]:
    _, stratum, count, fraction = _structure(design)
    order = np.argsort(stratum, kind="stable")
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])
    rescale = np.sqrt(1 - fraction)
    simple = count.size == 1 and design.clusters is None

    def multipliers(generator: np.random.Generator) -> FloatArray:
        drawn = np.empty(stratum.size)
        for h, n in enumerate(count):
            k = np.bincount(generator.integers(0, n, n - 1, dtype=np.int64), minlength=n)
            if simple:
                np.multiply(k, rescale[h] * n / (n - 1), out=drawn)
                if rescale[h] < 1:
                    drawn += 1 - rescale[h]
                return drawn
            places = order[starts[h] : starts[h] + n]
            drawn[places] = k * (rescale[h] * n / (n - 1)) + (1 - rescale[h])
        return drawn if design.clusters is None else drawn[design.clusters]

    return multipliers


def _poisson_multipliers(design: Design) -> Callable[[np.random.Generator], FloatArray]:
    _require_clusters(design)
    # Poisson(1) by inversion of a 16-bit uniform: 29 times faster than Generator.poisson.
    cumulative = np.cumsum(np.exp(-1) / np.cumprod([1.0, *range(1, 12)]))
    table = np.searchsorted(cumulative, (np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float64)
    size = design.n if design.clusters is None else int(design.clusters.max()) + 1

    def multipliers(generator: np.random.Generator) -> FloatArray:
        drawn = table[generator.integers(0, 1 << 16, size, dtype=np.uint16)]
        return drawn if design.clusters is None else drawn[design.clusters]

    return multipliers
