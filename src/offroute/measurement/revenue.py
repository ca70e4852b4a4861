"""From revenue to tokens, for display: inside the model money enters through its price weights."""

from typing import TYPE_CHECKING

import numpy as np

from offroute._checks import check_finite
from offroute.exceptions import InvalidValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_TOLERANCE = 1e-9


def harmonic_price(price: "ArrayLike", revenue_share: "ArrayLike") -> float:
    r"""Return the price that turns a revenue over several price segments into tokens.

    .. math:: p = \Big( \sum_j r_j / p_j \Big)^{-1}

    with r_j the part of the revenue earned at price p_j. The arithmetic mean price gives too few
    tokens, since cheap segments carry most tokens for little money.

    Parameters
    ----------
    price : array_like, shape (n,)
        Effective price of each segment, above 0.
    revenue_share : array_like, shape (n,)
        Part of the revenue in each segment; adds up to 1.

    Returns
    -------
    float
        Price, in the unit of `price`.

    Raises
    ------
    InvalidValue
        If a price is not above 0, a share is negative, or the shares do not add up to 1.

    Examples
    --------
    >>> round(harmonic_price([10.0, 1.0], [0.5, 0.5]), 6)
    1.818182
    """
    p, r = np.asarray(price, dtype=np.float64), np.asarray(revenue_share, dtype=np.float64)
    check_finite(p, name="price", minimum=0, strict=True)
    check_finite(r, name="revenue_share", minimum=0)
    if p.shape != r.shape or abs(r.sum() - 1) > _TOLERANCE:
        raise InvalidValue(
            "revenue_share",
            got=f"shape {r.shape}, total {r.sum():g}",
            rule=f"must match prices of shape {p.shape} and add up to 1",
            next_step="Give the part of the revenue earned at each price.",
        )
    return float(1 / (r / p).sum())


def tokens_from_revenue(revenue: float, price: "ArrayLike", revenue_share: "ArrayLike") -> float:
    r"""Return the tokens sold for a revenue: it divided by the harmonic price.

    Parameters
    ----------
    revenue : float
        USD, 0 or more.
    price : array_like, shape (n,)
        Effective price of each segment, USD per million tokens.
    revenue_share : array_like, shape (n,)
        Part of the revenue in each segment; adds up to 1.

    Returns
    -------
    float
        Tokens.

    Raises
    ------
    InvalidValue
        If the revenue is negative, or as `harmonic_price`.

    Notes
    -----
    For display only: prices are the largest uncertainty of a revenue figure, and a converted number
    hides it.

    Examples
    --------
    >>> f"{tokens_from_revenue(10e9, [10.0, 1.0], [0.5, 0.5]):.3g}"
    '5.5e+15'
    """
    check_finite(revenue, name="revenue", minimum=0)
    return float(revenue / harmonic_price(price, revenue_share) * 1e6)
