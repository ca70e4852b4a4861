"""What single figures imply about a lab's coverage."""

from dataclasses import replace

import numpy as np
import pytest

from offroute.data.snapshot import load_crosswalk, load_ledger
from offroute.inference.lab_evidence import lab_evidence
from offroute.inference.pipeline import load_market
from offroute.measurement.ledger import build_benchmarks, take


@pytest.fixture(scope="module")
def market():
    return load_market()


@pytest.fixture(scope="module")
def benchmarks(market):
    return build_benchmarks(
        load_ledger(), load_crosswalk(), market, population="world-external-api"
    )


def test_a_token_figure_implies_its_share_of_the_panel(market, benchmarks):
    i = benchmarks.ids.index("O-T03")
    row = lab_evidence(market, benchmarks).set_index("id").loc["O-T03"]
    X = market.X[benchmarks.week[i], benchmarks.w[i] > 0].sum()
    volume = np.exp(benchmarks.y[i] - benchmarks.off[i]) + (1 - benchmarks.iota[i]) * X
    assert row["coverage"] == pytest.approx(X / volume)
    assert row["kind"] == "tokens"
    reach = 1.6448536 * np.hypot(benchmarks.s[i], benchmarks.q[i])
    top = np.exp(benchmarks.y[i] - benchmarks.off[i] + reach) + (1 - benchmarks.iota[i]) * X
    assert row["low"] == pytest.approx(X / top)


def test_money_is_divided_by_the_panels_mean_price(market, benchmarks):
    table = lab_evidence(market, benchmarks)
    row = table[table["kind"] == "money"].iloc[0]
    one = take(benchmarks, np.array([benchmarks.ids.index(row["id"])]))
    dearer = lab_evidence(market, replace(one, w=2 * one.w, iota=np.ones(1)))
    plain = lab_evidence(market, replace(one, iota=np.ones(1)))
    assert dearer["tokens"][0] == pytest.approx(plain["tokens"][0] / 2)


def test_share_tables_and_sums_over_labs_are_left_out(market, benchmarks):
    table = lab_evidence(market, benchmarks)
    flat = {i for i, f in zip(benchmarks.ids, benchmarks.family, strict=True) if benchmarks.flat[f]}
    assert not flat & set(table["id"])
    assert (table["low"] <= table["coverage"]).all()
    assert (table["coverage"] <= table["high"]).all()
    labs = np.array(market.labs)
    for name, i in zip(table["lab"], table["id"], strict=True):
        assert set(labs[benchmarks.w[benchmarks.ids.index(i)] > 0]) == {name}
