r"""Logs of any size summed up in cells, in one query of the engine that holds them.

Calibration on categorical columns, totals, means and shares see a row only through its levels, its
base weight d and d times its outcomes. So the rows that agree in their levels, stratum and cluster
enter by

.. math::

   n, \quad \sum d, \quad \sum d v_k, \quad \sum d^2, \quad \sum d^2 u_k, \quad
   \sum d^2 u_k u_l , \qquad u_k = v_k - \sum d v_k / \sum d ,

the sums for the estimates, the squares for the variance when rows are sampled on their own. The
query is an ibis expression: DuckDB computes it by default, Spark or any other backend where the
table already lives. The distances u come from the squares of v in the same pass; where that would
cost digits, since the values of a cell lie close together and far from 0, a second pass sums them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from offroute._checks import listing
from offroute.data.cell_table import (
    ROWS,
    WEIGHT,
    WEIGHT_SQUARES,
    CellTable,
    check_lists,
    columns_summed,
    sum_names,
)
from offroute.data.tables import fetch, read_table
from offroute.exceptions import InvalidValue, SchemaError, UsageError

if TYPE_CHECKING:
    import ibis.expr.types as ir

_COARSE = 1e-3
"""Distances whose squares are a smaller part of those about 0 lose more than 1e-13 of theirs."""


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
    check_lists(by=by, outcomes=outcomes)
    source = read_table(table)
    expression = cell_expression(
        source, by=by, volume=volume, outcomes=outcomes, weight=weight,
        design=(strata, clusters, population_clusters),
    )  # fmt: skip  # dense
    found, names = fetch(expression), tuple(by)
    design = (strata, clusters, population_clusters)
    cells = _checked(CellTable(found, names, volume, tuple(outcomes), *design), weight)
    if not _close_together(cells):
        return replace(cells, frame=_centred(cells))
    distances = fetch(distance_expression(source, cells, weight))
    return replace(cells, frame=_with_distances(cells, distances))


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
    summed = columns_summed(volume, outcomes)
    _check_schema(table, keys, [*summed, *([weight] if weight else [])], summed)
    v = {name: table[name].cast("float64") for name in summed}
    d = None if weight is None else table[weight].cast("float64")
    out: dict[str, Any] = {ROWS: table.count()}
    if d is not None:
        out |= {WEIGHT: d.sum(), WEIGHT_SQUARES: (d * d).sum()}
        out |= {"_n_w": d.count(), "_min_w": d.min()}
    for k, (name, column) in enumerate(v.items()):
        out[f"_n_{k}"] = column.count()
        out[f"sum_w_{name}"] = (column if d is None else d * column).sum()
        if d is not None:
            out[f"sum_w2_{name}"] = (d * d * column).sum()
        if name == volume:
            out[f"_min_{k}"] = column.min()
    for one, other in combinations_with_replacement(summed, 2):
        product = v[one] * v[other]
        out[f"sum_w2_{one}_{other}"] = (product if d is None else d * d * product).sum()
    return table.group_by(keys).aggregate(**out)


def distance_expression(table: "ir.Table", cells: CellTable, weight: str | None) -> "ir.Table":
    """Return the query that sums the squares of the distances from each cell's own mean.

    Parameters
    ----------
    table : ibis table
        Logs.
    cells : CellTable
        What was summed by which keys.
    weight : str or None
        Base weight of a row.
    """
    keys, summed = list(cells.keys), cells.summed
    d = 1.0 if weight is None else table[weight].cast("float64")
    columns = {f"_v_{k}": table[name].cast("float64") for k, name in enumerate(summed)}
    rows = table.select(*keys, _d=d, **columns)
    mass = rows["_d"].sum().nullif(0.0)
    means = {f"_m_{k}": (rows["_d"] * rows[f"_v_{k}"]).sum() / mass for k in range(len(summed))}
    joined = rows.inner_join(rows.group_by(keys).aggregate(**means), keys)
    squared = joined["_d"] * joined["_d"]
    u = {n: joined[f"_v_{k}"] - joined[f"_m_{k}"].fill_null(0.0) for k, n in enumerate(summed)}
    out = {f"sum_w2_{name}": (squared * column).sum() for name, column in u.items()}
    for one, other in combinations_with_replacement(summed, 2):
        out[f"sum_w2_{one}_{other}"] = (squared * u[one] * u[other]).sum()
    return joined.group_by(keys).aggregate(**out)


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
    lower = [name.casefold() for name in table.columns]
    alike = sorted(name for name in {*keys, *numbers} if lower.count(name.casefold()) > 1)
    if alike:
        raise SchemaError(
            listing(alike),
            got="another column of this name but for case",
            rule="names must differ by more than case, as SQL does not tell them apart",
            next_step="Rename one of the columns.",
        )
    made = [*keys, *summed, ROWS, *sum_names(summed), "_n_w", "_min_w"]
    made += [f"_{kind}_{k}" for k in range(len(summed)) for kind in ("n", "min", "v", "m")]
    twice = sorted({name for name in [*made, "_d"] if made.count(name) > 1})
    if twice:
        raise UsageError(
            listing(twice),
            got="one name for two columns of the result",
            rule="a column either makes cells or is summed, and no two sums may share their name",
            next_step="Rename the column, or leave it out of one of the two.",
        )


def _close_together(cells: CellTable) -> bool:
    """Say whether the squares about 0 are too coarse for the distances within the cells."""
    several = cells.frame[cells.frame[ROWS] > 1]
    centred = _centred(replace(cells, frame=several))
    return any(
        centred[f"sum_w2_{name}_{name}"].sum() < _COARSE * several[f"sum_w2_{name}_{name}"].sum()
        for name in cells.summed
    )


def _centred(cells: CellTable) -> pd.DataFrame:
    """Return the frame with the squares about each cell's mean in place of those about 0."""
    frame = cells.frame
    one_row = (frame[ROWS] == 1).to_numpy()
    mass = frame[WEIGHT].to_numpy()
    squares = frame[WEIGHT_SQUARES].to_numpy()
    of = {name: frame[f"sum_w2_{name}"].to_numpy() for name in cells.summed}
    mean = {
        name: np.divide(frame[f"sum_w_{name}"], mass, out=np.zeros_like(mass), where=mass > 0)
        for name in cells.summed
    }
    new = {f"sum_w2_{name}": of[name] - mean[name] * squares for name in cells.summed}
    for one, other in combinations_with_replacement(cells.summed, 2):
        about_zero = frame[f"sum_w2_{one}_{other}"].to_numpy()
        moved = mean[one] * of[other] + mean[other] * new[f"sum_w2_{one}"]
        value = about_zero - moved
        new[f"sum_w2_{one}_{other}"] = np.maximum(value, 0.0) if one == other else value
    return frame.assign(**{name: np.where(one_row, 0.0, value) for name, value in new.items()})


def _with_distances(cells: CellTable, distances: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the squares of a second pass."""
    keys = list(cells.keys)
    ordered = distances.sort_values(keys, ignore_index=True)
    if not ordered[keys].equals(cells.frame[keys]):
        raise SchemaError(
            "table",
            got=f"{len(ordered)} cells, where the first reading had {len(cells.frame)}",
            rule="the logs must stay as they are while they are read",
            next_step="Run again on a copy that nothing writes to.",
        )
    new = ordered.drop(columns=keys).astype("float64")
    return cells.frame.assign(**{str(name): new[name] for name in new})


def _checked(cells: CellTable, weight: str | None) -> CellTable:
    """Check the sums and complete those that base weights of 1 imply."""
    frame = cells.frame
    if len(frame) == 0:
        raise InvalidValue(
            "table", got="no rows", rule="logs need rows", next_step="Check the filters."
        )
    for key in cells.keys:
        _refuse(frame, cells, frame[key].isna(), key, "missing", "Fill or drop the missing keys.")
    numbers = [(f"{k}", name, f"sum_w_{name}") for k, name in enumerate(cells.summed)]
    for short, name, sums in numbers + ([("w", weight, WEIGHT)] if weight else []):
        total = frame[sums].astype("float64")
        low = frame.get(f"_min_{short}")
        gap = frame[f"_n_{short}"] < frame[ROWS]
        _refuse(frame, cells, gap, name, "missing", "Drop or repair those rows.")
        if low is not None:
            _refuse(frame, cells, low < 0, name, "negative", "Drop or repair those rows.")
        endless = ~total.abs().lt(np.inf)
        _refuse(frame, cells, endless, name, "missing or infinite", "Drop or repair those rows.")
        squares = frame[WEIGHT_SQUARES if short == "w" else f"sum_w2_{name}_{name}"]
        huge = ~squares.astype("float64").lt(np.inf)
        _refuse(frame, cells, huge, name, "too large", "Use a larger unit.")
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
    if cells.volume is not None and not frame[f"sum_w_{cells.volume}"].sum() > 0:
        raise InvalidValue(
            cells.volume,
            got="volumes that sum to 0",
            rule="the volume must have a positive sum",
            next_step="Name another column as the volume, or none.",
        )
    kept = sum_names(cells.summed)
    frame = frame[[*cells.keys, ROWS, *kept]].sort_values(list(cells.keys), ignore_index=True)
    frame = frame.astype({ROWS: "int64", **dict.fromkeys(kept, "float64")})
    return replace(cells, frame=frame)


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
