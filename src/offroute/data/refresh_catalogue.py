"""From the vintages of the catalogue to dated list prices and the roster."""

from pathlib import Path

import pandas as pd

from offroute.data.provenance import About
from offroute.data.register import (
    AUTHORS,
    UNIDENTIFIED,
    author_of,
    base_of,
    group_of,
)
from offroute.data.snapshot import sidecar_of

SOURCE = "catalogue"
_VALUES = ["prompt", "completion", "cache_read"]
_ROUTERS = ("openrouter/free", "openrouter/auto")


def price_table(catalogue: pd.DataFrame, models: pd.DataFrame, base: pd.DataFrame) -> pd.DataFrame:
    """Return the dated list prices with those of the catalogue.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        As of `offroute.data.openrouter_frames.catalogues`.
    models : pandas.DataFrame
        Register.
    base : pandas.DataFrame
        Dated prices so far.

    Returns
    -------
    pandas.DataFrame
        The rows of `base`, and first and last sighting of each price of a register model without
        variant; prices of zero are left out.
    """
    standard = set(models.loc[models["variant"] == "standard", "model"])
    rows = catalogue[catalogue["model"].isin(standard)].assign(source=SOURCE)
    rows = rows.assign(as_of=pd.to_datetime(rows["day"]), **{
        name: rows[name].astype("float64").round(4) for name in _VALUES
    })  # fmt: skip  # dense
    rows = rows[(rows["prompt"] > 0) | (rows["completion"] > 0)].sort_values(["model", "as_of"])
    keys = rows[["model", *_VALUES]].fillna(-1.0)
    first = keys.ne(keys.shift()).any(axis=1)
    last = keys["model"].ne(keys["model"].shift(-1))
    rows = rows[first | last]
    if rows.empty:
        return base
    kept = base[base["source"] != SOURCE]
    return pd.concat([kept, rows[base.columns]], ignore_index=True)


def roster_table(
    catalogue: pd.DataFrame, models: pd.DataFrame, base: pd.DataFrame
) -> tuple[pd.DataFrame, int]:
    """Return the roster with the spells of the catalogue's vintages.

    A spell is an unbroken run of vintages that list an id, the last day of `base` counted as the
    vintage before the first. Openness is that of the register, else
    open with a Hugging Face id, else that of most register models of the author, else closed.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        As of `offroute.data.openrouter_frames.catalogues`.
    models : pandas.DataFrame
        Register.
    base : pandas.DataFrame
        Roster so far.

    Returns
    -------
    table : pandas.DataFrame
        Roster.
    unlisted : int
        Ids of authors in no list; they have origin ``Unidentified``.
    """
    frame = catalogue[catalogue["prompt"].notna() & ~catalogue["id"].isin(_ROUTERS)]
    if frame.empty:
        return base, 0
    before = base["last"].max()
    days = pd.DatetimeIndex(pd.to_datetime(sorted(set(catalogue["day"]))))
    earlier = pd.Series([before, *days[:-1]], index=days)
    frame = frame.assign(seen=pd.to_datetime(frame["day"]), listed=pd.to_datetime(frame["listed"]))
    frame = frame.assign(number=days.get_indexer(pd.Index(frame["seen"]))).sort_values(
        ["id", "number"]
    )
    new = frame["id"].ne(frame["id"].shift()) | frame["number"].diff().ne(1)
    spells = frame.groupby(new.cumsum()).agg(
        id=("id", "last"), slug=("model", "last"), first=("seen", "min"), last=("seen", "max"),
        listed=("listed", "first"), repository=("hugging_face_id", "last"),
    )  # fmt: skip  # dense
    # It came after the vintage before, which did not list it, and on the day it says if that fits.
    after = spells["first"].map(earlier) + pd.Timedelta(days=1)
    spells["first"] = spells["listed"].clip(lower=after, upper=spells["first"])
    running = base[base["last"] == before].set_index("model")["first"]
    opening = frame.loc[frame["number"] == 0, "id"]
    goes_on = running[running.index.isin(opening)]
    at_start = ~spells["id"].duplicated() & spells["id"].isin(goes_on.index)
    spells["first"] = spells["first"].mask(at_start, spells["id"].map(goes_on))
    author = spells["id"].map(author_of)
    places = author.map(lambda name: AUTHORS.get(name, (name, UNIDENTIFIED)))
    known = models[~models["model"].str.endswith("/*")]
    exact = known.set_index("model")["weights"]
    place = known.drop_duplicates("author").set_index("author")
    majority = known.groupby("author")["weights"].agg(lambda w: w.mode().iloc[0])
    weights = (
        spells["slug"].map(exact)
        .fillna(spells["slug"].map(base_of).map(exact))
        .fillna(spells["repository"].ne("").map({True: "open"}))
        .fillna(author.map(majority))
        .fillna("closed")
    )  # fmt: skip  # dense
    table = pd.DataFrame(
        {
            "model": spells["id"],
            "author": author,
            "lab": author.map(place["lab"]).fillna(places.str[0]),
            "origin": author.map(place["origin"]).fillna(places.str[1]),
            "weights": weights,
            "first": spells["first"],
            "last": spells["last"],
        }
    )
    table["group"] = [
        group_of(author=a, origin=o, weights=w)
        for a, o, w in zip(table["author"], table["origin"], table["weights"], strict=True)
    ]
    unlisted = int((~author.isin(AUTHORS) & ~author.isin(place.index)).sum())
    kept = base[~((base["last"] == before) & base["model"].isin(goes_on.index))]
    return pd.concat([kept, table[base.columns]], ignore_index=True), unlisted


def about_catalogue(table: str, catalogue: pd.DataFrame, base: Path | None) -> About:
    """Return the sidecar text of a table that the catalogue extends.

    Parameters
    ----------
    table : {'prices', 'roster'}
        The table.
    catalogue : pandas.DataFrame
        As of `offroute.data.openrouter_frames.catalogues`.
    base : pathlib.Path or None
        Folder of the base tables.
    """
    old = sidecar_of(table, base)
    if catalogue.empty:
        return About(old.title, old.source, old.citation, old.licence, old.as_of, old.derived)
    days = sorted(set(catalogue["day"]))
    return About(
        title=old.title,
        source=(*old.source, f"OpenRouter GET /api/v1/models, {days[0]} to {days[-1]}"),
        citation=f"Source: OpenRouter (openrouter.ai/rankings), as of {days[-1]}.",
        licence=old.licence,
        as_of=days[-1],
        derived=f"{old.derived} Added: {len(days)} vintages of the catalogue, ids joined to "
        "permaslugs by canonical slug and variant.",
    )
