r"""China against the US in other units than tokens, on the same draws.

With the amount a_l of a unit per token of lab l, the ratio of a unit is
:math:`\sum_{l \in CN} a_l Y_l / \sum_{l \in US} a_l Y_l`: the amounts are the panel's own, and are
taken to hold off the panel as well.
"""

import numpy as np
import pandas as pd

from offroute._checks import check_probability
from offroute._typing import FloatArray
from offroute.inference.shares import Volumes
from offroute.measurement.market import Market, week_index

#: Tokens that a lab's tokenizer makes of the same text may differ by this factor between the two
#: sides, either way: an assumption, of which the ledger has no measurement.
TOKENIZER_FACTOR = 1.5
_PARTS = ["prompt", "completion", "cached", "requests"]


def amounts_per_token(
    labels: pd.DataFrame, models: pd.DataFrame, composition: pd.DataFrame
) -> tuple[pd.DataFrame, FloatArray]:
    """Return what a token of each class is made of, from the panel's token composition.

    Parameters
    ----------
    labels : pandas.DataFrame
        ``lab`` and ``group`` of the classes, as `Volumes.labels` has them.
    models, composition : pandas.DataFrame
        As of `load_models` and `load_composition`.

    Returns
    -------
    amounts : pandas.DataFrame
        Per token: ``uncached`` tokens, ``output`` tokens, ``requests``; of the lab, or pooled over
        its group, or over all, where the composition does not have it.
    own : ndarray of bool, shape (C,)
        Whether the lab's own composition is there.
    """
    register = models.set_index("model")[["lab", "group"]]
    rows = composition.dropna(subset=_PARTS).join(register, on="model", how="inner")

    def _per_token(total: pd.DataFrame) -> pd.DataFrame:
        tokens = total["prompt"] + total["completion"]
        return pd.DataFrame(
            {
                "uncached": 1 - total["cached"] / tokens,
                "output": total["completion"] / tokens,
                "requests": total["requests"] / tokens,
            }
        )

    by_lab = _per_token(rows.groupby("lab")[_PARTS].sum()).reindex(labels["lab"])
    by_group = _per_token(rows.groupby("group")[_PARTS].sum()).reindex(labels["group"])
    pooled = _per_token(rows[_PARTS].sum().to_frame().T)
    own: FloatArray = by_lab["requests"].notna().to_numpy()
    out = pd.DataFrame(
        np.where(own[:, None], by_lab.to_numpy(), by_group.to_numpy()), columns=by_lab.columns
    )
    return out.fillna(pooled.iloc[0]), own


def unit_table(
    v: Volumes,
    market: Market,
    models: pd.DataFrame,
    composition: pd.DataFrame,
    *,
    level: float = 0.9,
) -> pd.DataFrame:
    """Compare China and the US in tokens, dollars, requests and text.

    Parameters
    ----------
    v : Volumes
        The week.
    market : Market
        The panel, for effective prices.
    models, composition : pandas.DataFrame
        As of `load_models` and `load_composition`.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``unit``; ``observed`` ratio of China to the US; ``ratio`` with ``low`` and ``high``;
        ``p_china_leads``; ``own``, for units that come from the composition, the part of the
        panel's tokens of the two sides whose lab has its own. The last two rows are a scenario:
        tokens of a common text, if US tokenizers make `TOKENIZER_FACTOR` times as many, or as few,
        of it.

    Raises
    ------
    InvalidValue
        If `level` is not a probability.

    Notes
    -----
    Requests and output come from archived compositions of the panel's largest models, and from the
    labs' group where they have none. Dollars take the panel's effective price for the price
    elsewhere; discounts are not known.
    """
    check_probability(level, name="level")
    amounts, own = amounts_per_token(v.labels, models, composition)
    price = np.append(market.price[week_index(market, v.week)], 0.0)
    ones = np.ones(len(v.X))
    china, us = ((v.labels["origin"] == side).to_numpy() for side in ("China", "US"))
    either = china | us
    part = float(v.X[either & own].sum() / v.X[either].sum())
    # Per token of each class, and the part of the tokens of which it is known.
    units = {
        "tokens": (ones, np.nan),
        "tokens without cache reads": (amounts["uncached"].to_numpy(), part),
        "output tokens": (amounts["output"].to_numpy(), part),
        "requests": (amounts["requests"].to_numpy(), part),
        "dollars": (price, np.nan),
        "text, US tokens finer": (np.where(us, 1 / TOKENIZER_FACTOR, 1.0), np.nan),
        "text, US tokens coarser": (np.where(us, TOKENIZER_FACTOR, 1.0), np.nan),
    }
    q = [0.5 - level / 2, 0.5, 0.5 + level / 2]
    rows = []
    for name, (a, known) in units.items():
        ratio = (v.Y[:, china] @ a[china]) / (v.Y[:, us] @ a[us])
        low, middle, high = np.quantile(ratio, q)
        rows.append(
            {
                "unit": name,
                "observed": float((v.X[china] @ a[china]) / (v.X[us] @ a[us])),
                "ratio": float(middle),
                "low": float(low),
                "high": float(high),
                "p_china_leads": float((ratio > 1).mean()),
                "own": known,
            }
        )
    return pd.DataFrame(rows)
