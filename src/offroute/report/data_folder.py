"""Write a folder of tables so that a reader sees the old one whole or the new one whole.

The folder is a link to a version beside it, ``<name>.versions/<number>``. A new version is written
in full and flushed to disk under another name; then one rename moves the link. A process that dies
before it leaves the old tables as they were.
"""

import gzip
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from offroute.data.provenance import VERSIONS, About, Sidecar, sha256_bytes
from offroute.data.schema import Schema, check_frame
from offroute.exceptions import UsageError

try:
    import fcntl
except ImportError:  # pragma: no cover - no such locks on this system
    fcntl = None  # type: ignore[assignment]  # stands for a module

KEPT = 2
"""Versions that stay: the current one, and the one before for readers that are still in it."""

_TEMPORARY = ".new-"


def pack_table(
    frame: pd.DataFrame, schema: Schema, about: About
) -> tuple[pd.DataFrame, bytes, Sidecar]:
    """Check and sort a table; return it with its compressed CSV and its sidecar.

    Parameters
    ----------
    frame : pandas.DataFrame
        Its rows; other columns than those of the schema are left out.
    schema : Schema
        Its columns and key.
    about : About
        What its sidecar says.

    Returns
    -------
    table : pandas.DataFrame
        Checked, sorted by its key.
    packed : bytes
        CSV, compressed; the same for the same table.
    sidecar : Sidecar
        With hash and number of rows.
    """
    names = [column.name for column in schema.columns]
    table = check_frame(frame.loc[:, names].sort_values(list(schema.key)), schema)
    text = table.to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%d")
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as packed:
        packed.write(text.encode())
    content = buffer.getvalue()
    sidecar = Sidecar(
        name=schema.table,
        title=about.title,
        source=about.source,
        citation=about.citation,
        licence=about.licence,
        as_of=about.as_of,
        derived=about.derived,
        columns=tuple(column.note() for column in schema.columns),
        sha256=sha256_bytes(content),
        rows=len(table),
    )
    return table, content, sidecar


def _may_be_written(folder: Path) -> bool:
    """Look once: between two looks another refresh may put its link there."""
    try:
        return Path(os.readlink(folder)).parent.name == _versions(folder).name
    except FileNotFoundError:
        return True
    except OSError:  # It is there and no link.
        return folder.is_dir() and not any(folder.iterdir())


def check_folder(folder: Path) -> Path:
    """Return a folder that may be written: absent, empty, or one that was written before.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.

    Raises
    ------
    UsageError
        If it is something else, or its parent does not exist.
    """
    if not folder.parent.is_dir() or not _may_be_written(folder):
        raise UsageError(
            f"folder '{folder}'",
            got="a parent that does not exist"
            if not folder.parent.is_dir()
            else "a file, or a folder with content that is no refresh of offroute",
            rule="must be new, empty or written by an earlier refresh, in a folder that exists",
            next_step="Choose another name; --data names tables to start from.",
        )
    return folder


def _versions(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{VERSIONS}")


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files as a new version of a folder and make it the current one.

    Parameters
    ----------
    folder : pathlib.Path
        As `check_folder` accepts it.
    files : mapping of str to bytes
        Content by file name.

    Returns
    -------
    pathlib.Path
        The version.

    Raises
    ------
    UsageError
        If the folder may not or cannot be written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     _ = write_folder(Path(parent) / "data", {"usage.json": b"{}"})
    ...     _ = write_folder(Path(parent) / "data", {"usage.json": b"[]"})
    ...     (Path(parent) / "data" / "usage.json").read_text()
    '[]'
    """
    check_folder(folder)
    versions = _versions(folder)
    try:
        versions.mkdir(exist_ok=True)
        with _alone(versions):
            return _switch(folder, versions, files)
    except OSError as error:
        raise UsageError(
            f"folder '{folder}'",
            got=f"{type(error).__name__}: {error.strerror}",
            rule="must be writable, with room for the tables",
            next_step="Make room or choose another name; the old tables are as they were.",
        ) from error


@contextmanager
def _alone(versions: Path) -> Iterator[None]:
    """Wait until no other process writes a version; a lock ends with its process."""
    if fcntl is None:
        yield
        return
    folder = os.open(versions, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _switch(folder: Path, versions: Path, files: Mapping[str, bytes]) -> Path:
    """Write a version and move the link to it."""
    fresh = Path(tempfile.mkdtemp(dir=versions, prefix=_TEMPORARY))
    for name, content in files.items():
        with (fresh / name).open("xb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
    fresh.chmod(0o755)
    numbers = [int(p.name) for p in versions.iterdir() if p.name.isdecimal()]
    version = versions / f"{max(numbers, default=0) + 1:06d}"
    fresh.rename(version)
    if folder.is_dir() and not folder.is_symlink():
        folder.rmdir()
    link = versions / f"{_TEMPORARY}link-{version.name}"
    link.unlink(missing_ok=True)
    # Relative to the folder's own place, so that both can be moved together.
    link.symlink_to(Path(versions.name) / version.name, target_is_directory=True)
    link.replace(folder)
    _clean(versions, version)
    return version


def _clean(versions: Path, current: Path) -> None:
    """Remove older versions and what interrupted runs left."""
    old = sorted(p for p in versions.iterdir() if p.name.isdecimal() and p.name < current.name)
    rest = [p for p in versions.iterdir() if p.name.startswith(_TEMPORARY)]
    for path in old[: len(old) - (KEPT - 1)] + rest:
        if path.is_symlink():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=True)
