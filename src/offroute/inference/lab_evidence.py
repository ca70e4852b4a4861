"""Coverage of single labs that each public figure implies, for comparison with the posterior's."""

import numpy as np
import pandas as pd
from scipy.special import ndtri

from offroute._checks import check_probability
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import Market


def lab_evidence(market: Market, b: Benchmarks, *, level: float = 0.9) -> pd.DataFrame:
    r"""Turn every figure about one lab into the coverage that it implies on its own.

    With the lab's panel volume X in the figure's week, the volume that the figure stands for and
    the coverage are

    .. math:: Y = e^{y - off} / \bar p + (1 - \iota) X, \qquad \pi = X / Y,

    :math:`\bar p` the panel's mean price of the lab for money and 1 for tokens; the interval is
    that of :math:`y` with the log sd :math:`\sqrt{s^2 + q^2}`. For display only: the model uses the
    figure as published, with the errors that families and countries share.

    Parameters
    ----------
    market : Market
        The panel.
    b : Benchmarks
        Figures about one population.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``lab``, ``family``, ``kind`` (tokens or money), ``week_start``, ``side`` (exact,
        floor, ceiling), ``panel`` and ``tokens`` a week, ``coverage`` with ``low`` and ``high`` (a
        fraction). Share tables, figures about several labs, and weeks in which the panel does not
        show the lab are left out.

    Raises
    ------
    InvalidValue
        If `level` is not a probability.

    Examples
    --------
    >>> from offroute.data.snapshot import load_crosswalk, load_ledger
    >>> from offroute.inference.pipeline import load_market
    >>> from offroute.measurement.ledger import build_benchmarks
    >>> market = load_market()
    >>> b = build_benchmarks(
    ...     load_ledger(), load_crosswalk(), market, population="world-external-api"
    ... )
    >>> table = lab_evidence(market, b).set_index("id")
    >>> bool(table.loc["O-T03", "low"] < table.loc["O-T03", "coverage"] < 0.2)
    True
    """
    check_probability(level, name="level")
    reach = float(ndtri(0.5 + level / 2)) * np.hypot(b.s, b.q)
    labs = np.array(market.labs)
    rows: list[dict[str, object]] = []
    for i in np.flatnonzero(~b.flat[b.family]):
        cells = b.w[i] > 0
        X = market.X[b.week[i], cells]
        names = set(labs[cells])
        if len(names) != 1 or X.sum() <= 0:
            continue
        price = float((b.w[i, cells] @ X) / X.sum())
        rest = float((1 - b.iota[i]) * X.sum())
        low, middle, high = (
            float(np.exp(b.y[i] - b.off[i] + k * reach[i])) / price + rest for k in (-1, 0, 1)
        )
        rows.append(
            {
                "id": b.ids[i],
                "lab": names.pop(),
                "family": b.families[b.family[i]],
                "kind": "money" if b.w[i].max() < 1 else "tokens",
                "week_start": market.weeks[b.week[i]].astype("datetime64[us]"),
                "side": ("exact", "floor", "ceiling")[int(b.side[i])],
                "panel": float(X.sum()),
                "tokens": middle,
                "coverage": float(X.sum()) / middle,
                "low": float(X.sum()) / high,
                "high": float(X.sum()) / low,
            }
        )
    return pd.DataFrame(rows)
