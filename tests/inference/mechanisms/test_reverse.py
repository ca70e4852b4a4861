"""Reverse selection with a known truth: the sign is found, its prior is neutral, misreads show."""

from dataclasses import replace

import numpy as np
import pytest

from offroute.estimators.gaussian_system import build_features
from offroute.estimators.points import prior_field
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import NotIdentified
from offroute.inference.mechanisms.counterfactual import china_over_us
from offroute.inference.mechanisms.reverse import (
    china_effect,
    coefficients_given_units,
    reverse_selection,
)
from offroute.inference.shares import volumes

CELLS = [
    ("Anthropic", "US closed", "flagship", 0, 5.0, 5.0),
    ("Meta", "US open", "mid", 1, 2.0, 0.3),
    ("OpenAI", "US open", "mid", 2, 1.0, 0.2),
    ("DeepSeek", "China open", "mid", 3, 6.0, 0.3),
    ("Alibaba", "China open", "mid", 4, 2.0, 0.5),
    ("Zhipu", "China open", "mid", 5, 2.0, 0.5),
]


def disclosed(toy, effect, rng, *, every=1):
    """All labs disclose; Chinese ones are off the panel by `effect` log odds more."""
    market = toy.market(CELLS)
    at = market.anchor
    D = market.Xs[at] * np.exp(2.0 + effect * market.is_china + 0.1 * rng.standard_normal(6))
    rows = [
        {"family": f"tokens:{c[0]} {j}", "cells": [j], "week": at, "s": 0.1,
         "y": float(np.log(D[j]) + 0.1 * rng.standard_normal())}
        for j, c in enumerate(CELLS) if j % every == 0
    ]  # fmt: skip  # dense
    truth = np.log((market.X[at] + D)[market.is_china].sum())
    truth -= np.log((market.X[at] + D)[market.is_us].sum())
    return market, toy.benchmarks(market, rows), float(truth)


def fitted(market, b, prior=NEUTRAL):
    posterior = synthesise(
        market, b, prior=prior, weeks=np.array([market.anchor]), n_draws=600, rng=1
    )
    return posterior, volumes(posterior, market.anchor)


@pytest.mark.parametrize(("effect", "low", "high"), [(-1.5, 0.9, 1.0), (1.5, 0.0, 0.1)])
def test_the_sign_is_found_either_way(toy, effect, low, high):
    market, b, truth = disclosed(toy, effect, np.random.default_rng(1))
    posterior, v = fitted(market, b)
    found = reverse_selection(posterior, v)
    assert low <= found.p_negative <= high
    assert found.china[0] < effect < found.china[2]
    assert found.contraction > 0.6
    a, _, c = np.quantile(china_over_us(v, v.Y), [0.05, 0.5, 0.95])
    assert a < truth < c
    assert np.sign(found.effect.effect[1]) == np.sign(effect)


def test_before_any_figure_the_sign_is_open(toy):
    market = toy.market(CELLS)
    posterior, v = fitted(market, toy.benchmarks(market, []))
    found = reverse_selection(posterior, v)
    assert found.p_negative == pytest.approx(found.p_negative_before, abs=0.08)
    assert abs(found.contraction) < 0.2
    assert found.effect.evidence == ("prior",)
    assert found.effect.strength == "weak"
    assert found.would_identify["disclosure"].iloc[0] == "ratio of China to US"


def test_a_misread_sign_does_its_damage(toy):
    market, b, truth = disclosed(toy, -1.5, np.random.default_rng(2), every=2)
    wrong = replace(NEUTRAL, b_china=3.0, b_china_sd=0.1, delta_sd=0.05, tau=0.05)
    right, misread = (fitted(market, b, prior)[1] for prior in (NEUTRAL, wrong))
    error = [abs(float(np.median(china_over_us(v, v.Y))) - truth) for v in (right, misread)]
    assert error[1] > error[0] + 0.5


def test_coefficients_are_drawn_from_their_conditional(toy):
    market = toy.market(CELLS)
    features = build_features(market, NEUTRAL)
    k, tau = 20_000, 0.6
    base, _, _ = prior_field(
        features, NEUTRAL, (tau, 0.1), np.array([3]), k, np.random.default_rng(1)
    )
    c = coefficients_given_units(base, np.full(k, tau), features, rng=2)
    # Given units drawn from the prior, the coefficients have their own prior: standard normal.
    assert np.abs(c.mean(axis=0)).max() < 5 / np.sqrt(k)
    assert np.abs(c.std(axis=0) - 1).max() < 5 / np.sqrt(2 * k)
    # What they leave of the units is the labs' own part, independent of them.
    labs = (base - c @ features.fixed.T) / tau
    assert np.abs(labs.std(axis=0) - 1).max() < 0.03
    assert np.abs(c.T @ labs).max() / k < 5 / np.sqrt(k)


def test_a_fixed_effect_is_refused(toy):
    market = toy.market(CELLS)
    prior = Prior(b_china_sd=0.0, delta_sd=0.0)
    features = build_features(market, prior)
    with pytest.raises(NotIdentified, match="free"):
        china_effect(features, market, np.zeros((3, features.fixed.shape[1])))
    cells = [(*c[:3], j, *c[4:]) for j, c in enumerate(CELLS[:1] + CELLS[3:])]
    closed = toy.market(cells)
    features = build_features(closed, NEUTRAL)
    with pytest.raises(NotIdentified, match="open"):
        china_effect(features, closed, np.zeros((3, features.fixed.shape[1])))
