"""What the user decided about models and labs that no rule can place: a CSV, read back."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from offroute._checks import check_columns, check_unique
from offroute.data.csv_header import check_csv_header
from offroute.exceptions import InvalidValue, SchemaError

COLUMNS = ("kind", "name", "lab", "origin", "weights", "variant", "tokens", "reason")
_ORIGINS = ("China", "US", "Europe", "Korea", "Elsewhere", "Unidentified")
_CHOICES = {
    "kind": ("model", "gateway", "variant"),
    "origin": _ORIGINS,
    "weights": ("open", "closed", "unidentified"),
    "variant": ("standard", "free", "beta", "thinking", "extended"),
}


@dataclass(frozen=True)
class Decisions:
    """Decisions by kind; a row with an empty field is none.

    Attributes
    ----------
    models : dict of str to tuple of str
        Lab, origin and openness by permaslug without variant.
    gateway : dict of str to tuple of str
        Lab, origin and openness by the second gateway's lab id.
    variants : dict of str to str
        Known variant by a new suffix of a permaslug.
    """

    models: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    gateway: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    variants: dict[str, str] = field(default_factory=dict)


def _read(path: Path) -> pd.DataFrame:
    """Read and check the file; an absent one has no rows."""
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS), dtype=str)
    name = f"decisions '{path}'"
    try:
        check_csv_header(path, name=name)
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise SchemaError(
            name,
            got=f"{type(error).__name__}: {' '.join(str(error).split())}",
            rule=f"must be a CSV in UTF-8 with the columns {', '.join(COLUMNS)}",
            next_step="Correct or remove the file; a refresh writes it anew.",
        ) from error
    check_columns(frame, COLUMNS, name=name)
    check_unique(frame, ("kind", "name"), name=name)
    frame = pd.DataFrame({column: frame[column].str.strip() for column in COLUMNS})
    for column, choices in _CHOICES.items():
        allowed = choices if column == "kind" else (*choices, "")
        wrong = frame[~frame[column].isin(allowed)]
        if len(wrong):
            raise InvalidValue(
                f"{name}, column '{column}'",
                got=f"{wrong[column].iloc[0]!r} for {wrong['name'].iloc[0]!r}",
                rule=f"must be one of {', '.join(choices)}, or empty while undecided",
                next_step="Correct the row.",
            )
    unclear = frame[(frame["kind"] == "gateway") & (frame["weights"] == "unidentified")]
    if len(unclear):
        raise InvalidValue(
            f"{name}, column 'weights'",
            got=f"'unidentified' for {unclear['name'].iloc[0]!r}",
            rule="a lab of the gateway is counted as open or closed as a whole",
            next_step="Write open or closed.",
        )
    return frame


def read_decisions(path: Path) -> Decisions:
    """Read the decisions.

    Parameters
    ----------
    path : pathlib.Path
        CSV file; an absent one holds no decision.

    Returns
    -------
    Decisions
        Rows that are filled in.

    Raises
    ------
    SchemaError, InvalidValue, DuplicateKey
        If the file is not what a refresh wrote, with known labels filled in.

    Examples
    --------
    >>> read_decisions(Path("absent.csv"))
    Decisions(models={}, gateway={}, variants={})
    """
    frame = _read(path)
    filled = frame[(frame[["lab", "origin", "weights"]] != "").all(axis=1)]

    def _places(kind: str) -> dict[str, tuple[str, str, str]]:
        rows = filled[filled["kind"] == kind]
        keys = zip(rows["lab"], rows["origin"], rows["weights"], strict=True)
        return dict(zip(rows["name"], keys, strict=True))

    suffixes = frame[(frame["kind"] == "variant") & (frame["variant"] != "")]
    return Decisions(
        models=_places("model"),
        gateway=_places("gateway"),
        variants=dict(zip(suffixes["name"], suffixes["variant"], strict=True)),
    )


def add_undecided(path: Path, undecided: pd.DataFrame) -> pd.DataFrame:
    """Return the content of the file with the undecided rows added; what is there stays.

    Parameters
    ----------
    path : pathlib.Path
        CSV file.
    undecided : pandas.DataFrame
        ``kind``, ``name``, ``lab``, ``origin``, ``weights``, ``tokens``, ``reason``.

    Returns
    -------
    pandas.DataFrame
        The columns of the file.
    """
    frame = _read(path)
    known = pd.MultiIndex.from_frame(frame[["kind", "name"]])
    new = undecided[~pd.MultiIndex.from_frame(undecided[["kind", "name"]]).isin(known)]
    new = new.assign(variant="", tokens=new["tokens"].astype(str))
    return pd.concat([frame, new], ignore_index=True)[list(COLUMNS)]
