r"""Token inflation (C10): tokenizers, cache reads and reasoning.

With :math:`\kappa_l` the tokens that lab l's tokenizer makes of a common text, over those of the
reference, volumes in a common text unit are :math:`Y_l / \kappa_l`. Where nothing is published
about a tokenizer its ratio lies in a stated range, and the log ratio of China to the US in

.. math:: \Big[\log \frac{\sum_{CN} Y_l / \kappa^h_l}{\sum_{US} Y_l / \kappa^l_l},\;
   \log \frac{\sum_{CN} Y_l / \kappa^l_l}{\sum_{US} Y_l / \kappa^h_l}\Big] ,

which the corners attain.
"""

import numpy as np
import pandas as pd

from offroute._checks import check_choice, check_finite
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue
from offroute.inference.mechanisms.counterfactual import china_over_us, direction_of, triple
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes
from offroute.measurement.composition import Composition, draw_ratio
from offroute.measurement.market import Market

#: Ledger rows: a tokenizer over its predecessor, one over English for Chinese text, the reference.
EVIDENCE = ("tok_claude47", "cn_tokeniser", "tok_words_gpt")
#: Widest published ratio of two tokenizers on one text: row tok_claude47.
SPREAD = 1.35
#: The lab whose tokenizer is the reference.
REFERENCE = "OpenAI"
PARTS = ("cached", "reasoning")
#: What is left of a token at least.
_LEAST = 0.01


def tokenizer_bounds(
    v: Volumes, known: dict[str, tuple[float, float]] | None = None, *, spread: float = SPREAD
) -> tuple[float, float]:
    """Bound the change of log(China / US) from native tokens to a common text unit.

    Parameters
    ----------
    v : Volumes
        The week; the panel's volumes are used.
    known : dict of str to tuple of float, optional
        Least and most of a lab's tokens over those of the reference for the same text. The
        reference has 1; the others the range of `spread`.
    spread : float
        Largest ratio of a tokenizer of which nothing is known to the reference, at least 1.

    Returns
    -------
    tuple of float
        Sharp bounds.

    Raises
    ------
    InvalidValue
        If a ratio is not above 0 or out of order, or the spread is below 1.
    """
    check_finite(spread, name="spread", minimum=1)
    table = {REFERENCE: (1.0, 1.0), **(known or {})}
    for lab, (least, most) in table.items():
        if not 0 < least <= most:
            raise InvalidValue(
                f"known['{lab}']",
                got=(least, most),
                rule="must be positive and in order",
                next_step="Give tokens of the lab over tokens of the reference.",
            )
    ends = np.array([table.get(lab, (1 / spread, spread)) for lab in v.labels["lab"]]).T
    china = (v.labels["origin"] == "China").to_numpy()
    plain = china_over_us(v, v.X)
    # Many tokens for a text make a lab's volume small: China large and the US small, and back.
    low, high = (
        float(china_over_us(v, v.X / np.where(china, ends[a], ends[1 - a])) - plain) for a in (1, 0)
    )
    return low, high


def tokenizers(
    v: Volumes, ledger: pd.DataFrame, *, spread: float = SPREAD, level: float = 0.9
) -> Effect:
    """Bound what tokenizers do to China against the US.

    Parameters
    ----------
    v : Volumes
        The week.
    ledger : pandas.DataFrame
        The ledger, for the evidence rows that exist.
    spread : float
        Largest ratio to the reference where nothing is published.
    level : float
        Printed; the bounds hold surely if the spread does.

    Returns
    -------
    Effect
        Bounds only: no row compares the tokenizers of Chinese and US labs on one English text.

    Raises
    ------
    InvalidValue
        If the spread is below 1.
    """
    low, high = tokenizer_bounds(v, spread=spread)
    ids = set(ledger["id"])
    return Effect(
        critique="C10",
        mechanism="tokenizers: a common text unit",
        population="panel",
        week=v.week,
        parameter="tokens for a text over the reference tokenizer's (ratio, stated range)",
        estimate=(1 / spread, float("nan"), spread),
        effect=(low, float("nan"), high),
        level=level,
        evidence=tuple(row for row in EVIDENCE if row in ids),
        direction="either",
        strength="bounds only",
        note=f"every tokenizer but {REFERENCE}'s within a factor {spread:g}, the widest published "
        "ratio; naive: native tokens",
    )


def without_part(
    v: Volumes,
    market: Market,
    composition: Composition,
    part: str,
    *,
    level: float = 0.9,
    rng: int = 0,
) -> Effect:
    """Say what leaving out cache reads, or reasoning, does to China against the US.

    Parameters
    ----------
    v : Volumes
        Corrected volumes, k draws.
    market : Market
        The panel.
    composition : Composition
        As of `market_composition`.
    part : {'cached', 'reasoning'}
        What is left out.
    level : float
        Probability of the interval.
    rng : int
        Seed.

    Returns
    -------
    Effect
        The parameter is what is left of a Chinese token over what is left of a US token.

    Raises
    ------
    UsageError
        If there is no such part.

    Notes
    -----
    Assumes that a lab's tokens elsewhere have the composition of those on the panel, and a lab
    without a composition that of its openness, with the spread between labs.
    """
    check_choice(part, PARTS, name="part")
    taken = draw_ratio(composition, market, part, n_draws=len(v.Y), rng=rng)
    left: FloatArray = np.column_stack([1 - taken, np.ones(len(v.Y))])
    # A token that is all cache still weighs something, so that both sides keep a volume.
    left = np.maximum(left, _LEAST)
    effect = triple(china_over_us(v, left * v.Y) - china_over_us(v, v.Y), level)
    low, middle, high = (float(x) for x in np.exp(effect))
    name = {"cached": "cache reads", "reasoning": "reasoning"}[part]
    return Effect(
        critique="C10",
        mechanism=f"tokens without {name}",
        population=v.population,
        week=v.week,
        parameter=f"part left without {name}, China over the US (ratio)",
        estimate=(low, middle, high),
        effect=effect,
        level=level,
        evidence=("composition",),
        direction=direction_of(effect),
        strength="weak",
        note="composition of the ten largest models on the panel; naive: all tokens",
    )
