"""The panel as the central model sees it: cells by week, smoothed volume, effective price."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from offroute._typing import BoolArray, FloatArray, IntArray
from offroute.data.register import join_register
from offroute.exceptions import UnknownWeek
from offroute.measurement.censoring import fiftieth_model, fill_hidden
from offroute.measurement.prices import CELL, effective_prices, fill_prices, register_prices
from offroute.measurement.truncation import CARRIED_WEEKS, complete_other

#: Groups that have an off-platform volume, in the order of every array over groups.
GROUPS = ("US closed", "US open", "Rest of world", "China open", "China closed")
TIERS = ("flagship", "mid", "light", "unclassified")
#: A lab needs this part of one week's tokens to be a unit, and one of its tiers to be a cell.
_UNIT_SHARE = 0.02
_TIER_SHARE = 0.002
#: Smoothed volume never falls below this part of the panel, so that a lab that is absent from the
#: panel can still have an off-platform volume.
_FLOOR = 2e-4


@dataclass(frozen=True)
class Market:
    """Panel volumes by week and cell; a cell is a lab, an openness and a tier.

    Attributes
    ----------
    weeks : ndarray of datetime64[D], shape (T,)
        Mondays; absent weeks are absent.
    elapsed : ndarray, shape (T,)
        Weeks since the first one, so that gaps keep their length.
    anchor : int
        Index of the week T0 at which the random walks are zero.
    labs, groups, tiers : tuple of str, length C
        Labels of the cells.
    unit : ndarray of int, shape (C,)
        Index of the unit that the cell belongs to; cells of a unit are contiguous. A Chinese lab is
        one unit, since its open and closed models are sold and disclosed together; elsewhere the
        open models of a lab are a unit of their own, since its disclosures leave them out.
    X : ndarray, shape (T, C)
        Panel tokens a week, the unnamed rest included, partial weeks scaled to seven days.
    Xs : ndarray, shape (T, C)
        X smoothed over past weeks, tiers that no day lists filled in, never below a floor.
    price : ndarray, shape (T, C)
        Effective price, USD per token, cache reads included.
    by_model : ndarray of bool, shape (T,)
        Whether the week is known by model, not only by lab.
    stealth : ndarray, shape (T,)
        Panel tokens a week of models without a declared maker; they belong to no cell.
    """

    weeks: np.ndarray
    elapsed: FloatArray
    anchor: int
    labs: tuple[str, ...]
    groups: tuple[str, ...]
    tiers: tuple[str, ...]
    unit: IntArray
    X: FloatArray
    Xs: FloatArray
    price: FloatArray
    by_model: BoolArray
    stealth: FloatArray

    @property
    def group_index(self) -> IntArray:
        """Index of each cell's group in `GROUPS`, shape (C,)."""
        return np.array([GROUPS.index(g) for g in self.groups], dtype=np.int64)

    @property
    def unit_group(self) -> IntArray:
        """Group of each unit: that of most of its smoothed volume at the anchor, shape (U,)."""
        volume = np.zeros((int(self.unit.max()) + 1, len(GROUPS)))
        np.add.at(volume, (self.unit, self.group_index), self.Xs[self.anchor])
        return np.asarray(volume.argmax(axis=1), dtype=np.int64)

    @property
    def is_china(self) -> np.ndarray:
        """Whether a cell is of Chinese origin, shape (C,)."""
        return np.array([g.startswith("China") for g in self.groups])

    @property
    def is_closed(self) -> BoolArray:
        """Whether a cell has closed weights, shape (C,)."""
        return np.array([g.endswith("closed") for g in self.groups])

    @property
    def is_us(self) -> np.ndarray:
        """Whether a cell is of US origin, shape (C,)."""
        return np.array([g.startswith("US") for g in self.groups])


def week_index(market: Market, week: str) -> int:
    """Return the position of a week in the market.

    Parameters
    ----------
    market : Market
        The panel.
    week : str
        Any day, ISO; the Monday on or before it is meant.

    Returns
    -------
    int
        Index into the first axis of every array over weeks.

    Raises
    ------
    UnknownWeek
        If the day is not a date, or its week is absent from the panel.
    """
    span = f"{market.weeks[0]} to {market.weeks[-1]}"
    try:
        day = date.fromisoformat(week)
    except ValueError:
        raise UnknownWeek(
            "week", got=repr(week), rule="it must be an ISO date", next_step=f"Try one from {span}."
        ) from None
    monday = np.datetime64(day - timedelta(days=day.weekday()), "D")
    found = np.flatnonzero(market.weeks == monday)
    if not len(found):
        nearest = market.weeks[np.argmin(np.abs(market.weeks - monday))]
        raise UnknownWeek(
            "week",
            got=f"{week} (week of {monday})",
            rule=f"it must be a week of the panel, {span}, and two weeks do not exist",
            next_step=f"The nearest week is {nearest}.",
        )
    return int(found[0])


def latest_full_week(market: Market) -> str:
    """Return the Monday of the latest week that is known by model.

    Parameters
    ----------
    market : Market
        The panel.

    Returns
    -------
    str
        ISO date.
    """
    return str(market.weeks[np.flatnonzero(market.by_model)[-1]])


def _ewm(x: FloatArray, elapsed: FloatArray, halflife: float) -> FloatArray:
    """Exponentially weighted mean of past weeks that respects gaps; rows are weeks."""
    out = np.empty_like(x)
    num, den = np.zeros(x.shape[1]), 0.0
    for t in range(len(x)):
        keep = 0.0 if t == 0 else 0.5 ** ((elapsed[t] - elapsed[t - 1]) / halflife)
        num, den = num * keep + x[t], den * keep + 1.0
        out[t] = num / den
    return out


def build_market(
    usage: pd.DataFrame,
    models: pd.DataFrame,
    composition: pd.DataFrame,
    *,
    anchor: str = "2026-06-01",
    halflife: float = 6.0,
    off_panel: tuple[tuple[str, str], ...] = (("ByteDance", "China closed"),),
    keep: tuple[str, ...] = (),
) -> Market:
    """Arrange the panel by week and cell.

    Parameters
    ----------
    usage, models, composition : pandas.DataFrame
        As the loaders of `offroute.data.snapshot` return them.
    anchor : str
        Week T0.
    halflife : float
        Half-life of the smoothing, weeks.
    off_panel : tuple of (lab, group)
        Labs of the ledger that the panel hardly shows; for their volume elsewhere the median lab
        of their origin stands in.
    keep : tuple of str
        Labs that are units, and whose tiers are cells, however small: figures about them exist.

    Returns
    -------
    Market
        The arranged panel.

    Raises
    ------
    UnknownWeek
        If the anchor is not a week of the panel.

    Notes
    -----
    The unnamed rest of a week (``other``) is spread as `complete_other` does. Weeks known by lab
    only are split over openness and tier like the author's last four weeks known by model. In Xs
    alone, tiers without a listed model are filled in by `fill_hidden`. All are conventions;
    `offroute.measurement.truncation` has bounds.
    """
    model_prices = effective_prices(models, composition)
    named = join_register(usage, models).join(model_prices, on="model")
    frame = complete_other(usage, models, by=("author", *CELL))
    frame = _split_labs(frame, named)
    frame["rate"] = frame["tokens"] * 7.0 / frame["days"]
    starts, t = np.unique(_monday(frame), return_inverse=True)
    if np.datetime64(anchor, "D") not in starts:
        raise UnknownWeek(
            "anchor",
            got=repr(anchor),
            rule=f"it must be a Monday of the panel, {starts[0]} to {starts[-1]}",
            next_step="Take a week near the middle of the disclosures.",
        )
    elapsed = (starts - starts[0]).astype("int64") / 7.0
    rate = frame["rate"].to_numpy()
    labels = _cell_labels(frame, t, rate / np.bincount(t, rate)[t], keep)
    # A priced tier of a lab of the ledger is sold, even where no day lists a model of it.
    sold = models[models["lab"].isin(keep) & models["group"].isin(GROUPS) & (models["prompt"] > 0)]
    sold = sold[sold["tier"].isin(TIERS[:-1])]
    unseen = set(sold[CELL].itertuples(index=False, name=None)) - set(labels)
    labels |= {key: key for key in unseen}
    cells = {k for k in labels.values() if k[1] in GROUPS}
    units = {c[:2] for c in cells}
    cells |= {(*u, "unclassified") for u in off_panel if u not in units}
    order = sorted(cells, key=lambda c: (_unit_of(c), GROUPS.index(c[1]), TIERS.index(c[2])))
    position = {key: order.index(c) for key, c in labels.items() if c[1] in GROUPS}

    def _arrange(rows: pd.DataFrame, values: FloatArray) -> FloatArray:
        keys = zip(*(rows[column] for column in CELL), strict=True)
        cell = np.array([position.get(key, -1) for key in keys], dtype=np.int64)
        week = np.searchsorted(starts, _monday(rows))
        return _sum(week, cell, values, (len(starts), len(order)))

    X = _arrange(frame, rate)
    weekly = (named["tokens"] * 7.0 / named["days"]).to_numpy()
    part = fiftieth_model(named, weekly, np.searchsorted(starts, _monday(named)), len(starts))
    m = part * np.bincount(t, rate)
    hidden = np.array([c in unseen for c in order])
    Xs = _ewm(fill_hidden(X, elapsed, m=m, unseen=hidden), elapsed, halflife)
    Xs = np.maximum(Xs, _FLOOR * Xs.sum(axis=1, keepdims=True))
    Xs = _stand_in(Xs, order, off_panel)
    names = list(dict.fromkeys(_unit_of(c) for c in order))
    unit = np.array([names.index(_unit_of(c)) for c in order], dtype=np.int64)
    priced = named[(named["basis"] == "model") & named["effective_price"].notna()]
    tokens = priced["tokens"].to_numpy(dtype=np.float64)
    spend = _arrange(priced, tokens * priced["effective_price"].to_numpy())
    nests = [unit, np.array([GROUPS.index(c[1]) for c in order])]
    return Market(
        weeks=starts,
        elapsed=elapsed,
        anchor=int(np.flatnonzero(starts == np.datetime64(anchor, "D"))[0]),
        labs=tuple(c[0] for c in order),
        groups=tuple(c[1] for c in order),
        tiers=tuple(c[2] for c in order),
        unit=unit,
        X=X,
        Xs=Xs,
        price=fill_prices(
            spend, _arrange(priced, tokens), register_prices(models, model_prices, order), nests
        ),
        by_model=np.isin(starts, np.unique(_monday(named[named["basis"] == "model"]))),
        stealth=_sum(t, np.where(frame["group"] == "Stealth", 0, -1), rate, (len(starts), 1))[:, 0],
    )


def _cell_labels(
    frame: pd.DataFrame, t: IntArray, share: FloatArray, keep: tuple[str, ...]
) -> dict[tuple[str, str, str], tuple[str, str, str]]:
    """Cell of each lab, group and tier; small labs and tiers are pooled unless the lab is kept."""

    def _peak(columns: list[pd.Series]) -> FloatArray:
        code, keys = pd.MultiIndex.from_arrays(columns).factorize()
        table = np.bincount(t * len(keys) + code, share, (t.max() + 1) * len(keys))
        highest: FloatArray = table.reshape(-1, len(keys)).max(axis=0)[code]
        return highest

    group, tier = frame["group"], frame["tier"]
    own = (_peak([frame["lab"], group]) >= _UNIT_SHARE) | frame["lab"].isin(keep).to_numpy()
    lab = frame["lab"].where(own, "Other labs")
    volume = pd.Series(share).groupby([lab, group, tier]).sum()
    largest = volume.groupby(level=[0, 1]).idxmax().map(lambda key: key[2])
    main = largest.reindex(pd.MultiIndex.from_arrays([lab, group])).to_numpy()
    least = np.where(lab.isin(keep) & (tier != "unclassified"), 0.0, _TIER_SHARE)
    kept = tier.where(_peak([lab, group, tier]) >= least, pd.Series(main))
    keys = zip(frame["lab"], group, tier, strict=True)
    return dict(zip(keys, zip(lab, group, kept, strict=True), strict=True))


def _unit_of(cell: tuple[str, str, str]) -> tuple[int, str]:
    """Key of the unit of a cell: origin and openness, or origin alone for Chinese labs."""
    lab, group, _ = cell
    place = GROUPS.index(group)
    return (GROUPS.index("China open") if group.startswith("China") else place, lab)


def _stand_in(
    Xs: FloatArray, order: list[tuple[str, str, str]], off_panel: tuple[tuple[str, str], ...]
) -> FloatArray:
    """Give labs that the panel hardly shows the smoothed volume of their origin's median lab."""
    out = Xs.copy()
    for lab, group in off_panel:
        own = np.array([c[0] == lab for c in order])
        side = [c[0] if c[1].split(" ")[0] == group.split(" ")[0] else "" for c in order]
        peers = sorted(set(side) - {"", lab, "Other labs"})
        volumes = np.array([Xs[:, [s == peer for s in side]].sum(axis=1) for peer in peers])
        out[:, own] = np.median(volumes, axis=0)[:, None] / own.sum()
    return out


def _monday(frame: pd.DataFrame) -> np.ndarray:
    """Week of each row as days."""
    return frame["week_start"].to_numpy().astype("datetime64[D]")


def _sum(t: IntArray, cell: IntArray, value: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Sum values by week and cell; rows of no cell (negative index) are left out."""
    keep = cell >= 0
    out = np.zeros(shape)
    np.add.at(out, (t[keep], cell[keep]), value[keep])
    return out


def _split_labs(frame: pd.DataFrame, named: pd.DataFrame) -> pd.DataFrame:
    """Split what is known by author only over cells like the author's last weeks by model."""
    by_model = named[(named["basis"] == "model")]
    last = sorted(by_model["week_start"].unique())[-CARRIED_WEEKS:]
    recent = by_model[by_model["week_start"].isin(last)]
    mix = recent.groupby(["author", *CELL], as_index=False)["tokens"].sum()
    mix["part"] = mix["tokens"] / mix.groupby("author")["tokens"].transform("sum")
    whole = frame["basis"] == "lab"
    split = frame[whole].merge(
        mix.drop(columns="tokens"), on="author", how="left", suffixes=("_whole", "")
    )
    for column in CELL:
        split[column] = split[column].fillna(split[f"{column}_whole"])
    split["tokens"] = split["named"] * split["part"].fillna(1.0)
    rest = frame.assign(tokens=frame["tokens"].where(~whole, frame["hidden"]))
    return pd.concat([rest, split[frame.columns]], ignore_index=True)
