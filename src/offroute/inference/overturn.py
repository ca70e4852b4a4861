"""What could overturn the answer of one week, asked of its posterior."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from offroute._typing import FloatArray
from offroute.estimators.families import state_covariance
from offroute.estimators.linearise import company_kernel, error_covariance
from offroute.estimators.synthesis import Posterior, synthesise
from offroute.inference.diagnostics import error_settings
from offroute.inference.power_scaling import PowerScaling, power_scaling
from offroute.inference.scenarios import shifted
from offroute.inference.sensitivity import Contour, Robustness, contour, robustness
from offroute.inference.shares import Volumes, volumes
from offroute.measurement.ledger import take

#: Factors of the contour: a quarter to four times the estimate.
FACTORS = np.exp2(np.linspace(-2, 2, 33))
_RANK = 1e-10


def log_ratio(v: Volumes, *, against: str = "US") -> FloatArray:
    """Draws of the log ratio of China to the US, or to the closed US models.

    Parameters
    ----------
    v : Volumes
        The week.
    against : {'US', 'US closed'}
        The other side.

    Returns
    -------
    ndarray, shape (k,)
        Log ratio.
    """
    china = (v.labels["origin"] == "China").to_numpy()
    us = (v.labels["origin" if against == "US" else "group"] == against).to_numpy()
    out: FloatArray = np.log(v.Y[:, china].sum(axis=1) / v.Y[:, us].sum(axis=1))
    return out


def contour_of(v: Volumes, *, factors: FloatArray = FACTORS) -> Contour:
    """Scale what the panel does not see of China and of the closed US models, and see who leads.

    Parameters
    ----------
    v : Volumes
        The week.
    factors : ndarray, shape (m,)
        Factors on either; 1 is the estimate.

    Returns
    -------
    Contour
        Group a is China, whose off-platform volume is its denominator; b is the US, whose closed
        models are under-sampled by more or less than estimated.
    """
    china = (v.labels["origin"] == "China").to_numpy()
    closed = (v.labels["group"] == "US closed").to_numpy()
    opened = (v.labels["group"] == "US open").to_numpy()
    k = len(v.Y)
    kept_b = v.Y[:, opened].sum(axis=1) + v.X[closed].sum()
    return contour(
        (np.full(k, v.X[china].sum()), v.Y[:, china].sum(axis=1) - v.X[china].sum()),
        (kept_b, v.Y[:, closed].sum(axis=1) - v.X[closed].sum()),
        factor_a=factors,
        factor_b=factors,
    )


def contour_frame(found: Contour) -> pd.DataFrame:
    """Return a contour as a tidy frame.

    Parameters
    ----------
    found : Contour
        As of `contour_of`.

    Returns
    -------
    pandas.DataFrame
        ``factor_china``, ``factor_us_closed``, ``ratio``, ``p_china_leads``, and ``flip``, the
        factor on the closed US models at which the order flips for that factor on China.
    """
    a, b = np.meshgrid(found.factor_a, found.factor_b, indexing="ij")
    return pd.DataFrame(
        {
            "factor_china": a.ravel(),
            "factor_us_closed": b.ravel(),
            "ratio": np.exp(found.log_ratio).ravel(),
            "p_china_leads": found.probability.ravel(),
            "flip": np.repeat(found.flip, len(found.factor_b)),
        }
    )


@dataclass(frozen=True)
class Overturn:
    """How far the order of China and the US stands further bias, and what the prior does to it.

    Attributes
    ----------
    robustness : Robustness
        Extra error common to all US disclosures after which China leads with probability .05, .5
        and .95; in logs and in standard deviations of the common mode.
    response : float
        Change of E log ratio per unit of such an error, from a refit.
    prior_pull : float
        Shift of E log ratio when the prior sd of the closed and China effects doubles.
    prior_pull_sd : float
        The same in posterior standard deviations.
    power : dict of str to PowerScaling
        Sensitivity of the log ratio to the power of each part of the prior: level, pass-through.
    """

    robustness: Robustness
    response: float
    prior_pull: float
    prior_pull_sd: float
    power: dict[str, PowerScaling]


def overturn(posterior: Posterior, week: int, *, n_draws: int = 1000, seed: int = 0) -> Overturn:
    """Refit under a common error of US disclosures and under a wider prior, and scale by powers.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    week : int
        Index of a week that it can be evaluated in.
    n_draws : int
        Draws of each refit.
    seed : int
        Seed of the refits and of the fit that they are compared with.

    Returns
    -------
    Overturn
        Robustness, prior-pull and power-scaling.

    Raises
    ------
    UnreliablePosterior
        If a refit fails.
    """
    prior, b = posterior.prior, posterior.benchmarks
    wide = replace(prior, b_closed_sd=2 * prior.b_closed_sd, b_china_sd=2 * prior.b_china_sd)
    means = []
    for evidence, scales in ((b, prior), (shifted(b, 0.5), prior), (b, wide)):
        fit = synthesise(
            posterior.market,
            evidence,
            prior=scales,
            weeks=np.array([week]),
            n_draws=n_draws,
            rng=seed,
        )
        means.append(float(log_ratio(volumes(fit, week)).mean()))
    R = log_ratio(volumes(posterior, week))
    response = (means[1] - means[0]) / np.log(2)
    pull = means[2] - means[0]
    likelihood = log_likelihood(posterior)
    return Overturn(
        robustness=robustness(R, bias_sd=prior.s_cm, response=response),
        response=float(response),
        prior_pull=pull,
        prior_pull_sd=float(pull / R.std()),
        power={
            name: power_scaling(R, density, likelihood)
            for name, density in log_priors(posterior).items()
        },
    )


def log_likelihood(posterior: Posterior) -> FloatArray:
    """Log density of the exact benchmarks at each draw, given which families are unreliable.

    Parameters
    ----------
    posterior : Posterior
        The fit.

    Returns
    -------
    ndarray, shape (k,)
        Up to a constant; one-sided rows, which only bound, are left out.
    """
    b, draws, prior = posterior.benchmarks, posterior.draws, posterior.prior
    rows = np.flatnonzero(b.side == 0)
    exact, error = take(b, rows), draws.error[:, rows]
    out: FloatArray = np.empty(len(error))
    for omega, state, of in error_settings(draws):
        S = error_covariance(exact, prior, np.array([omega]))[0]
        out[of] = _normal(error[of], S + state_covariance(exact, prior, omega, state))
    return out


def log_priors(posterior: Posterior) -> dict[str, FloatArray]:
    r"""Log prior density of parts of each draw, as far as power-scaling needs it.

    Levels of units are :math:`u = F z + v`, with standard normal effects z (common level, openness,
    origin, groups) and a part of each lab, :math:`v \sim N(0, \tau^2 S)`. The prior is what stands
    at the top, z and :math:`\tau`. How labs spread is the model: the power of that density, which
    holds :math:`\tau` to the minus number of labs, would act as a pull on :math:`\tau`. Draws hold
    u alone, and

    .. math:: \frac{\partial}{\partial\alpha} \log \int p(u \mid z) p(z)^\alpha dz
       \Big|_{\alpha=1} = E[\log p(z) \mid u].

    Parameters
    ----------
    posterior : Posterior
        The fit.

    Returns
    -------
    dict of str to ndarray, shape (k,)
        ``level`` (that expectation, and the log density of :math:`\tau`) and ``pass-through``, each
        up to a constant.
    """
    f, prior, draws = posterior.features, posterior.prior, posterior.draws
    level = np.empty(len(draws.base))
    for tau in np.unique(draws.hyper[:, 0]):
        of = np.flatnonzero(draws.hyper[:, 0] == tau)
        K = company_kernel(f, np.array([tau]))[0]
        back = np.linalg.pinv(K, hermitian=True) @ f.fixed
        spread = f.fixed.shape[1] - np.trace(f.fixed.T @ back)
        square = ((draws.base[of] @ back) ** 2).sum(axis=1) + spread
        level[of] = -0.5 * (square + (tau / prior.tau) ** 2)
    same = f.group[:, None] == f.group[None, :]
    B = prior.beta_sd**2 + prior.beta_group_sd**2 * same
    B = B + prior.beta_unit_sd**2 * np.eye(len(same))
    return {"level": level, "pass-through": _normal(draws.beta - prior.beta, B)}


def _normal(x: FloatArray, V: FloatArray) -> FloatArray:
    """Log density of rows of x under N(0, V) on the range of V, up to a constant."""
    values, vectors = np.linalg.eigh(V)
    keep = values > _RANK * values.max()
    z = x @ vectors[:, keep]
    out: FloatArray = -0.5 * ((z**2 / values[keep]).sum(axis=1) + np.log(values[keep]).sum())
    return out
