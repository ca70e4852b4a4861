"""Raking of a table: margins, odds ratios, noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroute.estimators.table_raking import rake_noisy, rake_table
from offroute.exceptions import InfeasibleMargins, InvalidValue, NotConverged


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), shape=st.tuples(st.integers(2, 4), st.integers(2, 4)))
def test_margins_are_met_and_odds_ratios_kept(seed, shape):
    rng = np.random.default_rng(seed)
    n = rng.uniform(0.5, 5, shape)
    r, c = rng.dirichlet(np.full(shape[0], 5.0)), rng.dirichlet(np.full(shape[1], 5.0))
    m = rake_table(n, r, c)
    np.testing.assert_allclose(m.sum(axis=1), r, atol=1e-9)
    np.testing.assert_allclose(m.sum(axis=0), c, atol=1e-9)
    for table in (m, n):
        odds = np.log(table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0]))
        assert odds == pytest.approx(np.log(n[0, 0] * n[1, 1] / (n[0, 1] * n[1, 0])), abs=1e-7)


def test_two_by_two_solves_the_quadratic():
    """With odds ratio w and margins r, c the first cell is a root of a quadratic."""
    w, r, c = 4.0, 0.3, 0.6
    a, b, k = w - 1, -(1 + (w - 1) * (r + c)), w * r * c
    cell = (-b - np.sqrt(b * b - 4 * a * k)) / (2 * a)
    assert rake_table([[w, 1], [1, 1]], [r, 1 - r], [c, 1 - c])[0, 0] == pytest.approx(cell)


def test_exact_margins_give_the_same_table_in_every_draw():
    n = [[3.0, 1.0], [1.0, 2.0]]
    draws = rake_noisy(n, ([0.4, 0.6], [0, 0]), ([0.7, 0.3], [0, 0]), n_draws=5, rng=0)
    np.testing.assert_allclose(
        draws, np.broadcast_to(rake_table(n, [0.4, 0.6], [0.7, 0.3]), draws.shape)
    )


def test_noisy_margins_cover_the_truth():
    """China by segment, margins measured with stated errors: 90 % holds the true cell."""
    rng = np.random.default_rng(3)
    truth = np.array([[0.10, 0.05], [0.15, 0.70]])
    seed = truth * np.outer([3.0, 1.0], [2.0, 1.0])
    inside, runs, sd = 0, 300, 0.15
    for _ in range(runs):
        rows = truth.sum(axis=1) * np.exp(rng.normal(0, sd, 2))
        columns = truth.sum(axis=0) * np.exp(rng.normal(0, sd, 2))
        draws = rake_noisy(seed, (rows, [sd] * 2), (columns, [sd] * 2), n_draws=300, rng=rng)
        low, high = np.quantile(draws[:, 0, 0], [0.05, 0.95])
        inside += low <= truth[0, 0] <= high
    assert abs(inside / runs - 0.9) <= 4 * np.sqrt(0.09 / runs)


def test_another_association_than_the_seed_is_missed():
    """Margins do not identify the table: a seed of the wrong association gives another one."""
    truth = np.array([[0.25, 0.05], [0.05, 0.65]])
    wrong = rake_table(np.ones((2, 2)), truth.sum(axis=1), truth.sum(axis=0))
    assert abs(wrong[0, 0] - truth[0, 0]) > 0.1


@pytest.mark.parametrize(
    ("seed", "rows", "columns", "error"),
    [
        ([[1, -1], [1, 1]], [1, 1], [1, 1], InvalidValue),
        ([[1, 1], [1, 1]], [1, 0], [1, 1], InvalidValue),
        ([[1, 1], [1, 1]], [1, 1, 1], [1, 1], InvalidValue),
        ([1, 1], [1, 1], [1, 1], InvalidValue),
        ([[0, 0], [1, 1]], [1, 1], [1, 1], InfeasibleMargins),
        ([[1, 0], [0, 1]], [1, 1], [1, 3], NotConverged),
    ],
)
def test_wrong_input_is_refused(seed, rows, columns, error):
    with pytest.raises(error):
        rake_table(seed, rows, columns)


def test_negative_noise_is_refused():
    with pytest.raises(InvalidValue):
        rake_noisy([[1, 1], [1, 1]], ([1, 1], [-1, 0]), ([1, 1], [0, 0]), n_draws=2, rng=0)
