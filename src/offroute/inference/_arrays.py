"""What the functions on draws check at their edge."""

from typing import TYPE_CHECKING

import numpy as np

from offroute._checks import check_finite
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_FEWEST = 2


def as_draws(
    values: "ArrayLike", *, name: str, ndim: tuple[int, ...] = (1,), gaps: bool = False
) -> FloatArray:
    """Return draws as a float array whose first axis counts draws.

    With `gaps`, elements may be missing, but in all draws together.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in ndim or array.shape[0] < _FEWEST or 0 in array.shape:
        raise InvalidValue(
            name,
            got=f"shape {array.shape}",
            rule=f"must hold at least {_FEWEST} draws along the first of {ndim} axes",
            next_step="Pass draws first, weeks second.",
        )
    if gaps:
        missing = np.isnan(array)
        if bool((missing.any(axis=0) != missing.all(axis=0)).any()):
            raise InvalidValue(
                name,
                got=f"missing values in some draws only, {int(missing.sum())} in all",
                rule="a week is missing in every draw or in none",
                next_step="Drop the draws that failed, or blank the week in all of them.",
            )
        check_finite(array[~missing], name=name)
    else:
        check_finite(array, name=name)
    return array


def check_together(name: str, *arrays: FloatArray) -> None:
    """Raise InvalidValue unless the arrays hold the same number of draws."""
    lengths = {len(a) for a in arrays}
    if len(lengths) > 1:
        raise InvalidValue(
            name,
            got=f"{sorted(lengths)} draws",
            rule="all must hold the same joint draws",
            next_step="Take all quantities from one posterior, draw by draw.",
        )


def tails(level: float) -> tuple[float, float]:
    """Return the two tail probabilities of an equal-tailed interval.

    >>> tails(0.5)
    (0.25, 0.75)
    """
    return (1 - level) / 2, (1 + level) / 2
