"""Cells in weeks in which none of their models is among the day's largest."""

import numpy as np
import pandas as pd

from offroute.data.disclosures import publish_disclosures
from offroute.data.simulate import WORLDS, simulate_market
from offroute.data.snapshot import load_composition, load_models, load_usage
from offroute.estimators.field import off_platform
from offroute.estimators.synthesis import synthesise
from offroute.inference.validation import prepare
from offroute.measurement.censoring import LISTED, fiftieth_model, fill_hidden
from offroute.measurement.market import build_market, week_index

CELL = ("Anthropic", "US closed", "flagship")


def _case(seed):
    children = np.random.SeedSequence(seed).spawn(3)
    simulated = simulate_market(WORLDS["calibrated"], rng=children[0])
    return (
        simulated,
        prepare(simulated, publish_disclosures(simulated, rng=children[1])),
        children[2],
    )


def _cells(market):
    return list(zip(market.labs, market.groups, market.tiers, strict=True))


def test_a_hidden_cell_stands_at_the_threshold_and_fades_after_its_last_listing():
    elapsed = np.array([0.0, 1.0, 2.0, 3.0, 16.0, 29.0])
    X = np.array(
        [[0.0, 0, 9, 0], [0, 0, 0, 0], [7, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0]]
    )
    m = np.array([1.0, 2, 3, 4, 5, 6])
    unseen = np.array([False, True, False, False])
    got = fill_hidden(X, elapsed, m=m, unseen=unseen)
    fade = 0.5 ** (np.array([1.0, 14.0, 27.0]) / 26)
    # Nothing before the first listing, then a fall from the threshold.
    np.testing.assert_allclose(got[:, 0], [0, 0, 7, *(m[3:] * fade)])
    np.testing.assert_allclose(got[:, 1], m)
    # Below the threshold a listed week keeps its own tokens; between two of them nothing fades.
    np.testing.assert_allclose(got[:, 2], [9, 2, 1, 4, 5, 2])
    np.testing.assert_array_equal(got[:, 3], 0)


def test_the_threshold_is_the_fiftieth_model_of_a_week_known_by_model():
    models = [f"m{k}" for k in range(LISTED + 5)]
    rows = [(0, "model", m, 100.0 - k) for k, m in enumerate(models)]
    rows += [(0, "model", "other", 1000.0), (1, "model", "a", 30.0), (1, "model", "other", 10.0)]
    rows += [(2, "lab", "author", 5.0)]
    frame = pd.DataFrame(rows, columns=["t", "basis", "model", "tokens"])
    got = fiftieth_model(frame, frame["tokens"].to_numpy(), frame["t"].to_numpy(), 3)
    total = sum(100.0 - k for k in range(LISTED + 5)) + 1000
    # Fewer than fifty models: the smallest. A week by lab has the part of the last one by model.
    np.testing.assert_allclose(got, [(100 - (LISTED - 1)) / total, 0.75, 0.75])


def test_the_shipped_panel_reads_a_flagship_that_no_day_lists_as_censored():
    market = build_market(load_usage(), load_models(), load_composition())
    c, t = _cells(market).index(CELL), week_index(market, "2025-10-27")
    first = int(np.flatnonzero(market.X[:, c])[0])
    assert market.X[t, c] == 0
    assert first < t < int(np.flatnonzero(market.X[:, c])[-1])
    total = market.X.sum(axis=1) + market.stealth
    # The 50th model of a week has .07 to .3 % of the panel, more than three times the floor.
    assert 8e-4 < market.Xs[t, c] / total[t] < 2e-2


def test_hidden_tiers_of_simulated_markets_are_near_the_threshold():
    between, later = [], []
    for seed in range(4000, 4008):
        simulated = simulate_market(
            WORLDS["calibrated"], rng=np.random.SeedSequence(seed).spawn(3)[0]
        )
        usage, t = simulated.usage, np.arange(len(simulated.weeks))
        week = np.searchsorted(simulated.weeks, usage["week_start"].to_numpy().astype("<M8[D]"))
        m = fiftieth_model(usage, usage["tokens"].to_numpy(float), week, len(t))
        log_m = np.log(m * np.bincount(week, usage["tokens"]))
        for listed, X in zip(simulated.listed.T, (simulated.X - simulated.cloaked).T, strict=True):
            on = np.flatnonzero(listed)
            if not len(on):
                continue
            off, r = np.setdiff1d(t, on), np.log(X) - log_m
            between += list(r[off[(off > on[0]) & (off < on[-1])]])
            later += list(r[off[(off > on[-1] + 13) & (off <= on[-1] + 26)]])
    # About twice the threshold between two listings, about the threshold half a year later.
    assert 1.5 < np.exp(np.median(between)) < 2.3
    assert 0.7 < np.exp(np.median(later)) < 1.5


def test_a_tier_that_no_day_ever_listed_is_known_from_the_register():
    simulated, case, _ = _case(4008)
    cell = ("Alibaba", "China closed", "flagship")
    c, k = _cells(case.market).index(cell), _cells(simulated).index(cell)
    assert not case.market.X[:, c].any()
    assert simulated.X[:, k].min() > 0
    assert np.abs(np.log(case.market.price[:, c] / simulated.price[k])).max() < np.log(1.5)
    assert np.abs(np.log(case.market.Xs[-1, c] / simulated.X[-1, k])) < np.log(3)


def test_revenue_of_a_lab_is_not_read_at_the_price_of_its_listed_tier():
    # For most of a year no day lists a flagship of the lab.
    simulated, case, rng = _case(4146)
    assert not case.market.X[40:, _cells(case.market).index(CELL)].any()
    last = len(simulated.weeks) - 1
    fit = synthesise(case.market, case.benchmarks, weeks=np.array([last]), n_draws=300, rng=rng)
    D = off_platform(fit.features, fit.prior, fit.draws, last)
    own = np.array(case.market.labs) == "Anthropic"
    true = (simulated.Y - simulated.X)[last, np.array(simulated.labs) == "Anthropic"].sum()
    # Read at the price of the light tier alone, the estimate is thirteen times the truth.
    assert abs(np.log(np.median(D[:, own].sum(axis=1)) / true)) < np.log(2)


def test_a_register_row_of_an_unknown_tier_is_no_cell():
    usage, models, composition = load_usage(), load_models(), load_composition()
    row = models[models["lab"] == "Tencent"].iloc[[0]].assign(prompt=1.0, completion=2.0)
    odd = [row.assign(model=f"tencent/{k}", tier=tier) for k, tier in enumerate(("huge", None))]
    whole = build_market(usage, models, composition, keep=("Tencent",))
    more = build_market(usage, pd.concat([models, *odd]), composition, keep=("Tencent",))
    assert _cells(more) == _cells(whole)
