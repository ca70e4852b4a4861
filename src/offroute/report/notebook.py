"""What an analysis shows in Jupyter: tables with captions and units, figures with a text."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from offroute._checks import check_columns
from offroute.report.figures import figure_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MISSING = "\N{EN DASH}"
_NO_SPACE = 24


@dataclass(frozen=True)
class Shown:
    """A table or a figure as a notebook shows it.

    Attributes
    ----------
    html : str
        For Jupyter; without any outside request.
    text : str
        For a terminal and for who cannot see the figure.
    """

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        """Return the text."""
        return self.text


def picture(figure: "Figure", *, alt: str) -> Shown:
    """Show a figure, the same bytes for the same figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    alt : str
        What is to be seen, in a sentence.

    Returns
    -------
    Shown
        The figure as scalable graphics inside the page.
    """
    data = b64encode(figure_bytes(figure, ".svg")).decode()
    html = (
        f'<img alt="{escape(alt)}" style="max-width:100%;height:auto" '
        f'src="data:image/svg+xml;base64,{data}">'
    )
    return Shown(html, f"[figure: {alt}]")


def table(
    frame: pd.DataFrame,
    *,
    caption: str,
    formats: Mapping[str, str] | None = None,
    intervals: Mapping[str, tuple[str, str]] | None = None,
) -> Shown:
    """Show a table with a caption, numbers to the right and intervals in one column.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns in the order shown; the index is not shown.
    caption : str
        What is counted, of which population and week.
    formats : mapping of str to str, optional
        Format specification of a column of numbers, such as ``.1%``; three digits by default.
    intervals : mapping of str to (str, str), optional
        Columns with the ends of a column's interval, shown in brackets behind it.

    Returns
    -------
    Shown
        The table; missing values as a dash.

    Raises
    ------
    SchemaError
        If a named column is not there.

    Examples
    --------
    >>> shares = pd.DataFrame({"class": ["China"], "share": [0.2], "low": [0.1], "high": [0.4]})
    >>> table(
    ...     shares, caption="Tokens", formats={"share": ".0%"}, intervals={"share": ("low", "high")}
    ... )
    Tokens
    class           share
    China  20% [10%, 40%]
    """
    formats, intervals = dict(formats or {}), dict(intervals or {})
    ends = [end for pair in intervals.values() for end in pair]
    check_columns(frame, [*formats, *intervals, *ends], name="frame")
    shown = pd.DataFrame(
        {
            name: [_cell(x, formats.get(name, ".3g")) for x in frame[name]]
            for name in frame.columns
            if name not in ends
        },
        dtype=object,
    )
    for name, pair in intervals.items():
        low, high = ([_cell(x, formats.get(name, ".3g")) for x in frame[end]] for end in pair)
        shown[name] = [
            middle if _MISSING in (a, b) else f"{middle} [{a}, {b}]"
            for middle, a, b in zip(shown[name], low, high, strict=True)
        ]
    to_right = {
        name: pd.api.types.is_numeric_dtype(frame[name])
        and not pd.api.types.is_bool_dtype(frame[name])
        for name in shown.columns
    }
    html = [
        f'<figure style="margin:0"><figcaption>{escape(caption)}</figcaption><table>',
        "<thead>"
        + _row("th", {name: name for name in shown.columns}, to_right)
        + "</thead><tbody>",
        *[_row("td", dict(row), to_right) for _, row in shown.iterrows()],
        "</tbody></table></figure>",
    ]
    return Shown("\n".join(html), f"{caption}\n{shown.to_string(index=False)}")


def _row(tag: str, cells: Mapping[str, str], to_right: Mapping[str, bool]) -> str:
    out = []
    for name, text in cells.items():
        side = "right" if to_right[name] else "left"
        wrap = ";white-space:nowrap" if tag == "td" and len(text) < _NO_SPACE else ""
        out.append(f'<{tag} style="text-align:{side}{wrap}">{escape(text)}</{tag}>')
    return "<tr>" + "".join(out) + "</tr>"


def _cell(value: object, spec: str) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if pd.isna(value):  # type: ignore[call-overload]  # a cell is a scalar
        return _MISSING
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return "no bound" if value == float("inf") else format(value, spec)
