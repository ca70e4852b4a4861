"""Mechanisms of selection on volumes whose coverage is known in closed form."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from offroute.estimators.synthesis import synthesise
from offroute.exceptions import InvalidValue, NotIdentified, UnknownPartition, UsageError
from offroute.inference.mechanisms.counterfactual import (
    SELECTION,
    china_over_us,
    direction_of,
    panel_volumes,
    pool_coverage,
    selection_log_ratio,
    triple,
)
from offroute.inference.mechanisms.coverage import (
    coverage_by_lab,
    direct_purchase,
    prior_driven,
)
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.mechanisms.tiers import tier_mix, tier_selection
from offroute.inference.shares import Volumes, volumes
from offroute.inference.waterfall import waterfall

LABELS = pd.DataFrame(
    [
        ("US closed", "OpenAI", "flagship", "US", "closed"),
        ("US closed", "OpenAI", "light", "US", "closed"),
        ("US open", "Anthropic", "light", "US", "open"),
        ("China open", "DeepSeek", "flagship", "China", "open"),
        ("China open", "DeepSeek", "light", "China", "open"),
        ("China closed", "Alibaba", "flagship", "China", "closed"),
        ("Stealth",) * 5,
    ],
    columns=["group", "lab", "tier", "origin", "weights"],
)
X = np.array([2.0, 4.0, 1.0, 3.0, 5.0, 1.0, 2.0])


def made(multiplier, n=400):
    """Volumes whose multiplier Y / X is known, with a common factor that varies by draw."""
    common = np.exp(np.random.default_rng(0).normal(0, 0.2, (n, 1)))
    Y = X * np.asarray(multiplier) * common
    Y[:, -1] = X[-1]
    return Volumes("world-external-api", "2026-06-01", X, Y, LABELS, 0.0)


@pytest.fixture(scope="module")
def fit(toy):
    market = toy.market()
    posterior = synthesise(market, toy.benchmarks(market, toy.rows), n_draws=600, rng=0)
    return SimpleNamespace(posterior=posterior, v=volumes(posterior, 3), market=market)


def test_one_coverage_for_all_is_the_panel(fit):
    pooled = pool_coverage(fit.v, [])
    np.testing.assert_allclose(
        china_over_us(fit.v, pooled.Y), float(china_over_us(fit.v, fit.v.X)), rtol=1e-12
    )
    np.testing.assert_allclose(pooled.Y.sum(axis=1), fit.v.Y.sum(axis=1), rtol=1e-12)


def test_a_coverage_for_each_cell_is_the_market(fit):
    pooled = pool_coverage(fit.v, ["lab", "weights", "tier"])
    np.testing.assert_allclose(pooled.Y, fit.v.Y, rtol=1e-12)


@pytest.mark.parametrize("by", [["weights"], ["origin"], ["lab"], ["tier"], ["origin", "weights"]])
def test_any_partition_gives_a_whole_market(by):
    v = made([9.0, 7, 3, 2, 4, 5, 1])
    pooled = pool_coverage(v, by)
    np.testing.assert_allclose(pooled.Y.sum(axis=1), v.Y.sum(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(pooled.Y[:, -1], v.Y[:, -1])
    for key in v.labels[by].drop_duplicates().itertuples(index=False):
        member = (v.labels[by] == pd.Series(key._asdict())).all(axis=1).to_numpy()
        np.testing.assert_allclose(
            pooled.Y[:, member].sum(axis=1), v.Y[:, member].sum(axis=1), rtol=1e-12
        )


def test_partition_must_exist():
    with pytest.raises(UnknownPartition):
        pool_coverage(made(np.ones(7)), ["colour"])
    with pytest.raises(UsageError):
        selection_log_ratio(made(np.ones(7)), ["gravity"])


def test_a_class_off_the_panel_keeps_its_volume():
    v = made([9.0, 7, 3, 2, 4, 5, 1])
    dark = replace(v, X=np.where(LABELS["lab"] == "Alibaba", 0.0, v.X))
    np.testing.assert_array_equal(pool_coverage(dark, ["lab"]).Y[:, 5], v.Y[:, 5])


def test_direct_purchase_alone_is_found_with_its_size(fit):
    """Closed models at coverage 1/20, open ones at 1/5: the effect follows by hand."""
    v = made([20.0, 20, 5, 5, 5, 20, 1])
    found = direct_purchase(fit.posterior, v)
    china, us = 20.0 * 1 + 5 * 8, 20.0 * 6 + 5 * 1
    truth = np.log(china / us) - np.log(9 / 7)
    np.testing.assert_allclose(found.effect, truth, rtol=1e-9)
    np.testing.assert_allclose(found.estimate, 4.0, rtol=1e-9)
    assert found.direction == "panel overstates China"
    alone = selection_log_ratio(v, ["direct-purchase"])
    np.testing.assert_allclose(alone, np.log(china / us), rtol=1e-9)


def test_no_selection_has_no_effect(fit):
    v = made([7.0] * 6 + [1.0])
    found = direct_purchase(fit.posterior, v)
    np.testing.assert_allclose(found.effect, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.estimate, 1.0, rtol=1e-12)


def test_direct_purchase_needs_open_and_closed_models(fit):
    v = made(np.ones(7))
    closed = (LABELS["weights"] == "closed").to_numpy()
    with pytest.raises(NotIdentified):
        direct_purchase(fit.posterior, replace(v, X=np.where(closed, 0.0, v.X)))


def test_waterfall_over_selection_goes_from_panel_to_market():
    v = made([20.0, 10, 5, 4, 6, 12, 1])
    steps = waterfall(list(SELECTION), lambda on: selection_log_ratio(v, on))
    assert steps.start == pytest.approx(float(china_over_us(v, v.X)))
    assert steps.end == pytest.approx(china_over_us(v, v.Y).mean())
    # A lab has one origin: the two mechanisms add the same.
    np.testing.assert_allclose(steps.step[1], steps.step[2])


def test_tier_alone_is_found_with_its_size(fit):
    """Flagships at 12, light models at 3 elsewhere for one on the panel."""
    light = np.array([t == "light" for t in LABELS["tier"]])
    v = made(np.where(light, 4.0, 13.0), n=300)
    v = replace(v, Y=np.tile(v.X * np.where(light, 4.0, 13.0), (300, 1)))
    found = tier_selection(fit.posterior, v)
    np.testing.assert_allclose(found.estimate, 4.0, rtol=1e-9)
    china, us = 13.0 * 4 + 4 * 5, 13.0 * 2 + 4 * 5
    np.testing.assert_allclose(found.effect, np.log(china / us) - np.log(9 / 7), rtol=1e-9)
    mix = tier_mix(v).set_index(["lab", "tier"])
    assert mix.loc[("OpenAI", "flagship"), "panel"] == pytest.approx(1 / 3)
    assert mix.loc[("OpenAI", "flagship"), "elsewhere"] == pytest.approx(24 / (24 + 12))
    np.testing.assert_allclose(mix.groupby(level="lab")[["panel", "elsewhere"]].sum(), 1.0)


def test_tiers_need_a_lab_with_both(fit):
    one = LABELS.assign(tier="mid")
    with pytest.raises(NotIdentified):
        tier_selection(fit.posterior, replace(made(np.full(7, 3.0)), labels=one))


def test_coverage_by_lab_is_that_of_the_volumes(fit):
    table = coverage_by_lab(fit.posterior, fit.v).set_index("lab")
    lab = fit.v.labels["lab"].to_numpy()
    for name in table.index:
        of = lab == name
        expected = np.quantile(fit.v.X[of].sum() / fit.v.Y[:, of].sum(axis=1), [0.05, 0.5, 0.95])
        np.testing.assert_allclose(table.loc[name, ["low", "coverage", "high"]], list(expected))
    assert table.loc["OpenAI", "basis"] == "own figures"
    assert set(table.loc["OpenAI", "families"].split(", ")) == {
        "revenue:OpenAI",
        "share:survey",
        "tokens:OpenAI",
    }
    assert table.loc["Alibaba", "shared"] == 1
    assert "Stealth" not in table.index


def test_a_lab_without_figures_is_pooled_and_wider(toy):
    """The same market without the rows on one lab: its coverage is that of its group, and wider."""
    market = toy.market()
    rows = [r for r in toy.rows if 2 not in r["cells"]]
    without = synthesise(market, toy.benchmarks(market, rows), n_draws=600, rng=0)
    with_ = synthesise(market, toy.benchmarks(market, toy.rows), n_draws=600, rng=0)
    told, pooled = (
        coverage_by_lab(p, volumes(p, 3)).set_index("lab").loc["Anthropic"]
        for p in (with_, without)
    )
    assert (told["basis"], pooled["basis"]) == ("own figures", "pooled")
    assert np.log(pooled["high"] / pooled["low"]) > 1.2 * np.log(told["high"] / told["low"])
    assert pooled["contraction"] < told["contraction"]


def test_prior_driven_labs_are_named():
    table = pd.DataFrame({"lab": ["A", "B"], "contraction": [0.1, 0.9]})
    assert prior_driven(table) == ["A"]


def test_panel_volumes_are_the_panel(fit):
    v = panel_volumes(fit.market, str(fit.market.weeks[3]))
    np.testing.assert_array_equal(v.Y[0], fit.v.X)
    assert v.labels.equals(fit.v.labels)


def test_direction_and_triple():
    assert direction_of((0.1, 0.2, 0.3)) == "panel understates China"
    assert direction_of((-0.3, -0.2, -0.1)) == "panel overstates China"
    assert direction_of((-0.1, 0.0, 0.1)) == "either"
    assert triple(np.arange(101.0), 0.8) == pytest.approx((10.0, 50.0, 90.0))


def test_a_side_without_tokens_is_not_identified():
    v = made(np.ones(7))
    with pytest.raises(NotIdentified):
        china_over_us(v, np.where(LABELS["origin"] == "US", 0.0, v.X))


PLAIN = {
    "critique": "C1",
    "mechanism": "m",
    "population": "panel",
    "week": "2026-06-01",
    "parameter": "p",
    "estimate": (1.0, 2.0, 3.0),
    "effect": (-np.inf, np.nan, np.inf),
    "level": 0.9,
    "evidence": (),
    "direction": "either",
    "strength": "bounds only",
    "note": "",
}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"direction": "up"}, UsageError),
        ({"strength": "certain"}, UsageError),
        ({"level": 90}, UsageError),
        ({"parameter": ""}, InvalidValue),
        ({"estimate": (3.0, 2.0, 1.0)}, InvalidValue),
        ({"effect": (0.5, np.nan, -0.5)}, InvalidValue),
        ({"effect": (0.5, 0.6)}, InvalidValue),
        ({"strength": "strong"}, InvalidValue),
        ({"effect": (-1.0, 0.0, 1.0)}, InvalidValue),
        ({"direction": "panel overstates China"}, InvalidValue),
        ({"effect": (0.5, np.nan, 0.9)}, InvalidValue),
    ],
)
def test_effect_refuses_what_a_table_must_not_print(change, error):
    assert Effect(**PLAIN).strength == "bounds only"
    with pytest.raises(error):
        Effect(**(PLAIN | change))
