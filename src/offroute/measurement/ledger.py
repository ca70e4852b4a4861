"""Ledger rows become benchmarks: log volumes with errors, dates, families and what they cover."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from offroute._typing import BoolArray, FloatArray, IntArray
from offroute.exceptions import BenchmarkBelowPanel, InvalidValue, UnknownLab
from offroute.measurement.market import Market
from offroute.measurement.populations import population as population_of
from offroute.measurement.units import dollars_per_week, tokens_per_week

#: Companies round down to the last impressive number: "more than v" sits this far above v (log).
_ROUNDING = 0.05
#: A benchmark this many of its own standard deviations below the panel is an error, not a conflict.
_IMPOSSIBLE = 6.0
#: A row may stand this many days away from the nearest week of the panel.
_MAX_GAP_DAYS = 10


@dataclass(frozen=True)
class Benchmarks:
    """Benchmarks of one population, ready for the evidence synthesis.

    Attributes
    ----------
    population : str
        The population that they speak of.
    ids : tuple of str, length n
        Ledger rows.
    family : ndarray of int, shape (n,)
        Index into `families`; rows of one family share a bias.
    families : tuple of str
        Names of the families.
    flat : ndarray of bool, shape (number of families,)
        Whether the family is a share table, whose multiplier is unknown.
    week : ndarray of int, shape (n,)
        Index of the market's week.
    y : ndarray, shape (n,)
        Log of the figure: tokens a week, USD a week, or a fraction.
    s : ndarray, shape (n,)
        Error of the row alone (log sd).
    off, q : ndarray, shape (n,)
        Known scope offset (log) and its error (log sd), shared by the rows of the family.
    iota : ndarray, shape (n,)
        Part of the panel's own tokens that the figure contains.
    w : ndarray, shape (n, C)
        What the figure sums over the cells: 1 for tokens, USD per token for money, else 0.
    origin : ndarray of int, shape (n,)
        +1 where all covered cells are of the US, -1 where all are Chinese, else 0.
    side : ndarray of int, shape (n,)
        0 exact, +1 a floor (the truth is above), -1 a ceiling.
    left_out : pandas.DataFrame
        ``id``, ``entity``, ``reason`` of every ledger row that is not a benchmark here.
    """

    population: str
    ids: tuple[str, ...]
    family: IntArray
    families: tuple[str, ...]
    flat: BoolArray
    week: IntArray
    y: FloatArray
    s: FloatArray
    off: FloatArray
    q: FloatArray
    iota: FloatArray
    w: FloatArray
    origin: IntArray
    side: IntArray
    left_out: pd.DataFrame

    def __len__(self) -> int:
        """Return the number of benchmarks."""
        return len(self.ids)


def ledger_labs(ledger: pd.DataFrame) -> tuple[str, ...]:
    """Return the labs that rows in use name.

    Parameters
    ----------
    ledger : pandas.DataFrame
        The ledger.

    Returns
    -------
    tuple of str
        Labs, sorted.
    """
    terms = " ".join(ledger.loc[ledger["use"] == "likelihood", "selector"]).split(" ")
    return tuple(sorted({term[4:] for term in terms if term.startswith("lab:")}))


def take(b: Benchmarks, rows: IntArray) -> Benchmarks:
    """Return the benchmarks of some rows, with the families of all.

    Parameters
    ----------
    b : Benchmarks
        The benchmarks.
    rows : ndarray of int
        Rows to keep, in the order wanted.

    Returns
    -------
    Benchmarks
        The chosen rows.
    """
    fields = ("family", "week", "y", "s", "off", "q", "iota", "w", "origin", "side")
    chosen = {name: getattr(b, name)[rows] for name in fields}
    return replace(b, ids=tuple(b.ids[i] for i in rows), **chosen)


def select_cells(market: Market, selector: str) -> BoolArray:
    """Return which cells of the market a selector names.

    Parameters
    ----------
    market : Market
        The panel.
    selector : str
        Terms ``key:value`` that must all hold; keys are ``lab``, ``weights`` (open, closed),
        ``origin`` (China, US) and ``group``.

    Returns
    -------
    ndarray of bool, shape (C,)
        The cells.

    Raises
    ------
    UnknownLab
        If a term names nothing in the market.
    """
    labels = {
        "lab": list(market.labs),
        "group": [g.replace(" ", "-") for g in market.groups],
        "origin": [g.split(" ")[0] for g in market.groups],
        "weights": ["closed" if g.endswith("closed") else "open" for g in market.groups],
    }
    keep = np.ones(len(market.labs), dtype=bool)
    for term in selector.split(" "):
        key, _, value = term.partition(":")
        if key not in labels or value not in labels[key]:
            raise UnknownLab(
                "selector",
                got=repr(term),
                rule=f"a term must be one of {', '.join(labels)} with a label of the market",
                next_step=f"Labs of the market: {', '.join(sorted(set(market.labs)))}.",
            )
        keep &= np.array([label == value for label in labels[key]])
    return keep


def log_volume(row: pd.Series) -> float:
    """Return the log of a ledger figure per week, or of a share as a fraction.

    Parameters
    ----------
    row : pandas.Series
        One row of the ledger with ``form``, ``value``, ``low``, ``high``, ``unit``, ``side``.

    Returns
    -------
    float
        Log tokens a week, log USD a week, or log fraction.

    Raises
    ------
    InvalidValue
        If the row has no positive value, or its unit does not fit its form.
    """
    value = row["value"]
    if np.isnan(value):
        value = row["high"] if row["side"] == "ceiling" else row["low"]
    if not value > 0:
        raise InvalidValue(
            f"ledger row '{row['id']}'",
            got=f"value {value}",
            rule="a benchmark needs a positive value (or the bound that its side names)",
            next_step="Set 'use' to 'context' or give the figure.",
        )
    if row["form"] == "tokens":
        return float(np.log(tokens_per_week(value, row["unit"])))
    if row["form"] == "revenue":
        return float(np.log(dollars_per_week(value, row["unit"])))
    return float(np.log(value / 100.0))


def build_benchmarks(
    ledger: pd.DataFrame, crosswalk: pd.DataFrame, market: Market, *, population: str
) -> Benchmarks:
    """Turn the ledger into the benchmarks of one population.

    Parameters
    ----------
    ledger, crosswalk : pandas.DataFrame
        As `offroute.data.snapshot.load_ledger` and `load_crosswalk` return them.
    market : Market
        The panel that the benchmarks are compared with.
    population : str
        Name of the population.

    Returns
    -------
    Benchmarks
        All rows that speak of the population, and the reasons why the others do not.

    Raises
    ------
    UnknownPopulation
        If the population does not exist.
    UnknownLab
        If a selector names nothing.
    InvalidValue
        If a row in use has no usable figure.
    BenchmarkBelowPanel
        If a figure lies so far below the tokens that the panel itself saw inside its scope that
        its error cannot explain it.

    Examples
    --------
    >>> import offroute
    >>> rows, crosswalk = offroute.load_ledger(), offroute.load_crosswalk()
    >>> market = offroute.load_market()
    >>> found = build_benchmarks(rows, crosswalk, market, population="world-external-api")
    >>> "A-R12" in found.ids
    True
    """
    population_of(population)
    rows = ledger.merge(
        crosswalk[crosswalk["population"] == population].drop(columns=["population", "reason"]),
        on="scope_class",
        how="left",
        suffixes=("", "_population"),
    )
    gap = [nearest_week(market, day) for day in rows["measured_on"]]
    rows["week"] = [g[0] for g in gap]
    reasons = rows["reason"].where(
        rows["use"] != "likelihood", f"says nothing about {population}: no row of the crosswalk"
    )
    far = (
        (rows["use"] == "likelihood")
        & rows["factor"].notna()
        & np.array([g[1] > _MAX_GAP_DAYS for g in gap])
    )
    reasons = reasons.where(~far, "measured in a week that the panel does not have")
    used = (rows["use"] == "likelihood") & rows["factor"].notna() & ~far
    for column in ("family", "form", "selector", "sd", "side"):
        blank = rows.loc[used & rows[column].isna(), "id"]
        if len(blank):
            raise InvalidValue(
                f"ledger row '{blank.iloc[0]}'",
                got=f"no {column}",
                rule="a row in the likelihood needs family, form, selector, sd and side",
                next_step="Fill it in, or set 'use' to 'context'.",
            )
    single = rows[used].groupby("family")["id"].transform("size") == 1
    alone = single[single].index[rows.loc[single[single].index, "form"].str.startswith("share")]
    reasons.loc[alone] = "the only item of its share table here: a lone share says nothing"
    used.loc[alone] = False
    left_out = rows.loc[~used, ["id", "entity"]].assign(reason=reasons[~used])
    return _assemble(rows[used].reset_index(drop=True), market, population, left_out)


def nearest_week(market: Market, day: pd.Timestamp) -> tuple[int, int]:
    """Return the week nearest to a day and how many days lie between.

    Parameters
    ----------
    market : Market
        The panel.
    day : pandas.Timestamp
        The day; missing for none.

    Returns
    -------
    week : int
        Index of the week, -1 for a missing day.
    days : int
        Days outside the week, 0 inside it.
    """
    if pd.isna(day):
        return -1, 10**6
    after = (np.datetime64(day, "D") - market.weeks).astype("int64")
    distance = np.maximum(np.maximum(after - 6, -after), 0)
    best = int(np.argmin(distance))
    return best, int(distance[best])


def _assemble(
    rows: pd.DataFrame, market: Market, population: str, left_out: pd.DataFrame
) -> Benchmarks:
    families = tuple(sorted(set(rows["family"])))
    family = np.array([families.index(f) for f in rows["family"]], dtype=np.int64)
    cells = [select_cells(market, s) for s in rows["selector"]]
    week = rows["week"].to_numpy(dtype=np.int64)
    money = rows["form"].isin(["revenue", "share-spend"]).to_numpy()
    n_cells = len(market.labs)
    w = np.zeros((len(rows), n_cells))
    for i, keep in enumerate(cells):
        w[i] = keep * (market.price[week[i]] if money[i] else 1.0)
    floor = (rows["side"] == "floor") | (rows["side_population"] == "floor")
    side = np.where(floor, 1, np.where(rows["side"] == "ceiling", -1, 0)).astype(np.int64)
    rounded = (rows["side"] == "over").to_numpy() & (side == 0)
    benchmarks = Benchmarks(
        population=population,
        ids=tuple(rows["id"]),
        family=family,
        families=families,
        flat=np.array([f.startswith("share:") for f in families], dtype=bool),
        week=week,
        y=np.array([log_volume(row) for _, row in rows.iterrows()], dtype=np.float64),
        s=rows["sd"].to_numpy(dtype=np.float64),
        off=np.log(rows["factor"].to_numpy(dtype=np.float64)) - _ROUNDING * rounded,
        q=rows["sd_population"].to_numpy(dtype=np.float64),
        iota=rows["iota"].to_numpy(dtype=np.float64),
        w=w,
        origin=np.array(
            [int(market.is_us[c].all()) - int(market.is_china[c].all()) for c in cells],
            dtype=np.int64,
        ),
        side=side,
        left_out=left_out.reset_index(drop=True),
    )
    _check_against_panel(benchmarks, market)
    return benchmarks


def _check_against_panel(b: Benchmarks, market: Market) -> None:
    with np.errstate(divide="ignore"):
        inside = np.log(b.iota * (b.w * market.X[b.week]).sum(axis=1)) + b.off
    gap = (inside - b.y) / np.hypot(b.s, b.q)
    bad = (b.side <= 0) & ~b.flat[b.family] & (gap > _IMPOSSIBLE)
    if bad.any():
        i = int(np.argmax(np.where(bad, gap, -np.inf)))
        raise BenchmarkBelowPanel(
            f"ledger row '{b.ids[i]}'",
            got=f"exp({b.y[i]:.3f}) a week where the panel alone has exp({inside[i]:.3f})",
            rule=f"it may lie at most {_IMPOSSIBLE:g} of its standard deviations below the panel",
            next_step="Check its unit, its scope and the factor in the crosswalk.",
        )
