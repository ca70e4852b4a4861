"""What is published: built twice the same, and installed it works without the source tree."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import offroute

ROOT = Path(__file__).resolve().parent.parent
# Monday, 2026-06-01: any fixed time will do.
EPOCH = "1780272000"


def run(*command, cwd, **environment):
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **environment},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two builds, each from a copy of its own of the files under version control."""
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    out = []
    for turn in ("first", "second"):
        folder = tmp_path_factory.mktemp(turn)
        for name in filter(None, names.splitlines()):
            if (ROOT / name).is_file():
                (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / "source" / name)
        run(
            sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist",
            cwd=folder / "source",
        )  # fmt: skip  # dense
        out.append(folder / "dist")
    return out


def test_two_builds_are_byte_identical(built):
    first, second = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        for folder in built
    )
    assert first == second
    assert {name.rpartition(".")[2] for name in first} == {"whl", "gz"}


def test_the_wheel_holds_package_tables_page_and_licences_and_nothing_else(built):
    (wheel,) = built[0].glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "offroute",
        f"offroute-{offroute.__version__}.dist-info",
    }
    package = {name for name in names if name.startswith("offroute/")}
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "offroute").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert package == source
    assert sum(name.endswith(("page.html.j2", "page.css", ".mjs")) for name in package) == 5
    assert sum("licenses/" in name for name in names) == 2


def test_an_installed_wheel_corrects_without_the_source_tree(built, tmp_path):
    (wheel,) = built[0].glob("*.whl")
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    run(uv, "pip", "install", "--offline", "--no-deps", "--python", python, wheel, cwd=tmp_path)
    # The locked packages, as a path: the editable install in them is not followed from there.
    script = "import site; print(site.getsitepackages()[0])"
    site = Path(run(python, "-c", script, cwd=tmp_path).strip())
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(python, "-c", "import offroute; print(offroute.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(tmp_path)
    command = tmp_path / "env" / "bin" / "offroute"
    assert run(command, "--version", cwd=tmp_path).strip() == f"offroute {offroute.__version__}"
    out = tmp_path / "shares.csv"
    printed = run(
        command, "correct", "--week", "2026-06-01", "--population", "world-external-api",
        "--csv", out, cwd=tmp_path, OPENBLAS_NUM_THREADS="1",
    )  # fmt: skip  # dense
    assert "population world-external-api" in printed
    assert out.read_text().startswith("class,observed,corrected,low,high")
