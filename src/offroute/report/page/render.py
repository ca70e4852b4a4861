"""The page as one file: template, style, script and data, and nothing from elsewhere."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec

import numpy as np

from offroute.exceptions import UsageError
from offroute.report.page.codec import unpack

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


def render_page(content: Mapping[str, object]) -> str:
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
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    folder = files("offroute.report.page")
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = joined_script({name: (folder / name).read_text(encoding="utf-8") for name in SCRIPTS})
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        (folder / "page.html.j2").read_text(encoding="utf-8")
    )
    data = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return template.render(
        page=content,
        level=f"{float(str(content['level'])):.0%}".replace("%", "\u00a0%"),
        opening=opening(content),
        style=Markup(style),
        style_hash=csp_hash(style),
        script=Markup(script),
        script_hash=csp_hash(script),
        # Within a script element only "<" could end it or open a comment.
        data=Markup(data.replace("<", "\\u003c")),
    )


def joined_script(sources: Mapping[str, str]) -> str:
    """Join modules in their order to one, whose parts no longer import each other.

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
    >>> joined_script({"a.mjs": "export const x = 1;", "b.mjs": 'import { x } from "./a.mjs";\\nx;'})
    'export const x = 1;\\nx;'
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


def opening(content: Mapping[str, object]) -> dict[str, object]:
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
    page = json.loads(json.dumps(content))
    week, A = page["shown"]["week"], len(page["atoms"])
    X = np.array(page["X"][week], dtype=np.float64)
    china = np.array([a["origin"] == "China" for a in page["atoms"]])
    us = np.array([a["origin"] == "US" for a in page["atoms"]])
    rows = []
    for p in page["populations"]:
        ratio, interval = "not identified", "-"
        if p["identified"]:
            D = np.exp(unpack(p["log_D"], (page["n_kept"], len(page["weeks"]), A))[:, week])
            draws = (X + D)[:, china].sum(axis=1) / (X + D)[:, us].sum(axis=1)
            tail = (1 - page["level"]) / 2
            low, middle, high = np.quantile(draws, [tail, 0.5, 1 - tail])
            ratio, interval = f"{middle:.2f}", f"[{low:.2f}, {high:.2f}]"
        rows.append({"title": p["title"], "ratio": ratio, "interval": interval})
    return {"week": page["weeks"][week], "rows": rows}
