"""Cache of what was fetched: raw bytes by hash, an index, and the requests already made.

One folder: ``raw/<sha256>.gz`` holds the bytes as the server sent them, ``index.sqlite`` what was
asked when and which days the answer covers. Nothing in it is ever changed or removed, so every
vintage of a restated figure stays. A process may die at any point: bytes are written under a
temporary name and renamed, and the index is a database with transactions.
"""

import gzip
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from offroute.data.provenance import sha256_bytes
from offroute.exceptions import HashMismatch, SchemaError, UsageError

MINUTE, DAY = 60.0, 86400.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    id INTEGER PRIMARY KEY, source TEXT, endpoint TEXT, params TEXT, fetched_at TEXT, as_of TEXT,
    first TEXT, last TEXT, sha256 TEXT);
CREATE TABLE IF NOT EXISTS requests (source TEXT, at REAL);
"""


@dataclass(frozen=True)
class Response:
    """One stored answer.

    Attributes
    ----------
    source : str
        Server, ``openrouter`` or ``vercel``.
    endpoint : str
        Path below the base address.
    params : str
        Query as JSON with sorted keys.
    fetched_at : str
        Time of this machine, ISO 8601, UTC.
    as_of : str
        Time that the server stated, else `fetched_at`.
    first, last : str
        First and last day that the answer covers; empty if it has no days.
    sha256 : str
        Hash of the bytes.
    """

    source: str
    endpoint: str
    params: str
    fetched_at: str
    as_of: str
    first: str
    last: str
    sha256: str


_COLUMNS = ", ".join(field.name for field in fields(Response))


def params_text(params: Mapping[str, str]) -> str:
    """Return a query as it stands in the index.

    Parameters
    ----------
    params : mapping of str to str
        The query.

    Examples
    --------
    >>> params_text({"limit": "100", "category": "coding"})
    '{"category": "coding", "limit": "100"}'
    """
    return json.dumps(dict(sorted(params.items())))


@contextmanager
def _index(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the index for one transaction."""
    try:
        (folder / "raw").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cache '{folder}'",
            got=f"{type(error).__name__}: {error.strerror}",
            rule="must be a folder that exists or can be made",
            next_step="Name another one with --cache.",
        ) from error
    try:
        with closing(sqlite3.connect(folder / "index.sqlite", timeout=60)) as link:
            # Taken before the first read, so that two processes cannot grant each other's slot.
            link.isolation_level = None
            link.executescript(_SCHEMA)
            link.execute("BEGIN IMMEDIATE")
            yield link
            link.execute("COMMIT")
    except sqlite3.Error as error:
        raise SchemaError(
            f"cache '{folder / 'index.sqlite'}'",
            got=f"{type(error).__name__}: {error}",
            rule="must be the index that offroute wrote",
            next_step="Move the cache away, or name another one with --cache.",
        ) from error


def save_response(folder: Path, body: bytes, response: Response) -> None:
    """Store an answer: its bytes first, then its line in the index.

    Parameters
    ----------
    folder : pathlib.Path
        The cache.
    body : bytes
        The answer as received.
    response : Response
        What the index says of it.
    """
    with _index(folder) as link:
        path = folder / "raw" / f"{response.sha256}.gz"
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as handle:
                handle.write(gzip.compress(body, mtime=0))
            Path(handle.name).replace(path)
        marks = ", ".join("?" * len(fields(Response)))
        link.execute(f"INSERT INTO responses ({_COLUMNS}) VALUES ({marks})", astuple(response))


def list_responses(folder: Path, source: str, endpoint: str) -> list[Response]:
    """Return what is stored of an endpoint, the oldest vintage first.

    Parameters
    ----------
    folder : pathlib.Path
        The cache.
    source, endpoint : str
        As in `Response`.
    """
    with _index(folder) as link:
        rows = link.execute(
            f"SELECT {_COLUMNS} FROM responses WHERE source = ? AND endpoint = ? "
            "ORDER BY as_of, id",
            (source, endpoint),
        )
        return [Response(*row) for row in rows]


def read_body(folder: Path, response: Response) -> bytes:
    """Return the bytes of a stored answer.

    Parameters
    ----------
    folder : pathlib.Path
        The cache.
    response : Response
        Its line in the index.

    Raises
    ------
    HashMismatch
        If the file is absent, cannot be read or differs from its hash.
    """
    path = folder / "raw" / f"{response.sha256}.gz"
    try:
        body = gzip.decompress(path.read_bytes())
        got = sha256_bytes(body)
    except (OSError, EOFError, ValueError) as error:
        body, got = b"", f"{type(error).__name__}: {error}"
    if got != response.sha256:
        raise HashMismatch(
            f"cached answer '{path}'",
            got=got,
            rule=f"its SHA-256 must be {response.sha256}",
            next_step="Move the cache away, or name another one with --cache, and refresh again.",
        )
    return body


def claim_request(
    folder: Path, source: str, now: float, *, per_minute: int, per_day: int
) -> tuple[float, float]:
    """Claim one request, or say how long to wait for it.

    Both windows slide, so that no minute and no day of the server's, however it counts them, can
    hold more; the count is shared by all processes that use the cache.

    Parameters
    ----------
    folder : pathlib.Path
        The cache.
    source : str
        Server whose limits these are.
    now : float
        Seconds since the epoch.
    per_minute, per_day : int
        Most requests in 60 seconds and in 24 hours.

    Returns
    -------
    tuple of float
        Seconds until the minute and until the day allows the request; the request is claimed if
        both are 0.
    """
    with _index(folder) as link:
        # A clock that was set back leaves requests in the future: they count as made now.
        link.execute("UPDATE requests SET at = ? WHERE source = ? AND at > ?", (now, source, now))
        link.execute("DELETE FROM requests WHERE source = ? AND at <= ?", (source, now - DAY))
        rows = link.execute("SELECT at FROM requests WHERE source = ? ORDER BY at DESC", (source,))
        made = [float(row[0]) for row in rows]
        waits = [
            max(0.0, made[most - 1] + window - now) if len(made) >= most else 0.0
            for most, window in ((per_minute, MINUTE), (per_day, DAY))
        ]
        if max(waits) == 0:
            link.execute("INSERT INTO requests VALUES (?, ?)", (source, now))
        return waits[0], waits[1]
