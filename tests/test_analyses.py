import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ANALYSES = sorted((ROOT / "analyses").glob("*.py"))


@pytest.mark.parametrize("path", ANALYSES, ids=lambda path: path.stem)
def test_an_analysis_runs_and_defines_no_function(path):
    assert not re.search(r"^\s*(def|class) ", path.read_text(), flags=re.MULTILINE)
    names = runpy.run_path(str(path))
    assert "offroute" in names


def test_every_reference_has_one_key_and_a_doi():
    text = (ROOT / "paper" / "refs.bib").read_text()
    keys = re.findall(r"^@\w+\{(\w+),", text, flags=re.MULTILINE)
    dois = re.findall(r"doi = \{(10\.\d{4,}/\S+)\}\}", text)
    assert len(keys) == len(set(keys)) == len(dois) == len(set(dois))
