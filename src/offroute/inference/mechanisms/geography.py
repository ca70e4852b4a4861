r"""Where the buyers are, and what a figure counts (statistics of the address, nesting, vintage).

With the Chinese share :math:`\theta` among China and the US over all customers, and the part r of
the tokens that customers of the place asked for buy, their own share lies in

.. math:: \Big[\max\Big(0, 1 - \frac{1 - \theta}{r}\Big),\; \min\Big(1, \frac{\theta}{r}\Big)\Big]

(Duncan and Davis 1953, doi:10.2307/2088122). Both ends move outwards as r falls, so that an address
misread either way, :math:`r \in [r_l, r_h]`, gives the bounds at r_l.
"""

import re

import numpy as np
import pandas as pd
from scipy.special import logit

from offroute._checks import check_finite
from offroute.data.register import TAIL_MODEL, join_register
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.bounds import aggregation_bounds
from offroute.inference.mechanisms.counterfactual import china_over_us, direction_of, triple
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes
from offroute.measurement.market import Market, week_index

#: Ledger row with the part of the panel's tokens by billing country.
BILLING_ROW = "soa_geo_us"
#: Part of the tokens billed in Singapore, whose buyers may sit elsewhere, in the same row.
_PLACES = r"(Singapore|Germany|China) ([\d.]+)"
_US = ("us-startups", "us-enterprise")
_PREVALENCE = re.compile(
    r"businesses|customers|developers|CIOs|orgs|firms|startups|enterprises using|revenue|"
    r"downloads|pitching|employees",
    re.IGNORECASE,
)
_OF_VOLUME = re.compile(r"token|spend|dollars|usage|LLM calls", re.IGNORECASE)


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


def billing_bounds(share: float, part: tuple[float, float]) -> tuple[float, float]:
    """Bound the share within a place whose part of all tokens is an interval.

    Parameters
    ----------
    share : float
        Share over all customers, between 0 and 1.
    part : tuple of float
        Least and most of the tokens that customers of the place buy; above 0, at most 1.

    Returns
    -------
    tuple of float
        Sharp bounds over the interval.

    Raises
    ------
    InvalidValue
        If the interval is out of order or outside (0, 1].

    Examples
    --------
    >>> [round(x, 6) for x in billing_bounds(0.46, (0.8, 0.9))]
    [0.325, 0.575]
    """
    if not 0 < part[0] <= part[1] <= 1:
        raise InvalidValue(
            "part",
            got=part,
            rule="must be an interval within (0, 1]",
            next_step="Write 47 % as 0.47, the smaller end first.",
        )
    low, high = aggregation_bounds(share, part[0])
    return float(np.asarray(low)), float(np.asarray(high))


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
    low, high = billing_bounds(share, part) if part[0] > 0 else (0.0, 1.0)
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
        week_start=daily["date"] - pd.to_timedelta(daily["date"].dt.weekday, unit="D")
    )
    whole = days.groupby("week_start")["date"].nunique() == 7  # noqa: PLR2004 - days of a week
    early = days[days["week_start"].isin(whole.index[whole])]
    ratio = []
    for frame in (early, usage[usage["basis"] == "model"]):
        rows = join_register(frame[frame["model"] != TAIL_MODEL], models)
        side = rows.pivot_table(
            index="week_start", columns="origin", values="tokens", aggfunc="sum"
        )
        ratio.append(np.log(side["China"] / side["US"]))
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


def token_share(row: pd.Series) -> float:
    """Return a ledger share as a fraction of volume, or refuse a prevalence.

    Parameters
    ----------
    row : pandas.Series
        A row of the ledger with ``quantity``, ``value``, ``unit``.

    Returns
    -------
    float
        Fraction of tokens, spend or usage.

    Raises
    ------
    NotIdentified
        If the row counts firms, users or downloads: who uses a model at all says nothing about how
        much, and may only bound adoption.
    InvalidValue
        If the row is no share or has no value.

    Examples
    --------
    >>> row = pd.Series({"id": "x", "quantity": "share", "value": 46.0, "unit": "% of all tokens"})
    >>> token_share(row)
    0.46
    """
    if row["quantity"] != "share":
        raise InvalidValue(
            f"ledger row '{row['id']}'",
            got=f"a {row['quantity']}",
            rule="must be a share",
            next_step="Choose a row whose quantity is share.",
        )
    check_finite(row["value"], name=f"ledger row '{row['id']}'", minimum=0)
    unit = str(row["unit"])
    if _PREVALENCE.search(unit) or not _OF_VOLUME.search(unit):
        raise NotIdentified(
            f"ledger row '{row['id']}'",
            got=f"'{unit}'",
            rule="a share of firms, users or downloads is not a share of tokens",
            next_step="Use it as a bound of adoption, or find a share of tokens or spend.",
        )
    return float(row["value"]) / 100.0


def conditional_prevalence(
    within: tuple[float, float], base: tuple[float, float]
) -> tuple[float, float]:
    """Return the prevalence behind a quote that is conditional on another.

    "80 % of start-ups use Chinese models" was said of the 20 to 30 % that use open models at all.

    Parameters
    ----------
    within : tuple of float
        Least and most of the quoted fraction, given the condition.
    base : tuple of float
        Least and most of the fraction that meets the condition.

    Returns
    -------
    tuple of float
        Bounds of the fraction of all; a share of firms, never of tokens.

    Raises
    ------
    InvalidValue
        If a fraction is outside [0, 1] or out of order.

    Examples
    --------
    >>> [round(x, 3) for x in conditional_prevalence((0.8, 0.8), (0.2, 0.3))]
    [0.16, 0.24]
    """
    for name, pair in (("within", within), ("base", base)):
        if not 0 <= pair[0] <= pair[1] <= 1:
            raise InvalidValue(
                name, got=pair, rule="must be ordered within [0, 1]", next_step="Use fractions."
            )
    return within[0] * base[0], within[1] * base[1]
