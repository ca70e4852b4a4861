"""Places, segments, nesting, vintages and prevalence against closed forms and brute force."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from offroute.data.snapshot import load_daily, load_ledger, load_models, load_usage
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import InvalidValue, NotIdentified, UnknownPopulation
from offroute.inference.bounds import aggregation_bounds
from offroute.inference.mechanisms.geography import (
    billing_bounds,
    billing_parts,
    nesting,
    place_of_buyers,
    restatement,
)
from offroute.inference.mechanisms.prevalence import conditional_prevalence, token_share
from offroute.inference.mechanisms.segments import margin_bounds, poststratify_share
from offroute.inference.shares import volumes


@settings(deadline=None)
@given(
    share=st.floats(0.01, 0.99),
    r=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=5),
    seed=st.integers(0, 10**6),
)
def test_margin_bounds_are_those_of_the_linear_program(share, r, seed):
    r = np.array(r) + 1e-3
    r[0] = 0.0 if seed % 2 else r[0]
    r = r / r.sum()
    w = np.random.default_rng(seed).dirichlet(np.ones(len(r)))
    low, high = margin_bounds(share, r, w)
    for value, sign in ((low, 1.0), (high, -1.0)):
        found = linprog(sign * w, A_eq=r[None], b_eq=[share], bounds=(0, 1))
        assert value == pytest.approx(sign * found.fun, abs=1e-7)


def test_margin_bounds_of_one_segment_are_duncan_and_davis():
    for share, part in ((0.46, 0.47), (0.46, 0.8), (0.2, 0.9)):
        expected = [float(x) for x in aggregation_bounds(share, part)]
        assert margin_bounds(share, [part, 1 - part], [1.0, 0.0]) == pytest.approx(expected)
    # The figures of the acceptance case: .46 of all, the place .47 or .80 of volume.
    assert margin_bounds(0.46, [0.47, 0.53], [1, 0]) == pytest.approx((0.0, 0.9787234043))
    assert margin_bounds(0.46, [0.8, 0.2], [1, 0]) == pytest.approx((0.325, 0.575))


def test_the_same_mix_identifies_the_share():
    assert margin_bounds(0.3, [0.2, 0.5, 0.3], [0.2, 0.5, 0.3]) == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize(
    ("share", "r", "w"), [(1.2, [1], [1]), (0.3, [0.5, 0.4], [1, 0]), (0.3, [0.5, 0.5], [2, -1])]
)
def test_margins_must_be_shares(share, r, w):
    with pytest.raises(InvalidValue):
        margin_bounds(share, r, w)


def test_poststratification_covers_a_known_truth():
    """Segments whose shares and sizes were measured with stated errors: 90 % holds the truth."""
    rng = np.random.default_rng(1)
    theta, w = np.array([0.6, 0.3, 0.05]), np.array([0.2, 0.3, 0.5])
    truth, inside, runs = theta @ w, 0, 400
    for _ in range(runs):
        seen = 1 / (1 + np.exp(-(np.log(theta / (1 - theta)) + rng.normal(0, 0.3, 3))))
        size = w * np.exp(rng.normal(0, 0.2, 3))
        draws = poststratify_share(seen, [0.3] * 3, size, [0.2] * 3, n_draws=500, rng=rng)
        low, high = np.quantile(draws, [0.05, 0.95])
        inside += low <= truth <= high
    assert abs(inside / runs - 0.9) <= 4 * np.sqrt(0.09 / runs)


def test_poststratification_with_the_wrong_mix_is_wrong():
    """Reading the panel's mix of segments as the market's misses it by far."""
    theta, panel, market = [0.6, 0.1], [0.8, 0.2], [0.2, 0.8]
    exact = [0.0, 0.0]
    right, wrong = (
        float(poststratify_share(theta, exact, mix, exact, n_draws=1)[0]) for mix in (market, panel)
    )
    assert (right, wrong) == pytest.approx((0.2, 0.5))


@pytest.mark.parametrize(
    "change", [{"share": [1.0, 0.2]}, {"mix": [0.0, 1.0]}, {"mix_sd": [-1.0, 0.1]}]
)
def test_poststratification_refuses_wrong_input(change):
    plain = {"share": [0.5, 0.2], "share_sd": [0.1] * 2, "mix": [1.0, 1.0], "mix_sd": [0.1] * 2}
    with pytest.raises(InvalidValue):
        poststratify_share(**(plain | change))


@settings(deadline=None)
@given(
    china=st.integers(1, 60), us=st.integers(1, 60), rest=st.integers(0, 60), r=st.floats(0.05, 1.0)
)
def test_billing_bounds_are_those_of_the_allocations(china, us, rest, r):
    """Brute force over what customers of the place could have bought."""
    total = china + us + rest
    low, high = billing_bounds(china, us, total, (r, 1.0))
    shares = []
    for c in np.linspace(0, china, 13):
        for u in np.linspace(0, us, 13):
            left = r * total - c - u
            if -1e-9 <= left <= rest + 1e-9 and c + u > 0:
                shares.append(c / (c + u))
    if shares:
        assert low <= min(shares) + 1e-9
        assert high >= max(shares) - 1e-9
    share = china / (china + us)
    assert -1e-9 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1 + 1e-9


def test_without_other_origins_billing_bounds_are_duncan_and_davis():
    expected = [float(x) for x in aggregation_bounds(0.46, 0.8)]
    assert billing_bounds(46, 54, 100, (0.8, 0.9)) == pytest.approx(expected)


def test_a_misread_address_widens_the_bounds():
    exact, misread = (billing_bounds(40, 40, 80, p) for p in ((0.9, 0.9), (0.8, 0.9)))
    assert misread[0] < exact[0]
    assert misread[1] > exact[1]


@pytest.mark.parametrize(
    ("china", "total", "part"), [(1, 2, (0, 1)), (1, 2, (0.9, 0.8)), (2, 2, (0.5, 1))]
)
def test_billing_bounds_refuse_wrong_input(china, total, part):
    with pytest.raises(InvalidValue):
        billing_bounds(china, 1, total, part)


@pytest.fixture(scope="module")
def fit(toy):
    market = toy.market()
    posterior = synthesise(market, toy.benchmarks(market, toy.rows), n_draws=400, rng=0)
    return SimpleNamespace(posterior=posterior, market=market, v=volumes(posterior, 3))


def test_places_by_population(fit):
    ledger, week = load_ledger(), str(fit.market.weeks[3])
    parts = billing_parts(ledger)
    assert parts == {"US": 0.47, "Singapore": 0.09, "Germany": 0.075, "China": 0.06}
    effects = {
        p: place_of_buyers(fit.market, ledger, population=p, week=week)
        for p in ("us-startups", "outside-china-external-api")
    }
    with pytest.raises(NotIdentified, match="world"):
        place_of_buyers(fit.market, ledger, population="world-all-uses", week=week)
    with pytest.raises(UnknownPopulation):
        place_of_buyers(fit.market, ledger, population="us-start-ups", week=week)
    narrow = effects["outside-china-external-api"]
    assert np.isfinite(narrow.effect[0])
    assert narrow.effect[0] < 0 < narrow.effect[2]
    assert all(e.strength == "bounds only" for e in effects.values())
    with pytest.raises(InvalidValue):
        billing_parts(ledger[ledger["id"] != "soa_geo_us"])


def test_nesting_by_hand(fit):
    found = nesting(fit.posterior, fit.v)
    b, v = fit.posterior.benchmarks, fit.v
    keep = ~b.flat[b.family]
    iota = {o: b.iota[keep & (b.origin == o)].mean() for o in (-1, 1)}
    china, us = ((v.labels["origin"] == o).to_numpy() for o in ("China", "US"))
    once = np.log(v.Y[:, china].sum(axis=1) / v.Y[:, us].sum(axis=1))
    twice = np.log(
        (v.Y[:, china].sum(axis=1) + iota[-1] * v.X[china].sum())
        / (v.Y[:, us].sum(axis=1) + iota[1] * v.X[us].sum())
    )
    np.testing.assert_allclose(found.effect, np.quantile(once - twice, [0.05, 0.5, 0.95]))
    assert found.estimate[1] == pytest.approx(iota[1] - iota[-1])


def test_nesting_needs_figures_about_both(toy, fit):
    rows = [r for r in toy.rows if 4 not in r["cells"] and 6 not in r["cells"]]
    one_sided = synthesise(fit.market, toy.benchmarks(fit.market, rows), n_draws=400, rng=0)
    with pytest.raises(NotIdentified):
        nesting(one_sided, fit.v)


def test_restatement_of_a_made_up_vintage():
    """Each week's Chinese tokens restated by a known factor: the sd of the change is that of it."""
    usage, models = load_usage(), load_models()
    daily = load_daily()
    found = restatement(usage, daily, models, week="2026-06-01")
    assert found.estimate[0] < 5e-4
    china = set(models.loc[models["origin"] == "China", "model"])
    weeks = sorted(usage["week_start"].unique())
    step = {week: 0.01 * (i % 3) for i, week in enumerate(weeks)}
    factor = np.exp(usage["week_start"].map(step)) ** usage["model"].isin(china)
    later = usage.assign(tokens=usage["tokens"] * factor)
    moved = restatement(later, daily, models, week="2026-06-01")
    assert moved.effect[2] - moved.effect[0] == pytest.approx(0.02, abs=5e-4)
    with pytest.raises(NotIdentified):
        restatement(usage, daily[daily["date"] < "2026-06-01"], models, week="2026-06-01")


def test_prevalence_is_refused():
    ledger = load_ledger().set_index("id", drop=False)
    assert token_share(ledger.loc["S-10"]) == pytest.approx(0.56)
    for row in ("S-11", "S-09", "S-26", "a16z_startups_cn", "hf_dl_share_2025"):
        with pytest.raises(NotIdentified):
            token_share(ledger.loc[row])
    with pytest.raises(InvalidValue):
        token_share(ledger.loc["A-R02"])
    with pytest.raises(InvalidValue):
        token_share(
            pd.Series({"id": "x", "quantity": "share", "value": np.nan, "unit": "% tokens"})
        )


def test_a_conditional_quote_is_a_product():
    # "80 % of start-ups" was said of the 20 to 30 % that use open models: 16 to 24 %.
    assert conditional_prevalence((0.8, 0.8), (0.2, 0.3)) == pytest.approx((0.16, 0.24))
    with pytest.raises(InvalidValue):
        conditional_prevalence((0.8, 0.7), (0.2, 0.3))


@pytest.mark.parametrize("wrong", [{"mix": [1.0]}, {"share_sd": [0.1]}, {"n_draws": 0}])
def test_poststratification_refuses_what_does_not_fit(wrong):
    plain = {"share": [0.6, 0.1], "share_sd": [0.0, 0.0], "mix": [1, 3], "mix_sd": [0.0, 0.0]}
    with pytest.raises(InvalidValue, match="shapes"):
        poststratify_share(**(plain | wrong))
