r"""Where the buyers are, and what a figure counts (statistics of the address, nesting, vintage).

With the Chinese share :math:`\theta` among China and the US over all customers, and the part r of
the tokens that customers of the place asked for buy, their own share lies in

.. math:: \Big[\max\Big(0, 1 - \frac{1 - \theta}{r}\Big),\; \min\Big(1, \frac{\theta}{r}\Big)\Big]

(Duncan and Davis 1953, doi:10.2307/2088122; `offroute.inference.bounds.aggregation_bounds`). Both
ends move outwards as r falls, so that an address misread either way, :math:`r \in [r_l, r_h]`,
gives the bounds at r_l. Tokens of other origins loosen them.
"""

import re

import numpy as np
import pandas as pd
from scipy.special import logit

from offroute._checks import check_finite
from offroute.data.register import TAIL_MODEL, join_register
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.mechanisms.counterfactual import china_over_us, direction_of, triple
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes
from offroute.measurement.market import Market, week_index

#: Ledger row with the part of the panel's tokens by billing country.
BILLING_ROW = "soa_geo_us"
#: Part of the tokens billed in Singapore, whose buyers may sit elsewhere, in the same row.
_PLACES = r"(Singapore|Germany|China) ([\d.]+)"
_US = ("us-startups", "us-enterprise")
_ROUNDING = 1e-9


def billing_parts(ledger: pd.DataFrame) -> dict[str, float]:
    """Return the part of the panel's tokens billed in each country that is published.

    Parameters
    ----------
    ledger : pandas.DataFrame
        The ledger.

    Returns
    -------
    dict of str to float
        ``US``, ``Singapore``, ``Germany``, ``China``; fractions.

    Raises
    ------
    InvalidValue
        If the ledger has no such row.
    """
    found = ledger[ledger["id"] == BILLING_ROW]
    if found.empty:
        raise InvalidValue(
            "ledger",
            got=f"no row '{BILLING_ROW}'",
            rule="the part of the panel billed in the US must be known",
            next_step="Add the row.",
        )
    row = found.iloc[0]
    parts = {"US": float(row["value"]) / 100.0}
    return parts | {place: float(x) / 100.0 for place, x in re.findall(_PLACES, row["unit"])}


def billing_bounds(
    china: float, us: float, total: float, part: tuple[float, float]
) -> tuple[float, float]:
    """Bound China's share of China and the US among the customers of a place.

    Customers of the place buy the part r of all tokens. China's tokens among theirs are at least
    ``china - (1 - r) total`` and the US's at most ``us``, and the reverse; r anywhere in an
    interval, as when addresses are misread, gives the bounds at its lower end.

    Parameters
    ----------
    china, us, total : float
        Tokens of China, the US and all origins over all customers; above 0.
    part : tuple of float
        Least and most of r; above 0, at most 1.

    Returns
    -------
    tuple of float
        Sharp bounds over the interval; without other origins those of Duncan and Davis.

    Raises
    ------
    InvalidValue
        If the interval is out of order or outside (0, 1], or China and the US exceed the total.

    Examples
    --------
    >>> [round(x, 6) for x in billing_bounds(46, 54, 100, (0.8, 0.9))]
    [0.325, 0.575]
    """
    if not 0 < part[0] <= part[1] <= 1:
        raise InvalidValue(
            "part",
            got=part,
            rule="must be an interval within (0, 1]",
            next_step="Write 47 % as 0.47, the smaller end first.",
        )
    check_finite([china, us], name="china and us", minimum=0, strict=True)
    if china + us > total * (1 + _ROUNDING):
        raise InvalidValue(
            "total",
            got=f"{total:g} with {china + us:g} of China and the US",
            rule="must hold both",
            next_step="Give the tokens of all origins.",
        )
    bought, elsewhere = part[0] * total, (1 - part[0]) * total
    low, high = (
        (a := max(0.0, one - elsewhere)) / (a + min(other, bought - a))
        for one, other in ((china, us), (us, china))
    )
    return low, 1 - high


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
        The parameter is China's share among China and the US. Tokens billed in Singapore may
        belong to any place: they are the misclassification.

    Raises
    ------
    UnknownWeek
        If the week does not exist.
    InvalidValue
        If the ledger lacks the row.

    Notes
    -----
    About the panel's customers only. For the world the mix of places elsewhere is unknown and the
    bounds are those of logic.
    """
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
        part, what = (0.0, 1.0), "China's share among customers everywhere"
    total = float(market.X[t].sum() + market.stealth[t])
    low, high = billing_bounds(float(china), float(us), total, part) if part[0] > 0 else (0.0, 1.0)
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
        evidence=("crosswalk",),
        direction=direction_of(effect),
        strength="moderate",
        note=f"mean iota {iota_us:.2f} (US) and {iota_cn:.2f} (China); naive: panel plus totals",
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
