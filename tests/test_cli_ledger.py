"""The ledger from the command line: list, filter, one row, CSV."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from offroute.cli import app
from offroute.data.snapshot import load_ledger

RUNNER = CliRunner()


def run(*arguments):
    result = RUNNER.invoke(app, ["ledger", *arguments])
    assert result.exit_code == 0, result.stderr
    return " ".join(result.stdout.split())


def test_every_row_is_listed_as_a_benchmark_or_with_its_reason():
    ledger = load_ledger()
    # Long ids are folded over lines, so compare without any space.
    text = run().replace(" ", "")
    context = ledger[ledger["use"] == "context"]
    assert [i for i in context["id"] if i not in text] == []
    assert context["reason"].notna().all()
    counts = ledger["use"].value_counts()
    said = f"of all, {counts['likelihood']} are benchmarks and {counts['context']} are not"
    assert said.replace(" ", "") in text


@pytest.mark.parametrize(
    ("arguments", "column", "value"),
    [
        (["--family", "revenue:Anthropic"], "family", "revenue:Anthropic"),
        (["--use", "context"], "use", "context"),
        (["--use", "likelihood"], "use", "likelihood"),
    ],
)
def test_a_filter_keeps_its_rows_and_all_of_them(tmp_path, arguments, column, value):
    path = tmp_path / "rows.csv"
    run(*arguments, "--csv", str(path))
    ledger = load_ledger()
    assert pd.read_csv(path)["id"].tolist() == ledger.loc[ledger[column] == value, "id"].tolist()


def test_an_entity_is_found_in_any_case(tmp_path):
    path = tmp_path / "rows.csv"
    run("--entity", "anthropic", "--csv", str(path))
    found = pd.read_csv(path)
    assert len(found) > 0
    assert found["entity"].str.contains("Anthropic", case=False).all()


def test_a_row_shows_its_conversion():
    text = run("O-T01")
    # 6 B tokens a minute: 6e9 * 60 * 24 * 7 = 60.48e12 a week.
    assert "6 B tokens/minute" in text
    assert "60.48 T tokens" in text
    for population in ("outside-china-external-api", "world-external-api", "world-all-uses"):
        assert population in text
    assert "https://" in text


def test_a_row_that_is_not_used_says_why():
    ledger = load_ledger()
    row = ledger[ledger["use"] == "context"].iloc[0]
    assert row["reason"] in run(row["id"])
