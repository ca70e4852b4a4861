"""Settings of the documentation; `make docs` builds it offline, warnings being errors."""

import os
import re
from importlib import import_module
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

import offroute

# For the kernels that execute the pages: small matrices, one thread.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

project = "offroute"
author = "offroute authors"
copyright = author
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
html_static_path = ["_static"]
html_css_files = ["custom.css"]

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
        if name != "exceptions":
            layers[_LAYERS[home.get(name, "offroute.exceptions").split(".")[1]]].append(name)
    lines = ["API", "===", "", "Every public name. Examples are executed by the tests.", ""]
    for title, names in layers.items():
        lines += [title, "-" * len(title), "", ".. currentmodule:: offroute", ""]
        lines += [".. autosummary::", "   :toctree: generated", ""]
        lines += [f"   {name}" for name in names] + [""]
    text = "\n".join(lines)
    path = Path(__file__).parent / "api" / "index.rst"
    # An unchanged file keeps its time, so that a second build has nothing to do.
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def _inner(tex: str) -> str:
    return re.sub(r"^<math[^>]*>|</math>$", "", convert(tex, display="block"))


def _mathml(tex: str, display: str) -> str:
    """Convert a formula; lines ended by a double backslash are aligned at their ampersands."""
    tex = tex.strip()
    if "\\begin" in tex or not re.search(r"\\\\|(?<!\\)&", tex):
        return convert(tex, display=display)
    rows = [re.split(r"(?<!\\)&", row) for row in re.split(r"\\\\", tex)]
    cells = [
        [
            f'<mtd style="text-align: {side}">{_inner(cell)}</mtd>'
            for cell, side in zip(row, ("right", "left", "left"), strict=False)
        ]
        for row in rows
    ]
    table = "".join(f"<mtr>{''.join(row)}</mtr>" for row in cells)
    space = "http://www.w3.org/1998/Math/MathML"
    return f'<math xmlns="{space}" display="block"><mtable>{table}</mtable></math>'


def inline_math(writer: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line as MathML."""
    writer.body.append(_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block_math(writer: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula as MathML."""
    writer.body.append(f'<div class="math">{_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register what this build adds to Sphinx."""
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    # Before Sphinx looks for files.
    write_api()
