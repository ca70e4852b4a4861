"""The table of critiques in words."""

import json

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offroute.inference.mechanisms.effect import Effect, effects_frame
from offroute.inference.mechanisms.table import Critiques
from offroute.measurement.populations import population
from offroute.report.files import frame_to_records

_MANY = 3
#: Columns of tokens, by table.
_TOKENS = {
    "coverage by lab": ("panel",),
    "hosts": ("tokens",),
    "promotions": ("free", "before", "after"),
}
_SEGMENTS = (
    "Segments of users (solo, start-up, enterprise): no table, since no source gives tokens by "
    "segment. Token shares by segment are not identified; post-stratification by segment "
    "(poststratify_share) is there for logs of your own and for published compositions of accounts "
    "or spend."
)
_DUST, _SMALL, _LARGE = 1e-12, 0.01, 1000.0


def number(x: float, *, sign: bool = False) -> str:
    """Format a number of the table with three digits.

    Parameters
    ----------
    x : float
        The number; nan for a middle that does not exist.
    sign : bool
        Whether a plus is written.

    Returns
    -------
    str
        Text.

    Examples
    --------
    >>> number(-0.1234, sign=True), number(float("inf")), number(0.00012), number(float("nan"))
    ('-0.12', 'inf', '0.00012', '-')
    """
    if np.isnan(x):
        return "-"
    if not np.isfinite(x):
        return f"{x:+}" if sign else f"{x}"
    if abs(x) < _DUST:
        return "0.00"
    if _SMALL <= abs(x) < _LARGE:
        return f"{x:+.2f}" if sign else f"{x:.2f}"
    return f"{x:+.2g}" if sign else f"{x:.2g}"


def interval(values: tuple[float, float, float], *, sign: bool = False) -> str:
    """Format low, median and high.

    Parameters
    ----------
    values : tuple of float
        The three.
    sign : bool
        Whether a plus is written.

    Returns
    -------
    str
        Middle and interval; one number where they agree, only the interval where there are bounds
        alone.

    Examples
    --------
    >>> interval((0.1, 0.2, 0.3)), interval((0.1, float("nan"), 0.3)), interval((0.2, 0.2, 0.2))
    ('0.20 [0.10, 0.30]', '[0.10, 0.30]', '0.20')
    """
    low, middle, high = (number(x, sign=sign) for x in values)
    if low == middle == high:
        return middle
    span = f"[{low}, {high}]"
    return span if middle == "-" else f"{middle} {span}"


def evidence(e: Effect) -> str:
    """Name the evidence of an effect, the first few rows of many.

    Parameters
    ----------
    e : Effect
        The effect.

    Returns
    -------
    str
        Text.
    """
    shown = ", ".join(e.evidence[:_MANY])
    more = len(e.evidence) - _MANY
    return (shown or "none") + (f" and {more} more" if more > 0 else "")


def critiques_view(found: Critiques) -> RenderableType:
    """Lay out the table of critiques.

    Parameters
    ----------
    found : Critiques
        As of `offroute.inference.mechanisms.table.critiques`.

    Returns
    -------
    rich renderable
        Heading, table, what is left out, how to read it.
    """
    q = found.question
    view = Table(box=None, pad_edge=False, header_style="bold", row_styles=["", "dim"])
    for heading, justify in (
        ("", "left"),
        ("mechanism", "left"),
        ("parameter", "left"),
        ("estimate", "left"),
        ("effect", "left"),
        ("direction", "left"),
        ("strength", "left"),
        ("evidence", "left"),
    ):
        view.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]  # a literal of rich
    for e in found.effects:
        view.add_row(
            e.critique,
            e.mechanism + ("" if e.population == q.population else f" ({e.population})"),
            e.parameter,
            interval(e.estimate),
            interval(e.effect, sign=True),
            e.direction.removeprefix("panel "),
            e.strength,
            evidence(e),
        )
    reasons: dict[str, list[str]] = {}
    for name, why in found.left_out:
        reasons.setdefault(why, []).append(name)
    lost: list[RenderableType] = [
        Text(f"{', '.join(names)}: {why}", style="dim") for why, names in reasons.items()
    ]
    if lost:
        lost = [Text("Says nothing here:", style="bold"), *lost, ""]
    # Rows of the panel and of the market may share a note.
    notes = dict.fromkeys(f"{e.critique} {e.mechanism}: {e.note}" for e in found.effects if e.note)
    said = [Text(note, style="dim") for note in notes]
    return Group(
        Text(f"Critiques, week of {q.week}, population {q.population}", style="bold"),
        Text(f"({population(q.population).description})", style="dim"),
        "",
        view,
        "",
        Text("What the rows rest on:", style="bold"),
        *said,
        "",
        *lost,
        Text(
            f"Effect: change of log(China / US) in tokens from the naive figure to the one put "
            f"right (-0.69 halves the ratio, +0.69 doubles it); {q.level:.0%} intervals, or "
            "bounds in brackets alone. A row is of the population above unless it names another "
            "in brackets. Direction: how the naive figure errs. Strength: strong is counted on "
            "the panel, moderate has two sources, weak has fewer or an untested assumption, "
            "bounds only has no best guess. None is a causal effect. Effects overlap: they do "
            "not add up.",
            style="dim",
        ),
    )


def detail_view(tables: dict[str, pd.DataFrame]) -> RenderableType:
    """Lay out the tables behind the critiques.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        As of `offroute.inference.mechanisms.detail.detail_tables`.

    Returns
    -------
    rich renderable
        One table after another, tokens in trillions; then what no table can say.
    """
    parts: list[RenderableType] = []
    for name, frame in tables.items():
        tokens = _TOKENS.get(name, ())
        view = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
        for column in frame.columns:
            numeric = pd.api.types.is_numeric_dtype(frame[column])
            title = f"{column} (T)" if column in tokens else str(column)
            view.add_column(title, justify="right" if numeric else "left", overflow="fold")
        for _, row in frame.iterrows():
            view.add_row(*(_cell(row[c], tokens=c in tokens) for c in frame.columns))
        parts += [Text(name.capitalize(), style="bold"), view, ""]
    if parts:
        parts += [Text(_SEGMENTS, style="dim"), ""]
    return Group(*parts)


def _cell(value: object, *, tokens: bool) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if not isinstance(value, float):
        return str(value)
    return number(value / 1e12 if tokens else value)


def critiques_json(results: list[Critiques]) -> str:
    """Return critiques as JSON text.

    Parameters
    ----------
    results : list of Critiques
        One for each population.

    Returns
    -------
    str
        List of objects with ``population``, ``week``, ``level``, ``effects`` and ``left_out``. A
        middle that does not exist is null; an end that nothing bounds is the text ``-inf`` or
        ``inf``.
    """
    content = [
        {
            "population": r.question.population,
            "week": r.question.week,
            "level": r.question.level,
            "effects": [
                {
                    name: str(x) if isinstance(x, float) and np.isinf(x) else x
                    for name, x in record.items()
                }
                for record in frame_to_records(effects_frame(r.effects))
            ],
            "left_out": [{"mechanism": name, "reason": why} for name, why in r.left_out],
        }
        for r in results
    ]
    return json.dumps(content, indent=1, allow_nan=False) + "\n"
