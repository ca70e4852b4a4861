"""Rules for models nobody has seen: told apart, or left to the user; never guessed."""

import numpy as np
import pandas as pd
import pytest

from offroute.data.classify import (
    Evidence,
    classify_gateway,
    classify_models,
    family_of,
    weights_of,
)
from offroute.data.decisions import Decisions
from offroute.data.refresh import weekly_usage
from offroute.data.refresh_catalogue import price_table, roster_table
from offroute.data.register import variant_of
from offroute.data.snapshot import load_models, load_prices, load_roster, load_usage


@pytest.fixture(scope="module")
def register():
    return load_models()


def catalogue(*rows):
    columns = ["day", "id", "model", "hugging_face_id", "prompt", "completion", "cache_read"]
    frame = pd.DataFrame([(*row, np.nan) for row in rows], columns=columns)
    return frame.assign(listed="2026-11-01")


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("anthropic/claude-4.8-opus-20260528", "anthropic/claude opus"),
        ("openai/gpt-5.6-luna-2026-08-01", "openai/gpt luna"),
        ("qwen/qwen3.6-35b-a3b", "qwen/qwen"),
        ("deepseek/deepseek-v4-flash-20260731:free", "deepseek/deepseek flash"),
    ],
)
def test_families(model, family):
    assert family_of(model) == family


@pytest.mark.parametrize(
    ("model", "evidence", "label"),
    [
        ("openrouter/new-alpha", Evidence(listed=True, price=0.0), "unidentified"),
        ("stealth/new", Evidence(), "unidentified"),
        ("deepseek/deepseek-r1:extended", Evidence(), "open"),
        ("x-ai/grok-99-oss", Evidence(True, "xai-org/grok-99", 1.0), "open"),
        ("anthropic/claude-9-opus", Evidence(), "closed"),
        ("anthropic/saga-1", Evidence(True, "", 9.0), "closed"),
        ("anthropic/saga-1", Evidence(True, "", 0.0), None),
        ("anthropic/saga-1", Evidence(), None),
        ("deepseek/deepseek-v9", Evidence(), "open"),
        ("deepseek/deepseek-v9", Evidence(True, "", 1.0), None),
        ("openai/saga-1", Evidence(True, "", 9.0), None),
        ("nobody/saga-1", Evidence(), None),
    ],
)
def test_the_rules_for_weights(register, model, evidence, label):
    found = weights_of(model, evidence, register)
    assert (None if found is None else found[0]) == label


def test_models_of_the_register_as_if_unseen(register):
    """Place each model listed since July 2025 from those before it; the labels are the source's."""
    entered = load_usage().groupby("model")["week_start"].min()
    day = register["listed"].fillna(register["model"].map(entered))
    named = ~register["model"].str.endswith("/*") & (
        register["model"].map(variant_of) == "standard"
    )
    known = register["weights"].isin(["open", "closed"]) & named & (day >= "2025-07-01")
    right = {"listed": [], "unlisted": []}
    for i in register.index[known]:
        model, label, price = register.loc[i, ["model", "weights", "completion"]]
        seen = register[day < day[i]]
        sources = {"listed": Evidence(True, "a/b" if label == "open" else "", price)}
        for name, evidence in (sources | {"unlisted": Evidence()}).items():
            found = weights_of(model, evidence, seen)
            right[name].append(np.nan if found is None else found[0] == label)
    # With a catalogue that gives the Hugging Face id of all open models, none is misplaced.
    listed, unlisted = (pd.Series(right[name], dtype=float) for name in ("listed", "unlisted"))
    assert len(listed) == 168
    assert listed.dropna().all()
    assert listed.isna().mean() < 0.13
    assert (unlisted == 0).sum() <= 5
    assert unlisted.isna().mean() < 0.4


def test_a_variant_has_its_siblings_row(register):
    lists = catalogue(
        ("2026-11-20", "openai/gpt-oss-9", "openai/gpt-oss-9", "openai/gpt-oss-9", 1.0, 2.0),
        ("2026-11-20", "openai/gpt-oss-9:free", "openai/gpt-oss-9:free", "", 0.0, 0.0),
    )
    names = ["openai/gpt-oss-9:free", "openai/gpt-oss-9"]
    rows, undecided = classify_models(names, register, lists, Decisions())
    assert undecided.empty
    table = rows.set_index("model")
    assert table["weights"].tolist() == ["open", "open"]
    assert table["charging"].tolist() == ["paid", "free"]
    assert table["completion"].tolist() == [2.0, 2.0]
    assert table.loc["openai/gpt-oss-9:free", "weights_rule"] == "same model, other variant"


def test_labs_of_the_second_gateway():
    shares = pd.DataFrame(
        {
            "date": pd.to_datetime(["2026-11-19"] * 4),
            "lab": ["xai", "spacexai", "deepseek", "fresh"],
            "token_share": [0.1, 0.2, 0.3, 0.4],
            "spend_share": 0.25,
            "request_share": 0.25,
        }
    )
    table, asked = classify_gateway(shares, Decisions())
    rows = table.set_index("lab")
    assert rows.loc["xAI", "token_share"] == pytest.approx(0.3)
    assert rows.loc["DeepSeek", ["origin", "weights"]].tolist() == ["China", "open"]
    assert asked["name"].tolist() == ["fresh"]
    decided = Decisions(gateway={"fresh": ("Fresh", "Korea", "open")})
    table, asked = classify_gateway(shares, decided)
    assert table.set_index("lab").loc["Fresh", ["origin", "weights"]].tolist() == ["Korea", "open"]
    assert asked.empty


def test_the_roster_goes_on_where_the_base_ends(register):
    base = load_roster()
    last = base["last"].max()
    running = base[base["last"] == last].iloc[0]
    lists = catalogue(
        *[("2026-11-01", running["model"], running["model"], "", 1.0, 1.0)],
        *[("2026-11-08", running["model"], running["model"], "", 1.0, 1.0)],
        *[("2026-11-08", "deepseek/deepseek-v9", "deepseek/deepseek-v9", "a/b", 1.0, 1.0)],
        *[("2026-11-08", "nobody/saga-1", "nobody/saga-1", "", 1.0, 1.0)],
        *[("2026-11-08", "openrouter/auto", "openrouter/auto", "", np.nan, np.nan)],
    )
    lists.loc[lists["id"] == "deepseek/deepseek-v9", "listed"] = "2026-11-05"
    table, unlisted = roster_table(lists, register, base)
    rows = table[table["last"] == "2026-11-08"].set_index("model")
    assert sorted(rows.index) == sorted([running["model"], "deepseek/deepseek-v9", "nobody/saga-1"])
    assert rows.loc[running["model"], "first"] == running["first"]
    # It was not in the vintage of the 1st, and says that it was listed on the 5th.
    assert rows.loc["deepseek/deepseek-v9", "first"] == pd.Timestamp("2026-11-05")
    assert rows.loc["deepseek/deepseek-v9", "weights"] == "open"
    assert rows.loc["nobody/saga-1", ["origin", "group"]].tolist() == ["Unidentified", "Stealth"]
    assert unlisted == 1
    assert len(table) == len(base) + 2


def test_prices_are_dated_where_they_change(register):
    slug = "anthropic/claude-4.8-opus-20260528"
    assert slug in set(register["model"])
    lists = catalogue(
        *[(f"2026-11-{day:02d}", slug, slug, "", price, 25.0) for day, price in
          ((1, 5.0), (2, 5.0), (3, 5.0), (4, 4.0), (5, 4.0))],
        *[("2026-11-01", f"{slug}:free", f"{slug}:free", "", 0.0, 0.0)],
    )  # fmt: skip  # dense
    rows = price_table(lists, register, load_prices())
    new = rows[rows["source"] == "catalogue"]
    assert new["as_of"].dt.day.tolist() == [1, 4, 5]
    assert new["prompt"].tolist() == [5.0, 4.0, 4.0]


def test_a_week_that_lacks_a_day_is_no_week():
    days = pd.date_range("2025-06-09", "2025-06-22").difference([pd.Timestamp("2025-06-15")])
    usage, partial = weekly_usage(pd.DataFrame({"date": days, "model": "other", "tokens": 1}))
    assert usage["week_start"].dt.strftime("%Y-%m-%d").tolist() == ["2025-06-16"]
    assert [day.isoformat() for day in partial] == ["2025-06-09"]
