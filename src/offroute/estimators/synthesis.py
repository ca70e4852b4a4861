r"""Evidence synthesis of off-platform volume: the central model.

.. math::

   \log D_{tc} &= \log X^s_{T_0 c} + \beta_g (\log X^s_{tl} - \log X^s_{T_0 l}) + u_{tc}, \\
   u_{tc} &= b_0 + b_{closed} + b_{China} + \delta_g + \tau a_l + \gamma z_c + s_e e_c + r_l(t), \\
   \log y_i &= \log \sum_c w_{ic} (D_{t_i c} + \iota_i X_{t_i c}) + off_i + b_{origin(i)} +
   B_{f(i)} + e_i, \qquad Y = X + D .
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from offroute._random import RngLike, resolve_rng
from offroute._typing import BoolArray, FloatArray, IntArray
from offroute.estimators.draws import (
    MAX_K_HAT,
    Draws,
    Problem,
    draw,
    effective_draws,
    family_shift,
    off_platform,
)
from offroute.estimators.gaussian_system import Features, build_features
from offroute.estimators.linearise import Laplace, half_normal_nodes, laplace
from offroute.estimators.points import build_points
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.exceptions import UnreliablePosterior, UsageError
from offroute.measurement.ledger import Benchmarks, take
from offroute.measurement.market import Market

_NODES = (4, 3, 4)
_PROPOSALS = 3
_MOVES = 4
_MIN_ESS = 200.0
#: A figure of which the panel alone is this part bends too much to be linearised.
_MOSTLY_PANEL = 0.5


@dataclass(frozen=True)
class Posterior:
    """Posterior of the off-platform volume of one population.

    Attributes
    ----------
    market : Market
        The panel.
    benchmarks : Benchmarks
        The evidence, with the population; exact figures about one unit come first.
    prior : Prior
        The prior.
    features : Features
        Design of the log volume.
    draws : Draws
        Equally weighted draws of the coefficients.
    k_hat : float
        Largest Pareto shape of the importance weights of a tempering step.
    ess : float
        Effective number of draws for log(China / US) in the first week asked for.
    log_evidence : float
        Log density of the benchmarks: Laplace for the core, sequential Monte Carlo for the rest.
    """

    market: Market
    benchmarks: Benchmarks
    prior: Prior
    features: Features
    draws: Draws
    k_hat: float
    ess: float
    log_evidence: float


def hyper_grid(prior: Prior) -> tuple[tuple[FloatArray, FloatArray, FloatArray], FloatArray]:
    """Nodes of (tau, omega, s_rw) and their log prior weights.

    Parameters
    ----------
    prior : Prior
        Half-normal scales.

    Returns
    -------
    nodes : tuple of three ndarray, shape (B,)
        tau, omega, s_rw.
    log_weight : ndarray, shape (B,)
        Log prior weights.
    """
    axes = [
        half_normal_nodes(scale, n)
        for scale, n in zip((prior.tau, prior.omega, prior.s_rw), _NODES, strict=True)
    ]
    grids = np.meshgrid(*[a[0] for a in axes], indexing="ij")
    weights = np.meshgrid(*[a[1] for a in axes], indexing="ij")
    log_weight = np.log(np.prod(weights, axis=0)).ravel()
    return (grids[0].ravel(), grids[1].ravel(), grids[2].ravel()), log_weight


def _component_evidence(fit: Laplace, b: Benchmarks, prior: Prior) -> FloatArray:
    """Log evidence of each node (rows) with no (column 0) or one unreliable family; (B, F + 1)."""
    out = np.full((len(fit.tau), len(b.families) + 1), -np.inf)
    out[:, 0] = fit.log_evidence
    odds = prior.p_unreliable / (1 - prior.p_unreliable)
    inverse = np.linalg.inv(fit.Sigma)
    for f in range(len(b.families)):
        rows = np.flatnonzero((b.family == f) & (b.side == 0))
        if not len(rows) or prior.p_unreliable == 0:
            continue
        extra = family_shift(b, prior, f)[np.ix_(rows, rows)]
        block = inverse[:, rows[:, None], rows[None, :]]
        inner = np.eye(len(rows)) + extra @ block
        a = fit.alpha[:, rows]
        gain = (a[:, None, :] @ np.linalg.solve(inner, (extra @ a[:, :, None])))[:, 0, 0]
        out[:, f + 1] = fit.log_evidence - 0.5 * (np.linalg.slogdet(inner)[1] - gain)
        out[:, f + 1] += np.log(odds)
    # The prior of at most one unreliable family adds up to one.
    total: FloatArray = out - np.log1p(odds * len(set(b.family)))
    return total


def nearly_linear(market: Market, benchmarks: Benchmarks) -> BoolArray:
    """Return which benchmarks the Laplace approximation can hold.

    Parameters
    ----------
    market : Market
        The panel.
    benchmarks : Benchmarks
        The evidence.

    Returns
    -------
    ndarray of bool, shape (n,)
        Exact figures about one unit. A figure near or below what the panel itself shows is not
        one: it bounds the off-platform volume from above, and its likelihood is flat below.
    """
    b = benchmarks
    one_unit = np.array([len(np.unique(market.unit[w > 0])) == 1 for w in b.w], dtype=bool)
    inside = b.iota * (b.w * market.X[b.week]).sum(axis=1)
    clear = b.flat[b.family] | (inside < _MOSTLY_PANEL * np.exp(b.y - b.off))
    out: BoolArray = one_unit & (b.side == 0) & clear
    return out


def synthesise(
    market: Market,
    benchmarks: Benchmarks,
    *,
    prior: Prior = NEUTRAL,
    weeks: IntArray | None = None,
    n_draws: int = 2000,
    rng: RngLike = None,
) -> Posterior:
    """Estimate the off-platform volume of a population from its benchmarks.

    Parameters
    ----------
    market : Market
        The panel.
    benchmarks : Benchmarks
        The evidence on one population; without any row the draws are those of the prior.
    prior : Prior
        The prior; neutral in direction by default.
    weeks : ndarray of int, optional
        Weeks to be able to evaluate; all by default. Fewer are faster.
    n_draws : int
        Draws returned, at least 200; three times as many are proposed.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    Posterior
        Draws and diagnostics.

    Raises
    ------
    UsageError
        If fewer draws are asked for than a posterior needs.
    NotConverged
        If the mode is not found.
    UnreliablePosterior
        If the importance weights are too heavy-tailed (k-hat above 0.7 or fewer than 200 effective
        draws).

    Notes
    -----
    Not identified: the level of a lab without any benchmark comes from its group and the prior;
    an error common to all disclosures about one country cannot be seen in any diagnostic.
    """
    if n_draws < _MIN_ESS:
        raise UsageError(
            "n_draws",
            got=n_draws,
            rule=f"it must be at least {_MIN_ESS:.0f}, the effective draws that a posterior needs",
            next_step="Leave it at 2000.",
        )
    generator = resolve_rng(rng)
    features = build_features(market, prior)
    weeks = np.arange(len(market.weeks)) if weeks is None else np.asarray(weeks, dtype=np.int64)
    linear = nearly_linear(market, benchmarks)
    core, rest = np.flatnonzero(linear), np.flatnonzero(~linear)
    b = take(benchmarks, np.concatenate([core, rest]))
    nodes, log_weight = hyper_grid(prior)
    b_core = take(benchmarks, core)
    fit = laplace(market, features, b_core, prior, nodes)
    component = _component_evidence(fit, b_core, prior) + log_weight[:, None]
    log_evidence = float(logsumexp(component))
    problem = Problem(
        features=features,
        prior=prior,
        points=build_points(market, features, b),
        b=b,
        n_core=len(core),
        fit=fit,
        weight=np.exp(component - log_evidence),
    )
    draws, k_hat, log_norm, ancestor = draw(
        problem,
        weeks=weeks,
        n_draws=n_draws,
        n_proposals=_PROPOSALS * n_draws,
        n_moves=_MOVES,
        rng=generator,
    )
    Y = market.X[weeks[0]] + off_platform(features, prior, draws, int(weeks[0]))
    R = np.log(Y[:, market.is_china].sum(axis=1) / Y[:, market.is_us].sum(axis=1))
    ess = effective_draws(R, ancestor)
    if k_hat > MAX_K_HAT or ess < _MIN_ESS:
        raise UnreliablePosterior(
            "importance weights",
            got=f"k-hat {k_hat:.2f}, {ess:.0f} effective draws",
            rule=f"k-hat must be at most {MAX_K_HAT}, effective draws at least {_MIN_ESS:.0f}",
            next_step="Raise n_draws; if it persists, look for benchmarks in conflict.",
        )
    return Posterior(
        market=market,
        benchmarks=b,
        prior=prior,
        features=features,
        draws=draws,
        k_hat=k_hat,
        ess=ess,
        log_evidence=log_evidence + log_norm,
    )
