"""Each message says the name, what was got, the rule and the next step."""

import numpy as np
import pandas as pd
import pytest

from offroute import exceptions
from offroute._checks import (
    check_choice,
    check_columns,
    check_finite,
    check_probability,
    check_unique,
    listing,
)

FRAME = pd.DataFrame(
    {"week": ["2026-06-01", "2026-06-01"], "lab": ["zai", "zai"], "tokens": [1, 2]}
)


def message(error):
    return str(error.value)


def test_listing_shows_eight_and_counts_the_rest():
    assert listing("abcdefgh") == "a, b, c, d, e, f, g, h"
    assert listing("abcdefghi") == "a, b, c, d, e, f, g, h and 1 more"


def test_columns_names_the_missing_ones_only():
    check_columns(FRAME, ["tokens", "week"], name="usage")
    with pytest.raises(exceptions.SchemaError) as error:
        check_columns(FRAME, ["tokens", "model", "origin"], name="usage")
    assert message(error) == (
        "usage: must have the columns model, origin; got columns week, lab, tokens. "
        "Add or rename the missing columns."
    )


@pytest.mark.parametrize(
    ("values", "options", "text"),
    [
        ([1.0, np.nan], {}, "must be finite; got nan at position 1 (1 of 2 values are wrong)."),
        ([np.inf, -np.inf], {}, "got inf at position 0 (2 of 2 values are wrong)."),
        ([0.0, -3.0], {"minimum": 0}, "must be finite and at least 0; got -3 at position 1"),
        ([1.0, 0.0], {"minimum": 0, "strict": True}, "must be finite and above 0; got 0 at"),
        ([[1, 2], [3, np.nan]], {}, "got nan at position 1, 1 (1 of 4 values are wrong)."),
        (pd.Series([1, None], index=[7, 9]), {}, "got nan at position 1"),
        (-2.5, {"minimum": 0}, "must be finite and at least 0; got -2.5. Correct or drop"),
    ],
)
def test_finite_names_the_first_wrong_value(values, options, text):
    with pytest.raises(exceptions.InvalidValue) as error:
        check_finite(values, name="tokens", **options)
    assert message(error).startswith("tokens: must be finite")
    assert text in message(error)


def test_finite_accepts_what_keeps_the_rule():
    check_finite([0.0, 1e300], name="tokens", minimum=0)
    check_finite(pd.Series([1, 2]), name="tokens", minimum=0, strict=True)
    check_finite([], name="tokens", minimum=0)


def test_finite_refuses_what_is_not_a_number():
    with pytest.raises(exceptions.SchemaError) as error:
        check_finite(["12", "many"], name="tokens")
    assert message(error).startswith("tokens: must be finite; got values of type <U4.")


def test_unique_names_the_first_repeated_key():
    check_unique(FRAME, ["week", "lab", "tokens"], name="usage")
    with pytest.raises(exceptions.DuplicateKey) as error:
        check_unique(FRAME, ["week", "lab"], name="usage")
    assert message(error) == (
        "usage: must have one row per week, lab; got 1 repeated, first week=2026-06-01, lab=zai. "
        "Drop the repeated rows or add them up."
    )


def test_unique_needs_its_key_columns():
    with pytest.raises(exceptions.SchemaError, match="usage: must have the columns model"):
        check_unique(FRAME, ["week", "model"], name="usage")


def test_choice_returns_the_value_and_suggests_the_nearest():
    populations = ["us-startups", "us-enterprise", "world-all-uses"]
    assert check_choice("us-startups", populations, name="population") == "us-startups"
    with pytest.raises(exceptions.UnknownPopulation) as error:
        check_choice(
            "us-startup", populations, name="population", error=exceptions.UnknownPopulation
        )
    assert message(error) == (
        "population: must be one of us-startups, us-enterprise, world-all-uses; "
        "got 'us-startup'. Use 'us-startups'."
    )


@pytest.mark.parametrize("value", ["zzz", "", None, 3, ["us"]])
def test_choice_without_a_near_one_suggests_none(value):
    with pytest.raises(exceptions.UsageError) as error:
        check_choice(value, ["us", "china"], name="origin")
    assert message(error).endswith(f"got {value!r}. Choose one of these.")


def test_probability_returns_a_float():
    level = check_probability(np.float32(0.5), name="level")
    assert type(level) is float
    assert level == 0.5


@pytest.mark.parametrize("level", [0, 1, 90, -0.1, np.nan, np.inf, "0.9", None, True])
def test_probability_refuses_the_ends_and_what_is_not_a_number(level):
    with pytest.raises(exceptions.UsageError) as error:
        check_probability(level, name="level")
    assert message(error) == (
        f"level: must be a number above 0 and below 1; got {level!r}. Write 90 % as 0.9."
    )
