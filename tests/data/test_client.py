"""The client against a server: limits, retries, resumption, restatements, hostile answers."""

import json
import logging
import sqlite3
import time
from contextlib import closing
from datetime import date, timedelta
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from offroute.data import openrouter
from offroute.data.gateway import pull_shares, shares, wide_shares
from offroute.data.keys import check_address, read_key
from offroute.data.openrouter import (
    pull_apps,
    pull_models,
    pull_rankings,
    pull_session_costs,
    pull_tasks,
)
from offroute.data.openrouter_frames import (
    RANKINGS,
    apps,
    catalogues,
    rankings,
    session_costs,
    tasks,
)
from offroute.data.pull import pull_all
from offroute.data.store import list_responses, read_body
from offroute.data.transport import fetch
from offroute.data.vintages import missing_windows
from offroute.exceptions import (
    BadResponse,
    DuplicateKey,
    HashMismatch,
    InvalidKey,
    InvalidValue,
    RateLimited,
    SchemaError,
    ServerUnavailable,
    UsageError,
)

KEY = "sk-or-v1-5ec2e7-never-to-be-seen"
YESTERDAY = date(2026, 11, 19)
FIRST = YESTERDAY - timedelta(days=9)


def quiet(what, done, total):
    """Progress that nobody sees."""


def pull(session, first=FIRST, last=YESTERDAY, **options):
    pull_rankings(session, first, last, progress=quiet, **options)


def asked(api):
    return [(q["start_date"], q["end_date"]) for path, q, _ in api.requests if "rankings" in path]


# What is asked, and what is not


def test_windows_of_at_most_366_days_are_joined(api, client):
    api.days = {YESTERDAY - timedelta(days=i): {"other": i + 1} for i in range(700)}
    session = client.session()
    pull(session, first=date(2024, 6, 1))
    spans = [(date.fromisoformat(a), date.fromisoformat(b)) for a, b in asked(api)]
    assert spans[0][0] == date(2025, 1, 1)
    assert spans[-1][1] == YESTERDAY
    assert all((b - a).days < 366 for a, b in spans)
    assert all(after[0] - before[1] == timedelta(days=1) for before, after in pairwise(spans))
    frame = rankings(session).newest
    assert frame["tokens"].sum() == sum(range(1, 1 + len(frame)))
    assert len(frame) == (YESTERDAY - date(2025, 1, 1)).days + 1


def test_what_is_stored_is_not_asked_again_but_the_last_two_days(api, client):
    api.load_days(YESTERDAY, 10)
    pull(client.session())
    pull(client.session())
    pull(client.session(), again=0)
    client.clock.seconds += 3 * 86400
    api.load_days(YESTERDAY + timedelta(days=3), 13)
    pull(client.session(), last=YESTERDAY + timedelta(days=3))
    assert asked(api) == [
        ("2026-11-10", "2026-11-19"),
        ("2026-11-18", "2026-11-19"),
        ("2026-11-18", "2026-11-22"),
    ]


def test_a_gap_is_asked_for_and_nothing_beside_it(api, client):
    api.load_days(YESTERDAY, 60)
    pull(
        client.session(), first=YESTERDAY - timedelta(days=50), last=YESTERDAY - timedelta(days=40)
    )
    pull(
        client.session(), first=YESTERDAY - timedelta(days=55), last=YESTERDAY - timedelta(days=30)
    )
    assert asked(api)[1:] == [("2026-09-25", "2026-09-29"), ("2026-10-11", "2026-10-20")]


def test_an_interrupted_pull_resumes_at_the_window_that_failed(api, client):
    api.days = {YESTERDAY - timedelta(days=i): {"other": 1} for i in range(688)}
    api.hostile["rankings-daily"] = [
        lambda h, q: h.send(*h.api.rankings_daily(q)),
        lambda h, q: h.send(400, b"{}"),
    ]
    with pytest.raises(BadResponse):
        pull(client.session(), first=date(2025, 1, 1))
    pull(client.session(), first=date(2025, 1, 1))
    assert asked(api)[1] == asked(api)[2] == ("2026-01-02", "2026-11-19")
    assert rankings(client.session()).newest["tokens"].sum() == 688


def test_what_has_no_days_is_asked_once_a_day(api, client):
    session = client.session()
    for _ in range(2):
        for ask in (pull_apps, pull_session_costs, pull_tasks, pull_models):
            ask(session)
    assert len(api.requests) == 4
    client.clock.seconds += 86400
    pull_models(session)
    assert len(api.requests) == 5


# What comes back


def test_string_tokens_become_exact_integers(api, client):
    largest = 2**53 - 1
    api.days = {YESTERDAY: {"a/b": largest, "other": 9007199254740990}}
    session = client.session()
    pull(session, first=YESTERDAY)
    frame = rankings(session).newest.set_index("model")["tokens"]
    assert frame.dtype == "int64"
    assert frame.to_dict() == {"a/b": largest, "other": 9007199254740990}


def test_raw_bytes_time_and_hash_are_kept(api, client):
    api.load_days(YESTERDAY, 3)
    session = client.session()
    pull(session, first=YESTERDAY)
    (stored,) = list_responses(client.cache, "openrouter", RANKINGS)
    assert stored.as_of == api.as_of() == "2026-11-20T12:00:00Z"
    assert (stored.first, stored.last) == ("2026-11-19", "2026-11-19")
    document = json.loads(read_body(client.cache, stored))
    assert document == api.rankings_daily(json.loads(stored.params))[1]
    (client.cache / "raw" / f"{stored.sha256}.gz").write_bytes(b"other")
    with pytest.raises(HashMismatch, match=stored.sha256):
        rankings(session)


def test_a_restated_value_stands_beside_the_old_one(api, client):
    api.load_days(YESTERDAY, 10)
    session = client.session()
    pull(session)
    old = rankings(session)
    assert old.restated.empty
    name = "deepseek/deepseek-v4-flash-20260423"
    before = api.days[YESTERDAY][name]
    api.days[YESTERDAY][name] = before - 7
    gone = api.days[YESTERDAY].popitem()
    api.days[YESTERDAY]["new/entry"] = 5
    client.clock.seconds += 3600
    pull(session)
    found = rankings(session)
    rows = found.restated.set_index("model")
    assert len(rows) == 3
    assert rows.loc[name, ["old", "new"]].tolist() == [before, before - 7]
    assert rows.loc[name, ["old_as_of", "new_as_of"]].tolist() == [
        "2026-11-20T12:00:00Z",
        "2026-11-20T13:00:00Z",
    ]
    assert rows.loc[gone[0], "old"] == gone[1]
    assert rows["new"].isna().to_dict() == {name: False, gone[0]: True, "new/entry": False}
    now = found.newest[found.newest["date"] == "2026-11-19"].set_index("model")["tokens"]
    assert now.to_dict() == api.days[YESTERDAY]
    assert len(list((client.cache / "raw").iterdir())) == 2


def test_a_day_that_the_source_does_not_have_is_absent(api, client):
    api.load_days(YESTERDAY, 10)
    del api.days[FIRST + timedelta(days=4)]
    session = client.session()
    pull(session)
    assert rankings(session).absent == (FIRST + timedelta(days=4),)
    assert missing_windows(
        list_responses(client.cache, "openrouter", RANKINGS), FIRST, YESTERDAY, longest=366
    ) == [(date(2026, 11, 18), YESTERDAY)]


def test_the_frames_of_the_other_endpoints(api, client):
    session = client.session()
    api.costs = [
        {**api.costs[0], "app_slug": f"app-{i}", "median_session_cost_usd": i} for i in range(1200)
    ]
    for ask in (pull_apps, pull_session_costs, pull_tasks, pull_models):
        ask(session)
    assert apps(session).to_dict("list") == {
        "window_end": ["2026-11-20"] * 2,
        "window_days": [30] * 2,
        "app": ["Cline", "Kilo Code"],
        "tokens": [12345678, 2345678],
        "requests": [4321, 321],
    }
    costs = session_costs(session)
    assert len(costs) == 1200
    assert costs["median_usd"].sum() == 1199 * 600
    assert [q["offset"] for p, q, _ in api.requests if "session" in p] == ["0", "500", "1000"]
    assert tasks(session)[["tag", "usage_share", "token_share"]].to_numpy().tolist() == [
        ["code:general_impl", 0.23, 0.31]
    ]
    row = catalogues(session).iloc[0]
    assert row[["day", "id", "model"]].tolist() == ["2026-11-20", "openai/gpt-4", "openai/gpt-4"]
    assert row[["prompt", "completion"]].tolist() == [30.0, 60.0]
    assert row["listed"] == "2023-08-24"


def test_the_catalogue_joins_on_canonical_slug_and_variant(api, client):
    model = api.models[0]
    variants = {
        "deepseek/deepseek-v4-flash-0731": "deepseek/deepseek-v4-flash-20260731",
        "deepseek/deepseek-v4-flash-0731:free": "deepseek/deepseek-v4-flash-20260731",
        "~deepseek/deepseek-latest": "deepseek/deepseek-v4-flash-20260731",
        "openai/gpt-4-old": "openai/gpt-4",
    }
    api.models += [
        {**model, "id": i, "canonical_slug": slug, "created": 1_790_000_000}
        for i, slug in variants.items()
    ]
    api.models[0] = {**model, "pricing": {"prompt": "-1", "completion": "-1"}}
    session = client.session()
    pull_models(session)
    table = catalogues(session)
    assert table["model"].tolist() == [
        "deepseek/deepseek-v4-flash-20260731",
        "deepseek/deepseek-v4-flash-20260731:free",
        "openai/gpt-4",
    ]
    assert table["id"].tolist()[2] == "openai/gpt-4"
    assert table["prompt"].isna().tolist() == [False, False, True]


def test_a_snapshot_of_session_costs_that_was_cut_short_is_not_used(api, client):
    session = client.session()
    pull_session_costs(session)
    client.clock.seconds += 86400
    api.costs = [{**api.costs[0], "app_slug": f"app-{i}"} for i in range(600)]
    pull_session_costs(session)
    assert len(session_costs(session)) == 600
    # The first page is stored last.
    with closing(sqlite3.connect(client.cache / "index.sqlite")) as link, link:
        link.execute("DELETE FROM responses WHERE id = (SELECT MAX(id) FROM responses)")
    assert session_costs(session)["app"].tolist() == ["hermes-agent"]


def test_two_refreshes_of_one_cache_at_once_count_nothing_twice(api, client, monkeypatch):
    pulls = (pull_apps, pull_session_costs, pull_tasks, pull_models)
    frames = (apps, session_costs, tasks, catalogues)
    for pull in pulls:
        pull(client.session())
    once = [frame(client.session()) for frame in frames]
    # Each saw the cache as it was before the other stored its answers.
    monkeypatch.setattr(openrouter, "_asked_today", lambda *_: False)
    for pull in pulls:
        pull(client.session())
    assert len(api.requests) == 2 * len(pulls)
    for frame, expected in zip(frames, once, strict=True):
        pd.testing.assert_frame_equal(
            frame(client.session()).reset_index(drop=True), expected.reset_index(drop=True)
        )


def test_the_second_gateway(api, client):
    api.load_shares(FIRST, YESTERDAY)
    session = client.session(client.vercel)
    pull_shares(session, date(2025, 1, 1), YESTERDAY, progress=quiet)
    assert [q["from"] for _, q, _ in api.requests] == ["2025-10-01", "2026-10-02"]
    assert all("Authorization" not in headers for _, _, headers in api.requests)
    table = wide_shares(shares(session).newest)
    assert len(table) == 30
    day = table[table["date"] == "2026-11-19"].set_index("lab")
    assert day.loc["anthropic", ["token_share", "spend_share", "request_share"]].tolist() == (
        pytest.approx([0.44989, 0.61936, 0.074664])
    )
    rows = api.shares[YESTERDAY]
    rows[3]["share_percent"], rows[4]["share_percent"] = 60.936, 26.7034
    client.clock.seconds += 3600
    pull_shares(session, date(2025, 1, 1), YESTERDAY, progress=quiet)
    assert api.requests[-1][1]["from"] == "2026-11-18"
    restated = shares(session).restated
    assert restated[["lab", "metric"]].to_numpy().tolist() == [
        ["anthropic", "spend"],
        ["openai", "spend"],
    ]


# Limits and retries


def spend(client, count):
    """Note requests as made, without making them."""
    with closing(sqlite3.connect(client.cache / "index.sqlite")) as link, link:
        rows = [("openrouter", client.clock.now())] * count
        link.executemany("INSERT INTO requests VALUES (?, ?)", rows)


def test_thirty_requests_a_minute_and_five_hundred_a_day(api, client):
    api.load_days(YESTERDAY, 1)
    query = {"start_date": "2026-11-19", "end_date": "2026-11-19"}
    for _ in range(3):  # as processes that share the cache
        session = client.session()
        for _ in range(15):
            fetch(session, RANKINGS, query)
    assert len(api.requests) == 45
    assert client.clock.waits == pytest.approx([60], abs=0.1)
    assert client.notices == ["30 requests in a minute: waiting 60 s"]
    spend(client, 454)
    client.clock.seconds += 60
    fetch(client.session(), RANKINGS, query)
    with pytest.raises(RateLimited, match=r"at most 500 a day .* Run again in 24\.0 hours"):
        fetch(client.session(), RANKINGS, query)
    assert len(api.requests) == 46
    # The other server has limits of its own.
    api.load_shares(YESTERDAY, YESTERDAY)
    pull_shares(client.session(client.vercel), YESTERDAY, YESTERDAY, progress=quiet)
    client.clock.seconds += 86400
    fetch(client.session(), RANKINGS, query)
    # A clock set back does not free what was used.
    client.clock.seconds -= 7200
    spend(client, 499)
    with pytest.raises(RateLimited):
        fetch(client.session(), RANKINGS, query)


def recorded(name):
    return (Path(__file__).parent / "recorded" / name).read_bytes()


def limited(*, wait):
    headers = [] if wait is None else [("Retry-After", wait)]
    return lambda h, q: h.send(429, recorded("error-429.json"), headers=headers)


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [("7", 7), (formatdate(1795175990 + 0, usegmt=True), None), (None, 0), ("soon", 0)],
)
def test_429_waits_as_the_server_says(api, client, wait, seconds):
    api.load_days(YESTERDAY, 1)
    if seconds is None:
        wait, seconds = formatdate(client.clock.now() + 11, usegmt=True), 11
    api.hostile["rankings-daily"] = [limited(wait=wait)] * 2
    pull(client.session(), first=YESTERDAY)
    assert client.clock.waits == pytest.approx([seconds] * 2, abs=seconds)
    assert client.clock.waits[0] == seconds
    assert len(api.requests) == 3


def test_the_bounds_of_retries_are_the_users(api, client):
    api.load_days(YESTERDAY, 1)
    api.hostile["rankings-daily"] = [limited(wait="2")] * 20
    with pytest.raises(RateLimited, match="datasets-per-account-rpd-v1"):
        pull(client.session(attempts=3), first=YESTERDAY)
    assert len(api.requests) == 3
    assert client.clock.waits == [2, 2]
    api.hostile["rankings-daily"] = [limited(wait="301")]
    with pytest.raises(RateLimited, match="asked to wait 301 s"):
        pull(client.session(), first=YESTERDAY)
    assert len(api.requests) == 4


def refused(status):
    error = {"error": {"code": status, "message": "Internal Server Error"}}
    return lambda h, q: h.send(status, error)


def test_server_errors_are_tried_again(api, client):
    api.load_days(YESTERDAY, 1)
    api.hostile["rankings-daily"] = [refused(500), refused(502), refused(503), refused(408)]
    pull(client.session(), first=YESTERDAY)
    assert len(api.requests) == 5
    assert client.notices == [f"openrouter {RANKINGS}: status {n}" for n in (500, 502, 503, 408)]
    api.hostile["rankings-daily"] = [refused(500)] * 9
    with pytest.raises(ServerUnavailable, match=r"status 500 on 2 tries: .*Internal Server Error"):
        pull(client.session(attempts=2), first=YESTERDAY)


def test_retries_count_as_requests(api, client):
    api.load_days(YESTERDAY, 1)
    api.hostile["rankings-daily"] = [refused(500)] * 4
    with pytest.raises(RateLimited, match="at most 3 a day"):
        pull(client.session(per_day=3), first=YESTERDAY)
    assert len(api.requests) == 3


def drip(h, _):
    """Send a byte every 20 ms, for ever."""
    h.send_response(200)
    h.send_header("Connection", "close")
    h.end_headers()
    for _ in range(500):
        h.wfile.write(b" ")
        h.wfile.flush()
        time.sleep(0.02)


def drip_headers(h, _):
    h.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for i in range(500):
        h.wfile.write(f"X-{i}: y\r\n".encode())
        h.wfile.flush()
        time.sleep(0.02)


def silent(h, _):
    time.sleep(1.0)


def cut(h, q):
    body = json.dumps(h.api.rankings_daily(q)[1]).encode()
    h.send(200, body[: len(body) // 2], length=len(body))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (drip, "ReadTimeout on 2 tries"),
        (drip_headers, "ReadTimeout on 2 tries"),
        (silent, "ReadTimeout on 2 tries"),
        (cut, "RemoteProtocolError on 2 tries"),
    ],
)
def test_an_answer_that_does_not_end_in_time_is_cut_and_tried_again(api, client, answer, words):
    api.load_days(YESTERDAY, 1)
    api.hostile["rankings-daily"] = [answer] * 2
    begin = time.monotonic()
    with pytest.raises(ServerUnavailable, match=words):
        pull(client.session(attempts=2, timeout=0.2), first=YESTERDAY)
    assert time.monotonic() - begin < 2
    assert len(api.requests) == 2
    assert list_responses(client.cache, "openrouter", RANKINGS) == []


def test_no_server_at_all(api, client):
    session = client.session(attempts=2)
    object.__setattr__(session, "base_url", "http://127.0.0.1:9")
    with pytest.raises(ServerUnavailable, match="ConnectError on 2 tries"):
        pull(session)


# Hostile answers: what is raised, and that nothing of them is stored


def change(**meta):
    """Answer with changes: `row` to the first row, `rows` to all, the rest to the meta block."""

    def answer(h, q):
        _, document = h.api.rankings_daily(q)
        first = document["data"][0]
        first |= meta.get("row", {})
        for name in meta.get("drop", ()):
            del first[name]
        document["data"] += meta.get("more", [])
        document["meta"] |= meta.get("meta", {})
        for name in meta.get("drop_meta", ()):
            del document["meta"][name]
        h.send(200, document)

    return answer


def raw(body, status=200, kind="application/json"):
    return lambda h, q: h.send(status, body, kind=kind)


def truncated(h, q):
    h.send(200, json.dumps(h.api.rankings_daily(q)[1]).encode()[:-40])


def repeated(h, q):
    _, document = h.api.rankings_daily(q)
    h.send(200, {**document, "data": document["data"] + document["data"][:1]})


EXTRA_ROWS = [
    {"date": "2026-11-19", "model_permaslug": f"a/b{i}", "total_tokens": "1"} for i in range(9)
]

HOSTILE = {
    "truncated JSON": (truncated, BadResponse, "must be JSON; got invalid json: eof"),
    "HTML with status 200": (
        raw(b"<!doctype html><title>Just a moment</title>", kind="text/html"),
        BadResponse,
        "beginning '<!doctype html>",
    ),
    "empty body": (raw(b""), BadResponse, "must be JSON"),
    "bytes that are no text": (raw(b"\xff\xfe\x00"), BadResponse, "must be JSON"),
    "NaN": (raw(b'{"data": NaN, "meta": {}}'), SchemaError, "field 'data'"),
    "deep nesting": (raw(b"[" * 100_000), BadResponse, "must be JSON"),
    "a list": (raw(b"[]"), SchemaError, "got \\[\\]"),
    "missing field": (
        change(drop=["total_tokens"]),
        SchemaError,
        "field 'data.0.total_tokens': field required; got no such field",
    ),
    "missing meta": (change(drop_meta=["as_of"]), SchemaError, "field 'meta.as_of'"),
    "wrong type: number": (
        change(row={"total_tokens": 5}), SchemaError, "must be a string of digits; got 5",
    ),
    "wrong type: exponent": (
        change(row={"total_tokens": "1e9"}), SchemaError, "must be a string of digits; got '1e9'",
    ),
    "wrong type: null": (change(row={"date": None}), SchemaError, "field 'data.0.date'"),
    "no such day": (change(row={"date": "2026-02-30"}), SchemaError, "field 'data.0.date'"),
    "negative tokens": (
        change(row={"total_tokens": "-5"}), InvalidValue, "must be at least 0 .* got '-5'",
    ),
    "tokens beyond 2**53": (
        change(row={"total_tokens": "9007199254740992"}), InvalidValue, "below 2\\*\\*53",
    ),
    "empty slug": (change(row={"model_permaslug": ""}), InvalidValue, "at least 1 character"),
    "duplicate rows": (repeated, DuplicateKey, "must have one row per date, model; got 1 rep"),
    "52 rows": (change(more=EXTRA_ROWS), InvalidValue, "got 60 rows on 2026-11-19"),
    "time before the first year": (
        change(meta={"as_of": "0001-01-01T00:00:00+01:00"}), SchemaError, "must be an ISO 8601",
    ),
    "another version": (change(meta={"version": "v2"}), SchemaError, "field 'meta.version'"),
    "server's clock ahead": (
        change(meta={"as_of": "2026-11-20T13:00:01Z"}), InvalidValue, "agree within an hour",
    ),
    "server's clock behind": (
        change(meta={"as_of": "2026-11-20T10:59:59Z"}), InvalidValue, "agree within an hour",
    ),
    "day outside the window": (
        change(row={"date": "2026-11-18"}), InvalidValue, "got a row of 2026-11-18",
    ),
    "day that has not ended": (
        change(row={"date": "2026-11-20"}, meta={"end_date": "2026-11-20"}),
        InvalidValue,
        "have ended when the answer was made",
    ),
    "another window": (
        change(meta={"start_date": "2026-11-18"}), BadResponse, "must cover 2026-11-19 to",
    ),
    "status 400": (
        raw(b'{"error":{"code":400,"message":"Invalid request parameters"}}', 400),
        BadResponse,
        "Invalid request parameters",
    ),
    "redirect": (raw(b"", 302), BadResponse, "status 302"),
    "status 401": (
        raw(b'{"error":{"code":401,"message":"Missing Authentication header"}}', 401),
        InvalidKey,
        "must accept the API key",
    ),
    "the key in the answer": (
        raw(json.dumps({"data": [], "key": KEY}).encode()), BadResponse, "repeats the API key",
    ),
    "the key in an error": (raw(KEY.encode(), 418), BadResponse, "status 418: <key>"),
}  # fmt: skip  # dense


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_answers_are_refused_and_not_stored(api, client, case):
    answer, error, words = HOSTILE[case]
    api.load_days(YESTERDAY, 1)
    api.hostile["rankings-daily"] = [answer]
    with pytest.raises(error, match=words) as caught:
        pull(client.session(), first=YESTERDAY)
    assert type(caught.value) is error
    assert KEY not in str(caught.value)
    assert len(api.requests) == 1
    assert list_responses(client.cache, "openrouter", RANKINGS) == []
    assert list((client.cache / "raw").iterdir()) == []
    pull(client.session(), first=YESTERDAY)
    assert len(rankings(client.session()).newest) == len(api.days[YESTERDAY])


def test_an_extra_field_is_welcome(api, client):
    api.load_days(YESTERDAY, 1)
    api.hostile["rankings-daily"] = [change(row={"new": 1}, meta={"licence": "CC BY 4.0"})]
    session = client.session()
    pull(session, first=YESTERDAY)
    assert len(rankings(session).newest) == 51


def test_a_day_that_vanishes_is_refused(api, client):
    api.load_days(YESTERDAY, 2)
    pull(client.session(), first=YESTERDAY)
    kept = api.days.pop(YESTERDAY)
    with pytest.raises(BadResponse, match="no row of 2026-11-19, which had some"):
        pull(client.session(), first=YESTERDAY)
    api.days[YESTERDAY] = kept


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"license": "proprietary"}, SchemaError, "field 'license'"),
        ({"from": "2026-11-01"}, BadResponse, "must cover"),
        ({"rows": 5}, SchemaError, "field 'rows'"),
    ],
)
def test_hostile_answers_of_the_second_gateway(api, client, changes, error, words):
    def answer(h, q):
        h.send(200, h.api.leaderboard_export(q)[1] | changes)

    api.load_shares(YESTERDAY, YESTERDAY)
    api.hostile["leaderboard-export"] = [answer]
    with pytest.raises(error, match=words):
        pull_shares(client.session(client.vercel), YESTERDAY, YESTERDAY, progress=quiet)
    assert list((client.cache / "raw").iterdir()) == []


@pytest.mark.parametrize(
    ("change_row", "error", "words"),
    [
        ({"share_percent": 30.0}, InvalidValue, "must each sum to 1"),
        ({"share_percent": -1.0}, InvalidValue, "greater than or equal to 0"),
        ({"share_percent": "70.2"}, SchemaError, "field 'rows.0.share_percent'"),
        ({"name": "openai"}, DuplicateKey, "one row per date, lab, metric"),
        ({"metric": "imageCount"}, InvalidValue, "must each sum to 1"),
    ],
)
def test_hostile_shares(api, client, change_row, error, words):
    api.load_shares(YESTERDAY, YESTERDAY)
    api.shares[YESTERDAY][0] |= change_row
    with pytest.raises(error, match=words):
        pull_shares(client.session(client.vercel), YESTERDAY, YESTERDAY, progress=quiet)
    assert list((client.cache / "raw").iterdir()) == []


@pytest.mark.parametrize(
    ("endpoint", "ask", "changes", "error"),
    [
        ("app-rankings", pull_apps, {"data": [{"app_id": 1}]}, SchemaError),
        ("session-cost", pull_session_costs, {"meta": {}}, SchemaError),
        ("task", pull_tasks, {"data": []}, SchemaError),
        ("models", pull_models, {"data": [], "total_count": 0}, BadResponse),
    ],
)
def test_hostile_answers_of_the_other_endpoints(api, client, endpoint, ask, changes, error):
    api.hostile[endpoint] = [raw(json.dumps(changes).encode())]
    with pytest.raises(error):
        ask(client.session())
    assert list((client.cache / "raw").iterdir()) == []


def test_lists_that_repeat_or_lack_rows(api, client):
    api.models.append(api.models[0])
    with pytest.raises(DuplicateKey, match="one row per id"):
        pull_models(client.session())
    api.models.pop()
    api.hostile["models"] = [raw(json.dumps({"data": api.models, "total_count": 9}).encode())]
    with pytest.raises(BadResponse, match="got 1 of 9 models"):
        pull_models(client.session())
    api.costs *= 2
    with pytest.raises(DuplicateKey, match="one row per app_slug"):
        pull_session_costs(client.session())


def test_pages_of_two_snapshots_are_refused(api, client):
    api.costs = [{**api.costs[0], "app_slug": f"app-{i}"} for i in range(600)]

    def other_week(h, q):
        _, document = h.api.session_cost(q)
        document["meta"]["window_end_date"] = "2026-05-18"
        h.send(200, document)

    api.hostile["session-cost"] = [lambda h, q: h.send(*h.api.session_cost(q)), other_week]
    with pytest.raises(BadResponse, match="must end on the same day"):
        pull_session_costs(client.session())
    assert session_costs(client.session()).empty


def test_a_cache_that_is_none(client):
    client.cache.mkdir()
    (client.cache / "index.sqlite").write_bytes(b"no data base at all, just text" * 40)
    with pytest.raises(SchemaError, match="must be the index that offroute wrote"):
        rankings(client.session())


def test_a_cache_that_cannot_be_made(client):
    client.cache.write_text("a file")
    with pytest.raises(UsageError, match="must be a folder that exists or can be made"):
        rankings(client.session())


# The key


def test_the_key_appears_nowhere(api, client, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    api.load_days(YESTERDAY, 10)
    api.load_shares(FIRST, YESTERDAY)
    echo = raw(f'{{"error":{{"code":500,"message":"bad key {KEY}"}}}}'.encode(), 500)
    api.hostile["rankings-daily"] = [echo, limited(wait="1"), drip]
    session = client.session(timeout=1.0)
    pull_all(session, client.session(client.vercel), FIRST, progress=quiet)
    api.hostile["models"] = [echo] * 9
    client.clock.seconds += 86400
    with pytest.raises(ServerUnavailable) as caught:
        pull_models(session)
    assert api.requests[0][2]["Authorization"] == f"Bearer {KEY}"
    shown = [caplog.text, *capfd.readouterr(), *client.notices, repr(session), str(caught.value)]
    assert len(caplog.records) > 20
    assert any("HTTP Request" in text for text in shown)
    shown += [str(value) for record in caplog.records for value in vars(record).values()]
    assert not any(KEY in text for text in shown)
    kept = [path for path in client.cache.rglob("*") if path.is_file()]
    assert len(kept) >= 7
    bodies = [
        read_body(client.cache, r) for r in list_responses(client.cache, "openrouter", RANKINGS)
    ]
    assert not any(KEY.encode() in data for data in [*(p.read_bytes() for p in kept), *bodies])


def test_the_key_is_read_from_a_file_or_the_environment(tmp_path):
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    assert read_key(None, path) == KEY
    assert read_key("other", path) == KEY
    assert read_key(f"{KEY} ", None) == KEY
    for variable, file in [(None, None), (" ", None), ("other", tmp_path / "none")]:
        with pytest.raises(InvalidKey, match="needs a key"):
            read_key(variable, file)
    for text in (f"{KEY} {KEY}", f"{KEY}\n{KEY}", f"{KEY}é"):
        path.write_text(text)
        with pytest.raises(InvalidKey) as caught:
            read_key(None, path)
        assert KEY not in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidKey, match="UnicodeDecodeError"):
        read_key(None, path)


@pytest.mark.parametrize(
    "address", ["http://openrouter.ai/api/v1", "ftp://localhost", "openrouter.ai", "https://a@b/c"]
)
def test_the_key_goes_nowhere_unencrypted(address):
    with pytest.raises(UsageError, match="must be https"):
        check_address(address, name="--openrouter-url")
