"""Set the paper from results/: figures, PDF and HTML in paper/build/, byte-identical on a rerun.

Every number is read by paper/paper.typ from results/results.json; a missing key is an error.
"""

import argparse
import json
import runpy
import sys
from datetime import UTC, datetime
from pathlib import Path

import typst

sys.path.insert(0, str(Path(__file__).resolve().parent))

from paper_io import BUILD, ROOT

from offroute.report.files import write_atomic

PAPER = ROOT / "paper"
#: Set before </head>: Typst's HTML has no style of its own.
STYLE = "<style>\n{}</style></head>"


def draw(folder: Path) -> None:
    """Run every script of paper/figures/ into a folder."""
    before = sys.argv
    for script in sorted((PAPER / "figures").glob("*.py")):
        sys.argv = [str(script), str(folder)]
        runpy.run_path(str(script))
    sys.argv = before


def compile_paper(folder: Path) -> dict[str, bytes]:
    """Return PDF and HTML with the figures of a folder below the repository."""
    stored = json.loads((ROOT / "results" / "results.json").read_text())
    day = datetime.fromisoformat(stored["provenance"]["date"]).replace(tzinfo=UTC)
    figures = "/" + folder.resolve().relative_to(ROOT).as_posix()
    out = {}
    for kind in ("pdf", "html"):
        out[kind] = typst.compile(
            str(PAPER / "paper.typ"),
            root=str(ROOT),
            format=kind,
            ignore_system_fonts=True,
            sys_inputs={"figures": figures},
            timestamp=int(day.timestamp()),
        )
    style = (PAPER / "paper.css").read_text()
    page = out["html"].decode().replace("</head>", STYLE.format(style), 1)
    return {"offroute.pdf": out["pdf"], "offroute.html": page.encode()}


def main() -> int:
    """Draw the figures and write both forms of the paper."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=BUILD, help="default: paper/build/")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    draw(folder)
    texts = compile_paper(folder)
    write_atomic({folder / name: content for name, content in texts.items()})
    for name, content in texts.items():
        print(f"{folder / name}  {len(content) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
