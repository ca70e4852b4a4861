r"""Which mechanism moves the ratio by how much, from the press's chart to the corrected market.

With the panel's volume V of a unit in the week, the naive ratio is that of the totals
:math:`V_l (1 + e^{b})` with one b for all. Mechanisms switch on the parts of the model's
:math:`\log D_l = \log V'_l + u_l`: effects of closed weights and of Chinese origin, differences
between labs, surges of the panel that do not happen elsewhere, labs that it hardly shows, drift.
"""

import numpy as np
import pandas as pd

from offroute._typing import FloatArray
from offroute.estimators.gaussian_system import sum_units
from offroute.estimators.linearise import company_kernel
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import UnknownWeek
from offroute.inference.waterfall import Waterfall, waterfall
from offroute.measurement.market import GROUPS

CHART = "more than the chart's nine models"
REST = "the unnamed rest"
CLOSED = "closed weights bypass the panel"
CHINA = "Chinese origin"
LABS = "differences between labs"
SURGES = "panel surges not seen elsewhere"
HARDLY = "labs the panel hardly shows"
DRIFT = "drift of coverage"
MECHANISMS = (CHART, REST, CLOSED, CHINA, LABS, SURGES, HARDLY, DRIFT)


def mechanism_steps(
    posterior: Posterior, week: int, audit: pd.DataFrame, *, level: float = 0.9
) -> Waterfall:
    """Split the way of log(China / US) from the press's chart to the corrected market.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    week : int
        Index of a week that it can be evaluated in.
    audit : pandas.DataFrame
        As `offroute.measurement.audit.audit_weeks` returns it, for the chart's own figures; in
        weeks known by lab only there is no chart, and the way begins with all named models.
    level : float
        Probability of the intervals.

    Returns
    -------
    Waterfall
        Order-averaged steps, draw by draw; they add up to the corrected log ratio exactly.

    Raises
    ------
    UnknownWeek
        If the draws cannot be evaluated in the week.

    Notes
    -----
    A description of the model, not a causal statement. The effects that make up the level of a
    unit are the prior's own regression of the drawn level on openness and origin; what they leave
    is the lab's.
    """
    market, f, prior, draws = posterior.market, posterior.features, posterior.prior, posterior.draws
    found = np.flatnonzero(draws.weeks == week)
    if not len(found):
        raise UnknownWeek(
            "week",
            got=week,
            rule="the draws must have been made for it",
            next_step="Ask for the week when the posterior is drawn.",
        )
    effect = _effects(posterior)
    drift = draws.walk[:, :, int(found[0])]
    X = sum_units(f, market.X[week])
    anchor = sum_units(f, market.Xs[market.anchor])
    with np.errstate(divide="ignore"):
        now, model = np.log(X), np.log(anchor) + draws.beta * f.rise[week]
    hardly = prior.quiet * X.sum() > X
    china = np.array([GROUPS[g].startswith("China") for g in f.group])
    us = np.array([GROUPS[g].startswith("US") for g in f.group])
    row = audit.set_index("week_start").loc[pd.Timestamp(str(market.weeks[week]))]
    full = float(np.log(X[china].sum() / X[us].sum()))
    named = float(np.log(row["china"] / row["us"]))
    chart = named
    names = [m for m in MECHANISMS if m != CHART]
    if np.isfinite(row["top_us"]) and row["top_us"] > 0:
        chart, names = float(np.log(row["top_china"] / row["top_us"])), list(MECHANISMS)

    def _corrected(on: frozenset[str]) -> FloatArray:
        u = effect["level"] + sum(
            (effect[name] for name in (CLOSED, CHINA, LABS) if name in on),
            start=np.zeros((1, len(f.group))),
        )
        if DRIFT in on:
            u = u + drift
        moved = np.where(hardly, HARDLY in on, SURGES in on)
        volume = np.where(moved, model, now)
        Y = X + np.exp(volume + u)
        R = np.log(Y[:, china].sum(axis=1) / Y[:, us].sum(axis=1))
        out: FloatArray = (
            R - (named - chart) * (CHART not in on) - (full - named) * (REST not in on)
        )
        return out

    return waterfall(names, _corrected, level=level)


def _effects(posterior: Posterior) -> dict[str, FloatArray]:
    """Parts of each unit's constant log odds, (k, U): a common level, effects, and the rest."""
    market, f, prior, draws = posterior.market, posterior.features, posterior.prior, posterior.draws
    closed = np.array([GROUPS[g].endswith("closed") for g in f.group], dtype=np.float64)
    china = np.array([GROUPS[g].startswith("China") for g in f.group], dtype=np.float64)
    prior_u = f.mu[market.anchor] - np.log(sum_units(f, market.Xs[market.anchor]))
    level = prior.b_0 + prior.b_closed * closed
    origin = float(((prior_u - level) * china).sum() / max(china.sum(), 1.0))
    coefficients = np.empty((len(draws.base), 3))
    for tau in np.unique(draws.hyper[:, 0]):
        of = np.flatnonzero(draws.hyper[:, 0] == tau)
        K = company_kernel(f, np.array([tau]))[0]
        coefficients[of] = draws.base[of] @ np.linalg.pinv(K, hermitian=True) @ f.fixed[:, :3]
    parts = coefficients[:, None, :] * f.fixed[None, :, :3]
    return {
        "level": prior.b_0 + parts[:, :, 0],
        CLOSED: prior.b_closed * closed + parts[:, :, 1],
        CHINA: origin * china + parts[:, :, 2],
        LABS: draws.base - parts.sum(axis=2),
    }
