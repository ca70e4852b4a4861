r"""Direct purchase (C1): how much of each lab's volume the panel sees, and what says so.

.. math:: \pi_l = X_l / Y_l, \qquad \log Y_l = \log(X_l + D_l),

with the posterior of D_l from the lab's own figures and, by partial pooling, from the labs of its
group. A lab without any figure has the coverage of its group, with the spread between labs.
"""

import numpy as np
import pandas as pd

from offroute._typing import BoolArray, FloatArray
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import NotIdentified
from offroute.inference.mechanisms.counterfactual import (
    china_over_us,
    direction_of,
    pool_coverage,
    triple,
)
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes, sum_classes

#: A lab whose log volume is known this much better than before any figure is not prior-driven.
_INFORMED = 0.3
#: Sources and contraction that make the evidence moderate.
_SOURCES, _WELL_INFORMED = 2, 0.75


def coverage_by_lab(posterior: Posterior, v: Volumes, *, level: float = 0.9) -> pd.DataFrame:
    r"""Tabulate the coverage of every lab with the figures behind it.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    v : Volumes
        Its volumes in one week.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``lab``, ``origin``, ``panel`` (tokens a week), ``coverage`` with ``low``, ``high``
        (fraction of the lab's tokens that the panel sees), ``own`` (figures about this lab alone),
        ``shared`` (figures that hold it with others), ``families`` (sources of its own figures),
        ``contraction`` (1 less the variance of the log volume over its variance before any figure),
        ``basis``: own figures, sums only, or pooled. By falling panel volume.

    Raises
    ------
    UsageError
        If the level is not a probability.

    Notes
    -----
    Not identified for a lab whose basis is *pooled*: its interval is that of its group and the
    prior, and the contraction says how little the figures moved it.

    Examples
    --------
    >>> import offroute
    >>> posterior = offroute.correct("world-external-api", weeks=("2026-06-01",), n_draws=400)
    >>> week = offroute.volumes(posterior, int(posterior.draws.weeks[0]))
    >>> table = coverage_by_lab(posterior, week)
    >>> table.loc[table["lab"] == "Anthropic", "basis"].unique().tolist()
    ['own figures']
    """
    names, X, Y = sum_classes(v, "lab")
    b, market, prior = posterior.benchmarks, posterior.market, posterior.prior
    labs = np.array(market.labs)
    before = (posterior.features.fixed**2).sum(axis=1) + prior.tau**2
    covers = np.array([(b.w[:, labs == name] > 0).any(axis=1) for name in names])
    alone = covers & (covers.sum(axis=0) == 1)
    rows = []
    for j, name in enumerate(names):
        if not Y[:, j].max() > 0 or name == "Stealth":
            continue
        low, middle, high = triple(X[j] / Y[:, j], level)
        own = np.flatnonzero(alone[j])
        units = np.unique(market.unit[labs == name])
        spread = float(np.log(np.maximum(Y[:, j] - X[j], 1.0)).var())
        origin = v.labels.loc[v.labels["lab"] == name, "origin"].iloc[0]
        rows.append(
            {
                "lab": name,
                "origin": "several" if name == "Other labs" else origin,
                "panel": X[j],
                "coverage": middle,
                "low": low,
                "high": high,
                "own": len(own),
                "shared": int((covers[j] & ~alone[j]).sum()),
                "families": ", ".join(sorted({b.families[f] for f in b.family[own]})),
                "contraction": 1 - spread / float(before[units].mean()),
                "basis": "own figures"
                if len(own)
                else "sums only"
                if covers[j].any()
                else "pooled",
            }
        )
    return pd.DataFrame(rows)


def closed_us_rows(posterior: Posterior) -> tuple[str, ...]:
    """Return the figures of absolute size about closed US labs alone.

    Parameters
    ----------
    posterior : Posterior
        The fit.

    Returns
    -------
    tuple of str
        Ids of ledger rows.
    """
    b, market = posterior.benchmarks, posterior.market
    closed = market.is_closed & market.is_us
    pure = (b.w[:, closed] > 0).any(axis=1) & ~(b.w[:, ~closed] > 0).any(axis=1)
    return tuple(b.ids[i] for i in np.flatnonzero(pure & ~b.flat[b.family]))


def direct_purchase(posterior: Posterior, v: Volumes, *, level: float = 0.9) -> Effect:
    r"""Measure what direct purchase of closed models does to China against the US.

    The effect is that of a market in which coverage differs by the openness of the weights alone.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    v : Volumes
        Its volumes in one week.
    level : float
        Probability of the interval.

    Returns
    -------
    Effect
        The parameter is the coverage of open models over that of closed ones, a ratio. Moderate
        where two sources have figures about closed US labs and these contract the volume by .75,
        else weak; never strong, since scope factors carry the figures to the population.

    Raises
    ------
    NotIdentified
        If the panel has no open or no closed models in the week.

    Notes
    -----
    Assumes that a figure about a lab speaks of the population through its stated scope factor: an
    error common to all US disclosures moves the effect one for one and no diagnostic sees it.
    """
    closed = (v.labels["weights"] == "closed").to_numpy()
    open_ = (v.labels["weights"] == "open").to_numpy()
    if not (v.X[closed].sum() > 0 and v.X[open_].sum() > 0):
        raise NotIdentified(
            "direct purchase",
            got="no open or no closed models on the panel",
            rule="their coverage is compared",
            next_step="Choose another week.",
        )
    ratio = _coverage(v, open_) / _coverage(v, closed)
    effect = triple(china_over_us(v, pool_coverage(v, ["weights"]).Y) - _naive(v), level)
    rows = closed_us_rows(posterior)
    index = {name: i for i, name in enumerate(posterior.benchmarks.ids)}
    families = {int(posterior.benchmarks.family[index[r]]) for r in rows}
    table = coverage_by_lab(posterior, v, level=level)
    told = table[(table["origin"] == "US") & (table["own"] > 0)]
    known = float(np.average(told["contraction"], weights=told["panel"])) if len(told) else 0.0
    return Effect(
        critique="C1",
        mechanism="direct purchase of closed models",
        population=v.population,
        week=v.week,
        parameter="coverage of open models over that of closed ones (ratio)",
        estimate=triple(ratio, level),
        effect=effect,
        level=level,
        evidence=rows,
        direction=direction_of(effect),
        strength="moderate" if len(families) >= _SOURCES and known >= _WELL_INFORMED else "weak",
        note=f"{len(rows)} figures of {len(families)} sources about closed US labs; naive: "
        "one coverage for all",
    )


def prior_driven(table: pd.DataFrame) -> list[str]:
    """Return the labs whose volume the figures hardly moved.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `coverage_by_lab`.

    Returns
    -------
    list of str
        Labs with a contraction below .3.
    """
    return list(table.loc[table["contraction"] < _INFORMED, "lab"])


def _coverage(v: Volumes, member: BoolArray) -> FloatArray:
    out: FloatArray = v.X[member].sum() / v.Y[:, member].sum(axis=1)
    return out


def _naive(v: Volumes) -> FloatArray:
    return china_over_us(v, v.X)
