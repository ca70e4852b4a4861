r"""The cells of a log: their columns, and the way to a CSV file and back without losing a digit."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pandas as pd

from offroute._checks import check_finite, check_header, check_unique, listing
from offroute.data.csv_header import check_csv_header
from offroute.exceptions import InvalidValue, SchemaError, UsageError

ROWS, WEIGHT, WEIGHT_SQUARES = "rows", "sum_w", "sum_w2"

_MOST = 2.0**53
_ROUNDING = 1e-9
"""Part of a sum of squares that its rounding may take."""


@dataclass(frozen=True)
class CellTable:
    """Sums of the rows of each cell; made by `collapse`, read by `offroute.read_cells`.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per cell: its keys, then ``rows``, ``sum_w``, ``sum_w2`` and, per summed column,
        ``sum_w_tokens`` (d v), ``sum_w2_tokens`` (d^2 u) and ``sum_w2_tokens_dollars`` (d^2 u u'),
        u the distance from the cell's mean. Sorted by the keys.
    by : tuple of str
        Columns whose levels make the cells.
    volume : str or None
        Summed column that is the volume of a row.
    outcomes : tuple of str
        Other summed columns.
    strata, clusters, population_clusters : str or None
        Columns of the sampling design; they are keys as well.
    """

    frame: pd.DataFrame
    by: tuple[str, ...]
    volume: str | None
    outcomes: tuple[str, ...]
    strata: str | None
    clusters: str | None
    population_clusters: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that identify a cell."""
        design = (self.strata, self.population_clusters, self.clusters)
        return tuple(dict.fromkeys([*self.by, *(name for name in design if name is not None)]))

    @property
    def summed(self) -> tuple[str, ...]:
        """Columns that were summed, the volume first."""
        return columns_summed(self.volume, self.outcomes)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the frame in order."""
        return (*self.keys, ROWS, *sum_names(self.summed))

    @property
    def rows(self) -> int:
        """Number of rows behind the cells."""
        return int(self.frame[ROWS].sum())


def columns_summed(volume: str | None, outcomes: Sequence[str]) -> tuple[str, ...]:
    """Return the summed columns, the volume first.

    Parameters
    ----------
    volume : str or None
        Volume of a row.
    outcomes : sequence of str
        Other summed columns.
    """
    return tuple(dict.fromkeys([*([volume] if volume else []), *outcomes]))


def sum_names(summed: Sequence[str]) -> list[str]:
    """Return the names of the sums in a frame of cells.

    Parameters
    ----------
    summed : sequence of str
        Summed columns.

    Examples
    --------
    >>> sum_names(["tokens"])
    ['sum_w', 'sum_w2', 'sum_w_tokens', 'sum_w2_tokens', 'sum_w2_tokens_tokens']
    """
    pairs = combinations_with_replacement(summed, 2)
    names = [WEIGHT, WEIGHT_SQUARES]
    names += [f"{kind}_{name}" for name in summed for kind in ("sum_w", "sum_w2")]
    return names + [f"sum_w2_{one}_{other}" for one, other in pairs]


def check_lists(*, by: Sequence[str], outcomes: Sequence[str]) -> None:
    """Raise UsageError if a text stands where a list of columns is asked for.

    Parameters
    ----------
    by, outcomes : sequence of str
        As in `offroute.collapse`.
    """
    for name, value in (("by", by), ("outcomes", outcomes)):
        if isinstance(value, str):
            next_step = f'Pass {name}=["{value}"].'
            raise UsageError(
                name, got=repr(value), rule="must be a list of columns", next_step=next_step
            )


def cells_to_csv(cells: CellTable) -> str:
    r"""Return cells as CSV text, which `load_cells` reads back to the last digit.

    Parameters
    ----------
    cells : CellTable
        From `offroute.collapse`.

    Returns
    -------
    str
        Text is quoted, days and times are text, whole numbers are exact, and every other number
        has the fewest digits that tell it from all others.

    Examples
    --------
    >>> from offroute.data.cells import collapse
    >>> logs = pd.DataFrame({"origin": ["US", "CN"], "plan": [1, 2]})
    >>> cells_to_csv(collapse(logs, by=["origin", "plan"])).splitlines()[:2]
    ['"origin","plan","rows","sum_w","sum_w2"', '"CN",2,1,1.0,1.0']
    """
    times = cells.frame[list(cells.keys)].select_dtypes(["datetime", "datetimetz"])
    # As text, since a time of the day would be cut to its day.
    frame = cells.frame.astype(dict.fromkeys(times, str))
    # A carriage return in a name would end the row if it were not quoted.
    return frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def load_cells(
    path: str | Path,
    *,
    by: Sequence[str],
    volume: str | None = None,
    outcomes: Sequence[str] = (),
    strata: str | None = None,
    clusters: str | None = None,
    population_clusters: str | None = None,
) -> CellTable:
    r"""Read cells that `cells_to_csv` or ``offroute cells --csv`` wrote.

    Estimates from them are those from the rows, as from the cells that were written.

    Parameters
    ----------
    path : path
        CSV file.
    by, volume, outcomes, strata, clusters, population_clusters : optional
        As `offroute.collapse` was told; the file does not say which of its columns is which.

    Returns
    -------
    CellTable
        The cells. A key is whole numbers, truth values or numbers if every value of its column is
        written as such (``7``, not ``007``), and text otherwise; levels have the same names.

    Raises
    ------
    UsageError
        If the file cannot be read, or an option names no column.
    SchemaError, InvalidValue, DuplicateKey
        As `cells_from_frame`.

    Examples
    --------
    >>> import tempfile
    >>> from offroute.data.cells import collapse
    >>> logs = pd.DataFrame({"origin": ["US", "CN", "US"], "tokens": [0.1, 9, 0.2]})
    >>> cells = collapse(logs, by=["origin"], volume="tokens")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "cells.csv"
    ...     _ = path.write_text(cells_to_csv(cells), encoding="utf-8")
    ...     again = load_cells(path, by=["origin"], volume="tokens")
    >>> again.frame.equals(cells.frame)
    True
    """
    name = f"cells '{path}'"
    try:
        check_csv_header(path, name=name)
        words = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise UsageError(
            name,
            got=f"{type(error).__name__}: {error.strerror}",
            rule="must be a file that can be read",
            next_step="Check the path.",
        ) from error
    except ValueError as error:
        raise SchemaError(
            name,
            got=f"{type(error).__name__}: {' '.join(str(error).split())}",
            rule="must be a CSV in UTF-8 with a header",
            next_step="Write it with cells_to_csv, or offroute cells --csv.",
        ) from error
    return cells_from_frame(
        words.apply(_typed),
        by=by, volume=volume, outcomes=outcomes,
        strata=strata, clusters=clusters, population_clusters=population_clusters,
    )  # fmt: skip  # dense


def _typed(words: "pd.Series[str]") -> pd.Series:
    """Return the values that are written as these words; else the words."""
    values = words.to_numpy(dtype=object)
    if np.isin(values, ["True", "False"]).all():
        return words == "True"
    for kind in (np.int64, np.float64):
        try:
            numbers = values.astype(kind)
        except (ValueError, OverflowError):
            continue
        same = all(str(n) == word for n, word in zip(numbers.tolist(), values, strict=True))
        if same and np.isfinite(numbers).all():
            return pd.Series(numbers, words.index)
    return words


def cells_from_frame(
    frame: pd.DataFrame,
    *,
    by: Sequence[str],
    volume: str | None = None,
    outcomes: Sequence[str] = (),
    strata: str | None = None,
    clusters: str | None = None,
    population_clusters: str | None = None,
) -> CellTable:
    """Make cells of a frame that holds their sums.

    Parameters
    ----------
    frame : pandas.DataFrame
        The keys and sums of `CellTable`, in any order; not changed.
    by, volume, outcomes, strata, clusters, population_clusters : optional
        As in `offroute.collapse`.

    Returns
    -------
    CellTable
        The cells, sorted by their keys.

    Raises
    ------
    UsageError
        If no column makes cells, or one name stands for two columns.
    SchemaError
        If a column is missing, repeated, unexpected or of the wrong type.
    InvalidValue
        If there is no cell, a key is missing, a count, weight, volume or square is negative or not
        finite, or weights or volumes sum to 0.
    DuplicateKey
        If two rows have the same keys.

    Examples
    --------
    >>> sums = {"rows": [2, 1], "sum_w": [2.0, 1.0], "sum_w2": [2.0, 1.0]}
    >>> cells_from_frame(pd.DataFrame({"origin": ["US", "CN"], **sums}), by=["origin"]).rows
    3
    """
    check_lists(by=by, outcomes=outcomes)
    design = (strata, clusters, population_clusters)
    cells = CellTable(frame, tuple(by), volume, tuple(outcomes), *design)
    _check_columns(cells)
    _check_sums(cells)
    for key in cells.keys:
        _check_key(frame[key], name=f"cells, column '{key}'")
    check_unique(frame, cells.keys, name="cells")
    numbers = dict.fromkeys(sum_names(cells.summed), "float64")
    ordered = frame[list(cells.columns)].astype({ROWS: "int64", **numbers})
    return replace(cells, frame=ordered.sort_values(list(cells.keys), ignore_index=True))


def _check_key(values: pd.Series, *, name: str) -> None:
    """Refuse a key that is missing, or text in one cell and a number in another."""
    missing = int(values.isna().sum())
    if missing:
        raise InvalidValue(
            name,
            got=f"{missing} missing",
            rule="keys must be there",
            next_step="Fill or drop the missing keys.",
        )
    kind = pd.api.types.infer_dtype(values, skipna=False)
    if kind.startswith("mixed"):
        raise SchemaError(
            name,
            got=f"values of types {listing(sorted({type(v).__name__ for v in values}))}",
            rule="the values of a key must be of one type",
            next_step="Convert them.",
        )


def _check_columns(cells: CellTable) -> None:
    """Refuse names that are missing, repeated, unexpected or not to be told apart."""
    wanted = cells.columns
    twice = sorted({name for name in wanted if wanted.count(name) > 1})
    if not cells.by or twice:
        raise UsageError(
            listing(twice) or "by",
            got="one name for two columns" if twice else "no columns",
            rule="cells need a column, which either makes cells or is summed",
            next_step="Name the columns as collapse was told.",
        )
    there = list(map(str, cells.frame.columns))
    check_header(there, name="cells")
    missing = [name for name in wanted if name not in there]
    strange = [name for name in there if name not in wanted]
    if missing or strange:
        words = [f"without {listing(missing)}"] if missing else []
        words += [f"with {listing(strange)} besides"] if strange else []
        raise SchemaError(
            "cells",
            got=f"columns {listing(there)}: {' and '.join(words)}",
            rule="must have the keys (by, strata, clusters, population_clusters) and the sums of "
            "volume and outcomes, and no other column",
            next_step="Name the columns as collapse was told.",
        )


def _check_sums(cells: CellTable) -> None:
    """Refuse sums that no rows can have."""
    frame, summed = cells.frame, cells.summed
    if len(frame) == 0:
        raise InvalidValue(
            "cells", got="no row", rule="there must be a cell", next_step="Check the file."
        )
    squares = [WEIGHT_SQUARES, *(f"sum_w2_{name}_{name}" for name in summed)]
    positive = [WEIGHT, *([f"sum_w_{cells.volume}"] if cells.volume else [])]
    check_finite(frame[ROWS], name=f"cells, column '{ROWS}'", minimum=1)
    for name in sum_names(summed):
        least = 0.0 if name in {*squares, *positive} else None
        check_finite(frame[name], name=f"cells, column '{name}'", minimum=least)
    rows = frame[ROWS].to_numpy(np.float64)
    weight, weight_squares = (frame[c].to_numpy(np.float64) for c in (WEIGHT, WEIGHT_SQUARES))
    # Cauchy and Schwarz: (sum of d)^2 <= n (sum of d^2).
    narrow = weight**2 > rows * weight_squares * (1 + _ROUNDING)
    for wrong, name, rule in (
        ((rows % 1 != 0) | (rows > _MOST), ROWS, "must be whole and below 2**53"),
        (narrow, WEIGHT_SQUARES, "rows times it must be at least the square of sum_w"),
    ):
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InvalidValue(
                f"cells, column '{name}'",
                got=f"{float(frame[name].iloc[at])!r} in row {at}",
                rule=rule,
                next_step="Write the cells anew from the log.",
            )
    for name in positive:
        if not frame[name].astype("float64").sum() > 0:
            raise InvalidValue(
                f"cells, column '{name}'",
                got="a sum of 0",
                rule="weights and volumes must have a positive sum",
                next_step="Name another column as the volume, or none.",
            )
