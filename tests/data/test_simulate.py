from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from offroute.data.disclosures import (
    _SURVEY_ITEMS,
    _SURVEYS,
    POPULATION,
    SOURCES,
    cells_of,
    publish_disclosures,
)
from offroute.data.simulate import (
    N_WEEKS,
    WORLDS,
    log_ratio,
    pass_through,
    simulate_market,
)
from offroute.data.snapshot import load_crosswalk
from offroute.data.worlds import ONE_MECHANISM

SEEDS = range(12)


@pytest.fixture(scope="module")
def market():
    return simulate_market(WORLDS["calibrated"], rng=7)


def median_pass_through(world):
    slopes = []
    for seed in SEEDS:
        market = simulate_market(WORLDS[world], rng=seed)
        slopes.append(np.average(pass_through(market), weights=market.X.sum(axis=0)))
    return float(np.median(slopes))


@pytest.mark.parametrize("world", WORLDS)
def test_panel_lies_inside_the_market(world):
    market = simulate_market(WORLDS[world], rng=3)
    assert (market.X > 0).all()
    assert (market.X < market.Y).all()


def test_panel_volume_is_listed_cloaked_or_unnamed(market):
    listed = market.listed.sum(axis=1) + market.cloaked.sum(axis=1) + market.other
    whole = np.ones(N_WEEKS, dtype=bool)
    # Two weeks have lost a day; the newest ones are still to be restated.
    whole[[22, 27, *range(N_WEEKS - 8, N_WEEKS)]] = False
    # Cloaked models can fall out of the day's 50 as well: they are in both then.
    assert (listed[whole] >= market.X.sum(axis=1)[whole] * (1 - 1e-9)).all()
    published = market.usage.groupby("week_start")["tokens"].sum().to_numpy()
    np.testing.assert_allclose(published[whole], market.X.sum(axis=1)[whole], rtol=1e-6)
    late = 1 - published[-8:] / market.X.sum(axis=1)[-8:]
    assert (late >= -1e-6).all()
    assert late.max() <= 0.003
    assert late.max() > 0


def test_fifty_models_a_day_are_a_few_more_a_week(market):
    models = market.usage[market.usage["model"] != "other"].groupby("week_start").size()
    assert 50 < models.max() < 70
    assert market.other[-1] > 0.02 * market.X[-1].sum()
    assert set(market.usage.groupby("week_start")["days"].first()) == {6, 7}


def test_offline_volume_is_demand_outside_the_panel(market):
    # Promotions and cloaked models add to the panel and to the market alike.
    outside = market.Y - market.X
    demand = market.segment.sum(axis=1)
    assert (outside < demand).all()
    assert (outside > 0).all()


def test_same_seed_gives_same_bits():
    one, two = (simulate_market(WORLDS["stealth-heavy"], rng=11) for _ in range(2))
    np.testing.assert_array_equal(one.Y, two.Y)
    pd.testing.assert_frame_equal(one.usage, two.usage)
    first, second = (publish_disclosures(m, rng=5) for m in (one, two))
    pd.testing.assert_frame_equal(first.ledger, second.ledger)


def test_worlds_share_what_they_do_not_change(market):
    doubled = simulate_market(WORLDS["us-doubled"], rng=7)
    np.testing.assert_array_equal(doubled.Y, market.Y)
    plain, shifted = (publish_disclosures(m, rng=5).truth for m in (market, doubled))
    gap = (shifted["error"] - plain["error"]).groupby(plain["id"]).first()
    for source in SOURCES:
        us = source.selector.startswith(("lab:Google", "lab:OpenAI", "lab:Anthropic", "lab:xAI"))
        for week in source.weeks:
            # Rounding blurs the shift by less than a tenth.
            expected = np.log(2) if us else 0.0
            assert gap[f"{source.family}:{week}:{source.side}"] == pytest.approx(expected, abs=0.2)


def test_panel_overstates_china():
    bias = []
    for seed in SEEDS:
        m = simulate_market(WORLDS["calibrated"], rng=seed)
        bias.append(log_ratio(m.X[-1], m.groups) - log_ratio(m.Y[-1], m.groups))
    assert min(bias) > 0
    assert np.mean(bias) > 1


def test_pass_through_by_world():
    assert abs(median_pass_through("promotions")) < 0.2
    assert 0.35 < median_pass_through("calibrated") < 0.75
    assert median_pass_through("constant-coverage") > 0.9


def test_promotions_and_cloaks_follow_the_world(market):
    heavy = simulate_market(WORLDS["stealth-heavy"], rng=7)
    promoted = simulate_market(WORLDS["promotions"], rng=7)
    share = [(m.cloaked.sum() / m.X.sum(), m.promoted.sum() / m.X.sum()) for m in (market, heavy)]
    assert share[1][0] > 4 * share[0][0]
    assert promoted.promoted.sum() / promoted.X.sum() > 2 * share[0][1]
    constant = simulate_market(WORLDS["constant-coverage"], rng=7)
    assert constant.promoted.sum() == 0


def pooled_errors(world):
    frames = []
    for seed in range(60):
        m = simulate_market(WORLDS[world], rng=seed)
        published = publish_disclosures(m, rng=seed)
        frames.append(published.truth.merge(published.ledger[["id", "family", "side"]], on="id"))
    rows = pd.concat(frames)
    return rows[rows["side"].isin(["exact", "over"])]


def test_stated_budgets_are_right_in_the_calibrated_world_and_short_in_the_over_confident_one():
    stated = {s.family: np.hypot(s.q, s.sd) for s in SOURCES}
    spread = {}
    for world in ("calibrated", "over-confident"):
        rows = pooled_errors(world)
        quartiles = rows.groupby("family")["error"].quantile([0.25, 0.75]).unstack()
        spread[world] = np.mean(
            [(quartiles.loc[f, 0.75] - quartiles.loc[f, 0.25]) / 1.349 / stated[f] for f in stated]
        )
        centre = rows.groupby("family")["error"].median()[list(stated)]
        assert centre.abs().mean() < 0.2
    assert spread["calibrated"] == pytest.approx(1.0, abs=0.25)
    assert spread["over-confident"] > 1.3 * spread["calibrated"]


#: Class of the shipped crosswalk that a simulated publisher copies. Token figures of xAI have none
#: in this population: theirs are the simulation's own.
CLASSES = {
    "tokens:Google": "lab-api:Google",
    "tokens:OpenAI": "lab-api:OpenAI",
    "tokens:Microsoft": "cloud-total:Microsoft",
    "revenue:Anthropic": "company-revenue:Anthropic",
    "revenue:OpenAI": "api-revenue:OpenAI",
    "revenue:xAI": "company-revenue:xAI",
    "revenue:Alibaba": "api-revenue:Alibaba",
    "tokens:DeepSeek": "company-traffic:DeepSeek",
    "revenue:Moonshot": "company-revenue:Moonshot",
    "revenue:MiniMax": "company-revenue:MiniMax",
    "tokens:Zhipu": "company-cloud-total:Zhipu",
    "revenue:Zhipu": "company-revenue:Zhipu",
    "tokens:house A": "china-public-cloud",
    "tokens:house B": "china-enterprise",
    "tokens:host 1": "open-host:Together",
    "tokens:host 2": "open-host:Fireworks",
    "revenue:hosts": "open-host-revenue",
}


def test_publishers_have_the_factors_of_the_shipped_crosswalk():
    crosswalk = load_crosswalk()
    shipped = crosswalk[crosswalk["population"] == POPULATION].set_index("scope_class")
    assert {s.family for s in SOURCES} - {"tokens:xAI"} == set(CLASSES)
    for s in SOURCES:
        if s.family in CLASSES:
            row = shipped.loc[CLASSES[s.family]]
            assert (s.factor, s.q, s.iota) == (row["factor"], row["sd"], row["iota"]), s.family
    for selector, factor, q in _SURVEY_ITEMS:
        lab = selector.startswith("lab:")
        row = shipped.loc["enterprise-survey" if lab else "enterprise-survey-china"]
        assert (factor, q) == (row["factor"], row["sd"]), selector


def test_the_factors_of_the_survey_are_right_in_the_calibrated_world():
    """US enterprises spend on Chinese models as little, against all buyers, as the analyst says."""
    part = []
    for seed in SEEDS:
        m = simulate_market(WORLDS["calibrated"], rng=seed)
        masks = np.array([cells_of(m, selector) for selector, _, _ in _SURVEY_ITEMS])
        for week, _ in _SURVEYS:
            here = np.log(masks @ (m.price * m.segment[week, 0]))
            everywhere = np.log(masks @ (m.price * m.Y[week]))
            part.append((here - everywhere) - (here - everywhere)[:3].mean())
    stated = np.log([factor for _, factor, _ in _SURVEY_ITEMS])
    sd = np.array([q for _, _, q in _SURVEY_ITEMS])
    assert (np.abs(np.median(part, axis=0) - stated) < 0.5 * sd).all()


def test_without_bias_figures_have_small_errors():
    spread = []
    for scale in (1.0, 0.0):
        world = replace(WORLDS["calibrated"], bias_scale=scale)
        truth = publish_disclosures(simulate_market(world, rng=7), rng=5).truth
        figure = truth["id"].str.endswith((":exact", ":over"))
        spread.append(truth.loc[figure, "error"].std())
    assert spread[1] < 0.25 < 0.5 * spread[0]


def test_no_chinese_evidence_leaves_no_chinese_row():
    m = simulate_market(WORLDS["no-chinese-evidence"], rng=1)
    china = np.array([g.startswith("China") for g in m.groups])
    for selector in publish_disclosures(m, rng=1).ledger["selector"]:
        assert not china[cells_of(m, selector)].all()


def test_contradiction_moves_one_house_only(market):
    other = simulate_market(WORLDS["contradictory"], rng=7)
    plain, moved = (publish_disclosures(m, rng=5).truth for m in (market, other))
    gap = (moved["error"] - plain["error"]).groupby(plain["id"].str.split(":").str[1]).mean()
    assert gap["house B"] == pytest.approx(np.log(4), abs=0.2)
    assert gap.drop("house B").abs().max() == 0


def test_floors_and_ceilings_bound(market):
    rows = publish_disclosures(market, rng=3)
    sides = rows.truth.merge(rows.ledger[["id", "side", "value", "first_value"]], on="id")
    floors, ceilings = (sides[sides["side"] == side] for side in ("floor", "ceiling"))
    # A restatement moves a figure by a tenth.
    assert (floors["value"] < 1.3 * floors["first_value"]).all()
    assert (ceilings["value"] > 0.7 * ceilings["first_value"]).all()


def test_worlds_with_one_mechanism_are_biased_by_it_alone():
    """Without any, the panel is a part of the market; with one, its sign is the mechanism's."""
    bias = {
        name: np.mean(
            [
                log_ratio(m.X[-1], m.groups) - log_ratio(m.Y[-1], m.groups)
                for m in (simulate_market(kind, rng=seed) for seed in range(6))
            ]
        )
        for name, kind in ONE_MECHANISM.items()
    }
    assert abs(bias["none"]) < 0.05
    for name in ("direct-purchase", "reverse-selection", "price", "segments"):
        assert bias[name] > 0.15, name
    assert abs(bias["labs"]) < 0.3
