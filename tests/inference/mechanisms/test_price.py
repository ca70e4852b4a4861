"""Price-elastic selection and natural experiments with a known truth."""

import numpy as np
import pandas as pd
import pytest

from offroute.data.snapshot import load_prices, load_usage
from offroute.estimators.prior import Prior
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.event_study import event_study
from offroute.inference.mechanisms.counterfactual import china_over_us
from offroute.inference.mechanisms.price import between_labs, price_selection
from offroute.inference.mechanisms.price_events import (
    ended_free_routes,
    panel_elasticity,
    price_changes,
    study_events,
)
from offroute.inference.shares import Volumes, volumes


@pytest.fixture(scope="module")
def fit(toy):
    market = toy.market()
    b = toy.benchmarks(market, toy.rows)
    posterior = synthesise(market, b, weeks=np.array([3]), n_draws=1000, rng=1)
    return posterior, volumes(posterior, 3)


def simulated(gamma):
    """A week in which coverage depends on price alone."""
    labels = pd.DataFrame({"origin": ["China", "China", "US", "US", "Stealth"]})
    X = np.array([8.0, 4.0, 5.0, 3.0, 0.0])
    log_p = np.log([0.2, 1.0, 5.0, 0.5])
    z = log_p - X[:4] @ log_p / X[:4].sum()
    Y = X.copy()
    Y[:4] += X[:4] * np.exp(2.0 + gamma * z)
    return Volumes("simulated", "2026-06-01", X, Y[None], labels, 0.0), z


@pytest.mark.parametrize("gamma", [-0.5, 0.0, 0.7])
def test_the_right_slope_gives_the_true_ratio_and_a_wrong_one_shows_the_damage(gamma):
    v, z = simulated(gamma)
    odds = v.Y[:, :4].sum(axis=1) / v.X[:4].sum() - 1
    truth = china_over_us(v, v.Y)
    right = between_labs(v, np.array([gamma]), odds, z)
    assert right == pytest.approx(truth, abs=1e-12)
    wrong = between_labs(v, np.array([-gamma]), odds, z)
    assert abs(wrong - truth)[0] > abs(gamma) or gamma == 0
    assert between_labs(v, np.array([0.0]), odds, z) == pytest.approx(china_over_us(v, v.X))


def test_dearer_models_off_the_panel_lower_the_cheaper_side(fit):
    posterior, v = fit
    found = price_selection(posterior, v)
    assert found.effect.critique == "C3"
    assert found.gamma == found.effect.estimate
    low, middle, high = found.gap
    assert low < middle < high
    assert 0 < found.contraction < 1
    assert found.moments is not None
    assert found.moments.labs == ("OpenAI",)
    # The slope acts within labs alone here: China has one cell a lab but for DeepSeek.
    assert np.ptp(found.dollars) < 0.5 * np.ptp(found.effect.effect)


def test_a_fixed_slope_is_refused(toy):
    market = toy.market()
    prior = Prior(gamma_sd=0.0)
    b = toy.benchmarks(market, [])
    posterior = synthesise(market, b, prior=prior, weeks=np.array([3]), n_draws=200, rng=1)
    with pytest.raises(NotIdentified):
        price_selection(posterior, volumes(posterior, 3))


def panel(rng, n_weeks=60, n_series=25, scale=0.15):
    common = np.cumsum(0.1 * rng.standard_normal(n_weeks))
    own = np.cumsum(scale * rng.standard_normal((n_weeks, n_series)), axis=0)
    return common[:, None] + own


def test_the_event_study_covers_a_known_change_and_its_p_value_is_uniform():
    rng = np.random.default_rng(1)
    held, p_values = [], []
    for _ in range(150):
        y = panel(rng)
        p_values.append(event_study(y[:, 0], y[:, 1:], 45).p_value)
        y[45:, 0] -= 0.8
        found = event_study(y[:, 0], y[:, 1:], 45)
        held.append(found.low <= -0.8 <= found.high)
    assert abs(np.mean(held) - 0.9) < 4 * np.sqrt(0.09 / 150)
    assert np.mean(np.array(p_values) < 0.1) < 0.1 + 4 * np.sqrt(0.09 / 150)
    assert abs(np.mean(p_values) - 0.5) < 0.1


def test_few_placebos_are_not_stretched_to_a_level_and_other_events_are_none():
    y = panel(np.random.default_rng(4), n_series=9)
    # Eight controls and no earlier date: ten at least, and 19 for 90 %.
    with pytest.raises(NotIdentified, match="at least 19"):
        event_study(y[:, 0], y[:, 1:], 18)
    assert len(event_study(y[:, 0], y[:, 1:], 18, level=0.8).placebos) >= 9
    y = panel(np.random.default_rng(5))
    plain = event_study(y[:, 0], y[:, 1:], 50)
    y[20:, 0] += 5.0
    jumped = event_study(y[:, 0], y[:, 1:], 50)
    told = event_study(y[:, 0], y[:, 1:], 50, others=(20,))
    assert plain.placebos.max() < 3 < jumped.placebos.max()
    assert told.placebos.max() < 3
    assert len(told.placebos) < len(plain.placebos)


def test_events_that_cannot_be_studied_say_why():
    y = panel(np.random.default_rng(2))
    with pytest.raises(NotIdentified, match="before"):
        event_study(y[:, 0], y[:, 1:], 2)
    with pytest.raises(NotIdentified, match="placebos"):
        event_study(y[:20, 0], y[:20, 1:3], 8)
    with pytest.raises(InvalidValue, match="window"):
        event_study(y[:, 0], y[:, 1:], 90)


def usage_with(elasticity, rng):
    """Twenty models; every fourth changes its price once."""
    weeks = pd.date_range("2025-01-06", periods=60, freq="7D")
    y = 20 + panel(rng, scale=0.1)
    changes = []
    for j in range(0, 20, 4):
        at, step = int(rng.integers(20, 50)), float(rng.choice([-0.7, 0.7]))
        y[at:, j] -= elasticity * step
        changes.append((f"m{j}", weeks[at], step))
    tokens = np.exp(y)
    rows = [
        (week, f"m{j}", tokens[i, j]) for i, week in enumerate(weeks) for j in range(y.shape[1])
    ]
    usage = pd.DataFrame(rows, columns=["week_start", "model", "tokens"])
    events = pd.DataFrame(changes, columns=["model", "week", "change"])
    return usage.assign(basis="model", days=7), events


def test_price_changes_give_back_the_elasticity_of_the_panel():
    rng = np.random.default_rng(3)
    found, held = [], []
    for _ in range(8):
        low, middle, high = panel_elasticity(study_events(*usage_with(1.2, rng)))
        found.append(middle)
        held.append(low <= 1.2 <= high)
    assert abs(np.mean(found) - 1.2) < 4 * np.std(found) / np.sqrt(8)
    assert sum(held) >= 6


def test_the_end_of_a_free_route_is_found_and_measured():
    rng = np.random.default_rng(4)
    usage, _ = usage_with(0.0, rng)
    weeks = sorted(usage["week_start"].unique())
    free = usage[(usage["model"] == "m1") & (usage["week_start"] < weeks[40])].copy()
    free["model"], free["tokens"] = "m1:free", 3 * free["tokens"]
    usage = pd.concat([usage, free], ignore_index=True)
    ended = ended_free_routes(usage)
    assert ended["model"].tolist() == ["m1"]
    assert ended["week"].iloc[0] == weeks[40]
    assert ended["free_part"].iloc[0] == pytest.approx(0.75)
    row = study_events(usage, ended).iloc[0]
    assert row["low"] < np.log(0.25) < row["high"]
    assert row["p_value"] < 0.1


def test_prices_of_two_hosts_are_no_change():
    days = pd.to_datetime(["2026-01-01", "2026-01-10", "2026-01-15", "2026-03-01", "2026-03-10"])
    rows = pd.DataFrame({"as_of": days, "completion": [1.0, 2.0, 1.0, 1.0, 0.5]})
    prices = rows.assign(model="m", source="catalogue")
    found = price_changes(prices)
    assert found["week"].astype(str).tolist() == ["2026-03-09"]
    assert found["change"].iloc[-1] == pytest.approx(np.log(0.5))


def test_the_shipped_tables_have_events_and_none_is_dropped():
    usage = load_usage()
    ended = ended_free_routes(usage)
    studied = study_events(usage, ended, before=2, after=3)
    assert len(studied) == len(ended) > 20
    assert (studied["tokens"].isna() == (studied["reason"] != "")).all()
    large = studied[studied["free_part"] >= 0.5].dropna(subset=["tokens"])
    assert len(large) >= 8
    changes = study_events(usage, price_changes(load_prices()))
    low, middle, high = panel_elasticity(changes)
    assert low < middle < high
