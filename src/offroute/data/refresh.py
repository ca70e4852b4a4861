"""From what the cache holds to the tables of the snapshot.

The tables are a function of three things: the cache, the base folder (the shipped snapshot unless
another is named) and the user's decisions. Days that were pulled replace those of the base; what
no server publishes (ledger, crosswalk, token composition) is taken from the base as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from offroute.data import openrouter_frames as panel
from offroute.data import schema, schema_refresh, snapshot
from offroute.data.classify import (
    classify_gateway,
    classify_models,
    decide_again,
    with_tiers,
)
from offroute.data.decisions import Decisions
from offroute.data.gateway import shares, wide_shares
from offroute.data.openrouter_rows import PER_DAY
from offroute.data.provenance import About
from offroute.data.refresh_catalogue import about_catalogue, price_table, roster_table
from offroute.data.register import base_of
from offroute.data.transport import Session
from offroute.data.vintages import Vintages
from offroute.exceptions import InvalidValue

COPIED = ("composition", "crosswalk", "ledger")
"""Tables that no server publishes."""

RECENT_DAYS = 28
FULL_WEEK = 7
_PANEL_CITATION = "Source: OpenRouter (openrouter.ai/rankings), as of {}."
_APPS_CITATION = "Source: OpenRouter (openrouter.ai/apps), as of {}."
_GATEWAY_CITATION = (
    'Source: "AI Gateway Leaderboard Data", (c) 2026 Vercel, as of {}. Vercel does not endorse '
    "this use."
)


@dataclass(frozen=True)
class Table:
    """One table to be written.

    Attributes
    ----------
    frame : pandas.DataFrame
        Its rows.
    rules : Schema
        Its columns.
    about : About
        What its sidecar says.
    """

    frame: pd.DataFrame
    rules: schema.Schema
    about: About


@dataclass(frozen=True)
class Refreshed:
    """Tables, and what a user should know of them.

    Attributes
    ----------
    tables : dict of str to Table
        Tables by name; those of `COPIED` are not among them.
    undecided : pandas.DataFrame
        ``kind``, ``name``, ``lab``, ``origin``, ``weights``, ``reason``, ``tokens`` (of the last 28
        days), ``share`` (of all tokens of these days).
    placed : pandas.DataFrame
        Register rows of models that the base does not have.
    restated : pandas.DataFrame
        As the table of this name.
    absent : tuple of datetime.date
        Days of the panel that were asked for and have no row.
    partial : tuple of datetime.date
        Mondays of weeks with some but not all days: they are in ``daily``, not in ``usage``.
    short : tuple of datetime.date
        Pulled days with fewer than the 51 rows that the panel documents.
    unlisted : int
        Catalogue ids of authors in no list; they stand as ``Unidentified`` in the roster.
    """

    tables: dict[str, Table]
    undecided: pd.DataFrame
    placed: pd.DataFrame
    restated: pd.DataFrame
    absent: tuple[date, ...]
    partial: tuple[date, ...]
    short: tuple[date, ...]
    unlisted: int


def monday_of(day: date) -> date:
    """Return the Monday on or before a day.

    Parameters
    ----------
    day : datetime.date
        The day.

    Examples
    --------
    >>> monday_of(date(2026, 6, 7)).isoformat()
    '2026-06-01'
    """
    return day - timedelta(days=day.weekday())


def weekly_usage(daily: pd.DataFrame) -> tuple[pd.DataFrame, tuple[date, ...]]:
    """Sum daily tokens to weeks that have all their days.

    Parameters
    ----------
    daily : pandas.DataFrame
        ``date``, ``model``, ``tokens``.

    Returns
    -------
    usage : pandas.DataFrame
        As the table of this name.
    partial : tuple of datetime.date
        Mondays of the weeks left out, which lack a day.

    Examples
    --------
    >>> days = pd.date_range("2026-06-01", "2026-06-09")
    >>> usage, partial = weekly_usage(pd.DataFrame({"date": days, "model": "other", "tokens": 2}))
    >>> usage["tokens"].tolist(), [day.isoformat() for day in partial]
    ([14], ['2026-06-08'])
    """
    start = daily["date"] - pd.to_timedelta(daily["date"].dt.day_of_week, unit="D")
    days = daily.groupby(start)["date"].nunique()
    full = days.index[days == FULL_WEEK]
    rows = daily.assign(week_start=start)[start.isin(full)]
    usage = rows.groupby(["week_start", "model"], as_index=False)["tokens"].sum()
    partial = tuple(day.date() for day in days.index.difference(full))
    return usage.assign(days=FULL_WEEK, basis="model"), partial


def build_tables(
    openrouter: Session, vercel: Session | None, base: Path | None, decisions: Decisions
) -> Refreshed:
    """Return the tables of the snapshot with what the cache holds.

    Parameters
    ----------
    openrouter : Session
        The panel; nothing is asked.
    vercel : Session or None
        The second gateway; None leaves its table as in the base.
    base : pathlib.Path or None
        Folder of the base tables; the shipped snapshot if None.
    decisions : Decisions
        What the user decided about models and labs.

    Returns
    -------
    Refreshed
        Tables, and what is undecided, restated, absent and partial.

    Raises
    ------
    InvalidValue
        If the cache has no day of the panel.
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        If the cache or a base table is not what it should be.
    """
    pulled = panel.rankings(openrouter)
    if pulled.newest.empty:
        raise InvalidValue(
            f"cache '{openrouter.cache}'",
            got="no day of the rankings",
            rule="at least one day must have been fetched",
            next_step="Refresh without --offline.",
        )
    tokens = pulled.newest[["date", "model", "tokens"]].astype({"tokens": "int64"})
    usage, partial = weekly_usage(tokens)
    usage = _replace(snapshot.load_usage(base), usage, "week_start")
    daily = _replace(snapshot.load_daily(base), tokens, "date")
    catalogue = panel.catalogues(openrouter)
    register = snapshot.load_models(base)
    new = sorted((set(usage["model"]) | set(daily["model"])) - set(register["model"]))
    placed, undecided = classify_models(
        new, register, catalogue.drop_duplicates("model", keep="last"), decisions
    )
    models, placed = _register(decide_again(register, decisions), placed, daily, base)
    undecided = _sizes(undecided, tokens)
    roster, unlisted = roster_table(catalogue, models, snapshot.load_roster(base))
    about = _panel_about(openrouter, pulled, catalogue)
    tables = {
        "usage": Table(usage, schema.USAGE, about["usage"]),
        "daily": Table(daily, schema.DAILY, about["daily"]),
        "models": Table(models, schema.MODELS, about["models"]),
        "prices": Table(
            price_table(catalogue, models, snapshot.load_prices(base)),
            schema.PRICES,
            about_catalogue("prices", catalogue, base),
        ),
        "roster": Table(roster, schema.ROSTER, about_catalogue("roster", catalogue, base)),
        "apps": Table(
            _replace(snapshot.load_apps(base), _days(panel.apps(openrouter)), "window_end"),
            schema.APPS,
            about["apps"],
        ),
    }
    for frame, rules in (
        (_days(panel.session_costs(openrouter)), schema_refresh.SESSION_COST),
        (_days(panel.tasks(openrouter)), schema_refresh.TASKS),
    ):
        if len(frame):
            tables[rules.table] = Table(frame, rules, about[rules.table])
    restated = [_restated(pulled, "openrouter")]
    if vercel is not None:
        second = shares(vercel)
        table, asked = classify_gateway(wide_shares(second.newest), decisions)
        merged = _replace(snapshot.load_gateway(base), table, "date")
        tables["gateway"] = Table(merged, schema.GATEWAY, _gateway_about(second))
        undecided = pd.concat([undecided, asked.assign(tokens=0, share=0.0)], ignore_index=True)
        restated.append(_restated(second, "vercel"))
    else:
        sidecar = snapshot.sidecar_of("gateway", base)
        about_base = About(
            *(sidecar.title, sidecar.source, sidecar.citation, sidecar.licence),
            *(sidecar.as_of, sidecar.derived),
        )
        tables["gateway"] = Table(snapshot.load_gateway(base), schema.GATEWAY, about_base)
    changes = pd.concat([r for r in restated if len(r)] or restated[:1], ignore_index=True)
    if len(changes):
        tables["restated"] = Table(changes, schema_refresh.RESTATED, about["restated"])
    rows = tokens.groupby("date").size()
    short = tuple(day.date() for day in rows.index[rows < PER_DAY])
    return Refreshed(tables, undecided, placed, changes, pulled.absent, partial, short, unlisted)


def _replace(base: pd.DataFrame, new: pd.DataFrame, day: str) -> pd.DataFrame:
    """Return the base without the days that the new rows have, and these."""
    if new.empty:
        return base
    return pd.concat([base[~base[day].isin(new[day])], new[base.columns]], ignore_index=True)


def _days(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its day columns as days."""
    names = [name for name in ("window_end", "as_of") if name in frame]
    return frame.assign(
        **{name: pd.to_datetime(frame[name]).astype("datetime64[us]") for name in names}
    )


def _register(
    register: pd.DataFrame, placed: pd.DataFrame, daily: pd.DataFrame, base: Path | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add the new rows with their tiers; the tiers of the base stay."""
    if placed.empty:
        return register, register.head(0)
    days = {name: pd.to_datetime(placed[name]) for name in ("price_as_of", "listed")}
    both = pd.concat(
        [register.drop(columns=["tier", "tier_rule"]), placed.assign(**days)], ignore_index=True
    )
    entered = pd.concat(
        [
            snapshot.load_usage(base).groupby("model")["week_start"].min(),
            daily.groupby("model")["date"].min(),
        ]
    )
    entered = entered.groupby(level=0).min()
    dated = snapshot.load_prices(base).dropna(subset=["completion"]).sort_values("as_of")
    price = dated[dated["completion"] > 0].groupby("model")["completion"].last()
    own = both[both["completion"] > 0].drop_duplicates("model").set_index("model")["completion"]
    tiered = with_tiers(both, entered=entered, price=own.combine_first(price))
    rows = tiered.tail(len(placed))[register.columns]
    return pd.concat([register, rows], ignore_index=True), rows.reset_index(drop=True)


def _sizes(undecided: pd.DataFrame, tokens: pd.DataFrame) -> pd.DataFrame:
    """Add the tokens of the last 28 days, largest first."""
    last = tokens["date"].max() - pd.Timedelta(days=RECENT_DAYS - 1)
    recent = tokens[tokens["date"] >= last]
    by_base = recent.groupby(recent["model"].map(base_of))["tokens"].sum()
    suffix = recent["model"].str.partition(":")[2]
    by_variant = recent.groupby(suffix)["tokens"].sum()
    volume = [
        int((by_variant if kind == "variant" else by_base).get(name, 0))
        for kind, name in zip(undecided["kind"], undecided["name"], strict=True)
    ]
    sized = undecided.assign(tokens=np.array(volume, dtype="int64"))
    total = max(int(recent["tokens"].sum()), 1)
    return sized.assign(share=sized["tokens"] / total).sort_values(
        ["tokens", "name"], ascending=[False, True], ignore_index=True
    )


def _restated(vintages: Vintages, source: str) -> pd.DataFrame:
    """Return the changed values of a series as rows of the table."""
    rows = vintages.restated
    if source == "openrouter":
        named = rows.assign(name=rows["model"], quantity="tokens")
    else:
        words = {"tokens": "token share", "spend": "spend share", "requests": "request share"}
        named = rows.assign(name=rows["lab"], quantity=rows["metric"].map(words))
    named = named.assign(source=source)
    return named[[column.name for column in schema_refresh.RESTATED.columns]]


def _panel_about(
    session: Session, pulled: Vintages, catalogue: pd.DataFrame
) -> Mapping[str, About]:
    """Sidecar texts of the panel's tables."""
    days = pulled.newest["date"]
    span = f"{days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}"
    listed = catalogue["day"].max() if len(catalogue) else "never"
    kept = (
        "Earlier days and weeks are those of the base. Every answer is kept with its SHA-256 in "
        "the cache of the refresh."
    )
    texts = {
        "usage": (
            "Weekly tokens by model on OpenRouter",
            f"Sums of Monday-start weeks that have all seven days, from the days {span}. {kept}",
        ),
        "daily": (
            "Daily tokens of the top 50 models on OpenRouter and of all others together",
            f"Date, permaslug and tokens of {span}. {kept}",
        ),
        "models": (
            "Register of the models in the usage table",
            "Rows of the base; new models by the rules of offroute.data.classify and the user's "
            f"decisions; catalogue of {listed}. Tiers by offroute.data.tiers.",
        ),
        "apps": (
            "Largest apps on OpenRouter by tokens and requests",
            "One 30-day window per day of an answer, apps of one name added up.",
        ),
        "session_cost": (
            "Median cost of a session by harness, model and length",
            "Newest snapshot.",
        ),
        "tasks": ("Shares of tasks in classified traffic", "Seven-day windows."),
        "restated": (
            "Values that a later answer changed, with the earlier ones",
            "Answers of the cache compared in the order of their times.",
        ),
    }
    endpoints = {
        "usage": panel.RANKINGS,
        "daily": panel.RANKINGS,
        "models": panel.MODELS,
        "apps": panel.APPS,
        "session_cost": panel.SESSION_COST,
        "tasks": panel.TASKS,
        "restated": panel.RANKINGS,
    }
    return {
        name: About(
            title=title,
            source=(f"OpenRouter GET {session.base_url}/{endpoints[name]}",),
            citation=(_APPS_CITATION if name == "apps" else _PANEL_CITATION).format(pulled.as_of),
            licence="CC BY 4.0",
            as_of=pulled.as_of[:10],
            derived=derived,
        )
        for name, (title, derived) in texts.items()
    }


def _gateway_about(vintages: Vintages) -> About:
    return About(
        title="Vercel AI Gateway: shares of tokens, spend and requests by lab",
        source=('"AI Gateway Leaderboard Data", (c) 2026 Vercel, labs export, all modalities',),
        citation=_GATEWAY_CITATION.format(vintages.as_of),
        licence="CC BY 4.0",
        as_of=vintages.as_of[:10],
        derived="Per cent to fraction; lab ids renamed as in offroute.data.register; openness of "
        "whole labs by a list. Earlier days are those of the base.",
    )
