"""Model register, dated list prices and catalogue roster."""

import inspect
import re
from pathlib import Path

import numpy as np
import pandas as pd
from snapshot_io import OPENROUTER_CITATION, About

from offroute.data.classify import with_tiers
from offroute.data.register import (
    TAIL_MODEL,
    author_of,
    base_of,
    group_of,
    lab_and_origin,
    variant_of,
)
from offroute.data.tiers import classify_tier

METADATA_DAY = pd.Timestamp("2026-09-14")
GENAI_DAY = pd.Timestamp("2026-11-23")
DOMINANT_WEEKS = 4
OPEN_AUTHORS = frozenset(
    [
        "ai21",
        "allenai",
        "baidu",
        "bytedance",
        "deepcogito",
        "essentialai",
        "ibm-granite",
        "mancer",
        "meituan",
        "prime-intellect",
        "rekaai",
        "sakana",
        "undi95",
    ]
)
"""Catalogue authors outside the register that mostly publish weights (our judgement)."""
CLOSED_AS_A_WHOLE = ("anthropic", "openai", "google", "x-ai", "meta")
_WEIGHTS = {"open-weights": "open", "proprietary": "closed", "unidentified": "unidentified"}
_CHARGING = {"paid": "paid", "free-endpoint": "free", "unidentified": "unknown"}


def _metadata(source: Path) -> pd.DataFrame:
    return pd.read_csv(
        source / "openrouter/model_metadata_2026-09.csv", parse_dates=["listed_on_openrouter"]
    ).rename(columns={"model_permaslug": "model"})


def _wayback(source: Path) -> pd.DataFrame:
    frame = pd.read_csv(
        source / "openrouter/completion_price_history_wayback_2023-07_2026-06.csv.gz"
    )
    frame["as_of"] = pd.to_datetime(frame["snapshot_at"].str[:10])
    return frame.rename(columns={"completion_usd_per_m": "completion"})


def _key(model: str) -> tuple[str, frozenset[str]]:
    """Return author and name words without dates: claude-opus-4 equals claude-4-opus."""
    author, _, name = base_of(model).partition("/")
    name = re.sub(r"-(20\d{6}|20\d\d-\d\d-\d\d|\d\d-20\d\d|\d\d-\d\d$)(?=-|$)", "", name)
    name = re.sub(r"-(\d)-(\d)(?=-|$)", r"-\1.\2", name)
    return author, frozenset(name.split("-"))


def _stamp(model: str) -> pd.Timestamp:
    found = re.search(r"-(20\d\d)-?(\d\d)-?(\d\d)(?=-|$)", base_of(model))
    try:
        return pd.Timestamp("-".join(found.groups())) if found else pd.Timestamp("2000-01-01")
    except ValueError:
        return pd.Timestamp("2000-01-01")


def map_ids(ids: pd.Series, days: pd.Series, models: list[str]) -> pd.Series:
    """Return the permaslug of each catalogue id: exact, else same author and words.

    Of several dated permaslugs with the same words, the newest one dated up to seven days after
    the day seen.
    """
    standard = [m for m in models if variant_of(m) == "standard" and m.count("/") == 1]
    by_key: dict[tuple[str, frozenset[str]], list[str]] = {}
    for model in standard:
        by_key.setdefault(_key(model), []).append(model)
    known = set(standard)

    def one(pair: tuple[str, pd.Timestamp]) -> str | None:
        name, day = pair
        if name in known:
            return name
        if ":" in name or "/" not in name:
            return None
        fits = [m for m in by_key.get(_key(name), []) if _stamp(m) <= day + pd.Timedelta(days=7)]
        return max(fits, key=_stamp) if fits else None

    pairs = list(zip(ids, days, strict=True))
    table = {pair: one(pair) for pair in set(pairs)}
    return pd.Series([table[pair] for pair in pairs], index=ids.index, dtype="object")


def prices(source: Path, models: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return dated list prices of register models, and the ids per source without a model."""
    names = models["model"].tolist()
    meta = _metadata(source)
    meta = meta[meta["model"].map(variant_of).eq("standard") & meta["model"].ne(TAIL_MODEL)]
    parts = [
        pd.DataFrame(
            {
                "model": meta["model"],
                "as_of": METADATA_DAY,
                "prompt": meta["prompt_usd_per_m"],
                "completion": meta["completion_usd_per_m"],
                "cache_read": np.nan,
                "source": "catalogue 2026-09",
            }
        )
    ]
    way = _wayback(source)
    parts.append(way.assign(prompt=np.nan, cache_read=np.nan, source="archived catalogue"))
    genai = pd.read_csv(source / "openrouter/catalog_prices_genai_prices_0.2.3.csv.gz")
    genai = genai[genai["provider"] == "openrouter"].copy()
    genai["start"] = pd.to_datetime(genai["start_date"])
    genai = genai[~(genai["start"] > GENAI_DAY)]
    first = genai.groupby("model_id")["start"].min() - pd.Timedelta(days=1)
    base_day = genai["model_id"].map(first).fillna(GENAI_DAY)
    parts.append(
        genai.assign(
            as_of=genai["start"].fillna(base_day),
            prompt=genai["input_usd_per_m"],
            completion=genai["output_usd_per_m"],
            cache_read=genai["cache_read_usd_per_m"],
            source="genai-prices 0.2.3",
        )
    )
    top = pd.read_csv(
        source / "openrouter/weekly_token_composition_top10_2025-11-16_2026-05-11.csv",
        parse_dates=["snapshot_date"],
    )
    top = top[~top["is_free"]]
    parts.append(
        pd.DataFrame(
            {
                "model": top["model_permaslug"],
                "as_of": top["snapshot_date"],
                "prompt": top["prompt_price_usd_per_token"] * 1e6,
                "completion": top["completion_price_usd_per_token"] * 1e6,
                "cache_read": top["cache_read_price_usd_per_token"] * 1e6,
                "source": "rankings page",
            }
        )
    )
    unmapped: dict[str, int] = {}
    for i, part in enumerate(parts):
        ids = part["model_id"] if "model_id" in part else part["model"]
        mapped = map_ids(ids, part["as_of"], names)
        unmapped[str(part["source"].iloc[0])] = int(ids[mapped.isna()].nunique())
        parts[i] = part.assign(model=mapped)[mapped.notna()]
    columns = ["model", "as_of", "prompt", "completion", "cache_read", "source"]
    table = pd.concat([part[columns] for part in parts], ignore_index=True)
    values = ["prompt", "completion", "cache_read"]
    table[values] = table[values].round(4)
    table = table.dropna(subset=values, how="all")
    table = table[~(table["completion"].eq(0) & table["prompt"].fillna(0).eq(0))]
    table = table.drop_duplicates(["model", "as_of", "source"])
    return _change_points(table, values), unmapped


def _change_points(table: pd.DataFrame, values: list[str]) -> pd.DataFrame:
    """Keep the first and last sighting of each price within a model and source."""
    table = table.sort_values(["model", "source", "as_of"])
    keys = table[["model", "source", *values]].fillna(-1.0)
    new = keys.ne(keys.shift()).any(axis=1)
    last = keys.ne(keys.shift(-1))[["model", "source"]].any(axis=1)
    return table[new | last]


def _tier_prices(meta: pd.DataFrame, source: Path) -> pd.Series:
    """Return a completion price per standard model: catalogue, else the last archived one."""
    way = _wayback(source)
    way["model"] = map_ids(way["model_id"], way["as_of"], meta["model"].tolist())
    last = way.dropna(subset=["model"]).sort_values("as_of").groupby("model")["completion"].last()
    own = meta.set_index("model")["completion_usd_per_m"]
    own = own.where(own > 0)
    return own.fillna(last.reindex(own.index))


def _lab_rows(usage: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return register rows for the whole-lab rows '<author>/*'."""
    recent = usage[usage["basis"] == "model"]
    weeks = sorted(recent["week_start"].unique())[-DOMINANT_WEEKS:]
    recent = recent[recent["week_start"].isin(weeks)].merge(models, on="model")
    sums = recent.groupby(["author", "weights"])["tokens"].sum().unstack(fill_value=0)
    rows = []
    for name in sorted(set(usage.loc[usage["model"].str.endswith("/*"), "model"])):
        author = name.removesuffix("/*")
        if author in CLOSED_AS_A_WHOLE:
            weights, rule = "closed", "whole lab counted as closed"
        elif author == "stealth" or author not in sums.index:
            weights, rule = "unidentified", "no row by model to go by"
        else:
            weights = str(sums.loc[author].idxmax())
            share = sums.loc[author, weights] / sums.loc[author].sum()
            rule = (
                f"{share:.0%} of the author's tokens, {weeks[0]:%Y-%m-%d} to {weeks[-1]:%Y-%m-%d}"
            )
        rows.append({"model": name, "weights": weights, "weights_rule": rule})
    return pd.DataFrame(rows)


def register(source: Path, usage: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model of the usage table."""
    meta = _metadata(source)
    models = pd.DataFrame({"model": meta["model"], "author": meta["author"]})
    models["weights"] = meta["weights"].map(_WEIGHTS)
    models["weights_rule"] = "label of the source"
    models["charging"] = meta["charging"].map(_CHARGING)
    models["prompt"] = meta["prompt_usd_per_m"]
    models["completion"] = meta["completion_usd_per_m"]
    priced = models["prompt"].notna() | models["completion"].notna()
    models["price_as_of"] = pd.Series(METADATA_DAY, index=models.index).where(priced)
    models["listed"] = meta["listed_on_openrouter"]
    labs = _lab_rows(usage, models).assign(charging="unknown")
    models = pd.concat([models, labs], ignore_index=True)
    models["author"] = models["model"].map(author_of)
    both = models["author"].map(lab_and_origin)
    models["lab"], models["origin"] = both.str[0], both.str[1]
    models["group"] = [
        group_of(author=a, origin=o, weights=w)
        for a, o, w in zip(models["author"], models["origin"], models["weights"], strict=True)
    ]
    models["variant"] = models["model"].map(variant_of)
    entered = usage.groupby("model")["week_start"].min()
    return with_tiers(models, entered=entered, price=_tier_prices(meta, source))


def roster(source: Path, models: pd.DataFrame) -> pd.DataFrame:
    """Return the catalogue as spells: id, class, first and last day in the window."""
    frame = pd.read_csv(
        source / "openrouter/catalog_avg_price_daily_2026-05-24_2026-08-22.csv.gz",
        parse_dates=["date"],
    ).rename(columns={"model_id": "model"})
    price = frame["avg_prompt_completion_usd_per_token"]
    # Negative prices mark routers and '~' marks aliases: neither is a model with tokens of its own.
    frame = frame[(price >= 0) & ~frame["model"].str.match("~|openrouter/free$")]
    frame = frame.sort_values(["model", "date"])
    gap = frame["date"].diff().ne(pd.Timedelta(days=1)) | frame["model"].ne(frame["model"].shift())
    frame["spell"] = gap.cumsum()
    spells = frame.groupby(["model", "spell"], as_index=False).agg(
        first=("date", "min"), last=("date", "max")
    )
    spells["author"] = spells["model"].map(author_of)
    both = spells["author"].map(lab_and_origin)
    spells["lab"], spells["origin"] = both.str[0], both.str[1]
    register_rows = models[~models["model"].str.endswith("/*")]
    exact = register_rows.set_index("model")["weights"]
    slug = map_ids(spells["model"].map(base_of), spells["last"], models["model"].tolist())
    majority = register_rows.groupby("author")["weights"].agg(lambda w: w.mode().iloc[0])
    judged = spells["author"].isin(OPEN_AUTHORS).map({True: "open", False: "closed"})
    spells["weights"] = slug.map(exact).fillna(spells["author"].map(majority)).fillna(judged)
    spells["group"] = [
        group_of(author=a, origin=o, weights=w)
        for a, o, w in zip(spells["author"], spells["origin"], spells["weights"], strict=True)
    ]
    return spells[spells["author"] != TAIL_MODEL]


_MODELSEASON = (
    "falercia/modelseason public/data.json at 01eea155aa2ead8c6655a4a898890e9297d6c195 "
    "(origin, openness, charging, list prices about 2026-09-14)"
)
_WAYBACK = (
    "OpenRouter /api/v1/models at 150 archived captures 2023-07 to 2026-06, "
    "pluriholonomic/ai-routing analysis/h18_dataset.parquet (completion prices)"
)

_RULES_DOC = inspect.getdoc(classify_tier) or ""
TIER_RULES = " ".join(
    _RULES_DOC[_RULES_DOC.index("Rules, ") : _RULES_DOC.index("Parameters")].split()
)

ABOUT_MODELS = About(
    title="Register of the models in the usage table",
    source=(_MODELSEASON, _WAYBACK),
    citation=OPENROUTER_CITATION.format(as_of="2026-09-14"),
    licence="CC BY 4.0",
    as_of="2026-09-14",
    derived=(
        "Labels of origin and openness are the source's judgement; lab names and groups are ours "
        "(offroute.data.register). Whole-lab rows '<author>/*': Anthropic, OpenAI, Google, xAI and "
        "Meta as closed, other authors by the openness of most of their tokens in the last four "
        "weeks by model. Tiers by offroute.data.tiers.classify_tier, with the completion list "
        f"price or, for delisted models, the last archived one. {TIER_RULES}"
    ),
)


def about_prices(unmapped: dict[str, int]) -> About:
    """Return the sidecar text of the price table with the counts of ids left out."""
    left = "; ".join(f"{name}: {n}" for name, n in unmapped.items())
    return About(
        title="Dated list prices of models in the register",
        source=(
            _MODELSEASON,
            _WAYBACK,
            "PyPI package genai-prices 0.2.3 (MIT), provider openrouter",
            "johnbean393/openrouter-inference-stats data/*.json at "
            "02966a2eb8a98972f942d1abe5a5d7a80fc479f9",
        ),
        citation=OPENROUTER_CITATION.format(as_of="2026-11-23"),
        licence="CC BY 4.0; genai-prices MIT",
        as_of="2026-11-23",
        derived=(
            "Ids mapped to standard permaslugs: exact, else same author and the same set of name "
            "words without dates (the newest permaslug dated up to seven days after the day "
            "seen). First and last sighting of each price per model and source. Zero prices "
            f"dropped. Ids without a register model, by source: {left}. A genai-prices base price "
            "is dated the day before its first dated change, else 2026-11-23."
        ),
    )


ABOUT_ROSTER = About(
    title="Catalogue ids of OpenRouter by spell, 2026-05-24 to 2026-08-22",
    source=(
        "OpenRouter /api/v1/models by day, CasualStudy/casualstudy-portfolio "
        "data/openrouter-prices.json at 48879aed4527f40e629560a3007315276f29157c",
    ),
    citation=OPENROUTER_CITATION.format(as_of="2026-08-22"),
    licence="CC BY 4.0",
    as_of="2026-08-22",
    derived=(
        "Ids with a price of zero or more, without routers and '~' aliases, as unbroken spells of "
        "days (the source may date an id too early: stealth/ox-alpha is there from 2026-05-24). "
        "Openness: the register row the id maps to, else the author's most frequent label, else "
        "our judgement (authors outside the register)."
    ),
)
