"""Observed shares: totals by any partition, and each treatment of tail, stealth and free rows."""

import numpy as np
import pandas as pd
import pytest

from offroute.data.snapshot import load_daily, load_models, load_roster, load_usage
from offroute.exceptions import (
    DuplicateKey,
    InvalidValue,
    NotIdentified,
    SchemaError,
    UnknownModel,
    UnknownPartition,
    UnknownWeek,
    UsageError,
)
from offroute.measurement.observed import observed_shares
from offroute.measurement.truncation import complete_other, hidden_bounds

EXACT = 1e-12
WEEK = "2026-06-01"
TREATMENTS = [
    {"tail": tail, "stealth": stealth}
    for tail in ("own row", "bounds", "completed")
    for stealth in ("own row", "bounds", "excluded")
]


@pytest.fixture(scope="module")
def usage():
    return load_usage()


@pytest.fixture(scope="module")
def models():
    return load_models()


def classes(frame, column="share"):
    return frame.set_index("class")[column].to_dict()


@pytest.fixture
def small():
    """One week: China 40 (10 of them free), US 30, stealth 10, tail 20."""
    usage = pd.DataFrame(
        {
            "week_start": pd.Timestamp(WEEK),
            "days": 7,
            "basis": "model",
            "model": ["z/a", "z/a:free", "u/b", "stealth/c", "other"],
            "tokens": [30, 10, 30, 10, 20],
        }
    )
    models = pd.DataFrame(
        {
            "model": usage["model"],
            "lab": ["Z", "Z", "U", "Stealth", "Other"],
            "origin": ["China", "China", "US", "Unidentified", "Unidentified"],
            "variant": ["standard", "free", "standard", "standard", "standard"],
        }
    )
    return usage, models


def test_every_row_is_a_class_of_its_own(small):
    got = classes(observed_shares(*small, by="origin"))
    assert got == {"China": 0.4, "US": 0.3, "Stealth": 0.1, "Other": 0.2}


def test_stealth_may_be_left_out(small):
    got = classes(observed_shares(*small, by="origin", stealth="excluded"))
    assert got == pytest.approx({"China": 40 / 90, "US": 30 / 90, "Other": 20 / 90})


def test_stealth_may_be_given_to_either_side(small):
    got = observed_shares(*small, by="origin", stealth="bounds")
    assert classes(got) == pytest.approx({"China": 0.8 * 4 / 7, "US": 0.8 * 3 / 7, "Other": 0.2})
    assert classes(got, "low") == pytest.approx({"China": 0.4, "US": 0.3, "Other": 0.2})
    # The tail is outside the top 50, stealth models are inside: it cannot be theirs.
    assert classes(got, "high") == pytest.approx({"China": 0.5, "US": 0.4, "Other": 0.2})


def test_free_rows_may_be_kept_apart_or_left_out(small):
    apart = classes(observed_shares(*small, by="origin", free="own row"))
    assert apart == {"China": 0.3, "Free": 0.1, "US": 0.3, "Stealth": 0.1, "Other": 0.2}
    without = classes(observed_shares(*small, by="origin", free="excluded"))
    assert without == pytest.approx(
        {"China": 30 / 90, "US": 30 / 90, "Stealth": 10 / 90, "Other": 20 / 90}
    )


def test_the_tail_may_go_anywhere_and_hidden_bounds_sharpen_it(usage, models):
    wide = observed_shares(usage, models, by="lab", week=WEEK, tail="bounds")
    unnamed = usage[(usage["week_start"] == WEEK) & (usage["model"] == "other")]["tokens"].sum()
    total = usage[usage["week_start"] == WEEK]["tokens"].sum()
    spread = (wide["high"] - wide["low"]).to_numpy()
    np.testing.assert_allclose(spread, unnamed / total, rtol=1e-9)
    hidden = hidden_bounds(load_daily(), load_roster(), models, by="lab")
    sharp = observed_shares(usage, models, by="lab", week=WEEK, tail="bounds", hidden=hidden)
    both = wide.merge(sharp, on="class", suffixes=("_wide", "_sharp"))
    assert (both["high_sharp"] <= both["high_wide"] + EXACT).all()
    assert (both["low_sharp"] >= both["low_wide"] - EXACT).all()
    limits = hidden[hidden["week_start"] == WEEK].set_index("class")
    both = both.set_index("class")
    room = (limits["high"] - limits["low"]) / total
    # Days and weeks are of different vintages: the tail differs by up to .05 %.
    np.testing.assert_allclose(
        both["high_sharp"] - both["low_sharp"], room.reindex(both.index), rtol=5e-4, atol=EXACT
    )
    assert room["Xiaomi"] == 0
    assert room["Anthropic"] < unnamed / total


def test_completion_is_that_of_complete_other(usage, models):
    got = observed_shares(usage, models, by="group", week=WEEK, tail="completed")
    done = complete_other(usage, models, by="group")
    done = done[done["week_start"] == WEEK].set_index("group")["tokens"]
    for name, tokens in classes(got, "tokens").items():
        assert tokens == pytest.approx(done[name], rel=EXACT)


@pytest.mark.parametrize("by", ["group", "origin", "lab", "author", "weights"])
@pytest.mark.parametrize("treatment", TREATMENTS)
def test_shares_of_a_week_add_up_and_lie_in_their_bounds(usage, models, by, treatment):
    got = observed_shares(usage, models, by=by, **treatment)
    np.testing.assert_allclose(got.groupby("week_start")["share"].sum(), 1.0, atol=EXACT)
    assert (got["low"] <= got["share"] + EXACT).all()
    assert (got["share"] <= got["high"] + EXACT).all()
    assert (got["high"] <= 1 + EXACT).all()
    assert got["week_start"].nunique() == 90
    for name, choice in treatment.items():
        assert (got[name] == choice).all()


@pytest.mark.parametrize("by", ["tier", "variant", "charging"])
@pytest.mark.parametrize("tail", ["own row", "completed"])
def test_shares_by_properties_of_models(usage, models, by, tail):
    early = usage[usage["basis"] == "model"]
    got = observed_shares(early, models, by=by, tail=tail, free="kept")
    np.testing.assert_allclose(got.groupby("week_start")["share"].sum(), 1.0, atol=EXACT)


@pytest.mark.parametrize("treatment", [{}, *TREATMENTS])
def test_the_order_of_rows_does_not_matter(usage, models, treatment):
    one = observed_shares(usage, models, by="lab", week=WEEK, **treatment)
    shuffled = usage.sample(frac=1, random_state=11), models.sample(frac=1, random_state=12)
    pd.testing.assert_frame_equal(
        one, observed_shares(*shuffled, by="lab", week=WEEK, **treatment), rtol=EXACT
    )


def test_one_week_is_that_week_of_all(usage, models):
    for week in (WEEK, "2026-09-28"):
        one = observed_shares(usage, models, by="lab", week=week, tail="bounds")
        every = observed_shares(usage, models, by="lab", tail="bounds")
        every = every[every["week_start"] == week].reset_index(drop=True)
        # A class without named tokens that week is a row of zero in the long table.
        kept = every[every["class"].isin(one["class"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(one, kept, rtol=EXACT)


def test_finer_partitions_add_up_to_coarser_ones(usage, models):
    labs = classes(observed_shares(usage, models, by="lab", week=WEEK), "tokens")
    origin = classes(observed_shares(usage, models, by="origin", week=WEEK), "tokens")
    china = set(models.loc[models["origin"] == "China", "lab"])
    assert sum(tokens for lab, tokens in labs.items() if lab in china) == origin["China"]


def test_weeks_by_lab_have_no_tiers_and_no_variants(usage, models):
    for choice in ({"by": "tier"}, {"by": "variant"}, {"free": "excluded"}, {"free": "own row"}):
        with pytest.raises(NotIdentified, match="by lab only"):
            observed_shares(usage, models, week="2026-09-28", **choice)


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ({"by": "continent"}, UnknownPartition),
        ({"by": "tokens"}, UnknownPartition),
        ({"week": "2025-06-09"}, UnknownWeek),
        ({"week": "2026-06-03"}, UnknownWeek),
        ({"tail": "zero"}, UsageError),
        ({"stealth": "US"}, UsageError),
        ({"free": "no"}, UsageError),
    ],
)
def test_unknown_choices_are_refused(usage, models, choice, error):
    with pytest.raises(error):
        observed_shares(usage, models, **choice)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda u: u.assign(tokens=-u["tokens"]), InvalidValue),
        (
            lambda u: u.assign(
                tokens=u["tokens"].astype(float).replace(40e9, np.nan).mask(u.index == 3)
            ),
            InvalidValue,
        ),
        (lambda u: u.assign(tokens=u["tokens"].astype(str) + "T"), SchemaError),
        (lambda u: pd.concat([u, u.tail(1)]), DuplicateKey),
        (lambda u: u.drop(columns="tokens"), SchemaError),
        (
            lambda u: u.assign(
                model="openai/gpt-99",
                week_start=pd.date_range("2000-01-03", periods=len(u), freq="7D"),
            ),
            UnknownModel,
        ),
    ],
)
def test_bad_rows_are_refused(usage, models, spoil, error):
    with pytest.raises(error):
        observed_shares(spoil(usage), models)
