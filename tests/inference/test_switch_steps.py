"""The refitted waterfall: its ends, its sum, and what it refuses."""

import numpy as np
import pytest

from offroute.exceptions import NotIdentified, UnknownWeek, UnreliablePosterior, UsageError
from offroute.inference import switch_steps as module
from offroute.inference.pipeline import correct, load_market
from offroute.inference.shares import volumes
from offroute.inference.switch_steps import switch_steps

POPULATION = "world-external-api"


@pytest.fixture(scope="module")
def market():
    return load_market()


def test_the_steps_add_up_to_the_central_model(market):
    week = str(market.weeks[market.anchor])
    found = switch_steps(POPULATION, week, mechanisms=["labs"], n_draws=300, market=market)
    assert found.start + found.table["step"].sum() == pytest.approx(found.end)
    posterior = correct(POPULATION, weeks=(week,), n_draws=300, market=market)
    v = volumes(posterior, market.anchor)
    china, us = (v.Y[:, (v.labels["origin"] == o).to_numpy()].sum(axis=1) for o in ("China", "US"))
    R = np.log(china / us)
    assert abs(found.end - R.mean()) < 6 * R.std() / np.sqrt(200)


def test_wrong_calls_are_refused_before_a_fit(market):
    for wrong in (["tier"], [], ["labs", "labs"]):
        with pytest.raises(UsageError):
            switch_steps(POPULATION, "2026-06-01", mechanisms=wrong, market=market)
    with pytest.raises(UnknownWeek):
        switch_steps(POPULATION, "1999-01-04", market=market)
    with pytest.raises(NotIdentified):
        switch_steps("us-startups", "2026-06-01", mechanisms=["labs"], market=market)


def test_a_subset_that_cannot_be_fitted_is_named(market, monkeypatch):
    def _refuse(*_, **__):
        raise UnreliablePosterior("weights", got="k-hat 2", rule="at most 1", next_step="-")

    monkeypatch.setattr(module, "correct", _refuse)
    with pytest.raises(UnreliablePosterior, match="none of the split"):
        switch_steps(POPULATION, "2026-06-01", mechanisms=["labs"], market=market)
