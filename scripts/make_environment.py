"""Write environment.yml (conda) from pyproject.toml; with --check, fail if it differs."""

import argparse
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Written by scripts/make_environment.py from pyproject.toml; do not edit.
"""


def render(pyproject: dict[str, dict]) -> str:
    """Return the text of environment.yml for the parsed pyproject.toml."""
    project = pyproject["project"]
    # The peers of the benchmarks stand in environments of their own.
    extras = [e for e in project["optional-dependencies"] if not e.startswith("bench")]
    lines = [
        f"name: {project['name']}",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        f"  - python{project['requires-python']}",
        "  - pip",
        "  - pip:",
        # Some needs are not on conda-forge, and a mixture of two solvers breaks.
        f"      - -e .[{','.join(sorted(extras))}]",
        *(f"      - {package}" for package in sorted(pyproject["dependency-groups"]["test"])),
    ]
    return HEADER + "\n".join(lines) + "\n"


def main() -> int:
    """Write the file, or compare it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    options = parser.parse_args()
    target = options.root / "environment.yml"
    text = render(tomllib.loads((options.root / "pyproject.toml").read_text()))
    if not options.check:
        target.write_text(text)
        return 0
    if target.exists() and target.read_text() == text:
        return 0
    print(
        f"{target.name} differs from pyproject.toml: run scripts/make_environment.py",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
