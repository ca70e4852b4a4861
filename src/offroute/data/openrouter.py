"""Client of OpenRouter's Data API: daily rankings, apps, session costs, tasks, the catalogue.

What is stored is not asked again, except the last two completed days, which the server restates.
Every answer is kept as received, so that a restated figure stands beside the old one.
"""

from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, date, datetime, timedelta

from offroute.data.openrouter_frames import (
    APPS,
    MODELS,
    RANKINGS,
    SESSION_COST,
    TASKS,
    rankings,
)
from offroute.data.openrouter_rows import (
    Apps,
    Catalogue,
    Rankings,
    SessionCosts,
    Tasks,
    parse,
    rankings_frame,
)
from offroute.data.provenance import sha256_bytes
from offroute.data.store import (
    Response,
    list_responses,
    params_text,
    save_response,
)
from offroute.data.transport import Session, fetch, utc_text
from offroute.data.vintages import AGAIN, missing_windows
from offroute.exceptions import BadResponse, DuplicateKey, InvalidValue

BASE_URL = "https://openrouter.ai/api/v1"
SOURCE = "openrouter"
FIRST_DAY = date(2025, 1, 1)
"""Earliest day of the daily data sets; an earlier start is moved here by the server."""

LONGEST_WINDOW = 366
APP_DAYS = 30
_APP_LIMIT, _PAGE, _LAST_OFFSET = 100, 500, 5000
_SKEW = timedelta(hours=1)

Progress = Callable[[str, int, int], None]


def today(session: Session) -> date:
    """Return the current UTC day of this machine.

    Parameters
    ----------
    session : Session
        Whose clock to read.
    """
    return datetime.fromtimestamp(session.clock.now(), UTC).date()


def check_as_of(session: Session, as_of: datetime, *, name: str) -> None:
    """Refuse an answer whose time is far from this machine's.

    Which days are complete depends on both clocks, so that a wrong one would pass off part of a
    day as the whole.

    Parameters
    ----------
    session : Session
        Whose clock to compare with.
    as_of : datetime.datetime
        Time of the answer.
    name : str
        Server and endpoint.

    Raises
    ------
    InvalidValue
        If they differ by more than an hour.
    """
    here = datetime.fromtimestamp(session.clock.now(), UTC)
    if abs(as_of - here) > _SKEW:
        raise InvalidValue(
            f"{name}, field 'meta.as_of'",
            got=f"{as_of:%Y-%m-%dT%H:%M:%SZ}, while this machine has {here:%Y-%m-%dT%H:%M:%SZ}",
            rule="the two clocks must agree within an hour",
            next_step="Set this machine's clock; if it is right, run again later.",
        )


def store_answer(
    session: Session,
    endpoint: str,
    params: dict[str, str],
    body: bytes,
    *,
    as_of: datetime | None = None,
    window: tuple[date, date] | None = None,
) -> None:
    """Put a checked answer into the cache.

    Parameters
    ----------
    session : Session
        The server.
    endpoint : str
        Path below its base address.
    params : dict of str to str
        Query.
    body : bytes
        The answer.
    as_of : datetime.datetime, optional
        Time that it states; this machine's otherwise.
    window : tuple of datetime.date, optional
        First and last day that it covers.
    """
    now = session.clock.now()
    save_response(
        session.cache,
        body,
        Response(
            source=session.source,
            endpoint=endpoint,
            params=params_text(params),
            fetched_at=utc_text(now),
            as_of=utc_text(now if as_of is None else as_of.timestamp()),
            first=window[0].isoformat() if window else "",
            last=window[1].isoformat() if window else "",
            sha256=sha256_bytes(body),
        ),
    )


def pull_rankings(
    session: Session, first: date, last: date, *, again: int = AGAIN, progress: Progress
) -> None:
    """Ask for the days of the daily rankings that are not settled in the cache.

    Parameters
    ----------
    session : Session
        The server.
    first, last : datetime.date
        Days that are wanted; `last` has ended.
    again : int
        Last completed days to ask again.
    progress : callable
        Receives what is asked, how many requests are done, and of how many.

    Raises
    ------
    BadResponse, SchemaError, InvalidValue, DuplicateKey
        If an answer is not what the documentation says; earlier windows stay stored.
    InvalidKey, RateLimited, ServerUnavailable
        As `fetch`.
    """
    name = f"{session.source} {RANKINGS}"
    first = max(first, FIRST_DAY)
    stored = list_responses(session.cache, session.source, RANKINGS)
    windows = missing_windows(stored, first, last, longest=LONGEST_WINDOW, again=again)
    since = windows[0][0].isoformat() if windows else ""
    known = set(rankings(session, since=since).newest["date"]) if windows else set()
    for done, (start, end) in enumerate(windows):
        progress(RANKINGS, done, len(windows))
        params = {"start_date": start.isoformat(), "end_date": end.isoformat()}
        body = fetch(session, RANKINGS, params)
        answer = parse(Rankings, body, name=name)
        check_as_of(session, answer.meta.as_of, name=name)
        frame = rankings_frame(answer, name=name)
        meta = answer.meta
        before = {day for day in known if start <= day.date() <= meta.end_date}
        lost = sorted(before - set(frame["date"]))
        if meta.start_date != start or not start <= meta.end_date <= end or lost:
            raise BadResponse(
                name,
                got=f"no row of {lost[0]:%Y-%m-%d}, which had some"
                if lost
                else f"the window {meta.start_date} to {meta.end_date}",
                rule=f"the answer must cover {start} to {end}, or end earlier, with all days that "
                "it had before",
                next_step="Nothing was stored. Run again later; --cache NEW starts afresh.",
            )
        window = (meta.start_date, meta.end_date)
        store_answer(session, RANKINGS, params, body, as_of=meta.as_of, window=window)
    progress(RANKINGS, len(windows), len(windows))


def _asked_today(session: Session, endpoint: str, params: dict[str, str]) -> bool:
    """Say whether the cache has this answer from the current UTC day."""
    text, day = params_text(params), today(session).isoformat()
    stored = list_responses(session.cache, session.source, endpoint)
    return any(a.params == text and a.fetched_at[:10] == day for a in stored)


def pull_apps(session: Session) -> None:
    """Ask for the app rankings of the last 30 completed days, once a day.

    Parameters
    ----------
    session : Session
        The server.

    Raises
    ------
    BadResponse, SchemaError, InvalidValue, DuplicateKey, InvalidKey, RateLimited, ServerUnavailable
        As `pull_rankings`.
    """
    name = f"{session.source} {APPS}"
    last = today(session) - timedelta(days=1)
    params = {
        "start_date": (last - timedelta(days=APP_DAYS - 1)).isoformat(),
        "end_date": last.isoformat(),
        "limit": str(_APP_LIMIT),
    }
    if _asked_today(session, APPS, params):
        return
    body = fetch(session, APPS, params)
    answer = parse(Apps, body, name=name)
    check_as_of(session, answer.meta.as_of, name=name)
    _check_keys([row.app_id for row in answer.data], name=name, key="app_id")
    window = (answer.meta.start_date, answer.meta.end_date)
    store_answer(session, APPS, params, body, as_of=answer.meta.as_of, window=window)


def pull_session_costs(session: Session) -> None:
    """Ask for all pages of the session costs, once a day.

    Parameters
    ----------
    session : Session
        The server.

    Raises
    ------
    BadResponse, SchemaError, InvalidValue, DuplicateKey, InvalidKey, RateLimited, ServerUnavailable
        As `pull_rankings`; also if the snapshot changed between two pages.
    """
    name = f"{session.source} {SESSION_COST}"
    pages: list[tuple[dict[str, str], bytes, SessionCosts]] = []
    for offset in range(0, _LAST_OFFSET + 1, _PAGE):
        params = {"limit": str(_PAGE), "offset": str(offset)}
        if offset == 0 and _asked_today(session, SESSION_COST, params):
            return
        body = fetch(session, SESSION_COST, params)
        answer = parse(SessionCosts, body, name=name)
        check_as_of(session, answer.meta.as_of, name=name)
        pages.append((params, body, answer))
        if len(answer.data) < _PAGE:
            break
    if len({page.meta.window_end_date for _, _, page in pages}) > 1:
        raise BadResponse(
            name,
            got="pages of different snapshots",
            rule="all pages must end on the same day",
            next_step="Nothing was stored. Run again: the weekly snapshot has just changed.",
        )
    keys = [
        (row.app_slug, row.model_permaslug, row.turn_range)
        for _, _, page in pages
        for row in page.data
    ]
    _check_keys(keys, name=name, key="app_slug, model_permaslug, turn_range")
    # The first page last: it is the mark that all are there.
    as_of = pages[0][2].meta.as_of
    for params, body, _ in reversed(pages):
        store_answer(session, SESSION_COST, params, body, as_of=as_of)


def pull_tasks(session: Session) -> None:
    """Ask for the task shares of the last seven days, once a day.

    Parameters
    ----------
    session : Session
        The server.

    Raises
    ------
    BadResponse, SchemaError, InvalidValue, DuplicateKey, InvalidKey, RateLimited, ServerUnavailable
        As `pull_rankings`.
    """
    name, params = f"{session.source} {TASKS}", {"window": "7d"}
    if _asked_today(session, TASKS, params):
        return
    body = fetch(session, TASKS, params)
    answer = parse(Tasks, body, name=name)
    _check_keys([row.tag for row in answer.data.classifications], name=name, key="tag")
    # Its time is a day at most, so that the two clocks are not compared.
    store_answer(session, TASKS, params, body)


def pull_models(session: Session) -> None:
    """Ask for the catalogue of models, once a day.

    Parameters
    ----------
    session : Session
        The server.

    Raises
    ------
    BadResponse, SchemaError, InvalidValue, DuplicateKey, InvalidKey, RateLimited, ServerUnavailable
        As `pull_rankings`; also if the list is shorter than its stated length.
    """
    name, params = f"{session.source} {MODELS}", {"output_modalities": "all"}
    if _asked_today(session, MODELS, params):
        return
    body = fetch(session, MODELS, params)
    answer = parse(Catalogue, body, name=name)
    _check_keys([row.id for row in answer.data], name=name, key="id")
    stated = len(answer.data) if answer.total_count is None else answer.total_count
    if not answer.data or len(answer.data) != stated:
        raise BadResponse(
            name,
            got=f"{len(answer.data)} of {stated} models",
            rule="the answer must hold the whole list",
            next_step="Nothing was stored. Run again; if it stays, update offroute.",
        )
    store_answer(session, MODELS, params, body)


def _check_keys(keys: Sequence[Hashable], *, name: str, key: str) -> None:
    """Refuse an answer in which a key occurs twice."""
    if len(set(keys)) < len(keys):
        twice = next(k for i, k in enumerate(keys) if k in keys[:i])
        raise DuplicateKey(
            name,
            got=f"{len(keys) - len(set(keys))} repeated, first {twice}",
            rule=f"must have one row per {key}",
            next_step="Nothing was stored. Run again; if it stays, report it to the server.",
        )
