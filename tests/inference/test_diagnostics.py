from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from offroute.estimators.linearise import error_covariance
from offroute.estimators.prior import NEUTRAL
from offroute.estimators.synthesis import synthesise
from offroute.inference.diagnostics import (
    families_of,
    family_reliability,
    hold_out,
    lab_shrinkage,
    leave_one_out,
    predict_rows,
    refit_one_out,
)
from offroute.inference.pipeline import correct, load_market
from offroute.measurement.ledger import take
from offroute.measurement.market import week_index


@pytest.fixture(scope="module")
def market():
    return load_market()


@pytest.fixture(scope="module")
def posterior(market):
    return correct(
        "outside-china-external-api", weeks=("2026-06-01",), market=market, n_draws=1000, rng=3
    )


def test_every_exact_row_is_predicted_and_most_agree(posterior):
    table = leave_one_out(posterior)
    assert len(table) == (posterior.benchmarks.side == 0).sum()
    assert (table["z"].abs() < 3).mean() >= 0.95
    # z and the predictive probability tell the same story on the same side of the middle.
    sure = table[table["z"].abs() > 0.5]
    assert ((sure["z"] > 0) == (sure["pit"] > 0.5)).all()


def test_a_weighted_row_agrees_with_its_refit(posterior):
    table = leave_one_out(posterior)
    steady = table[~table["family"].str.startswith("share")].nsmallest(3, "k_hat")
    index = {name: i for i, name in enumerate(posterior.benchmarks.ids)}
    exact = hold_out(posterior, {i: np.array([index[i]]) for i in steady["id"]}, n_draws=1500)
    both = steady.merge(exact, on="id", suffixes=("", "_refit"))
    # Monte Carlo error of a standardised residual from about 500 effective draws.
    assert (both["z"] - both["z_refit"]).abs().max() < 0.3


def test_refits_replace_weak_rows_only(posterior):
    table = leave_one_out(posterior)
    weakest = table.loc[table["k_hat"].idxmax(), "id"]
    kept = table.assign(k_hat=np.where(table["id"] == weakest, 1.0, 0.0))
    out = refit_one_out(posterior, kept, n_draws=600)
    assert out.loc[out["refitted"], "id"].tolist() == [weakest]
    assert out.loc[~out["refitted"], "z"].tolist() == kept.loc[kept["id"] != weakest, "z"].tolist()


def test_a_family_in_open_conflict_is_called_unreliable(posterior, market):
    b = posterior.benchmarks
    google = b.family == b.families.index("tokens:Google-API")
    wrong = replace(b, y=b.y + 4.0 * google)
    fit = synthesise(market, wrong, weeks=np.array([71]), n_draws=800, rng=1)
    before = family_reliability(posterior).set_index("family")["p_unreliable"]
    after = family_reliability(fit).set_index("family")["p_unreliable"]
    assert after["tokens:Google-API"] > before["tokens:Google-API"] + 0.2


def test_reliability_is_a_probability_for_each_absolute_family(posterior):
    table = family_reliability(posterior)
    assert table["p_unreliable"].between(0, 1).all()
    assert not table["family"].str.startswith("share").any()


def test_predictions_of_unseen_rows_carry_the_bias_of_their_family(posterior, market):
    b = posterior.benchmarks
    rows = np.flatnonzero(b.family == b.families.index("tokens:Google-API"))
    kept = np.setdiff1d(np.arange(len(b)), rows[:1])
    fit = synthesise(market, take(b, kept), weeks=np.unique(b.week[rows[:1]]), n_draws=800, rng=1)
    y = predict_rows(fit, take(b, rows[:1]), NEUTRAL, np.random.default_rng(0))
    # Four other rows of the family pin the shared bias: the spread is below that of a new family.
    alone = error_covariance(take(b, rows[:1]), NEUTRAL, np.array([0.2]))[0, 0, 0]
    assert y.shape == (800, 1)
    assert y.std() < np.sqrt(alone)


def test_families_cover_all_rows_once(posterior):
    rows = np.concatenate(list(families_of(posterior.benchmarks).values()))
    assert sorted(rows) == list(range(len(posterior.benchmarks)))


def test_a_share_table_alone_is_not_predicted(posterior):
    b = posterior.benchmarks
    rows = np.flatnonzero(b.flat[b.family])
    assert hold_out(posterior, {"shares": rows}, n_draws=500).empty


def test_labs_with_disclosures_shrink_and_others_less(posterior, market):
    week = week_index(market, "2026-06-01")
    # Huge errors stand for no evidence.
    b = posterior.benchmarks
    silent = replace(b, s=b.s + 50.0)
    prior = synthesise(market, silent, weeks=np.array([week]), n_draws=1000, rng=2)
    table = lab_shrinkage(posterior, prior, week).set_index("lab")
    assert table.loc["Google", "contraction"] > 0.8
    assert table.loc["Mistral", "contraction"] < table.loc["Google", "contraction"]
    assert table.loc["Mistral", "rows"] == 0
    assert table.loc["Google", "rows"] >= 5


@pytest.fixture(scope="module")
def evidence():
    return pd.read_csv("studies/evidence.csv", comment="#")


def test_the_committed_evidence_is_as_the_architecture_says(evidence):
    # 95 % of all rows within 3, none beyond 4; all beyond 3 are the rows that ARCHITECTURE names.
    assert evidence["z"].abs().max() < 4
    beyond = evidence[evidence["z"].abs() >= 3]
    assert set(beyond["family"]) <= {"tokens:Zhipu", "revenue:Zhipu"}
    inside = evidence["z"].abs() < 3
    assert inside.mean() >= 0.95
    part = inside.groupby(evidence["population"]).mean()
    assert part["outside-china-external-api"] >= 0.95
    assert part["world-all-uses"] == 1
    # The aim of 95 % is missed here by one row.
    assert part["world-external-api"] == pytest.approx(48 / 51)
