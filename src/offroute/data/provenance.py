"""Provenance: the sidecar beside every shipped table, and the check of its hash."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from offroute.exceptions import HashMismatch, SchemaError

VERSIONS = ".versions"
"""Ending of the folder in which a refresh keeps the versions of a folder of tables."""


@dataclass(frozen=True)
class ColumnNote:
    """What one column holds.

    Attributes
    ----------
    name, unit, description : str
        Column name, its unit (``-`` for a label) and its meaning.
    """

    name: str
    unit: str
    description: str


@dataclass(frozen=True)
class Sidecar:
    """Where a table comes from and what it must hash to.

    Attributes
    ----------
    name : str
        Table name; the data are in ``<name>.csv.gz``.
    title : str
        One line on the content.
    source : tuple of str
        The sources, one each.
    citation : str
        Line to cite when the data are used.
    licence : str
        Licence of the data.
    as_of : str
        Date to which the data speak.
    derived : str
        How the table was derived from its sources.
    columns : tuple of ColumnNote
        Columns in order.
    sha256 : str
        Hash of the compressed file.
    rows : int
        Number of rows without the header.
    """

    name: str
    title: str
    source: tuple[str, ...]
    citation: str
    licence: str
    as_of: str
    derived: str
    columns: tuple[ColumnNote, ...]
    sha256: str
    rows: int

    def to_json(self) -> str:
        """Return the sidecar as indented JSON with a final newline."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class About:
    """What a sidecar says beyond the schema of its table.

    Attributes
    ----------
    title, citation, licence, as_of, derived : str
        As in `Sidecar`.
    source : tuple of str
        The sources, one each.
    """

    title: str
    source: tuple[str, ...]
    citation: str
    licence: str
    as_of: str
    derived: str


def sha256_bytes(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of bytes.

    Parameters
    ----------
    content : bytes
        The bytes.

    Examples
    --------
    >>> sha256_bytes(b"")[:12]
    'e3b0c44298fc'
    """
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    """
    return sha256_bytes(path.read_bytes())


def remedy(folder: Path) -> str:
    """Say how a broken folder of tables is made whole.

    Parameters
    ----------
    folder : pathlib.Path
        The folder; one that a refresh wrote is a link to a version beside it.

    Examples
    --------
    >>> remedy(Path("/data/live.versions/000002"))
    'Write the folder anew: offroute refresh /data/live (--offline: from the cache).'
    >>> remedy(Path("/data/mine"))
    'Restore the file, or rebuild table and sidecar together.'
    """
    versions = folder.resolve().parent
    if versions.name.endswith(VERSIONS):
        name = versions.with_name(versions.name.removesuffix(VERSIONS))
        return f"Write the folder anew: offroute refresh {name} (--offline: from the cache)."
    return "Restore the file, or rebuild table and sidecar together."


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar.

    Parameters
    ----------
    path : pathlib.Path
        The JSON file.

    Returns
    -------
    Sidecar
        Its content.

    Raises
    ------
    SchemaError
        If the file is absent, is not JSON, or lacks a field.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        columns = tuple(ColumnNote(**column) for column in raw.pop("columns"))
        return Sidecar(columns=columns, source=tuple(raw.pop("source")), **raw)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SchemaError(
            f"sidecar '{path.name}'",
            got=f"{type(error).__name__}: {error}",
            rule="every table needs a readable JSON sidecar with all fields of Sidecar",
            next_step=remedy(path.parent),
        ) from error


def check_hash(path: Path, sidecar: Sidecar) -> None:
    """Compare a file with the hash in its sidecar.

    Parameters
    ----------
    path : pathlib.Path
        The table.
    sidecar : Sidecar
        What it should hash to.

    Raises
    ------
    HashMismatch
        If the file is absent or differs.
    """
    got = sha256_of(path) if path.is_file() else "no such file"
    if got != sidecar.sha256:
        raise HashMismatch(
            f"table '{path.name}'",
            got=got,
            rule=f"its SHA-256 must be {sidecar.sha256}",
            next_step=remedy(path.parent),
        )
