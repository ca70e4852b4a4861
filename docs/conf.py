"""Settings of the documentation; `make docs` builds it offline, warnings being errors."""

import os
from importlib import import_module
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

import offroute

# For the kernels that execute the pages: small matrices, one thread.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

project = "offroute"
author = "offroute authors"
copyright = author  # noqa: A001 - Sphinx wants this name
version = release = offroute.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_nb"]
exclude_patterns = ["_build", "figures", "jupyter_execute"]
templates_path = ["_templates"]
root_doc = "index"
default_role = "code"

myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 180
nb_merge_streams = True

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = f"offroute {version}"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_nav_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_math_renderer = "mathml"

_LAYERS = {
    "data": "Tables",
    "measurement": "What was meant",
    "estimators": "Estimates",
    "inference": "What follows from them",
    "exceptions": "Errors",
}


def write_api() -> None:
    """List the public names by layer, so that a new one cannot be forgotten."""
    layers: dict[str, list[str]] = {title: [] for title in _LAYERS.values()}
    home = import_module("offroute")._HOME
    for name in offroute.__all__:
        layers[_LAYERS[home.get(name, "offroute.exceptions").split(".")[1]]].append(name)
    lines = ["API", "===", "", "Every public name. Examples are executed by the tests.", ""]
    for title, names in layers.items():
        names = [name for name in names if name != "exceptions"]
        lines += [title, "-" * len(title), "", ".. currentmodule:: offroute", ""]
        lines += [".. autosummary::", "   :toctree: generated", ""]
        lines += [f"   {name}" for name in names] + [""]
    text = "\n".join(lines)
    path = Path(__file__).parent / "api" / "index.rst"
    # An unchanged file keeps its time, so that a second build has nothing to do.
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def _mathml(tex: str, display: str) -> str:
    tex = tex.strip()
    if display == "block" and ("&" in tex or "\\\\" in tex) and "\\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    return convert(tex, display=display)


def inline_math(writer, node: nodes.math) -> None:
    """Write a formula within a line as MathML."""
    writer.body.append(_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block_math(writer, node: nodes.math_block) -> None:
    """Write a displayed formula as MathML."""
    writer.body.append(f'<div class="math">{_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register what this build adds to Sphinx."""
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    # Before Sphinx looks for files.
    write_api()
