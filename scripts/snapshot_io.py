"""Write a snapshot table and its sidecar so that a rerun gives the same bytes."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from offroute.data.provenance import Sidecar, sha256_of
from offroute.data.schema import Schema, check_frame

OPENROUTER_CITATION = "Source: OpenRouter (openrouter.ai/rankings), as of {as_of}."


@dataclass(frozen=True)
class About:
    """What the sidecar says beyond the schema."""

    title: str
    source: tuple[str, ...]
    citation: str
    licence: str
    as_of: str
    derived: str


def write_table(frame: pd.DataFrame, schema: Schema, about: About, folder: Path) -> pd.DataFrame:
    """Check, sort by key, write csv.gz and JSON; return the checked frame."""
    names = [column.name for column in schema.columns]
    table = check_frame(frame.loc[:, names].sort_values(list(schema.key)), schema)
    text = table.to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%d")
    path = folder / f"{schema.table}.csv.gz"
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(text.encode())
    sidecar = Sidecar(
        name=schema.table,
        title=about.title,
        source=about.source,
        citation=about.citation,
        licence=about.licence,
        as_of=about.as_of,
        derived=about.derived,
        columns=tuple(column.note() for column in schema.columns),
        sha256=sha256_of(path),
        rows=len(table),
    )
    (folder / f"{schema.table}.json").write_text(sidecar.to_json(), encoding="utf-8")
    return table
