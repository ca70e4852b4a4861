"""Prevalence is not a share of tokens: who uses a model at all says nothing about how much."""

import re

import pandas as pd

from offroute._checks import check_finite
from offroute.exceptions import InvalidValue, NotIdentified

_PREVALENCE = re.compile(
    r"businesses|customers|developers|CIOs|orgs|firms|startups|enterprises using|revenue|"
    r"downloads|pitching|employees",
    re.IGNORECASE,
)
_OF_VOLUME = re.compile(r"token|spend|dollars|usage|LLM calls", re.IGNORECASE)


def token_share(row: pd.Series) -> float:
    """Return a ledger share as a fraction of volume, or refuse a prevalence.

    Parameters
    ----------
    row : pandas.Series
        A row of the ledger with ``quantity``, ``value``, ``unit``.

    Returns
    -------
    float
        Fraction of tokens, spend or usage.

    Raises
    ------
    NotIdentified
        If the row counts firms, users or downloads: who uses a model at all says nothing about how
        much, and may only bound adoption.
    InvalidValue
        If the row is no share or has no value.

    Examples
    --------
    >>> row = pd.Series({"id": "x", "quantity": "share", "value": 46.0, "unit": "% of all tokens"})
    >>> token_share(row)
    0.46
    """
    if row["quantity"] != "share":
        raise InvalidValue(
            f"ledger row '{row['id']}'",
            got=f"a {row['quantity']}",
            rule="must be a share",
            next_step="Choose a row whose quantity is share.",
        )
    check_finite(row["value"], name=f"ledger row '{row['id']}'", minimum=0)
    unit = str(row["unit"])
    if _PREVALENCE.search(unit) or not _OF_VOLUME.search(unit):
        raise NotIdentified(
            f"ledger row '{row['id']}'",
            got=f"'{unit}'",
            rule="a share of firms, users or downloads is not a share of tokens",
            next_step="Use it as a bound of adoption, or find a share of tokens or spend.",
        )
    return float(row["value"]) / 100.0


def conditional_prevalence(
    within: tuple[float, float], base: tuple[float, float]
) -> tuple[float, float]:
    """Return the prevalence behind a quote that is conditional on another.

    "80 % of start-ups use Chinese models" was said of the 20 to 30 % that use open models at all.

    Parameters
    ----------
    within : tuple of float
        Least and most of the quoted fraction, given the condition.
    base : tuple of float
        Least and most of the fraction that meets the condition.

    Returns
    -------
    tuple of float
        Bounds of the fraction of all; a share of firms, never of tokens.

    Raises
    ------
    InvalidValue
        If a fraction is outside [0, 1] or out of order.

    Examples
    --------
    >>> [round(x, 3) for x in conditional_prevalence((0.8, 0.8), (0.2, 0.3))]
    [0.16, 0.24]
    """
    for name, pair in (("within", within), ("base", base)):
        if not 0 <= pair[0] <= pair[1] <= 1:
            raise InvalidValue(
                name, got=pair, rule="must be ordered within [0, 1]", next_step="Use fractions."
            )
    return within[0] * base[0], within[1] * base[1]
