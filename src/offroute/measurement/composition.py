r"""What a token is made of, by lab and openness: completion, cache, reasoning, requests.

Ratios within the published composition of the ten largest models; between snapshots they move, and
the sd of that is their error. A lab without a composition takes the ratio of its openness, with
the spread between labs as its error.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute._random import RngLike, resolve_rng
from offroute._typing import FloatArray
from offroute.data.register import class_labels
from offroute.exceptions import NotIdentified
from offroute.measurement.market import Market

#: Ratio: numerator, denominator; every token count is prompt plus completion.
RATIOS = {
    "completion": ("completion", "tokens"),
    "cached": ("cached", "tokens"),
    "reasoning": ("reasoning", "tokens"),
    "requests": ("requests", "tokens"),
}
#: A ratio of zero is taken as this part of the pooled one, so that it has a logarithm.
_LEAST = 0.01
#: Spread that a lab with one or two snapshots is given at least (log sd).
_FEWEST = 3


@dataclass(frozen=True)
class Composition:
    """Ratios by cell of a market (C cells), in logs.

    Attributes
    ----------
    names : tuple of str
        The ratios: completion, cached and reasoning tokens and requests, each per token.
    mean : ndarray, shape (4, C)
        Log of the ratio.
    sd : ndarray, shape (4, C)
        Log sd.
    own : ndarray of bool, shape (C,)
        Whether the lab has a composition of its own.
    """

    names: tuple[str, ...]
    mean: FloatArray
    sd: FloatArray
    own: np.ndarray


def composition_table(composition: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the ratios by lab and openness.

    Parameters
    ----------
    composition : pandas.DataFrame
        As of `load_composition`.
    models : pandas.DataFrame
        Register.

    Returns
    -------
    pandas.DataFrame
        ``lab``, ``weights``, ``ratio``, ``value`` (sum over snapshots), ``sd`` (of its log between
        snapshots, at least the median one where there are fewer than three), ``snapshots``. Labs
        are pooled in rows with lab ``all``, whose sd is that between labs. Stealth is left out.

    Raises
    ------
    NotIdentified
        If no row has a composition.
    """
    register = models.assign(lab=class_labels(models, by="lab")).set_index("model")
    rows = composition.dropna(subset=["prompt", "completion"]).join(
        register[["lab", "weights"]], on="model", how="inner"
    )
    rows = rows[rows["weights"] != "unidentified"].assign(
        tokens=lambda x: x["prompt"] + x["completion"]
    )
    if rows.empty:
        raise NotIdentified(
            "composition",
            got="no row with prompt and completion",
            rule="at least one model must have a composition",
            next_step="Use the shipped table.",
        )
    out = []
    for name, (top, bottom) in RATIOS.items():
        sums = rows.groupby("weights")[[top, bottom]].sum()
        pooled = sums[top] / sums[bottom]
        weekly = rows.groupby(["lab", "weights", "snapshot_date"])[[top, bottom]].sum()
        log = (weekly[top] / weekly[bottom]).clip(lower=_floor(weekly, pooled)).map(np.log)
        by_lab = log.groupby(level=["lab", "weights"])
        total = rows.groupby(["lab", "weights"])[[top, bottom]].sum()
        value = (total[top] / total[bottom]).clip(lower=_floor(total, pooled))
        n = by_lab.size()
        usual = float(by_lab.std()[n >= _FEWEST].median())
        sd = by_lab.std().fillna(usual)
        sd = sd.where(n >= _FEWEST, sd.clip(lower=usual))
        table = pd.DataFrame({"value": value, "sd": sd, "snapshots": n}).reset_index()
        between = table["value"].map(np.log).groupby(table["weights"]).std()
        whole = pd.DataFrame({"value": pooled, "sd": between}).reset_index()
        whole = whole.assign(lab="all", snapshots=rows["snapshot_date"].nunique())
        out.append(pd.concat([table, whole], ignore_index=True).assign(ratio=name))
    return pd.concat(out, ignore_index=True)[
        ["lab", "weights", "ratio", "value", "sd", "snapshots"]
    ]


def _floor(rows: pd.DataFrame, pooled: pd.Series) -> pd.Series:
    """Least value of a ratio in each row, by openness."""
    values = [_LEAST * float(pooled[w]) for w in rows.index.get_level_values("weights")]
    return pd.Series(values, index=rows.index)


def market_composition(market: Market, table: pd.DataFrame) -> Composition:
    """Arrange the ratios by cell of a market.

    Parameters
    ----------
    market : Market
        The panel.
    table : pandas.DataFrame
        As of `composition_table`.

    Returns
    -------
    Composition
        Ratios of the lab's own models of that openness, else those of all labs of the openness.
    """
    found = table.set_index(["ratio", "lab", "weights"])
    keys = [
        (lab, "closed" if closed else "open")
        for lab, closed in zip(market.labs, market.is_closed, strict=True)
    ]
    own = np.array([("completion", *key) in found.index for key in keys])
    use = [key if mine else ("all", key[1]) for key, mine in zip(keys, own, strict=True)]
    picked = [found.loc[[(name, *key) for key in use]] for name in RATIOS]
    return Composition(
        names=tuple(RATIOS),
        mean=np.log(np.array([x["value"] for x in picked], dtype=np.float64)),
        sd=np.array([x["sd"] for x in picked], dtype=np.float64),
        own=own,
    )


def draw_ratio(
    c: Composition, market: Market, name: str, *, n_draws: int, rng: RngLike = None
) -> FloatArray:
    """Draw a ratio for every cell; cells of one lab and openness share their error.

    Parameters
    ----------
    c : Composition
        The ratios.
    market : Market
        The panel.
    name : str
        A key of `RATIOS`.
    n_draws : int
        Number of draws.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    ndarray, shape (n_draws, C)
        The ratio; at most 1 for parts of the tokens.
    """
    generator = resolve_rng(rng)
    j = c.names.index(name)
    keys = [f"{lab} {closed}" for lab, closed in zip(market.labs, market.is_closed, strict=True)]
    noise = generator.standard_normal((n_draws, len(set(keys))))
    share = noise[:, np.unique(keys, return_inverse=True)[1]]
    out: FloatArray = np.exp(c.mean[j] + c.sd[j] * share)
    return out if name == "requests" else np.minimum(out, 1.0)
