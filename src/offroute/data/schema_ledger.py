"""Columns of the proxy ledger and of the crosswalk between populations."""

from offroute.data.schema import Column, Schema

LEDGER = Schema(
    "ledger",
    ("id",),
    (
        Column("id", "label", "-", "key of the row"),
        Column("entity", "label", "-", "who the figure is about"),
        Column("published", "label", "-", "date of publication, as precise as known"),
        Column(
            "period_start", "label", "-", "start of the period, as precise as known", nullable=True
        ),
        Column("period_end", "label", "-", "end of the period, as precise as known", nullable=True),
        Column("measured_on", "date", "day", "day to which the benchmark is put", nullable=True),
        Column(
            "quantity",
            "label",
            "-",
            "kind of figure",
            choices=("tokens", "share", "revenue", "ratio", "price", "users", "downloads"),
        ),
        Column(
            "value",
            "number",
            "as in unit",
            "the figure; negative elasticities in 'signed'",
            nullable=True,
        ),
        Column("low", "number", "as in unit", "lower end where given", nullable=True),
        Column("high", "number", "as in unit", "upper end where given", nullable=True),
        Column("unit", "label", "-", "unit in words"),
        Column("scope", "label", "-", "what the figure covers"),
        Column("channel", "label", "-", "through which channel", nullable=True),
        Column("population", "label", "-", "population that the row speaks of itself"),
        Column(
            "use",
            "label",
            "-",
            "likelihood: a benchmark of the model; context: shown only",
            choices=("likelihood", "context"),
        ),
        Column("family", "label", "-", "source whose rows share a bias", nullable=True),
        Column("scope_class", "label", "-", "row of the crosswalk", nullable=True),
        Column(
            "form",
            "label",
            "-",
            "how the figure enters the model",
            nullable=True,
            choices=("tokens", "revenue", "share-tokens", "share-spend"),
        ),
        Column(
            "selector", "label", "-", "cells of the market that the figure covers", nullable=True
        ),
        Column("sd", "number", "log", "error of this row alone", nullable=True),
        Column(
            "side",
            "label",
            "-",
            "exact, over (just above the value), floor or ceiling",
            nullable=True,
            choices=("exact", "over", "floor", "ceiling"),
        ),
        Column(
            "confidence",
            "label",
            "-",
            "A primary, B secondary, C estimate, M memory",
            choices=("A", "B", "C", "M"),
        ),
        Column("reason", "label", "-", "why it is used as it is, or why it is not"),
        Column("source_title", "label", "-", "source", nullable=True),
        Column("source_url", "label", "-", "address", nullable=True),
        Column("note", "label", "-", "what was seen, and where", nullable=True),
    ),
)

CROSSWALK = Schema(
    "crosswalk",
    ("scope_class", "population"),
    (
        Column("scope_class", "label", "-", "kind of scope of ledger rows"),
        Column("population", "label", "-", "population that the row is to inform"),
        Column("factor", "number", "ratio", "median of figure over the population's volume"),
        Column("sd", "number", "log", "error of the factor, shared by the rows of a family"),
        Column("iota", "number", "fraction", "part of the panel's own tokens inside the figure"),
        Column(
            "side",
            "label",
            "-",
            "floor: the figure is a part of the population's volume",
            choices=("exact", "floor"),
        ),
        Column("reason", "label", "-", "where the factor comes from"),
    ),
)
