"""Figures of the ledger as exact or doubtful functionals of multipliers of one week."""

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.distances import raking
from offroute.estimators.lattice import Corner, Evidence, multiplier, solve
from offroute.estimators.linearise import error_covariance
from offroute.estimators.prior import Prior
from offroute.estimators.synthesis import about_one_unit
from offroute.exceptions import NotIdentified
from offroute.measurement.ledger import Benchmarks, take
from offroute.measurement.market import Market

#: A figure of which the panel alone is this part bends too much for one Gaussian step.
_MOSTLY_PANEL = 0.5


def carried_evidence(market: Market, b: Benchmarks, prior: Prior, week: int) -> Evidence:
    r"""Benchmarks as functionals of multipliers that do not move, with full errors.

    Between its date and the week the log volume of a lab drifts by a random walk of scale
    `s_rw`; that variance is added, shared by the rows of a lab on the same side of the week.

    Parameters
    ----------
    market : Market
        The panel.
    b : Benchmarks
        The benchmarks; exact rows about one lab and items of share tables are used, since sums
        over labs and figures near the panel bend too much for one Gaussian step.
    prior : Prior
        Scales of shared errors (families at `omega`, common mode at `s_cm`).
    week : int
        Index of the week.

    Returns
    -------
    Evidence
        Rows whose cells the panel shows; S is the covariance of the synthesis plus the drift.
    """
    A = b.w * market.X[b.week]
    seen = A.sum(axis=1)
    clear = b.flat[b.family] | (b.iota * seen < _MOSTLY_PANEL * np.exp(b.y - b.off))
    keep = np.flatnonzero(about_one_unit(market, b) & clear & (seen > 0))
    b, A = take(b, keep), A[keep]
    if not len(keep):
        return Evidence((), b.y, A, b.y, np.zeros((0, 0)))
    S = error_covariance(b, prior, np.array([prior.omega]))[0]
    part = by_unit(market, A / A.sum(axis=1, keepdims=True))
    at = market.elapsed[b.week] - market.elapsed[week]
    same = np.sign(at)[:, None] * np.sign(at)[None, :] > 0
    drift = np.where(same, np.minimum(np.abs(at)[:, None], np.abs(at)[None, :]), 0.0)
    S = S + prior.s_rw**2 * drift * (part @ part.T)
    return Evidence(b.ids, b.y - b.off, A, b.iota * A.sum(axis=1), S)


def by_unit(market: Market, values: FloatArray) -> FloatArray:
    """Sum over the cells of each unit.

    Parameters
    ----------
    market : Market
        The panel; the cells of a unit are contiguous.
    values : ndarray, shape (..., C)
        Values by cell.

    Returns
    -------
    ndarray, shape (..., U)
        Sums by unit.
    """
    starts = np.searchsorted(market.unit, np.arange(int(market.unit.max()) + 1))
    return np.asarray(np.add.reduceat(values, starts, axis=-1))


def one_per_lab(market: Market, b: Benchmarks, week: int, *, s_rw: float) -> Benchmarks:
    r"""Keep one figure per lab: that with the smallest variance when carried to the week.

    The variance is :math:`s^2 + q^2 + s_{rw}^2 |t - t_i|`. Figures about several labs, one-sided
    figures, share tables, and labs that the panel does not show are left out: a ratio to the
    panel needs a level and a panel.

    Parameters
    ----------
    market : Market
        The panel.
    b : Benchmarks
        All benchmarks of the population.
    week : int
        Index of the week.
    s_rw : float
        Drift of coverage per square root of a week.

    Returns
    -------
    Benchmarks
        At most one row per unit of the market.

    Raises
    ------
    NotIdentified
        If no row is left about one of the two sides.
    """
    shown = ((b.w * market.X[b.week]).sum(axis=1) > 0) & ((b.w * market.X[week]).sum(axis=1) > 0)
    usable = (b.side == 0) & ~b.flat[b.family] & shown
    variance = b.s**2 + b.q**2 + s_rw**2 * np.abs(market.elapsed[b.week] - market.elapsed[week])
    best: dict[int, int] = {}
    for i in np.flatnonzero(usable):
        units = np.unique(market.unit[b.w[i] > 0])
        unit = int(units[0])
        if len(units) == 1 and (unit not in best or variance[i] < variance[best[unit]]):
            best[unit] = int(i)
    kept = take(b, np.array(sorted(best.values()), dtype=np.int64))
    if not ((kept.origin > 0).any() and (kept.origin < 0).any()):
        raise NotIdentified(
            f"coverage ratios of '{b.population}'",
            got=f"{len(kept)} figures about single labs that the panel shows",
            rule="both China and the US need one",
            next_step="Use the evidence synthesis, or add rows to the ledger.",
        )
    return kept


def carried_ratios(market: Market, b: Benchmarks, week: int) -> Evidence:
    """Move figures about single labs to the week as the panel moved: the ratio is carried.

    Parameters
    ----------
    market : Market
        The panel.
    b : Benchmarks
        One figure per lab, as of `one_per_lab`.
    week : int
        Index of the week.

    Returns
    -------
    Evidence
        Rows whose S holds the error of each figure and of its scope.
    """
    A, at_date = b.w * market.X[week], (b.w * market.X[b.week]).sum(axis=1)
    S = np.diag(b.s**2 + b.q**2)
    y = b.y - b.off + np.log(A.sum(axis=1) / at_date)
    return Evidence(b.ids, y, A, b.iota * A.sum(axis=1), S)


def lab_ratio(market: Market, e: Evidence, y: FloatArray) -> FloatArray:
    """Return the multiplier of every measured unit: the figure over what the panel shows of it.

    Parameters
    ----------
    market : Market
        The panel.
    e : Evidence
        One row per unit, as of `carried_ratios`.
    y : ndarray, shape (k, n)
        Log figures, with their errors drawn.

    Returns
    -------
    ndarray, shape (k, U)
        Total tokens per panel token; NaN for units without a figure.
    """
    n_units = int(market.unit.max()) + 1
    same = (market.unit[:, None] == market.unit[None, :]).astype(np.float64)
    # Where K is unbounded the base is only a start; above one, the off-platform part is not empty.
    start = 1 + float(np.median(np.exp(e.y) / e.A.sum(axis=1)))
    corner = Corner(raking(), np.full(len(same), start), same, np.ones(len(same)))
    g = multiplier(
        corner, solve(e, corner, y=y, m=np.zeros((len(y), len(same))), S=np.zeros_like(e.S))
    )
    measured = np.unique(market.unit[(e.A > 0).any(axis=0)])
    out = np.full((len(y), n_units), np.nan)
    out[:, measured] = g[:, np.searchsorted(market.unit, measured)]
    return out


def pooled(market: Market, g: FloatArray, X: FloatArray, label: list[str]) -> FloatArray:
    """Ratio of sums of the measured units of each label, where there is none of all, by cell.

    Parameters
    ----------
    market : Market
        The panel.
    g : ndarray, shape (k, U)
        Multipliers of the units, NaN where not measured.
    X : ndarray, shape (C,)
        Panel volume of the week.
    label : list of str, length C
        Pool of each cell.

    Returns
    -------
    ndarray, shape (k, C)
        Multiplier of the pool of each cell.
    """
    cell = g[:, market.unit]
    seen = np.isfinite(cell)
    Y, shown = np.where(seen, cell, 0.0) * X, seen[0] * X
    names = np.array(label)
    out = np.tile(Y.sum(axis=1, keepdims=True) / shown.sum(), (1, len(X)))
    for name in dict.fromkeys(label):
        of = names == name
        if shown[of].sum() > 0:
            out[:, of] = Y[:, of].sum(axis=1, keepdims=True) / shown[of].sum()
    return out


def covariates(market: Market, week: int) -> FloatArray:
    """Covariates of the selection: intercept, closed, China, log price within the lab.

    Parameters
    ----------
    market : Market
        The panel.
    week : int
        Index of the week, for the price.

    Returns
    -------
    ndarray, shape (C, 4)
        One row per cell.
    """
    log_price, unit = np.log(market.price[week]), market.unit
    z = log_price - (np.bincount(unit, log_price) / np.bincount(unit))[unit]
    return np.column_stack([np.ones(len(z)), market.is_closed, market.is_china, z])
