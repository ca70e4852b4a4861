"""What the servers answer, as typed rows, and the frames made of them.

A field that is not documented is ignored, as version 1 may gain some; one that is missing, of the
wrong type or out of range is refused, and the message says where it stands.
"""

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, TypeVar

import pandas as pd

from offroute._checks import listing, require_extra
from offroute.exceptions import BadResponse, DuplicateKey, InvalidValue, SchemaError

require_extra("client", ("pydantic", "pandera"), name="the client of the published data")

import pandera.pandas as pa  # noqa: E402 - checked just above
from pydantic import (  # noqa: E402 - likewise
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import PydanticCustomError  # noqa: E402 - likewise

LARGEST_TOKENS = 2**53
"""Larger counts lose digits where they become floating-point numbers."""

PER_DAY = 51
"""Most rows of a day: the 50 largest models and the rest."""

_BODY, _VALUE = "json_invalid", "offroute_value"
_RANGES = frozenset(
    {_VALUE, "greater_than_equal", "less_than", "less_than_equal", "finite_number"}
    | {"string_too_short"}
)


def _integer(text: object) -> int:
    """Exact integer of a string of decimal digits; nothing else is one."""
    if not isinstance(text, str):
        raise PydanticCustomError("offroute_type", "must be a string of digits")
    if text.removeprefix("-").isdecimal() and text.isascii():
        if 0 <= int(text) < LARGEST_TOKENS:
            return int(text)
        raise PydanticCustomError(_VALUE, "must be at least 0 and below 2**53")
    raise PydanticCustomError("offroute_type", "must be a string of digits")


def _price(text: object) -> float:
    """USD per million tokens of a price per token as a string; NaN for routers (-1)."""
    try:
        price = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        price = None
    if price is None:
        raise PydanticCustomError("offroute_type", "must be a decimal number as a string")
    if not price.is_finite() or (price < 0 and price != -1):
        raise PydanticCustomError(_VALUE, "must be finite, and not negative or -1")
    return float("nan") if price < 0 else float(price * 10**6)


def _time(text: object) -> datetime:
    """Time in UTC of an ISO 8601 string, a day alone being its first second."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
        # Beyond the years 1 to 9999 once the zone is undone.
        time = time and time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        time = None
    if time is None:
        raise PydanticCustomError("offroute_type", "must be an ISO 8601 time as a string")
    return time


Tokens = Annotated[int, BeforeValidator(_integer)]
Price = Annotated[float, BeforeValidator(_price)]
Time = Annotated[datetime, BeforeValidator(_time)]
Count = Annotated[int, Field(ge=0)]
Second = Annotated[int, Field(ge=0, lt=2**32)]
Name = Annotated[str, Field(min_length=1)]
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Row(BaseModel):
    """Strict about what is documented; indifferent to what is added."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, protected_namespaces=())


class WindowMeta(Row):
    """Version, time and window of a daily data set."""

    as_of: Time
    start_date: date
    end_date: date
    version: Literal["v1"]


class SessionMeta(Row):
    """Version, time and window of the session costs; the window is null before any snapshot."""

    as_of: Time
    window_days: int | None
    window_end_date: date | None
    version: Literal["v1"]


class RankingsRow(Row):
    """Tokens of one model on one day."""

    date: date
    model_permaslug: Name
    total_tokens: Tokens


class AppRow(Row):
    """Tokens and requests of one app in a window."""

    app_id: int
    app_name: Name
    rank: Annotated[int, Field(ge=1)]
    total_requests: Count
    total_tokens: Tokens


class SessionCostRow(Row):
    """Median cost of a session by harness, model and length."""

    app_name: Name
    app_slug: Name
    median_session_cost_usd: Money
    model_permaslug: Name
    turn_range: Name


class TaskRow(Row):
    """Shares of one kind of task in classified traffic."""

    tag: Name
    display_name: str
    macro_category: Name
    usage_share: Fraction
    token_share: Fraction


class TaskData(Row):
    """Shares of all kinds of task in a window."""

    as_of: Time
    window_days: Annotated[int, Field(ge=1)]
    classifications: list[TaskRow]


class Pricing(Row):
    """List prices, USD per million tokens."""

    prompt: Price
    completion: Price
    input_cache_read: Price | None = None


class ModelRow(Row):
    """One model of the catalogue."""

    id: Name
    canonical_slug: Name
    created: Second
    pricing: Pricing
    hugging_face_id: str | None = None
    alias_target: object = None


class Rankings(Row):
    """Answer of ``datasets/rankings-daily``."""

    data: list[RankingsRow]
    meta: WindowMeta


class Apps(Row):
    """Answer of ``datasets/app-rankings``."""

    data: list[AppRow]
    meta: WindowMeta


class SessionCosts(Row):
    """Answer of ``datasets/session-cost``."""

    data: list[SessionCostRow]
    meta: SessionMeta


class Tasks(Row):
    """Answer of ``classifications/task``."""

    data: TaskData


class Catalogue(Row):
    """Answer of ``models``."""

    data: list[ModelRow]
    total_count: int | None = None


Answer = TypeVar("Answer", bound=Row)


def parse(kind: type[Answer], body: bytes, *, name: str) -> Answer:
    """Return a typed answer, or refuse it.

    Parameters
    ----------
    kind : type
        One of the answers of this module.
    body : bytes
        JSON.
    name : str
        Server and endpoint, for a message.

    Returns
    -------
    object of type `kind`
        The answer.

    Raises
    ------
    BadResponse
        If the body is not JSON.
    SchemaError
        If a field is missing or of the wrong type.
    InvalidValue
        If a value is out of its range.

    Examples
    --------
    >>> body = b'{"data": {"as_of": "2026-06-17", "window_days": 7, "classifications": []}}'
    >>> parse(Tasks, body, name="tasks").data.window_days
    7
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=True, include_context=False)[0]
        wrong = error.error_count()
    if first["type"] == _BODY:
        start = " ".join(body[:60].decode("utf-8", "replace").split())
        raise BadResponse(
            name,
            got=f"{first['msg'].lower()}, beginning '{start}'",
            rule="the answer must be JSON",
            next_step="Run again; if it stays, check the address.",
        )
    place = ".".join(str(part) for part in first["loc"])
    shown = repr(first["input"])[:80] if first["type"] != "missing" else "no such field"
    error_type = InvalidValue if first["type"] in _RANGES else SchemaError
    raise error_type(
        f"{name}, field '{place}'",
        got=shown + (f" (and {wrong - 1} more)" if wrong > 1 else ""),
        rule=first["msg"][0].lower() + first["msg"][1:],
        next_step="Nothing was stored. If it stays, the server's data set has changed: "
        "update offroute.",
    )


RANKINGS_FRAME = pa.DataFrameSchema(
    {
        "date": pa.Column("datetime64[us]"),
        "model": pa.Column(str, pa.Check.str_length(min_value=1)),
        "tokens": pa.Column("int64", pa.Check.in_range(0, LARGEST_TOKENS - 1)),
    },
    unique=["date", "model"],
    strict=True,
)
"""Frame of daily tokens: one row per day and model."""


def check_rows(frame: pd.DataFrame, rules: pa.DataFrameSchema, *, name: str) -> pd.DataFrame:
    """Return a frame that obeys its rules, or refuse it.

    Parameters
    ----------
    frame : pandas.DataFrame
        The frame.
    rules : pandera.DataFrameSchema
        Such as `RANKINGS_FRAME`.
    name : str
        Server and endpoint, for a message.

    Raises
    ------
    DuplicateKey
        If two rows share the key.
    InvalidValue
        If a value is out of its range.
    """
    key = list(rules.unique or [])
    twice = frame.duplicated(key)
    if bool(twice.any()):
        row = frame.loc[twice, key].iloc[0]
        raise DuplicateKey(
            name,
            got=f"{int(twice.sum())} repeated, first {listing(row.astype(str))}",
            rule=f"must have one row per {listing(key)}",
            next_step="Nothing was stored. Run again; if it stays, report it to the server.",
        )
    if frame.empty:
        return frame
    try:
        return rules.validate(frame)
    except pa.errors.SchemaError as error:
        raise InvalidValue(
            name,
            got=" ".join(str(error).split())[:200],
            rule="the rows must obey the rules of their frame",
            next_step="Nothing was stored. If it stays, update offroute.",
        ) from None


def rankings_frame(answer: Rankings, *, name: str) -> pd.DataFrame:
    """Return the rows of an answer, checked, with exact integers.

    Parameters
    ----------
    answer : Rankings
        The answer.
    name : str
        Server and endpoint, for a message.

    Returns
    -------
    pandas.DataFrame
        ``date``, ``model``, ``tokens``.

    Raises
    ------
    DuplicateKey
        If a model occurs twice on a day.
    InvalidValue
        If a day lies outside the window of the answer, has not ended by the server's own time, or
        has more than 51 rows.
    """
    frame = pd.DataFrame(
        {
            "date": pd.to_datetime([row.date for row in answer.data]).astype("datetime64[us]"),
            "model": [row.model_permaslug for row in answer.data],
            "tokens": pd.array([row.total_tokens for row in answer.data], dtype="int64"),
        }
    ).astype({"model": object, "tokens": "int64"})
    check_rows(frame, RANKINGS_FRAME, name=name)
    meta = answer.meta
    last = min(pd.Timestamp(meta.end_date), pd.Timestamp(meta.as_of.date()) - pd.Timedelta(days=1))
    outside = ~frame["date"].between(pd.Timestamp(meta.start_date), last)
    per_day = frame.groupby("date").size()
    problem = ""
    if bool(outside.any()):
        problem = f"a row of {frame.loc[outside, 'date'].iloc[0]:%Y-%m-%d}"
    elif len(per_day) and per_day.max() > PER_DAY:
        problem = f"{per_day.max()} rows on {per_day.idxmax():%Y-%m-%d}"
    if problem:
        raise InvalidValue(
            name,
            got=problem,
            rule=f"days must lie from {meta.start_date} to {last:%Y-%m-%d}, have ended when the "
            f"answer was made ({meta.as_of:%Y-%m-%dT%H:%MZ}), and have at most {PER_DAY} rows",
            next_step="Nothing was stored. Run again; if it stays, update offroute.",
        )
    return frame
