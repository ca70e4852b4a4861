r"""Tiers (C2): light models on the panel, flagships elsewhere, or the reverse.

Within a lab the split of the off-platform volume over tiers is a softmax around the panel's mix,
:math:`D_{lc} / D_l \propto X^s_c e^{\xi_c}`, with :math:`\xi_c = \gamma z_c + s_e e_c` and the log
price z_c. Tokens and revenue of one lab identify it together; a lab with one kind of figure says
nothing about its own mix.
"""

import numpy as np
import pandas as pd

from offroute._typing import FloatArray, IntArray
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import NotIdentified
from offroute.inference.mechanisms.counterfactual import (
    china_over_us,
    direction_of,
    pool_coverage,
    triple,
)
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes


def tier_mix(v: Volumes, *, level: float = 0.9) -> pd.DataFrame:
    """Tabulate each lab's mix of tiers on the panel and elsewhere.

    Parameters
    ----------
    v : Volumes
        Corrected volumes of one week.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``lab``, ``weights``, ``tier``; ``panel`` share within the lab and openness; ``elsewhere``
        with ``low``, ``high``. Labs with one tier are left out, as are those off the panel.

    Raises
    ------
    UsageError
        If the level is not a probability.
    """
    rows = []
    D = v.Y - v.X
    for member in _nests(v):
        lab, weights = v.labels["lab"].iloc[member[0]], v.labels["weights"].iloc[member[0]]
        if len(set(v.labels["tier"].iloc[member])) < 2 or not v.X[member].sum() > 0:  # noqa: PLR2004 - a mix needs two
            continue
        total = D[:, member].sum(axis=1)
        for tier in sorted(set(v.labels["tier"].iloc[member])):
            of = member[(v.labels["tier"].iloc[member] == tier).to_numpy()]
            low, middle, high = triple(D[:, of].sum(axis=1) / total, level)
            rows.append(
                {
                    "lab": lab,
                    "weights": weights,
                    "tier": tier,
                    "panel": v.X[of].sum() / v.X[member].sum(),
                    "elsewhere": middle,
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)


def tier_selection(posterior: Posterior, v: Volumes, *, level: float = 0.9) -> Effect:
    r"""Measure what selection on the tier alone does to China against the US.

    The effect is that of a market in which coverage differs by tier alone, over all labs.

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
        The parameter is the odds of flagship against light elsewhere over the same odds on the
        panel, within a lab, averaged over labs in logs by panel volume. Moderate where three labs
        have both tokens and revenue, else weak.

    Raises
    ------
    NotIdentified
        If no lab has both a flagship and a light model on the panel.

    Notes
    -----
    Ecological: a mix elsewhere is not a mix among companies or among solo developers.
    """
    log_odds, weight = _flagship_odds(v)
    if not len(weight):
        raise NotIdentified(
            "tiers",
            got="no lab with a flagship and a light model",
            rule="the mix is compared within labs",
            next_step="Choose another week.",
        )
    both = _labs_with_both(posterior)
    effect = triple(china_over_us(v, pool_coverage(v, ["tier"]).Y) - china_over_us(v, v.X), level)
    return Effect(
        critique="C2",
        mechanism="tier mix elsewhere",
        population=v.population,
        week=v.week,
        parameter="odds flagship : light elsewhere over the same on the panel (ratio)",
        estimate=triple(np.exp(log_odds @ weight / weight.sum()), level),
        effect=effect,
        level=level,
        evidence=tuple(f"tokens and revenue of {lab}" for lab in both),
        direction=direction_of(effect),
        strength="moderate" if len(both) >= 3 else "weak",  # noqa: PLR2004 - as documented
        note=f"identified by labs with tokens and revenue ({', '.join(both) or 'none'}); "
        "naive: the panel's mix",
    )


def _flagship_odds(v: Volumes) -> tuple[FloatArray, FloatArray]:
    """Log odds ratio of each lab with both tiers, shape (k, L), and its panel volume."""
    D = v.Y - v.X
    columns, weights = [], []
    for member in _nests(v):
        tier = v.labels["tier"].iloc[member].to_numpy()
        top, light = member[tier == "flagship"], member[tier == "light"]
        if v.X[top].sum() > 0 and v.X[light].sum() > 0:
            elsewhere = np.log(D[:, top].sum(axis=1) / D[:, light].sum(axis=1))
            columns.append(elsewhere - np.log(v.X[top].sum() / v.X[light].sum()))
            weights.append(v.X[member].sum())
    return np.array(columns).T.reshape(len(v.Y), -1), np.array(weights)


def _labs_with_both(posterior: Posterior) -> list[str]:
    """Labs with a figure of tokens and one of money about them alone."""
    b, labs = posterior.benchmarks, np.array(posterior.market.labs)
    kinds: dict[str, set[str]] = {}
    for i in range(len(b)):
        of = set(labs[b.w[i] > 0])
        kind = b.families[b.family[i]].split(":")[0]
        if len(of) == 1 and kind in ("tokens", "revenue"):
            kinds.setdefault(of.pop(), set()).add(kind)
    return sorted(lab for lab, found in kinds.items() if len(found) > 1)


def _nests(v: Volumes) -> list[IntArray]:
    """Classes of each lab and openness."""
    code = v.labels.groupby(["lab", "weights"]).ngroup().to_numpy()
    return [np.flatnonzero(code == k) for k in range(int(code.max()) + 1)]
