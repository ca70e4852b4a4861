"""The typed errors: message, parts and exit codes."""

import inspect
import pickle

import pytest

from offroute import exceptions

CLASSES = [
    value
    for name, value in vars(exceptions).items()
    if inspect.isclass(value)
    and value.__module__ == exceptions.__name__
    and name != "OffrouteError"
]


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_a_usage_or_a_data_error_with_its_exit_code(error):
    usage, data = (
        issubclass(error, base) for base in (exceptions.UsageError, exceptions.DataError)
    )
    assert usage != data
    assert error.exit_code == (2 if usage else 1)
    assert error.__doc__


def test_message_has_name_rule_got_and_next_step():
    error = exceptions.UnknownWeek(
        "week", got="2026-06-02", rule="must be a Monday", next_step="Use '2026-06-01'."
    )
    assert str(error) == "week: must be a Monday; got 2026-06-02. Use '2026-06-01'."
    assert (error.name, error.got) == ("week", "2026-06-02")
    assert (error.rule, error.next_step) == ("must be a Monday", "Use '2026-06-01'.")


def test_errors_cross_process_borders():
    error = exceptions.InvalidValue("tokens", got=-1, rule="must be positive", next_step="Drop it.")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is exceptions.InvalidValue
    assert (str(copy), copy.got) == (str(error), -1)
