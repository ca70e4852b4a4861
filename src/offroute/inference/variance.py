"""Design variance of a sum of influence values."""

from typing import Literal

import numpy as np

from offroute._checks import check_choice
from offroute._typing import BoolArray, FloatArray, IntArray
from offroute.estimators.cell_rows import CellRows, require_rows
from offroute.estimators.point import Design, PointEstimate
from offroute.exceptions import NotIdentified

LonelyRule = Literal["refuse", "certainty", "adjust"]


def design_variance(
    influence: FloatArray, design: Design, *, lonely: LonelyRule = "refuse"
) -> FloatArray:
    """Estimate the covariance of ``sum_i z_i`` from the first stage of the design.

    ``V = sum_h (1 - f_h) n_h / (n_h - 1) sum_c (z_hc - zbar_h)(z_hc - zbar_h)'`` with z_hc the sum
    over cluster c of stratum h, ``f_h = n_h / N_h``: the ultimate-cluster variance. Rows that
    entered on their own with probability p: ``V = sum_i (1 - p_i) z_i z_i'``.

    Parameters
    ----------
    influence : numpy.ndarray of float64, shape (n, k)
        Influence values, weights included.
    design : Design
        Strata, clusters, population counts.
    lonely : {"refuse", "certainty", "adjust"}
        A stratum with one sampled cluster: refuse; contribute 0 (it was taken with certainty); or
        use its squared distance to the mean over all clusters. A stratum whose population is that
        one cluster always contributes 0.

    Returns
    -------
    numpy.ndarray of float64, shape (k, k)
        Covariance.

    Raises
    ------
    NotIdentified
        If a stratum has a single cluster and `lonely` is "refuse", or the whole design has one.

    References
    ----------
    Binder, D. A. (1983). Int. Stat. Rev. 51, 279-292. doi:10.2307/1402588

    Examples
    --------
    >>> design_variance(np.array([[1.0], [2.0], [3.0]]), Design(3)).item()
    3.0
    """
    check_choice(lonely, ("refuse", "certainty", "adjust"), name="lonely")
    if design.inclusion is not None:
        return np.asarray((influence * (1 - design.inclusion)[:, None]).T @ influence)
    if design.cells is not None and design.clusters is None:
        return _variance_from_cells(influence, design, design.cells, lonely)
    z, stratum, population = cluster_totals(influence, design)
    count = np.bincount(stratum).astype(np.float64)
    means = np.zeros((count.size, z.shape[1]))
    for k, column in enumerate(z.T):
        means[:, k] = np.bincount(stratum, column) / count
    centred = z - means[stratum]
    factor, single = _stratum_factors(count, stratum, population, lonely)
    if single.any() and lonely == "adjust":
        alone = single[stratum]
        centred[alone] = z[alone] - z.mean(axis=0)
    return np.asarray((centred * factor[stratum][:, None]).T @ centred)


def _stratum_factors(
    count: FloatArray, stratum: IntArray, population: FloatArray | None, lonely: LonelyRule
) -> tuple[FloatArray, BoolArray]:
    """Return ``(1 - f_h) n_h / (n_h - 1)`` and which strata have one cluster, shapes (H,)."""
    fraction = np.zeros(count.size)
    if population is not None:
        size = np.zeros(count.size)
        size[stratum] = population
        fraction = count / size
    single = (count == 1) & (fraction < 1)
    if single.any() and (lonely == "refuse" or count.size == 1):
        raise NotIdentified(
            "design",
            got=f"{int(single.sum())} strata with one sampled cluster",
            rule="the variance within a stratum needs two clusters",
            next_step='Merge strata, or pass lonely="certainty" or "adjust".',
        )
    return (1 - fraction) * count / np.maximum(count - 1, 1), single


def _variance_from_cells(
    influence: FloatArray, design: Design, cells: CellRows, lonely: LonelyRule
) -> FloatArray:
    """Variance of independent rows from the nodes of their cells: within cells, then between."""
    nodes = influence.reshape(cells.counts.size, cells.nodes, -1)
    total = nodes.sum(axis=1)
    first = slice(None, None, cells.nodes)
    none = np.zeros(cells.counts.size, np.int64)
    stratum = none if design.strata is None else design.strata[first]
    counts = design.population_clusters
    population = None if counts is None else counts[first]
    count = np.asarray(np.bincount(stratum, cells.counts), np.float64)
    factor, single = _stratum_factors(count, stratum, population, lonely)
    sums = np.stack([np.bincount(stratum, column, count.size) for column in total.T], axis=1)
    mean = sums / count[:, None]
    if lonely == "adjust":
        mean[single] = total.sum(axis=0) / count.sum()
    between = total / cells.counts[:, None] - mean[stratum]
    weighted = (factor[stratum] * cells.counts)[:, None] * between
    scatter = (cells.scatter * factor[stratum][:, None, None]) @ nodes
    rows = nodes.reshape(influence.shape)
    return np.asarray(weighted.T @ between + rows.T @ scatter.reshape(influence.shape))


def cluster_totals(
    influence: FloatArray, design: Design
) -> tuple[FloatArray, IntArray, FloatArray | None]:
    """Return cluster sums (c, k), the stratum of each cluster (c,), its population count (c,).

    Parameters
    ----------
    influence : numpy.ndarray of float64, shape (n, k)
        Influence values, weights included.
    design : Design
        Strata, clusters and population counts.
    """
    stratum = np.zeros(design.n, np.int64) if design.strata is None else design.strata
    if design.clusters is None:
        require_rows(design.cells, "sums of single rows")
        return influence, stratum, design.population_clusters
    first = np.unique(design.clusters, return_index=True)[1]
    sums = [np.bincount(design.clusters, column) for column in influence.T]
    z: FloatArray = np.stack(sums, axis=1) if sums else np.zeros((first.size, 0))
    counts = design.population_clusters
    return z, np.asarray(stratum[first]), None if counts is None else np.asarray(counts[first])


def degrees_of_freedom(design: Design) -> int:
    """Return the number of sampled clusters less the number of strata.

    Parameters
    ----------
    design : Design
        Strata, clusters and population counts.
    """
    rows = design.n if design.cells is None else round(design.cells.counts.sum())
    clusters = rows if design.clusters is None else int(design.clusters.max()) + 1
    strata = 1 if design.strata is None else int(design.strata.max()) + 1
    return clusters - strata


def point_covariance(point: PointEstimate, *, lonely: LonelyRule = "refuse") -> FloatArray:
    """Add up the covariance of the sample, of a reference sample and of the benchmarks, (k, k).

    Parameters
    ----------
    point : PointEstimate
        Estimate.
    lonely : {"refuse", "certainty", "adjust"}
        Rule for strata with one sampled cluster; see `design_variance`.
    """
    covariance = design_variance(point.influence, point.design, lonely=lonely)
    if point.reference_influence is not None and point.reference_design is not None:
        covariance = covariance + design_variance(
            point.reference_influence, point.reference_design, lonely=lonely
        )
    if point.external_covariance is not None:
        covariance = covariance + point.external_covariance
    return covariance
