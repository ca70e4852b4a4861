"""`offroute refresh`: from the servers to tables that every command reads, or nothing changed."""

import gzip
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from offroute.cli import app
from offroute.cli import refresh as command
from offroute.data import refreshed, snapshot
from offroute.data.provenance import check_hash, read_sidecar, sha256_of
from offroute.data.snapshot import SNAPSHOT_DIR
from offroute.exceptions import UsageError
from offroute.report.data_folder import check_folder, write_folder

RUNNER = CliRunner()
ONE = ("--population", "outside-china-external-api")
KEY = "sk-or-v1-5ec2e7-never-to-be-seen"


def run(*arguments, code=0):
    result = RUNNER.invoke(app, list(arguments))
    assert result.exit_code == code, result.output + result.stderr
    assert KEY not in result.output + result.stderr
    return result


def words(text):
    return " ".join(text.split())


def tables(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def add_model(api, slug, tokens, *, listed=True, repository=None, price="0.000002", days=None):
    """Serve tokens of a model on all days, or some, and list it in the catalogue."""
    for day in list(api.days)[-days:] if days else api.days:
        api.days[day][slug] = tokens
    if listed:
        pricing = {"prompt": price, "completion": price}
        api.models.append(
            {**api.models[0], "id": slug, "canonical_slug": slug.partition(":")[0],
             "created": 1_790_000_000, "hugging_face_id": repository, "pricing": pricing}
        )  # fmt: skip  # dense


def test_a_refresh_feeds_correct(api, live):
    for day in api.days:  # room for one more row within the top 50
        api.days[day].popitem()
    add_model(api, "anthropic/claude-9-opus-20261101", 10**12)
    text = words(run(*live.arguments).stdout)
    last = live.yesterday - timedelta(days=(live.yesterday.weekday() + 1) % 7 + 6)
    assert f"the last of {last}" in text
    assert "New models placed by rules: 1 model lab origin weights rule tier" in text
    assert "anthropic/claude-9-opus-20261101 Anthropic US closed" in text
    assert "Licensed under CC BY 4.0." in text

    usage, daily = snapshot.load_usage(live.folder), snapshot.load_daily(live.folder)
    week = usage[usage["week_start"] == str(last)]
    days = [last + timedelta(days=i) for i in range(7)]
    assert week["tokens"].sum() == sum(sum(api.days[day].values()) for day in days)
    assert week["days"].unique().tolist() == [7]
    assert daily["date"].max().date() == live.yesterday
    base = snapshot.load_usage()
    kept = base[base["week_start"] < live.start]
    pd.testing.assert_frame_equal(usage.head(len(kept)), kept)
    for name in ("load_prices", "load_roster", "load_gateway", "load_apps", "load_composition"):
        assert len(getattr(snapshot, name)(live.folder)) >= len(getattr(snapshot, name)())
    gateway = snapshot.load_gateway(live.folder)
    assert gateway["date"].max().date() == live.yesterday
    models = snapshot.load_models(live.folder).set_index("model")
    row = models.loc["anthropic/claude-9-opus-20261101"]
    assert row[["tier", "charging", "completion", "group"]].tolist() == [
        "flagship", "paid", 2.0, "US closed",
    ]  # fmt: skip  # dense
    for name in ("session_cost", "tasks"):
        assert len(refreshed.load_refreshed(name, live.folder)) == 1
    for name in ("ledger", "crosswalk", "composition"):
        assert (live.folder / f"{name}.csv.gz").read_bytes() == (
            SNAPSHOT_DIR / f"{name}.csv.gz"
        ).read_bytes()

    document = live.cache / "correct.json"
    answer = run("correct", *ONE, "--data", str(live.folder), "--json", str(document))
    corrected = words(answer.stdout)
    assert f"Week of {last}, population outside-china-external-api" in corrected
    assert str(live.yesterday + timedelta(days=1)) in document.read_text()
    run("audit", "--data", str(live.folder), "--week", str(last))

    # Another run asks for the last two days only, and the rest of the cache gives the same tables.
    before = tables(live.folder)
    done = len(api.requests)
    run(*live.arguments)
    assert [p.rsplit("/", 1)[-1] for p in api.paths()[done:]] == [
        "rankings-daily",
        "leaderboard-export",
    ]
    after = tables(live.folder)
    dated = ("usage", "daily", "models", "apps", "session_cost", "tasks", "gateway")
    assert {n for n in after if after[n] != before[n]} <= {f"{table}.json" for table in dated}
    done = len(api.requests)
    run(*live.arguments, "--offline")
    assert len(api.requests) == done
    assert tables(live.folder) == after
    assert not any(KEY.encode() in p.read_bytes() for p in live.cache.rglob("*") if p.is_file())


def test_models_that_no_rule_places_wait_for_the_user(api, live):
    for day in api.days:
        for _ in range(4):
            api.days[day].popitem()
    add_model(api, "newlab/big-1", 7 * 10**12)
    add_model(api, "deepseek/deepseek-v9", 10**12, repository="")
    add_model(api, "openai/gpt-oss-9", 10**9, repository="openai/gpt-oss-9")
    add_model(api, "openai/gpt-4o:turbo", 10**9)
    api.shares[live.yesterday][0]["name"] = "newgate"
    run(*live.arguments[:2], "--start", "2026-01-01", "--offline", code=1)
    result = run(*live.arguments, code=1)
    message = words(result.stderr)
    assert "UndecidedModels" in message
    assert "newlab/big-1, deepseek/deepseek-v9, turbo, newgate" in message
    assert "--undecided stealth" in message
    assert not live.folder.exists()
    rows = pd.read_csv(live.decisions, keep_default_na=False, dtype=str)
    assert rows["kind"].tolist() == ["model", "model", "variant", "gateway"]
    assert rows[["lab", "origin", "weights"]].to_numpy().tolist()[:2] == [
        ["", "", ""],
        ["DeepSeek", "China", ""],
    ]
    assert rows["reason"].tolist()[:2] == [
        "author 'newlab' is in no list; no rule for its weights",
        "no rule for its weights",
    ]
    asked = sum(str(day) >= live.start for day in api.days)
    assert int(rows["tokens"][0]) == asked * 7 * 10**12

    run(*live.arguments, "--offline", "--undecided", "stealth")
    models = snapshot.load_models(live.folder).set_index("model")
    assert models.loc["newlab/big-1", ["origin", "weights", "group"]].tolist() == [
        "Unidentified", "unidentified", "Stealth",
    ]  # fmt: skip  # dense
    assert models.loc["openai/gpt-oss-9", ["weights", "weights_rule"]].tolist() == [
        "open",
        "hugging_face_id: openai/gpt-oss-9",
    ]

    rows.loc[0, ["lab", "origin", "weights"]] = ["New Lab", "China", "open"]
    rows.loc[1, "weights"] = "open"
    rows.loc[2, "variant"] = "standard"
    rows.loc[3, ["lab", "origin", "weights"]] = ["New Lab", "China", "open"]
    rows.to_csv(live.decisions, index=False)
    run(*live.arguments, "--offline")
    models = snapshot.load_models(live.folder).set_index("model")
    assert models.loc["newlab/big-1", ["lab", "group", "weights_rule"]].tolist() == [
        "New Lab", "China open", "decision of the user",
    ]  # fmt: skip  # dense
    assert models.loc["deepseek/deepseek-v9", "group"] == "China open"
    assert models.loc["openai/gpt-4o:turbo", ["variant", "lab"]].tolist() == ["standard", "OpenAI"]
    assert "New Lab" in snapshot.load_gateway(live.folder)["lab"].tolist()
    assert pd.read_csv(live.decisions, dtype=str, keep_default_na=False).equals(rows)
    # A decision also overrules the register.
    rows.loc[len(rows)] = ["model", "stealth/ox-alpha", "Zhipu", "China", "open", "", "", ""]
    rows.to_csv(live.decisions, index=False)
    run(*live.arguments, "--offline")
    models = snapshot.load_models(live.folder).set_index("model")
    assert models.loc["stealth/ox-alpha", ["lab", "group"]].tolist() == ["Zhipu", "China open"]
    corrected = run("correct", *ONE, "--data", str(live.folder), "--by", "lab")
    assert "New Lab" in corrected.stdout


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda rows: rows.assign(origin="Mars"), "InvalidValue"),
        (lambda rows: rows.assign(kind="lab"), "InvalidValue"),
        (lambda rows: pd.concat([rows, rows]), "DuplicateKey"),
        (lambda rows: rows.drop(columns="lab"), "SchemaError"),
        (lambda rows: rows.assign(kind="gateway", weights="unidentified"), "InvalidValue"),
    ],
)
def test_decisions_that_cannot_be_read_stop_before_any_request(api, live, change, error):
    row = ["model", "a/b", "A", "US", "open", "", "5", "why"]
    columns = ["kind", "name", "lab", "origin", "weights", "variant", "tokens", "reason"]
    change(pd.DataFrame([row], columns=columns)).to_csv(live.decisions, index=False)
    assert error in run(*live.arguments, code=1).stderr
    assert api.requests == []


def test_what_is_missing_is_named(api, live):
    del api.days[live.yesterday - timedelta(days=9)]
    api.days[live.yesterday].popitem()
    text = words(run(*live.arguments).stdout)
    monday = live.yesterday - timedelta(days=9)
    assert f"Days without any row: {monday}" in text
    assert f"Days with fewer than 51 rows, perhaps cut short: {live.yesterday}" in text
    monday -= timedelta(days=monday.weekday())
    assert str(monday) in text[text.index("Weeks that lack a day") :]
    usage = snapshot.load_usage(live.folder)
    assert str(monday) not in usage["week_start"].dt.strftime("%Y-%m-%d").tolist()


def test_what_was_restated_is_reported_and_kept(api, live):
    run(*live.arguments)
    name = "deepseek/deepseek-v4-flash-20260423"
    before = api.days[live.yesterday][name]
    api.days[live.yesterday][name] = before // 2
    rows = api.shares[live.yesterday]
    rows[3]["share_percent"], rows[4]["share_percent"] = 60.936, 26.7034
    # The other vintage must have another time; the index counts seconds.
    time.sleep(1.1)
    text = words(run(*live.arguments).stdout)
    assert f"Restated values: 3 on {live.yesterday}; largest {name}" in text
    assert "-50 %" in text
    table = refreshed.load_refreshed("restated", live.folder).set_index("name")
    assert table.loc[name, ["old", "new"]].tolist() == [before, before // 2]
    assert sorted(table["quantity"]) == ["spend share", "spend share", "tokens"]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (["--undecided", "drop"], "UsageError", "must be one of refuse, stealth"),
        (["--start", "June"], "UsageError", "must be an ISO date"),
        (["--openrouter-url", "http://openrouter.ai"], "UsageError", "must be https"),
        (["--key-file", "/no/such/file"], "InvalidKey", "FileNotFoundError"),
        (["--retries", "0"], "Invalid value for", "--retries"),
        (["--again", "1000000000"], "Invalid value for", "--again"),
        (["--timeout", "nan"], "Invalid value for", "--timeout"),
        (["--max-wait", "inf"], "Invalid value for", "--max-wait"),
    ],
)
def test_a_wrong_call_asks_nothing(api, live, arguments, error, text):
    message = run(*live.arguments, *arguments, code=2).stderr
    assert error in message
    assert text in words(message)
    assert api.requests == []


def test_a_folder_with_other_content_is_left_alone(api, live):
    shutil.copytree(SNAPSHOT_DIR, live.folder)
    assert "no refresh of offroute" in words(run(*live.arguments, code=2).stderr)
    assert api.requests == []
    run(*live.arguments[:1], str(live.folder / "no" / "x"), *live.arguments[2:], code=2)


def test_a_wrong_key_is_refused(api, live, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "wrong")
    result = run(*live.arguments, code=2)
    assert "InvalidKey: openrouter datasets/rankings-daily: the server must accept" in words(
        result.stderr
    )
    assert "wrong" not in result.stderr.replace("wrong type", "")
    monkeypatch.delenv("OPENROUTER_API_KEY")
    assert "Set OPENROUTER_API_KEY" in words(run(*live.arguments, code=2).stderr)
    assert not live.folder.exists()


def test_a_failure_leaves_the_old_tables(api, live):
    run(*live.arguments)
    before = tables(live.folder)
    api.hostile["leaderboard-export"] = [lambda h, q: h.send(200, b"<html>", kind="text/html")]
    assert "BadResponse" in run(*live.arguments, code=1).stderr
    assert tables(live.folder) == before
    # The panel alone can still be refreshed.
    api.hostile["leaderboard-export"] = [lambda h, q: h.send(500, b"down")] * 9
    run(*live.arguments, "--no-gateway")
    gateway = snapshot.load_gateway(live.folder)
    pd.testing.assert_frame_equal(gateway, snapshot.load_gateway())


def test_a_full_disk_leaves_the_old_tables(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    write_folder(folder, {"a": b"old", "b": b"old"})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(UsageError, match="No space left"):
        write_folder(folder, {"a": b"new", "b": b"new"})
    assert tables(folder) == {"a": b"old", "b": b"old"}
    monkeypatch.undo()
    write_folder(folder, {"a": b"new"})
    assert tables(folder) == {"a": b"new"}
    assert [p.name for p in sorted((tmp_path / "data.versions").iterdir())] == ["000001", "000002"]
    check_folder(folder)


#: Imports once, then runs each call in a process of its own and kills it after the given time.
KILLER = """
import os, signal, sys, time
import offroute.data.pull, offroute.data.refresh, tqdm
from offroute.cli import app
arguments = sys.argv[1:]
for line in sys.stdin:
    begin, pid = time.monotonic(), os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        app(arguments)
    if float(line):
        time.sleep(float(line))
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), time.monotonic() - begin, flush=True)
"""


def test_killed_at_twenty_random_points_the_old_tables_are_whole(api, live):
    """Kill by SIGKILL at a random time of a run; whatever it reached, one version is whole."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLER, *live.arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def one(delay):
            process.stdin.write(f"{delay}\n")
            process.stdin.flush()
            code, seconds = process.stdout.readline().split()
            return int(code), float(seconds)

        assert one(0)[0] == 0
        code, whole = one(0)
        assert code == 0
        before, codes, draw = tables(live.folder), [], random.Random(7)
        for i in range(20):
            # Something new each time, so that an unfinished refresh would show.
            api.days[live.yesterday]["other"] += 1
            # Half of them late, when tables are packed and written.
            code, _ = one(draw.uniform(0.01 if i % 2 else 0.6 * whole, whole))
            codes.append(code)
            now = tables(live.folder)
            assert {"usage.csv.gz", "usage.json", "ledger.csv.gz"} <= now.keys()
            if code == 0:
                assert now != before
            for side in live.folder.glob("*.json"):
                check_hash(side.with_suffix(".csv.gz"), read_sidecar(side))
            before = now
        assert codes.count(-signal.SIGKILL) >= 15
        api.days[live.yesterday]["other"] += 1
        assert one(0)[0] == 0
        process.stdin.close()
    daily = snapshot.load_daily(live.folder)
    row = daily[(daily["date"] == str(live.yesterday)) & (daily["model"] == "other")]
    assert row["tokens"].item() == api.days[live.yesterday]["other"]
    left = [p.name for p in live.folder.with_name("live.versions").iterdir()]
    assert len(left) == 2
    assert all(name.isdecimal() for name in left)


def test_refreshes_of_one_folder_at_the_same_instant(tmp_path):
    files = [{f"{name}.json": bytes([i]) * 50_000 for name in "abcdef"} for i in range(12)]
    with ThreadPoolExecutor(12) as pool:
        versions = list(pool.map(partial(write_folder, tmp_path / "live"), files))
    assert len(set(versions)) == len(files)
    assert tables(tmp_path / "live") in files
    assert (tmp_path / "live").resolve() == max(versions).resolve()


def test_a_folder_that_appears_while_another_refresh_looks(tmp_path):
    """Small folders are switched so fast that the first link lands between two looks."""
    for i in range(40):
        with ThreadPoolExecutor(12) as pool:
            files = [{"a.json": b"x"}] * 12
            assert len(set(pool.map(partial(write_folder, tmp_path / f"{i}"), files))) == 12


def test_killed_between_any_two_steps_of_the_switch(tmp_path):
    """Stop at every call that touches the disk, one after the other, as a kill would."""
    old, new = {f"{i}": b"old" for i in range(4)}, {f"{i}": b"new" for i in range(4)}
    folder = tmp_path / "data"
    calls = {"fsync": 4, "rename": 1, "replace": 1, "symlink_to": 1}
    for name, count in calls.items():
        for nth in range(count):
            for side in ("before", "after"):
                write_folder(folder, old)
                with pytest.MonkeyPatch.context() as patch:
                    owner = os if name == "fsync" else Path
                    real = getattr(owner, name)
                    left = [nth]

                    def stop(*args, real=real, left=left, side=side, **options):
                        left[0] -= 1
                        if left[0] >= 0:
                            return real(*args, **options)
                        if side == "after":
                            real(*args, **options)
                        raise KeyboardInterrupt

                    patch.setattr(owner, name, stop)
                    with pytest.raises(KeyboardInterrupt):
                        write_folder(folder, new)
                done = name == "replace" and side == "after"
                assert tables(folder) == (new if done else old)


def test_without_the_extra_the_command_says_what_to_install(api, live, monkeypatch):
    monkeypatch.setattr("offroute._checks.find_spec", lambda name: None if name == "httpx" else 1)
    message = words(run(*live.arguments, code=2).stderr)
    assert message == (
        "offroute: MissingExtra: offroute refresh: it needs the extra 'client'; got no httpx. "
        "Install it: pip install 'offroute[client]'."
    )
    assert api.requests == []


def test_a_broken_folder_says_to_refresh_it_and_that_mends_it(api, live):
    run(*live.arguments)
    read = ("audit", "--data", str(live.folder))
    whole = run(*read).stdout
    for name, damage in (
        ("usage.csv.gz", lambda path: path.write_bytes(path.read_bytes()[:-50])),
        ("usage.json", lambda path: path.write_text("{")),
        ("models.json", Path.unlink),
    ):
        content = (live.folder / name).read_bytes()
        damage(live.folder / name)
        message = words(run(*read, code=1).stderr)
        assert f"Write the folder anew: offroute refresh {live.folder} (--offline" in message
        if name != "models.json":
            (live.folder / name).write_bytes(content)
    run(*live.arguments, "--offline")
    assert run(*read).stdout == whole
    # Tables of the user's own are another matter.
    own = shutil.copytree(live.folder, live.folder.with_name("own"))
    (own / "usage.json").unlink()
    message = words(run("audit", "--data", str(own), code=1).stderr)
    assert "Restore the file, or rebuild table and sidecar together." in message


def test_a_repeated_column_of_a_table_or_of_the_decisions_is_named(api, live):
    run(*live.arguments)
    own = shutil.copytree(live.folder, live.folder.with_name("own"))
    path, side = own / "usage.csv.gz", own / "usage.json"
    text = gzip.decompress(path.read_bytes()).decode().replace("basis", "tokens", 1)
    path.write_bytes(gzip.compress(text.encode()))
    side.write_text(json.dumps(json.loads(side.read_text()) | {"sha256": sha256_of(path)}))
    message = words(run("audit", "--data", str(own), code=1).stderr)
    assert "SchemaError: table 'usage': each column must have a name of its own" in message
    assert "got tokens more than once" in message
    live.decisions.write_text(
        "kind,name,lab,lab,origin,weights,variant,tokens,reason\nmodel,a/b,A,B,US,open,,1,none\n"
    )
    message = words(run(*live.arguments, "--offline", code=1).stderr)
    assert f"SchemaError: decisions '{live.decisions}'" in message
    assert "got lab more than once" in message


def test_neither_import_nor_correct_loads_the_client():
    code = (
        "import sys, offroute; from typer.testing import CliRunner; from offroute.cli import app\n"
        "r = CliRunner().invoke(app, ['correct', '--population', 'world-all-uses'])\n"
        "assert r.exit_code == 0\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "offroute" in loaded
    # pydantic is not among them: typer takes it where it is installed.
    assert not loaded & {"httpx", "stamina", "pandera", "platformdirs", "tqdm"}
    ours = {"openrouter_rows", "openrouter_frames", "transport", "refresh", "pull"}
    assert not {name for name in done.stdout.split() if name.rpartition(".")[2] in ours} & {
        f"offroute.data.{name}" for name in ours
    }


def test_a_terminal_sees_a_progress_bar(api, live, monkeypatch):
    class Terminal(StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    api.hostile["models"] = [lambda h, q: h.send(503, b"{}")]
    monkeypatch.setattr(sys, "stderr", screen)
    addresses = {"openrouter_url": f"{api.url}/api/v1", "gateway_url": f"{api.url}/api/ai"}
    command.refresh(live.folder, start=live.start, cache=live.cache, max_wait=0.01, **addresses)
    shown = screen.getvalue()
    for endpoint in ("datasets/rankings-daily", "models", "leaderboard-export"):
        assert f"{endpoint}: " in shown
    assert "openrouter models: status 503" in shown
    assert KEY not in shown


def test_the_fixtures_fit_the_official_models():
    """Feed the recorded answers through the SDK's own models; in CI the SDK must be there."""
    if os.environ.get("CI") == "true":
        components = importlib.import_module("openrouter.components")
    else:
        why = "the official SDK (PyPI package openrouter) is not installed"
        components = pytest.importorskip("openrouter.components", reason=why)
    kinds = {
        "rankings-daily.json": components.RankingsDailyResponse,
        "app-rankings.json": components.AppRankingsResponse,
        "session-cost.json": components.SessionCostResponse,
        "task.json": components.TaskClassificationResponse,
        "models.json": components.ModelsListResponse,
    }
    for name, kind in kinds.items():
        text = (Path(__file__).parent / "recorded" / name).read_text()
        answer = kind.model_validate_json(text)
        assert answer.data
    assert json.loads(text)["data"][0]["canonical_slug"] == answer.data[0].canonical_slug


def test_the_how_to_runs_as_written(api, live, monkeypatch):
    """Run the page's commands in its order, against this machine instead of the servers."""
    page = (Path(__file__).parents[2] / "docs" / "howto" / "refresh.md").read_text()
    monkeypatch.chdir(live.cache.parent)
    here = live.arguments[live.arguments.index("--start") :]
    blocks = re.findall(r"```(?:console|python)\n(.*?)```", page, re.DOTALL)
    commands = [
        line[2:].split("  #")[0] for b in blocks for line in b.splitlines() if line[:2] == "$ "
    ]
    assert len(commands) >= 4
    Path("key.txt").write_text(KEY)
    for line in commands:
        name, *arguments = line.split()
        if name == "export":
            continue
        assert name == "offroute"
        more = [*here, "--cache", str(live.cache)] if arguments[0] == "refresh" else []
        run(*arguments, *more)
    (code,) = [b for b in blocks if "import" in b]
    names = {}
    exec(code, names)
    assert names["usage"]["week_start"].max() >= pd.Timestamp(live.start)
