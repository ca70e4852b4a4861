"""The code of the how-to pages on logs and workers runs as it stands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOWTO = Path(__file__).parents[1] / "docs" / "howto"


def _run(page, section, tmp_path):
    """Run the code of one section as a script of its own and return what it prints."""
    text = (HOWTO / page).read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_log(tmp_path):
    page = (HOWTO / "own-log.md").read_text()
    script = "\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
    (tmp_path / "page.py").write_text(script)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "page.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^log .*China", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^corrected .*China", done.stdout, flags=re.MULTILINE)


@pytest.mark.slow
def test_cells_from_spark(tmp_path):
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17, and there is none")
    assert "sum_w_tokens" in _run("spark-dask.md", "Cells from Spark", tmp_path)


@pytest.mark.slow
def test_replicates_on_processes_and_dask(tmp_path):
    out = _run("spark-dask.md", "Replicates on workers", tmp_path)
    # Dask's processes import the script and print the first line as well.
    assert set(out.split()) == {"True"}
