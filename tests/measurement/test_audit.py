"""Headline audit: the press's figures, and what the panel itself leaves open."""

import numpy as np
import pandas as pd
import pytest

from offroute.data.snapshot import load_models, load_usage
from offroute.exceptions import UnknownModel, UsageError
from offroute.measurement.audit import PRESS, audit_weeks, first_lasting, press_check, spells


@pytest.fixture(scope="module")
def table():
    return audit_weeks(load_usage(), load_models()).set_index("week_start")


def days(runs):
    return [(f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}") for first, last in runs]


# Sums over the source files by an independent route (derived_weekly_by_origin, 2026-11-23: top-nine
# and all named models, trillions of tokens).
@pytest.mark.parametrize(
    ("week", "top_china", "top_us", "china", "us"),
    [
        ("2026-02-09", 4.119, 2.933, 5.456, 6.510),
        ("2026-03-09", 4.683, 3.288, 6.008, 8.646),
        ("2026-05-18", 9.214, 4.924, 12.630, 12.163),
    ],
)
def test_the_press_rule_beside_all_named_models(table, week, top_china, top_us, china, us):
    got = table.loc[week, ["top_china", "top_us", "china", "us"]].to_numpy(float) / 1e12
    assert got.round(3).tolist() == [top_china, top_us, china, us]


def test_press_figures_are_met_by_the_press_rule(table):
    check = press_check(table.reset_index())
    assert len(check) == len(PRESS) == 3
    # Printed to three digits, before restatements.
    np.testing.assert_allclose(check["top_china"], check["press_china"], rtol=2.5e-3)
    np.testing.assert_allclose(check["top_us"], check["press_us"], rtol=2.5e-3)
    assert check["source"].str.len().min() > 0


def test_china_leads_for_good_on_all_named_models_from_late_april(table):
    weeks = table.index.to_series()
    assert first_lasting(weeks, table["leads"]) == pd.Timestamp("2026-04-27")
    assert days(spells(weeks, table["leads"])) == [
        ("2026-03-23", "2026-03-30"),
        ("2026-04-27", "2026-10-05"),
    ]


def test_the_lead_that_no_hidden_model_can_undo(table):
    sure = days(spells(table.index.to_series(), table["leads_surely"]))
    assert sure == [
        ("2026-03-23", "2026-03-30"),
        ("2026-06-01", "2026-09-21"),
        ("2026-10-05", "2026-10-05"),
    ]
    assert not table.loc["2026-09-28", "leads_surely"]


def test_against_closed_models_alone_china_leads_from_mid_march(table):
    ahead = table["china"] > table["us_closed"]
    assert days(spells(table.index.to_series(), ahead))[-1][0] <= "2026-04-27"
    assert ahead.loc["2026-03-16"]
    assert not ahead.loc["2026-03-09"]


def test_the_parts_add_up(table):
    parts = table[["china", "us", "stealth", "unnamed", "rest"]].sum(axis=1)
    assert (parts == table["total"]).all()
    assert (table["us_closed"] <= table["us"]).all()
    assert (table["top_china"].dropna() <= table["china"].loc[table["top_china"].notna()]).all()
    assert (table["ratio_low"] <= table["ratio"]).all()
    assert (table["ratio"] <= table["ratio_high"]).all()


def test_weeks_by_lab_have_no_largest_models(table):
    lab = table[table["basis"] == "lab"]
    assert len(lab) == 4
    assert lab[["top_china", "top_us", "top_share"]].isna().all(axis=None)


def test_the_nine_largest_models_are_about_half_of_the_panel(table):
    share = table.loc["2026-02-02":"2026-09-07", "top_share"]
    assert 0.42 < share.min() < share.max() < 0.70


def week_of(china, us, unassigned):
    usage = pd.DataFrame(
        {
            "week_start": pd.Timestamp("2026-06-01"),
            "days": 7,
            "basis": "model",
            "model": ["z/a", "z/b", "u/a", "u/b", "stealth/c", "other"],
            "tokens": [*china, *us, *unassigned],
        }
    )
    models = pd.DataFrame(
        {
            "model": usage["model"],
            "origin": ["China", "China", "US", "US", "Unidentified", "Unidentified"],
            "group": ["China open", "China open", "US closed", "US open", "Stealth", "Other"],
        }
    )
    return usage, models


def test_closed_form_of_the_bounds():
    # Case 1 of the design: top models 18 against 5.5, all named 19 against 14, 3 unassigned.
    scale = 10
    usage, models = week_of((180, 10), (55, 85), (20, 10))
    row = audit_weeks(usage, models, top=3).iloc[0]
    assert row["top_china"] / scale == 18.0
    assert row["ratio"] == pytest.approx(1.357143, abs=5e-7)
    assert row["ratio_low"] == pytest.approx(1.117647, abs=5e-7)
    assert row["ratio_high"] == pytest.approx(1.571429, abs=5e-7)
    assert row["china"] / (row["china"] + row["us"]) == pytest.approx(0.575758, abs=5e-7)


def test_the_largest_models_are_taken_by_size_with_ties_by_name():
    usage, models = week_of((50, 20), (20, 5), (40, 1))
    row = audit_weeks(usage, models, top=3).iloc[0]
    # z/a 50, stealth 40, and of the two with 20 the first by name.
    assert (row["top_china"], row["top_us"]) == (50, 20)
    shuffled = usage.sample(frac=1, random_state=1)
    pd.testing.assert_series_equal(audit_weeks(shuffled, models, top=3).iloc[0], row)


def test_a_week_without_us_tokens_has_no_ratio():
    usage, models = week_of((50, 20), (0, 0), (0, 0))
    row = audit_weeks(usage, models).iloc[0]
    assert np.isnan(row["ratio"])
    assert row["leads_surely"]


@pytest.mark.parametrize("shift", ["china", "us"])
def test_the_verdicts_are_ordered(shift):
    china, us = ((60, 0), (0, 31)) if shift == "china" else ((31, 0), (0, 60))
    row = audit_weeks(*week_of(china, us, (20, 20))).iloc[0]
    assert row["leads_surely"] <= row["leads"] <= row["leads_possibly"]
    assert row["leads"] == (shift == "china")
    assert not row["leads_surely"]
    assert row["leads_possibly"]


def test_runs_of_flags():
    weeks = pd.Series(pd.date_range("2026-01-05", periods=4, freq="7D"))
    assert spells(weeks, pd.Series([False] * 4)) == []
    assert first_lasting(weeks, pd.Series([True, True, True, False])) is None
    assert first_lasting(weeks, pd.Series([True] * 4)) == weeks[0]


def test_bad_calls_are_refused():
    usage, models = week_of((1, 1), (1, 1), (1, 1))
    with pytest.raises(UsageError, match="top"):
        audit_weeks(usage, models, top=0)
    with pytest.raises(UnknownModel):
        audit_weeks(usage, models.head(3))
