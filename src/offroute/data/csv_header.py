"""Headers of CSV files, before a reader renames what they repeat."""

from pathlib import Path

import pandas as pd

from offroute._checks import check_header


def check_csv_header(path: str | Path, *, name: str) -> None:
    """Raise SchemaError if the first row of a CSV file has a name twice.

    Parameters
    ----------
    path : path
        CSV file, compressed or not.
    name : str
        What the message calls it.

    Raises
    ------
    SchemaError
        If a name is repeated, be it in another case.

    Examples
    --------
    >>> import io
    >>> check_csv_header(io.StringIO("lab,tokens,tokens"), name="table")
    Traceback (most recent call last):
    offroute.exceptions.SchemaError: table: each column must have a name of its own, whatever its
    case; got tokens more than once. Rename or drop the repeated columns.
    """
    first = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
    check_header(first.iloc[0].tolist(), name=name)
