import numpy as np
import pandas as pd
import pytest

from offroute.data.snapshot import load_ledger
from offroute.estimators.field import off_platform
from offroute.exceptions import NotIdentified, UnknownPopulation
from offroute.inference.identification import identify
from offroute.inference.mechanisms.geography import place_of_buyers
from offroute.inference.paths import log_ratio_paths, ratio_series, volume_paths
from offroute.inference.pipeline import correct, identify_population, load_market
from offroute.inference.scenarios import prior_scenarios, scenario_table, shifted
from offroute.inference.shares import contest, volumes
from offroute.measurement.market import week_index


@pytest.fixture(scope="module")
def market():
    return load_market()


@pytest.fixture(scope="module")
def posterior(market):
    return correct("world-external-api", market=market, n_draws=600, rng=5)


def test_paths_hold_the_volumes_of_each_week(posterior, market):
    paths = volume_paths(posterior, np.array([market.is_china, market.is_us], dtype=float))
    assert paths.shape == (600, len(market.weeks), 2)
    D = off_platform(posterior.features, posterior.prior, posterior.draws, 40)
    assert np.allclose(paths[:, 40, 0], (market.X[40] + D)[:, market.is_china].sum(axis=1))
    assert (paths >= market.X @ np.array([market.is_china, market.is_us]).T).all()


def test_weeks_that_do_not_exist_stay_gaps(posterior, market):
    weeks, paths, panel = log_ratio_paths(posterior, market.is_china, market.is_us)
    gaps = weeks[np.isnan(panel)].astype(str).tolist()
    assert gaps == ["2025-06-09", "2025-07-14"]
    assert np.isnan(paths[:, np.isnan(panel)]).all()
    assert len(weeks) == len(market.weeks) + 2


def test_the_band_contains_the_interval_and_labels_extrapolation(posterior, market):
    table = ratio_series(posterior, market.is_china, market.is_us).dropna()
    assert (table["band_low"] <= table["low"]).all()
    assert (table["band_high"] >= table["high"]).all()
    assert (table["low"] <= table["ratio"]).all()
    assert table["benchmarks"].sum() == len(posterior.benchmarks)
    assert (table.loc[table["week_start"] == "2026-10-05", "weeks_since_last"] > 4).all()
    assert (table.loc[table["week_start"] == "2026-06-01", "weeks_since_last"] < 0).all()


def test_a_week_of_the_series_is_that_of_the_comparison(posterior, market):
    week = week_index(market, "2026-06-01")
    table = ratio_series(posterior, market.is_china, market.is_us).set_index("week_start")
    c = contest(volumes(posterior, week))
    row = table.loc[pd.Timestamp("2026-06-01")]
    # Between the two middle draws one interpolates logs, the other ratios.
    assert row["ratio"] == pytest.approx(c.ratio[1], rel=1e-4)
    assert row["observed"] == pytest.approx(c.observed_ratio)
    assert row["p_leads"] == pytest.approx(c.p_china_leads)


@pytest.mark.parametrize("name", ["us-startups", "us-enterprise", "world-with-self-host"])
def test_a_population_without_figures_is_not_identified(name, market):
    found = identify_population(name, week="2026-06-01", market=market)
    assert not found.identified
    assert found.bounds[0] == ("nothing but logic", 0.0, 1.0)
    with pytest.raises(NotIdentified, match="absolute size about both"):
        correct(name, weeks=("2026-06-01",), market=market)


def test_the_us_margins_bound_the_panels_us_customers(market):
    found = identify_population("us-startups", week="2026-06-01", market=market)
    week = week_index(market, "2026-06-01")
    cn, us = market.X[week, market.is_china].sum(), market.X[week, market.is_us].sum()
    total = market.X[week].sum() + market.stealth[week]
    low, high = max(0.0, cn - 0.53 * total), max(0.0, us - 0.53 * total)
    assert found.bounds[1][1:] == pytest.approx(
        (
            low / (low + min(us, 0.47 * total - low)),
            1 - high / (high + min(cn, 0.47 * total - high)),
        )
    )
    # One rule for the command of bounds and the table of critiques.
    place = place_of_buyers(market, load_ledger(), population="us-startups", week="2026-06-01")
    assert (place.estimate[0], place.estimate[2]) == pytest.approx(found.bounds[1][1:])


def test_an_identified_population_needs_both_sides(posterior, market):
    b = posterior.benchmarks
    assert identify(b, market, 71, pd.DataFrame()).identified
    with pytest.raises(UnknownPopulation):
        identify_population("mars", week="2026-06-01", market=market)


def test_a_common_error_of_us_disclosures_moves_the_answer_and_only_they_move(posterior):
    b = posterior.benchmarks
    doubled = shifted(b, 2.0)
    moved = doubled.y != b.y
    assert (b.origin[moved] > 0).all()
    assert np.allclose((doubled.y - b.y)[moved], np.log(2.0))
    assert not moved[b.flat[b.family]].any()


def test_scenarios_start_with_the_neutral_prior_and_shifts_pull_apart(posterior, market):
    seen = []
    table = scenario_table(
        posterior,
        week_index(market, "2026-06-01"),
        families=False,
        n_draws=500,
        progress=lambda done, total: seen.append((done, total)),
    ).set_index("scenario")
    assert table.index[0] == "neutral prior"
    assert len(table) == len(prior_scenarios()) + 2
    assert seen[-1] == (len(table), len(table))
    halved = table.loc["US disclosures times 0.5", "log_ratio"]
    doubled = table.loc["US disclosures times 2", "log_ratio"]
    assert halved > table.loc["neutral prior", "log_ratio"] > doubled
