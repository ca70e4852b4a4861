"""The documentation: all code runs, it builds without a warning, its links lead somewhere."""

import doctest
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
from contextlib import chdir
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
from typer.testing import CliRunner

import offroute
from offroute.cli import app

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
GENERATED = {"_build", "api", "jupyter_execute"}
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in DOCS.rglob("*.md") if not GENERATED & set(p.relative_to(DOCS).parts)),
]
# Pages that need a server, a cluster or input files have tests of their own, which name them.
ELSEWHERE = {
    "own-log.md": "tests/test_howto.py",
    "spark-dask.md": "tests/test_howto.py",
    "refresh.md": "tests/data/test_refresh.py",
}
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", flags=re.MULTILINE | re.DOTALL)
# Pages of bounds, counts and tables of other pages: nothing to cover.
WITHOUT_COVERAGE = {
    "critiques", "geography", "groups_and_charts", "hosts", "index", "populations",
    "second_gateway", "self_hosting", "text_units", "truncation", "units",
}  # fmt: skip  # dense
# Several fits each, which the tests of their commands run.
WITHOUT_EXAMPLE = {
    "answer_table",
    "compare_estimators",
    "load_refreshed",
    "overturn",
    "replicate_inference",
}
# Directives of MyST; the build executes the cells. The README's plain block is `make`.
BUILT = re.compile(r"\{[\w-]+\}.*")
PLAIN = {ROOT / "README.md": [""]}


def blocks(path):
    return [(m["kind"].strip(), m["text"]) for m in FENCE.finditer(path.read_text())]


def name(path):
    return str(path.relative_to(ROOT))


@cache
def run_command(line):
    """The same command stands on several pages: it is run once, in a folder of its own."""
    words = shlex.split(line)
    assert words[0] == "offroute", line
    with TemporaryDirectory() as folder, chdir(folder):
        done = CliRunner().invoke(app, words[1:])
    return done.exit_code, done.output


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_pages_left_out_here_are_run_elsewhere(page, test):
    assert page in (ROOT / test).read_text()


@pytest.mark.parametrize("path", [p for p in PAGES if p.name not in ELSEWHERE], ids=name)
def test_every_code_block_runs(path, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for kind, text in blocks(path):
        if BUILT.fullmatch(kind) or kind in PLAIN.get(path, ()):
            continue
        assert kind in ("python", "console"), f"{name(path)}: nothing runs a block of {kind!r}"
        if kind == "console":
            lines = [line for line in text.splitlines() if line.startswith("$ ")]
            assert lines, f"{name(path)}: a console block without a command"
            for line in lines:
                if line == "$ offroute report -o report.html":
                    # The longest one is what the fixture runs.
                    assert request.getfixturevalue("page_file").is_file()
                    continue
                code, output = run_command(line[2:])
                assert code == 0, output
        elif ">>>" in text:
            test = doctest.DocTestParser().get_doctest(text, namespace, name(path), None, None)
            runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
            runner.run(test, clear_globs=False)
            assert runner.failures == 0
            namespace.update(test.globs)
        else:
            exec(compile(text, name(path), "exec"), namespace)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation, built by the recipe of `make docs`."""
    folder, bin_of = tmp_path_factory.mktemp("site"), str(Path(sys.executable).parent)
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^docs:.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)[1]
    for variable, value in (
        ("$(abspath $(BIN))", bin_of),
        ("$(BIN)", bin_of),
        ("$(SITE)", str(folder)),
        ("$$", "$"),
    ):
        recipe = recipe.replace(variable, value)
    done = subprocess.run(
        ["bash", "-c", recipe], cwd=ROOT, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folder


class Links(HTMLParser):
    """Where a page points, what it loads, and what can be pointed at."""

    def __init__(self):
        super().__init__()
        self.to, self.loads, self.ids = [], [], set()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids.add(found.get("id"))
        if tag == "a" and found.get("href"):
            self.to.append(found["href"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "modulepreload"):
            self.loads.append(found["href"])
        if tag in ("script", "img", "iframe") and found.get("src"):
            self.loads.append(found["src"])


@pytest.fixture(scope="module")
def parsed(site):
    out = {}
    for path in sorted(site.rglob("*.html")):
        # A template of the theme that is no page.
        if "_static" not in path.parts:
            out[path] = Links()
            out[path].feed(path.read_text())
    return out


def test_local_links_and_anchors_exist(parsed):
    dead = []
    for page, links in parsed.items():
        for link in links.to:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                continue
            path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if path not in parsed:
                if not path.is_file():
                    dead.append((page.name, link))
            elif parts.fragment and unquote(parts.fragment) not in parsed[path].ids:
                dead.append((page.name, link))
    assert dead == []


def test_the_documentation_loads_nothing_from_elsewhere(parsed):
    assert len(parsed) > 60
    assert [u for links in parsed.values() for u in links.loads if urlsplit(u).netloc] == []
    missing = [
        (page.name, url)
        for page, links in parsed.items()
        for url in links.loads
        if not url.startswith("data:")
        and not (page.parent / unquote(urlsplit(url).path)).resolve().is_file()
    ]
    assert missing == []


def test_formulas_are_converted_to_the_last_command(parsed):
    formulas = [
        formula
        for page in parsed
        for formula in re.findall(r"<math.*?</math>", page.read_text(), flags=re.DOTALL)
    ]
    assert len(formulas) > 50
    text = {formula: re.sub("<[^>]*>", "", formula) for formula in formulas}
    assert [t for f, t in text.items() if "\\" in t or re.search(r"&(?!#?\w+;)", f)] == []


def test_every_public_name_has_a_page(site):
    pages = {p.stem.removeprefix("offroute.") for p in (site / "api" / "generated").iterdir()}
    assert set(offroute.__all__) - {"exceptions"} <= pages


@pytest.fixture(scope="module")
def measured():
    spec = importlib.util.spec_from_file_location("measured", DOCS / "measured.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_family_of_methods_prints_its_coverage():
    pages = {path.stem: path.read_text() for path in (DOCS / "methods").glob("*.md")}
    silent = {name for name, text in pages.items() if "\n:label: " not in text}
    assert silent == WITHOUT_COVERAGE


def test_a_page_shows_what_the_study_says(site, measured):
    study = pd.read_csv(ROOT / "studies" / "coverage.csv")
    row = study.query("world == 'us-doubled' and estimator == 'synthesis'").iloc[0]
    page = (site / "methods" / "lattice.html").read_text()
    assert f"{100 * row['coverage_90']:.0f}{measured.PERCENT}" in page
    assert f"us-doubled, naive (0{measured.PERCENT})" in page


def test_what_falls_short_is_named_and_nothing_else(measured):
    frame = pd.DataFrame(
        {
            "estimator": ["good", "bad", "few"],
            "coverage_90": [0.89, 0.8, 0.8],
            "markets": [400, 400, 20],
            "assumptions_hold": [True, True, True],
        }
    )
    said = measured.short_of_nominal(frame, ["estimator"])
    assert said.startswith("1 of the 3 rows")
    assert f"1 although its assumptions hold: bad (80{measured.PERCENT})." in said
    fine = measured.short_of_nominal(frame[frame["estimator"] != "bad"], ["estimator"])
    assert fine.startswith("None of the 2 rows")
    broken = measured.short_of_nominal(frame.assign(assumptions_hold=False), ["estimator"])
    assert "1 because its assumptions are broken" in broken


def test_public_functions_have_examples():
    functions = {
        name: inspect.getdoc(getattr(offroute, name))
        for name in offroute.__all__
        if inspect.isfunction(getattr(offroute, name))
    }
    assert {name for name, text in functions.items() if ">>>" not in text} == WITHOUT_EXAMPLE


def test_the_api_has_the_groups_of_the_package(site):
    page = (site / "api" / "index.html").read_text()
    source = (ROOT / "src" / "offroute" / "__init__.py").read_text()
    block = source.partition("_GROUPS = {")[2].partition("\n}")[0]
    groups = re.findall(r"^    # (.*)$", block, flags=re.MULTILINE)
    headings = re.findall(r"<h2>(.*?)<a", page)
    assert [h.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'") for h in headings] == [
        group.capitalize() for group in groups
    ]


def test_readme_links_exist():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    local = [link for link in links if not urlsplit(link).scheme]
    assert local
    assert [link for link in local if not (ROOT / link).exists()] == []
