"""What the ledger decides about a population, and the bounds where it decides nothing."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute.inference.bounds import aggregation_bounds
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import Market

#: Part of the panel's tokens that is billed in the US: row soa_geo_us of the ledger.
_US_PART_ROW = "soa_geo_us"


@dataclass(frozen=True)
class Identification:
    """Whether a population's China-to-US ratio is identified, and what bounds it if not.

    Attributes
    ----------
    population : str
        The population.
    identified : bool
        Whether figures of absolute size exist about both sides.
    reason : str
        What is there, or what is missing.
    bounds : tuple of (str, float, float)
        Assumption, low and high share of China among China and the US.
    """

    population: str
    identified: bool
    reason: str
    bounds: tuple[tuple[str, float, float], ...]


def identify(b: Benchmarks, market: Market, week: int, ledger: pd.DataFrame) -> Identification:
    """Say whether the benchmarks identify China against the US.

    Parameters
    ----------
    b : Benchmarks
        The benchmarks of the population.
    market : Market
        The panel.
    week : int
        Index of the week, for the bounds.
    ledger : pandas.DataFrame
        The ledger, for the part of the panel's customers that is in the US.

    Returns
    -------
    Identification
        A population needs at least one exact figure of absolute size about Chinese labs and one
        about US labs. For the two US populations the panel's margins give aggregation bounds
        (Duncan and Davis 1953); self-hosted tokens are bounded from below only.
    """
    absolute = ~b.flat[b.family] & (b.side == 0)
    n_us, n_china = int((absolute & (b.origin > 0)).sum()), int((absolute & (b.origin < 0)).sum())
    if n_us and n_china:
        reason = f"{n_us} absolute figures about US labs and {n_china} about Chinese labs"
        return Identification(b.population, True, reason, ())
    x_cn, x_us = market.X[week, market.is_china].sum(), market.X[week, market.is_us].sum()
    share = float(x_cn / (x_cn + x_us))
    bounds: list[tuple[str, float, float]] = [("nothing but logic", 0.0, 1.0)]
    if b.population in ("us-startups", "us-enterprise"):
        part = float(ledger.loc[ledger["id"] == _US_PART_ROW, "value"].iloc[0]) / 100.0
        low, high = aggregation_bounds(share, part)
        bounds.append(
            (
                f"for the panel's own US customers, {part:.0%} of its tokens ({_US_PART_ROW})",
                float(np.asarray(low)),
                float(np.asarray(high)),
            )
        )
    missing = " and ".join(name for name, n in (("US", n_us), ("Chinese", n_china)) if not n)
    reason = f"no figure of absolute size about {missing} labs speaks of it ({len(b)} rows do)"
    return Identification(b.population, False, reason, tuple(bounds))
