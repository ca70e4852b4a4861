"""Tables that only a refresh writes."""

from pathlib import Path

import pandas as pd

from offroute._checks import check_choice
from offroute.data import schema_refresh
from offroute.data.snapshot import load_table


def load_refreshed(table: str, data_dir: Path) -> pd.DataFrame:
    """Load a table that only `offroute refresh` writes.

    Parameters
    ----------
    table : {'restated', 'session_cost', 'tasks'}
        Values that a later answer changed, with the earlier ones (absent if there are none);
        median cost of a session by harness, model and length; shares of tasks.
    data_dir : pathlib.Path
        Folder that a refresh wrote; the shipped snapshot has none of these tables.

    Returns
    -------
    pandas.DataFrame
        The columns of `offroute.data.schema_refresh`.

    Raises
    ------
    UsageError
        If the table is none of these.
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.
    """
    rules = {r.table: r for r in schema_refresh.TABLES}
    return load_table(rules[check_choice(table, rules, name="table")], data_dir)
