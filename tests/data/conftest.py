"""A loopback server that answers as the two published APIs do, and as broken ones do."""

import json
import threading
import time
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import pytest

from offroute.data.gateway import SOURCE as VERCEL
from offroute.data.openrouter import SOURCE as OPENROUTER
from offroute.data.snapshot import load_daily
from offroute.data.transport import Clock, Limits, Session

RECORDED = Path(__file__).parent / "recorded"
KEY = "sk-or-v1-5ec2e7-never-to-be-seen"
#: 2026-11-20, noon UTC.
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


class Api:
    """What the server knows and how it misbehaves; `url` is its address."""

    def __init__(self):
        self.now = lambda: NOON
        self.days = {}
        self.shares = {}
        self.models = json.loads((RECORDED / "models.json").read_text())["data"]
        self.costs = json.loads((RECORDED / "session-cost.json").read_text())["data"]
        self.requests = []
        #: Handlers taken in turn for a path before it answers as documented.
        self.hostile = {}
        self.url = ""

    def load_days(self, last, count):
        """Serve the last days of the shipped daily table as if they ended on `last`."""
        daily = load_daily()
        stored = sorted(daily["date"].unique())[-count:]
        for i, day in enumerate(stored):
            rows = daily[daily["date"] == day]
            self.days[last - timedelta(days=count - 1 - i)] = dict(
                zip(rows["model"], rows["tokens"].tolist(), strict=True)
            )

    def load_shares(self, first, last):
        rows = json.loads((RECORDED / "leaderboard-export.json").read_text())["rows"]
        for i in range((last - first).days + 1):
            self.shares[first + timedelta(days=i)] = [
                {k: v for k, v in row.items() if k != "date"} for row in rows
            ]

    def paths(self):
        return [path for path, _, _ in self.requests]

    def as_of(self):
        return datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # One method per path; each returns status and document.

    def rankings_daily(self, query):
        yesterday = datetime.fromtimestamp(self.now(), UTC).date() - timedelta(days=1)
        first, last = (date.fromisoformat(query[k]) for k in ("start_date", "end_date"))
        if first > last or (last - first).days >= 366:
            return 400, {"error": {"code": 400, "message": "Invalid request parameters"}}
        first, last = max(first, date(2025, 1, 1)), min(last, yesterday)
        data = []
        for day in sorted(d for d in self.days if first <= d <= last):
            rows = sorted(self.days[day].items(), key=lambda r: (r[0] == "other", -r[1], r[0]))
            data += [
                {"date": str(day), "model_permaslug": model, "total_tokens": str(tokens)}
                for model, tokens in rows
            ]
        meta = {"as_of": self.as_of(), "start_date": str(first), "end_date": str(last)}
        return 200, {"data": data, "meta": {**meta, "version": "v1"}}

    def app_rankings(self, query):
        document = json.loads((RECORDED / "app-rankings.json").read_text())
        document["meta"] |= {k: query[k] for k in ("start_date", "end_date")}
        document["meta"]["as_of"] = self.as_of()
        return 200, document

    def session_cost(self, query):
        document = json.loads((RECORDED / "session-cost.json").read_text())
        document["meta"]["as_of"] = self.as_of()
        offset, limit = int(query["offset"]), int(query["limit"])
        return 200, {**document, "data": self.costs[offset : offset + limit]}

    def task(self, _):
        return 200, json.loads((RECORDED / "task.json").read_text())

    def models_list(self, _):
        return 200, {"data": self.models, "total_count": len(self.models), "links": {"next": None}}

    def leaderboard_export(self, query):
        first, last = (date.fromisoformat(query[k]) for k in ("from", "to"))
        if first < date(2025, 10, 1):
            return 400, {"error": "from is too early"}
        rows = [
            {"date": str(day), **row}
            for day in sorted(self.shares)
            if first <= day <= last
            for row in self.shares[day]
        ]
        document = json.loads((RECORDED / "leaderboard-export.json").read_text())
        return 200, {**document, "from": query["from"], "to": query["to"], "rows": rows}


ROUTES = {
    "/api/v1/datasets/rankings-daily": Api.rankings_daily,
    "/api/v1/datasets/app-rankings": Api.app_rankings,
    "/api/v1/datasets/session-cost": Api.session_cost,
    "/api/v1/classifications/task": Api.task,
    "/api/v1/models": Api.models_list,
    "/api/ai/leaderboard-export": Api.leaderboard_export,
}


class _Handler(BaseHTTPRequestHandler):
    api: Api

    def log_message(self, *_):
        """Say nothing."""

    def send(self, status, body, *, headers=(), kind="application/json", length=None):
        """Send an answer; `length` may lie."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        api, parts = self.api, urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        api.requests.append((parts.path, query, dict(self.headers)))
        turns = api.hostile.get(parts.path.rsplit("/", 1)[-1])
        try:
            if turns:
                turns.pop(0)(self, query)
            elif parts.path not in ROUTES:
                self.send(404, {"error": {"code": 404, "message": "Not Found"}})
            elif "/v1/" in parts.path and self.headers["Authorization"] != f"Bearer {KEY}":
                error = {"code": 401, "message": "Missing Authentication header"}
                self.send(401, {"error": error})
            else:
                self.send(*ROUTES[parts.path](api, query))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@pytest.fixture
def api():
    """A server on this machine, stopped at the end."""
    state = Api()
    handler = type("Handler", (_Handler,), {"api": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


class FakeTime:
    """A clock that moves only when somebody waits."""

    def __init__(self, now=NOON):
        self.seconds = now
        self.waits = []

    def now(self):
        return self.seconds

    def sleep(self, wait):
        self.waits.append(wait)
        self.seconds += wait


#: No real wait between tries: the server's own waits go through the fake clock.
QUICK = {"first_wait": 1e-4, "timeout": 5.0}


@pytest.fixture
def client(api, tmp_path):
    """Sessions of both servers on one cache, with a clock that the server shares."""
    clock = FakeTime()
    api.now = clock.now

    def session(source=OPENROUTER, **limits):
        path = "/api/v1" if source == OPENROUTER else "/api/ai"
        return Session(
            source,
            api.url + path,
            tmp_path / "cache",
            key=KEY if source == OPENROUTER else "",
            limits=Limits(**{**QUICK, **limits}),
            clock=Clock(clock.now, clock.sleep),
            notice=notices.append,
        )

    notices = []
    return SimpleNamespace(
        session=session, clock=clock, notices=notices, cache=tmp_path / "cache", vercel=VERCEL
    )


@pytest.fixture
def live(api, tmp_path, monkeypatch):
    """The server at this machine's time with three weeks of days, and a call of the command."""
    api.now = time.time
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    api.load_days(yesterday, 21)
    api.load_shares(yesterday - timedelta(days=20), yesterday)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    start = str(yesterday - timedelta(days=20 - (7 - (yesterday.weekday() - 20) % 7) % 7))
    arguments = [
        *("refresh", str(tmp_path / "live"), "--cache", str(tmp_path / "cache")),
        *("--start", start, "--max-wait", "0.01"),
        *("--openrouter-url", f"{api.url}/api/v1", "--gateway-url", f"{api.url}/api/ai"),
    ]
    return SimpleNamespace(
        arguments=arguments, folder=tmp_path / "live", cache=tmp_path / "cache", start=start,
        yesterday=yesterday, decisions=tmp_path / "live-decisions.csv",
    )  # fmt: skip  # dense
