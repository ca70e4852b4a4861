"""Write the notebooks beside analyses/*.py; with --html, execute them into pages.

With --check, fail if a notebook differs from its script. Pages load nothing from outside.
"""

import argparse
import os
import re
import sys
import tempfile
from html import escape
from pathlib import Path
from string import Template

import jupytext
import matplotlib.font_manager  # noqa: F401 - finds the fonts once, before any kernel must
import nbformat
from nbclient import NotebookClient
from nbconvert.exporters import HTMLExporter
from pygments.formatters import HtmlFormatter

from offroute import __version__
from offroute.data.snapshot import sidecar_of
from offroute.report.files import write_atomic

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "analyses"
PAGE = Path(__file__).with_name("analysis_page.html")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
OUTSIDE = re.compile(
    r"""<(?:script|link|iframe|object|embed)\b|(?:src|srcset|href)\s*=\s*["']?(?:https?:)?//"""
    r"""|url\(\s*["']?(?:https?:)?//|@import""",
    re.IGNORECASE,
)
"""What a browser would load; a link in the text is not loaded and written as <a href=...>."""


def notebook(script: Path) -> nbformat.NotebookNode:
    """Return the notebook of a script, without outputs and with the same ids each time."""
    found = jupytext.read(script, fmt="py:percent")
    for place, cell in enumerate(found.cells):
        cell["id"] = f"{script.stem.replace('_', '-')}-{place:02d}"
        cell["metadata"] = {}
    found["metadata"] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    found["nbformat"], found["nbformat_minor"] = 4, 5
    nbformat.validate(found)
    return found


def text_of(node: nbformat.NotebookNode) -> str:
    """Return a notebook as the text of its file."""
    return nbformat.writes(node, indent=1, ensure_ascii=False) + "\n"


def heading(node: nbformat.NotebookNode) -> str:
    """Return the title: the first line of the first cell."""
    return node.cells[0].source.splitlines()[0].removeprefix("# ")


def execute(node: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run a notebook in its folder; a warning is a failure."""
    NotebookClient(
        node,
        kernel_name=KERNEL["name"],
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        timeout=900,
        startup_timeout=600,
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    ).execute()
    for cell in node.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise SystemExit(f"{cell['id']} wrote to stderr: {output['text']}")
    return node


def page(node: nbformat.NotebookNode, nav: str) -> str:
    """Return an executed notebook as a page that loads nothing."""
    exporter = HTMLExporter(
        template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True
    )
    body, _ = exporter.from_notebook_node(node)
    return framed(heading(node), body, nav)


def framed(title: str, body: str, nav: str) -> str:
    """Put a body into the page of the analyses."""
    usage = sidecar_of("usage")
    text = Template(PAGE.read_text()).substitute(
        title=escape(title),
        body=body,
        nav=nav,
        highlight=HtmlFormatter(style="friendly", nobackground=True).get_style_defs(".highlight"),
        footer=escape(f"offroute {__version__}, data of {usage.as_of}. {usage.citation} "
                      f"Licence of the data: {usage.licence}."),
    )  # fmt: skip  # dense
    loaded = OUTSIDE.search(re.sub(r"<a [^>]*>", "", text))
    if loaded:
        raise SystemExit(f"'{title}' would load from outside: {loaded.group(0)!r}")
    return text


def navigation(titles: dict[str, str], here: str) -> str:
    """Return links to all pages, by number and title."""
    links = []
    for stem, title in titles.items():
        name = "Analyses" if stem == "index" else f"{stem[:2]} {escape(title)}"
        current = ' aria-current="page"' if stem == here else ""
        links.append(f'<a href="{stem}.html"{current}>{name}</a>')
    return " ".join(links)


def make_pages(nodes: dict[str, nbformat.NotebookNode], folder: Path, only: list[str]) -> None:
    """Execute notebooks and write their pages and the list of all."""
    titles = {"index": "Analyses"} | {stem: heading(node) for stem, node in nodes.items()}
    pages = {}
    for stem, node in nodes.items():
        if only and stem[:2] not in only:
            continue
        print(f"executing {stem}", file=sys.stderr)
        pages[stem] = page(execute(node), navigation(titles, stem))
    rows = [
        f'<li><a href="{stem}.html">{escape(title)}</a></li>'
        for stem, title in titles.items()
        if stem != "index"
    ]
    body = f'<h1>Analyses</h1><ol class="list" start="0">{"".join(rows)}</ol>'
    pages["index"] = framed("Analyses", body, navigation(titles, "index"))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic({folder / f"{stem}.html": text for stem, text in pages.items()})


def main() -> int:
    """Write, compare or execute; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--html", type=Path, metavar="FOLDER", help="execute, write pages here")
    parser.add_argument("--only", nargs="*", default=[], metavar="NN", help="numbers to execute")
    options = parser.parse_args()
    nodes = {script.stem: notebook(script) for script in sorted(FOLDER.glob("[0-9]*.py"))}
    texts = {FOLDER / f"{stem}.ipynb": text_of(node) for stem, node in nodes.items()}
    if options.html:
        # Nobody's own settings of Jupyter take part.
        with tempfile.TemporaryDirectory() as private:
            names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
            os.environ.update({name: private for name in names} | {"OPENBLAS_NUM_THREADS": "1"})
            make_pages(nodes, options.html, options.only)
        return 0
    if not options.check:
        write_atomic(texts)
        return 0
    found = set(FOLDER.glob("*.ipynb"))
    differ = [p for p, text in texts.items() if p not in found or p.read_text() != text]
    for path in [*differ, *sorted(found - set(texts))]:
        print(f"{path.name} differs from its script: run make notebooks", file=sys.stderr)
    return 1 if differ or found - set(texts) else 0


if __name__ == "__main__":
    sys.exit(main())
