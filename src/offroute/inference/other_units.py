"""China against the US in every unit, on the same draws."""

from dataclasses import replace

import numpy as np
import pandas as pd

from offroute._checks import check_probability
from offroute._typing import FloatArray
from offroute.inference.mechanisms.counterfactual import china_over_us
from offroute.inference.mechanisms.dollars import UNITS
from offroute.inference.mechanisms.text_units import tokenizer_bounds
from offroute.inference.shares import Volumes

TEXT = "tokens of a common text"
"""Name of the row of normalised tokens, which has bounds only."""


def unit_table(
    v: Volumes, naive: Volumes, factors: dict[str, FloatArray], *, level: float = 0.9
) -> pd.DataFrame:
    """Compare China and the US in tokens, dollars, output tokens, requests and common text.

    Parameters
    ----------
    v : Volumes
        Corrected volumes of the week, k draws.
    naive : Volumes
        The panel's own volumes of the week, as `panel_volumes` returns them.
    factors : dict of str to ndarray, shape (k, C + 1)
        What a token of each class is worth in each unit, as `unit_factors` draws it.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``unit``; ``observed`` ratio of China to the US on the panel with ``observed_low`` and
        ``observed_high`` (the error of the factors); corrected ``ratio`` with ``low`` and ``high``;
        ``p_china_leads``. The last row holds tokens of a common text: the ends are those of the
        interval of tokens, moved by the bounds of the tokenizers; its middle is missing.

    Raises
    ------
    UsageError
        If `level` is not a probability.
    """
    check_probability(level, name="level")
    q = [0.5 - level / 2, 0.5, 0.5 + level / 2]
    rows: list[dict[str, object]] = []
    for unit in UNITS:
        panel = np.quantile(np.exp(china_over_us(naive, factors[unit] * naive.Y)), q)
        R = china_over_us(v, factors[unit] * v.Y)
        low, middle, high = np.quantile(np.exp(R), q)
        rows.append(
            {
                "unit": unit,
                "observed_low": float(panel[0]),
                "observed": float(panel[1]),
                "observed_high": float(panel[2]),
                "low": float(low),
                "ratio": float(middle),
                "high": float(high),
                "p_china_leads": float((R > 0).mean()),
            }
        )
    tokens = np.quantile(china_over_us(v, v.Y), q)
    on_panel = float(china_over_us(naive, naive.Y)[0])
    # The bounds are those of given volumes: here the medians of the market.
    least, most = tokenizer_bounds(replace(v, X=np.median(v.Y, axis=0)))
    panel_least, panel_most = tokenizer_bounds(naive)
    rows.append(
        {
            "unit": TEXT,
            "observed_low": float(np.exp(on_panel + panel_least)),
            "observed": np.nan,
            "observed_high": float(np.exp(on_panel + panel_most)),
            "low": float(np.exp(tokens[0] + least)),
            "ratio": np.nan,
            "high": float(np.exp(tokens[2] + most)),
            "p_china_leads": np.nan,
        }
    )
    return pd.DataFrame(rows)
