"""Bounds of a week against hand computation and linear programs."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from offroute.data.snapshot import (
    load_daily,
    load_ledger,
    load_models,
    load_roster,
    load_usage,
)
from offroute.exceptions import InvalidValue, UsageError
from offroute.inference.identification import survey_bounds
from offroute.inference.identified_sets import (
    by_openness,
    disclosed_range,
    nested_table,
    self_hosting_break_even,
    truncation_table,
    us_customers,
)
from offroute.inference.pipeline import identify_population, load_market
from offroute.inference.shares import Volumes
from offroute.measurement.audit import audit_weeks
from offroute.measurement.truncation import hidden_bounds

F = 1.645


@pytest.fixture(scope="module")
def hidden():
    return hidden_bounds(load_daily(), load_roster(), load_models(), by="origin")


@pytest.fixture(scope="module")
def audit():
    return audit_weeks(load_usage(), load_models())


def test_disclosed_range_by_hand(toy):
    market = toy.market()
    rows = [
        {"family": "tokens:OpenAI", "cells": [0, 1], "week": 1, "y": 5.0, "s": 0.3, "q": 0.4},
        {"family": "tokens:OpenAI", "cells": [0, 1], "week": 2, "y": 4.0, "iota": 1.0},
        {"family": "tokens:OpenAI", "cells": [0, 1], "week": 6, "y": 9.0},
        {"family": "revenue:Anthropic", "cells": [2], "week": 3, "y": 6.0, "money": True, "s": 0.1},
        {"family": "tokens:China", "cells": [4, 5, 6], "week": 3, "y": 4.5, "s": 0.5, "iota": 1.0},
        {"family": "tokens:Alibaba", "cells": [6], "week": 3, "y": 2.0, "side": 1, "iota": 1.0},
    ]
    b = toy.benchmarks(market, rows)
    low, high = disclosed_range(market, b, 4, china=False)
    openai = np.exp(5.0 - F * 0.5) + market.X[1, :2].sum()
    anthropic = np.exp(6.0 - F * 0.1) / market.price[3, 2] + market.X[3, 2]
    assert low == pytest.approx(openai + anthropic)
    assert high == np.inf
    low, high = disclosed_range(market, b, 4, china=True)
    assert low == pytest.approx(np.exp(2.0 - F * 0.2))
    assert high == pytest.approx(np.exp(4.5 + F * 0.5))


def test_rows_nest_and_refutations_are_named(toy):
    market = toy.market()
    rows = [
        {"family": "tokens:OpenAI", "cells": [0, 1], "week": 3, "y": 6.0, "s": 0.1},
        {"family": "tokens:China", "cells": [4, 5, 6], "week": 3, "y": 3.2, "s": 0.1, "iota": 1.0},
    ]
    table = nested_table(market, toy.benchmarks(market, rows), 3, coverage_ratio=30.0)
    table = table.set_index("assumption")
    told = table.loc["... and figures within their errors"]
    X = market.X[3]
    upper = np.exp(3.2 + F * 0.1) / (np.exp(6.0 - F * 0.1) + X[:2].sum())
    assert told["high"] == pytest.approx(upper)
    assert told["leads"] == "US"
    even = table.loc["... or coverage odds within a factor of 2"]
    assert even["note"] == "refuted by the figures"
    assert np.isnan(even["high"])
    point = table.iloc[-1]
    naive = X[market.is_china].sum() / X[market.is_us].sum()
    assert point["low"] == point["high"] == pytest.approx(naive / 30)
    free = nested_table(market, toy.benchmarks(market, rows), 3, ceilings=False)
    assert free.set_index("assumption").loc["... and figures within their errors", "high"] == np.inf
    low = [{"family": "tokens:China", "cells": [4, 5, 6], "week": 3, "y": 0.0, "iota": 1.0}]
    conflict = nested_table(market, toy.benchmarks(market, low), 3)
    assert "refuted by the figures" in conflict["note"].tolist()


def test_openness_alone_runs_from_the_panel_to_the_closed_models(toy):
    market = toy.market()
    X = market.X[3]
    low, high = by_openness(market, 3)
    r = np.exp(np.linspace(0, 12, 200))[:, None]
    factor = np.where(market.is_closed, r, 1.0)
    path = np.log(
        (factor * X)[:, market.is_china].sum(axis=1) / (factor * X)[:, market.is_us].sum(axis=1)
    )
    assert high == pytest.approx(path[0])
    assert low == pytest.approx(path[-1], abs=1e-4)
    assert low <= path.min()


def test_us_customers_are_the_acceptance_case():
    # Acceptance case 6: China .46 of all, US customers .47 of volume.
    bounds, interval = us_customers(0.46, 0.47)
    np.testing.assert_allclose(bounds, [0.0, 0.978723], atol=1e-6)
    assert interval[0] <= bounds[0]
    assert interval[1] >= bounds[1]
    assert us_customers(0.46, 0.47, sd=0.0) == (bounds, bounds)
    # Tokens of other origins can only loosen the bounds.
    wide, _ = us_customers(0.46, 0.8, rest=0.1)
    plain, _ = us_customers(0.46, 0.8)
    assert wide[0] < plain[0] < plain[1] < wide[1]


@pytest.mark.parametrize(
    "wrong", [{"share": 46.0}, {"part": 0.0}, {"rest": 1.0}, {"rest": -0.1}, {"sd": -1.0}]
)
def test_us_customers_refuse_wrong_input(wrong):
    with pytest.raises((UsageError, InvalidValue)):
        us_customers(**({"share": 0.46, "part": 0.47} | wrong))


def test_truncation_bounds_are_those_of_the_linear_program(audit, hidden):
    week = pd.Timestamp("2026-06-01")
    table = truncation_table(audit, hidden, week).set_index("what")
    row = audit.set_index("week_start").loc[week]
    of_week = hidden[hidden["week_start"] == week].set_index("class")
    names = list(of_week.index)
    box = list(zip(of_week["low"] / 1e12, of_week["high"] / 1e12, strict=True))
    total = [of_week["unnamed"].iloc[0] / 1e12]
    ends = {}
    for sign, which in ((1, "low"), (-1, "high")):
        c = np.array([sign * ((n == "China") - (n == "US")) for n in names], dtype=float)
        x = linprog(c, A_eq=np.ones((1, len(c))), b_eq=total, bounds=box, method="highs").x
        hid = dict(zip(names, x * 1e12, strict=True))
        ends[which] = (row["china"] + hid["China"]) / (row["us"] + hid["US"])
    found = table.loc["... and the unnamed rest"]
    assert found["low"] == pytest.approx(ends["low"], rel=1e-9)
    assert found["high"] == pytest.approx(ends["high"], rel=1e-9)
    wide = table.loc["... and stealth models, all to either side"]
    assert wide["low"] <= found["low"] <= found["high"] <= wide["high"]
    press = table.loc["the nine models of the chart", "low"]
    assert press == pytest.approx(row["top_china"] / row["top_us"])


def test_without_daily_data_all_of_the_rest_goes_either_way(audit, hidden):
    week = pd.Timestamp("2026-09-28")
    table = truncation_table(audit, hidden, week).set_index("what")
    row = audit.set_index("week_start").loc[week]
    assert "the nine models of the chart" not in table.index
    wide = table.loc["... and stealth models, all to either side"]
    np.testing.assert_allclose(
        wide[["low", "high"]].astype(float), row[["ratio_low", "ratio_high"]].astype(float)
    )


def test_self_hosting_that_evens_the_ratio():
    labels = pd.DataFrame(
        {
            "group": ["China open", "China closed", "US closed", "Stealth"],
            "origin": ["China", "China", "US", "Stealth"],
        }
    )
    Y = np.array([[10.0, 5.0, 45.0, 1.0], [10.0, 5.0, 12.0, 1.0]])
    v = Volumes("world-external-api", "2026-06-01", Y[0], Y, labels, 0.0)
    np.testing.assert_allclose(self_hosting_break_even(v), [3.0, 0.0])


def test_a_survey_of_the_population_bounds_it_and_a_lone_side_does_not():
    ledger = load_ledger()
    ((name, low, high),) = survey_bounds(ledger, "us-enterprise")
    assert "Menlo-2025H2" in name
    # 1 % of usage is Chinese, 40 + 27 + 21 % of spend goes to the three US labs.
    middle = np.sqrt(low / (1 - low) * high / (1 - high))
    assert middle == pytest.approx(1 / 88, rel=1e-9)
    assert survey_bounds(ledger, "us-startups") == []
    assert survey_bounds(ledger, "world-external-api") == []


@pytest.mark.parametrize("name", ["us-startups", "us-enterprise", "world-with-self-host"])
def test_three_populations_are_bounded_and_not_estimated(name):
    found = identify_population(name, week="2026-06-01", market=load_market())
    assert not found.identified
    assert found.bounds[0][1:] == (0.0, 1.0)
    assert all(0 <= low <= high <= 1 for _, low, high in found.bounds)
    assert ("self-hosted" in found.reason) == (name == "world-with-self-host")
    assert len(found.bounds) >= (1 if name == "world-with-self-host" else 2)
