"""Populations, factors of the crosswalk and self-hosting with a known truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroute.data.snapshot import load_ledger
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import InvalidValue, NotIdentified, SchemaError
from offroute.inference.identification import Identification
from offroute.inference.mechanisms.counterfactual import china_over_us
from offroute.inference.mechanisms.crosswalk import (
    compare_populations,
    factor_sensitivity,
    population_bounds,
    population_effect,
    scores,
)
from offroute.inference.mechanisms.self_hosting import (
    chinese_part,
    self_hosting,
    with_any_self_run,
    with_self_run,
)
from offroute.inference.shares import Volumes, volumes
from offroute.measurement.ledger import take


@pytest.fixture(scope="module")
def tables(toy):
    market = toy.market()
    b = toy.benchmarks(market, toy.rows)
    ledger = pd.DataFrame({"id": b.ids, "scope_class": [b.families[f] for f in b.family]})
    crosswalk = pd.DataFrame({"scope_class": sorted(set(ledger["scope_class"]))})
    crosswalk = crosswalk.assign(population="world-external-api", factor=1.0, sd=0.4)
    return market, b, ledger, crosswalk


def fitted(market, b, n_draws=2000):
    posterior = synthesise(market, b, weeks=np.array([3]), n_draws=n_draws, rng=1)
    return posterior, volumes(posterior, 3)


def test_the_response_to_a_factor_is_that_of_a_refit(tables):
    market, b, ledger, crosswalk = tables
    posterior, v = fitted(market, b)
    table = factor_sensitivity(posterior, v, ledger, crosswalk).set_index("scope_class")
    assert set(table.index) <= set(crosswalk["scope_class"])
    assert "share:survey" not in table.index
    step = 0.15
    for name in ("tokens:OpenAI",):
        of = (ledger["scope_class"] == name).to_numpy() & (b.side == 0)
        ends = []
        for sign in (1, -1):
            moved = replace(b, off=b.off + sign * step * of)
            _, w = fitted(market, moved)
            ends.append(china_over_us(w, w.Y).mean())
        slope = (ends[0] - ends[1]) / (2 * step)
        noise = np.hypot(table.loc[name, "mcse"] / 0.4, 0.35 / np.sqrt(1000) / step)
        assert abs(slope - table.loc[name, "slope"]) < 4 * noise
    # A larger factor means less volume: for a US lab the ratio rises, for a Chinese one it falls.
    assert table.loc["tokens:OpenAI", "slope"] > 0 > table.loc["tokens:DeepSeek", "slope"]


def test_scores_need_a_figure_of_absolute_size(tables):
    market, b, _, _ = tables
    shares = take(b, np.flatnonzero(b.flat[b.family]))
    posterior, _ = fitted(market, shares, n_draws=400)
    with pytest.raises(NotIdentified, match="absolute"):
        scores(posterior)


def test_the_effect_of_a_population_is_the_whole_correction(tables):
    market, b, _, _ = tables
    posterior, v = fitted(market, b, n_draws=1000)
    e = population_effect(posterior, v)
    naive = float(china_over_us(v, v.X))
    assert np.array(e.effect) == pytest.approx(np.array(e.estimate) - naive)
    assert e.strength in {"moderate", "weak"}
    frame = compare_populations({"a": e})
    assert frame.loc[0, "median"] == pytest.approx(1 / (1 + np.exp(-e.estimate[1])))


def test_a_population_without_figures_has_bounds(tables):
    market, b, _, _ = tables
    _, v = fitted(market, b, n_draws=400)
    found = Identification("us-startups", False, "nothing speaks of it", (("logic", 0.0, 1.0),))
    e = population_bounds(found, v)
    assert e.effect[0] == -np.inf
    assert e.effect[2] == np.inf
    assert np.isnan(e.effect[1])
    placed = population_bounds(found, v, place=replace(e, effect=(-1.0, np.nan, 0.5)))
    naive = float(china_over_us(v, v.X))
    assert placed.estimate[0] == pytest.approx(naive - 1.0)
    assert placed.estimate[2] == pytest.approx(naive + 0.5)
    with pytest.raises(InvalidValue, match="identified"):
        population_bounds(replace(found, identified=True), v)


@given(size=st.floats(0, 1e4), c=st.floats(0.2, 0.8), china=st.floats(1, 100))
def test_self_run_tokens_keep_a_population_inside_its_chained_bounds(size, c, china):
    v = week(np.full(20, china), np.full(20, 50.0))
    found = Identification("world-with-self-host", False, "no figure", (("logic", 0.0, 1.0),))
    part = (0.2, 0.6, 0.8)
    chained = with_any_self_run(found, v, part)
    assert chained.bounds[0] == found.bounds[0]
    e = population_bounds(chained, v, self_run=self_hosting(v, part).effect)
    R = with_self_run(v, c, np.full(20, size))[0]
    assert e.estimate[0] - 1e-9 <= R <= e.estimate[2] + 1e-9
    assert np.isfinite(e.effect[0])
    assert np.isfinite(e.effect[2])
    naive = float(china_over_us(v, v.X))
    assert e.estimate[0] == pytest.approx(naive + e.effect[0])
    # Sharp: the ends are attained by none, or by self-run tokens alone.
    ends = [china_over_us(v, v.Y)[0], *(np.log(x / (1 - x)) for x in (part[0], part[2]))]
    assert e.estimate[0] == pytest.approx(min(ends))
    assert e.estimate[2] == pytest.approx(max(ends))


LABELS = pd.DataFrame(
    {"origin": ["China", "US", "US", "Stealth"], "weights": ["open", "closed", "open", "Stealth"]}
)


def week(china, us):
    Y = np.column_stack([china, 0.8 * us, 0.2 * us, np.zeros(len(us))])
    return Volumes("simulated", "2026-06-01", Y[0] * 0.1, Y, LABELS, 0.0)


@given(
    size=st.floats(0, 1e4),
    c=st.floats(0.2, 0.8),
    china=st.floats(1, 100),
    us=st.floats(1, 100),
)
def test_the_bounds_hold_for_every_size_and_part(size, c, china, us):
    v = week(np.full(20, china), np.full(20, us))
    found = self_hosting(v, (0.2, 0.6, 0.8))
    change = with_self_run(v, c, np.full(20, size)) - china_over_us(v, v.Y)
    low, _, high = found.effect.effect
    assert low - 1e-9 <= change[0] <= high + 1e-9


def test_the_break_even_size_is_where_china_draws_level():
    v = week(np.full(20, 40.0), np.full(20, 120.0))
    found = self_hosting(v, (0.5, 0.75, 0.9))
    assert found.break_even[1] == pytest.approx(160.0)
    assert with_self_run(v, 0.75, np.full(20, 160.0)) == pytest.approx(0.0, abs=1e-12)
    assert (found.by_size["median"].diff().dropna() > 0).all()
    leading = week(np.full(20, 130.0), np.full(20, 120.0))
    assert self_hosting(leading, (0.5, 0.75, 0.9)).break_even[1] == 0.0
    assert self_hosting(v, (0.1, 0.4, 0.6)).break_even[0] == np.inf
    # Where even the lowest part exceeds China's share, the panel can only understate China.
    assert self_hosting(v, (0.6, 0.75, 0.9)).effect.direction == "panel understates China"


def test_a_wrong_part_shows_the_damage():
    rng = np.random.default_rng(1)
    china, us = 40 * np.exp(0.1 * rng.standard_normal(500)), np.full(500, 120.0)
    v = week(china, us)
    truth = float(np.median(with_self_run(v, 0.9, np.full(500, 400.0))))
    misread = self_hosting(v, (0.1, 0.2, 0.3)).effect.effect[2]
    right = self_hosting(v, (0.7, 0.8, 0.95)).effect.effect[2]
    change = truth - float(np.median(china_over_us(v, v.Y)))
    assert misread < change < right


def test_the_chinese_part_comes_from_two_sources_of_downloads():
    low, middle, high = chinese_part(load_ledger())
    # 1,150 against 723 million, and 17.1 against 15.8 per cent.
    expected = 0.5 * (np.log(1150 / 723) + np.log(17.1 / 15.8))
    assert np.log(middle / (1 - middle)) == pytest.approx(expected)
    assert low < 0.5 < high
    with pytest.raises(SchemaError, match="atom"):
        chinese_part(pd.DataFrame({"id": ["x"], "value": [1.0]}))
    with pytest.raises(InvalidValue, match="part"):
        self_hosting(week(np.ones(20), np.ones(20)), (0.5, 0.4, 0.6))
