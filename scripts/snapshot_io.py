"""Write a snapshot table and its sidecar so that a rerun gives the same bytes."""

from pathlib import Path

import pandas as pd

from offroute.data.provenance import About
from offroute.data.schema import Schema
from offroute.report.data_folder import pack_table

__all__ = ["OPENROUTER_CITATION", "About", "write_table"]

OPENROUTER_CITATION = "Source: OpenRouter (openrouter.ai/rankings), as of {as_of}."


def write_table(frame: pd.DataFrame, schema: Schema, about: About, folder: Path) -> pd.DataFrame:
    """Check, sort by key, write csv.gz and JSON; return the checked frame."""
    table, content, sidecar = pack_table(frame, schema, about)
    (folder / f"{schema.table}.csv.gz").write_bytes(content)
    (folder / f"{schema.table}.json").write_text(sidecar.to_json(), encoding="utf-8")
    return table
