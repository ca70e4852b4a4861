"""What the ledger decides about a population, and the bounds where it decides nothing."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute.inference.billing import BILLING_ROW, billing_parts
from offroute.inference.identified_sets import us_customers
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import Market

#: The population that no figure of absolute size speaks of, and the one that it contains.
SELF_HOST, SOLD = "world-with-self-host", "world-external-api"
#: Log sd of a survey's share as a share of tokens: who answers, and spend against usage.
_SURVEY_SD = 0.55
_SDS = 1.645


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


def identify(
    b: Benchmarks, market: Market, week: int, ledger: pd.DataFrame, *, level: float = 0.95
) -> Identification:
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
    level : float
        Probability of the interval that holds the error of that part.

    Returns
    -------
    Identification
        A population needs at least one exact figure of absolute size about Chinese labs and one
        about US labs. For the two US populations the panel's margins give aggregation bounds
        (Duncan and Davis 1953, loosened by tokens of other origins), and a survey of the population
        an interval if its shares hold for tokens within its error. Without a fit nothing bounds
        self-hosted tokens: see `offroute.inference.pipeline.identify_population`.
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
        part = billing_parts(ledger)["US"]
        total = float(market.X[week].sum() + market.stealth[week])
        rest = 1 - float(x_cn + x_us) / total
        exact, interval = us_customers(share, part, rest=rest, level=level)
        which = f"the panel's own US customers, {part:.0%} of its tokens ({BILLING_ROW})"
        bounds.append((f"for {which}", *exact))
        if interval != (0.0, 1.0):
            bounds.append(
                (f"the same, with the error of that part, {100 * level:g} % interval", *interval)
            )
    bounds += survey_bounds(ledger, b.population)
    missing = " and ".join(name for name, n in (("US", n_us), ("Chinese", n_china)) if not n)
    reason = f"no figure of absolute size about {missing} labs speaks of it ({len(b)} rows do)"
    if b.population == SELF_HOST:
        reason += (
            "; closed US models cannot be self-hosted, so that against them alone China's share is "
            f"at least that in {SOLD}"
        )
    return Identification(b.population, False, reason, tuple(bounds))


def survey_bounds(ledger: pd.DataFrame, population: str) -> list[tuple[str, float, float]]:
    r"""Read the share tables of a population as intervals of China's share in China and the US.

    .. math:: \frac{s_{CN}}{s_{CN} + s_{US}}, \qquad
       \log\frac{s_{CN}}{s_{US}} \pm 1.645 \sqrt{s^2 + .55^2}

    Parameters
    ----------
    ledger : pandas.DataFrame
        The ledger.
    population : str
        The population that the tables must speak of themselves.

    Returns
    -------
    list of (str, float, float)
        Assumption, low and high; empty without a table that has both sides.
    """
    rows = ledger[(ledger["use"] == "likelihood") & (ledger["population"] == population)]
    rows = rows[rows["form"].astype(str).str.startswith("share")]
    out = []
    for family, table in rows.groupby("family"):
        china = table[table["selector"].str.contains("origin:China")]
        us = table.drop(index=china.index)
        if not (len(china) and len(us)):
            continue
        odds = np.log(china["value"].sum() / us["value"].sum())
        reach = _SDS * np.hypot(float(china["sd"].max()), _SURVEY_SD)
        low, high = (float(1 / (1 + np.exp(-(odds + k * reach)))) for k in (-1, 1))
        name = str(family).removeprefix("share:")
        out.append((f"if shares of the survey {name} hold for tokens within its error", low, high))
    return out
