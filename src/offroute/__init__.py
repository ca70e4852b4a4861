"""Corrected shares of large-language-model usage from a biased panel."""

from importlib import import_module
from typing import TYPE_CHECKING

from offroute import exceptions

if TYPE_CHECKING:
    from offroute.exceptions import OffrouteError

__version__ = "0.1.0"

__all__ = ["OffrouteError", "exceptions"]

# Where each public name lives; imported on first use, so that `import offroute` stays cheap.
_HOME = {
    "OffrouteError": "offroute.exceptions",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
