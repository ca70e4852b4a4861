"""What could overturn the answer, on the real snapshot and against closed forms."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from offroute.data.snapshot import load_models, load_usage
from offroute.estimators.linearise import error_covariance
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import UnknownWeek
from offroute.inference.mechanism_steps import CHART, MECHANISMS, mechanism_steps
from offroute.inference.overturn import (
    contour_frame,
    contour_of,
    log_likelihood,
    log_priors,
    log_ratio,
    overturn,
)
from offroute.inference.pipeline import correct, load_market
from offroute.inference.power_scaling import power_scaling
from offroute.inference.scenarios import shifted
from offroute.inference.shares import contest, volumes
from offroute.measurement.audit import audit_weeks
from offroute.measurement.market import week_index

POPULATION = "world-external-api"
WEEK = "2026-05-18"


@pytest.fixture(scope="module")
def market():
    return load_market()


@pytest.fixture(scope="module")
def audit():
    return audit_weeks(load_usage(), load_models())


@pytest.fixture(scope="module")
def posterior(market):
    return correct(POPULATION, weeks=(WEEK, "2026-09-28"), market=market, n_draws=800)


@pytest.fixture(scope="module")
def week(posterior):
    return volumes(posterior, int(posterior.draws.weeks[0]))


def test_the_contour_holds_the_estimate_and_knows_its_directions(week):
    grid = contour_of(week, factors=np.array([0.5, 1.0, 2.0]))
    c = contest(week)
    assert grid.probability[1, 1] == c.p_china_leads
    assert np.exp(grid.log_ratio[1, 1]) == pytest.approx(c.ratio[1], rel=1e-6)
    assert (np.diff(grid.probability, axis=0) >= 0).all()
    assert (np.diff(grid.probability, axis=1) <= 0).all()
    # On the flip line the order is even: scale the closed US models by it.
    at_flip = contour_of(week, factors=grid.flip[1:2])
    mixed = replace(week, Y=week.Y.copy())
    closed = (week.labels["group"] == "US closed").to_numpy()
    mixed.Y[:, closed] = week.X[closed] + grid.flip[1] * (week.Y[:, closed] - week.X[closed])
    assert contest(mixed).p_china_leads == pytest.approx(0.5, abs=2 / len(week.Y))
    assert at_flip.factor_a == grid.flip[1]
    frame = contour_frame(grid)
    assert len(frame) == 9
    row = frame[(frame["factor_china"] == 2.0) & (frame["factor_us_closed"] == 0.5)].iloc[0]
    assert row["p_china_leads"] == grid.probability[2, 0]


def test_against_closed_models_alone_china_stands_higher(week):
    assert (log_ratio(week, against="US closed") > log_ratio(week)).all()


def test_robustness_is_what_a_refit_says(posterior, week):
    index = int(posterior.draws.weeks[0])
    found = overturn(posterior, index, n_draws=800)
    assert 0.5 < found.response < 1.1
    # Disclosures that are too high by the flip's bias, taken back, bring the median near even.
    bias = found.robustness.bias[1]
    refit = synthesise(
        posterior.market,
        shifted(posterior.benchmarks, float(np.exp(-bias))),
        weeks=np.array([index]),
        n_draws=800,
        rng=0,
    )
    moved, here = np.median(log_ratio(volumes(refit, index))), np.median(log_ratio(week))
    assert abs(moved) < 0.3 * abs(here)
    assert found.robustness.in_sd[1] == pytest.approx(bias / posterior.prior.s_cm)
    assert abs(found.prior_pull) < 0.5
    assert set(found.power) == {"level", "pass-through"}
    assert all(p.likelihood[0] > 0 and p.prior[0] > 0 for p in found.power.values())


def test_log_likelihood_and_priors_are_the_normal_densities(toy):
    market = toy.market()
    b = toy.benchmarks(market, [r for r in toy.rows if not r.get("side")])
    fit = synthesise(market, b, n_draws=300, rng=1)
    sure = replace(fit, prior=replace(fit.prior, p_unreliable=0.0))
    found = log_likelihood(sure)
    for j in np.flatnonzero((fit.draws.state == 0).all(axis=1))[[0, -1]]:
        S = error_covariance(fit.benchmarks, fit.prior, fit.draws.hyper[j : j + 1, 1])[0]
        exact = multivariate_normal(cov=S).logpdf(fit.draws.error[j])
        constant = 0.5 * len(b) * np.log(2 * np.pi)
        assert found[j] == pytest.approx(exact + constant, abs=1e-8)
    assert (log_likelihood(fit) >= found).all()
    prior = fit.prior
    same = fit.features.group[:, None] == fit.features.group[None, :]
    B = prior.beta_sd**2 + prior.beta_group_sd**2 * same + prior.beta_unit_sd**2 * np.eye(len(same))
    exact = multivariate_normal(cov=B).logpdf(fit.draws.beta - prior.beta)
    assert np.ptp(log_priors(fit)["pass-through"] - exact) < 1e-8
    # A level far from its prior mean is less likely: the more so, the farther.
    far = replace(fit.draws, base=3 * fit.draws.base)
    assert (log_priors(replace(fit, draws=far))["level"] < log_priors(fit)["level"]).all()


def test_the_prior_of_the_level_is_the_slope_by_the_power_of_its_effects(toy):
    """Effects with prior N(0, I / power), integrated out: the density of u, differentiated."""
    market = toy.market()
    fit = synthesise(market, toy.benchmarks(market, toy.rows), n_draws=300, rng=1)
    f, step = fit.features, 1e-5
    same = f.company[:, None] == f.company[None, :]
    level = log_priors(fit)["level"]
    for j in (0, 123):
        tau = fit.draws.hyper[j, 0]

        def log_density(power, tau=tau, u=fit.draws.base[j]):
            K = f.fixed @ f.fixed.T / power + tau**2 * same
            return multivariate_normal(cov=K, allow_singular=True).logpdf(u)

        slope = (log_density(1 + step) - log_density(1 - step)) / (2 * step)
        constant = 0.5 * f.fixed.shape[1]
        expected = slope - constant - 0.5 * (tau / fit.prior.tau) ** 2
        assert level[j] == pytest.approx(expected, abs=1e-5)


def test_no_prior_is_in_conflict_with_the_figures(market):
    """The spread of labs is no prior: with its density in, every population was in conflict."""
    # With 800 draws the distance of unscaled from scaled draws is .05 by their number alone.
    fit = correct(POPULATION, weeks=(WEEK,), market=market, n_draws=4000)
    R, figures = log_ratio(volumes(fit, int(fit.draws.weeks[0]))), log_likelihood(fit)
    for density in log_priors(fit).values():
        assert power_scaling(R, density, figures).diagnosis == ("none",)


def test_mechanisms_lead_from_the_chart_to_the_corrected_ratio(posterior, week, audit):
    steps = mechanism_steps(posterior, int(posterior.draws.weeks[0]), audit)
    row = audit.set_index("week_start").loc[WEEK]
    assert steps.names == MECHANISMS
    assert steps.start == pytest.approx(np.log(row["top_china"] / row["top_us"]), abs=1e-9)
    assert steps.end == pytest.approx(log_ratio(week).mean(), abs=1e-9)
    assert steps.step[:2].sum() == pytest.approx(
        np.log(contest(week).observed_ratio) - steps.start, abs=1e-9
    )
    np.testing.assert_allclose(steps.low[:2], steps.high[:2])
    assert steps.names[int(np.argmin(steps.step[2:])) + 2] == "closed weights bypass the panel"


def test_weeks_known_by_lab_have_no_chart(posterior, audit, market):
    late = week_index(market, "2026-09-28")
    steps = mechanism_steps(posterior, late, audit)
    assert CHART not in steps.names
    row = audit.set_index("week_start").loc["2026-09-28"]
    assert steps.start == pytest.approx(np.log(row["china"] / row["us"]), abs=1e-9)
    with pytest.raises(UnknownWeek):
        mechanism_steps(posterior, 3, audit)


def test_without_effects_there_is_no_step(toy):
    """A draw in which all cells are covered alike moves nothing but the chart and the rest."""
    market = toy.market()
    market = replace(market, Xs=market.X)
    fit = synthesise(market, toy.benchmarks(market, []), n_draws=400, rng=0)
    prior_u = fit.features.mu[market.anchor] - np.log(
        np.bincount(market.unit, market.Xs[market.anchor])
    )
    level = replace(
        fit.draws,
        base=np.tile(3.0 - prior_u, (400, 1)),
        beta=np.ones_like(fit.draws.beta),
        walk=np.zeros_like(fit.draws.walk),
    )
    audit = pd.DataFrame(
        {
            "week_start": [pd.Timestamp(str(market.weeks[3]))],
            "china": [2.0],
            "us": [1.0],
            "top_china": [np.nan],
            "top_us": [np.nan],
        }
    )
    steps = mechanism_steps(replace(fit, draws=level), 3, audit)
    X = market.X[3]
    naive = np.log(X[market.is_china].sum() / X[market.is_us].sum())
    assert steps.end == pytest.approx(naive, abs=1e-9)
    by_name = dict(zip(steps.names, steps.step, strict=True))
    assert by_name["the unnamed rest"] == pytest.approx(naive - np.log(2), abs=1e-9)
    assert sum(by_name.values()) == pytest.approx(naive - np.log(2), abs=1e-9)
