"""Loaders of the tables about hosts and about the apps of models."""

from pathlib import Path

import pandas as pd

from offroute.data import schema_detail
from offroute.data.snapshot import load_table


def load_hosts(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the hosts of the models that more than one company serves.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``hosts.csv.gz`` and ``hosts.json``; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        ``model``, ``host``, ``home`` (China, US, Elsewhere, Unknown), ``share``, ``days``.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> hosts = load_hosts()
    >>> bool((hosts.groupby("model")["share"].sum() < 1.001).all())
    True
    """
    return load_table(schema_detail.HOSTS, data_dir)


def load_app_models(data_dir: Path | None = None) -> pd.DataFrame:
    """Load the tokens of the largest apps by model.

    Parameters
    ----------
    data_dir : pathlib.Path, optional
        Folder with ``app_models.csv.gz`` and its sidecar; the shipped snapshot by default.

    Returns
    -------
    pandas.DataFrame
        ``app``, ``model`` (or ``all`` for the app's total), ``tokens``.

    Raises
    ------
    HashMismatch, SchemaError, InvalidValue, DuplicateKey
        As `load_usage`.

    Examples
    --------
    >>> load_app_models().columns.tolist()
    ['app', 'model', 'tokens']
    """
    return load_table(schema_detail.APP_MODELS, data_dir)
