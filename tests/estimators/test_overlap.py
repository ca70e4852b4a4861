"""Overlap of lists against Rcapture, published tables and simulated populations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from offroute.estimators.loglinear import loglinear
from offroute.estimators.overlap import chao_bound, chapman, dependence_dial
from offroute.exceptions import InvalidValue, NotConverged, NotIdentified, UsageError

# Four lists of people with HIV in Rome, Abeni, Brancato and Perucci (1994, Epidemiology 5:410-414):
# units by list memberships 1110, 1101, ..., 0001, the two histories without anyone left out.
HIV = {
    "1110": 3, "1101": 1, "1100": 33, "1010": 20, "1001": 6, "1000": 403, "0111": 3, "0110": 35,
    "0101": 10, "0100": 545, "0011": 11, "0010": 621, "0001": 205,
}  # fmt: skip  # dense
# Rcapture 1.4-4 on R 4.2.2, closedpMS.t(HIV, dfreq = TRUE), 2026-11-23.
RCAPTURE = [
    ((), 11124.5784691849, 904.751977599415, 13.0261369482937, 90.0619954420794),
    (((0, 1),), 12318.4676767586, 1188.72152038319, 7.61375926332809, 86.6496177571138),
    (((0, 2),), 10532.2595233768, 933.065369883976, 11.1639275966708, 90.1997860904565),
    (((1, 2),), 11335.2485863247, 1109.6012705666, 12.9015605946379, 91.9374190884232),
    (((2, 3),), 11062.0563210086, 948.079987761121, 12.9848102723458, 92.0206687661318),
]
# Snowshoe hares, six occasions (Cormack 1989, Biometrics 45:395-413): animals by occasion, and by
# the number of occasions on which they were caught.
HARES_BY_OCCASION = (16, 28, 20, 26, 23, 32)
HARES_BY_CATCHES = (25, 22, 13, 5, 1, 2)


def table(published):
    histories = np.array([[c == "1" for c in key] for key in published], dtype=bool)
    return histories, np.array(list(published.values()), dtype=float)


def hares():
    """Histories with the published margins, on which alone the model of occasions depends."""
    left, animals = np.array(HARES_BY_OCCASION), []
    for k in (6, 5, 4, 3, 2, 1):
        for _ in range(HARES_BY_CATCHES[k - 1]):
            animal = np.zeros(6, dtype=bool)
            animal[np.argsort(-left, kind="stable")[:k]] = True
            left = left - animal
            animals.append(animal)
    assert not left.any()
    return np.unique(np.array(animals), axis=0, return_counts=True)


@pytest.mark.parametrize(("interactions", "size", "se", "deviance", "aic"), RCAPTURE)
def test_the_log_linear_model_is_that_of_rcapture(interactions, size, se, deviance, aic):
    found = loglinear(*table(HIV), interactions=interactions)
    assert found.estimate == pytest.approx(size, rel=1e-10)
    # glm leaves the weights one step behind: its standard errors are known to about 1e-6.
    assert found.se == pytest.approx(se, rel=2e-6)
    assert_allclose([found.deviance, found.aic], [deviance, aic], rtol=1e-10)
    assert found.low < found.estimate < found.high


def test_the_hares_are_those_of_rcapture():
    histories, counts = hares()
    found = loglinear(histories, counts.astype(float), level=0.95)
    # Rcapture 1.4-4: closedp.t (Mt), closedpCI.t(m = "Mt") and closedp.t (Mh Chao), 2026-11-23.
    assert found.estimate == pytest.approx(75.0662013449291, rel=1e-10)
    assert found.se == pytest.approx(3.35233099059257, rel=1e-6)
    assert_allclose([found.low, found.high], [69.2878434878056, 82.3957094270549], rtol=1e-7)
    bound = chao_bound(np.array(HARES_BY_CATCHES, dtype=float))
    assert bound.estimate == pytest.approx(79.8371212121164, rel=1e-10)
    assert bound.se == pytest.approx(6.37376498890183, rel=1e-6)


def test_two_independent_lists_are_lincoln_and_petersen():
    histories = np.array([[1, 1], [1, 0], [0, 1]], dtype=bool)
    found = loglinear(histories, np.array([30.0, 170.0, 120.0]))
    assert found.estimate == pytest.approx(200 * 150 / 30)
    assert chapman(200, 150, 30).estimate == pytest.approx(978.064516129032)
    assert chapman(200, 150, 30).se ** 2 == pytest.approx(20133.9880332986)


def test_chapman_is_unbiased_and_its_interval_holds():
    rng = np.random.default_rng(1)
    size, p = 500, (0.3, 0.4)
    found = []
    for _ in range(2000):
        a, b = (rng.random(size) < x for x in p)
        found.append(chapman(int(a.sum()), int(b.sum()), int((a & b).sum())))
    estimates = np.array([f.estimate for f in found])
    assert abs(estimates.mean() - size) < 4 * estimates.std() / np.sqrt(2000)
    held = np.mean([f.low <= size <= f.high for f in found])
    assert abs(held - 0.9) < 4 * np.sqrt(0.09 / 2000)


def dependent_lists(rng, size, psi):
    """Two lists with margins near .3 and .4 and a given odds ratio."""
    odds = np.array([psi * 0.3 * 0.4, 0.3 * 0.6, 0.7 * 0.4, 0.7 * 0.6])
    x11, x10, x01, _ = rng.multinomial(size, odds / odds.sum())
    return int(x11 + x10), int(x11 + x01), int(x11)


def test_the_dial_holds_at_the_true_odds_ratio_and_chapman_does_not():
    rng = np.random.default_rng(2)
    size, held, naive, union = 2000, 0, 0, 0
    for _ in range(500):
        lists = dependent_lists(rng, size, 3.0)
        dial = dependence_dial(*lists, odds_ratio=np.array([1.0, 3.0, 5.0]))
        held += dial.low[1] <= size <= dial.high[1]
        union += dial.bounds[0] <= size <= dial.bounds[1]
        plain = chapman(*lists)
        naive += plain.low <= size <= plain.high
    assert abs(held / 500 - 0.9) < 4 * np.sqrt(0.09 / 500)
    assert union == 500
    assert naive < 5


def test_the_chao_bound_stays_below_when_units_differ():
    rng = np.random.default_rng(3)
    size, below = 3000, 0
    for _ in range(200):
        chance = rng.beta(1.0, 3.0, size)
        times = (rng.random((size, 5)) < chance[:, None]).sum(axis=1)
        frequencies = np.bincount(times, minlength=6)[1:].astype(float)
        bound = chao_bound(frequencies)
        below += bound.low <= size
        assert bound.estimate > bound.seen
    assert below >= 190


def test_a_wrong_dependence_shows_in_the_fit_and_a_missing_list_is_zero():
    rng = np.random.default_rng(4)
    listed = rng.random((20_000, 3)) < 0.3
    listed[:, 1] |= listed[:, 0] & (rng.random(20_000) < 0.5)
    histories, counts = np.unique(listed[listed.any(axis=1)], axis=0, return_counts=True)
    counts = counts.astype(float)
    right = loglinear(histories, counts, interactions=((0, 1),), level=0.99)
    wrong = loglinear(histories, counts)
    assert right.aic < wrong.aic - 100
    assert right.low < 20_000 < right.high
    assert wrong.high < 20_000


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: chapman(10, 10, 11), InvalidValue),
        (lambda: chapman(10, 10, 2.5), InvalidValue),
        (lambda: chapman(0, 10, 0), InvalidValue),
        (lambda: dependence_dial(10, 10, 0, odds_ratio=1.0), NotIdentified),
        (lambda: dependence_dial(10, 10, 3, odds_ratio=0.0), InvalidValue),
        (lambda: chao_bound(np.array([3.0, 0.0])), NotIdentified),
        (lambda: chao_bound(np.array([3.5, 1.0])), InvalidValue),
        (lambda: loglinear(np.ones((2, 2), dtype=bool), np.ones(2)), InvalidValue),
        (lambda: loglinear(np.eye(2, dtype=bool), np.array([1.5, 2])), InvalidValue),
        (lambda: loglinear(*table(HIV), interactions=((0, 9),)), UsageError),
        (lambda: loglinear(*table(HIV), interactions=((0, 1, 2, 3),)), NotIdentified),
        (
            lambda: loglinear(
                np.array([[1, 1], [1, 0], [0, 1]], dtype=bool), np.ones(3), interactions=((0, 1),)
            ),
            NotIdentified,
        ),
        (lambda: loglinear(np.array([[1, 0], [0, 1]], dtype=bool), np.ones(2)), NotConverged),
    ],
)
def test_what_is_not_a_list_or_not_identified_is_refused(call, error):
    with pytest.raises(error):
        call()
