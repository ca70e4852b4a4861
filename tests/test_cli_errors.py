"""Bad input from the command line: the typed error, its exit code, and nothing written."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from offroute.cli import app
from offroute.data.snapshot import SNAPSHOT_DIR

RUNNER = CliRunner()


def refuse(command, code, tmp_path, *arguments):
    """Run a command that must fail with nothing printed and nothing written; return its message."""
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    files = ["--csv", str(folder / "out.csv")]
    files += ["--json", str(folder / "out.json")] if command != "ledger" else []
    result = RUNNER.invoke(app, [command, *arguments, *files])
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert list(folder.iterdir()) == []
    return result.stderr


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        (("--csv", "{}/a", "--json", "{}/b/../a"), "each output needs a file of its own"),
        (("--csv", "{}/missing/a.csv"), "its folder must exist"),
        (("--json", "{}"), "must be a file, not a folder"),
    ],
)
def test_output_that_cannot_be_written_is_refused_before_the_work(files, rule, tmp_path):
    (tmp_path / "b").mkdir()
    arguments = [f.format(tmp_path) for f in files]
    for command in ("correct", "audit", "critiques"):
        result = RUNNER.invoke(app, [command, "--week", "not a day", *arguments])
        assert result.exit_code == 2
        assert rule in result.stderr
        assert result.stdout == ""
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


@pytest.fixture
def data(tmp_path):
    """A copy of the snapshot that may be changed."""
    return shutil.copytree(SNAPSHOT_DIR, tmp_path / "data")


def rewrite(folder, table, change):
    """Apply `change` to a table as text and make its sidecar agree."""
    path, side = folder / f"{table}.csv.gz", folder / f"{table}.json"
    frame = change(pd.read_csv(path, dtype=str, keep_default_na=False))
    frame.to_csv(path, index=False, compression="gzip")
    note = json.loads(side.read_text())
    note |= {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": len(frame)}
    side.write_text(json.dumps(note))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--week", "2025-06-09"], "UnknownWeek", "The nearest week is 2025-06-02."),
        (["--week", "2031-01-06"], "UnknownWeek", "The nearest week is 2026-10-05."),
        (["--week", "June"], "UnknownWeek", "it must be an ISO date; got 'June'"),
        (["--population", "world"], "UnknownPopulation", "got 'world'"),
        (["--by", "labs"], "UnknownPartition", "Use 'lab'."),
        (["--by", "country"], "UnknownPartition", "must be one of group, origin, weights, lab"),
        (["--level", "1.5"], "UsageError", "Write 90 % as 0.9."),
        (["--level", "nan"], "UsageError", "above 0 and below 1"),
        (["--prior", "bold"], "UsageError", "must be one of neutral, informed"),
        (["--plot", "shares.bmp"], "UsageError", "must be one of .png, .svg, .pdf"),
        (["--seed", "-1"], "Invalid value for", "--seed"),
        (["--level", "high"], "Invalid value for", "--level"),
    ],
)
def test_a_wrong_call_of_correct(tmp_path, arguments, error, words):
    message = " ".join(refuse("correct", 2, tmp_path, *arguments).split())
    assert error in message
    assert words in message


@pytest.mark.parametrize("population", ["us-startups", "us-enterprise", "world-with-self-host"])
def test_a_population_that_is_not_identified_cannot_be_drawn(tmp_path, population):
    plot = tmp_path / "out" / "shares.png"
    message = refuse("correct", 1, tmp_path, "--population", population, "--plot", str(plot))
    assert f"got no identified population among {population}" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["A-R99"], "row: must be an id of the ledger; got 'A-R99'"),
        (["--family", "revenue:Antropic"], "Use 'revenue:Anthropic'."),
        (["--use", "evidence"], "must be one of likelihood, context"),
    ],
)
def test_a_wrong_call_of_ledger(tmp_path, arguments, words):
    assert words in refuse("ledger", 2, tmp_path, *arguments)


def test_a_tampered_table_is_caught_by_its_hash(tmp_path, data):
    with (data / "usage.csv.gz").open("ab") as handle:
        handle.write(b"\0")
    for command in ("correct", "audit"):
        message = refuse(command, 1, tmp_path, "--data", str(data))
        assert "HashMismatch: table 'usage.csv.gz': its SHA-256 must be" in message


def with_tokens(value):
    return lambda usage: usage.assign(tokens=[value, *usage["tokens"][1:]])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (with_tokens("-5"), "InvalidValue", "tokens"),
        (with_tokens(""), "InvalidValue", "tokens"),
        (with_tokens("many"), "SchemaError", "tokens"),
        (lambda u: pd.concat([u, u.head(1)]), "DuplicateKey", "week_start"),
        (lambda u: u.rename(columns={"tokens": "token"}), "SchemaError", "tokens"),
        (
            lambda u: u.assign(week_start=["soon", *u["week_start"][1:]]),
            "SchemaError",
            "week_start",
        ),
        (lambda u: u.assign(model=["no/such-model", *u["model"][1:]]), "UnknownModel", "no/such"),
    ],
    ids=["negative", "missing", "text", "duplicate", "renamed", "no date", "unknown model"],
)
def test_bad_usage_rows(tmp_path, data, change, error, words):
    rewrite(data, "usage", change)
    code = 2 if error == "UnknownModel" else 1
    message = refuse("correct", code, tmp_path, "--data", str(data))
    assert message.startswith(f"offroute: {error}: ")
    assert words in message


def test_a_ledger_row_below_the_panel_is_named(tmp_path, data):
    def lower(ledger):
        row = ledger["id"] == "O-T03"
        assert row.sum() == 1
        return ledger.assign(value=np.where(row, "0.0001", ledger["value"]))

    rewrite(data, "ledger", lower)
    message = refuse("correct", 1, tmp_path, "--data", str(data))
    assert "BenchmarkBelowPanel: ledger row 'O-T03'" in message
    assert "Check its unit, its scope and the factor in the crosswalk." in message


def test_an_unchanged_copy_of_the_data_gives_the_shipped_result(data):
    rewrite(data, "usage", lambda usage: usage)
    arguments = ["correct", "--population", "world-all-uses"]
    copied = RUNNER.invoke(app, [*arguments, "--data", str(data)])
    assert copied.exit_code == 0
    assert copied.stdout == RUNNER.invoke(app, arguments).stdout
