r"""What margins say about the customers of one place: one rule for every table.

With the Chinese share :math:`\theta` among China and the US over all customers, and the part r of
the tokens that customers of the place buy, their own share lies in

.. math:: \Big[\max\Big(0, 1 - \frac{1 - \theta}{r}\Big),\;
   \min\Big(1, \frac{\theta}{r}\Big)\Big]

(Duncan and Davis 1953, doi:10.2307/2088122) where China and the US are all there is; tokens of
other origins, which customers of the place may or may not have bought, loosen the ends.
"""

import re

import pandas as pd

from offroute._checks import check_finite
from offroute.exceptions import InvalidValue

#: Ledger row with the part of the panel's tokens by billing country.
BILLING_ROW = "soa_geo_us"
#: Part of the tokens billed in Singapore, whose buyers may sit elsewhere, in the same row.
_PLACES = r"(Singapore|Germany|China) ([\d.]+)"
_ROUNDING = 1e-9


def billing_parts(ledger: pd.DataFrame) -> dict[str, float]:
    """Return the part of the panel's tokens billed in each country that is published.

    Parameters
    ----------
    ledger : pandas.DataFrame
        The ledger.

    Returns
    -------
    dict of str to float
        ``US``, ``Singapore``, ``Germany``, ``China``; fractions.

    Raises
    ------
    InvalidValue
        If the ledger has no such row.
    """
    found = ledger[ledger["id"] == BILLING_ROW]
    if found.empty:
        raise InvalidValue(
            "ledger",
            got=f"no row '{BILLING_ROW}'",
            rule="the part of the panel billed in the US must be known",
            next_step="Add the row.",
        )
    row = found.iloc[0]
    parts = {"US": float(row["value"]) / 100.0}
    return parts | {place: float(x) / 100.0 for place, x in re.findall(_PLACES, row["unit"])}


def billing_bounds(
    china: float, us: float, total: float, part: tuple[float, float]
) -> tuple[float, float]:
    """Bound China's share of China and the US among the customers of a place.

    Customers of the place buy the part r of all tokens. China's tokens among theirs are at least
    ``china - (1 - r) total`` and the US's at most ``us``, and the reverse; r anywhere in an
    interval, as when addresses are misread, gives the bounds at its lower end.

    Parameters
    ----------
    china, us, total : float
        Tokens of China, the US and all origins over all customers; above 0.
    part : tuple of float
        Least and most of r; above 0, at most 1.

    Returns
    -------
    tuple of float
        Sharp bounds over the interval; without other origins those of Duncan and Davis.

    Raises
    ------
    InvalidValue
        If the interval is out of order or outside (0, 1], or China and the US exceed the total.

    Examples
    --------
    >>> [round(x, 6) for x in billing_bounds(46, 54, 100, (0.8, 0.9))]
    [0.325, 0.575]
    """
    if not 0 < part[0] <= part[1] <= 1:
        raise InvalidValue(
            "part",
            got=part,
            rule="must be an interval within (0, 1]",
            next_step="Write 47 % as 0.47, the smaller end first.",
        )
    check_finite([china, us], name="china and us", minimum=0, strict=True)
    if china + us > total * (1 + _ROUNDING):
        raise InvalidValue(
            "total",
            got=f"{total:g} with {china + us:g} of China and the US",
            rule="must hold both",
            next_step="Give the tokens of all origins.",
        )
    bought, elsewhere = part[0] * total, (1 - part[0]) * total
    low, high = (
        (a := max(0.0, one - elsewhere)) / (a + min(other, bought - a))
        for one, other in ((china, us), (us, china))
    )
    return low, 1 - high
