"""The main job from the command line: what it prints, writes and repeats."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import offroute
from offroute.cli import app
from offroute.cli.correct import DEFAULT_POPULATIONS

RUNNER = CliRunner()
WEEK = ["--week", "2026-06-01"]
ONE = [*WEEK, "--population", "outside-china-external-api"]


def run(*arguments):
    result = RUNNER.invoke(app, ["correct", *arguments])
    assert result.exit_code == 0, result.stderr
    return " ".join(result.stdout.split())


def saved(folder, *arguments):
    """Run with both files and return text, JSON document and CSV frame."""
    files = [folder / "out.json", folder / "out.csv"]
    text = run(*arguments, "--json", str(files[0]), "--csv", str(files[1]))
    return text, json.loads(files[0].read_text()), pd.read_csv(files[1])


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("default"))


def test_default_is_the_latest_full_week_in_both_populations(default):
    text, document, frame = default
    for population in DEFAULT_POPULATIONS:
        assert f"Week of 2026-09-07, population {population}" in text
    assert [r["population"] for r in document["results"]] == list(DEFAULT_POPULATIONS)
    assert frame["population"].drop_duplicates().tolist() == list(DEFAULT_POPULATIONS)
    assert "EXTRAPOLATION" not in text
    assert "PARTIAL WEEK" not in text


def test_files_say_what_the_table_says(default):
    text, document, frame = default
    for result in document["results"]:
        rows = frame[frame["population"] == result["population"]].reset_index(drop=True)
        records = pd.DataFrame(result["shares"])
        columns = list(records.columns)
        pd.testing.assert_frame_equal(rows[columns], records, check_dtype=False)
        for _, row in rows.iterrows():
            observed, corrected = 100 * row["observed"], 100 * row["corrected"]
            low, high = 100 * row["low"], 100 * row["high"]
            shown = [f"{x:.1f}" if x >= 0.1 else f"{x:.2g}" for x in (observed, corrected)]
            bounds = [f"{x:.1f}" if x >= 0.1 else f"{x:.2g}" for x in (low, high)]
            assert f"{shown[0]} {shown[1]} [{', '.join(bounds)}]" in text
        low, middle, high = result["china_against_us"]["ratio"]
        assert f"{middle:.2f} [{low:.2f}, {high:.2f}] corrected" in text


def test_json_and_csv_keep_the_identities(default):
    _, document, frame = default
    for result in document["results"]:
        c = result["china_against_us"]
        # The under-sampling ratio is the panel's ratio over the corrected one, draw by draw; a
        # quantile between two draws is interpolated, so that its reciprocal is near only.
        mirrored = [c["observed_ratio"] / x for x in reversed(c["ratio"])]
        assert c["undersampling"] == pytest.approx(mirrored, rel=1e-3)
        assert c["p_china_leads"] <= c["p_china_leads_closed"]
    assert (frame["low"] <= frame["corrected"]).all()
    assert (frame["corrected"] <= frame["high"]).all()
    assert (frame["tokens_low"] >= 0.999999 * frame["panel"]).all()
    assert frame.groupby("population")["observed"].sum().tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("by", "classes"),
    [
        ("lab", {"OpenAI", "Anthropic", "Google", "DeepSeek", "Zhipu", "Stealth"}),
        ("origin", {"China", "US", "Rest of world", "Stealth"}),
        ("tier", {"flagship", "mid", "light"}),
        ("weights", {"open", "closed", "Stealth"}),
    ],
)
def test_partitions(tmp_path, by, classes):
    text, _, frame = saved(tmp_path, *ONE, "--by", by)
    assert classes <= set(frame["class"])
    assert all(name in text for name in classes)
    assert frame["observed"].sum() == pytest.approx(1)


def test_level_widens_the_interval(tmp_path):
    narrow = saved(tmp_path, *ONE, "--level", "0.5")[2]
    text, _, wide = saved(tmp_path, *ONE, "--level", "0.95")
    assert "95% interval" in text
    assert (wide["low"] <= narrow["low"]).all()
    assert (wide["high"] >= narrow["high"]).all()
    assert wide["corrected"].tolist() == narrow["corrected"].tolist()


def test_a_seed_repeats_and_another_one_moves_the_draws():
    first = run(*ONE, "--seed", "3")
    assert run(*ONE, "--seed", "3") == first
    assert run(*ONE, "--seed", "4") != first


def test_the_informed_prior_is_named(tmp_path):
    text, document, _ = saved(tmp_path, *ONE, "--prior", "informed")
    assert "informed prior" in text
    assert document["results"][0]["prior"] == "informed"


def test_a_day_inside_a_week_means_its_week():
    assert "Week of 2026-06-01" in run("--week", "2026-06-04", "--population", "world-all-uses")


def test_the_partial_week_by_lab_after_the_last_benchmark_says_all_three(tmp_path):
    text, document, _ = saved(
        tmp_path, "--week", "2026-10-05", "--population", DEFAULT_POPULATIONS[0]
    )
    assert "PARTIAL WEEK: 5 of 7 days are observed; volumes are scaled to seven." in text
    assert "KNOWN BY LAB ONLY" in text
    assert re.search(r"EXTRAPOLATION: the last benchmark is \d+ weeks older than this week\.", text)
    result = document["results"][0]
    assert result["extrapolated"] is True
    assert len(result["notes"]) == 3


def test_a_full_week_by_lab_says_so():
    text = run("--week", "2026-09-14", "--population", DEFAULT_POPULATIONS[0])
    assert "KNOWN BY LAB ONLY" in text
    assert "PARTIAL WEEK" not in text


def test_plot_is_written_with_the_tables(tmp_path):
    path = tmp_path / "shares.png"
    run(*ONE, "--plot", str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["shares.png"]


def test_a_plot_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("offroute.report.figures.find_spec", lambda name: None)
    result = RUNNER.invoke(app, ["correct", *ONE, "--plot", str(tmp_path / "shares.png")])
    assert result.exit_code == 2
    assert "pip install 'offroute[figures]'" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_main_job_loads_nothing_that_draws():
    code = "import sys, offroute.cli; print(*{'matplotlib', 'seaborn'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


def test_the_installed_command_prints_its_version_and_fails_in_words(tmp_path):
    command = Path(sys.executable).parent / "offroute"
    out = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert out.stdout == f"offroute {importlib.metadata.version('offroute')}\n"
    bad = subprocess.run(
        [command, "correct", "--week", "soon", "--csv", tmp_path / "a.csv"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip  # dense
    assert bad.returncode == 2
    assert bad.stdout == ""
    assert bad.stderr.startswith("offroute: UnknownWeek: week: ")
    assert "Traceback" not in bad.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["correct", "audit", "ledger"])
def test_help_of_each_command_shows_examples(command):
    result = RUNNER.invoke(app, [command, "--help"], terminal_width=200)
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert f"offroute {command} --" in " ".join(result.stdout.split())


def test_help_lists_the_commands():
    result = RUNNER.invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.stdout for name in ("correct", "audit", "ledger", "--version"))


def test_the_command_and_the_library_agree(tmp_path):
    _, document, _ = saved(tmp_path, *ONE, "--by", "lab")
    posterior = offroute.correct("outside-china-external-api", weeks=("2026-06-01",), rng=0)
    week = offroute.volumes(posterior, int(posterior.draws.weeks[0]))
    table = offroute.share_table(week, by="lab").set_index("class")
    for row in document["results"][0]["shares"]:
        assert row["corrected"] == pytest.approx(table.loc[row["class"], "corrected"])


def test_a_level_that_the_draws_cannot_hold_is_refused():
    done = RUNNER.invoke(app, ["correct", *ONE, "--level", "0.9999"])
    assert done.exit_code == 2
    assert "draws must lie beyond" in done.stderr


def test_the_treatment_of_the_rest_and_of_free_routes_is_printed(default):
    text, document, _ = default
    assert "unnamed rest" in text
    assert "free routes" in document["results"][0]["notes"][0]
