"""Data frames in: the only place of the unit-log estimators that sees pandas, polars or pyarrow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import narwhals.stable.v1 as nw
import numpy as np
import pandas as pd
from narwhals.exceptions import NarwhalsError

from offroute._checks import check_choice
from offroute._typing import AnyArray, BoolArray, FloatArray, IntArray
from offroute.estimators.edge import check_weights, level_name
from offroute.estimators.point import Design, Factor, Sample
from offroute.exceptions import InvalidValue, SchemaError, UsageError

MissingRule = Literal["refuse", "drop", "level"]
_MISSING_LEVEL = "(missing)"


@dataclass(frozen=True)
class DesignColumns:
    """Names of the columns that describe the sampling design.

    Attributes
    ----------
    strata, clusters : str, optional
        Stratum and first-stage cluster of each row; clusters are nested in strata.
    population_clusters : str, optional
        Number of clusters (of rows, when there are no clusters) in the population of the row's
        stratum.
    """

    strata: str | None = None
    clusters: str | None = None
    population_clusters: str | None = None


def read_sample(
    data: Any,  # noqa: ANN401 - any frame that narwhals reads
    *,
    outcomes: Sequence[str] = (),
    covariates: Sequence[str] = (),
    weights: str | None = None,
    volume: str | None = None,
    design: DesignColumns | None = None,
    missing: MissingRule = "refuse",
) -> Sample:
    """Read unit-level logs from a data frame into a checked `Sample`.

    Numbers become float64 before any arithmetic, so integer columns cannot overflow; text,
    categorical and boolean columns become factors with sorted levels (the declared order of a
    categorical type).

    Parameters
    ----------
    data : pandas, polars or pyarrow data frame
        One row per unit (request, account, project).
    outcomes, covariates : sequence of str
        Columns to keep; an outcome is estimated by default.
    weights : str, optional
        Base weights; default 1.
    volume : str, optional
        Volume of each row (tokens, dollars), used by shares and effective sample sizes.
    design : DesignColumns, optional
        Sampling design; default independent rows.
    missing : {"refuse", "drop", "level"}
        "refuse" raises and names the columns; "drop" drops rows with a missing value in any named
        column; "level" gives factors a level "(missing)" and refuses missing numbers.

    Returns
    -------
    Sample
        The checked sample.

    Raises
    ------
    SchemaError
        If a named column does not exist or has an unusable type.
    InvalidValue
        If values are missing under the rule, weights are negative, missing or sum to 0, or the
        design's population counts are below the sampled ones.

    Examples
    --------
    >>> import pandas as pd
    >>> logs = pd.DataFrame({"origin": ["US", "CN", "US"], "tokens": [5, 9, 4]})
    >>> read_sample(logs, outcomes=["tokens"], covariates=["origin"]).n
    3
    """
    check_choice(missing, ("refuse", "drop", "level"), name="missing")
    frame = _frame(data)
    design = design or DesignColumns()
    roles = [weights, volume, design.strata, design.clusters, design.population_clusters]
    for name, given in (("outcomes", outcomes), ("covariates", covariates)):
        if isinstance(given, str):
            raise UsageError(
                name,
                got=repr(given),
                rule="a list of column names",
                next_step=f'Pass {name}=["{given}"].',
            )
    kept = list(dict.fromkeys([*outcomes, *covariates]))
    named = list(dict.fromkeys([*kept, *(r for r in roles if r is not None)]))
    absent = [c for c in named if c not in frame.columns]
    if absent:
        raise SchemaError(
            ", ".join(absent),
            got=f"columns {frame.columns}",
            rule="every named column must be in the data",
            next_step="Correct the names.",
        )
    if missing == "drop":
        complete = ~np.any([_is_missing(frame[c]) for c in named], axis=0)
        frame = frame.filter(complete.tolist()) if not complete.all() else frame
    n = len(frame)
    if n == 0:
        raise InvalidValue(
            "data", got="no rows", rule="a sample needs rows", next_step="Check the filters."
        )
    columns = {c: _column(frame[c], missing) for c in kept}
    numeric = {r: _number(frame[r]) for r in (weights, volume, design.population_clusters) if r}
    w = np.ones(n) if weights is None else check_weights(numeric[weights], n=n)
    if volume is not None and numeric[volume].min() < 0:
        raise InvalidValue(
            volume,
            got=f"smallest volume {numeric[volume].min():g}",
            rule="volumes must be non-negative",
            next_step="Drop or repair those rows.",
        )
    strata = _codes(frame[design.strata]) if design.strata else None
    clusters = _codes(frame[design.clusters]) if design.clusters else None
    counts = numeric[design.population_clusters] if design.population_clusters else None
    return Sample(
        columns=columns,
        weights=w,
        design=make_design(n, strata=strata, clusters=clusters, population_clusters=counts),
        outcomes=tuple(outcomes),
        covariates=tuple(covariates),
        volume=None if volume is None else numeric[volume],
    )


def _frame(data: Any) -> "nw.DataFrame[Any]":  # noqa: ANN401 - any library's data frame
    try:
        return nw.from_native(data, eager_only=True)
    except (TypeError, NarwhalsError) as error:
        raise SchemaError(
            "data",
            got=f"{type(data).__name__}: {error}",
            rule="a pandas, polars or pyarrow data frame whose columns have distinct names",
            next_step="Convert or rename; read files with the library's own reader.",
        ) from error


def make_design(
    n: int,
    *,
    strata: AnyArray | None = None,
    clusters: AnyArray | None = None,
    population_clusters: AnyArray | None = None,
) -> Design:
    """Build a checked `Design` from codes, nesting clusters in strata.

    Parameters
    ----------
    n : int
        Number of rows.
    strata : array_like of int, shape (n,), optional
        Stratum codes.
    clusters : array_like of int, shape (n,), optional
        Cluster codes, nested in strata.
    population_clusters : array_like, shape (n,), optional
        Clusters in the population of the row's stratum.

    Raises
    ------
    InvalidValue
        If a stratum has two population counts, or fewer population than sampled clusters.

    Examples
    --------
    >>> make_design(4, strata=[0, 0, 1, 1], clusters=[0, 1, 0, 0]).clusters.tolist()
    [0, 1, 2, 2]
    """
    s = None if strata is None else _compact(np.asarray(strata))
    c = None
    if clusters is not None:
        c = np.asarray(clusters)
        c = _compact(c if s is None else s * (int(c.max()) + 1) + c)
    counts = None
    if population_clusters is not None:
        counts = np.asarray(population_clusters, np.float64)
        _check_counts(n, s, c, counts)
    return Design(n, s, c, counts)


def _check_counts(
    n: int, strata: IntArray | None, clusters: IntArray | None, counts: FloatArray
) -> None:
    group = np.zeros(n, np.int64) if strata is None else strata
    unit = np.arange(n) if clusters is None else clusters
    first = np.unique(unit, return_index=True)[1]
    sampled = np.bincount(group[first])
    low, high = np.full(sampled.size, np.inf), np.full(sampled.size, -np.inf)
    np.minimum.at(low, group, counts)
    np.maximum.at(high, group, counts)
    if not np.array_equal(low, high) or (low < sampled).any():
        raise InvalidValue(
            "population_clusters",
            got=f"population counts {low.min():g} to {high.max():g}, sampled up to {sampled.max()}",
            rule="each stratum needs one population count, not below its sampled clusters",
            next_step="Give the number of clusters in the population of the row's stratum.",
        )


def _compact(codes: AnyArray) -> IntArray:
    return np.unique(codes, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _is_missing(series: "nw.Series[Any]") -> BoolArray:
    missing = series.is_null()
    if series.dtype.is_float():
        missing = missing | series.is_nan().fill_null(True)
    return np.asarray(missing.to_numpy(), dtype=bool)


def _refuse_missing(series: "nw.Series[Any]") -> None:
    count = int(_is_missing(series).sum())
    if count:
        raise InvalidValue(
            series.name,
            got=f"{count} missing values",
            rule="missing values are not guessed",
            next_step='Pass missing="drop", or missing="level" for categorical columns.',
        )


def _number(series: "nw.Series[Any]") -> FloatArray:
    if not series.dtype.is_numeric():
        raise SchemaError(
            series.name,
            got=str(series.dtype),
            rule="a numeric column is needed here",
            next_step="Convert the column to numbers.",
        )
    _refuse_missing(series)
    values = np.ascontiguousarray(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
    if not np.isfinite(values.sum()) and not np.isfinite(values).all():
        raise InvalidValue(
            series.name,
            got="infinite values",
            rule="numbers must be finite",
            next_step="Drop or repair those rows.",
        )
    return values


def _column(series: "nw.Series[Any]", missing: MissingRule) -> Factor | FloatArray:
    if series.dtype.is_numeric():
        return _number(series)
    if missing != "level":
        _refuse_missing(series)
    if series.dtype.is_temporal() or series.dtype.is_nested() or not _is_labels(series):
        raise SchemaError(
            series.name,
            got=str(series.to_native().dtype),
            rule="numbers, or labels of one kind (text, categories, true and false)",
            next_step="Convert the column to numbers, or to text for one level a value.",
        )
    return _factor(series)


def _is_labels(series: "nw.Series[Any]") -> bool:
    """Whether an object column holds labels of one kind; complex numbers are none."""
    native = series.to_native()
    if not isinstance(native, pd.Series) or isinstance(native.dtype, pd.CategoricalDtype):
        return True
    kind = pd.api.types.infer_dtype(native, skipna=True)
    return kind in {"string", "boolean", "empty"} or native.dtype.kind == "b"


def _factor(series: "nw.Series[Any]") -> Factor:
    native = series.to_native()
    if isinstance(native, pd.Series) and isinstance(native.dtype, pd.CategoricalDtype):
        codes, levels = native.cat.codes.to_numpy(), [level_name(v) for v in native.cat.categories]
    else:
        if not isinstance(native, pd.Series) and series.dtype in (nw.Categorical, nw.Enum):
            series = series.cast(nw.String)
        found, unique = pd.factorize(np.asarray(series.to_numpy(), dtype=object), sort=False)
        names = np.array([level_name(v) for v in unique], dtype=object)
        order = np.argsort(names, kind="stable")
        rank = np.empty(order.size + 1, np.int64)
        rank[order], rank[-1] = np.arange(order.size), -1
        codes, levels = rank[found], names[order].tolist()
    if codes.size and codes.min() < 0:
        codes = np.where(codes < 0, len(levels), codes)
        levels = [*levels, _MISSING_LEVEL]
    kind = np.min_scalar_type(-max(len(levels), 1) - 1)
    return Factor(np.ascontiguousarray(codes, dtype=kind), tuple(levels))


def _codes(series: "nw.Series[Any]") -> IntArray:
    _refuse_missing(series)
    return np.asarray(pd.factorize(series.to_numpy())[0], dtype=np.int64)
