"""Effective prices of models and cells, cache reads included."""

import numpy as np
import pandas as pd

from offroute._typing import FloatArray, IntArray

#: Columns of the register that name a cell.
CELL = ["lab", "group", "tier"]


def effective_prices(models: pd.DataFrame, composition: pd.DataFrame) -> pd.Series:
    r"""Effective price of each priced model, USD per token.

    .. math:: p = (1-o)\,[(1-\kappa)\,p_{in} + \kappa\, r\, p_{in}] + o\, p_{out}

    with the completion share :math:`o` and the cached share of the prompt :math:`\kappa` of the
    lab's models of that openness in the token composition, or of all models of that openness where
    the lab has none, and the price of a cache read over that of a prompt token :math:`r = 0.1`.

    Parameters
    ----------
    models : pandas.DataFrame
        Register, as `offroute.data.snapshot.load_models` returns it.
    composition : pandas.DataFrame
        Token composition, as `offroute.data.snapshot.load_composition` returns it.

    Returns
    -------
    pandas.Series
        USD per token, indexed by model; only models with both list prices. A free route carries
        the price of its paid sibling in the register and is left out.
    """
    register = models.set_index("model")
    rows = composition.dropna(subset=["prompt", "completion"]).join(
        register[["lab", "weights"]], on="model", how="inner"
    )

    def _shares(keys: list[str]) -> pd.DataFrame:
        total = rows.groupby(keys)[["prompt", "completion", "cached"]].sum()
        return pd.DataFrame(
            {
                "o": total["completion"] / (total["prompt"] + total["completion"]),
                "kappa": total["cached"] / total["prompt"],
            }
        )

    priced = register[(register["variant"] != "free") & (register["prompt"] > 0)].dropna(
        subset=["prompt", "completion"]
    )
    own = _shares(["lab", "weights"]).reindex(pd.MultiIndex.from_frame(priced[["lab", "weights"]]))
    pooled = _shares(["weights"]).reindex(priced["weights"])
    o = own["o"].fillna(pd.Series(pooled["o"].to_numpy(), own.index)).to_numpy()
    kappa = own["kappa"].fillna(pd.Series(pooled["kappa"].to_numpy(), own.index)).to_numpy()
    prompt, completion = priced["prompt"].to_numpy(), priced["completion"].to_numpy()
    price = (1 - o) * ((1 - kappa) + 0.1 * kappa) * prompt + o * completion
    return pd.Series(price / 1e6, index=priced.index, name="effective_price")


def register_prices(
    models: pd.DataFrame, price: pd.Series, order: list[tuple[str, str, str]]
) -> FloatArray:
    """Return the mean log effective price of each cell's models in the register.

    Parameters
    ----------
    models : pandas.DataFrame
        Register.
    price : pandas.Series
        As of `effective_prices`.
    order : list of (lab, group, tier), length C
        Cells.

    Returns
    -------
    ndarray, shape (C,)
        Log of USD per token; not a number for cells without a priced model.
    """
    mean = models.join(np.log(price), on="model").groupby(CELL)["effective_price"].mean()
    return mean.reindex(pd.MultiIndex.from_tuples(order)).to_numpy(dtype=np.float64)


def fill_prices(
    spend: FloatArray, rate: FloatArray, register: FloatArray, nests: list[IntArray]
) -> FloatArray:
    """Return the price of each cell over four weeks, gaps filled.

    Parameters
    ----------
    spend, rate : ndarray, shape (T, C)
        USD and tokens a week of priced models.
    register : ndarray, shape (C,)
        As of `register_prices`.
    nests : list of ndarray of int, each of shape (C,)
        Classes whose geometric mean stands in, the finest first.

    Returns
    -------
    ndarray, shape (T, C)
        USD per token: gaps take the nearest week, else the register, else the nests in turn.
    """
    money, tokens = (pd.DataFrame(x).rolling(4, min_periods=1).sum() for x in (spend, rate))
    log_p = pd.DataFrame(np.log(money.where(tokens > 0) / tokens.where(tokens > 0))).ffill().bfill()
    log_p = log_p.fillna(pd.Series(register))
    for nest in [*nests, np.zeros(log_p.shape[1], dtype=np.int64)]:
        mean = log_p.T.groupby(nest).transform("mean").T
        log_p = log_p.fillna(mean)
    return np.asarray(np.exp(log_p.to_numpy(dtype=np.float64)))
