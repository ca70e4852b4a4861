"""Dollars, requests, text units: composition by hand, draws against known truth, gateway check."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from offroute.data.snapshot import load_composition, load_gateway, load_ledger, load_models
from offroute.exceptions import InvalidValue, NotIdentified, UsageError
from offroute.inference.mechanisms.counterfactual import china_over_us, panel_volumes
from offroute.inference.mechanisms.dollars import (
    check_prices,
    shares_by_unit,
    unit_effect,
    unit_factors,
)
from offroute.inference.mechanisms.text_units import tokenizer_bounds, tokenizers, without_part
from offroute.inference.pipeline import load_market
from offroute.measurement.composition import (
    composition_table,
    draw_ratio,
    market_composition,
)

WEEK = "2026-06-01"


@pytest.fixture(scope="module")
def real():
    market = load_market()
    table = composition_table(load_composition(), load_models())
    return SimpleNamespace(
        market=market,
        table=table,
        composition=market_composition(market, table),
        v=panel_volumes(market, WEEK),
    )


def made_composition(rows):
    """Rows of model, prompt, completion, cached, requests in three like snapshots."""
    days = pd.to_datetime(["2026-01-05", "2026-01-12", "2026-01-19"])
    frame = pd.DataFrame(
        [
            {
                "snapshot_date": day,
                "model": model,
                "total": p + o,
                "prompt": p,
                "completion": o,
                "reasoning": o / 2,
                "cached": k,
                "requests": n,
                "is_free": False,
            }
            for day in days
            for model, p, o, k, n in rows
        ]
    )
    return frame


def test_composition_by_hand():
    c = made_composition(
        [
            ("anthropic/claude-4.5-sonnet-20250929", 90.0, 10.0, 60.0, 2.0),
            ("google/gemini-2.5-flash", 98.0, 2.0, 0.0, 50.0),
        ]
    )
    table = composition_table(c, load_models()).set_index(["ratio", "lab"])
    assert table.loc[("completion", "Anthropic"), "value"] == pytest.approx(0.1)
    assert table.loc[("cached", "Anthropic"), "value"] == pytest.approx(0.6)
    assert table.loc[("reasoning", "Anthropic"), "value"] == pytest.approx(0.05)
    assert table.loc[("requests", "Google"), "value"] == pytest.approx(0.5)
    assert table.loc[("completion", "all"), "value"] == pytest.approx(12 / 200)
    # Like snapshots have no spread; a zero becomes a hundredth of the pooled ratio.
    assert table.loc[("completion", "Anthropic"), "sd"] == pytest.approx(0.0, abs=1e-12)
    assert table.loc[("cached", "Google"), "value"] == pytest.approx(0.01 * 0.3)
    with pytest.raises(NotIdentified):
        composition_table(c.assign(prompt=np.nan), load_models())


def test_labs_without_a_composition_are_pooled_and_wider(real):
    c, labs = real.composition, np.array(real.market.labs)
    assert not c.own[labs == "ByteDance"].any()
    assert c.own[labs == "Anthropic"].all()
    own, pooled = c.sd[0, labs == "Anthropic"][0], c.sd[0, labs == "ByteDance"][0]
    assert pooled > 2 * own


def test_cells_of_a_lab_share_their_error(real):
    draws = draw_ratio(real.composition, real.market, "completion", n_draws=50, rng=0)
    labs = np.array(real.market.labs)
    cells = np.flatnonzero((labs == "Anthropic") & real.market.is_closed)
    np.testing.assert_allclose(draws[:, cells[0]], draws[:, cells[1]])
    assert (draws <= 1).all()


def test_unit_shares_of_a_known_market(real):
    """Prices without error: the dollar share is that of price times tokens."""
    t = int(np.flatnonzero(real.market.weeks == np.datetime64(WEEK))[0])
    exact = {
        "tokens": np.ones((1, len(real.v.X))),
        "dollars": np.append(real.market.price[t], 0.0)[None],
    }
    table = shares_by_unit(real.v, exact).set_index(["unit", "class"])
    spend = real.market.X[t] * real.market.price[t]
    expected = spend[real.market.is_china].sum() / spend.sum()
    assert table.loc[("dollars", "China"), "naive"] == pytest.approx(expected)
    np.testing.assert_allclose(table.groupby(level="unit")[["naive", "corrected"]].sum(), 1.0)
    effect = unit_effect(real.v, exact, "dollars", evidence=("prices",))
    us = spend[real.market.is_us].sum()
    tokens = float(china_over_us(real.v, real.v.X))
    truth = np.log(spend[real.market.is_china].sum() / us) - tokens
    np.testing.assert_allclose(effect.effect, truth, rtol=1e-9)
    np.testing.assert_allclose(effect.estimate, np.exp(truth), rtol=1e-9)
    with pytest.raises(UsageError):
        unit_effect(real.v, exact, "tokens", evidence=())


def test_price_errors_of_the_stated_size_are_covered(real):
    """True prices off by the stated sd, a lab at a time: the dollar ratio is inside 90 %."""
    t = int(np.flatnonzero(real.market.weeks == np.datetime64(WEEK))[0])
    f = unit_factors(real.market, real.composition, week=WEEK, price_sd=0.4, n_draws=800, rng=0)
    q = f["dollars"]
    low, high = np.quantile(china_over_us(real.v, q * real.v.X), [0.05, 0.95])
    rng, labs = np.random.default_rng(1), np.unique(real.market.labs, return_inverse=True)[1]
    inside, runs = 0, 400
    for _ in range(runs):
        error = rng.normal(0, np.hypot(0.4, 0.1), labs.max() + 1)[labs]
        price = np.append(real.market.price[t] * np.exp(error), 0.0)
        inside += low <= china_over_us(real.v, price * real.v.X) <= high
    assert abs(inside / runs - 0.9) <= 4 * np.sqrt(0.09 / runs) + 0.02
    # Misread by a factor of ten on one side, the interval misses.
    wrong = np.append(np.where(real.market.is_china, 10.0, 1.0) * real.market.price[t], 0.0)
    assert not low <= china_over_us(real.v, wrong * real.v.X) <= high


def test_the_gateway_agrees_with_itself(real):
    """Spend made of our own prices: no gap, and a gap where one lab's price is doubled."""
    t = int(np.flatnonzero(real.market.weeks == np.datetime64(WEEK))[0])
    gateway = load_gateway()
    labs = np.array(real.market.labs)
    price = {
        lab: real.market.price[t, labs == lab] @ X / X.sum()
        for lab in set(labs)
        if (X := real.market.X[t, labs == lab]).sum() > 0
    }
    made = gateway[gateway["lab"].isin(price)].copy()
    made["spend_share"] = made["token_share"] * made["lab"].map(price)
    found = check_prices(real.market, made, week=WEEK)
    assert found.sd == pytest.approx(0.0, abs=1e-9)
    made.loc[made["lab"] == "Google", "spend_share"] *= 2
    gap = check_prices(real.market, made, week=WEEK).table.set_index("lab")["gap"]
    assert gap["Google"] == pytest.approx(-np.log(2))
    with pytest.raises(NotIdentified):
        check_prices(real.market, gateway[gateway["lab"] == "Google"], week=WEEK)


def test_real_prices_are_within_a_factor_two_of_the_gateway(real):
    found = check_prices(real.market, load_gateway(), week=WEEK)
    assert 0 < found.sd < np.log(2)
    assert len(found.table) >= 8


def test_tokenizer_bounds_are_attained_and_contain_every_case(real):
    low, high = tokenizer_bounds(real.v, spread=1.3)
    plain = float(china_over_us(real.v, real.v.X))
    china = (real.v.labels["origin"] == "China").to_numpy()
    fixed = (real.v.labels["lab"] == "OpenAI").to_numpy()
    rng = np.random.default_rng(0)
    labs = np.unique(real.v.labels["lab"], return_inverse=True)[1]
    for _ in range(200):
        kappa = np.exp(rng.uniform(-1, 1, labs.max() + 1) * np.log(1.3))[labs]
        kappa = np.where(fixed, 1.0, kappa)
        assert low <= china_over_us(real.v, real.v.X / kappa) - plain <= high
    corner = np.where(fixed, 1.0, np.where(china, 1 / 1.3, 1.3))
    assert china_over_us(real.v, real.v.X / corner) - plain == pytest.approx(high)


def test_known_tokenizers_narrow_the_bounds(real):
    wide = tokenizer_bounds(real.v)
    known = {lab: (1.1, 1.1) for lab in set(real.v.labels["lab"])}
    exact = tokenizer_bounds(real.v, {**known, "OpenAI": (1.1, 1.1)})
    assert exact == pytest.approx((0.0, 0.0))
    half = tokenizer_bounds(real.v, {"Anthropic": (1.0, 1.35)})
    assert wide[0] < half[0] <= half[1] <= wide[1]
    with pytest.raises(InvalidValue):
        tokenizer_bounds(real.v, spread=0.9)
    with pytest.raises(InvalidValue):
        tokenizer_bounds(real.v, {"Anthropic": (2.0, 1.0)})
    assert tokenizers(real.v, load_ledger()).strength == "bounds only"


def test_tokens_without_cache_by_hand(real):
    """Composition without error: what is left of each lab is one less its cached part."""
    flat = replace(real.composition, sd=np.zeros_like(real.composition.sd))
    effect = without_part(real.v, real.market, flat, "cached")
    left = np.append(1 - np.exp(flat.mean[flat.names.index("cached")]), 1.0)
    truth = china_over_us(real.v, left * real.v.X) - china_over_us(real.v, real.v.X)
    np.testing.assert_allclose(effect.effect, truth, rtol=1e-9)
    with pytest.raises(UsageError):
        without_part(real.v, real.market, flat, "silence")
