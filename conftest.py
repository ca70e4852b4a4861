"""Examples in docstrings that ask for the same posterior share its fit."""

from functools import cache
from importlib import import_module

import pytest

import offroute


@cache
def _fit(population: str, **options: object) -> object:
    return import_module("offroute.inference.pipeline").correct(population, **options)


@pytest.fixture(autouse=True)
def _fitted_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.setattr(offroute, "correct", _fit)
