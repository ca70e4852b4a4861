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
from offroute._typing import BoolArray, IntArray
from offroute.estimators.components import Problem
from offroute.estimators.draws import MAX_K_HAT, draw
from offroute.estimators.families import log_first_states
from offroute.estimators.field import Draws, effective_draws, off_platform
from offroute.estimators.gaussian_system import Features, build_features
from offroute.estimators.placement import place_components
from offroute.estimators.points import build_points
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.exceptions import UnreliablePosterior, UsageError
from offroute.measurement.ledger import Benchmarks, take
from offroute.measurement.market import Market

_PROPOSALS = 2
_MIN_ESS = 200.0


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
        Log density of the benchmarks: Laplace, corrected by sequential Monte Carlo.
    """

    market: Market
    benchmarks: Benchmarks
    prior: Prior
    features: Features
    draws: Draws
    k_hat: float
    ess: float
    log_evidence: float


def about_one_unit(market: Market, b: Benchmarks) -> BoolArray:
    """Return which benchmarks are exact figures about one unit.

    Parameters
    ----------
    market : Market
        The panel.
    b : Benchmarks
        The evidence.

    Returns
    -------
    ndarray of bool, shape (n,)
        False for sums over units and for one-sided rows.
    """
    one = np.array([len(np.unique(market.unit[w > 0])) == 1 for w in b.w], dtype=bool)
    out: BoolArray = one & (b.side == 0)
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
        Draws returned, at least 200; twice as many are proposed.
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
    alone = about_one_unit(market, benchmarks)
    b = take(benchmarks, np.concatenate([np.flatnonzero(alone), np.flatnonzero(~alone)]))
    exact = take(b, np.flatnonzero(b.side == 0))
    fit, log_weight, certain = place_components(market, features, exact, prior)
    problem = Problem(
        features=features,
        prior=prior,
        points=build_points(market, features, b),
        b=b,
        fit=fit,
        certain=certain,
        settled=np.unique(np.concatenate(certain)),
        log_weight=log_weight,
    )
    draws, k_hat, log_norm, ancestor = draw(
        problem, weeks=weeks, n_draws=n_draws, n_proposals=_PROPOSALS * n_draws, rng=generator
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
        log_evidence=float(logsumexp(log_weight)) + log_norm + log_first_states(exact, prior),
    )
