"""What the cache holds of OpenRouter's Data API, as frames; nothing here asks the server."""

from datetime import UTC, datetime

import pandas as pd

from offroute.data.openrouter_rows import (
    Apps,
    Catalogue,
    Rankings,
    SessionCosts,
    Tasks,
    parse,
    rankings_frame,
)
from offroute.data.register import base_of
from offroute.data.store import Response, list_responses, read_body
from offroute.data.transport import Session
from offroute.data.vintages import Vintages, join_vintages

RANKINGS, APPS = "datasets/rankings-daily", "datasets/app-rankings"
SESSION_COST, TASKS, MODELS = "datasets/session-cost", "classifications/task", "models"
FIRST_PAGE = '"offset": "0"'


def rankings(session: Session, *, since: str = "") -> Vintages:
    """Return the daily tokens by model in the cache.

    Parameters
    ----------
    session : Session
        The server; nothing is asked.
    since : str
        Only answers that reach this day are read; days before it may be missing.

    Returns
    -------
    Vintages
        ``date``, ``model``, ``tokens`` (exact integers), and what was restated.
    """
    name = f"cached {session.source} {RANKINGS}"
    parts = [
        (
            answer,
            rankings_frame(parse(Rankings, read_body(session.cache, answer), name=name), name=name),
        )
        for answer in list_responses(session.cache, session.source, RANKINGS)
        if answer.last >= since
    ]
    return join_vintages(parts, key=("date", "model"), value="tokens")


def apps(session: Session) -> pd.DataFrame:
    """Return the app rankings in the cache; apps of one name are added up.

    Parameters
    ----------
    session : Session
        The server; nothing is asked.

    Returns
    -------
    pandas.DataFrame
        ``window_end`` (day of the answer), ``window_days``, ``app``, ``tokens``, ``requests``.
    """
    # Of several answers of a day, as of two refreshes at once, the last stands for it.
    parts = {}
    for stored in list_responses(session.cache, session.source, APPS):
        answer = parse(Apps, read_body(session.cache, stored), name=f"cached {APPS}")
        days = (answer.meta.end_date - answer.meta.start_date).days + 1
        parts[stored.as_of[:10], days] = answer.data
    rows = [
        (day, days, row.app_name, row.total_tokens, row.total_requests)
        for (day, days), data in parts.items()
        for row in data
    ]
    frame = pd.DataFrame(rows, columns=["window_end", "window_days", "app", "tokens", "requests"])
    return frame.groupby(["window_end", "window_days", "app"], as_index=False).sum()


def session_costs(session: Session) -> pd.DataFrame:
    """Return the newest complete snapshot of session costs in the cache.

    Parameters
    ----------
    session : Session
        The server; nothing is asked.

    Returns
    -------
    pandas.DataFrame
        ``window_end``, ``app``, ``model``, ``turn_range``, ``median_usd`` (USD per session).
    """
    snapshots: dict[str, dict[str, Response]] = {}
    for stored in list_responses(session.cache, session.source, SESSION_COST):
        snapshots.setdefault(stored.as_of, {})[stored.params] = stored
    # The first page is stored last: a snapshot without it was interrupted.
    whole = [pages for pages in snapshots.values() if any(FIRST_PAGE in p for p in pages)]
    rows = []
    for stored in whole[-1].values() if whole else []:
        answer = parse(
            SessionCosts, read_body(session.cache, stored), name=f"cached {SESSION_COST}"
        )
        rows += [
            (
                answer.meta.window_end_date,
                row.app_slug,
                row.model_permaslug,
                row.turn_range,
                row.median_session_cost_usd,
            )
            for row in answer.data
        ]
    return pd.DataFrame(rows, columns=["window_end", "app", "model", "turn_range", "median_usd"])


def tasks(session: Session) -> pd.DataFrame:
    """Return the task shares in the cache.

    Parameters
    ----------
    session : Session
        The server; nothing is asked.

    Returns
    -------
    pandas.DataFrame
        ``as_of``, ``window_days``, ``tag``, ``category``, ``usage_share``, ``token_share``
        (fractions of classified requests and tokens).
    """
    rows = []
    for stored in list_responses(session.cache, session.source, TASKS):
        data = parse(Tasks, read_body(session.cache, stored), name=f"cached {TASKS}").data
        rows += [
            (
                data.as_of.date(),
                data.window_days,
                row.tag,
                row.macro_category,
                row.usage_share,
                row.token_share,
            )
            for row in data.classifications
        ]
    columns = ["as_of", "window_days", "tag", "category", "usage_share", "token_share"]
    return pd.DataFrame(rows, columns=columns).drop_duplicates(["as_of", "tag"], keep="last")


def catalogues(session: Session) -> pd.DataFrame:
    """Return all vintages of the catalogue in the cache, without aliases.

    Parameters
    ----------
    session : Session
        The server; nothing is asked.

    Returns
    -------
    pandas.DataFrame
        ``day`` of the answer, ``id``, ``model`` (canonical slug with the variant of the id, as in
        the rankings), ``open`` (whether a Hugging Face id is given), ``hugging_face_id``,
        ``prompt``, ``completion``, ``cache_read`` (USD per million tokens, missing for routers),
        ``listed``. Of several ids with one slug, the one that equals it, else the newest.
    """
    rows = []
    for stored in list_responses(session.cache, session.source, MODELS):
        answer = parse(Catalogue, read_body(session.cache, stored), name=f"cached {MODELS}")
        for row in answer.data:
            if row.id.startswith("~") or row.alias_target is not None:
                continue
            variant = row.id.partition(":")[2]
            rows.append(
                (
                    stored.as_of[:10],
                    row.id,
                    base_of(row.canonical_slug) + (f":{variant}" if variant else ""),
                    row.hugging_face_id or "",
                    row.pricing.prompt,
                    row.pricing.completion,
                    row.pricing.input_cache_read,
                    datetime.fromtimestamp(row.created, UTC).date().isoformat(),
                )
            )
    names = [
        "day",
        "id",
        "model",
        "hugging_face_id",
        "prompt",
        "completion",
        "cache_read",
        "listed",
    ]
    frame = pd.DataFrame(rows, columns=names)
    frame["same"] = frame["id"] == frame["model"]
    frame = frame.sort_values(["day", "model", "same", "listed", "id"])
    return frame.drop_duplicates(["day", "model"], keep="last").drop(columns="same")
