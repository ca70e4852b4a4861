"""Wrong input to the mechanisms and their estimators: a typed error, before any work."""

import numpy as np
import pandas as pd
import pytest

from offroute.data.snapshot import load_models, load_usage
from offroute.estimators.overlap import dependence_dial
from offroute.estimators.table_raking import rake_noisy
from offroute.exceptions import OffrouteError
from offroute.inference.event_study import event_study
from offroute.inference.mechanisms.concentration import leave_one_app_out
from offroute.inference.mechanisms.groups import group_ratio
from offroute.inference.mechanisms.price_events import panel_elasticity, study_events
from offroute.inference.mechanisms.promotions import promotion_windows

WEEK = "2026-06-01"
EVENTS = pd.DataFrame({"model": ["a"], "week": [pd.Timestamp("2026-03-02")]})
STUDIED = pd.DataFrame({"tokens": [1.0], "change": [1.0]})
EVEN = np.ones((2, 2))


@pytest.fixture(scope="module")
def tables():
    return load_usage(), load_models()


@pytest.mark.parametrize(
    "call",
    [
        lambda u, m: dependence_dial(30, 30, 5, odds_ratio=np.array([])),
        lambda u, m: rake_noisy(EVEN, ([1, 1], 0.1), ([1, 1], 0.1), n_draws=0),
        lambda u, m: rake_noisy(EVEN, ([1, 1], [0.1]), ([1, 1], 0.1)),
        lambda u, m: group_ratio(u, m, week=WEEK, top=2.5),
        lambda u, m: group_ratio(u.drop(columns="tokens"), m, week=WEEK),
        lambda u, m: promotion_windows(u.drop(columns="basis"), m),
        lambda u, m: promotion_windows(u, m, margin=0),
        lambda u, m: study_events(u, EVENTS, before=0),
        lambda u, m: study_events(u, EVENTS, level=90),
        lambda u, m: event_study(np.zeros(5), np.zeros((60, 3)), 30),
        lambda u, m: panel_elasticity(STUDIED[["tokens"]]),
        lambda u, m: panel_elasticity(STUDIED, level=90),
        lambda u, m: leave_one_app_out(EVENTS, china=1.0, us=1.0, rest=-1.0),
    ],
)
def test_wrong_input_has_a_typed_error(tables, call):
    with pytest.raises(OffrouteError):
        call(*tables)
