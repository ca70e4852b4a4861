"""Columns of every table, and the check that a frame obeys them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from offroute.data.provenance import ColumnNote
from offroute.exceptions import DuplicateKey, InvalidValue, SchemaError

Kind = Literal["label", "date", "count", "number", "flag"]


@dataclass(frozen=True)
class Column:
    """Rule for one column.

    Attributes
    ----------
    name : str
        Column name.
    kind : {'label', 'date', 'count', 'number', 'flag'}
        Text, day, non-negative integer, non-negative real, truth value.
    unit : str
        Unit, ``-`` for a label.
    description : str
        Meaning.
    nullable : bool
        Whether a value may be missing (never for a count or a flag).
    choices : tuple of str
        The values a label may take; empty for any.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    nullable: bool = False
    choices: tuple[str, ...] = ()

    def note(self) -> ColumnNote:
        """Return the entry for the sidecar."""
        return ColumnNote(self.name, self.unit, self.description)


@dataclass(frozen=True)
class Schema:
    """Columns of a table and its key.

    Attributes
    ----------
    table : str
        Table name.
    key : tuple of str
        Columns that together occur once.
    columns : tuple of Column
        All columns in order.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


_MODEL = Column("model", "label", "-", "OpenRouter permaslug with its variant")
_TOKENS = Column("tokens", "count", "tokens", "prompt + completion, each provider's tokenizer")
_ORIGINS = ("China", "US", "Europe", "Korea", "Elsewhere", "Unidentified")
_WEIGHTS = ("open", "closed", "unidentified")

USAGE = Schema(
    "usage",
    ("week_start", "model"),
    (
        Column("week_start", "date", "day", "Monday (UTC) that opens the week"),
        Column("days", "count", "days", "days of the week that were observed"),
        Column(
            "basis",
            "label",
            "-",
            "model: rows of single models; lab: one row '<author>/*' per author",
            choices=("model", "lab"),
        ),
        Column("model", "label", "-", "permaslug, '<author>/*', or 'other' (outside the top 50)"),
        _TOKENS,
    ),
)

DAILY = Schema(
    "daily",
    ("date", "model"),
    (
        Column("date", "date", "day", "UTC day"),
        Column("model", "label", "-", "permaslug, or 'other' (outside the day's top 50)"),
        _TOKENS,
    ),
)

MODELS = Schema(
    "models",
    ("model",),
    (
        _MODEL,
        Column("author", "label", "-", "prefix of the permaslug"),
        Column("lab", "label", "-", "canonical name of the lab"),
        Column("origin", "label", "-", "US means US or Canada", choices=_ORIGINS),
        Column("weights", "label", "-", "public weights or not", choices=_WEIGHTS),
        Column("weights_rule", "label", "-", "where the openness comes from"),
        Column(
            "group",
            "label",
            "-",
            "origin and openness; Stealth: unidentified; Other: the unnamed rest",
            choices=(
                "China open",
                "China closed",
                "US closed",
                "US open",
                "Rest of world",
                "Stealth",
                "Other",
            ),
        ),
        Column(
            "variant",
            "label",
            "-",
            "suffix of the permaslug",
            choices=("standard", "free", "beta", "thinking", "extended"),
        ),
        Column("charging", "label", "-", "as in the source", choices=("paid", "free", "unknown")),
        Column(
            "tier",
            "label",
            "-",
            "place in the lab's own line",
            choices=("flagship", "mid", "light", "unclassified"),
        ),
        Column("tier_rule", "label", "-", "rule of classify_tier that fired"),
        Column(
            "prompt",
            "number",
            "USD per million tokens",
            "list price; paid sibling's for :free",
            nullable=True,
        ),
        Column(
            "completion", "number", "USD per million tokens", "list price, likewise", nullable=True
        ),
        Column("price_as_of", "date", "day", "day of the list prices", nullable=True),
        Column("listed", "date", "day", "day of listing on OpenRouter", nullable=True),
    ),
)

PRICES = Schema(
    "prices",
    ("model", "as_of", "source"),
    (
        _MODEL,
        Column("as_of", "date", "day", "day on which the price was seen in force"),
        Column("prompt", "number", "USD per million tokens", "list price", nullable=True),
        Column("completion", "number", "USD per million tokens", "list price", nullable=True),
        Column("cache_read", "number", "USD per million tokens", "list price", nullable=True),
        Column("source", "label", "-", "where the price was read"),
    ),
)

ROSTER = Schema(
    "roster",
    ("model", "first"),
    (
        Column("model", "label", "-", "id in the public catalogue"),
        Column("author", "label", "-", "prefix of the id"),
        Column("lab", "label", "-", "canonical name of the lab"),
        Column("origin", "label", "-", "US means US or Canada", choices=_ORIGINS),
        Column(
            "weights",
            "label",
            "-",
            "register row, else the author's majority, else ours",
            choices=_WEIGHTS,
        ),
        Column("group", "label", "-", "origin and openness"),
        Column("first", "date", "day", "first day in the catalogue within the window"),
        Column("last", "date", "day", "last day in the catalogue within the window"),
    ),
)

GATEWAY = Schema(
    "gateway",
    ("date", "lab"),
    (
        Column("date", "date", "day", "day of the shares"),
        Column("lab", "label", "-", "canonical name of the lab"),
        Column("origin", "label", "-", "US means US or Canada", choices=_ORIGINS),
        Column(
            "weights",
            "label",
            "-",
            "the whole lab by the gateway source's list",
            choices=("open", "closed"),
        ),
        Column("token_share", "number", "fraction", "share of the gateway's tokens"),
        Column("spend_share", "number", "fraction", "share of the gateway's spend"),
        Column("request_share", "number", "fraction", "share of requests", nullable=True),
    ),
)

COMPOSITION = Schema(
    "composition",
    ("snapshot_date", "model"),
    (
        Column("snapshot_date", "date", "day", "end of the trailing seven days"),
        _MODEL,
        Column("total", "number", "tokens", "rounded to three digits from 2026-02-16"),
        Column("prompt", "number", "tokens", "prompt tokens", nullable=True),
        Column("completion", "number", "tokens", "completion tokens", nullable=True),
        Column("reasoning", "number", "tokens", "part of completion", nullable=True),
        Column("cached", "number", "tokens", "part of prompt", nullable=True),
        Column("requests", "number", "requests", "requests", nullable=True),
        Column("is_free", "flag", "-", "whether the row is a free variant"),
    ),
)

APPS = Schema(
    "apps",
    ("window_end", "window_days", "app"),
    (
        Column("window_end", "date", "day", "day of the fetch that ends the window"),
        Column("window_days", "count", "days", "length of the window"),
        Column("app", "label", "-", "name of the app"),
        _TOKENS,
        Column("requests", "count", "requests", "requests"),
    ),
)


#: Larger counts would lose digits as floating-point numbers.
_MOST = 2.0**53


def _parse(values: pd.Series, column: Column, table: str) -> pd.Series:
    """Return the values with their type; labels and missing values pass as they are."""
    try:
        if column.kind == "date":
            return pd.to_datetime(values, format="%Y-%m-%d").astype("datetime64[us]")
        if column.kind in ("count", "number"):
            return pd.to_numeric(values)
    except (ValueError, TypeError) as error:
        raise _mistyped(str(error), column, table) from error
    known = {True: True, False: False, "True": True, "False": False}
    fits = values.isin(known) if column.kind == "flag" else values.map(lambda v: isinstance(v, str))
    strange = values[~fits & values.notna()]
    if len(strange):
        raise _mistyped(f"{strange.iloc[0]!r} in row {strange.index[0]}", column, table)
    return values.map(known) if column.kind == "flag" else values


def _mistyped(got: str, column: Column, table: str) -> SchemaError:
    return SchemaError(
        f"table '{table}', column '{column.name}'",
        got=got,
        rule=f"every value must be a {column.kind}",
        next_step="Correct the row named in the message.",
    )


def _check_values(values: pd.Series, column: Column, table: str) -> None:
    where = f"table '{table}', column '{column.name}'"
    missing = values.isna()
    if not column.nullable and bool(missing.any()):
        raise InvalidValue(
            where,
            got=f"{int(missing.sum())} missing, first in row {int(missing.argmax())}",
            rule="no value may be missing",
            next_step="Fill or drop the row; a missing week or model is an absent row.",
        )
    if column.kind in ("count", "number"):
        numbers = values.to_numpy(dtype="float64", na_value=np.nan)
        bad = np.isinf(numbers) | (numbers < 0)
        rule = "every value must be finite and not negative"
        if column.kind == "count":
            bad |= (numbers != np.floor(numbers)) | (numbers > _MOST)
            rule = "every value must be a whole number, not negative and below 2**53"
        if bool(bad.any()):
            row = int(bad.argmax())
            raise InvalidValue(
                where,
                got=f"{numbers[row]:g} in row {row}",
                rule=rule,
                next_step="Correct the row.",
            )
    if column.choices:
        strange = sorted(set(values.dropna()) - set(column.choices))
        if strange:
            raise InvalidValue(
                where,
                got=f"{strange[:3]}",
                rule=f"every value must be one of {list(column.choices)}",
                next_step="Correct the label.",
            )


def check_frame(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return a frame with the schema's columns in order and their types, or refuse it.

    Parameters
    ----------
    frame : pandas.DataFrame
        As read or as given by the user; not changed.
    schema : Schema
        What it must obey.

    Returns
    -------
    pandas.DataFrame
        Dates as ``datetime64[us]``, counts as ``int64``, numbers as ``float64``, flags as
        ``bool``, labels as text; a fresh index.

    Raises
    ------
    SchemaError
        If a column is missing, unexpected or cannot be parsed.
    InvalidValue
        If a value is missing, negative, not finite, or not among the allowed labels.
    DuplicateKey
        If two rows share the key.

    Examples
    --------
    >>> check_frame(
    ...     pd.DataFrame({"date": ["2026-06-01"], "model": ["other"], "tokens": [5]}), DAILY
    ... ).dtypes["tokens"]
    dtype('int64')
    """
    names = [column.name for column in schema.columns]
    if frame.empty:
        raise SchemaError(
            f"table '{schema.table}'",
            got="no row",
            rule="a table needs at least one row",
            next_step="Restore the table.",
        )
    if set(frame.columns) != set(names):
        raise SchemaError(
            f"table '{schema.table}'",
            got=f"columns {list(frame.columns)}",
            rule=f"the columns must be {names}",
            next_step="Rename, add or drop columns.",
        )
    dtypes = {"count": np.dtype("int64"), "number": np.dtype("float64"), "flag": np.dtype(bool)}
    out = {}
    for column in schema.columns:
        parsed = _parse(frame[column.name].reset_index(drop=True), column, schema.table)
        _check_values(parsed, column, schema.table)
        kind = dtypes.get(column.kind)
        out[column.name] = parsed if kind is None else parsed.astype(kind)
    result = pd.DataFrame(out)
    twice = result.duplicated(list(schema.key), keep=False)
    if bool(twice.any()):
        first = result.loc[twice, list(schema.key)].iloc[0].tolist()
        raise DuplicateKey(
            f"table '{schema.table}'",
            got=f"{int(twice.sum())} rows that share a key, first {first}",
            rule=f"{list(schema.key)} must be unique",
            next_step="Drop or add up the repeated rows.",
        )
    return result
