"""Checks at the edge that all layers share; this module owns their wording."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from offroute.exceptions import (
    DuplicateKey,
    InvalidValue,
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

    Parameters
    ----------
    items : iterable
        What to list.

    Returns
    -------
    str
        The items, separated by commas.

    Examples
    --------
    >>> listing(range(10))
    '0, 1, 2, 3, 4, 5, 6, 7 and 2 more'
    """
    words = [str(item) for item in items]
    shown = ", ".join(words[:_SHOWN])
    return f"{shown} and {len(words) - _SHOWN} more" if len(words) > _SHOWN else shown


def check_columns(frame: "pd.DataFrame", required: Iterable[str], *, name: str) -> None:
    """Require that `frame` has every column of `required`.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table.
    required : iterable of str
        Column names that must be there.
    name : str
        What the table is called in the message.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    missing = [column for column in required if column not in frame.columns]
    if missing:
        raise SchemaError(
            name,
            got=f"columns {listing(frame.columns)}",
            rule=f"must have the columns {listing(missing)}",
            next_step="Add or rename the missing columns.",
        )


def check_finite(
    values: "ArrayLike", *, name: str, minimum: float | None = None, strict: bool = False
) -> None:
    """Require finite numbers, not below `minimum`.

    Parameters
    ----------
    values : array_like of float
        Numbers of any shape; missing values count as not finite.
    name : str
        What the numbers are called in the message.
    minimum : float, optional
        The smallest value allowed.
    strict : bool, default False
        Whether the values must be above `minimum`, not equal to it.

    Raises
    ------
    SchemaError
        If the values are not numbers.
    InvalidValue
        If a value is missing, infinite or too small; names the first one and its position.
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
            next_step="Convert the values to numbers; missing ones to NaN.",
        ) from None
    bad = ~np.isfinite(array)
    if minimum is not None:
        bad |= array <= minimum if strict else array < minimum
    if bad.any():
        first = np.argwhere(bad)[0]
        where = f" at position {listing(first)}" if array.ndim else ""
        count = f"; {bad.sum()} of {array.size} values break the rule" if array.ndim else ""
        raise InvalidValue(
            name,
            got=f"{array[tuple(first)]:g}{where}{count}",
            rule=rule,
            next_step="Correct or drop these values.",
        )


def check_unique(frame: "pd.DataFrame", key: Sequence[str], *, name: str) -> None:
    """Require that no two rows of `frame` have the same `key`.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table.
    key : sequence of str
        Columns that identify a row; they must be in the table.
    name : str
        What the table is called in the message.

    Raises
    ------
    SchemaError
        If a key column is missing.
    DuplicateKey
        If two rows share a key; names the first one.
    """
    check_columns(frame, key, name=name)
    repeated = frame.duplicated(list(key)).to_numpy()
    if repeated.any():
        first = frame[list(key)].iloc[int(np.argmax(repeated))]
        raise DuplicateKey(
            name,
            got=f"{int(repeated.sum())} repeated, the first "
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
    """Return `value` if it is one of `choices`.

    Parameters
    ----------
    value : object
        What was asked for.
    choices : iterable of str
        What there is.
    name : str
        What the value is called in the message.
    error : type of OffrouteError, default UsageError
        The error to raise.

    Returns
    -------
    str
        The value.

    Raises
    ------
    OffrouteError
        Of type `error`, if the value is not among the choices; suggests the nearest one.

    Examples
    --------
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
        rule=f"must be one of {listing(known)}" if known else "must be one of none",
        next_step=f"Use {near[0]!r}." if near else "Choose one of these.",
    )


def check_probability(level: object, *, name: str) -> float:
    """Return `level` as a float if it lies strictly between 0 and 1.

    Parameters
    ----------
    level : object
        A level of confidence or credibility, or any other probability.
    name : str
        What it is called in the message.

    Returns
    -------
    float
        The level.

    Raises
    ------
    UsageError
        If it is not a number strictly between 0 and 1.
    """
    number = isinstance(level, (int, float, np.integer, np.floating))
    if number and not isinstance(level, bool) and 0 < level < 1:
        return float(level)
    raise UsageError(
        name,
        got=repr(level),
        rule="must be a number above 0 and below 1",
        next_step="Give 90 % as 0.9.",
    )
