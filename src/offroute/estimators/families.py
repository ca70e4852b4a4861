r"""Errors of the exact benchmarks, given the field and what is common to a side.

Families are independent of each other. That of an absolute figure shares a bias, a table of shares
shares an unknown multiplier, and each is unreliable with probability p:

.. math::

   B_f \sim \sum_k p_k\, N(0, m_k^2 \omega^2 + u_k^2), \qquad
   e_f \mid B_f \sim N(B_f 1, diag(s^2) + q_f q_f') .

A bias with heavy tails is a mixture of scales; so is unreliability, whose extra scale the last
component has. In a table the extra errors of the items are independent.
"""

from dataclasses import dataclass

import numpy as np

from offroute._typing import FloatArray, IntArray
from offroute.estimators.prior import Prior
from offroute.measurement.ledger import Benchmarks

#: State of an unreliable family.
LAST = 2


def bias_mixture(prior: Prior, omega: float) -> tuple[FloatArray, FloatArray]:
    """Probabilities and variances of the components of the bias of a family.

    Parameters
    ----------
    prior : Prior
        Scales.
    omega : float
        Scale of a family's bias.

    Returns
    -------
    p, variance : ndarray, shape (3,)
        Of a family whose bias has the usual scale, of one in the tail, of an unreliable one.
    """
    first = (1 - prior.p_unreliable) * (1 - prior.tail_p)
    p = np.array([first, (1 - prior.p_unreliable) * prior.tail_p, prior.p_unreliable])
    variance = omega**2 * np.array([1.0, prior.tail_scale**2, 1.0])
    variance[LAST] += prior.s_unreliable**2
    return p, variance


@dataclass(frozen=True)
class FamilyErrors:
    """Density of the errors of n exact benchmarks, some families being unreliable for certain.

    Attributes
    ----------
    omega : float
        Scale of a family's bias.
    white : ndarray, shape (n, n)
        Whitening of the errors of all families in their first state (the last one for those that
        are unreliable for certain).
    shared : ndarray, shape (n, A)
        Whitened indicators of the absolute families whose state is open.
    slope, level : ndarray, shape (A, 2)
        The log density of a state over that of the first is ``level + slope t^2`` with t the
        product of the whitened errors and `shared`; log odds are in the level.
    table_rows : ndarray of int, shape (r,)
        Items of the tables whose state is open.
    table : ndarray, shape (r, r)
        Whitening of their errors if their tables are unreliable.
    table_of : ndarray, shape (r, G)
        Which table an item belongs to.
    table_level : ndarray, shape (G,)
        Log odds and log determinants of an unreliable table over a reliable one.
    open_families, open_tables, certain : ndarray of int
        Families in the order of the columns, and those unreliable for certain.
    """

    omega: float
    white: FloatArray
    shared: FloatArray
    slope: FloatArray
    level: FloatArray
    table_rows: IntArray
    table: FloatArray
    table_of: FloatArray
    table_level: FloatArray
    open_families: IntArray
    open_tables: IntArray
    certain: IntArray


def log_first_states(b: Benchmarks, prior: Prior) -> float:
    """Log probability that all families are in their first state.

    Parameters
    ----------
    b : Benchmarks
        Exact benchmarks.
    prior : Prior
        Probabilities.

    Returns
    -------
    float
        What the log densities of `log_states` are relative to.
    """
    there = np.unique(b.family)
    reliable = len(there) * np.log1p(-prior.p_unreliable)
    return float(reliable + (~b.flat[there]).sum() * np.log1p(-prior.tail_p))


def common_rows(b: Benchmarks) -> FloatArray:
    """Which figures carry the error common to their country.

    Parameters
    ----------
    b : Benchmarks
        The benchmarks.

    Returns
    -------
    ndarray, shape (n, 2)
        Ones for figures about the US alone, and about China alone; one-sided rows share the error
        as exact ones do, tables of shares do not.
    """
    sides = np.column_stack([b.origin > 0, b.origin < 0])
    return np.asarray((sides & ~b.flat[b.family][:, None]).astype(np.float64))


def own_covariance(b: Benchmarks, prior: Prior, omega: float) -> FloatArray:
    """Covariance of the errors of exact benchmarks without what is common to a side.

    Parameters
    ----------
    b : Benchmarks
        Exact benchmarks.
    prior : Prior
        Scales.
    omega : float
        Scale of a family's bias.

    Returns
    -------
    ndarray, shape (n, n)
        Zero between families.
    """
    same = b.family[:, None] == b.family[None, :]
    flat = b.flat[b.family]
    S: FloatArray = same * np.where(
        flat[:, None], prior.flat**2, np.outer(b.q, b.q) + bias_mixture(prior, omega)[1][0]
    )
    S[np.diag_indices_from(S)] += b.s**2 + np.where(flat, b.q**2, 0.0)
    return S


def state_covariance(b: Benchmarks, prior: Prior, omega: float, state: IntArray) -> FloatArray:
    """Extra covariance of families that are not in their first state.

    Parameters
    ----------
    b : Benchmarks
        Exact benchmarks.
    prior : Prior
        Scales.
    omega : float
        Scale of a family's bias.
    state : ndarray of int, shape (F,)
        Component of `bias_mixture` that each family is in.

    Returns
    -------
    ndarray, shape (n, n)
        A shared shift of absolute figures, independent errors of the items of a table.
    """
    variance = bias_mixture(prior, omega)[1]
    of = state[b.family]
    table = b.flat[b.family]
    same = (b.family[:, None] == b.family) & ~table
    out: FloatArray = same * (variance[of] - variance[0])
    out[np.diag_indices_from(out)] += prior.s_unreliable**2 * (table & (of == LAST))
    return out


def all_in_first(b: Benchmarks, certain: IntArray) -> IntArray:
    """States of the families of which some are unreliable for certain and the others are not.

    Parameters
    ----------
    b : Benchmarks
        The benchmarks.
    certain : ndarray of int
        The families.

    Returns
    -------
    ndarray of int, shape (F,)
        For `state_covariance`.
    """
    state = np.zeros(len(b.families), dtype=np.int64)
    state[certain] = LAST
    return state


def family_errors(
    b: Benchmarks, prior: Prior, omega: float, certain: IntArray, excluded: IntArray
) -> FamilyErrors:
    """Prepare the density of the errors.

    Parameters
    ----------
    b : Benchmarks
        Exact benchmarks.
    prior : Prior
        Scales.
    omega : float
        Scale of a family's bias.
    certain, excluded : ndarray of int
        Families that are unreliable, and that are not, for certain.

    Returns
    -------
    FamilyErrors
        Whitenings and constants.
    """
    S = own_covariance(b, prior, omega)
    bad = state_covariance(b, prior, omega, all_in_first(b, certain))
    white = np.linalg.inv(np.linalg.cholesky(S + bad))
    p, variance = bias_mixture(prior, omega)
    there = np.setdiff1d(np.unique(b.family), certain)
    families = there[~b.flat[there]] if p[0] < 1 else there[:0]
    tables = np.setdiff1d(there[b.flat[there]], excluded)
    if prior.p_unreliable == 0:
        tables = tables[:0]
    shared = white @ (b.family[:, None] == families)
    grow = 1 + (variance[1:] - variance[0]) * (shared**2).sum(axis=0)[:, None]
    slope = 0.5 * (variance[1:] - variance[0]) / grow
    with np.errstate(divide="ignore"):
        level = np.log(p[1:] / p[0]) - 0.5 * np.log(grow)
    level[np.isin(families, excluded), -1] = -np.inf
    rows = np.flatnonzero(np.isin(b.family, tables))
    block = S[np.ix_(rows, rows)] + prior.s_unreliable**2 * np.eye(len(rows))
    table = np.linalg.inv(np.linalg.cholesky(block)) if len(rows) else np.zeros((0, 0))
    of = (b.family[rows, None] == tables) * 1.0
    odds = prior.p_unreliable / (1 - prior.p_unreliable)
    ratio = np.log(np.diag(table) / np.diag(white)[rows]) @ of
    return FamilyErrors(
        omega=omega,
        white=white,
        shared=shared,
        slope=slope,
        level=level,
        table_rows=rows,
        table=table,
        table_of=of,
        table_level=(np.log(odds) if len(tables) else 0.0) + ratio,
        open_families=families,
        open_tables=tables,
        certain=certain,
    )


def log_states(f: FamilyErrors, error: FloatArray, white: FloatArray) -> FloatArray:
    """Log density of the errors over that of all open families being in their first state.

    Parameters
    ----------
    f : FamilyErrors
        Whitenings.
    error, white : ndarray, shape (k, n)
        Errors, and whitened errors.

    Returns
    -------
    ndarray, shape (k,)
        Zero if no family is open.
    """
    out = np.zeros(len(error))
    if f.shared.shape[1]:
        square = (white @ f.shared) ** 2
        gain = f.level[:, 1] + f.slope[:, 1] * square
        if np.isfinite(f.level[:, 0]).any():
            gain = np.logaddexp(gain, f.level[:, 0] + f.slope[:, 0] * square)
        out += _log_one_plus_exp(gain)
    if len(f.table_rows):
        out += _log_one_plus_exp(_table_gain(f, error, white))
    return out


def _log_one_plus_exp(gain: FloatArray) -> FloatArray:
    """Sum of log(1 + exp(gain)) over the columns, shape (k,); faster than `numpy.logaddexp`."""
    return np.asarray((np.maximum(gain, 0.0) + np.log(1.0 + np.exp(-np.abs(gain)))).sum(axis=1))


def _table_gain(f: FamilyErrors, error: FloatArray, white: FloatArray) -> FloatArray:
    """Log odds of each open table being unreliable, shape (k, G)."""
    bad = error[:, f.table_rows] @ f.table.T
    gain: FloatArray = 0.5 * (white[:, f.table_rows] ** 2 - bad**2) @ f.table_of + f.table_level
    return gain


def draw_states(
    f: FamilyErrors, error: FloatArray, n_families: int, rng: np.random.Generator
) -> IntArray:
    """Draw the state of each family given the errors.

    Parameters
    ----------
    f : FamilyErrors
        Whitenings.
    error : ndarray, shape (k, n)
        Errors without what is common to a side.
    n_families : int
        Number of families.
    rng : Generator
        Randomness.

    Returns
    -------
    ndarray of int, shape (k, n_families)
        Component of `bias_mixture`; 0 for a family without an exact row.
    """
    out = np.zeros((len(error), n_families), dtype=np.int64)
    out[:, f.certain] = LAST
    white = error @ f.white.T
    u = rng.uniform(size=out.shape)
    gain = f.level + f.slope * ((white @ f.shared) ** 2)[:, :, None]
    top = np.maximum(gain.max(axis=2, initial=0.0), 0.0)
    part = np.exp(gain - top[:, :, None])
    total = np.exp(-top) + part.sum(axis=2)
    below = u[:, f.open_families] * total
    out[:, f.open_families] = LAST * (below < part[:, :, 1])
    out[:, f.open_families] += (below >= part[:, :, 1]) & (below < part.sum(axis=2))
    if len(f.table_rows):
        odds = _table_gain(f, error, white)
        out[:, f.open_tables] = LAST * (np.log(u[:, f.open_tables]) < -np.logaddexp(0.0, -odds))
    return out


def draw_prior_states(b: Benchmarks, prior: Prior, k: int, rng: np.random.Generator) -> IntArray:
    """Draw the state of each family from the prior.

    Parameters
    ----------
    b : Benchmarks
        The benchmarks, for the kinds of their families.
    prior : Prior
        Probabilities.
    k : int
        Number of draws.
    rng : Generator
        Randomness.

    Returns
    -------
    ndarray of int, shape (k, F)
        A table of shares is never in state 1.
    """
    u = rng.uniform(size=(k, len(b.families)))
    p = bias_mixture(prior, 0.0)[0]
    tail = (u >= p[LAST]) & (u < p[LAST] + p[1]) & ~b.flat
    return np.asarray(np.where(u < p[LAST], LAST, tail.astype(np.int64)))
