"""The register: origin, openness, variant and tier, and the rules behind them."""

import pandas as pd
import pytest

from offroute.data.frames import PARTITIONS, check_partition, resolve_week
from offroute.data.register import (
    AUTHORS,
    GROUPS,
    base_of,
    class_labels,
    group_of,
    join_register,
    lab_and_origin,
    variant_of,
)
from offroute.data.snapshot import load_gateway, load_models, load_roster, load_usage
from offroute.data.tiers import classify_tier
from offroute.exceptions import InvalidValue, UnknownModel, UnknownPartition, UnknownWeek


@pytest.fixture(scope="module")
def models():
    return load_models()


def test_every_model_of_the_usage_table_is_in_the_register(models):
    assert set(load_usage()["model"]) == set(models["model"])


def test_join_keeps_rows_and_their_order(models):
    usage = load_usage().sample(frac=1, random_state=3)
    joined = join_register(usage, models)
    assert joined["model"].tolist() == usage["model"].tolist()
    assert joined["group"].notna().all()


def test_join_refuses_a_model_without_a_row(models):
    usage = pd.DataFrame({"model": ["openai/gpt-99", "other"], "tokens": [1, 2]})
    with pytest.raises(UnknownModel, match="gpt-99"):
        join_register(usage, models)


def test_groups_follow_from_origin_and_openness(models):
    assert set(models["group"]) == set(GROUPS)
    expected = [
        group_of(author=a, origin=o, weights=w)
        for a, o, w in zip(models["author"], models["origin"], models["weights"], strict=True)
    ]
    assert models["group"].tolist() == expected


@pytest.mark.parametrize("frame", [load_models, load_roster, load_gateway])
def test_labs_have_one_origin(frame):
    table = frame()
    named = table[~table["lab"].isin(["Stealth", "Other"])]
    assert (named.groupby("lab")["origin"].nunique() == 1).all()


def test_whole_lab_rows_follow_their_rule(models):
    rows = models[models["model"].str.endswith("/*")].set_index("author")
    closed = ["anthropic", "openai", "google", "x-ai", "meta"]
    assert (rows.loc[closed, "weights"] == "closed").all()
    assert rows.loc["nvidia", "group"] == "US open"
    # Most of Qwen's tokens in the last four weeks by model are those of closed models.
    assert rows.loc["qwen", "weights"] == "closed"
    assert rows.loc["qwen", "weights_rule"].startswith("70% of the author's tokens")
    assert rows.loc[["stealth", "typesafe"], "weights"].tolist() == ["unidentified"] * 2


def test_a_free_row_has_its_siblings_tier(models):
    tiers = models.assign(base=models["model"].map(base_of)).groupby("base")["tier"].nunique()
    assert (tiers == 1).all()


def test_one_gateway_lab_is_xai_under_its_later_name():
    assert lab_and_origin("spacexai") == lab_and_origin("x-ai") == ("xAI", "US")


def test_an_unknown_author_is_refused_not_guessed():
    with pytest.raises(UnknownModel, match="newlab"):
        lab_and_origin("newlab")


def test_every_author_has_a_lab():
    assert all(lab and origin for lab, origin in AUTHORS.values())


def test_an_unknown_variant_is_refused():
    with pytest.raises(InvalidValue, match="nitro"):
        variant_of("openai/gpt-4o:nitro")


@pytest.mark.parametrize(
    ("model", "price", "peers", "tier", "rule"),
    [
        ("other", 1.0, [1.0], "unclassified", "tail, stealth or whole-lab row"),
        ("openrouter/owl-alpha", 1.0, [1.0], "unclassified", "tail, stealth or whole-lab row"),
        ("openai/*", 1.0, [1.0], "unclassified", "tail, stealth or whole-lab row"),
        ("openai/gpt-3.5-turbo", 1.5, [1.5], "light", "family listed by hand"),
        ("openai/text-embedding-3-large", 0.1, [0.1], "light", "name: embedding"),
        ("openai/gpt-5-mini-2025-08-07", 2.0, [2.0], "light", "name: mini"),
        ("openai/gpt-5.6-luna-pro-20260709", 1.2, [1.2], "light", "name: luna"),
        ("minimax/minimax-m2", 1.0, [1.0], "flagship", "price: 1.00 of the lab's median"),
        ("qwen/qwen3-8b-04-28", 9.0, [1.0], "light", "size: 8B total"),
        ("qwen/qwen3-30b-a3b-04-28", 9.0, [1.0], "light", "size: 30B total, 3B active"),
        ("openai/gpt-oss-120b", 0.6, [10.0], "mid", "size: 120B total"),
        ("meta-llama/llama-3.1-405b-instruct", 1.0, [1.0], "flagship", "size: 405B total"),
        ("meta-llama/llama-4-maverick-17b-128e-instruct", 1.0, [1.0], "mid", "name: maverick"),
        ("anthropic/claude-4-sonnet-20250522", 15.0, [75.0], "mid", "name: sonnet"),
        ("google/gemini-2.5-pro", 10.0, [1.0], "flagship", "name: pro"),
        ("x/model-a", 5.0, [10.0], "flagship", "price: 0.50 of the lab's median"),
        ("x/model-a", 4.9, [10.0], "mid", "price: 0.49 of the lab's median"),
        ("x/model-a", 2.0, [10.0], "mid", "price: 0.20 of the lab's median"),
        ("x/model-a", 1.9, [10.0], "light", "price: 0.19 of the lab's median"),
        ("x/model-a", float("nan"), [10.0], "unclassified", "no word, size or price"),
        ("x/model-a", 3.0, [], "unclassified", "no word, size or price"),
    ],
)
def test_the_first_rule_that_fires_gives_the_tier(model, price, peers, tier, rule):
    got = classify_tier(model, price=price, peers=peers)
    assert (got.tier, got.rule) == (tier, rule)


def test_most_tokens_have_a_tier(models):
    usage = load_usage()
    rows = join_register(usage[usage["basis"] == "model"], models)
    rows = rows[~rows["group"].isin(["Other", "Stealth"])]
    without = rows.loc[rows["tier"] == "unclassified", "tokens"].sum()
    assert without / rows["tokens"].sum() < 0.02


def test_class_labels_keep_stealth_and_tail_apart(models):
    by_name = dict(zip(models["model"], class_labels(models, by="lab"), strict=True))
    assert by_name["typesafe/*"] == "TypeSafe"
    assert by_name["openrouter/owl-alpha"] == "Stealth"
    by_kind = dict(zip(models["model"], class_labels(models, by="weights"), strict=True))
    assert by_kind["typesafe/*"] == "Stealth"
    assert by_kind["other"] == "Other"


def test_partitions_are_register_columns(models):
    assert set(PARTITIONS) <= set(models.columns)


def test_an_unknown_partition_is_refused_with_the_nearest():
    with pytest.raises(UnknownPartition, match="Use 'origin'"):
        check_partition("origins_")


@pytest.mark.parametrize("week", ["2026-06-02", "2025-06-09", "soon", "", "2030-01-07"])
def test_an_unknown_week_is_refused(week):
    with pytest.raises(UnknownWeek, match="2025-01-06 to 2026-10-05"):
        resolve_week(load_usage(), week)


def test_a_week_of_an_empty_table_is_refused():
    with pytest.raises(UnknownWeek, match="no week at all"):
        resolve_week(load_usage().head(0), "2026-06-01")


def test_a_week_may_be_a_date():
    week = pd.Timestamp("2026-06-01")
    assert resolve_week(load_usage(), week.date()) == week
    assert resolve_week(load_usage(), "2026-06-01") == week
