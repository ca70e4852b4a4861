"""Tiers: where a model stands in its lab's own line, by rules on names, sizes and prices."""

import re
from dataclasses import dataclass

import pandas as pd

from offroute.data.register import TAIL_MODEL, author_of, base_of

_LIGHT_WORDS = frozenset(
    [
        "mini",
        "nano",
        "flash",
        "lite",
        "haiku",
        "small",
        "tiny",
        "micro",
        "air",
        "lightning",
        "luna",
        "instant",
        "nemo",
        "scout",
        "ministral",
        "gemma",
        "fast",
    ]
)
_FLAGSHIP_WORDS = frozenset(["opus", "fable", "pro", "max", "ultra", "large", "astra"])
_MID_WORDS = frozenset(["sonnet", "plus", "medium", "sol", "terra", "maverick", "super"])
_EMBEDDINGS = frozenset(["embedding", "embed", "bge", "e5", "minilm", "guard", "safeguard"])
_FAMILIES = {"openai/gpt-3.5-turbo": "light"}

_LIGHT_SIZE_B = 20.0
_LIGHT_ACTIVE_B = 5.0
_FLAGSHIP_SIZE_B = 200.0
_FLAGSHIP_PRICE_RATIO = 0.5
_MID_PRICE_RATIO = 0.2


@dataclass(frozen=True)
class Tier:
    """Tier of a model and the rule that gave it.

    Attributes
    ----------
    tier : str
        ``flagship``, ``mid``, ``light`` or ``unclassified``.
    rule : str
        The rule that fired, with the word, size or price ratio that it saw.
    """

    tier: str
    rule: str


def _sizes(words: list[str]) -> tuple[float | None, float | None]:
    total = [float(w[:-1]) for w in words if re.fullmatch(r"\d+(\.\d+)?b", w)]
    active = [float(w[1:-1]) for w in words if re.fullmatch(r"a\d+(\.\d+)?b", w)]
    experts = any(re.fullmatch(r"\d+e", w) for w in words)
    return (None if experts or not total else max(total)), (active[0] if active else None)


def _tier_by_name(model: str) -> Tier | None:
    words = re.split(r"[-_/]", base_of(model).partition("/")[2].lower())
    for kind, vocabulary in (
        ("light", _EMBEDDINGS),
        ("light", _LIGHT_WORDS),
    ):
        hit = [w for w in words if w in vocabulary]
        if hit:
            return Tier(kind, f"name: {hit[0]}")
    total, active = _sizes(words)
    if total is not None and (
        total <= _LIGHT_SIZE_B or (active is not None and active <= _LIGHT_ACTIVE_B)
    ):
        return Tier(
            "light", f"size: {total:g}B total" + (f", {active:g}B active" if active else "")
        )
    for kind, vocabulary in (("flagship", _FLAGSHIP_WORDS), ("mid", _MID_WORDS)):
        hit = [w for w in words if w in vocabulary]
        if hit:
            return Tier(kind, f"name: {hit[0]}")
    if total is not None:
        return Tier("flagship" if total >= _FLAGSHIP_SIZE_B else "mid", f"size: {total:g}B total")
    return None


def classify_tier(model: str, *, price: float, peers: list[float]) -> Tier:
    """Return the tier of a model within its lab.

    Rules, the first that fires:

    1. tail and stealth models: unclassified;
    2. a family listed by hand (gpt-3.5-turbo: light);
    3. a word of the name that labs use for embeddings and guards, or for their small line (mini,
       nano, flash, lite, haiku, small, air, fast, luna, ...): light;
    4. a parameter count in the name of at most 20 billion in total, or 5 billion active: light;
    5. a word for the large line (opus, fable, pro, max, ultra, large, astra): flagship; for the
       middle line (sonnet, plus, medium, sol, terra, ...): mid;
    6. a parameter count of at least 200 billion: flagship, else mid;
    7. the completion list price over the median of the lab's models that rules 2-4 do not call
       light and that entered within 183 days of it: at least 0.5 flagship, at least 0.2 mid, less
       light;
    8. otherwise unclassified.

    The variant is ignored: a ``:free`` row has its sibling's tier.

    Parameters
    ----------
    model : str
        Permaslug.
    price : float
        Completion list price in USD per million tokens; NaN if none is known.
    peers : list of float
        Completion list prices of the lab's models of rule 7, its own included.

    Returns
    -------
    Tier
        Tier and rule.

    Examples
    --------
    >>> classify_tier("anthropic/claude-4.8-opus-20260528", price=25.0, peers=[25.0, 15.0])
    Tier(tier='flagship', rule='name: opus')
    >>> classify_tier("openai/gpt-5-2025-08-07", price=10.0, peers=[8.0, 10.0, 10.0]).tier
    'flagship'
    """
    author = author_of(model)
    if author in (TAIL_MODEL, "stealth", "openrouter") or model.endswith("/*"):
        return Tier("unclassified", "tail, stealth or whole-lab row")
    if base_of(model) in _FAMILIES:
        return Tier(_FAMILIES[base_of(model)], "family listed by hand")
    by_name = _tier_by_name(model)
    if by_name is not None:
        return by_name
    known = sorted(p for p in peers if p > 0)
    if not known or not price > 0:
        return Tier("unclassified", "no word, size or price")
    ratio = price / float(pd.Series(known).median())
    tier = (
        "flagship"
        if ratio >= _FLAGSHIP_PRICE_RATIO
        else "mid"
        if ratio >= _MID_PRICE_RATIO
        else "light"
    )
    return Tier(tier, f"price: {ratio:.2f} of the lab's median")


def is_light_by_name(model: str) -> bool:
    """Say whether rules 2 to 4 of `classify_tier` call the model light.

    Parameters
    ----------
    model : str
        Permaslug.

    Examples
    --------
    >>> is_light_by_name("openai/gpt-4o-mini"), is_light_by_name("openai/gpt-4o")
    (True, False)
    """
    by_name = _tier_by_name(model)
    return base_of(model) in _FAMILIES or (by_name is not None and by_name.tier == "light")
