"""The market estimators as presets of the lattice; all return draws of total volume.

None of the presets but the evidence synthesis and the bias analysis moves coverage in time: a
multiplier measured at a disclosure is carried to the week unchanged.
"""

from dataclasses import dataclass, replace

import numpy as np

from offroute._checks import check_choice
from offroute._random import RngLike, resolve_rng, spawn_seeds
from offroute._typing import FloatArray
from offroute.estimators.carried import (
    by_unit,
    carried_evidence,
    carried_ratios,
    covariates,
    lab_ratio,
    one_per_lab,
    pooled,
)
from offroute.estimators.coverage_draws import CoverageDraws, coverage_draws
from offroute.estimators.distances import Distance, linear, logit, raking
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
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.estimators.synthesis import synthesise
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
    e, X = carried_ratios(market, b, week), market.X[week]
    y = e.y[None]
    if name not in ("coverage ratio", "GREG", "raking", "bounded logit"):
        y = y + generator.standard_normal((n_draws, len(e))) * np.sqrt(np.diag(e.S))
    g = lab_ratio(market, e, y)
    if name.startswith("coverage ratio"):
        origin = [group.split(" ")[0] for group in market.groups]
        rest = pooled(market, g, X, origin)
        own = g[:, market.unit]
        factor = np.where(np.isfinite(own), own, rest)
    elif name == "post-stratification":
        factor = pooled(market, g, X, list(market.groups))
    else:
        exact = lab_ratio(market, e, e.y[None])
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
    b = take(benchmarks, np.array([benchmarks.ids.index(i) for i in e.ids], dtype=np.int64))
    test = None
    if name != "naive":
        # The unknown multiplier of each share table is a coefficient as well.
        flat = len({f for f in b.family if b.flat[f]})
        test = j_test(e, corner, eta[0], rank=Z.shape[1] + flat)
    out = _collect(name, market, b, week, multiplier(corner, eta[1:]))
    return replace(out, over_identification=test)


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
    scale = np.log(by_unit(market, market.Xs[market.anchor]))
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
