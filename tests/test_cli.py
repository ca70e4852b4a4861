"""Command line: what it prints and writes, how it refuses."""

import json
import os
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from offroute.cli import app
from offroute.data.snapshot import SNAPSHOT_DIR

RUNNER = CliRunner()


def test_audit_prints_the_press_figures_beside_the_panel():
    result = RUNNER.invoke(app, ["audit"])
    assert result.exit_code == 0
    for text in (
        "4.12 / 2.94 4.119 / 2.933 5.456 / 6.510",
        "4.69 / 3.294 4.683 / 3.288 6.008 / 8.646",
        "9.223 / 4.93 9.214 / 4.924 12.630 / 12.163",
        "China leads for good on all named models from: 2026-04-27",
        "2026-03-23 to 2026-03-30, 2026-06-01 to 2026-09-21, 2026-10-05",
        "Bounds: stealth models and the unnamed rest",
    ):
        assert text in " ".join(result.stdout.split())


def test_audit_of_one_week_writes_what_it_prints(tmp_path):
    files = [tmp_path / "audit.json", tmp_path / "audit.csv"]
    arguments = ["--week", "2026-05-18", "--json", str(files[0]), "--csv", str(files[1])]
    result = RUNNER.invoke(app, ["audit", *arguments])
    assert result.exit_code == 0
    content = json.loads(files[0].read_text())
    assert set(content) == {"rules", "findings", "press", "weeks"}
    assert [week["week_start"] for week in content["weeks"]] == ["2026-05-18"]
    assert round(content["weeks"][0]["china"] / 1e12, 3) == 12.630
    csv = pd.read_csv(files[1])
    assert csv["us"].tolist() == [week["us"] for week in content["weeks"]]


def test_a_week_by_lab_has_no_largest_models_in_json(tmp_path):
    path = tmp_path / "audit.json"
    result = RUNNER.invoke(app, ["audit", "--week", "2026-09-28", "--json", str(path)])
    assert result.exit_code == 0
    assert json.loads(path.read_text())["weeks"][0]["top_us"] is None


@pytest.mark.parametrize("week", ["2025-06-09", "2026-06-02", "tomorrow"])
def test_an_unknown_week_is_a_usage_error_and_writes_nothing(tmp_path, week):
    result = RUNNER.invoke(app, ["audit", "--week", week, "--csv", str(tmp_path / "a.csv")])
    assert result.exit_code == 2
    assert "UnknownWeek" in result.stderr
    assert "2025-01-06 to 2026-10-05" in result.stderr
    assert result.stdout == ""
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    arguments = ["--csv", str(tmp_path / "a.csv"), "--json", str(tmp_path / "no" / "a.json")]
    result = RUNNER.invoke(app, ["audit", *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert os.listdir(tmp_path) == []


def test_changed_data_are_a_data_error(tmp_path):
    for name in ("usage", "models"):
        for suffix in ("csv.gz", "json"):
            shutil.copy(SNAPSHOT_DIR / f"{name}.{suffix}", tmp_path)
    assert RUNNER.invoke(app, ["audit", "--data", str(tmp_path)]).exit_code == 0
    (tmp_path / "models.csv.gz").write_bytes(b"")
    result = RUNNER.invoke(app, ["audit", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "HashMismatch" in result.stderr


def test_a_data_folder_that_is_not_there_is_a_usage_error(tmp_path):
    assert RUNNER.invoke(app, ["audit", "--data", str(tmp_path / "no")]).exit_code == 2


def test_help_shows_examples():
    result = RUNNER.invoke(app, ["audit", "--help"])
    assert result.exit_code == 0
    assert "offroute audit --week 2026-05-18" in " ".join(result.stdout.split())
