"""The market estimators as presets of the lattice; all return draws of total volume.

None of the presets but the evidence synthesis and the bias analysis moves coverage in time: a
multiplier measured at a disclosure is carried to the week unchanged.
"""

from dataclasses import dataclass, replace

import numpy as np

from offroute._checks import check_choice
from offroute._random import RngLike, resolve_rng, spawn_seeds
from offroute._typing import FloatArray, IntArray
from offroute.estimators.distances import Distance, linear, logit, raking
from offroute.estimators.field import off_platform
from offroute.estimators.gaussian_system import build_features
from offroute.estimators.lattice import (
    UNBOUNDED,
    Corner,
    Evidence,
    j_test,
    multiplier,
    odds,
    solve,
)
from offroute.estimators.linearise import error_covariance
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.estimators.synthesis import Posterior, nearly_linear, synthesise
from offroute.exceptions import InfeasibleMargins, NotIdentified
from offroute.measurement.ledger import Benchmarks, take
from offroute.measurement.market import Market

#: Upper bound of the bounded logit's factor on the common multiplier.
_LOGIT_UPPER = 1000.0
#: Fewer draws than this part inside Y >= X, and the preset contradicts the panel.
_FEASIBLE = 0.5
_SLACK = 1e-9


@dataclass(frozen=True)
class Preset:
    """An estimator by its corner of the lattice.

    Attributes
    ----------
    name : str
        Its usual name.
    K, S : str
        How much coverage may differ between cells, and how far benchmarks are trusted.
    implies : str
        What one believes who uses it.
    """

    name: str
    K: str
    S: str
    implies: str


PRESETS = tuple(
    Preset(*row)
    for row in (
        ("naive", "one constant", "any", "all cells are covered alike: Lambda is 1"),
        (
            "coverage ratio",
            "unbounded between labs",
            "0",
            "figures are exact; other labs are covered like the measured ones of their origin",
        ),
        (
            "coverage ratio, Monte Carlo",
            "unbounded between labs",
            "each row's own",
            "the same, with the error of each figure but none for labs without one",
        ),
        (
            "post-stratification",
            "unbounded between groups, 0 within",
            "each row's own",
            "all labs of a group are covered alike",
        ),
        (
            "GREG",
            "1 / d, linear",
            "0",
            "as near to Lambda = 1 as exact figures allow, in squares",
        ),
        ("raking", "1 / d, entropy", "0", "the same, in relative entropy"),
        ("bounded logit", "1 / d, bounded", "0", "the same, with Y >= X in every cell"),
        (
            "replicated calibration",
            "1 / d, entropy",
            "each row's own",
            "raking, with the error of each figure",
        ),
        (
            "soft calibration",
            "1 / d, entropy",
            "each row's own, not met exactly",
            "as near to Lambda = 1 as doubtful figures allow",
        ),
        (
            "selection on covariates",
            "low rank: 1, closed, China, price",
            "full",
            "covariates explain all of the selection",
        ),
        (
            "evidence synthesis",
            "full",
            "full",
            "labs differ and move; sources share errors; the default",
        ),
        ("bias analysis", "full", "infinite", "the prior alone"),
    )
)
NAMES = tuple(p.name for p in PRESETS)


@dataclass(frozen=True)
class CoverageDraws:
    """What every market estimator returns: draws of total volume, never below the panel's.

    Attributes
    ----------
    estimator : str
        Name of the preset.
    market : Market
        The panel.
    population : str
        The population.
    weeks : ndarray of int, shape (W,)
        Weeks of the market, sorted.
    Y : ndarray, shape (k, W, C)
        Tokens a week; a point estimate has one draw.
    last : int
        Index of the week of the last benchmark used; 0 without any.
    used : tuple of str
        Rows used.
    over_identification : tuple of (float, int, float), or None
        J, its degrees of freedom and its p-value, for selection on covariates.
    """

    estimator: str
    market: Market
    population: str
    weeks: IntArray
    Y: FloatArray
    last: int
    used: tuple[str, ...]
    over_identification: tuple[float, int, float] | None = None

    @property
    def log_multiplier(self) -> FloatArray:
        """Log of total over panel tokens, 0 or more, shape (k, W, C); infinite off the panel."""
        X = self.market.X[self.weeks]
        with np.errstate(divide="ignore", invalid="ignore"):
            out: FloatArray = np.log(self.Y / X)
        return np.where(self.Y > 0, out, 0.0)


def coverage_draws(posterior: Posterior, *, estimator: str = "evidence synthesis") -> CoverageDraws:
    """Return the posterior of the synthesis in the form that all estimators share.

    Parameters
    ----------
    posterior : Posterior
        Result of `offroute.estimators.synthesis.synthesise`.
    estimator : str
        Name to give it.

    Returns
    -------
    CoverageDraws
        In the weeks that the posterior can be evaluated in.
    """
    p, b = posterior, posterior.benchmarks
    Y = np.empty((len(p.draws.base), len(p.draws.weeks), len(p.market.labs)))
    for j, week in enumerate(p.draws.weeks):
        Y[:, j] = p.market.X[week] + off_platform(p.features, p.prior, p.draws, int(week))
    last = int(b.week.max()) if len(b) else 0
    return CoverageDraws(estimator, p.market, b.population, p.draws.weeks, Y, last, b.ids)


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
    keep = np.flatnonzero(nearly_linear(market, b) & (A.sum(axis=1) > 0))
    b, A = take(b, keep), A[keep]
    if not len(keep):
        return Evidence((), b.y, A, b.y, np.zeros((0, 0)))
    S = error_covariance(b, prior, np.array([prior.omega]))[0]
    part = _by_unit(market, A / A.sum(axis=1, keepdims=True))
    at = market.elapsed[b.week] - market.elapsed[week]
    same = np.sign(at)[:, None] * np.sign(at)[None, :] > 0
    drift = np.where(same, np.minimum(np.abs(at)[:, None], np.abs(at)[None, :]), 0.0)
    S = S + prior.s_rw**2 * drift * (part @ part.T)
    return Evidence(b.ids, b.y - b.off, A, b.iota * A.sum(axis=1), S)


def _by_unit(market: Market, values: FloatArray) -> FloatArray:
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


def _carried(market: Market, b: Benchmarks, week: int) -> Evidence:
    """Figures about single labs, moved to the week as the panel moved: the ratio is carried."""
    A, at_date = b.w * market.X[week], (b.w * market.X[b.week]).sum(axis=1)
    S = np.diag(b.s**2 + b.q**2)
    y = b.y - b.off + np.log(A.sum(axis=1) / at_date)
    return Evidence(b.ids, y, A, b.iota * A.sum(axis=1), S)


def _lab_ratio(market: Market, e: Evidence, y: FloatArray) -> FloatArray:
    """Multiplier of every measured unit, (k, U), not a number elsewhere; y has the errors in."""
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


def estimate(
    name: str,
    market: Market,
    benchmarks: Benchmarks,
    *,
    week: int,
    prior: Prior = NEUTRAL,
    n_draws: int = 1000,
    rng: RngLike = 0,
) -> CoverageDraws:
    """Estimate the total volume of one week by one preset of the lattice.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    market : Market
        The panel.
    benchmarks : Benchmarks
        The evidence on one population.
    week : int
        Index of the week.
    prior : Prior
        Scales of K and S; presets use those they have.
    n_draws : int
        Draws; a preset without any error returns one.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    CoverageDraws
        Draws of total volume in that week.

    Raises
    ------
    UsageError
        If there is no such preset.
    NotIdentified
        If the figures do not suffice for it.
    InfeasibleMargins
        If a solution lies below what the panel saw.
    NotConverged, UnreliablePosterior
        As `solve` and `synthesise`.
    """
    check_choice(name, NAMES, name="estimator")
    generator = resolve_rng(rng)
    if name in ("evidence synthesis", "bias analysis"):
        rows = np.arange(len(benchmarks)) if name == "evidence synthesis" else np.arange(0)
        fit = synthesise(
            market,
            take(benchmarks, rows),
            prior=prior,
            weeks=np.array([week]),
            n_draws=n_draws,
            rng=generator,
        )
        return coverage_draws(fit, estimator=name)
    if name in ("naive", "selection on covariates"):
        return _low_rank(name, market, benchmarks, week, prior, n_draws, generator)
    b = one_per_lab(market, benchmarks, week, s_rw=prior.s_rw)
    e, X = _carried(market, b, week), market.X[week]
    y = e.y[None]
    if name not in ("coverage ratio", "GREG", "raking", "bounded logit"):
        y = y + generator.standard_normal((n_draws, len(e))) * np.sqrt(np.diag(e.S))
    g = _lab_ratio(market, e, y)
    if name.startswith("coverage ratio"):
        origin = [group.split(" ")[0] for group in market.groups]
        rest = pooled(market, g, X, origin)
        own = g[:, market.unit]
        factor = np.where(np.isfinite(own), own, rest)
    elif name == "post-stratification":
        factor = pooled(market, g, X, list(market.groups))
    else:
        exact = _lab_ratio(market, e, e.y[None])
        common = float(pooled(market, exact, X, ["all"] * len(X))[0, 0])
        factor = _calibrated(name, e, y, X, common, prior)
    return _collect(name, market, b, week, factor)


def _calibrated(
    name: str, e: Evidence, y: FloatArray, X: FloatArray, common: float, prior: Prior
) -> FloatArray:
    """Multipliers that stay as near to a common one as the figures allow."""
    d = np.maximum(X, 1e-9 * X.sum())
    link: Distance = raking()
    if name == "GREG":
        link = linear()
    elif name == "bounded logit":
        link = logit(min(1 / common, 1 - 1e-9), _LOGIT_UPPER)
    corner = Corner(link, np.full(len(X), common), None, d)
    S = np.zeros_like(e.S)
    if name == "soft calibration":
        # The cell of mean volume differs from the common multiplier by tau, as labs do.
        S = e.S / prior.tau**2
    return multiplier(corner, solve(e, corner, y=y, m=np.zeros((len(y), len(X))), S=S))


def _low_rank(
    name: str,
    market: Market,
    benchmarks: Benchmarks,
    week: int,
    prior: Prior,
    n_draws: int,
    rng: np.random.Generator,
) -> CoverageDraws:
    """Naive (an intercept) and selection on covariates, with flat coefficients."""
    e = carried_evidence(market, benchmarks, prior, week)
    Z = covariates(market, week) if name != "naive" else np.ones((len(market.labs), 1))
    corner = Corner(odds(), np.ones(len(Z)), (UNBOUNDED * Z) @ (UNBOUNDED * Z).T, np.ones(len(Z)))
    if 0 < len(e) < Z.shape[1] or (name != "naive" and not len(e)):
        raise NotIdentified(
            name,
            got=f"{len(e)} benchmarks",
            rule=f"{Z.shape[1]} coefficients need as many benchmarks",
            next_step="Use the evidence synthesis, whose prior is proper.",
        )
    centre = np.full(len(Z), prior.b_0)
    noise = rng.standard_normal((n_draws, len(e)))
    y = np.vstack([e.y, e.y + noise @ np.linalg.cholesky(e.S).T])
    eta = solve(e, corner, y=y, m=np.tile(centre, (len(y), 1)), S=e.S)
    test = None
    if name != "naive":
        flat = len({f for f in benchmarks.family if benchmarks.flat[f]})
        test = j_test(e, corner, eta[0], rank=Z.shape[1] + flat)
    b = take(benchmarks, np.array([benchmarks.ids.index(i) for i in e.ids], dtype=np.int64))
    out = _collect(name, market, b, week, multiplier(corner, eta[1:]))
    return replace(out, over_identification=test)


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


def _collect(
    name: str, market: Market, b: Benchmarks, week: int, factor: FloatArray
) -> CoverageDraws:
    """Keep the draws in which no cell lies below the panel; refuse if that is not most of them."""
    shown = market.X[week] > 0
    inside = (factor[:, shown] >= 1 - _SLACK).all(axis=1)
    if inside.mean() < _FEASIBLE:
        worst = int(np.argmin(np.where(shown, factor.mean(axis=0), np.inf)))
        raise InfeasibleMargins(
            f"{name}",
            got=f"{factor[:, worst].mean():.3g} total tokens per panel token of "
            f"{market.labs[worst]} ({market.groups[worst]})",
            rule="a total must hold what the panel saw of it",
            next_step="Use the bounded logit, or check the figures of that lab.",
        )
    Y = (np.maximum(factor[inside], 1.0) * market.X[week])[:, None]
    last = int(b.week.max()) if len(b) else 0
    return CoverageDraws(name, market, b.population, np.array([week]), Y, last, b.ids)


def full_gaussian(
    market: Market,
    benchmarks: Benchmarks,
    *,
    week: int,
    prior: Prior = NEUTRAL,
    n_draws: int = 1000,
    rng: RngLike = 0,
) -> CoverageDraws:
    """Full K and S by the lattice's own engine: the synthesis with its hyper-parameters fixed.

    Parameters
    ----------
    market, benchmarks, week, prior, n_draws, rng : Market, Benchmarks, int, Prior, int, RngLike
        As for `estimate`.

    Returns
    -------
    CoverageDraws
        For comparison: the pass-through is one, tau, omega and s_rw stand at their scales, no
        family is unreliable, and the tiers of a lab have multipliers of their own.
    """
    seeds = spawn_seeds(rng, 2)
    e = carried_evidence(market, benchmarks, prior, week)
    f = build_features(market, prior)
    scale = np.log(_by_unit(market, market.Xs[market.anchor]))
    company = f.company[:, None] == f.company[None, :]
    units = f.fixed @ f.fixed.T + prior.tau**2 * company
    K = units[np.ix_(market.unit, market.unit)] + f.split @ f.split.T
    corner = Corner(odds(), np.ones(len(K)), K, np.ones(len(K)))
    centre = (f.mu[market.anchor] - scale)[market.unit]
    root = np.linalg.cholesky(K)
    m = centre + np.random.default_rng(seeds[0]).standard_normal((n_draws, len(K))) @ root.T
    noise = np.random.default_rng(seeds[1]).standard_normal((n_draws, len(e)))
    y = e.y + noise @ np.linalg.cholesky(e.S).T
    factor = multiplier(corner, solve(e, corner, y=y, m=m, S=e.S))
    return CoverageDraws(
        "full Gaussian",
        market,
        benchmarks.population,
        np.array([week]),
        (factor * market.X[week])[:, None],
        int(benchmarks.week.max()) if len(benchmarks) else 0,
        e.ids,
    )
