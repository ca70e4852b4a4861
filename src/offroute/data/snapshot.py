"""Loaders of the shipped snapshot: hash, columns and types are checked on every read."""

from pathlib import Path

import pandas as pd

from offroute.data import schema, schema_ledger
from offroute.data.csv_header import check_csv_header
from offroute.data.provenance import Sidecar, check_hash, read_sidecar, remedy
from offroute.exceptions import InvalidValue, SchemaError

SNAPSHOT_DIR = Path(__file__).parent / "snapshot"


def sidecar_of(table: str, data_dir: Path | None = None) -> Sidecar:
    """Return the provenance of a table.

    Parameters
    ----------
    table : str
        Table name, such as ``usage``.
    data_dir : pathlib.Path, optional
        Folder to read; the shipped snapshot by default.

    Returns
    -------
    Sidecar
        Source, citation, licence, date, derivation, columns, hash and row count.

    Raises
    ------
    SchemaError
        If there is no readable sidecar.

    Examples
    --------
    >>> sidecar_of("usage").licence
    'CC BY 4.0'
    """
    return read_sidecar((data_dir or SNAPSHOT_DIR) / f"{table}.json")


def load_table(rules: schema.Schema, data_dir: Path | None) -> pd.DataFrame:
    """Read one table and check its hash, length, columns and values.

    Parameters
    ----------
    rules : Schema
        What the table must look like.
    data_dir : pathlib.Path or None
        Folder of tables; the shipped snapshot if none.

    Returns
    -------
    pandas.DataFrame
        The table.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.
    """
    folder = data_dir or SNAPSHOT_DIR
    sidecar = sidecar_of(rules.table, folder)
    path = folder / f"{rules.table}.csv.gz"
    check_hash(path, sidecar)
    check_csv_header(path, name=f"table '{rules.table}'")
    labels = {column.name: str for column in rules.columns if column.kind == "label"}
    # Only an empty field is missing: a model may well be called 'NA' or 'null'.
    frame = pd.read_csv(path, dtype=labels, keep_default_na=False, na_values=[""])
    if len(frame) != sidecar.rows:
        raise SchemaError(
            f"table '{rules.table}'",
            got=f"{len(frame)} rows",
            rule=f"its sidecar promises {sidecar.rows}",
            next_step=remedy(folder),
        )
    return schema.check_frame(frame, rules)


def load_usage(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the weekly tokens by model.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``usage.csv.gz`` and ``usage.json``; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        ``week_start`` (Monday), ``days`` observed, ``basis`` (``model``; ``lab`` from 2026-09-14,
        when only totals of authors exist), ``model``, ``tokens``. The weeks of 2025-06-09 and
        2025-07-14 are absent, as in the source; the last week has five days. A model's week counts
        only its days in the top 50; everything else is in the row ``other``.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        If the table is not what its sidecar and schema say.

    Examples
    --------
    >>> usage = load_usage()
    >>> usage["week_start"].nunique()
    90
    """
    usage = load_table(schema.USAGE, data_dir)
    strange = ~usage["days"].between(1, 7) | (usage["week_start"].dt.day_of_week != 0)
    if bool(strange.any()):
        row = usage[strange].iloc[0]
        raise InvalidValue(
            "table 'usage'",
            got=f"{row['days']} days in the week of {row['week_start']:%A, %Y-%m-%d}",
            rule="a week starts on a Monday and has 1 to 7 observed days",
            next_step="Correct the row.",
        )
    return usage


def load_daily(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the daily top 50 with the tail, 2026-05-23 to 2026-08-21.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``daily.csv.gz`` and ``daily.json``; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        ``date``, ``model``, ``tokens``: 51 rows a day.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> load_daily()["date"].nunique()
    91
    """
    return load_table(schema.DAILY, data_dir)


def load_models(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the model register.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``models.csv.gz`` and ``models.json``; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        One row per model of the usage table (with ``other`` and the whole-lab rows): author, lab,
        origin, weights, group, variant, charging, tier with its rule, list prices and their day.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> models = load_models()
    >>> models.loc[models["lab"] == "DeepSeek", "origin"].unique().tolist()
    ['China']
    """
    return load_table(schema.MODELS, data_dir)


def load_prices(data_dir: Path | None = None) -> pd.DataFrame:
    """Load dated list prices of models in the register.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``prices.csv.gz`` and ``prices.json``; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        ``model``, ``as_of``, ``prompt``, ``completion``, ``cache_read`` (USD per million tokens,
        missing where the source does not give them), ``source``.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> load_prices().columns.tolist()
    ['model', 'as_of', 'prompt', 'completion', 'cache_read', 'source']
    """
    return load_table(schema.PRICES, data_dir)


def load_roster(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the catalogue: which ids could be hidden in the tail on a day.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``roster.csv.gz`` and ``roster.json``; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        One row per id and unbroken spell in the catalogue, with lab, origin, weights, group.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> roster = load_roster()
    >>> bool((roster["first"] <= roster["last"]).all())
    True
    """
    return load_table(schema.ROSTER, data_dir)


def load_gateway(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the second gateway's daily shares by lab.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``gateway.csv.gz`` and ``gateway.json``; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        ``date``, ``lab``, ``origin``, ``weights`` (whole lab), ``token_share``, ``spend_share``,
        ``request_share`` (fractions; the last missing on two days). Shares only: no volume.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> shares = load_gateway().groupby("date")["token_share"].sum()
    >>> bool((shares < 1.001).all())
    True
    """
    return load_table(schema.GATEWAY, data_dir)


def load_composition(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the token composition of the top models, weekly 2025-11-16 to 2026-05-11.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``composition.csv.gz`` and ``composition.json``; the snapshot by default.

    Returns
    -------
    pandas.DataFrame
        ``snapshot_date``, ``model``, ``total``, ``prompt``, ``completion``, ``reasoning``,
        ``cached``, ``requests``, ``is_free``.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> mix = load_composition()
    >>> mix["is_free"].dtype.name
    'bool'
    """
    return load_table(schema.COMPOSITION, data_dir)


def load_apps(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the app rankings.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``apps.csv.gz`` and ``apps.json``; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        ``window_end``, ``window_days``, ``app``, ``tokens``, ``requests``. Windows overlap: do not
        add them up.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> load_apps().columns.tolist()
    ['window_end', 'window_days', 'app', 'tokens', 'requests']
    """
    return load_table(schema.APPS, data_dir)


def load_ledger(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the proxy ledger: public figures on usage outside the panel, one a row.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``ledger.csv.gz`` and ``ledger.json``; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        The columns of `offroute.data.schema_ledger.LEDGER`. Scopes overlap: rows are not additive.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> sorted(load_ledger()["use"].unique())
    ['context', 'likelihood']
    """
    return load_table(schema_ledger.LEDGER, data_dir)


def load_crosswalk(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the crosswalk: what a kind of ledger row says about each population.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``crosswalk.csv.gz`` and ``crosswalk.json``; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        ``scope_class``, ``population``, ``factor`` (median of the figure over the population's
        volume), ``sd`` (log), ``iota`` (part of the panel's tokens inside the figure), ``side``,
        ``reason``. A pair that is absent says nothing.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> crosswalk = load_crosswalk()
    >>> bool((crosswalk["factor"] > 0).all())
    True
    """
    return load_table(schema_ledger.CROSSWALK, data_dir)
