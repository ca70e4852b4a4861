r"""How the benchmarks agree with each other and with the model.

Given the field, the errors e of the exact benchmarks are Gaussian with covariance S, so that each
has a conditional given all the others,

.. math:: e_i \mid e_{-i} \sim N(e_i - [S^{-1}e]_i / [S^{-1}]_{ii},\ 1/[S^{-1}]_{ii}) .

Importance weights proportional to one over that density turn the posterior into the posterior
without row i (Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4).
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from offroute._random import RngLike, spawn_seeds
from offroute._typing import FloatArray, IntArray
from offroute.estimators.draws import MAX_K_HAT
from offroute.estimators.families import LAST, common_rows, draw_prior_states, state_covariance
from offroute.estimators.field import Draws, off_platform
from offroute.estimators.linearise import error_covariance
from offroute.estimators.prior import Prior
from offroute.estimators.psis import pareto_smooth
from offroute.estimators.synthesis import Posterior, synthesise
from offroute.measurement.ledger import Benchmarks, take


@dataclass(frozen=True)
class ConditionalErrors:
    """Errors of the exact rows given those of the others.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Exact rows of the benchmarks.
    residual, sd : ndarray, shape (k, n)
        Residual given the others, and its standard deviation.
    """

    rows: IntArray
    residual: FloatArray
    sd: FloatArray


def conditional_errors(posterior: Posterior) -> ConditionalErrors:
    """Condition the error of each exact benchmark on those of all others, draw by draw.

    The error common to a country's figures is that of the draw: one-sided rows share it.

    Parameters
    ----------
    posterior : Posterior
        Result of the synthesis.

    Returns
    -------
    ConditionalErrors
        For leave-one-out and the reliability of families.
    """
    b, draws, prior = posterior.benchmarks, posterior.draws, replace(posterior.prior, s_cm=0.0)
    rows = np.flatnonzero(b.side == 0)
    exact = take(b, rows)
    error = draws.error[:, rows] - draws.common @ common_rows(exact).T
    residual, sd = np.empty_like(error), np.empty_like(error)
    for omega, state, of in error_settings(draws):
        S = error_covariance(exact, prior, np.array([omega]))[0]
        P = np.linalg.inv(S + state_covariance(exact, prior, omega, state))
        residual[of] = error[of] @ P / np.diag(P)
        sd[of] = 1 / np.sqrt(np.diag(P))
    return ConditionalErrors(rows, residual, sd)


def error_settings(draws: Draws) -> list[tuple[float, IntArray, IntArray]]:
    """Group the draws by what the covariance of the errors depends on.

    Parameters
    ----------
    draws : Draws
        Posterior draws.

    Returns
    -------
    list of (float, ndarray of int, ndarray of int)
        Omega, states of the families, and which draws share them.
    """
    key = np.column_stack([draws.hyper[:, 1], draws.state])
    values, place = np.unique(key, axis=0, return_inverse=True)
    order = np.argsort(place.ravel(), kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(place.ravel()))[:-1])
    return [(float(v[0]), v[1:].astype(np.int64), of) for v, of in zip(values, rows, strict=True)]


def leave_one_out(posterior: Posterior) -> pd.DataFrame:
    """Predict every exact benchmark from all the others.

    Parameters
    ----------
    posterior : Posterior
        Result of the synthesis.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``family``, ``week``, ``z`` (standardised residual), ``pit`` (probability of a
        smaller figure) and ``k_hat`` of the weights (above 0.7 the row should be refitted).
        One-sided rows are left out: they have no residual.
    """
    from scipy.special import ndtr  # noqa: PLC0415 - keeps the import of the package cheap

    b = posterior.benchmarks
    e = conditional_errors(posterior)
    out = []
    for j, i in enumerate(e.rows):
        r, sd = e.residual[:, j], e.sd[:, j]
        weights, k_hat = pareto_smooth(0.5 * (r / sd) ** 2 + np.log(sd))
        mean = weights @ r
        spread = weights @ (sd**2 + (r - mean) ** 2)
        out.append(
            {
                "id": b.ids[i],
                "family": b.families[b.family[i]],
                "week": str(posterior.market.weeks[b.week[i]]),
                "z": float(mean / np.sqrt(spread)),
                "pit": float(weights @ ndtr(r / sd)),
                "k_hat": k_hat,
            }
        )
    return pd.DataFrame(out)


def refit_one_out(
    posterior: Posterior, table: pd.DataFrame, *, n_draws: int = 2000, rng: RngLike = 0
) -> pd.DataFrame:
    """Replace the leave-one-out results whose weights are unreliable by those of a refit.

    Parameters
    ----------
    posterior : Posterior
        Result of the synthesis.
    table : pandas.DataFrame
        As `leave_one_out` returns it.
    n_draws : int
        Draws of each refit.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    pandas.DataFrame
        The table with ``refitted``; items of share tables keep their weighted result, since alone
        they cannot be predicted without the table's multiplier.
    """
    index = {name: i for i, name in enumerate(posterior.benchmarks.ids)}
    weak = table.loc[table["k_hat"] > MAX_K_HAT, "id"]
    exact = hold_out(posterior, {i: np.array([index[i]]) for i in weak}, n_draws=n_draws, rng=rng)
    out = table.set_index("id").assign(refitted=False)
    for _, row in exact.iterrows():
        out.loc[row["id"], ["z", "pit", "refitted"]] = [row["z"], row["pit"], True]
    return out.reset_index()


def family_reliability(posterior: Posterior) -> pd.DataFrame:
    """Posterior probability that each family of absolute figures is unreliable.

    Parameters
    ----------
    posterior : Posterior
        Result of the synthesis.

    Returns
    -------
    pandas.DataFrame
        ``family``, ``rows``, ``p_unreliable``; the prior probability is a field of the prior, and
        families are unreliable independently of each other. A share table has no row here.
    """
    b = posterior.benchmarks
    p = (posterior.draws.state == LAST).mean(axis=0)
    rows = np.bincount(b.family, minlength=len(b.families))
    table = pd.DataFrame({"family": b.families, "rows": rows, "p_unreliable": p})
    return table[~b.flat & (rows > 0)].reset_index(drop=True)


def lab_shrinkage(posterior: Posterior, prior_draws: Posterior, week: int) -> pd.DataFrame:
    r"""How much the evidence narrowed each unit's log volume: contraction 1 - Var(post)/Var(prior).

    Parameters
    ----------
    posterior : Posterior
        Result of the synthesis.
    prior_draws : Posterior
        The same market and prior without benchmarks.
    week : int
        Index of a week that both can be evaluated in.

    Returns
    -------
    pandas.DataFrame
        ``lab``, ``rows`` (benchmarks about that lab alone), ``contraction``; a lab without rows
        and below 0.3 is driven by the prior.
    """
    market, b = posterior.market, posterior.benchmarks

    def _log_labs(p: Posterior) -> FloatArray:
        D = off_platform(p.features, p.prior, p.draws, week)
        labs = np.array(market.labs)
        names = list(dict.fromkeys(market.labs))
        return np.asarray(np.log([D[:, labs == n].sum(axis=1) for n in names]).T)

    names = list(dict.fromkeys(market.labs))
    labs = np.array(market.labs)
    alone = [set(labs[w > 0]) for w in b.w]
    contraction = 1 - _log_labs(posterior).var(axis=0) / _log_labs(prior_draws).var(axis=0)
    return pd.DataFrame(
        {
            "lab": names,
            "rows": [sum(covered == {n} for covered in alone) for n in names],
            "contraction": contraction,
        }
    )


def predict_rows(
    posterior: Posterior, held_out: Benchmarks, prior: Prior, rng: np.random.Generator
) -> FloatArray:
    """Draw predictions of benchmarks that the posterior has not seen.

    Parameters
    ----------
    posterior : Posterior
        Fit without them, with draws for their weeks.
    held_out : Benchmarks
        The benchmarks to predict, with the same families as the fitted ones.
    prior : Prior
        Scales of the errors.
    rng : Generator
        Randomness.

    Returns
    -------
    ndarray, shape (k, m)
        Draws of log figures, errors and shared biases included; biases that the rows share with
        fitted ones are drawn given the latter's errors, and so are the states of their families. A
        family without fitted rows has a state drawn from the prior.
    """
    market, draws, b = posterior.market, posterior.draws, posterior.benchmarks
    k, n = len(draws.error), len(b)
    joint = take(_stack(b, held_out), np.arange(n + len(held_out)))
    exact = np.flatnonzero(np.append(b.side == 0, np.ones(len(held_out), dtype=bool)))
    seen, new = exact[exact < n], exact[exact >= n]
    out = np.empty((k, len(held_out)))
    for j in range(len(held_out)):
        D = off_platform(posterior.features, posterior.prior, draws, int(held_out.week[j]))
        inside = held_out.iota[j] * market.X[held_out.week[j]]
        out[:, j] = np.log((D + inside) @ held_out.w[j]) + held_out.off[j]
    out += draws.common @ common_rows(held_out).T
    error = draws.error - draws.common @ common_rows(b).T
    own = replace(prior, s_cm=0.0)
    fitted = np.isin(np.arange(len(b.families)), b.family[b.side == 0])
    state = np.where(fitted, draws.state, draw_prior_states(b, prior, k, rng))
    for omega, of_family, of in error_settings(replace(draws, state=state)):
        S = error_covariance(joint, own, np.array([omega]))[0]
        S += state_covariance(joint, own, omega, of_family)
        if len(seen):
            gain = np.linalg.solve(S[np.ix_(seen, seen)], S[np.ix_(seen, new)]).T
        else:
            gain = np.zeros((len(new), 0))
        root = np.linalg.cholesky(S[np.ix_(new, new)] - gain @ S[np.ix_(seen, new)])
        noise = rng.standard_normal((len(of), len(new))) @ root.T
        out[of] += error[np.ix_(of, seen)] @ gain.T + noise
    return out


def _stack(b: Benchmarks, more: Benchmarks) -> Benchmarks:
    """Put two sets of benchmarks with the same families under each other."""
    joined = {
        name: np.concatenate([getattr(b, name), getattr(more, name)])
        for name in ("family", "week", "y", "s", "off", "q", "iota", "w", "origin", "side")
    }
    return Benchmarks(
        population=b.population,
        ids=b.ids + more.ids,
        families=b.families,
        flat=b.flat,
        left_out=b.left_out,
        **joined,
    )


def hold_out(
    posterior: Posterior, groups: dict[str, IntArray], *, n_draws: int = 1000, rng: RngLike = 0
) -> pd.DataFrame:
    """Refit without groups of benchmarks and predict them.

    Parameters
    ----------
    posterior : Posterior
        Fit with all benchmarks; only its inputs are used.
    groups : dict of str to ndarray of int
        Rows of `posterior.benchmarks` to leave out together, by name.
    n_draws : int
        Draws of each refit.
    rng : int, Generator, SeedSequence or None
        Randomness, spawned per group.

    Returns
    -------
    pandas.DataFrame
        One row per predicted exact benchmark of absolute size: ``group``, ``id``, ``family``,
        ``z``, ``pit``, ``inside_50``, ``inside_90``. The items of a share table need at least one
        other item of the table to be predicted and are left out here.
    """
    b = posterior.benchmarks
    out = []
    for (name, rows), seed in zip(groups.items(), spawn_seeds(rng, len(groups)), strict=True):
        kept = np.setdiff1d(np.arange(len(b)), rows)
        target = np.array([i for i in rows if b.side[i] == 0 and not b.flat[b.family[i]]])
        if not len(target):
            continue
        generator = np.random.default_rng(seed)
        fit = synthesise(
            posterior.market,
            take(b, kept),
            prior=posterior.prior,
            weeks=np.unique(b.week[target]),
            n_draws=n_draws,
            rng=generator,
        )
        y = predict_rows(fit, take(b, target), posterior.prior, generator)
        for j, i in enumerate(target):
            pit = float((y[:, j] < b.y[i]).mean())
            out.append(
                {
                    "group": name,
                    "id": b.ids[i],
                    "family": b.families[b.family[i]],
                    "z": float((b.y[i] - y[:, j].mean()) / y[:, j].std()),
                    "pit": pit,
                    **{f"inside_{k}": abs(pit - 0.5) < k / 200 for k in (50, 90)},
                }
            )
    return pd.DataFrame(out)


def families_of(b: Benchmarks) -> dict[str, IntArray]:
    """Rows of each family that has any, by name.

    Parameters
    ----------
    b : Benchmarks
        The benchmarks.

    Returns
    -------
    dict of str to ndarray of int
        For `hold_out`.
    """
    return {
        name: np.flatnonzero(b.family == f)
        for f, name in enumerate(b.families)
        if (b.family == f).any()
    }
