"""Nearest donors: which logs stand in for a row of the reference sample, and with what weight."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import KDTree

from offroute._typing import AnyArray, FloatArray
from offroute.estimators.point import Design

_TIE = 1e-9


@dataclass(frozen=True)
class Matches:
    """Donors of every reference row.

    Attributes
    ----------
    donor_weights : numpy.ndarray of float64, shape (n,)
        ``K_i = sum_j d_j s_ji``, s_ji the share of log i in reference row j.
    noise_weights : numpy.ndarray of float64, shape (n,)
        Square root of K_i^2 less the part of the donors' noise that the design variance of the
        imputed reference rows already contains.
    share : scipy.sparse.csr_matrix, shape (m, n)
        The s_ji; rows sum to 1.
    """

    donor_weights: FloatArray
    noise_weights: FloatArray
    share: csr_matrix


def match(
    donors: FloatArray,
    receivers: FloatArray,
    base: FloatArray,
    reference_weights: FloatArray,
    design: Design,
    *,
    neighbours: int,
) -> Matches:
    """Find the nearest logs of every reference row, at least `neighbours` and all that tie.

    Parameters
    ----------
    donors : numpy.ndarray of float64, shape (n, q)
        Coordinates of the logs; logs with base weight 0 give nothing.
    receivers : numpy.ndarray of float64, shape (m, q)
        Coordinates of the reference rows.
    base : numpy.ndarray of float64, shape (n,)
        Base weights: donors share in their proportion.
    reference_weights : numpy.ndarray of float64, shape (m,)
        Weights d.
    design : Design
        Design of the reference sample.
    neighbours : int
        Fewest donors of a row.

    Returns
    -------
    Matches
        Shares and weights.
    """
    live = np.flatnonzero(base > 0)
    points, place = _distinct(donors[live])
    count = np.bincount(place)
    tree = KDTree(points)
    wanted, where = _distinct(receivers)
    near = min(neighbours, len(points))
    found_near = tree.query(wanted, k=[*range(1, near + 1)])
    distance, index = np.asarray(found_near[0]), np.asarray(found_near[1])
    enough = np.argmax(np.cumsum(count[index], axis=1) >= min(neighbours, live.size), axis=1)
    radius = distance[np.arange(len(wanted)), enough]
    found = tree.query_ball_point(wanted, radius * (1 + _TIE) + _TIE * _TIE)
    sizes = np.array([len(f) for f in found])
    column = np.concatenate([np.asarray(f, np.int64) for f in found])
    mass = np.bincount(place, base[live])
    row = np.repeat(np.arange(len(wanted)), sizes)
    total = np.bincount(row, mass[column], len(wanted))
    by_point = csr_matrix((mass[column] / total[row], (row, column)), (len(wanted), len(points)))
    within = csr_matrix((base[live] / mass[place], (place, live)), (len(points), base.size))
    share = csr_matrix(by_point[where] @ within)
    weights = np.asarray(share.T @ reference_weights).ravel()
    return Matches(
        weights,
        np.sqrt(np.maximum(weights**2 - _counted(share, reference_weights, design), 0.0)),
        share,
    )


def local_residuals(coordinates: FloatArray, values: FloatArray, base: FloatArray) -> FloatArray:
    """Return residuals of `values`, shape (n, m), on nearest other logs, with variance sigma^2.

    A log is compared with the others at the same place, or with those at the nearest other place;
    ``sqrt(J / (J + 1))`` undoes the noise of their mean (Abadie and Imbens 2006).

    Parameters
    ----------
    coordinates : numpy.ndarray of float64, shape (n, q)
        Where the logs are.
    values : numpy.ndarray of float64, shape (n, m)
        Values to compare.
    base : numpy.ndarray of float64, shape (n,)
        Base weights; logs of weight 0 get residual 0.
    """
    live = np.flatnonzero(base > 0)
    points, place = _distinct(coordinates[live])
    count = np.bincount(place).astype(np.float64)
    sums = np.stack([np.bincount(place, column) for column in values[live].T], axis=1)
    alone = np.flatnonzero(count == 1)
    others, size = sums.copy(), count.copy()
    if alone.size and len(points) > 1:
        tree = KDTree(points)
        radius = np.asarray(tree.query(points[alone], k=[2])[0])[:, 0]
        found = tree.query_ball_point(points[alone], radius * (1 + _TIE))
        row = np.repeat(alone, [len(f) for f in found])
        column = np.concatenate([np.asarray(f, np.int64) for f in found])
        far = row != column
        shape = (len(points), len(points))
        near = csr_matrix((np.ones(far.sum()), (row[far], column[far])), shape)
        others[alone], size[alone] = (near @ sums)[alone], (near @ count)[alone]
    own = (count > 1)[place]
    peers = size[place] - own
    mean = (others[place] - own[:, None] * values[live]) / peers[:, None]
    out = np.zeros_like(values)
    out[live] = (values[live] - mean) * np.sqrt(peers / (peers + 1))[:, None]
    return out


def standardise(donors: FloatArray, receivers: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scale coordinates to unit standard deviation in the logs; constant ones stay as they are.

    Parameters
    ----------
    donors : numpy.ndarray of float64, shape (n, q)
        Coordinates of the logs.
    receivers : numpy.ndarray of float64, shape (m, q)
        Coordinates of the reference rows.
    """
    scale = donors.std(axis=0)
    scale[scale == 0] = 1.0
    return donors / scale, receivers / scale


def _counted(share: csr_matrix, weights: FloatArray, design: Design) -> FloatArray:
    """Return ``sum_c (1 - f_c) K_ic^2``, K_ic what log i gives to cluster c of the reference."""
    m = weights.size
    cluster = np.arange(m) if design.clusters is None else design.clusters
    stratum = np.zeros(m, np.int64) if design.strata is None else design.strata
    rest = np.ones(m)
    if design.population_clusters is not None:
        first = np.unique(cluster, return_index=True)[1]
        rest = 1 - np.bincount(stratum[first])[stratum] / design.population_clusters
    clusters = int(cluster.max()) + 1
    gather = csr_matrix((weights * np.sqrt(rest), (cluster, np.arange(m))), (clusters, m))
    parts = gather @ share
    return np.asarray(parts.multiply(parts).sum(axis=0)).ravel()


def _distinct(points: FloatArray) -> tuple[FloatArray, AnyArray]:
    """Return distinct points and the place of each row among them."""
    if points.shape[1] == 1:
        values, place = np.unique(points[:, 0], return_inverse=True)
        return values[:, None], place.reshape(-1)
    rows = np.ascontiguousarray(points)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    first, place = np.unique(keys, return_index=True, return_inverse=True)[1:]
    return rows[first], place.reshape(-1)
