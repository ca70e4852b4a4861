r"""A second gateway's shares beside the panel, and benchmarks within an origin.

Panel A and gateway B are two biased samples of one market. With coverage :math:`\pi^A_l, \pi^B_l`
of lab l,

.. math:: \log\frac{s^B_l}{s^B_m} - \log\frac{s^A_l}{s^A_m} =
   \log\frac{\pi^B_l}{\pi^B_m} - \log\frac{\pi^A_l}{\pi^A_m} ,

so that the two together identify how their selections differ, and neither selection itself.
Capture-recapture of tokens is impossible: a token passes one gateway, so that the overlap of the
two samples is empty by construction, whatever the size of the market.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from offroute._checks import check_columns, check_finite
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.measurement.ledger import Benchmarks, select_cells
from offroute.measurement.market import Market, week_index

#: Families that the gateway's rows form; each has a multiplier of its own, so that the comparison
#: between origins, where the gateway's own selection is strongest, stays out of the likelihood.
FAMILIES = {"US": "share:second-gateway-US", "China": "share:second-gateway-China"}
#: A share below this is a handful of customers.
SMALLEST = 0.002
#: Error of a lab's share by the gateway's own selection within its origin (log sd).
SELECTION_SD = 0.6
_MIN_DAYS = 2


def origin_log_ratio(gateway: pd.DataFrame, *, shares: str = "token_share") -> pd.Series:
    """Return log(China / US) of the gateway for each of its days.

    Parameters
    ----------
    gateway : pandas.DataFrame
        Daily shares.
    shares : {'token_share', 'spend_share', 'request_share'}
        Which share.

    Returns
    -------
    pandas.Series
        Log ratio, indexed by date; only days that have both origins.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    check_columns(gateway, ["date", "origin", shares], name="gateway")
    sums = gateway.pivot_table(index="date", columns="origin", values=shares, aggfunc="sum")
    both = sums[(sums["China"] > 0) & (sums["US"] > 0)]
    values = np.log((both["China"] / both["US"]).to_numpy(dtype=np.float64))
    return pd.Series(values, index=pd.DatetimeIndex(both.index))


def window(gateway: pd.DataFrame, week: str, *, weeks: int = 4) -> pd.DataFrame:
    """Return the gateway's days near a week.

    Parameters
    ----------
    gateway : pandas.DataFrame
        Daily shares.
    week : str
        Monday, ISO.
    weeks : int
        Days up to this many weeks before or after are kept.

    Returns
    -------
    pandas.DataFrame
        The rows.

    Raises
    ------
    NotIdentified
        If there are fewer than two days.
    """
    middle = pd.Timestamp(week) + pd.Timedelta(days=3)
    day = pd.to_datetime(gateway["date"])
    rows = gateway[(day - middle).abs() <= pd.Timedelta(days=7 * weeks + 3)]
    if rows["date"].nunique() < _MIN_DAYS:
        raise NotIdentified(
            "second gateway",
            got=f"{rows['date'].nunique()} days near {week}",
            rule=f"at least {_MIN_DAYS} days must lie within {weeks} weeks",
            next_step=f"Its days run from {day.min():%Y-%m-%d} to {day.max():%Y-%m-%d}.",
        )
    return rows


def pooled_shares(rows: pd.DataFrame, labs: list[str]) -> tuple[FloatArray, FloatArray]:
    """Average the log share of each lab over days.

    Parameters
    ----------
    rows : pandas.DataFrame
        Days of the gateway.
    labs : list of str
        Labs that are present on all of them.

    Returns
    -------
    mean, sd : ndarray, shape (L,)
        Mean over days of the log share, and its standard error as if days were independent.
    """
    wide = rows.pivot_table(index="date", columns="lab", values="token_share")[labs]
    values = np.log(wide.to_numpy(dtype=np.float64))
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def shared_labs(rows: pd.DataFrame, market: Market, week: int, origin: str) -> list[str]:
    """Find the labs of an origin that both the gateway's days and the panel's week show.

    Parameters
    ----------
    rows : pandas.DataFrame
        Days of the gateway.
    market : Market
        The panel.
    week : int
        Index of the week.
    origin : {'US', 'China'}
        The origin.

    Returns
    -------
    list of str
        Labs with at least 0.2 % of the gateway on each day and of the panel, sorted.
    """
    own = rows[rows["origin"] == origin]
    days = rows["date"].nunique()
    seen = own[own["token_share"] >= SMALLEST].groupby("lab")["date"].nunique()
    out = []
    for lab in sorted(str(name) for name in seen[seen == days].index):
        of = np.array([name == lab for name in market.labs])
        if lab != "Other labs" and market.X[week, of].sum() >= SMALLEST * market.X[week].sum():
            out.append(lab)
    return out


def gateway_benchmarks(
    gateway: pd.DataFrame,
    market: Market,
    week: str,
    *,
    population: str,
    selection_sd: float = SELECTION_SD,
) -> Benchmarks:
    r"""Turn the gateway's shares near a week into one share family per origin.

    .. math:: \log s^B_l = \log Y_l + c_{origin(l)} + \epsilon_l, \qquad
       \epsilon_l \sim N(0, s_l^2 + s_{sel}^2)

    Parameters
    ----------
    gateway : pandas.DataFrame
        Daily shares.
    market : Market
        The panel.
    week : str
        A day of the week that the rows are dated to, ISO.
    population : str
        Population that the rows are to speak of: an assumption of the user.
    selection_sd : float
        How far the gateway's own selection may move a lab within its origin (log sd).

    Returns
    -------
    Benchmarks
        One row a lab; add them to those of the ledger with `join_benchmarks`. They are in no
        default: what they say between origins would be the gateway's selection, not the market.

    Raises
    ------
    UnknownWeek
        If the panel lacks the week.
    NotIdentified
        If the gateway has no two days near the week, or no origin has two labs in both.
    InvalidValue
        If the error is not above zero.

    Notes
    -----
    One week only: the gateway's selection of a lab stays over time, so that further weeks are the
    same error again.
    """
    check_finite(selection_sd, name="selection_sd", minimum=0, strict=True)
    at = week_index(market, week)
    rows = window(gateway, str(market.weeks[at]))
    ids: list[str] = []
    families: list[str] = []
    y: list[float] = []
    s: list[float] = []
    w: list[FloatArray] = []
    origin: list[int] = []
    for name, sign in (("US", 1), ("China", -1)):
        labs = shared_labs(rows, market, at, name)
        if len(labs) < _MIN_DAYS:
            continue
        mean, sd = pooled_shares(rows, labs)
        ids += [f"gateway:{lab}" for lab in labs]
        families += [FAMILIES[name]] * len(labs)
        y += mean.tolist()
        s += sd.tolist()
        w += [select_cells(market, f"lab:{lab}").astype(np.float64) for lab in labs]
        origin += [sign] * len(labs)
    if not ids:
        raise NotIdentified(
            "second gateway",
            got="no origin with two labs",
            rule="shares say something about labs of one origin in pairs only",
            next_step="Choose a week in which both the panel and the gateway show them.",
        )
    names = tuple(sorted(set(families)))
    n = len(ids)
    return Benchmarks(
        population=population,
        ids=tuple(ids),
        family=np.array([names.index(f) for f in families], dtype=np.int64),
        families=names,
        flat=np.ones(len(names), dtype=bool),
        week=np.full(n, at, dtype=np.int64),
        y=np.array(y),
        s=np.array(s),
        off=np.zeros(n),
        q=np.full(n, selection_sd),
        iota=np.ones(n),
        w=np.array(w),
        origin=np.array(origin, dtype=np.int64),
        side=np.zeros(n, dtype=np.int64),
        left_out=pd.DataFrame({"id": [], "entity": [], "reason": []}),
    )


def join_benchmarks(first: Benchmarks, second: Benchmarks) -> Benchmarks:
    """Put two sets of benchmarks of one population together.

    Parameters
    ----------
    first, second : Benchmarks
        The sets; what was left out is that of the first.

    Returns
    -------
    Benchmarks
        Rows of the first, then of the second.

    Raises
    ------
    InvalidValue
        If they speak of different populations, or share a row.
    """
    shared = set(first.ids) & set(second.ids)
    if first.population != second.population or shared:
        raise InvalidValue(
            "benchmarks",
            got=f"{first.population} and {second.population}, shared rows {sorted(shared)[:3]}",
            rule="must speak of one population and have no row in common",
            next_step="Build both for the population that is to be estimated.",
        )
    names = tuple(sorted({*first.families, *second.families}))
    flat = dict(zip(first.families, first.flat, strict=True))
    flat |= dict(zip(second.families, second.flat, strict=True))
    family = [
        np.array([names.index(f) for f in b.families], dtype=np.int64)[b.family]
        for b in (first, second)
    ]
    fields = ("week", "y", "s", "off", "q", "iota", "w", "origin", "side")
    joined: dict[str, Any] = {
        k: np.concatenate([getattr(first, k), getattr(second, k)]) for k in fields
    }
    return replace(
        first,
        ids=first.ids + second.ids,
        family=np.concatenate(family),
        families=names,
        flat=np.array([flat[name] for name in names], dtype=bool),
        **joined,
    )
