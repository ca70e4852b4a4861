r"""Where the buyers are, and what a figure counts: address, nesting, vintage.

An address misread either way, :math:`r \in [r_l, r_h]` for the part of a place, gives the bounds
at r_l, since both ends of `offroute.inference.billing.billing_bounds` move outwards as r falls.
"""

import numpy as np
import pandas as pd
from scipy.special import logit

from offroute.data.register import TAIL_MODEL, join_register
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import NotIdentified
from offroute.inference.billing import BILLING_ROW, billing_bounds, billing_parts
from offroute.inference.mechanisms.counterfactual import china_over_us, direction_of, triple
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes
from offroute.measurement.market import Market, week_index
from offroute.measurement.populations import population as population_of

_US = ("us-startups", "us-enterprise")


def place_of_buyers(
    market: Market, ledger: pd.DataFrame, *, population: str, week: str, level: float = 0.9
) -> Effect:
    """Bound what the panel's own customers of the population's place would show.

    Parameters
    ----------
    market : Market
        The panel.
    ledger : pandas.DataFrame
        The ledger, for the parts by billing country.
    population : str
        Its place: the US, outside China, or the world.
    week : str
        A day of the week, ISO.
    level : float
        Printed with the bounds, which hold surely.

    Returns
    -------
    Effect
        The parameter is China's share among China and the US, from margins as in
        `offroute.inference.billing`. Tokens billed in Singapore may
        belong to any place: they are the misclassification.

    Raises
    ------
    UnknownWeek
        If the week does not exist.
    InvalidValue
        If the ledger lacks the row.
    UnknownPopulation
        If there is no such population.
    NotIdentified
        If the population is the world: the panel is sold everywhere, and nothing says in which mix
        of places the world buys.

    Notes
    -----
    About the panel's customers only.
    """
    population_of(population)
    t = week_index(market, week)
    china, us = market.X[t, market.is_china].sum(), market.X[t, market.is_us].sum()
    share, parts = float(china / (china + us)), billing_parts(ledger)
    loose = parts.get("Singapore", 0.0)
    if population in _US:
        part = (parts["US"], parts["US"] + loose)
        what = f"China's share, US customers ({part[0]:.0%} to {part[1]:.0%} of tokens)"
    elif population.startswith("outside-china"):
        part = (1 - parts.get("China", 0.0) - loose, 1 - parts.get("China", 0.0))
        what = f"China's share, customers outside China ({part[0]:.0%} to {part[1]:.0%})"
    else:
        raise NotIdentified(
            "place of the buyers",
            got=f"'{population}'",
            rule="the panel's parts by place are known, those of the world's buyers are not",
            next_step="Choose a population of one place.",
        )
    total = float(market.X[t].sum() + market.stealth[t])
    low, high = billing_bounds(float(china), float(us), total, part)
    with np.errstate(divide="ignore"):
        effect = tuple(float(logit(x) - logit(share)) for x in (low, high))
    return Effect(
        critique="C2",
        mechanism="place of the buyers",
        population=population,
        week=str(market.weeks[t]),
        parameter=what,
        estimate=(low, float("nan"), high),
        effect=(effect[0], float("nan"), effect[1]),
        level=level,
        evidence=(BILLING_ROW,),
        direction="either",
        strength="bounds only",
        note="Duncan-Davis bounds on the panel's own customers; margins say nothing within a place",
    )


def nesting(posterior: Posterior, v: Volumes, *, level: float = 0.9) -> Effect:
    r"""Say what counting the panel twice would do: adding it to totals that contain it.

    A total of side g with the part :math:`\iota_g` of the panel inside, taken as off-platform
    volume, gives :math:`Y_g + \iota_g X_g` in place of :math:`Y_g`.

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
        The effect of taking the panel out once, as the model does; the parameter is the difference
        of iota, US less China, averaged over absolute figures.

    Raises
    ------
    NotIdentified
        If no absolute figure speaks of one side.
    """
    b = posterior.benchmarks
    absolute = ~b.flat[b.family]
    sides = [absolute & (b.origin == o) for o in (-1, 1)]
    if not all(s.any() for s in sides):
        raise NotIdentified(
            "nesting",
            got="no absolute figure about one side",
            rule="both sides need one",
            next_step="Add rows to the ledger.",
        )
    iota_cn, iota_us = (float(b.iota[s].mean()) for s in sides)
    origin = v.labels["origin"].to_numpy()
    iota = np.where(origin == "China", iota_cn, np.where(origin == "US", iota_us, 0.0))
    twice = v.Y + iota * v.X
    effect = triple(china_over_us(v, v.Y) - china_over_us(v, twice), level)
    gap = iota_us - iota_cn
    return Effect(
        critique="C14",
        mechanism="nesting: totals hold the panel's own tokens",
        population=v.population,
        week=v.week,
        parameter="iota of US figures less that of Chinese ones (fraction)",
        estimate=(gap, gap, gap),
        effect=effect,
        level=level,
        evidence=("crosswalk", *(b.ids[i] for i in np.flatnonzero(absolute & (b.origin != 0)))),
        direction=direction_of(effect),
        strength="weak",
        note=f"iota is the crosswalk's judgement, mean {iota_us:.2f} (US) and {iota_cn:.2f} "
        "(China); naive: panel plus totals",
    )


def restatement(
    usage: pd.DataFrame, daily: pd.DataFrame, models: pd.DataFrame, *, week: str, level: float = 0.9
) -> Effect:
    """Measure how far restated weeks differ between two vintages of the panel.

    Parameters
    ----------
    usage : pandas.DataFrame
        Weekly tokens, the later vintage, as of `load_usage`.
    daily : pandas.DataFrame
        Daily tokens, the earlier vintage, as of `load_daily`.
    models : pandas.DataFrame
        Register.
    week : str
        Printed with the effect, which is of all weeks that both tables have.
    level : float
        Printed; the interval is the range over weeks.

    Returns
    -------
    Effect
        The parameter is the sd of the change of log(China / US), over weeks.

    Raises
    ------
    NotIdentified
        If fewer than three weeks are in both tables.
    """
    days = daily.assign(
        week_start=daily["date"] - pd.to_timedelta(daily["date"].dt.day_of_week, unit="D")
    )
    whole = days.groupby("week_start")["date"].nunique() == 7  # noqa: PLR2004 - days of a week
    early = days[days["week_start"].isin(whole.index[whole])]
    ratio = []
    for frame in (early, usage[usage["basis"] == "model"]):
        rows = join_register(frame[frame["model"] != TAIL_MODEL], models)
        side = rows.pivot_table(
            index="week_start", columns="origin", values="tokens", aggfunc="sum"
        )
        ratio.append((side["China"] / side["US"]).map(np.log))
    change = (ratio[1] - ratio[0]).dropna()
    if len(change) < 3:  # noqa: PLR2004 - an sd needs more than two
        raise NotIdentified(
            "restatement",
            got=f"{len(change)} weeks in both vintages",
            rule="at least three are needed",
            next_step="Keep an earlier fetch of the table.",
        )
    sd = float(change.std())
    effect = (float(change.min()), float(change.median()), float(change.max()))
    return Effect(
        critique="C14",
        mechanism="restated weeks",
        population="panel",
        week=week,
        parameter=f"sd over {len(change)} weeks between two vintages (log)",
        estimate=(sd, sd, sd),
        effect=effect,
        level=level,
        evidence=("usage", "daily"),
        direction=direction_of(effect),
        strength="strong",
        note="later less earlier vintage; interval is the range over weeks; naive: first print",
    )
