"""Columns of what is known about models beyond their tokens: hosts, and apps by model."""

from offroute.data.schema import Column, Schema

HOSTS = Schema(
    "hosts",
    ("model", "host"),
    (
        Column("model", "label", "-", "OpenRouter permaslug"),
        Column("host", "label", "-", "slug of the company that serves it"),
        Column(
            "home",
            "label",
            "-",
            "where the company has its head office; Unknown where nobody looked it up",
            choices=("China", "US", "Elsewhere", "Unknown"),
        ),
        Column("share", "number", "fraction", "mean daily share of the model's tokens"),
        Column("days", "count", "days", "days on which the model was seen"),
    ),
)

APP_MODELS = Schema(
    "app_models",
    ("app", "model"),
    (
        Column("app", "label", "-", "name of the app"),
        Column("model", "label", "-", "permaslug, or 'all' for the app's total"),
        Column("tokens", "count", "tokens", "prompt + completion in 30 days"),
    ),
)
