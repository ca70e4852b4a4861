"""Names of levels and checks of weights, where data enter the unit-log estimators."""

import numpy as np

from offroute._typing import AnyArray, FloatArray
from offroute.exceptions import InvalidValue


def level_name(value: object) -> str:
    """Return the text that names a level: 3.0 and 3 are both "3".

    Parameters
    ----------
    value : object
        Level as stored.
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def cell_name(variables: tuple[str, ...], level: tuple[str, ...]) -> str:
    """Return the name of a margin's cell, such as ``stype[E]`` or ``stype:wide[E:Yes]``.

    Parameters
    ----------
    variables : tuple of str
        Crossed columns.
    level : tuple of str
        A level of each.
    """
    return f"{':'.join(variables)}[{':'.join(level)}]"


def check_weights(weights: AnyArray, *, n: int) -> FloatArray:
    """Return base weights as float64 after the checks of `Sample`.

    Parameters
    ----------
    weights : array_like
        Base weights.
    n : int
        Number of rows they must have.

    Raises
    ------
    InvalidValue
        If a weight is missing, infinite or negative, or all are zero.
    """
    w = np.ascontiguousarray(weights, dtype=np.float64)
    problem = None
    if w.shape != (n,):
        problem = f"shape {w.shape}"
    elif not np.isfinite(w.sum()):
        problem = f"{int((~np.isfinite(w)).sum())} missing or infinite weights"
    elif w.size and w.min() < 0:
        problem = f"{int((w < 0).sum())} negative weights, smallest {w.min():g}"
    elif w.sum() <= 0:
        problem = "weights that sum to 0"
    if problem is not None:
        raise InvalidValue(
            "weights",
            got=problem,
            rule=f"base weights must be {n} finite, non-negative numbers with a positive sum",
            next_step="Drop or repair those rows before estimating.",
        )
    return w
