"""Settings of the documentation; `make docs` builds it offline, warnings being errors."""

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

import offroute

# For the kernels that execute the pages: small matrices, one thread.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

HERE = Path(__file__).parent
PACKAGE = Path(offroute.__file__).parent


def state_of_the_package() -> str:
    """Hash the package's files and tables: a fit is kept for this state and no other."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(PACKAGE)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


# Extensions of this folder, for this process and for the kernels.
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = str(HERE)
FITS = HERE / "_build" / "fits" / state_of_the_package()
for _old in FITS.parent.glob("*"):
    if _old != FITS:
        shutil.rmtree(_old)
os.environ["OFFROUTE_DOCS_FITS"] = str(FITS)

project = "offroute"
author = "offroute authors"
copyright = author
version = release = offroute.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_nb", "measured"]
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


def public_groups() -> dict[str, list[str]]:
    """Public names by the groups that the comments of `offroute._GROUPS` name."""
    source = (PACKAGE / "__init__.py").read_text()
    block = source.partition("_GROUPS = {\n")[2].partition("\n}\n")[0]
    groups: dict[str, list[str]] = {}
    for line in block.splitlines():
        if line.startswith("    # "):
            names = groups.setdefault(line.removeprefix("    # ").capitalize(), [])
        else:
            names += re.findall(r'"(\w+)"', line.removeprefix("    ").partition(": ")[2] or line)
    found = {name for names in groups.values() for name in names}
    if missing := set(offroute.__all__) - found - {"exceptions"}:
        raise ValueError(f"in no group of the API: {sorted(missing)}")
    return groups


def write_api() -> None:
    """List the public names as `offroute/__init__.py` groups them."""
    lines = ["API", "===", "", "Every public name. Examples are executed by the tests.", ""]
    for title, names in public_groups().items():
        lines += [title, "-" * len(title), "", ".. currentmodule:: offroute", ""]
        lines += [".. autosummary::", "   :toctree: generated", ""]
        lines += [f"   {name}" for name in names] + [""]
    text = "\n".join(lines)
    path = HERE / "api" / "index.rst"
    # An unchanged file keeps its time, so that a second build has nothing to do.
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


#: A logarithm directly before what it is of, which browsers set without any space.
BARE_LOG = re.compile(r"(<mi>(?:log|exp)</mi>)(?=<m(?:i|n|sub|sup|subsup|frac|over|sqrt)\b)")
#: A bar over several letters: the converter's has a fixed width.
BAR = re.compile(r'<mover>((?:(?!<mover>).)*)<mo accent="true">&#x02015;</mo></mover>')


def _convert(tex: str, display: str) -> str:
    found = BARE_LOG.sub(r'\1<mspace width="0.167em" />', convert(tex, display=display))
    return BAR.sub(r'<mrow style="border-top: 0.06em solid">\1</mrow>', found)


def _inner(tex: str) -> str:
    return re.sub(r"^<math[^>]*>|</math>$", "", _convert(tex, "block"))


def _mathml(tex: str, display: str) -> str:
    """Convert a formula; lines ended by a double backslash are aligned at their ampersands."""
    tex = tex.strip()
    if "\\begin" in tex or not re.search(r"\\\\|(?<!\\)&", tex):
        return _convert(tex, display)
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
