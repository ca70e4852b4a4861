"""Examples in docstrings that ask for the same posterior share its fit."""

from functools import cache

import pytest

import offroute


@cache
def _fit(population, **options):
    from offroute.inference.pipeline import correct

    return correct(population, **options)


@pytest.fixture(autouse=True)
def fitted_once(request, monkeypatch):
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.setattr(offroute, "correct", _fit)
