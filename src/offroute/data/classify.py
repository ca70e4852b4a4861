"""Rules that place a model nobody has seen: lab, origin, openness, charging and tier.

A rule that does not fire leaves the model undecided; an origin or openness is never guessed.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from offroute.data.decisions import Decisions
from offroute.data.register import (
    AUTHORS,
    STEALTH,
    TAIL_MODEL,
    UNIDENTIFIED,
    author_of,
    base_of,
    group_of,
    variant_of,
)
from offroute.data.tiers import classify_tier, is_light_by_name
from offroute.exceptions import InvalidValue

PEER_DAYS = 183
GATEWAY_OPEN_LABS = frozenset(
    [
        *("deepseek", "meta", "alibaba", "moonshotai", "zai", "minimax", "stepfun", "tencent"),
        *("bytedance", "xiaomi", "inclusionai", "arcee-ai", "nvidia", "mistral", "sakana"),
        "mixedbread",
    ]
)
"""Labs of the second gateway that are counted as open as a whole; all others are closed."""

_NUMBER = re.compile(r"[va]?\d[\d.]*[bekm]?")
_PASSING = frozenset({"preview", "latest", "exp", "beta", "instruct", "it", "chat"})


@dataclass(frozen=True)
class Evidence:
    """What is known of one model before it is classified.

    Attributes
    ----------
    listed : bool
        Whether a catalogue in the cache lists it.
    hugging_face_id : str
        Repository of its weights; empty if the catalogue gives none.
    price : float
        Completion list price, USD per million tokens; NaN if none is known.
    """

    listed: bool = False
    hugging_face_id: str = ""
    price: float = np.nan


def family_of(model: str) -> str:
    """Return author and name words of a model without numbers, dates and passing words.

    Parameters
    ----------
    model : str
        Permaslug.

    Examples
    --------
    >>> family_of("qwen/qwen3.7-max-20260801"), family_of("openai/gpt-oss-120b")
    ('qwen/qwen max', 'openai/gpt oss')
    """
    author, _, name = base_of(model).partition("/")
    words = [w for w in re.split(r"[-_]", name.lower()) if not _NUMBER.fullmatch(w)]
    words = [re.sub(r"[\d.]+$", "", w) for w in words]
    return f"{author}/{' '.join(w for w in words if w and w not in _PASSING)}"


def weights_of(model: str, evidence: Evidence, register: pd.DataFrame) -> tuple[str, str] | None:
    """Return the openness of a model and the rule that gave it.

    Rules, the first that fires:

    1. the author is that of anonymous models, or its origin is not known: unidentified;
    2. the register has the same permaslug with another variant: as there;
    3. the catalogue gives a Hugging Face id: open;
    4. all models of the register with the author and the words of the name, numbers and dates
       aside, have one openness: that one, unless it is open and the catalogue lists the model
       without a Hugging Face id;
    5. the catalogue lists it at a price above zero without a Hugging Face id, and the register
       has closed models of the author and no open one: closed.

    Parameters
    ----------
    model : str
        Permaslug.
    evidence : Evidence
        What the catalogue says.
    register : pandas.DataFrame
        Models that are placed already: ``model``, ``author``, ``weights``.

    Returns
    -------
    tuple of str, or None
        ``open``, ``closed`` or ``unidentified``, and the rule; None if no rule fires.

    Examples
    --------
    >>> seen = pd.DataFrame({"model": ["x-ai/grok-5"], "author": ["x-ai"], "weights": ["closed"]})
    >>> weights_of("x-ai/grok-6", Evidence(), seen)
    ('closed', 'family grok: 1 of 1 closed')
    >>> weights_of("x-ai/grok-code-9", Evidence(), seen) is None
    True
    """
    author = author_of(model)
    lab, origin = AUTHORS.get(author, ("", ""))
    if lab == STEALTH or origin == UNIDENTIFIED:
        return "unidentified", "stealth slug" if lab == STEALTH else "author of unknown origin"
    rows = register[(register["author"] == author) & register["weights"].isin(["open", "closed"])]
    rows = rows[~rows["model"].str.endswith("/*")]
    same = rows.loc[rows["model"].map(base_of) == base_of(model), "weights"]
    if len(same):
        return str(same.iloc[0]), "same model, other variant"
    if evidence.hugging_face_id:
        return "open", f"hugging_face_id: {evidence.hugging_face_id}"
    family = rows.loc[rows["model"].map(family_of) == family_of(model), "weights"]
    if family.nunique() == 1 and not (evidence.listed and family.iloc[0] == "open"):
        words, label = family_of(model).partition("/")[2], str(family.iloc[0])
        return label, f"family {words}: {len(family)} of {len(family)} {label}"
    priced = evidence.listed and evidence.price > 0
    if priced and len(rows) and bool(rows["weights"].eq("closed").all()):
        return "closed", f"priced, no hugging_face_id, {len(rows)} closed models of the author"
    return None


def with_tiers(models: pd.DataFrame, *, entered: pd.Series, price: pd.Series) -> pd.DataFrame:
    """Return the register with the tier of each model and the rule that gave it.

    Parameters
    ----------
    models : pandas.DataFrame
        Register without tiers.
    entered : pandas.Series
        Day of the first tokens, by model; stands in where ``listed`` is missing.
    price : pandas.Series
        Completion list price, USD per million tokens, by permaslug without variant; stands before
        the price of the register.

    Returns
    -------
    pandas.DataFrame
        The rows in their order, with ``tier`` and ``tier_rule`` of `classify_tier`.
    """
    work = models.assign(
        base=models["model"].map(base_of),
        entered=models["listed"].fillna(models["model"].map(entered)),
    )
    own = models["completion"].where(models["completion"] > 0)
    work["price"] = work["base"].map(price).fillna(own)
    priced = work.drop_duplicates("base")
    priced = priced[~priced["model"].map(is_light_by_name) & priced["price"].notna()]
    tiers = []
    columns = (work[name] for name in ("model", "lab", "entered", "price"))
    for model, lab, day, own_price in zip(*columns, strict=True):
        near = (priced["entered"] - day).abs() <= pd.Timedelta(days=PEER_DAYS)
        peers = priced.loc[near & (priced["lab"] == lab), "price"].tolist()
        tiers.append(classify_tier(str(model), price=float(own_price), peers=peers))
    return models.assign(tier=[t.tier for t in tiers], tier_rule=[t.rule for t in tiers])


def classify_models(
    names: list[str], register: pd.DataFrame, catalogue: pd.DataFrame, decisions: Decisions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Place the models that the register does not have.

    Parameters
    ----------
    names : list of str
        Permaslugs with variants that are not in the register.
    register : pandas.DataFrame
        As of `load_models`.
    catalogue : pandas.DataFrame
        Newest row of each model, as of `offroute.data.openrouter_frames.catalogues`.
    decisions : Decisions
        What the user decided.

    Returns
    -------
    rows : pandas.DataFrame
        Register rows without tiers; what is undecided has origin ``Unidentified`` or openness
        ``unidentified``.
    undecided : pandas.DataFrame
        ``kind``, ``name``, what is known (``lab``, ``origin``, ``weights``), and ``reason``.
    """
    records: list[dict[Any, Any]] = catalogue.to_dict("records")
    listed = {str(row["model"]): row for row in records}
    rows: list[dict[str, Any]] = []
    open_questions: list[dict[str, str]] = []
    for name in sorted(names, key=lambda n: (":" in n, n)):
        base, author = base_of(name), author_of(name)
        found = listed.get(base)
        own = listed.get(name, found)
        evidence = Evidence()
        if own is not None:
            paid = own if found is None else found
            repository = str(own["hugging_face_id"] or paid["hugging_face_id"])
            evidence = Evidence(True, repository, float(paid["completion"]))
        lab, origin = AUTHORS.get(author, ("", ""))
        placed = pd.concat([register, pd.DataFrame(rows)]) if rows else register
        weights = weights_of(name, evidence, placed[["model", "author", "weights"]])
        reasons = [] if lab else [f"author '{author}' is in no list"]
        if weights is None:
            reasons.append("no rule for its weights")
        decided = decisions.models.get(base)
        if decided is not None:
            (lab, origin), weights = decided[:2], (decided[2], "decision of the user")
        elif reasons:
            known = {"lab": lab, "origin": origin, "weights": weights[0] if weights else ""}
            open_questions.append(
                {"kind": "model", "name": base, **known, "reason": "; ".join(reasons)}
            )
        variant, question = _variant(name, decisions)
        open_questions += question
        weights = weights or ("unidentified", "undecided")
        lab, origin = lab or author, origin or UNIDENTIFIED
        free = variant == "free" or (own is not None and own["completion"] == own["prompt"] == 0)
        rows.append(
            {
                "model": name,
                "author": author,
                "lab": lab,
                "origin": origin,
                "weights": weights[0],
                "weights_rule": weights[1],
                "group": group_of(author=author, origin=origin, weights=weights[0]),
                "variant": variant,
                "charging": "free" if free else "unknown" if own is None else "paid",
                "prompt": np.nan if found is None else found["prompt"],
                "completion": np.nan if found is None else found["completion"],
                "price_as_of": pd.NaT if found is None else found["day"],
                "listed": pd.NaT if own is None else own["listed"],
            }
        )
    columns = [c for c in register.columns if c not in ("tier", "tier_rule")]
    asked = pd.DataFrame(
        open_questions, columns=["kind", "name", "lab", "origin", "weights", "reason"]
    )
    return pd.DataFrame(rows, columns=columns), asked.drop_duplicates(["kind", "name"])


def _variant(name: str, decisions: Decisions) -> tuple[str, list[dict[str, str]]]:
    """Variant of a slug; one that is in no list is the user's to map, and standard until then."""
    suffix = name.partition(":")[2]
    if suffix in decisions.variants:
        return decisions.variants[suffix], []
    try:
        return variant_of(name), []
    except InvalidValue:
        question = {"kind": "variant", "name": suffix, "lab": "", "origin": "", "weights": ""}
        return "standard", [{**question, "reason": f"variant of {base_of(name)} is in no list"}]


def decide_again(models: pd.DataFrame, decisions: Decisions) -> pd.DataFrame:
    """Return the register with the user's decisions in place of what it had.

    Parameters
    ----------
    models : pandas.DataFrame
        Register, as of `load_models`.
    decisions : Decisions
        What the user decided.
    """
    out = models.copy()
    for i, base in zip(models.index, models["model"].map(base_of), strict=True):
        decided = decisions.models.get(base)
        if decided is None or models.at[i, "model"] == TAIL_MODEL:
            continue
        lab, origin, weights = decided
        group = group_of(author=str(models.at[i, "author"]), origin=origin, weights=weights)
        out.loc[i, ["lab", "origin", "weights", "weights_rule", "group"]] = [
            lab, origin, weights, "decision of the user", group,
        ]  # fmt: skip  # dense
    return out


def classify_gateway(
    shares: pd.DataFrame, decisions: Decisions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Place the labs of the second gateway.

    Parameters
    ----------
    shares : pandas.DataFrame
        As of `offroute.data.gateway.wide_shares`.
    decisions : Decisions
        What the user decided.

    Returns
    -------
    table : pandas.DataFrame
        The gateway table of the snapshot; ids of one lab are added up.
    undecided : pandas.DataFrame
        As of `classify_models`; until decided such a lab is closed and ``Unidentified``.
    """
    places: dict[str, tuple[str, str, str]] = {}
    asked = []
    for name in sorted(set(shares["lab"])):
        weights = "open" if name in GATEWAY_OPEN_LABS else "closed"
        if name in decisions.gateway:
            places[name] = decisions.gateway[name]
        elif name in AUTHORS:
            places[name] = (*AUTHORS[name], weights)
        else:
            places[name] = (name, UNIDENTIFIED, weights)
            asked.append(
                {"kind": "gateway", "name": name, "lab": "", "origin": "", "weights": "",
                 "reason": f"lab '{name}' is in no list"}
            )  # fmt: skip  # dense
    placed = shares["lab"].map(places)
    table = shares.assign(lab=placed.str[0], origin=placed.str[1], weights=placed.str[2])
    keys = ["date", "lab", "origin", "weights"]
    columns = ["kind", "name", "lab", "origin", "weights", "reason"]
    return table.groupby(keys, as_index=False).sum(), pd.DataFrame(asked, columns=columns)
