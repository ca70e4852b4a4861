"""China against the US in every unit."""

import numpy as np
import pandas as pd
import pytest

from offroute.inference.other_units import TEXT, unit_table
from offroute.inference.shares import Volumes

LABELS = pd.DataFrame(
    {
        "group": ["China open", "US closed", "Stealth"],
        "origin": ["China", "US", "Stealth"],
        "weights": ["open", "closed", "Stealth"],
        "lab": ["Zhipu", "OpenAI", "Stealth"],
        "tier": ["flagship", "flagship", "Stealth"],
    }
)


def week(Y):
    Y = np.atleast_2d(np.array(Y, dtype=float))
    return Volumes("made-up", "2026-06-01", np.array([3.0, 2.0, 1.0]), Y, LABELS, 0.0)


def factors(**units):
    names = ("tokens", "output tokens", "requests", "dollars")
    return {n: np.array([units.get(n.split()[0], (1.0, 1.0, 1.0))]) for n in names}


def test_units_multiply_the_ratio_of_tokens():
    naive, v = week([3.0, 2.0, 1.0]), week([[6.0, 12.0, 1.0]])
    table = unit_table(v, naive, factors(dollars=(1.0, 5.0, 0.0))).set_index("unit")
    assert table.loc["tokens", ["observed", "ratio"]].tolist() == pytest.approx([1.5, 0.5])
    assert table.loc["dollars", ["observed", "ratio"]].tolist() == pytest.approx([0.3, 0.1])
    assert table.loc["tokens", "p_china_leads"] == 0.0


def test_tokens_of_a_common_text_have_bounds_around_those_of_tokens():
    naive, v = week([3.0, 2.0, 1.0]), week([[6.0, 12.0, 1.0], [8.0, 12.0, 1.0]])
    table = unit_table(v, naive, factors()).set_index("unit")
    text, tokens = table.loc[TEXT], table.loc["tokens"]
    assert np.isnan(text["ratio"])
    assert text["low"] < tokens["low"] < tokens["high"] < text["high"]
    assert text["observed_low"] < tokens["observed"] < text["observed_high"]
