"""Exports of gateways and tracers read by name: their columns in ours.

`read_log` knows three: traces with the OpenTelemetry GenAI attributes, LiteLLM's spend log and the
CSV of OpenRouter's activity page. Ours are ``model``, ``provider``, ``account``, ``prompt_tokens``,
``completion_tokens``, ``tokens``, ``dollars``, ``day`` and ``week`` (its Monday), and ``lab`` and
``origin`` by the rules of the model register.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from offroute._checks import check_choice, listing
from offroute.data.register import AUTHORS, author_of
from offroute.data.tables import fetch, import_ibis, quiet, read_table
from offroute.exceptions import InvalidValue, SchemaError, UsageError

if TYPE_CHECKING:
    import ibis.expr.types as ir

NOT_GIVEN = "(missing)"
"""Level of a row whose export leaves a column empty."""

UNCLASSIFIED = "(unclassified)"
"""Lab and origin of a model that no rule knows."""


@dataclass(frozen=True)
class LogFormat:
    """Where a format keeps what offroute reads.

    Attributes
    ----------
    source : str
        Where the columns are documented.
    columns : mapping of str to tuple of str
        Our column: theirs, of which the first that is not empty counts.
    required : tuple of str
        Ours that must be there.
    calls : tuple of (str, tuple of str), or None
        Column and values that mark model calls; other rows (tools, agents that repeat the tokens
        of their calls) are left out and counted.
    """

    source: str
    columns: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...] = ("model", "prompt_tokens", "completion_tokens")
    calls: tuple[str, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class LogTable:
    """An export with our columns.

    Attributes
    ----------
    table : ibis table
        For `offroute.collapse`; no row has been read yet.
    left_out : mapping of str to int
        Rows that are no model calls, by what they are.
    unclassified : tuple of str
        Models whose lab no rule knows; name their origin yourself or report them as they are.
    """

    table: "ir.Table"
    left_out: Mapping[str, int] = field(default_factory=dict)
    unclassified: tuple[str, ...] = ()


FORMATS: dict[str, LogFormat] = {
    "otel": LogFormat(
        "https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/",
        {
            "model": ("gen_ai.response.model", "gen_ai.request.model"),
            "provider": ("gen_ai.provider.name", "gen_ai.system"),
            "account": ("user.id", "enduser.id", "service.name"),
            "prompt_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
            "completion_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
            "time": ("startTimeUnixNano", "start_time", "Timestamp", "timestamp"),
        },
        calls=("gen_ai.operation.name", ("chat", "generate_content", "text_completion")),
    ),
    "litellm": LogFormat(
        "https://docs.litellm.ai/docs/proxy/cost_tracking",
        {
            "model": ("model",),
            "provider": ("custom_llm_provider",),
            "account": ("end_user", "user", "api_key"),
            "prompt_tokens": ("prompt_tokens",),
            "completion_tokens": ("completion_tokens",),
            "dollars": ("spend",),
            "time": ("startTime",),
        },
    ),
    "openrouter": LogFormat(
        "https://openrouter.ai/docs/guides/guides/activity-export",
        {
            "model": ("model_permaslug",),
            "provider": ("provider_name",),
            "account": ("user", "api_key_name"),
            "prompt_tokens": ("tokens_prompt",),
            "completion_tokens": ("tokens_completion",),
            "dollars": ("cost_total",),
            "time": ("created_at",),
        },
    ),
}

# Names without an author, as providers write them; a rule must leave no doubt about the lab.
_FAMILIES = (
    ("anthropic", "claude"),
    ("openai", r"gpt-?\d|gpt-oss|chatgpt|o[134](?:-mini|-pro|-preview)?(?=$|-\d|@)|codex-mini"),
    ("google", r"gemini|gemma"),
    ("deepseek", "deepseek"),
    ("qwen", "qwen|qwq|qvq"),
    ("z-ai", r"glm-?\d|chatglm"),
    ("moonshotai", "kimi|moonshot-v"),
    ("minimax", r"minimax|abab\d"),
    ("bytedance", r"doubao|seed-\d|seed-oss"),
    ("baidu", r"ernie-\d"),
    ("tencent", "hunyuan"),
    ("xiaomi", r"mimo-v\d"),
    ("stepfun", r"step-\d"),
    ("x-ai", r"grok-\d|grok-code"),
    ("meta-llama", r"llama-?\d"),
    ("mistralai", "mistral|mixtral|ministral|codestral|devstral|magistral|pixtral"),
    ("cohere", "command-[ar]|c4ai-aya"),
    ("amazon", "nova-(?:micro|lite|pro|premier)|titan-(?:text|embed)"),
    ("microsoft", r"phi-\d"),
    ("nvidia", "nemotron"),
    ("ai21", "jamba"),
    ("perplexity", r"sonar(?:-pro|-reasoning)?(?=$)"),
    ("ibm-granite", r"granite-\d"),
)
_RULES = tuple((author, re.compile(rf"(?:^|[/.:_-])(?:{names})")) for author, names in _FAMILIES)

# Prefixes that also stand before models of other labs: clouds, gateways, a wire format.
_RESELLERS = frozenset(
    {"openrouter", "stealth", "amazon", "google", "microsoft", "nvidia", "openai", "anthropic"}
)

_ATTRIBUTES = (
    'attributes STRUCT("key" VARCHAR, "value" STRUCT(stringValue VARCHAR, intValue VARCHAR))[]'
)
_OTLP = (
    f"STRUCT(resource STRUCT({_ATTRIBUTES}), scopeSpans STRUCT(spans STRUCT("
    f"startTimeUnixNano VARCHAR, {_ATTRIBUTES})[])[])[]"
)


def read_log(
    path: str | Path | Sequence[str | Path],
    *,
    format: str,
    columns: Mapping[str, str] | None = None,
) -> LogTable:
    r"""Read an export by the name of its format, with our columns.

    Parameters
    ----------
    path : path or sequence of paths
        CSV, Parquet or JSON lines; ``otel`` also takes the OTLP JSON of the collector's file
        exporter.
    format : {"otel", "litellm", "openrouter"}
        Whose export it is; `FORMATS` has the columns.
    columns : mapping of str to str, optional
        Our column to the one that has it, where the export differs: ``{"account": "team_id"}``.

    Returns
    -------
    LogTable
        Ready for `offroute.collapse`.

    Raises
    ------
    UsageError
        If the format is unknown, or `columns` names a column that offroute does not have.
    SchemaError
        If a required column is missing.
    InvalidValue
        If a number of tokens is negative.

    Examples
    --------
    >>> import tempfile
    >>> from offroute.data.cells import collapse
    >>> head = "model,prompt_tokens,completion_tokens,startTime"
    >>> text = f"{head}\ngpt-4o,10,5,2026-06-03 10:00:00\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "spend.csv"
    ...     _ = path.write_text(text)
    ...     log = read_log(path, format="litellm").table
    ...     cells = collapse(log, by=["lab", "origin", "week"], volume="tokens")
    >>> cells.frame[["lab", "origin", "week"]].iloc[0].tolist()
    ['OpenAI', 'US', '2026-06-01']
    """
    kind = FORMATS[check_choice(format, FORMATS, name="format")]
    wanted = dict(kind.columns)
    for ours, theirs in (columns or {}).items():
        known = [*FORMATS["litellm"].columns]
        check_choice(ours, known, name="columns")
        wanted[ours] = (theirs,)
    with quiet():
        source = _read(path)
        _check_present(source, format, kind, wanted, columns or {})
        source, left_out = _calls(source, kind)
        table = _renamed(source, wanted)
        rule = author_of if format == "openrouter" else author_by_name
        return _classified(table, left_out, rule)


def _calls(source: "ir.Table", kind: LogFormat) -> tuple["ir.Table", dict[str, int]]:
    """Keep the model calls, and count the other rows."""
    if kind.calls is None or kind.calls[0] not in source.columns:
        return source, {}
    name, calls = kind.calls
    operation = source[name].fill_null(NOT_GIVEN)
    other = source.filter(~operation.isin(calls)).group_by(name)
    found = fetch(other.aggregate(n=lambda t: t.count()))
    left_out = {
        NOT_GIVEN if pd.isna(what) else str(what): int(n)
        for what, n in zip(found[name], found["n"], strict=True)
    }
    return source.filter(operation.isin(calls)), left_out


def author_by_name(model: str) -> str | None:
    """Return the register's author of a model as any gateway writes it; None when no rule knows.

    Parameters
    ----------
    model : str
        Model name, with or without provider and author.

    Examples
    --------
    >>> author_by_name("bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0")
    'anthropic'
    >>> author_by_name("openrouter/z-ai/glm-4.6"), author_by_name("my-own-model")
    ('z-ai', None)
    >>> author_by_name("openai/deepseek-chat"), author_by_name("openai/house-model")
    ('deepseek', None)
    """
    name = model.lower()
    *path, last = name.split("/")
    for part in reversed(path):
        if part in AUTHORS and part not in _RESELLERS:
            return part
    return next((author for author, rule in _RULES if rule.search(last)), None)


def _check_present(
    source: "ir.Table",
    name: str,
    kind: LogFormat,
    wanted: Mapping[str, tuple[str, ...]],
    asked: Mapping[str, str],
) -> None:
    needed = [*kind.required, *asked]
    absent = {k: wanted[k] for k in needed if not set(wanted.get(k, ())) & set(source.columns)}
    if absent:
        words = [f"{ours} ({' or '.join(theirs)})" for ours, theirs in absent.items()]
        first = next(iter(absent))
        raise SchemaError(
            f"{name} log",
            got=f"columns {listing(source.columns)}",
            rule=f"must have {', '.join(words)}",
            next_step=f'Say which column it is: columns={{"{first}": "..."}}, or on the command '
            f"line --map {first}=...",
        )


def _renamed(source: "ir.Table", wanted: Mapping[str, tuple[str, ...]]) -> "ir.Table":
    ibis = import_ibis()

    def text(ours: str) -> Any:  # noqa: ANN401 - an ibis column
        there = [c for c in wanted.get(ours, ()) if c in source.columns]
        parts = [source[c].cast("string").nullif("") for c in there]
        return ibis.coalesce(*parts, ibis.literal(NOT_GIVEN))

    def number(ours: str) -> Any:  # noqa: ANN401 - an ibis column
        there = [c for c in wanted.get(ours, ()) if c in source.columns]
        return ibis.coalesce(*(source[c].cast("float64") for c in there)) if there else None

    prompt, completion = number("prompt_tokens"), number("completion_tokens")
    out = {name: text(name) for name in ("model", "provider", "account")}
    out |= {"prompt_tokens": prompt, "completion_tokens": completion, "tokens": prompt + completion}
    dollars = number("dollars")
    if dollars is not None:
        out["dollars"] = dollars
    moment = _moment(source, wanted.get("time", ()))
    if moment is not None:
        out["day"] = moment.strftime("%Y-%m-%d")
        out["week"] = moment.truncate("W").strftime("%Y-%m-%d")
    return source.select(**out)


def _moment(source: "ir.Table", names: Sequence[str]) -> Any:  # noqa: ANN401 - an ibis column
    """Start of the call as a time, in UTC where the export says so."""
    there = [c for c in names if c in source.columns]
    if not there:
        return None
    column: Any = source[there[0]]
    if there[0] == "startTimeUnixNano":
        return (column.cast("int64") // 1_000_000_000).as_timestamp("s")
    return column.cast("timestamp")


def _classified(
    table: "ir.Table", left_out: Mapping[str, int], rule: Callable[[str], str | None]
) -> LogTable:
    """Join lab and origin, found once per model."""
    parts = ("prompt_tokens", "completion_tokens")
    found = fetch(table.group_by("model").aggregate(**{name: table[name].min() for name in parts}))
    models = found["model"].tolist()
    if not models:
        raise UsageError(
            "log", got="no model calls", rule="a log needs rows", next_step="Check the export."
        )
    # Their sum can hide one.
    below = [(m, name) for name in parts for m in found.loc[found[name] < 0, "model"]]
    if below:
        raise InvalidValue(
            below[0][1],
            got=f"a negative value, model {below[0][0]}",
            rule="tokens must not be negative",
            next_step="Drop or repair those rows.",
        )
    known = [AUTHORS.get(rule(m) or "", (UNCLASSIFIED, UNCLASSIFIED)) for m in models]
    labs, origins = zip(*known, strict=True)
    names = read_table(pd.DataFrame({"model": models, "lab": labs, "origin": origins}))
    unclassified = sorted(m for m, lab in zip(models, labs, strict=True) if lab == UNCLASSIFIED)
    return LogTable(table.inner_join(names, "model"), dict(left_out), tuple(unclassified))


def _read(path: str | Path | Sequence[str | Path]) -> "ir.Table":
    """Read an export; OTLP JSON becomes one row per span with the attributes that we use."""
    table = read_table(path)
    if "resourceSpans" not in table.columns:
        return table
    paths = [path] if isinstance(path, str | Path) else list(path)
    otlp = read_table(paths, json_columns={"resourceSpans": _OTLP})
    resource = otlp.select(resource=otlp["resourceSpans"].unnest())
    scope = resource.select(
        of=resource["resource"]["resource"]["attributes"],
        scope=resource["resource"]["scopeSpans"].unnest(),
    )
    span = scope.select("of", span=scope["scope"]["spans"].unnest())
    names = ["gen_ai.operation.name", *FORMATS["otel"].columns["model"]]
    names += [c for cs in FORMATS["otel"].columns.values() for c in cs if c.startswith("gen_ai.")]
    names += ["user.id", "enduser.id"]
    attributes = span["span"]["attributes"]
    picked = {name: _attribute(attributes, name) for name in dict.fromkeys(names)}
    picked["service.name"] = _attribute(span["of"], "service.name")
    return span.select(startTimeUnixNano=span["span"]["startTimeUnixNano"], **picked)


def _attribute(attributes: Any, name: str) -> Any:  # noqa: ANN401 - ibis columns
    ibis = import_ibis()

    value = attributes.filter(lambda a: a["key"] == name)[0]["value"]
    return ibis.coalesce(value["stringValue"], value["intValue"])
