"""The page as one file: template, style, script and data, and nothing from elsewhere."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from offroute.exceptions import UsageError
from offroute.inference.beliefs import Beliefs, believed_contest
from offroute.report.page.content import read_atoms

SCRIPTS = ("model.mjs", "charts.mjs", "view.mjs")
_IMPORT = re.compile(r"^import [^;]*;\n", flags=re.MULTILINE)


def check_page() -> None:
    """Refuse before any work if the extra that the page needs is absent.

    Raises
    ------
    UsageError
        If jinja2 is not installed.
    """
    if find_spec("jinja2") is None:
        raise UsageError(
            "report",
            got="no jinja2",
            rule="the page needs the extra 'report'",
            next_step="Install it: pip install 'offroute[report]'.",
        )


def render_page(content: Mapping[str, Any]) -> str:
    """Return the page, the same text for the same content.

    Parameters
    ----------
    content : mapping
        As of `offroute.report.page.content.page_content`.

    Returns
    -------
    str
        HTML. Its content security policy admits its own style and script by their hash, and no
        request.

    Raises
    ------
    UsageError
        If jinja2 is not installed.
    """
    check_page()
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - an extra

    folder = files("offroute.report.page")
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = joined_script({name: (folder / name).read_text(encoding="utf-8") for name in SCRIPTS})
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        (folder / "page.html.j2").read_text(encoding="utf-8")
    )
    data = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return template.render(
        page=content,
        level=f"{content['level']:.0%}".replace("%", "\u00a0%"),
        opening=opening(content),
        style=style,
        style_hash=csp_hash(style),
        script=script,
        script_hash=csp_hash(script),
        # Within a script element only "<" could end it or open a comment.
        data=data.replace("<", "\\u003c"),
    )


def joined_script(sources: Mapping[str, str]) -> str:
    r"""Join modules in their order to one, whose parts no longer import each other.

    Parameters
    ----------
    sources : mapping of str to str
        Text of each module by its file name.

    Returns
    -------
    str
        One module.

    Examples
    --------
    >>> joined_script({"a.mjs": "export let x = 1;", "b.mjs": 'import { x } from "./a.mjs";\nx;'})
    'export let x = 1;\nx;'
    """
    return "\n".join(_IMPORT.sub("", text) for text in sources.values())


def csp_hash(text: str) -> str:
    """Return the source expression that admits an inline element with this text.

    Parameters
    ----------
    text : str
        Content of the element.

    Returns
    -------
    str
        Hash as the content security policy wants it.

    Examples
    --------
    >>> csp_hash("")
    'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def opening(content: Mapping[str, Any]) -> dict[str, object]:
    """Return the model's answer in the week of the page, for readers without scripts.

    Parameters
    ----------
    content : mapping
        As for `render_page`.

    Returns
    -------
    dict
        ``week``; ``rows`` with title, ratio and interval of every population.
    """
    week = content["shown"]["week"]
    rows = []
    for p in content["populations"]:
        ratio, interval = "not identified", "-"
        if p["identified"]:
            atoms = read_atoms(content, p["name"])
            low, middle, high = believed_contest(
                atoms, week, Beliefs(), level=content["level"]
            ).ratio
            ratio, interval = f"{middle:.2f}", f"[{low:.2f}, {high:.2f}]"
        rows.append({"title": p["title"], "ratio": ratio, "interval": interval})
    return {"week": content["weeks"][week], "rows": rows}
