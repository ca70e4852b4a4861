"""Prior and posterior of the parameters that decide most: pass-through and scales."""

import numpy as np
import pandas as pd
from scipy.special import ndtri

from offroute.estimators.synthesis import Posterior
from offroute.measurement.market import GROUPS


def parameter_table(posterior: Posterior, *, level: float = 0.9) -> pd.DataFrame:
    """Set prior and posterior of the main parameters side by side.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``parameter``; ``prior`` and ``posterior`` median, each with ``_low`` and ``_high``: the
        pass-through of each group (mean over its labs), and the scales tau (labs), omega (families)
        and s_rw (walk), whose draws take the values of a few nodes.
    """
    prior, draws, f = posterior.prior, posterior.draws, posterior.features
    at = np.array([0.5 - level / 2, 0.5, 0.5 + level / 2])
    rows: list[list[object]] = []
    for g, name in enumerate(GROUPS):
        of = f.group == g
        if not of.any():
            continue
        sd = np.sqrt(
            prior.beta_sd**2 + prior.beta_group_sd**2 + prior.beta_unit_sd**2 / int(of.sum())
        )
        before = prior.beta + sd * ndtri(at)
        after = np.quantile(draws.beta[:, of].mean(axis=1), at)
        rows.append([f"pass-through of {name}", *before, *after])
    for j, (name, scale) in enumerate(
        (("tau", prior.tau), ("omega", prior.omega), ("s_rw", prior.s_rw))
    ):
        before = scale * ndtri(0.5 + at / 2)
        after = np.quantile(draws.hyper[:, j], at)
        rows.append([name, *before, *after])
    columns = ["parameter", "prior_low", "prior", "prior_high"]
    columns += ["posterior_low", "posterior", "posterior_high"]
    return pd.DataFrame(rows, columns=columns)
