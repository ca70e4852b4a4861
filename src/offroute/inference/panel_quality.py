"""How good the panel's share is week by week, judged by the corrected market and its error."""

import numpy as np
import pandas as pd
from scipy.special import ndtri

from offroute._typing import FloatArray
from offroute.estimators.synthesis import Posterior
from offroute.inference.defect import defect_series
from offroute.inference.paths import volume_paths
from offroute.inference.shares import Volumes
from offroute.inference.unadjusted_bias import PHI, mubp, proxy_from_moments, smub


def weekly_defect(posterior: Posterior, *, level: float = 0.9) -> pd.DataFrame:
    """Tabulate the data defect of China's share among China and the US, week by week.

    Parameters
    ----------
    posterior : Posterior
        The fit, with draws in the weeks wanted; its draws are the benchmark, so that their spread
        is the benchmark's error.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``week_start``, ``panel_share``; ``ddc``, the data defect correlation, and ``n_eff``, the
        random sample of tokens with the panel's squared error, with ``_low`` and ``_high``;
        ``coverage``, the median part of the two countries' tokens that the panel shows.
    """
    market, weeks = posterior.market, posterior.draws.weeks
    member = np.array([market.is_china, market.is_us], dtype=np.float64)
    Y = volume_paths(posterior, member)
    X = market.X[weeks] @ member.T
    share = Y[:, :, 0] / Y.sum(axis=2)
    coverage = X.sum(axis=1) / Y.sum(axis=2)
    panel = X[:, 0] / X.sum(axis=1)
    found = defect_series(panel, share, coverage, level=level)
    return pd.DataFrame(
        {
            "week_start": market.weeks[weeks].astype("datetime64[us]"),
            "panel_share": panel,
            "ddc": found.correlation,
            "ddc_low": found.correlation_low,
            "ddc_high": found.correlation_high,
            "n_eff": found.effective_size,
            "n_eff_low": found.effective_low,
            "n_eff_high": found.effective_high,
            "coverage": np.median(coverage, axis=0),
        }
    )


def price_proxy_bias(v: Volumes, price: FloatArray) -> pd.DataFrame:
    r"""Bias of China's share that its relation to price would explain, and what selection adds.

    A token is the unit, being of a Chinese model the outcome, and the log price of its cell the
    auxiliary variable, whose mean in the market comes from the posterior.

    Parameters
    ----------
    v : Volumes
        The week; stealth is left out.
    price : ndarray, shape (C,)
        USD per token of the cells.

    Returns
    -------
    pandas.DataFrame
        ``phi`` (0: selection on price alone, 1: on the outcome alone), ``smub`` in standard
        deviations of the outcome, ``smub_share`` and ``mubp`` as shares: the panel's share less
        that of the market; and ``posterior``, what the corrected market says of it.

    Raises
    ------
    NotIdentified
        If price and origin are unrelated on the panel.

    Notes
    -----
    SMUB and MUBP (Little et al. 2020, doi:10.1093/jssam/smz023; Andridge et al. 2019,
    doi:10.1111/rssc.12371) need the market's mean price, which only the model knows here: they say
    how much of its correction goes through price, and are no evidence of their own.
    """
    X, Y = v.X[:-1], v.Y[:, :-1]
    china = (v.labels["origin"].to_numpy()[:-1] == "China").astype(np.float64)
    z = np.log(price)
    w = X / X.sum()
    mean = np.array([w @ china, w @ z])
    centred = np.column_stack([china, z]) - mean
    covariance = (centred * w[:, None]).T @ centred
    market = np.median(Y @ z / Y.sum(axis=1))
    proxy = proxy_from_moments(mean, covariance, np.array([market]))
    slope = covariance[0, 1] / covariance[1, 1]
    standard = smub(proxy)
    fraction = float(np.median(X.sum() / Y.sum(axis=1)))
    rest = np.median(Y, axis=0) - X
    u = rest / rest.sum()
    hidden = float(u @ (slope * z))
    spread = float(u @ (slope * z - hidden) ** 2)
    p = float(mean[0])
    density = np.exp(-0.5 * ndtri(p) ** 2) / np.sqrt(2 * np.pi)
    biserial = min(proxy.correlation * np.sqrt(p * (1 - p)) / density, 1.0)
    proportion = mubp(
        p,
        float(biserial),
        selected=(proxy.sample_mean, proxy.sample_sd**2),
        not_selected=(hidden, spread),
        fraction=fraction,
    )
    share = float(np.median(Y @ china / Y.sum(axis=1)))
    return pd.DataFrame(
        {
            "phi": PHI,
            "smub": standard.bias,
            "smub_share": standard.bias * proxy.outcome_sd,
            "mubp": proportion.bias,
            "posterior": p - share,
        }
    )
