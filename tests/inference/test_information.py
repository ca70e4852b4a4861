import numpy as np
import pandas as pd
import pytest

from offroute.exceptions import InvalidValue
from offroute.inference.information import value_of_information
from offroute.inference.shares import Volumes


def made_up(rng, sd=(1.0, 0.5, 0.1)):
    labels = pd.DataFrame(
        {
            "origin": ["China", "US", "US", "Stealth"],
            "lab": ["A", "B", "C", "Stealth"],
            "group": ["China open", "US closed", "US closed", "Stealth"],
        }
    )
    logs = rng.standard_normal((50_000, 3)) * sd + np.array([3.0, 4.0, 0.0])
    Y = np.column_stack([np.exp(logs), np.full(50_000, 2.0)])
    return Volumes("world-external-api", "2026-06-01", np.ones(4), Y, labels, 0.0)


def test_a_direct_figure_shrinks_as_the_gaussian_formula_says():
    v = made_up(np.random.default_rng(1))
    table = value_of_information(v, sd=0.15).set_index("disclosure")["shrinkage"]
    R = np.log(v.Y[:, 0] / v.Y[:, 1:3].sum(axis=1))
    exact = 1 - np.sqrt(1 - R.var() / (R.var() + 0.15**2))
    assert table["ratio of China to US"] == pytest.approx(exact)
    # A is all of China: both figures are the same.
    assert table["tokens of A"] == pytest.approx(table["all tokens of China"])
    assert table["tokens of A"] > table["tokens of B"] > table["tokens of C"]


def test_what_is_known_already_tells_nothing():
    table = value_of_information(made_up(np.random.default_rng(2)))
    assert "tokens of Stealth" not in set(table["disclosure"])


def test_a_vague_disclosure_shrinks_less_and_its_error_must_be_positive():
    v = made_up(np.random.default_rng(3))
    sharp = value_of_information(v, sd=0.1).set_index("disclosure")["shrinkage"]
    vague = value_of_information(v, sd=1.0).set_index("disclosure")["shrinkage"]
    assert (vague < sharp).all()
    with pytest.raises(InvalidValue, match="sd"):
        value_of_information(v, sd=0.0)
