"""Typed errors: every message says what was wrong, what was got, the rule and the next step."""

from functools import partial


class OffrouteError(Exception):
    """Base of every error that offroute raises on purpose.

    Parameters
    ----------
    name : str
        The argument, column, row or object that is wrong.
    got : object
        What was received.
    rule : str
        The rule that it breaks.
    next_step : str
        What the user can do about it.
    """

    exit_code = 1

    def __init__(self, name: str, *, got: object, rule: str, next_step: str) -> None:
        self.name = name
        self.got = got
        self.rule = rule
        self.next_step = next_step
        super().__init__(f"{name}: {rule}; got {got}. {next_step}")

    def __reduce__(self) -> tuple[partial["OffrouteError"], tuple[str]]:
        """Rebuild with all parts; from `args` alone a worker's error could not reach its caller."""
        build = partial(type(self), got=self.got, rule=self.rule, next_step=self.next_step)
        return build, (self.name,)


class UsageError(OffrouteError):
    """The call names something that does not exist or has the wrong type (exit code 2)."""

    exit_code = 2


class UnknownWeek(UsageError):
    """The week is not in the usage table."""


class UnknownLab(UsageError):
    """The lab is not in the model register."""


class UnknownModel(UsageError):
    """A model of the usage table is not in the model register."""


class UnknownPopulation(UsageError):
    """The population is not one of the six that offroute defines."""


class UnknownPartition(UsageError):
    """The partition is not a column of the model register."""


class MissingExtra(UsageError):
    """A command needs an optional dependency that is not installed."""


class InvalidKey(UsageError):
    """The API key is absent, unreadable or refused; the message never holds it."""


class DataError(OffrouteError):
    """The data break a rule (exit code 1)."""


class SchemaError(DataError):
    """A column is missing, unexpected or of the wrong type."""


class InvalidValue(DataError):
    """A value is negative, missing, not finite or outside its range."""


class DuplicateKey(DataError):
    """Two rows have the same key."""


class HashMismatch(DataError):
    """A shipped table differs from the hash in its sidecar."""


class BenchmarkBelowPanel(DataError):
    """A benchmark lies below the volume that the panel itself observed."""


class InfeasibleMargins(DataError):
    """No weights can meet the margins together; names the smallest set in conflict."""


class CollinearMargins(DataError):
    """Two or more margins are linearly dependent."""


class EmptyCell(DataError):
    """A target cell has no sampled unit."""


class NotConverged(DataError):
    """An iteration stopped before it met its tolerance."""


class NotIdentified(DataError):
    """The data cannot decide the quantity; carries the bounds when there are any."""


class WorkersLost(DataError):
    """Worker processes died again and again before they finished a chunk."""


class UnreliablePosterior(DataError):
    """The importance weights of a posterior are too heavy-tailed to be used."""


class ServerUnavailable(DataError):
    """A server gave no answer, or only server errors, within the bounds set for retries."""


class RateLimited(DataError):
    """The requests of the minute or the day are used up."""


class BadResponse(DataError):
    """A server answered with something that its documentation does not describe."""


class UndecidedModels(DataError):
    """Models that no rule can classify; the user has to decide."""
