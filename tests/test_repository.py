"""The tree itself: no trace of a machine, a lock that fits, generated files that agree."""

import gzip
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import offroute

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = {
    "build": PYPROJECT["build-system"]["requires"],
    "runtime": PYPROJECT["project"]["dependencies"],
    # The peers of the benchmarks stand in environments of their own.
    **{
        name: needs
        for name, needs in PYPROJECT["project"]["optional-dependencies"].items()
        if not name.startswith("bench")
    },
    **PYPROJECT["dependency-groups"],
}
# Written in two parts, so that this file does not contain them.
TRACES = [
    "/work" + "/",
    "/root" + "/",
    "pypi" + ".org",
    "python" + "hosted.org",
    "conda.anaconda" + ".org",
    "registry.npm" + "js.org",
    "deb.debian" + ".org",
    "file:" + "///",
]


LOCKS = ("requirements.lock", "requirements-test.lock")


def locked(name="requirements-test.lock"):
    lines = (ROOT / name).read_text().splitlines()
    pins = [line.partition(";")[0].strip(" \\") for line in lines if "==" in line.partition(";")[0]]
    return {canonicalize_name(name): pinned for name, pinned in (p.split("==") for p in pins)}


def make_environment(root):
    script = ROOT / "scripts" / "make_environment.py"
    return subprocess.run(
        [sys.executable, script, "--check", "--root", root],
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_tracked_file_names_a_machine_or_a_registry():
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    files = [ROOT / name for name in names if name and (ROOT / name).is_file()]
    assert ROOT / "pyproject.toml" in files
    found = []
    for path in files:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        found += [(path.name, trace) for trace in TRACES if trace.encode() in content]
    assert found == []


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_has_hashes_and_no_urls(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^--(index|extra|find|trusted)", text, re.MULTILINE)
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert [b.splitlines()[0] for b in blocks if "--hash=sha256:" not in b] == []


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_has_one_version_of_each_package(name):
    lines = (ROOT / name).read_text().splitlines()
    assert len(locked(name)) == sum("==" in line.partition(";")[0] for line in lines)


def test_the_package_runs_on_the_versions_that_are_tested():
    assert locked("requirements.lock").items() <= locked().items()


@pytest.mark.parametrize("group", GROUPS)
def test_the_lock_meets_pyproject(group):
    pins = locked()
    needs = [Requirement(need) for need in GROUPS[group]]
    broken = [
        str(need)
        for need in needs
        if not need.specifier.contains(pins.get(canonicalize_name(need.name), "0"))
    ]
    assert broken == []


def test_environment_agrees_with_pyproject():
    run = make_environment(ROOT)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("drift", ["changed", "missing"])
def test_environment_drift_fails(tmp_path, drift):
    shutil.copy(ROOT / "environment.yml", tmp_path)
    text = (ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(text.replace("hypothesis>=6.100", "hypothesis>=6.101"))
    if drift == "missing":
        (tmp_path / "pyproject.toml").write_text(text)
        (tmp_path / "environment.yml").unlink()
    run = make_environment(tmp_path)
    assert run.returncode == 1
    assert "environment.yml differs from pyproject.toml" in run.stderr


def test_citation_and_changelog_are_of_this_version():
    assert f"\nversion: {offroute.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == offroute.__version__


def test_data_licences_carry_the_required_citations():
    text = (ROOT / "DATA_LICENSES.md").read_text()
    assert "Source: OpenRouter (openrouter.ai/rankings), as of <meta.as_of>." in text
    assert "Licensed under CC BY 4.0." in text
    assert '"AI Gateway Leaderboard Data", (c) 2026 Vercel, CC BY 4.0' in text


def test_every_study_is_made_by_a_target():
    recipes = re.findall(
        r"^\t\$\(BIN\)/python (scripts/study_.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    run = {line.split()[0] for line in recipes}
    texts = {f"scripts/{p.name}": p.read_text() for p in (ROOT / "scripts").glob("study_*.py")}
    assert run == {name for name, text in texts.items() if "__main__" in text}
    words = "\n".join([*recipes, *(texts[name] for name in run)])
    for table in (ROOT / "studies").glob("*.csv"):
        side = table.with_suffix(".json")
        if side.exists():
            assert json.loads(side.read_text())["command"].split()[1] in run, table.name
        else:
            assert re.search(rf"\b{table.name}\b", words), table.name
