"""Write files so that a failure leaves nothing behind."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from errno import EISDIR
from pathlib import Path

import pandas as pd

from offroute.exceptions import UsageError


def write_atomic(files: Mapping[Path, str | bytes]) -> None:
    """Write files all together or not at all.

    Each is written under a temporary name beside its own; only when all are written are they
    renamed.

    Parameters
    ----------
    files : mapping of pathlib.Path to str or bytes
        Content by file; text is written as UTF-8.

    Raises
    ------
    UsageError
        If a folder does not exist or cannot be written, or a name is that of a folder.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomic({Path(folder) / "shares.csv": "class,share"})
    ...     sorted(p.name for p in Path(folder).iterdir())
    ['shares.csv']
    """
    pending: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            if path.is_dir():
                raise IsADirectoryError(EISDIR, "is a folder")
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as handle:
                pending[Path(handle.name)] = path
                handle.write(content.encode() if isinstance(content, str) else content)
        for temporary, path in pending.items():
            # A temporary file is private; the result is to be readable like any report.
            temporary.chmod(0o644)
            temporary.replace(path)
    except OSError as error:
        for temporary in pending:
            temporary.unlink(missing_ok=True)
        raise UsageError(
            f"file '{path}'",
            got=f"{type(error).__name__}: {error.strerror}",
            rule="must be a file in a folder that exists and can be written",
            next_step="Create the folder or choose another name.",
        ) from error


def check_outputs(paths: Iterable[Path]) -> None:
    """Refuse files that cannot be written, before any work is done for them.

    Parameters
    ----------
    paths : iterable of pathlib.Path
        Files to be written by one call.

    Raises
    ------
    UsageError
        If two are the same file, a folder does not exist, or a name is that of a folder.

    Examples
    --------
    >>> check_outputs([Path("shares.csv"), Path("shares.json")])
    """
    seen: set[Path] = set()
    for path in paths:
        full = path.resolve()
        for wrong, rule in (
            (full in seen, "each output needs a file of its own"),
            (path.is_dir(), "must be a file, not a folder"),
            (not path.parent.is_dir(), "its folder must exist"),
        ):
            if wrong:
                raise UsageError(
                    f"file '{path}'",
                    got=f"'{path}'",
                    rule=rule,
                    next_step="Create the folder or choose another name.",
                )
        seen.add(full)


def frame_to_csv(frame: pd.DataFrame) -> str:
    r"""Return a frame as CSV text: UTF-8, comma, no index, days as ISO dates.

    Parameters
    ----------
    frame : pandas.DataFrame
        Tidy frame.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> frame_to_csv(pd.DataFrame({"class": ["China"], "share": [0.5]}))
    'class,share\nChina,0.5\n'
    """
    return frame.to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%d")


def frame_to_json(frame: pd.DataFrame) -> str:
    r"""Return a frame as a JSON list of records with a final newline.

    Parameters
    ----------
    frame : pandas.DataFrame
        Tidy frame.

    Returns
    -------
    str
        The text; missing and infinite values are null.

    Examples
    --------
    >>> frame_to_json(pd.DataFrame({"class": ["China"], "share": [float("inf")]}))
    '[\n {\n  "class": "China",\n  "share": null\n }\n]\n'
    """
    finite = frame.replace([float("inf"), -float("inf")], float("nan"))
    return json.dumps(frame_to_records(finite), indent=1) + "\n"


def frame_to_records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return a frame as records for JSON: days as ISO dates, missing values as None.

    Parameters
    ----------
    frame : pandas.DataFrame
        Tidy frame.

    Returns
    -------
    list of dict
        One record per row.

    Examples
    --------
    >>> frame_to_records(pd.DataFrame({"week": pd.to_datetime(["2026-06-01"]), "low": [None]}))
    [{'week': '2026-06-01', 'low': None}]
    """
    out = frame.copy()
    for name in out.columns[[str(kind).startswith("datetime") for kind in out.dtypes]]:
        out[name] = out[name].dt.strftime("%Y-%m-%d")
    out = out.astype(object)
    records = out.where(out.notna(), None).to_dict("records")
    return [{str(name): value for name, value in record.items()} for record in records]
