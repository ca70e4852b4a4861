"""The contest of China and the United States week by week."""

import numpy as np
import pandas as pd

from offroute.estimators.synthesis import Posterior
from offroute.inference.shares import contest, volumes


def weekly_contest(posterior: Posterior, *, level: float = 0.9) -> pd.DataFrame:
    r"""Tabulate the ratio of China to the US on the panel and corrected, for every drawn week.

    The ratio is :math:`Y_{CN,t} / Y_{US,t}`; the intervals are equal-tailed and hold week by week,
    not for the whole path at once.

    Parameters
    ----------
    posterior : Posterior
        Result of `offroute.inference.pipeline.correct`, for all weeks or some.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per week: ``population``, ``week_start``, ``basis`` (``model`` or ``lab``),
        ``observed`` ratio, ``low``, ``ratio`` (median), ``high``, ``p_china_leads``,
        ``benchmarks`` (rows of the ledger in that week), ``weeks_since_last`` benchmark (negative
        before it).

    Raises
    ------
    InvalidValue
        If the level is not between 0 and 1.

    Examples
    --------
    >>> from offroute.inference.pipeline import correct
    >>> posterior = correct("world-external-api", weeks=("2026-06-01",), n_draws=400)
    >>> weekly_contest(posterior)[["basis", "benchmarks"]].to_dict("records")
    [{'basis': 'model', 'benchmarks': 0}]
    """
    market = posterior.market
    count = np.bincount(posterior.benchmarks.week, minlength=len(market.weeks))
    rows = []
    for t in posterior.draws.weeks:
        v = volumes(posterior, int(t))
        c = contest(v, level=level)
        low, middle, high = c.ratio
        rows.append(
            {
                "population": v.population,
                "week_start": pd.Timestamp(v.week),
                "basis": "model" if market.by_model[t] else "lab",
                "observed": c.observed_ratio,
                "low": low,
                "ratio": middle,
                "high": high,
                "p_china_leads": c.p_china_leads,
                "benchmarks": int(count[t]),
                "weeks_since_last": v.stale,
            }
        )
    return pd.DataFrame(rows)
