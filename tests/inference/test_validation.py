from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from offroute.data.disclosures import publish_disclosures
from offroute.data.simulate import WORLDS, log_ratio, simulate_market
from offroute.estimators.linearise import error_covariance
from offroute.estimators.prior import NEUTRAL
from offroute.inference.sbc import (
    calibration_ranks,
    draw_prior,
    functionals,
    predict_benchmarks,
    summarise_ranks,
)
from offroute.inference.validation import (
    QUANTILES,
    RIVALS,
    crossing_week,
    prepare,
    preset_ratio,
    reliability,
    score_market,
    summarise,
)

#: A prior without errors of its own, so that figures are the model's volumes.
SURE = replace(NEUTRAL, s_cm=1e-6, p_unreliable=0.0)


@pytest.fixture(scope="module")
def simulated():
    return simulate_market(WORLDS["calibrated"], rng=1)


@pytest.fixture(scope="module")
def published(simulated):
    return publish_disclosures(simulated, rng=2)


@pytest.fixture(scope="module")
def case(simulated, published):
    return prepare(simulated, published)


@pytest.fixture(scope="module")
def scored(simulated, published):
    return score_market(simulated, published, n_draws=500, rng=3)


def test_panel_arrives_as_it_was_simulated(simulated, case):
    total = case.market.X.sum(axis=1) + case.market.stealth
    np.testing.assert_allclose(total, simulated.X.sum(axis=1), rtol=0.06)
    panel = log_ratio(case.market.X, case.market.groups)
    # What the completion of the unnamed rest and cloaked models leave open.
    assert np.abs(panel - log_ratio(simulated.X, simulated.groups)).mean() < 0.2


def test_benchmarks_speak_of_the_true_volume(simulated, published, case):
    b = case.benchmarks
    # The truth of a Google figure, sent through the same selection of cells and weeks.
    rows = [i for i, name in enumerate(b.ids) if name.startswith("tokens:Google")]
    assert len(rows) == 4
    google = np.array(
        [
            lab == "Google" and g == "US closed"
            for lab, g in zip(simulated.labs, simulated.groups, strict=True)
        ]
    )
    for i in rows:
        off = (simulated.Y - simulated.X)[b.week[i], google].sum()
        volume = off + 0.85 * simulated.X[b.week[i], google].sum()
        truth = published.truth.set_index("id").loc[b.ids[i]]
        assert truth["week"] == b.week[i]
        assert b.y[i] - b.off[i] - np.log(volume) == pytest.approx(truth["error"] + 0.05, abs=1e-6)


def test_market_is_scored_against_its_truth(simulated, scored):
    rows = scored.set_index(["estimator", "quantity"])
    R = log_ratio(simulated.Y[-1], simulated.groups)
    assert rows.loc[("synthesis", "log_ratio"), "truth"] == pytest.approx(R, abs=1e-12)
    panel = log_ratio(simulated.X[-1], simulated.groups)
    assert rows.loc[("synthesis", "log_lambda"), "truth"] == pytest.approx(panel - R, abs=1e-12)
    quantiles = scored[[f"q{q:g}" for q in QUANTILES]].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    error = (rows["q0.5"] - rows["truth"]).abs()
    assert error[("synthesis", "log_ratio")] < error[("naive", "log_ratio")]


def test_same_seed_gives_same_scores(simulated, published, scored):
    again = score_market(simulated, published, n_draws=500, rng=3)
    pd.testing.assert_frame_equal(again, scored)


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_recover_constant_coverage(case, name):
    # Every unit has a figure, exact and five times the panel's own volume: R is the panel's.
    market, b = case.market, case.benchmarks
    week = len(market.weeks) - 1
    w = (market.unit == np.arange(int(market.unit.max()) + 1)[:, None]).astype(float)
    w = w[w @ market.X[week] > 0]
    n = len(w)
    exact = replace(
        b,
        ids=tuple(f"row {i}" for i in range(n)),
        family=np.arange(n),
        families=tuple(f"tokens:{i}" for i in range(n)),
        flat=np.zeros(n, dtype=bool),
        week=np.full(n, week),
        y=np.log(5 * w @ market.X[week]),
        s=np.full(n, 1e-6),
        off=np.zeros(n),
        q=np.zeros(n),
        iota=np.ones(n),
        w=w,
        origin=np.array(
            [int(market.is_us[c > 0].all()) - int(market.is_china[c > 0].all()) for c in w]
        ),
        side=np.zeros(n, dtype=np.int64),
    )
    R = preset_ratio(replace(case, benchmarks=exact), week, name, prior=NEUTRAL, n_draws=20, rng=1)
    assert R is not None
    assert pytest.approx(log_ratio(market.X[week], market.groups), abs=1e-3) == R


def test_crossing_week_needs_the_whole_run():
    R = np.array([[1.0, -1, 1, 1, 1, 1], [1, 1, 1, -1, 1, 1], [-1, -1, -1, -1, 1, 1]])
    assert crossing_week(R, run=4).tolist() == [2, 6, 6]


def made_rows(n, half_width, error, p):
    truth = np.linspace(-1, 1, n)
    rows = pd.DataFrame({"truth": truth, "p_positive": p, "in_band": 1.0})
    for q in QUANTILES:
        rows[f"q{q:g}"] = truth + error + half_width * (2 * q - 1)
    return rows.assign(world="made", estimator="e", quantity="log_ratio")


def test_summary_by_hand():
    rows = made_rows(10, 1.0, 0.85, np.full(10, 0.99))
    row = summarise(rows).iloc[0]
    assert row["bias"] == pytest.approx(0.85)
    assert row["rmse"] == pytest.approx(0.85)
    assert row["half_width_90"] == pytest.approx(0.9)
    # The truth lies .85 below the centre: inside +-.9 (90 %) and outside +-.8 (80 %).
    assert (row["coverage_80"], row["coverage_90"]) == (0.0, 1.0)
    assert row["sign_right"] == pytest.approx(0.5)
    assert (row["decisive"], row["decisive_wrong"]) == (1.0, 0.5)
    assert row["brier"] == pytest.approx((0.99**2 + 0.01**2) / 2)


def test_reliability_counts_each_market_once():
    table = reliability(made_rows(10, 1.0, 0.0, np.linspace(0, 1, 10)))
    assert table["markets"].sum() == 10
    assert table["frequency"].iloc[[0, -1]].tolist() == [0.0, 1.0]


def test_figures_of_the_model_have_its_spread(case):
    # Errors of simulated figures, whitened by the covariance of the likelihood, are standard.
    b, weeks = case.benchmarks, np.unique(case.benchmarks.week)
    reliable = replace(NEUTRAL, p_unreliable=0.0)
    squares = []
    for seed in range(30):
        truth = draw_prior(case.market, prior=reliable, weeks=weeks, rng=seed)
        new = predict_benchmarks(case.market, b, truth, prior=reliable, rng=seed + 1000)
        free = replace(b, s=b.s * 1e-6, q=b.q * 1e-6, flat=np.zeros_like(b.flat))
        still = replace(truth, hyper=truth.hyper * [1.0, 1e-6, 1.0], common=0 * truth.common)
        none = predict_benchmarks(case.market, free, still, prior=SURE, rng=seed)
        S = error_covariance(b, reliable, truth.hyper[:, 1])[0]
        exact = b.side == 0
        white = np.linalg.solve(
            np.linalg.cholesky(S[np.ix_(exact, exact)]), (new.y - none.y)[exact]
        )
        squares.append(white**2)
    n = 30 * int(exact.sum())
    assert np.mean(squares) == pytest.approx(1.0, abs=4 * np.sqrt(2 / n))


def test_ranks_of_a_short_run(case):
    weeks = np.array([77])
    rows = calibration_ranks(
        case.market, case.benchmarks, prior=NEUTRAL, weeks=weeks, n_draws=400, rng=1
    )
    assert rows["rank"].between(0, 1).all()
    truth = draw_prior(
        case.market,
        prior=NEUTRAL,
        weeks=np.unique([77, *case.benchmarks.week]),
        rng=np.random.default_rng(1),
    )
    expected = functionals(case.market, truth, prior=NEUTRAL, weeks=weeks)
    assert rows["truth"].tolist() == pytest.approx([float(v[0]) for v in expected.values()])


def test_rank_summary_tells_uniform_from_crowded():
    u = (np.arange(500) + 0.5) / 500
    rows = pd.concat(
        [
            pd.DataFrame({"quantity": "even", "rank": u}),
            pd.DataFrame({"quantity": "crowded", "rank": 0.5 + 0.6 * (u - 0.5)}),
        ]
    )
    table = summarise_ranks(rows).set_index("quantity")
    assert table.loc["even", "ks_p"] > 0.99
    assert table.loc["even", "coverage_90"] == pytest.approx(0.9)
    assert table.loc["crowded", "ks_p"] < 0.01
    assert table.loc["crowded", "coverage_90"] == 1.0
