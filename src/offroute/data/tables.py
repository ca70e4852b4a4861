"""Files, frames and backends as ibis tables."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from offroute._checks import check_header, listing
from offroute.exceptions import SchemaError, UsageError

if TYPE_CHECKING:
    import ibis.expr.types as ir


def read_table(
    data: Any,  # noqa: ANN401 - whatever ibis reads
    *,
    json_columns: Mapping[str, str] | None = None,
) -> "ir.Table":
    """Return files, frames and tables as an ibis table, without reading rows.

    Parameters
    ----------
    data : path, sequence of paths, data frame or table
        As in `collapse`.
    json_columns : mapping of str to str, optional
        DuckDB types of the columns of JSON lines; default detected.

    Raises
    ------
    UsageError
        If the ending is unknown, no file is there, or the extra is not installed.
    SchemaError
        If the file cannot be read as what its name says.
    """
    ibis = import_ibis()
    if isinstance(data, ibis.Table):
        return data
    with quiet():
        return _as_table(ibis, data, json_columns)


def _as_table(
    ibis: Any,  # noqa: ANN401 - a module
    data: Any,  # noqa: ANN401 - whatever ibis reads
    json_columns: Mapping[str, str] | None,
) -> "ir.Table":
    if type(data).__module__.startswith("pyspark."):
        connection = ibis.pyspark.connect(data.sparkSession)
        # A view named after the frame, so that two frames do not share one.
        name = f"offroute_{id(data)}"
        data.createOrReplaceTempView(name)
        return connection.table(name)
    if isinstance(data, str | Path):
        return _read_files([data], json_columns)
    if isinstance(data, list | tuple) and data and all(isinstance(p, str | Path) for p in data):
        return _read_files(list(data), json_columns)
    import narwhals.stable.v1 as nw  # noqa: PLC0415 - slow to import

    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError as error:
        raise UsageError(
            "table",
            got=f"a {type(data).__module__}.{type(data).__qualname__}",
            rule="must be a path, a data frame, a Spark frame or an ibis table",
            next_step="Convert it to a data frame, or save it as Parquet.",
        ) from error
    except nw.exceptions.NarwhalsError as error:
        raise _unfit(error) from error
    try:
        arrow = frame.to_arrow()
    except (TypeError, ValueError, OverflowError, nw.exceptions.NarwhalsError) as error:
        raise _unfit(error) from error
    # By Arrow, as ibis asks pandas for an option that pandas 3 deprecates.
    return ibis.memtable(_without_dictionaries(arrow))


def _unfit(error: Exception) -> SchemaError:
    """Error for a frame that is no table of typed columns."""
    return SchemaError(
        "table",
        got=" ".join(str(error).split())[:200],
        rule="each column must have a name of its own and values of one type",
        next_step="Rename the columns, or convert their values.",
    )


def _without_dictionaries(table: Any) -> Any:  # noqa: ANN401 - pyarrow tables
    """Return categorical columns as the values that they stand for."""
    for i, column in enumerate(table.schema):
        if hasattr(column.type, "value_type") and hasattr(column.type, "index_type"):
            values = table.column(i).cast(column.type.value_type)
            table = table.set_column(i, column.name, values)
    return table


def _read_files(paths: list[str | Path], json_columns: Mapping[str, str] | None) -> "ir.Table":
    ibis = import_ibis()
    connection = ibis.duckdb.connect()
    read_json = partial(connection.read_json, columns=json_columns)
    readers = {
        ".parquet": connection.read_parquet,
        ".pq": connection.read_parquet,
        ".csv": connection.read_csv,
        ".tsv": connection.read_csv,
        ".jsonl": read_json,
        ".ndjson": read_json,
        ".json": read_json,
    }
    names = [Path(p).name.removesuffix(".gz") for p in paths]
    endings = {Path(name).suffix.lower() for name in names}
    if len(endings) != 1 or not endings <= set(readers):
        raise UsageError(
            "table",
            got=f"the files {listing(paths)}",
            rule=f"all files must end alike, in one of {listing(readers)}",
            next_step="Rename the files, or pass a data frame or an ibis table.",
        )
    ending = endings.pop()
    read = readers[ending]
    try:
        if ending in (".csv", ".tsv"):
            _check_headers(connection.con, paths)
        table = read([str(p) for p in paths])
        if read is read_json and json_columns is None:
            _check_keys(connection.con, paths, table.columns)
    except Exception as error:
        raise _unreadable(listing(paths), error) from error
    if ending in (".parquet", ".pq"):
        _check_schemas(connection.con, paths)
    return table


def _files(duckdb: Any, paths: Sequence[str | Path]) -> list[str]:  # noqa: ANN401 - a connection
    """Return the files that the paths and patterns name."""
    found = [duckdb.execute("SELECT file FROM glob(?)", [str(p)]).fetchall() for p in paths]
    return [file for rows in found for (file,) in rows]


def _check_schemas(duckdb: Any, paths: Sequence[str | Path]) -> None:  # noqa: ANN401 - likewise
    """Refuse Parquet files with two columns of one name, which DuckDB would rename too."""
    for file in _files(duckdb, paths):
        tree = duckdb.execute(
            "SELECT name, coalesce(num_children, 0) FROM parquet_schema(?)", [file]
        ).fetchall()
        # The tree is written depth first; columns are the children of its root.
        names, left = [], [tree[0][1]]
        for name, children in tree[1:]:
            if len(left) == 1:
                names.append(name)
            left[-1] -= 1
            left.append(children)
            while left[-1] == 0 and len(left) > 1:
                left.pop()
        check_header(names, name=f"file '{file}'")


def _check_headers(duckdb: Any, paths: Sequence[str | Path]) -> None:  # noqa: ANN401 - a connection
    """Refuse files whose header repeats a name, since DuckDB would rename the later column."""
    files = _files(duckdb, paths)
    if not files:
        return
    *marks, skip, has_header, width = duckdb.execute(
        "SELECT Delimiter, Quote, Escape, Comment, SkipRows, HasHeader, len(Columns) "
        "FROM sniff_csv(?)",
        [files[0]],
    ).fetchone()
    if not has_header:
        return
    options = [*("" if mark == "(empty)" else mark for mark in marks), skip]
    columns = {f"column{i}": "VARCHAR" for i in range(width)}
    for file in files:
        first = duckdb.execute(
            "SELECT * FROM read_csv(?, auto_detect = false, header = false, delim = ?, quote = ?, "
            "escape = ?, comment = ?, skip = ?, columns = ?) LIMIT 1",
            [file, *options, columns],
        ).fetchone()
        check_header([name or "" for name in first or ()], name=f"file '{file}'")


def _check_keys(duckdb: Any, paths: Sequence[str | Path], columns: Sequence[str]) -> None:  # noqa: ANN401 - a connection
    """Refuse JSON files with keys that differ in case alone, of which DuckDB renames the later."""
    there = {c.casefold() for c in columns}
    renamed = [
        c
        for c in columns
        if (base := c.casefold().rpartition("_"))[2].isdigit() and base[0] in there
    ]
    if not renamed:
        return
    keys: set[str] = set()
    for file in _files(duckdb, paths):
        found = duckdb.execute(
            "SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects(?)", [file]
        )
        keys |= {key for (key,) in found.fetchall()}
    check_header(sorted(keys), name=f"file {listing(paths)}")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what ibis 12 and Spark 4.0 ask of newer DuckDB and pandas from warning the user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The copy keyword", DeprecationWarning)
        warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
        warnings.filterwarnings("ignore", ".*infer_string", DeprecationWarning)
        yield


def import_ibis() -> Any:  # noqa: ANN401 - a module
    """Return ibis, which takes half a second to import, or say how to install it."""
    try:
        import ibis  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "collapse",
            got="an environment without ibis",
            rule="summing up logs needs ibis and DuckDB",
            next_step='Install them: pip install "offroute[logs]".',
        ) from error
    return ibis


def _unreadable(name: str, error: Exception) -> Exception:
    """Turn what an engine says about a file into our error; anything else stays as it is."""
    if not type(error).__module__.startswith(("_duckdb", "duckdb", "ibis", "pyspark")):
        return error
    return SchemaError(
        name,
        got=str(error).strip().splitlines()[0],
        rule="the rows must be readable as the table says",
        next_step="Check the path and the file, or read it into a data frame first.",
    )


def fetch(expression: "ir.Table") -> pd.DataFrame:
    """Run a query and return its rows.

    Parameters
    ----------
    expression : ibis table
        A query with a small result.

    Raises
    ------
    SchemaError
        If a file turns out not to hold what its columns say.
    """
    try:
        with quiet():
            frame: pd.DataFrame = expression.to_pandas()
    except Exception as error:
        raise _unreadable("table", error) from error
    return frame
