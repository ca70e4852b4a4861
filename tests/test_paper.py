"""The paper: numbers come from results/, figures from tables, and two runs give the same bytes."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAPER = ROOT / "paper"
SCRIPTS = sorted((PAPER / "figures").glob("*.py"))
TEXT = (PAPER / "paper.typ").read_text()


@pytest.fixture(scope="module")
def make_paper():
    sys.path.insert(0, str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location("make_paper", ROOT / "scripts" / "make_paper.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture(scope="module")
def built(make_paper):
    """Build the paper twice, below the repository, where Typst may read."""
    out = []
    for name in ("test-one", "test-two"):
        folder = PAPER / "build" / name
        folder.mkdir(parents=True, exist_ok=True)
        make_paper.draw(folder)
        out.append((folder, make_paper.compile_paper(folder)))
    return out


def test_two_runs_give_the_same_bytes(built):
    (one, first), (two, second) = built
    assert first.keys() == second.keys() == {"offroute.pdf", "offroute.html"}
    for name in first:
        assert first[name] == second[name]
    for script in SCRIPTS:
        name = f"{script.stem}.svg"
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_the_html_holds_everything_in_one_file(built):
    page = built[0][1]["offroute.html"].decode()
    assert page.count("<img ") == len(SCRIPTS)
    assert not re.search(r'(?:src|href)="(?!data:|#|https://doi\.org/)', page)
    assert "<math" in page


def test_every_script_draws_one_figure_from_one_table():
    for script in SCRIPTS:
        text = script.read_text()
        assert len(text.splitlines()) < 80, script.name
        tables = re.findall(r'\btable\("(\w+)"', text)
        assert len(tables) == 1, script.name
        assert (ROOT / "results" / f"{tables[0]}.csv").is_file()
        assert len(re.findall(r"^from offroute\.report\.figures\w* import \w+$", text, re.M)) == 1
        assert f'picture("{script.stem}"' in TEXT


def test_no_number_is_typed_by_hand():
    """Digits stand in code, in formulas, and in labels only, never in prose."""
    prose = re.sub(r"//.*", "", TEXT)
    prose = re.sub(r"\$[^$]*\$", "", prose)
    prose = re.sub(r'"[^"]*"', "", prose)
    prose = re.sub(
        r"columns: \([^)]*\)|size: [\d.]+pt|@\w[\w-]*|\.at\(\d\)|<\w+>|_\d\d\b|100 \* x", "", prose
    )
    prose = re.sub(r"items\.len\(\) (?:>|-) 2|slice\(0, 2\)", "", prose)
    found = [line.strip() for line in prose.splitlines() if re.search(r"\d", line)]
    assert found == []


def test_every_reference_is_cited_and_has_a_doi():
    entries = re.findall(r"@\w+\{(\w+),(.*?)\}\}", (PAPER / "refs.bib").read_text(), re.DOTALL)
    assert len(entries) >= 6
    for key, body in entries:
        assert re.search(r"doi = \{10\.\d{4,9}/\S+$", body), key
        assert f"@{key}" in TEXT or f"<{key}>" in TEXT


def test_what_the_text_says_in_words_is_so():
    """Sentences whose direction is not taken from a number."""
    results = json.loads((ROOT / "results" / "results.json").read_text())
    week = results["audit"]["chart_week"]
    assert week["top_china"] / week["top_us"] > week["ratio"] > 1
    assert results["validation"]["naive.log_ratio"]["calibrated"]["coverage"] < 0.5
    answers = results["correct"]["weeks"]
    latest = results["correct"]["latest"]
    for population in ("outside-china-external-api", "world-external-api"):
        assert answers[population][latest]["contest"]["undersampling"][0] > 1
    assert set(results["unidentified"]) == {"us-startups", "us-enterprise", "world-with-self-host"}
