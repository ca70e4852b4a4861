"""Generated pages: README and changelog follow results/, and a drift of either is found."""

import doctest
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import offroute

ROOT = Path(__file__).resolve().parent.parent
RESULTS = json.loads((ROOT / "results" / "results.json").read_text())


def script(name):
    """Import a script of the repository as a module; scripts import each other by name."""
    if str(ROOT / "scripts") not in sys.path:
        sys.path.append(str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_readme(root, *arguments):
    command = [sys.executable, ROOT / "scripts" / "make_readme.py", "--root", root, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path):
    for name in ("results", "benchmarks", "scripts", "studies"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_the_library_example_of_the_readme_runs():
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    test = doctest.DocTestParser().get_doctest(block, {}, "README", None, None)
    assert len(block.splitlines()) <= 12
    failures = doctest.DocTestRunner(verbose=False).run(test)
    assert failures.attempted >= 6
    assert failures.failed == 0


def test_the_readme_follows_the_results(copy):
    assert make_readme(copy, "--check").returncode == 0
    path = copy / "results" / "results.json"
    ratio = RESULTS["correct"]["weeks"]["world-external-api"][RESULTS["correct"]["latest"]]
    middle = ratio["contest"]["ratio"][1]
    path.write_text(path.read_text().replace(repr(middle), repr(middle * 2)))
    run = make_readme(copy, "--check")
    assert run.returncode == 1
    assert "README.md differs" in run.stderr
    assert "CHANGELOG.md differs" in run.stderr
    assert make_readme(copy).returncode == 0
    assert f"{2 * middle:.2f}" in (copy / "README.md").read_text()


def test_a_placeholder_without_a_number_is_an_error(copy):
    (copy / "scripts" / "README.template.md").write_text("{{no.such}}")
    run = make_readme(copy)
    assert run.returncode == 1
    assert "no.such" in run.stderr


def test_the_readme_names_no_number_that_is_not_generated():
    """Decimals, which are estimates, stand in the template only as placeholders."""
    template = (ROOT / "scripts" / "README.template.md").read_text()
    prose = re.sub(r"```.*?```", "", template, flags=re.DOTALL)
    # A version of Python and of a licence are no estimates.
    decimals = set(re.findall(r"\d+\.\d+", prose)) - {"3.11", "4.0"}
    assert decimals == set()


def test_results_speak_of_this_version_and_the_shipped_tables():
    provenance = RESULTS["provenance"]
    assert provenance["offroute"] == offroute.__version__
    for table, facts in provenance["data"].items():
        assert facts["sha256"] == offroute.sidecar_of(table).sha256
    assert provenance["date"] == offroute.sidecar_of("usage").as_of


def test_the_small_tables_agree_with_the_document():
    shares = pd.read_csv(ROOT / "results" / "shares.csv")
    for population, weeks in RESULTS["correct"]["weeks"].items():
        for week, result in weeks.items():
            rows = shares[(shares["population"] == population) & (shares["week_start"] == week)]
            table = rows[rows["by"] == "origin"].set_index("class")["corrected"]
            assert table.to_dict() == {
                name: cell["corrected"] for name, cell in result["shares"]["origin"].items()
            }


def test_a_number_changed_by_hand_is_found(tmp_path):
    make = script("make_results")
    shutil.copytree(ROOT / "results", tmp_path / "results")
    assert make.broken(tmp_path / "results") == []
    path = tmp_path / "results" / "shares.csv"
    path.write_text(path.read_text().replace("0.1", "0.2", 1))
    document = tmp_path / "results" / "results.json"
    document.write_text(document.read_text().replace('"n_draws": 4000', '"n_draws": 5000'))
    assert make.broken(tmp_path / "results") == [
        "results.json: changed by hand",
        "shares.csv: changed by hand",
    ]
    path.unlink()
    assert "shares.csv: no such file" in make.broken(tmp_path / "results")


def test_the_hash_of_code_sees_code_and_nothing_else():
    code_only = script("results_common").code_only
    plain = "def f(x):\n    return x + 1\n"
    told = 'def f(x):\n    """Say what."""\n\n    # why\n    return x + 1\n'
    assert code_only(plain) == code_only(told)
    assert code_only(plain) != code_only(plain.replace("1", "2"))


def test_numbers_that_json_does_not_have_become_null():
    finite = script("results_common").finite
    assert finite({"a": [1.0, float("inf")], "b": (float("nan"), "x")}) == {
        "a": [1.0, None],
        "b": [None, "x"],
    }


def test_the_seal_names_the_tables_of_the_snapshot_and_the_studies():
    inputs = RESULTS["seal"]["inputs"]
    common = script("results_common")
    assert {f"studies/{name}" for name in common.STUDIES} <= inputs.keys()
    assert inputs["data/usage"] == offroute.sidecar_of("usage").sha256


def test_every_coverage_of_the_study_is_in_the_results():
    """No world, estimator or quantity with too low a coverage can be left out of the paper."""
    study = pd.read_csv(ROOT / "studies" / "coverage.csv")
    for _, row in study.iterrows():
        cell = RESULTS["validation"][f"{row['estimator']}.{row['quantity']}"][row["world"]]
        assert cell["coverage"] == row["coverage_90"]
        low = 0.9 - 2 * (0.09 / row["markets"]) ** 0.5
        assert cell["too_low"] == (row["coverage_90"] < low)


def test_the_audit_in_the_results_has_the_weeks_of_the_issue():
    assert RESULTS["audit"]["leads_for_good_from"] == "2026-04-27"
    assert RESULTS["audit"]["spells"]["leads_surely"] == [
        ["2026-03-23", "2026-03-30"],
        ["2026-06-01", "2026-09-21"],
        ["2026-10-05", "2026-10-05"],
    ]


def test_drift_is_found_beyond_the_tolerance_only():
    drift = script("make_results").drift
    old = {"a": [1.0, 2.0], "b": "x", "c": None}
    assert drift(old, {"a": [1.0, 2.0 * (1 + 1e-7)], "b": "x", "c": None}) == []
    assert drift(old, {"a": [1.0, 2.0 * (1 + 1e-5)], "b": "x", "c": None}) == [
        "/a/1: 2.0 is now 2.00002"
    ]
    assert drift(old, {"a": [1.0, 2.0], "b": "y"}) == ["/c: only on one side", "/b: x is now y"]
    assert drift([1.0], [1.0, 2.0]) != []
    assert drift({"a": True}, {"a": 1.5}) != []


def test_tables_are_compared_cell_by_cell():
    parsed = script("make_results").parsed
    assert parsed("a.csv", "x,y\nUS,0.5\n") == [["x", "y"], ["US", 0.5]]
    assert parsed("a.json", '{"x": 1}') == {"x": 1}


def test_the_figure_is_small():
    assert (ROOT / "docs" / "figures" / "ratio.svg").stat().st_size < 150_000
