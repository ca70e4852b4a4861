"""The code of the how-to pages on logs and workers runs as it stands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOWTO = Path(__file__).parents[1] / "docs" / "howto"


def _blocks(page, section):
    """The code of one section of a page."""
    text = (HOWTO / page).read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    return blocks


def _run(code, folder):
    """Run code as a script of its own and return what it prints."""
    script = folder / "page.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True, text=True, cwd=folder, check=False, timeout=300,
    )  # fmt: skip  # dense
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_log(tmp_path):
    page = "own-log.md"
    sections = ("Cells", "Keep the cells", "Correct")
    out = _run("\n".join(b for section in sections for b in _blocks(page, section)), tmp_path)
    assert re.search(r"^log .*China", out, flags=re.MULTILINE)
    assert re.search(r"^corrected .*China", out, flags=re.MULTILINE)


@pytest.mark.slow
def test_cells_from_spark(tmp_path):
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17, and there is none")
    out = _run("\n".join(_blocks("spark-dask.md", "Cells from Spark")), tmp_path)
    assert "sum_w_tokens" in out


@pytest.mark.slow
def test_replicates_on_processes_and_dask(tmp_path):
    blocks = _blocks("spark-dask.md", "Replicates on workers")
    assert [_run(block, tmp_path).strip() for block in blocks] == ["True", "True"]
