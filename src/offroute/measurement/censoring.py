r"""What a cell has on the panel in weeks in which none of its models is among the day's largest.

A model outside the day's 50 largest has at most the tokens of the 50th, so that a cell without a
listed model is censored, not absent. With :math:`m_t` the tokens of the 50th model of the week and
:math:`t_c` the last week in which a model of the cell is listed, its volume in such a week is

.. math:: x_{tc} = m_t\, 2^{-(t - t_c)^+ / h}

after the first week in which it was listed: at the threshold until its models come back, and fading
with half-life h where they do not. That is a convention: on simulated markets the median cell has
about twice :math:`m_t` between two listed weeks and about :math:`m_t` half a year after the last.
"""

import numpy as np
import pandas as pd

from offroute._typing import BoolArray, FloatArray, IntArray
from offroute.data.register import TAIL_MODEL

#: Models that a day lists by name.
LISTED = 50
#: Weeks in which a cell that is not listed any more is taken to halve.
_HALF_LIFE = 26.0


def fiftieth_model(named: pd.DataFrame, rate: FloatArray, t: IntArray, weeks: int) -> FloatArray:
    """Return the tokens of the 50th model of each week, as a part of the panel.

    Parameters
    ----------
    named : pandas.DataFrame
        Rows of usage, the unnamed rest included.
    rate : ndarray, shape (n,)
        Tokens in seven days of each row.
    t : ndarray of int, shape (n,)
        Week of each row.
    weeks : int
        Number of weeks.

    Returns
    -------
    ndarray, shape (weeks,)
        Parts. With fewer than 50 models, that of the smallest; weeks that are not known by model
        have that of the last one that is, or of the first.
    """
    rows = (named["basis"].eq("model") & named["model"].ne(TAIL_MODEL)).to_numpy()
    part = np.full(weeks, np.nan)
    for week in np.unique(t[rows]):
        largest = np.sort(rate[rows & (t == week)])[::-1][:LISTED]
        part[week] = largest[-1] / rate[t == week].sum()
    return np.asarray(pd.Series(part).ffill().bfill().to_numpy(dtype=np.float64))


def fill_hidden(
    X: FloatArray, elapsed: FloatArray, *, m: FloatArray, unseen: BoolArray
) -> FloatArray:
    """Give cells their volume in weeks in which none of their models is listed.

    Parameters
    ----------
    X : ndarray, shape (T, C)
        Tokens a week, zero where the cell is not listed.
    elapsed : ndarray, shape (T,)
        Weeks since the first one.
    m : ndarray, shape (T,)
        Tokens of the 50th model of the week.
    unseen : ndarray of bool, shape (C,)
        Cells of the register that are on the market and never listed.

    Returns
    -------
    ndarray, shape (T, C)
        X where it is above zero; nothing before a cell is first listed.

    Examples
    --------
    >>> X = np.array([[0.0], [8.0], [0.0], [8.0], [0.0]])
    >>> weeks, m = np.array([0.0, 1, 2, 3, 29]), np.full(5, 4.0)
    >>> fill_hidden(X, weeks, m=m, unseen=np.array([False])).ravel().tolist()
    [0.0, 8.0, 4.0, 8.0, 2.0]
    """
    listed = X > 0
    last = np.where(listed, elapsed[:, None], -np.inf).max(axis=0)
    gap = np.maximum(elapsed[:, None] - np.where(unseen, np.inf, last), 0.0)
    hidden = m[:, None] * 0.5 ** (gap / _HALF_LIFE)
    started = np.maximum.accumulate(listed, axis=0) | unseen
    return np.where(listed, X, np.where(started, hidden, 0.0))
