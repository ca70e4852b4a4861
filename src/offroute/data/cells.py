r"""Logs of any size summed up in cells, in one query of the engine that holds them.

Calibration on categorical columns, totals, means and shares see a row only through its levels, its
base weight d and d times its outcomes. So the rows that agree in their levels, stratum and cluster
enter by

.. math::

   n, \quad \sum d, \quad \sum d v_k, \quad \sum d^2, \quad \sum d^2 v_k, \quad
   \sum d^2 v_k v_l ,

the sums for the estimates, the squares for the variance when rows are sampled on their own. The
query is an ibis expression: DuckDB computes it by default, Spark or any other backend where the
table already lives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from offroute._checks import listing
from offroute.data.tables import fetch, read_table
from offroute.exceptions import InvalidValue, SchemaError, UsageError

if TYPE_CHECKING:
    import ibis.expr.types as ir

ROWS, WEIGHT, WEIGHT_SQUARES = "rows", "sum_w", "sum_w2"


@dataclass(frozen=True)
class CellTable:
    """Sums of the rows of each cell; made by `collapse`, read by `offroute.read_cells`.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per cell: its keys, then ``rows``, ``sum_w``, ``sum_w2`` and, per summed column,
        ``sum_w_tokens`` (d v), ``sum_w2_tokens`` (d^2 v) and ``sum_w2_tokens_dollars`` (d^2 v v').
        Sorted by the keys.
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
        return _summed(self.volume, self.outcomes)

    @property
    def rows(self) -> int:
        """Number of rows behind the cells."""
        return int(self.frame[ROWS].sum())


def collapse(
    table: Any,  # noqa: ANN401 - whatever ibis reads
    *,
    by: Sequence[str],
    volume: str | None = None,
    outcomes: Sequence[str] = (),
    weight: str | None = None,
    strata: str | None = None,
    clusters: str | None = None,
    population_clusters: str | None = None,
) -> CellTable:
    """Sum logs up in cells; nothing larger than the cells reaches Python.

    Estimates and standard errors from the cells equal those from the rows as long as benchmarks
    and models use the columns of `by` only, and `volume` and `outcomes` are only totalled.

    Parameters
    ----------
    table : path, data frame or table
        A Parquet, CSV or JSON-lines file (or a glob, or several of them), a pandas, polars or
        pyarrow frame, a Spark frame, or a table of any ibis backend, which then runs the query.
    by : sequence of str
        Columns whose levels make the cells: text, whole numbers, truth values or dates. Numeric
        ones can be calibrated to totals, as each cell has one value.
    volume : str, optional
        Volume of a row (tokens, dollars), not negative.
    outcomes : sequence of str
        Other numeric columns to sum.
    weight : str, optional
        Base weight of a row; default 1.
    strata, clusters, population_clusters : str, optional
        Sampling design as in `offroute.DesignColumns`. Name the account as the cluster when one
        account sends many rows.

    Returns
    -------
    CellTable
        The cells.

    Raises
    ------
    SchemaError
        If a column does not exist, or is not numeric where numbers are summed.
    InvalidValue
        If a key or number is missing, a number is infinite, or a volume or weight is negative.
    UsageError
        If the file has no known ending or does not exist, or the extra is not installed.

    Examples
    --------
    >>> logs = pd.DataFrame({"origin": ["US", "CN", "US"], "tokens": [5, 9, 4]})
    >>> collapse(logs, by=["origin"], volume="tokens").frame["sum_w_tokens"].tolist()
    [9.0, 9.0]
    """
    source = read_table(table)
    expression = cell_expression(
        source,
        by=by,
        volume=volume,
        outcomes=outcomes,
        weight=weight,
        design=(strata, clusters, population_clusters),
    )
    cells = CellTable(
        fetch(expression), tuple(by), volume, tuple(outcomes), strata, clusters,
        population_clusters,
    )  # fmt: skip
    return _checked(cells, weight)


def cell_expression(
    table: "ir.Table",
    *,
    by: Sequence[str],
    volume: str | None = None,
    outcomes: Sequence[str] = (),
    weight: str | None = None,
    design: tuple[str | None, str | None, str | None] = (None, None, None),
) -> "ir.Table":
    """Return the query of `collapse`, not yet run.

    Parameters
    ----------
    table : ibis table
        Logs.
    by, volume, outcomes, weight : sequence of str or str, optional
        As in `collapse`.
    design : tuple of str or None
        Strata, clusters, population count.

    Raises
    ------
    SchemaError
        If a column does not exist or has the wrong type.
    """
    strata, clusters, population = design
    keys = list(dict.fromkeys(k for k in [*by, strata, population, clusters] if k is not None))
    summed = _summed(volume, outcomes)
    _check_schema(table, keys, [*summed, *([weight] if weight else [])], summed)
    v = {name: table[name].cast("float64") for name in summed}
    d = None if weight is None else table[weight].cast("float64")
    out: dict[str, Any] = {ROWS: table.count()}
    if d is not None:
        out |= {WEIGHT: d.sum(), WEIGHT_SQUARES: (d * d).sum()}
        out |= {"n_w": d.count(), "min_w": d.min()}
    for name, column in v.items():
        out[f"n_{name}"] = column.count()
        out[f"sum_w_{name}"] = (column if d is None else d * column).sum()
        if d is not None:
            out[f"sum_w2_{name}"] = (d * d * column).sum()
        if name == volume:
            out[f"min_{name}"] = column.min()
    for one, other in combinations_with_replacement(summed, 2):
        product = v[one] * v[other]
        out[f"sum_w2_{one}_{other}"] = (product if d is None else d * d * product).sum()
    return table.group_by(keys).aggregate(**out)


def _summed(volume: str | None, outcomes: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*([volume] if volume else []), *outcomes]))


def _check_schema(
    table: "ir.Table", keys: Sequence[str], numbers: Sequence[str], summed: Sequence[str]
) -> None:
    if not keys:
        raise UsageError(
            "by", got="no columns", rule="cells need a column", next_step='Pass by=["model"].'
        )
    absent = [name for name in dict.fromkeys([*keys, *numbers]) if name not in table.columns]
    if absent:
        raise SchemaError(
            ", ".join(absent),
            got=f"columns {listing(table.columns)}",
            rule="every named column must be in the table",
            next_step="Correct the names, rename the columns, or map a known export: "
            'read_log(path, format="litellm").',
        )
    types = table.schema()
    wrong = [f"{c} ({types[c]})" for c in numbers if not types[c].is_numeric()]
    if wrong:
        raise SchemaError(
            ", ".join(wrong),
            got="a column that is not numeric",
            rule="volume, outcomes and weight must be numbers",
            next_step="Convert the column to numbers.",
        )
    both = sorted(set(keys) & set(summed))
    made = {ROWS, WEIGHT, WEIGHT_SQUARES, *(f"sum_w_{n}" for n in summed)}
    if both or set(keys) & made:
        raise UsageError(
            listing([*both, *sorted(set(keys) & made)]),
            got="a key with the name of a sum",
            rule="a column either makes cells or is summed",
            next_step="Rename the column, or leave it out of one of the two.",
        )


def _checked(cells: CellTable, weight: str | None) -> CellTable:
    """Check the sums and complete those that base weights of 1 imply."""
    frame = cells.frame
    if len(frame) == 0:
        raise InvalidValue(
            "table", got="no rows", rule="logs need rows", next_step="Check the filters."
        )
    for key in cells.keys:
        _refuse(frame, cells, frame[key].isna(), key, "missing", "Fill or drop the missing keys.")
    numbers = {name: name for name in cells.summed} | ({"w": weight} if weight else {})
    for short, name in numbers.items():
        total = frame[WEIGHT if short == "w" else f"sum_w_{short}"].astype("float64")
        low = frame.get(f"min_{short}")
        gap = frame[f"n_{short}"] < frame[ROWS]
        _refuse(frame, cells, gap, name, "missing", "Drop or repair those rows.")
        if low is not None:
            _refuse(frame, cells, low < 0, name, "negative", "Drop or repair those rows.")
        endless = ~total.abs().lt(np.inf)
        _refuse(frame, cells, endless, name, "missing or infinite", "Drop or repair those rows.")
    ones = frame[ROWS].astype("float64")
    if weight is None:
        frame = frame.assign(**{WEIGHT: ones, WEIGHT_SQUARES: ones})
        frame = frame.assign(**{f"sum_w2_{n}": frame[f"sum_w_{n}"] for n in cells.summed})
    if not frame[WEIGHT].sum() > 0:
        raise InvalidValue(
            weight or "weight",
            got="weights that sum to 0",
            rule="base weights must have a positive sum",
            next_step="Correct the weights.",
        )
    pairs = combinations_with_replacement(cells.summed, 2)
    sums = [WEIGHT, WEIGHT_SQUARES]
    sums += [f"{kind}_{name}" for name in cells.summed for kind in ("sum_w", "sum_w2")]
    sums += [f"sum_w2_{one}_{other}" for one, other in pairs]
    frame = frame[[*cells.keys, ROWS, *sums]].sort_values(list(cells.keys), ignore_index=True)
    frame = frame.astype({ROWS: "int64", **dict.fromkeys(sums, "float64")})
    return CellTable(
        frame, cells.by, cells.volume, cells.outcomes, cells.strata, cells.clusters,
        cells.population_clusters,
    )  # fmt: skip


def _refuse(
    frame: pd.DataFrame,
    cells: CellTable,
    bad: "pd.Series[bool]",
    name: str,
    what: str,
    next_step: str,
) -> None:
    if not bad.any():
        return
    first: Mapping[Any, Any] = frame.loc[bad, list(cells.keys)].iloc[0].to_dict()
    where = listing(f"{key}={value}" for key, value in first.items())
    raise InvalidValue(
        name,
        got=f"{what} values in {int(bad.sum())} of {len(frame)} cells, first {where}",
        rule="keys must be there; volumes and weights must be finite and not negative",
        next_step=next_step,
    )
