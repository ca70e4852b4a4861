r"""Simulation-based calibration: parameters from the prior, figures from the model, ranks back.

If draws of :math:`\theta` from the prior, figures :math:`y \mid \theta` from the model and
posterior draws given :math:`y` all come from the same joint distribution, the rank of the true
value among its posterior draws is uniform (Talts et al. 2018, arXiv:1804.06788).
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import kstest

from offroute._random import RngLike, resolve_rng
from offroute._typing import FloatArray, IntArray
from offroute.data.simulate import log_ratio
from offroute.estimators.families import common_rows, draw_prior_states, state_covariance
from offroute.estimators.field import Draws, off_platform
from offroute.estimators.gaussian_system import build_features
from offroute.estimators.linearise import error_covariance
from offroute.estimators.points import prior_field
from offroute.estimators.prior import Prior
from offroute.estimators.synthesis import synthesise
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import Market


def draw_prior(market: Market, *, prior: Prior, weeks: IntArray, rng: RngLike = None) -> Draws:
    """Draw one set of coefficients from the prior.

    Parameters
    ----------
    market : Market
        The panel.
    prior : Prior
        The prior.
    weeks : ndarray of int
        Weeks in which the draw can be evaluated.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    Draws
        One draw, without errors of benchmarks.
    """
    generator = resolve_rng(rng)
    features = build_features(market, prior)
    scales = np.array([prior.tau, prior.omega, prior.s_rw])
    hyper = scales * np.abs(generator.standard_normal(3))
    dates = np.unique(weeks)
    base, beta, walk = prior_field(
        features, prior, (float(hyper[0]), float(hyper[2])), dates, 1, generator
    )
    xi = generator.standard_normal((1, features.split.shape[1])) @ features.split.T
    return Draws(
        base=base,
        xi=xi,
        beta=beta + prior.beta,
        walk=walk,
        weeks=dates,
        hyper=hyper[None],
        error=np.empty((1, 0)),
        common=prior.s_cm * generator.standard_normal((1, 2)),
        state=np.empty((1, 0), dtype=np.int64),
    )


def predict_benchmarks(
    market: Market, b: Benchmarks, truth: Draws, *, prior: Prior, rng: RngLike = None
) -> Benchmarks:
    """Replace the figures by draws from the model given one set of coefficients.

    Parameters
    ----------
    market : Market
        The panel.
    b : Benchmarks
        What is published, about what, how well; a one-sided row keeps its threshold, and on which
        side of it the truth falls is drawn.
    truth : Draws
        One draw that can be evaluated in the weeks of `b`.
    prior : Prior
        The prior.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    Benchmarks
        The same rows with new figures.
    """
    generator = resolve_rng(rng)
    features = build_features(market, prior)
    h = np.empty(len(b))
    for week in np.unique(b.week):
        D = off_platform(features, prior, truth, int(week))[0]
        rows = b.week == week
        inside = D[None] + b.iota[rows, None] * market.X[week]
        h[rows] = np.log((b.w[rows] * inside).sum(axis=1))
    omega = truth.hyper[0, 1]
    S = error_covariance(b, replace(prior, s_cm=0.0), np.array([omega]))[0]
    exact = b.side == 0
    state = draw_prior_states(b, prior, 1, generator)[0]
    S += state_covariance(b, prior, omega, state) * np.outer(exact, exact)
    error = np.linalg.cholesky(S) @ generator.standard_normal(len(b))
    error += common_rows(b) @ truth.common[0]
    y = np.where(exact, b.off + h + error, b.y)
    above = np.where(b.off + h + error > b.y, 1, -1)
    return replace(b, y=y, side=np.where(exact, 0, above))


def functionals(
    market: Market, draws: Draws, *, prior: Prior, weeks: IntArray
) -> dict[str, FloatArray]:
    """Evaluate what is ranked: ratio and share of China, US total, ratio in dollars.

    Parameters
    ----------
    market : Market
        The panel.
    draws : Draws
        Prior or posterior draws.
    prior : Prior
        The prior.
    weeks : ndarray of int
        Weeks; the last one has all quantities, the others the ratio.

    Returns
    -------
    dict of str to ndarray, shape (k,)
        Draws of each quantity.
    """
    features = build_features(market, prior)
    out = {}
    for week in weeks:
        Y = market.X[week] + off_platform(features, prior, draws, int(week))
        out[f"log_ratio week {week}"] = log_ratio(Y, market.groups)
    out["china_share"] = Y[:, market.is_china].sum(axis=1) / Y.sum(axis=1)
    out["log_us_total"] = np.log(Y[:, market.is_us].sum(axis=1))
    out["log_ratio_usd"] = log_ratio(Y * market.price[weeks[-1]], market.groups)
    return out


def calibration_ranks(
    market: Market,
    b: Benchmarks,
    *,
    prior: Prior,
    weeks: IntArray,
    n_draws: int = 1000,
    rng: RngLike = None,
) -> pd.DataFrame:
    """Draw from the prior, simulate the figures, fit, and rank the truth.

    Parameters
    ----------
    market : Market
        The panel.
    b : Benchmarks
        The rows whose figures are replaced.
    prior : Prior
        The prior.
    weeks : ndarray of int
        Weeks of the functionals, sorted.
    n_draws : int
        Posterior draws.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    pandas.DataFrame
        ``quantity``, ``rank`` in (0, 1), ``truth``, ``mean``, ``sd``, ``k_hat``, ``ess``.

    Raises
    ------
    NotConverged, UnreliablePosterior
        As the synthesis raises them.
    """
    generator = resolve_rng(rng)
    dates = np.unique(np.concatenate([weeks, b.week]))
    truth = draw_prior(market, prior=prior, weeks=dates, rng=generator)
    simulated = predict_benchmarks(market, b, truth, prior=prior, rng=generator)
    posterior = synthesise(
        market, simulated, prior=prior, weeks=weeks, n_draws=n_draws, rng=generator
    )
    true = functionals(market, truth, prior=prior, weeks=weeks)
    drawn = functionals(market, posterior.draws, prior=prior, weeks=weeks)
    return pd.DataFrame(
        [
            {
                "quantity": name,
                # Half a draw at both ends, and ties cannot happen.
                "rank": float(((values < true[name][0]).sum() + 0.5) / (n_draws + 1)),
                "truth": float(true[name][0]),
                "mean": float(values.mean()),
                "sd": float(values.std()),
                "k_hat": posterior.k_hat,
                "ess": posterior.ess,
            }
            for name, values in drawn.items()
        ]
    )


def summarise_ranks(rows: pd.DataFrame) -> pd.DataFrame:
    """Test the ranks for uniformity and count what central intervals cover.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of `calibration_ranks` of many draws.

    Returns
    -------
    pandas.DataFrame
        One row per quantity: ``draws``, ``mean_rank``, ``ks_p`` (Kolmogorov-Smirnov), coverage of
        the 50, 80, 90 and 95 % intervals and its Monte Carlo error at 90 %.
    """
    out = []
    for name, block in rows.groupby("quantity", sort=False):
        u = block["rank"].to_numpy()
        row = {
            "quantity": name,
            "draws": len(u),
            "mean_rank": u.mean(),
            "ks_p": float(kstest(u, "uniform").pvalue),
        }
        for level in (0.50, 0.80, 0.90, 0.95):
            row[f"coverage_{100 * level:.0f}"] = (np.abs(u - 0.5) <= level / 2).mean()
        row["se_90"] = np.sqrt(row["coverage_90"] * (1 - row["coverage_90"]) / len(u))
        out.append(row)
    return pd.DataFrame(out)
