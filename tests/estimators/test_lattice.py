"""Each corner of the lattice against the textbook computation that it nests."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares, minimize, root
from scipy.special import ndtri

from offroute.estimators.carried import carried_evidence, covariates, one_per_lab
from offroute.estimators.coverage_draws import coverage_draws
from offroute.estimators.distances import linear, logit, raking
from offroute.estimators.lattice import (
    UNBOUNDED,
    Corner,
    Evidence,
    j_test,
    multiplier,
    odds,
    solve,
)
from offroute.estimators.presets import NAMES, estimate, full_gaussian
from offroute.estimators.prior import NEUTRAL
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import (
    InfeasibleMargins,
    NotConverged,
    NotIdentified,
    UnknownWeek,
    UsageError,
)
from offroute.inference.defect import joint_coverage
from offroute.inference.shares import contest, coverage_volumes, volumes

# Newton stops at a relative step of 1e-6, whose square is the error left.
EXACT = 1e-9
SIGMAS = 4.0
D = np.array([10.0, 30.0, 5.0, 8.0, 2.0, 20.0])


def evidence(A, totals, S=None):
    A = np.asarray(A, dtype=float)
    n = len(A)
    return Evidence(
        tuple(f"row{i}" for i in range(n)),
        np.log(totals),
        A,
        A.sum(axis=1),
        np.zeros((n, n)) if S is None else S,
    )


def point(e, corner):
    eta = solve(e, corner, y=e.y[None], m=np.zeros((1, e.A.shape[1])), S=e.S)
    return multiplier(corner, eta)[0]


def distance(link, d=D):
    return Corner(link, np.ones(len(d)), None, d)


@pytest.fixture
def margins():
    """Two overlapping margins on six cells and a money total, met by positive multipliers."""
    x = np.array([[1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1], [4.0, 1.0, 0.3, 2.0, 0.5, 0.1]])
    A = x * D
    return x, evidence(A, A @ np.array([2.0, 1.5, 3.0, 2.5, 1.0, 1.2]))


def test_linear_distance_is_the_regression_estimator(margins):
    x, e = margins
    lagrange = np.linalg.solve((x * D) @ x.T, np.exp(e.y) - x @ D)
    np.testing.assert_allclose(point(e, distance(linear())), 1 + x.T @ lagrange, rtol=EXACT)


def test_entropy_distance_is_iterative_proportional_fitting():
    rows, columns = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 1, 2])
    X = np.array([rows == 0, rows == 1, columns == 0, columns == 1], dtype=float)
    totals = np.array([90.0, 60.0, 50.0, 70.0])
    w = D.copy()
    for _ in range(4000):
        for group, wanted in ((rows, totals[:2]), (columns, np.append(totals[2:], 30.0))):
            w *= (wanted / np.bincount(group, w))[group]
    found = D * point(evidence(X * D, totals), distance(raking()))
    np.testing.assert_allclose(found, w, rtol=1e-8)


def test_entropy_distance_has_the_least_divergence(margins):
    x, e = margins
    found = minimize(
        lambda g: D @ (g * np.log(g) - g + 1),
        np.ones(6),
        jac=lambda g: D * np.log(g),
        bounds=[(1e-6, None)] * 6,
        constraints={"type": "eq", "fun": lambda g: (x * D) @ g - np.exp(e.y)},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(point(e, distance(raking())), found.x, rtol=1e-5)


def test_bounded_logit_solves_its_dual_and_keeps_its_bounds(margins):
    x, e = margins
    low, high = 0.7, 4.0

    def _factor(u):
        a = (high - low) / ((1 - low) * (high - 1))
        up = np.exp(a * u)
        return (low * (high - 1) + high * (1 - low) * up) / (high - 1 + (1 - low) * up)

    dual = root(lambda u: (x * D) @ _factor(x.T @ u) - np.exp(e.y), np.zeros(3), tol=1e-13)
    g = point(e, distance(logit(low, high)))
    np.testing.assert_allclose(g, _factor(x.T @ dual.x), rtol=1e-7)
    assert low < g.min() <= g.max() < high


def test_unbounded_between_strata_and_none_within_is_the_ratio_within_strata():
    stratum = np.array([0, 0, 1, 1, 2, 2])
    A = np.array([stratum == h for h in range(3)]) * D
    totals = np.array([100.0, 39.0, 33.0])
    K = (stratum[:, None] == stratum[None, :]) * 1.0
    g = point(evidence(A, totals), Corner(raking(), np.ones(6), K, D))
    np.testing.assert_allclose(g, (totals / np.bincount(stratum, D))[stratum], rtol=EXACT)


@pytest.mark.parametrize(
    ("s", "g", "share"), [(1e-6, 5.0, 0.625), (0.5, 3.623898, 0.547095), (1e6, 1.0, 0.25)]
)
def test_soft_calibration_of_two_volumes(s, g, share):
    # Acceptance case 3: g1 = 5 ** (1 / (1 + s^2)).
    d = np.array([10.0, 30.0])
    e = evidence([[10.0, 0.0]], [50.0], np.array([[s**2]]))
    found = point(e, Corner(raking(), np.ones(2), np.eye(2), d))
    np.testing.assert_allclose(found, [g, 1.0], rtol=1e-6)
    assert found @ (d * [1, 0]) / (found @ d) == pytest.approx(share, rel=1e-6)


def test_soft_calibration_runs_from_exact_to_naive(margins):
    _, e = margins
    hard = point(e, distance(raking()))
    for scale, wanted in ((1e-10, hard), (1e10, np.ones(6))):
        soft = point(replace(e, S=scale * np.eye(3)), distance(raking()))
        np.testing.assert_allclose(soft, wanted, rtol=1e-5)


def test_with_a_log_link_and_single_cells_the_draws_are_those_of_kriging():
    # h is then linear in the coefficients, and the posterior is Gaussian in closed form.
    rng = np.random.default_rng(0)
    root_K = rng.standard_normal((6, 6)) / 3
    K, S = root_K @ root_K.T, np.diag([0.04, 0.09])
    e = evidence(np.eye(6)[[1, 4]] * D, [60.0, 5.0], S)
    k = 20_000
    m = rng.standard_normal((k, 6)) @ root_K.T
    y = e.y + rng.standard_normal((k, 2)) * np.sqrt(np.diag(S))
    eta = solve(e, Corner(raking(), np.ones(6), K, D), y=y, m=m, S=S)
    gain = K[:, [1, 4]] @ np.linalg.inv(K[np.ix_([1, 4], [1, 4])] + S)
    mean = gain @ (e.y - np.log(D[[1, 4]]))
    V = K - gain @ K[[1, 4]]
    np.testing.assert_allclose(eta.mean(axis=0), mean, atol=SIGMAS * np.sqrt(np.diag(V).max() / k))
    np.testing.assert_allclose(np.cov(eta.T), V, atol=0.03 * np.diag(V).max())


def two_labs(toy, *, y, s):
    """A market of two labs in one week, with a lognormal total of each."""
    cells = [
        ("A", "US closed", "flagship", 0, 14.0, 1.0),
        ("B", "China open", "mid", 1, 19.0, 1.0),
    ]
    market = toy.market(cells, elapsed=(0, 1), anchor=1)
    X = np.tile([14.0, 19.0], (2, 1))
    market = replace(market, X=X, Xs=X, stealth=np.zeros(2))
    rows = [
        {"family": f"tokens:{name}", "cells": [c], "week": 1, "y": y[c], "s": s[c], "iota": 1.0}
        for c, name in enumerate("AB")
    ]
    return market, toy.benchmarks(market, rows)


def test_coverage_ratio_of_two_lognormal_totals(toy):
    # Acceptance case 2: R ~ N(log .3, .65^2).
    market, b = two_labs(toy, y=np.log([400.0, 120.0]), s=[0.25, 0.6])
    exact = contest(coverage_volumes(estimate("coverage ratio", market, b, week=1), 1))
    np.testing.assert_allclose(exact.ratio, 0.3, rtol=EXACT)
    np.testing.assert_allclose(exact.undersampling, 4.523810, rtol=1e-6)
    k = 40_000
    drawn = estimate("coverage ratio, Monte Carlo", market, b, week=1, n_draws=k)
    c = contest(coverage_volumes(drawn, 1), level=0.9)
    assert c.ratio[1] == pytest.approx(0.3, rel=SIGMAS * 1.2533 * 0.65 / np.sqrt(k))
    assert abs(c.p_china_leads - 0.0319938) < SIGMAS * np.sqrt(0.032 * 0.968 / k)
    np.testing.assert_allclose(c.undersampling, [1.553017, 4.523810, 13.177480], rtol=0.03)
    # Draws below the panel are outside of the parameter space: P(y < log 19) of the China total.
    assert len(drawn.Y) / k == pytest.approx(1 - 0.00106, abs=SIGMAS * np.sqrt(0.00106 / k))
    assert 0.6 * ndtri(0.00106) == pytest.approx(np.log(19 / 120), abs=0.005)


def test_selection_on_covariates_is_gmm(toy):
    market = toy.market()
    b = toy.benchmarks(market, [r for r in toy.rows if r["family"] != "tokens:house"])
    e = carried_evidence(market, b, NEUTRAL, 5)
    # These rows tell the two countries apart, not openness or price.
    Z = covariates(market, 5)[:, [0, 2]]
    W = np.linalg.cholesky(np.linalg.inv(e.S)).T

    def moments(beta):
        return W @ (e.y - np.log(e.A @ np.exp(Z @ beta) + e.inside))

    gmm = least_squares(moments, np.array([3.0, 0.0]), xtol=1e-14, ftol=1e-14, gtol=1e-12)
    corner = Corner(odds(), np.ones(len(Z)), UNBOUNDED**2 * Z @ Z.T, np.ones(len(Z)))
    eta = solve(e, corner, y=e.y[None], m=np.full((1, len(Z)), 3.0), S=e.S)[0]
    np.testing.assert_allclose(eta, Z @ gmm.x, atol=2e-3)
    J, df, p = j_test(e, corner, eta, rank=2)
    assert pytest.approx(2 * gmm.cost, rel=1e-3) == J
    assert df == len(e) - 2
    assert 0 < p < 1


def test_full_corner_is_the_synthesis_with_fixed_scales(toy):
    """One cell per lab, everything dated in the anchor week, scales without their priors."""
    cells = [
        ("A", "US closed", "mid", 0, 14.0, 1.0),
        ("C", "US closed", "mid", 1, 6.0, 1.0),
        ("B", "China open", "mid", 2, 19.0, 1.0),
    ]
    market = toy.market(cells, elapsed=(0, 1), anchor=1)
    market = replace(market, Xs=market.X, stealth=np.zeros(2))
    y = np.log(market.X[1] * [20.0, 9.0, 12.0])
    rows = [
        {"family": f"tokens:{n}", "cells": [c], "week": 1, "y": y[c], "s": 0.2, "iota": 0.0}
        for c, n in ((0, "A"), (2, "B"))
    ]
    small = dict.fromkeys(("tau", "omega", "s_rw", "s_e", "p_unreliable"), 1e-6)
    prior = replace(NEUTRAL, **small, s_cm=0.2, beta=1.0, quiet=0.0)
    b = toy.benchmarks(market, rows)
    fit = synthesise(market, b, prior=prior, weeks=np.array([1]), n_draws=8000, rng=1)
    one = contest(volumes(fit, 1))
    two = contest(
        coverage_volumes(full_gaussian(market, b, week=1, prior=prior, n_draws=8000, rng=2), 1)
    )
    np.testing.assert_allclose(np.log(two.ratio), np.log(one.ratio), atol=0.06)
    np.testing.assert_array_equal(coverage_draws(fit).Y[:, 0], volumes(fit, 1).Y[:, :-1])


def test_naive_and_prior_only_are_the_two_ends(toy):
    market = toy.market()
    b = toy.benchmarks(market, toy.rows)
    X = market.X[3]
    for rows in (b, toy.benchmarks(market, [])):
        v = coverage_volumes(estimate("naive", market, rows, week=3, n_draws=50), 3)
        np.testing.assert_allclose(
            v.Y[:, :-1] / v.Y[:, :-1].sum(axis=1, keepdims=True),
            np.tile(X / X.sum(), (len(v.Y), 1)),
            rtol=1e-6,
        )
    prior_only = estimate("bias analysis", market, b, week=3, n_draws=300, rng=5)
    empty = synthesise(market, toy.benchmarks(market, []), weeks=np.array([3]), n_draws=300, rng=5)
    np.testing.assert_array_equal(prior_only.Y, coverage_draws(empty).Y)
    assert prior_only.used == ()


@pytest.fixture(scope="module")
def every(toy):
    """All presets on a market whose figures lie well above the panel, tokens only."""
    market = toy.market()
    rows = [
        {"family": "tokens:OpenAI", "cells": [0, 1], "week": 3, "y": 5.0},
        {"family": "revenue:Anthropic", "cells": [2], "week": 2, "y": 6.0, "money": True},
        {"family": "tokens:DeepSeek", "cells": [4, 5], "week": 3, "y": 4.2},
        {"family": "tokens:Alibaba", "cells": [6], "week": 5, "y": 3.4},
        {"family": "tokens:OpenAI", "cells": [0, 1], "week": 6, "y": 5.4},
    ]
    b = toy.benchmarks(market, rows)
    return market, b, {n: estimate(n, market, b, week=3, n_draws=400) for n in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_returns_draws_that_hold_the_panel(every, name):
    market, b, found = every
    draws = found[name]
    assert draws.Y.shape[1:] == (1, len(market.labs))
    assert (draws.log_multiplier >= 0).all()
    assert draws.estimator == name
    assert draws.population == b.population
    v = coverage_volumes(draws, 3)
    assert contest(v).ratio[1] > 0
    with pytest.raises(UnknownWeek):
        coverage_volumes(draws, 0)


def test_coverage_ratio_is_the_figure_over_the_panel_and_pools_by_sums(every):
    market, b, found = every
    g = np.exp(found["coverage ratio"].log_multiplier[0, 0])
    X = market.X
    lab = {
        0: np.exp(5.0) / X[3, :2].sum(),
        2: np.exp(6.0) / (market.price[2, 2] * X[2, 2]),
        4: np.exp(4.2) / X[3, 4:6].sum(),
        6: np.exp(3.4) / X[5, 6],
    }
    # iota is 0: the figures do not contain the panel's own tokens, which come on top.
    np.testing.assert_allclose(g[[0, 2, 4, 6]], [1 + lab[c] for c in (0, 2, 4, 6)], rtol=1e-8)
    measured = X[3, :3]
    np.testing.assert_allclose(g[3], (measured @ g[:3]) / measured.sum(), rtol=1e-8)
    coverage = joint_coverage(X[3], 1 / g)
    assert coverage == pytest.approx(X[3].sum() / found["coverage ratio"].Y[0, 0].sum(), rel=1e-9)
    assert one_per_lab(market, b, 3, s_rw=0.1).ids == ("row0", "row1", "row2", "row3")


def test_tokens_of_single_labs_make_all_distances_agree(every):
    _, _, found = every
    ratios = [contest(coverage_volumes(found[n], 3)).ratio[1] for n in ("GREG", "raking")]
    ratios.append(contest(coverage_volumes(found["bounded logit"], 3)).ratio[1])
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-6)


def test_doubtful_figures_leave_soft_calibration_nearer_to_the_headline(every):
    _, _, found = every
    panel = contest(coverage_volumes(found["naive"], 3)).ratio[1]
    gap = {
        n: abs(np.log(contest(coverage_volumes(found[n], 3)).ratio[1] / panel))
        for n in ("replicated calibration", "soft calibration")
    }
    assert gap["soft calibration"] < gap["replicated calibration"]


def test_refusals(toy):
    market = toy.market()
    twice = evidence(np.array([D, 2 * D]), [200.0, 500.0])
    with pytest.raises(InfeasibleMargins, match="one by one"):
        point(twice, distance(raking()))
    with pytest.raises(NotConverged, match="link's bounds"):
        point(evidence([D], [1e4]), distance(logit(0.5, 2.0)))
    with pytest.raises(UsageError, match="estimator"):
        estimate("magic", market, toy.benchmarks(market, toy.rows), week=3)
    us = toy.benchmarks(market, toy.rows[:2])
    with pytest.raises(NotIdentified, match="China and the US"):
        estimate("coverage ratio", market, us, week=3)
    with pytest.raises(NotIdentified, match="coefficients"):
        estimate("selection on covariates", market, us, week=3)
    e = evidence([D], [100.0], np.eye(1))
    with pytest.raises(NotIdentified, match="more benchmarks"):
        j_test(e, distance(raking()), np.zeros(6), rank=1)
    low = [{**toy.rows[4], "y": 0.5, "iota": 1.0}, toy.rows[0]]
    with pytest.raises(InfeasibleMargins, match="hold what the panel saw"):
        estimate("coverage ratio", market, toy.benchmarks(market, low), week=2)
