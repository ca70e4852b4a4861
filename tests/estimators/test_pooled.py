"""Pooled rows read slice by slice are those of the arrays that never exist."""

import tracemalloc

import numpy as np
import pytest

from offroute.estimators.point import Design, Factor, Sample, Target
from offroute.estimators.pooled import PooledColumns, sums_in_slices
from offroute.estimators.propensity import ipw

# Weights, probabilities and scaled base weights take 32; the cells of a log and a reference row 4.
BYTES_PER_ROW = 40


@pytest.mark.parametrize("stride", [1, 2, 3, 7])
@pytest.mark.parametrize("start", [0, 3, 10, 12, 16])
@pytest.mark.parametrize("stop", [5, 10, 11, 17, 30])
def test_slices_of_two_samples(start, stop, stride):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 10)), rng.normal(size=(2, 7))
    columns = PooledColumns(((0, ((a[0],), (a[0], a[1]))), (10, ((b[0],), (b[0], b[1])))), (2, 17))
    pooled = np.concatenate([a, b], axis=1)
    rows = slice(start, stop, stride)
    expected = np.stack([pooled[0], pooled[0] * pooled[1]])[:, rows]
    np.testing.assert_array_equal(columns.block(rows), expected)
    first, second = (
        sums_in_slices(slice(0, 10), a[0], 17)(rows),
        sums_in_slices(slice(10, 17), b[0], 17)(rows),
    )
    np.testing.assert_array_equal(first + second, pooled[0, rows])
    np.testing.assert_array_equal(first, np.concatenate([a[0], np.zeros(7)])[rows])


@pytest.mark.parametrize("method", ["pseudo-likelihood", "alp"])
def test_weights_take_little_more_than_themselves(method):
    rng = np.random.default_rng(2)

    def draw(n, weight):
        columns = {"x": Factor(rng.integers(0, 9, n).astype(np.int8), tuple("abcdefghi"))}
        columns |= {name: rng.normal(size=n) for name in "uvw"}
        return Sample(columns, np.full(n, weight), Design(n), ())

    n = 400_000
    sample, target = draw(n, 1.0), Target(reference=draw(n, 3.0))
    terms = ["x", "u", "v", "w", ("u", "v"), ("u", "u")]
    tracemalloc.start()
    ipw(sample, target, method=method, terms=terms, estimands=())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BYTES_PER_ROW * n
