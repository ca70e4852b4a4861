"""Checks at the edge that all layers share; this module owns their wording."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from offroute.exceptions import (
    DuplicateKey,
    InvalidValue,
    MissingExtra,
    OffrouteError,
    SchemaError,
    UsageError,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

_SHOWN = 8


def listing(items: Iterable[object]) -> str:
    """Join `items` for a message; beyond eight, say how many more there are.

    >>> listing(range(10))
    '0, 1, 2, 3, 4, 5, 6, 7 and 2 more'
    """
    words = [str(item) for item in items]
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def check_columns(frame: "pd.DataFrame", required: Iterable[str], *, name: str) -> None:
    """Raise SchemaError if `frame` lacks a column of `required`."""
    missing = [column for column in required if column not in frame.columns]
    if missing:
        raise SchemaError(
            name,
            got=f"columns {listing(frame.columns)}",
            rule=f"must have the columns {listing(missing)}",
            next_step="Add or rename the missing columns.",
        )


def check_header(names: Iterable[str], *, name: str) -> None:
    """Raise SchemaError if a name occurs twice, whatever its case and the blanks around it.

    Empty names do not count.
    """
    seen: dict[str, list[str]] = {}
    for column in names:
        seen.setdefault(column.strip().casefold(), []).append(column)
    repeated = [c for alike, cs in seen.items() if alike and len(cs) > 1 for c in dict.fromkeys(cs)]
    if repeated:
        raise SchemaError(
            name,
            got=f"{listing(repeated)} more than once",
            rule="each column must have a name of its own, whatever its case",
            next_step="Rename or drop the repeated columns.",
        )


def check_finite(
    values: "ArrayLike", *, name: str, minimum: float | None = None, strict: bool = False
) -> None:
    """Raise InvalidValue unless all `values` are finite and at least `minimum`.

    With `strict` they must lie above `minimum`. Missing values count as not finite; values that
    are not numbers at all raise SchemaError.
    """
    rule = "must be finite"
    if minimum is not None:
        rule += f" and {'above' if strict else 'at least'} {minimum:g}"
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise SchemaError(
            name,
            got=f"values of type {np.asarray(values).dtype}",
            rule=rule,
            next_step="Convert the values to numbers, missing ones to NaN.",
        ) from None
    bad = ~np.isfinite(array)
    if minimum is not None:
        bad |= array <= minimum if strict else array < minimum
    if bad.any():
        first = np.argwhere(bad)[0]
        where = f" at position {listing(first)} ({bad.sum()} of {array.size} values are wrong)"
        raise InvalidValue(
            name,
            got=f"{array[tuple(first)]:g}" + (where if array.ndim else ""),
            rule=rule,
            next_step="Correct or drop what breaks the rule.",
        )


def check_unique(frame: "pd.DataFrame", key: Sequence[str], *, name: str) -> None:
    """Raise DuplicateKey if two rows of `frame` agree in all columns of `key`."""
    check_columns(frame, key, name=name)
    repeated = frame.duplicated(list(key)).to_numpy()
    if repeated.any():
        first = frame[list(key)].iloc[int(np.argmax(repeated))]
        raise DuplicateKey(
            name,
            got=f"{repeated.sum()} repeated, first "
            + listing(f"{column}={first[column]}" for column in key),
            rule=f"must have one row per {listing(key)}",
            next_step="Drop the repeated rows or add them up.",
        )


def check_choice(
    value: object,
    choices: Iterable[str],
    *,
    name: str,
    error: type[OffrouteError] = UsageError,
) -> str:
    """Return `value` if it is one of `choices`, else raise `error` with the nearest one.

    >>> check_choice("chnia", ["china", "us"], name="origin")
    Traceback (most recent call last):
    offroute.exceptions.UsageError: origin: must be one of china, us; got 'chnia'. Use 'china'.
    """
    known = list(choices)
    if isinstance(value, str) and value in known:
        return value
    near = get_close_matches(str(value), known, n=1)
    raise error(
        name,
        got=repr(value),
        rule=f"must be one of {listing(known)}",
        next_step=f"Use {near[0]!r}." if near else "Choose one of these.",
    )


def check_probability(level: float, *, name: str) -> float:
    """Return `level` if it is a number strictly between 0 and 1, else raise UsageError."""
    if isinstance(level, (int, float, np.integer, np.floating)) and 0 < level < 1:
        return float(level)
    raise UsageError(
        name,
        got=repr(level),
        rule="must be a number above 0 and below 1",
        next_step="Write 90 % as 0.9.",
    )


def require_extra(extra: str, modules: Iterable[str], *, name: str) -> None:
    """Raise MissingExtra unless all `modules`, which `extra` installs, can be imported."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtra(
            name,
            got=f"no {listing(missing)}",
            rule=f"it needs the extra '{extra}'",
            next_step=f"Install it: pip install 'offroute[{extra}]'.",
        )
