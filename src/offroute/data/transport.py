"""One request to a server: its limits, retries, deadline, and the key that never shows."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path

from offroute._checks import require_extra
from offroute.data.keys import KEY_VARIABLE
from offroute.data.store import claim_request
from offroute.exceptions import (
    BadResponse,
    InvalidKey,
    RateLimited,
    ServerUnavailable,
)

require_extra("client", ("httpx", "stamina"), name="the client of the published data")

import httpx  # noqa: E402 - checked just above
import stamina  # noqa: E402 - likewise

_LARGEST = 200 * 2**20
_OK, _REQUEST_TIMEOUT, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _SERVER = 200, 408, 401, 403, 429, 500


@dataclass(frozen=True)
class Limits:
    """Bounds on what is asked and how long it may take.

    Attributes
    ----------
    per_minute, per_day : int
        Most requests in 60 seconds and in 24 hours, retries included.
    attempts : int
        Most tries of one request.
    timeout : float
        Seconds that one answer may take from the first to the last byte.
    max_wait : float
        Longest wait, in seconds, that the server may ask for with ``Retry-After``.
    first_wait : float
        Seconds before the second try; doubled for each further one, at most `max_wait`.
    """

    per_minute: int = 30
    per_day: int = 500
    attempts: int = 5
    timeout: float = 60.0
    max_wait: float = 300.0
    first_wait: float = 1.0


@dataclass(frozen=True)
class Clock:
    """What tells the time and waits; tests put their own.

    Attributes
    ----------
    now : callable
        Seconds since the epoch.
    sleep : callable
        Waits for seconds.
    """

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Session:
    """A server, the cache of its answers, and how to treat it.

    Attributes
    ----------
    source : str
        Name of the server in the cache.
    base_url : str
        Address in front of every path.
    cache : pathlib.Path
        Folder of the cache.
    key : str
        API key, empty for none; not in the representation.
    limits : Limits
        Bounds.
    clock : Clock
        Time.
    notice : callable
        Receives one line for every wait and retry.
    """

    source: str
    base_url: str
    cache: Path
    key: str = field(default="", repr=False)
    limits: Limits = Limits()
    clock: Clock = Clock()
    notice: Callable[[str], None] = lambda _: None


class _TryAgain(Exception):
    """A failure that another try may mend; carries the error to raise if none does."""

    def __init__(self, final: BadResponse | RateLimited | ServerUnavailable) -> None:
        super().__init__(type(final).__name__)
        self.final = final


def utc_text(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC.

    Parameters
    ----------
    seconds : float
        Seconds.

    Examples
    --------
    >>> utc_text(1778551200)
    '2026-05-12T02:00:00Z'
    """
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fetch(session: Session, path: str, params: Mapping[str, str]) -> bytes:
    """Ask once, with retries, and return the body of the answer.

    Tried again, after twice the wait each time or the wait that the server asks for, are 429, 408,
    5xx, time-outs and broken connections; nothing else is.

    Parameters
    ----------
    session : Session
        The server.
    path : str
        Path below its base address.
    params : mapping of str to str
        Query.

    Returns
    -------
    bytes
        The body, its content encoding undone.

    Raises
    ------
    InvalidKey
        On 401 and 403.
    RateLimited
        If the day's requests are used up, or the server still says so after all tries.
    ServerUnavailable
        If no try got an answer in time, or all got a server error.
    BadResponse
        On any other status than 200, and if the answer is too large or repeats the key.
    """
    limits, num = session.limits, 0
    try:
        for attempt in stamina.retry_context(
            on=_TryAgain,
            attempts=limits.attempts,
            timeout=None,
            wait_initial=limits.first_wait,
            wait_max=limits.max_wait,
            wait_jitter=0.1 * limits.first_wait,
        ):
            with attempt:
                num += 1
                _claim(session)
                return _ask(session, path, params, last=num >= limits.attempts)
    except _TryAgain as failure:
        raise failure.final from None
    raise AssertionError("the last attempt returns or raises")


def _claim(session: Session) -> None:
    """Wait until the limits of the minute allow a request; refuse if those of the day do not."""
    limits = session.limits
    while True:
        minute, day = claim_request(
            session.cache,
            session.source,
            session.clock.now(),
            per_minute=limits.per_minute,
            per_day=limits.per_day,
        )
        if day > 0:
            raise RateLimited(
                f"requests to {session.source}",
                got=f"{limits.per_day} in the last 24 hours",
                rule=f"at most {limits.per_day} a day and {limits.per_minute} a minute",
                next_step=f"Run again in {day / 3600:.1f} hours; what was fetched is kept.",
            )
        if minute == 0:
            return
        session.notice(f"{limits.per_minute} requests in a minute: waiting {minute:.0f} s")
        session.clock.sleep(minute)


def _ask(session: Session, path: str, params: Mapping[str, str], *, last: bool) -> bytes:
    """Send one request; raise `_TryAgain` for what another try may mend."""
    where = f"{session.source} {path}"
    headers = {"User-Agent": "offroute", "Accept": "application/json"}
    if session.key:
        headers["Authorization"] = f"Bearer {session.key}"
    try:
        status, reply, body = _exchange(session, path, params, headers)
    except (httpx.TransportError, httpx.DecodingError, httpx.StreamError) as error:
        session.notice(f"{where}: {type(error).__name__}")
        raise _TryAgain(
            ServerUnavailable(
                where,
                got=f"{type(error).__name__} on {session.limits.attempts} tries",
                rule=f"must answer in full within {session.limits.timeout:g} s",
                next_step="Run again later; what was fetched is kept. --retries and --timeout "
                "set the bounds.",
            )
        ) from None
    said = _message(body, session.key)
    if status in (_UNAUTHORIZED, _FORBIDDEN):
        raise InvalidKey(
            where,
            got=f"status {status}: {said}",
            rule="the server must accept the API key",
            next_step=f"Check {KEY_VARIABLE} or the file of --key-file.",
        )
    if status == _TOO_MANY:
        _wait_as_told(session, where, reply.get("Retry-After"), said, last=last)
    if status >= _SERVER or status == _REQUEST_TIMEOUT:
        session.notice(f"{where}: status {status}")
        raise _TryAgain(
            ServerUnavailable(
                where,
                got=f"status {status} on {session.limits.attempts} tries: {said}",
                rule="must answer with status 200",
                next_step="Run again later; what was fetched is kept.",
            )
        )
    if status != _OK:
        raise BadResponse(
            where,
            got=f"status {status}: {said}",
            rule="must answer with status 200",
            next_step="Check the address, the dates and the version of offroute.",
        )
    if session.key and session.key.encode() in body:
        raise BadResponse(
            where,
            got="an answer that repeats the API key",
            rule="the key must appear nowhere but in the request",
            next_step="Check the address; do not trust this server.",
        )
    return body


def _exchange(
    session: Session, path: str, params: Mapping[str, str], headers: dict[str, str]
) -> tuple[int, httpx.Headers, bytes]:
    """Send a request and read its answer before the deadline, whatever the server drips."""
    sockets: list[socket.socket] = []
    expired = threading.Event()

    def _note(event: str, info: dict[str, object]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            stream = info["return_value"]
            sockets.append(stream.get_extra_info("socket"))  # type: ignore[attr-defined]  # httpx types the value as object

    def _cut() -> None:
        expired.set()
        for link in sockets[-1:]:
            with suppress(OSError):
                # Of the class: a TLS socket's own method is not for another thread.
                socket.socket.shutdown(link, socket.SHUT_RDWR)

    deadline = threading.Timer(session.limits.timeout, _cut)
    deadline.daemon = True
    deadline.start()
    body = bytearray()
    try:
        with (
            httpx.Client(
                timeout=session.limits.timeout,
                follow_redirects=False,
                verify=_trust(session),
                # A proxy would carry the key of a server on this machine off it in the clear.
                trust_env=session.base_url.startswith("https"),
            ) as client,
            client.stream(
                "GET",
                f"{session.base_url}/{path}",
                params=dict(params),
                headers=headers,
                extensions={"trace": _note},
            ) as reply,
        ):
            for chunk in reply.iter_bytes():
                body += chunk
                if len(body) > _LARGEST:
                    raise BadResponse(
                        f"{session.source} {path}",
                        got=f"more than {_LARGEST >> 20} MB",
                        rule="an answer is a few megabytes",
                        next_step="Check the address; do not trust this server.",
                    )
    except httpx.TransportError:
        if not expired.is_set():
            raise
    finally:
        deadline.cancel()
    # An answer that ends with its connection looks complete when it was cut.
    if expired.is_set():
        raise httpx.ReadTimeout("deadline")
    return reply.status_code, reply.headers, bytes(body)


@cache
def _context() -> ssl.SSLContext:
    """Return the certificates to trust; loading them takes longer than a short request."""
    return httpx.create_ssl_context()


def _trust(session: Session) -> ssl.SSLContext | bool:
    """Return how to check the server's certificate; there is none without TLS."""
    return _context() if session.base_url.startswith("https") else False


def _wait_as_told(
    session: Session, where: str, asked: str | None, said: str, *, last: bool
) -> None:
    """Wait as ``Retry-After`` says, then raise `_TryAgain`; raise RateLimited if it is too long."""
    wait = _seconds(asked, session.clock.now())
    error = RateLimited(
        where,
        got=f"status 429: {said}" + (f"; asked to wait {wait:.0f} s" if asked else ""),
        rule="the server must grant the request within the bounds of --retries and --max-wait",
        next_step="Run again later; what was fetched is kept.",
    )
    if wait > session.limits.max_wait:
        raise error
    session.notice(f"{where}: status 429, waiting {wait:.0f} s")
    if not last:
        session.clock.sleep(wait)
    raise _TryAgain(error)


def _seconds(asked: str | None, now: float) -> float:
    """Seconds of a ``Retry-After`` header: a number or a date; 0 if it is absent or neither."""
    text = (asked or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError):
        return 0.0


def _message(body: bytes, key: str) -> str:
    """Beginning of an answer for a message, on one line and without the key."""
    text = body.decode("utf-8", "replace")
    text = " ".join((text.replace(key, "<key>") if key else text).split())
    return "".join(sign for sign in text if sign.isprintable())[:200] or "nothing"
