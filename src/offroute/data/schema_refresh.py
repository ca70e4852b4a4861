"""Columns of the tables that only a refresh writes."""

from offroute.data.schema import Column, Schema

RESTATED = Schema(
    "restated",
    # Two answers of one second may differ.
    ("source", "date", "name", "quantity", "old_as_of", "new_as_of", "old", "new"),
    (
        Column("source", "label", "-", "server", choices=("openrouter", "vercel")),
        Column("date", "date", "day", "day that the value is about"),
        Column("name", "label", "-", "permaslug, or the second gateway's lab id"),
        Column(
            "quantity",
            "label",
            "-",
            "tokens (counts); or the metric of a share",
            choices=("tokens", "token share", "spend share", "request share"),
        ),
        Column("old", "number", "tokens or fraction", "value before; empty: no row", nullable=True),
        Column("old_as_of", "label", "-", "time of the answer that had it"),
        Column("new", "number", "tokens or fraction", "value after; empty: no row", nullable=True),
        Column("new_as_of", "label", "-", "time of the answer that changed it"),
    ),
)

SESSION_COST = Schema(
    "session_cost",
    ("app", "model", "turn_range"),
    (
        Column("window_end", "date", "day", "last day of the sample", nullable=True),
        Column("app", "label", "-", "harness"),
        Column("model", "label", "-", "OpenRouter permaslug with its variant"),
        Column("turn_range", "label", "-", "length of the session in turns"),
        Column("median_usd", "number", "USD per session", "median cost of a session"),
    ),
)

TASKS = Schema(
    "tasks",
    ("as_of", "tag"),
    (
        Column("as_of", "date", "day", "day of the classification"),
        Column("window_days", "count", "days", "length of the window"),
        Column("tag", "label", "-", "kind of task"),
        Column("category", "label", "-", "code, data, agent or general"),
        Column("usage_share", "number", "fraction", "share of the classified requests"),
        Column("token_share", "number", "fraction", "share of the classified tokens"),
    ),
)

TABLES = (RESTATED, SESSION_COST, TASKS)
