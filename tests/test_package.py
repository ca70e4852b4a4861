"""`import offroute` is cheap, and every public name can be reached."""

import ast
import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

import offroute


def test_import_loads_nothing_heavy():
    code = "import sys, offroute; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "offroute" in loaded
    assert not loaded & {"numpy", "scipy", "pandas", "matplotlib", "rich", "typer"}


def test_public_names_resolve_from_a_fresh_import():
    code = "import offroute\nprint(*[n for n in offroute.__all__ if getattr(offroute, n) is None])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_the_three_lists_of_names_agree():
    tree = ast.parse(inspect.getsource(offroute))
    typed = {
        alias.asname or alias.name
        for block in tree.body
        if isinstance(block, ast.If)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert typed == set(offroute._HOME)
    assert set(offroute.__all__) == typed | {"exceptions"}
    assert len(offroute.__all__) == len(set(offroute.__all__))
    assert dir(offroute) == sorted([*offroute.__all__, "__version__"])


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'offroute' has no attribute 'nothing'"):
        _ = offroute.nothing


def test_version_is_that_of_the_installed_package():
    assert offroute.__version__ == version("offroute")
