import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ANALYSES = sorted((ROOT / "analyses").glob("[0-9]*.py"))
MAKE = [sys.executable, str(ROOT / "scripts" / "make_notebooks.py")]
MOST_CELLS = 40


def _run(*options):
    return subprocess.run(
        [*MAKE, *map(str, options)], capture_output=True, text=True, check=False, timeout=1500
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Every notebook, executed."""
    folder = tmp_path_factory.mktemp("pages")
    done = _run("--html", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_each_notebook_is_that_of_its_script():
    done = _run("--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", ANALYSES, ids=lambda path: path.stem)
def test_an_analysis_defines_nothing_and_is_short(path):
    text = path.read_text()
    assert not re.search(r"^\s*(def|class) |^\w+ = lambda\b", text, flags=re.MULTILINE)
    assert text.count("# %%") <= MOST_CELLS
    assert not re.search(r"""["'](/|[A-Za-z]:\\|~)""", text)


@pytest.mark.parametrize("path", ANALYSES, ids=lambda path: path.stem)
def test_an_executed_analysis_loads_nothing_and_describes_its_figures(path, pages):
    text = (pages / f"{path.stem}.html").read_text()
    assert "default-src 'none'" in text
    loads = re.findall(r"""<(?:script|link|iframe)\b|\bsrc\s*=\s*["'](?!data:)|@import""", text)
    assert loads == []
    images = re.findall(r"<img [^>]*>", text)
    assert images
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)
    assert "<table" in text


def test_a_rerun_gives_the_same_bytes(pages, tmp_path):
    name = "07_your_own_data"
    done = _run("--html", tmp_path, "--only", "07")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{name}.html").read_bytes() == (pages / f"{name}.html").read_bytes()


def test_every_reference_has_one_key_and_a_doi():
    text = (ROOT / "paper" / "refs.bib").read_text()
    keys = re.findall(r"^@\w+\{(\w+),", text, flags=re.MULTILINE)
    dois = re.findall(r"doi = \{(10\.\d{4,}/\S+)\}\}", text)
    assert len(keys) == len(set(keys)) == len(dois) == len(set(dois))
