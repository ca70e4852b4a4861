"""Revenue over several prices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroute.exceptions import InvalidValue
from offroute.measurement.revenue import harmonic_price, tokens_from_revenue


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.floats(0.01, 1)), min_size=1, max_size=6),
)
def test_tokens_add_up_over_segments_and_exceed_the_arithmetic_price(segments):
    price, weight = np.array(segments).T
    share = weight / weight.sum()
    tokens = tokens_from_revenue(1e9, price, share)
    assert tokens == pytest.approx((1e9 * share / price * 1e6).sum())
    assert tokens >= 1e9 / (share @ price) * 1e6 * (1 - 1e-12)


@pytest.mark.parametrize(
    ("price", "share"),
    [([10, 1], [0.5, 0.4]), ([10, 0], [0.5, 0.5]), ([10, 1], [1.5, -0.5]), ([10], [0.5, 0.5])],
)
def test_wrong_segments_are_refused(price, share):
    with pytest.raises(InvalidValue):
        harmonic_price(price, share)


def test_negative_revenue_is_refused():
    with pytest.raises(InvalidValue, match="revenue"):
        tokens_from_revenue(-1.0, [1.0], [1.0])
