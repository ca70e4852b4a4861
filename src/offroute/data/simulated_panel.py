"""What a simulated panel publishes: the day's 50 largest models, in tables of the snapshot."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute._typing import AnyArray, FloatArray, IntArray

#: List price of a prompt token by group and tier, USD per million.
_PRICE = {
    "US closed": {"flagship": 5.0, "mid": 1.5, "light": 0.3},
    "China closed": {"flagship": 1.2, "mid": 0.4, "light": 0.1},
}
_PRICE_OPEN = {"flagship": 0.6, "mid": 0.3, "light": 0.1}
_COMPLETION_PER_PROMPT = 5.0
_CACHED_PER_PROMPT = 0.1
_TOP = 50
#: Days that the panel has lost: week and day of the week.
_LOST = ((22, 6), (27, 1))
_RESTATED_WEEKS = 8


@dataclass(frozen=True)
class Catalogue:
    """Models of the market (M models, C cells).

    Attributes
    ----------
    cells : tuple of (lab, group, tier), length C
        Labels of the cells.
    cell : ndarray of int, shape (M,)
        Cell of each model.
    part : ndarray, shape (T, M)
        Part of its cell's tokens that each model has; sums to one over the models of a cell.
    prompt : ndarray, shape (C,)
        List price of a prompt token, USD per token.
    completion_share, cached_share : ndarray, shape (C,)
        Completion tokens over all tokens; cached over prompt tokens.
    price : ndarray, shape (C,)
        Effective price, USD per token, cache reads included.
    """

    cells: tuple[tuple[str, str, str], ...]
    cell: IntArray
    part: FloatArray
    prompt: FloatArray
    completion_share: FloatArray
    cached_share: FloatArray
    price: FloatArray


@dataclass(frozen=True)
class PanelTables:
    """What the panel publishes (T weeks, C cells).

    Attributes
    ----------
    usage, models, composition : pandas.DataFrame
        With the columns of the snapshot's tables.
    listed : ndarray, shape (T, C)
        Tokens listed under the maker's name.
    other : ndarray, shape (T,)
        Tokens outside the day's 50 largest models.
    """

    usage: pd.DataFrame
    models: pd.DataFrame
    composition: pd.DataFrame
    listed: FloatArray
    other: FloatArray


def make_catalogue(
    cells: list[tuple[str, str, str]], *, n_weeks: int, rng: np.random.Generator
) -> Catalogue:
    """Draw the models of each cell: newer ones replace older ones.

    Parameters
    ----------
    cells : list of (lab, group, tier)
        Labels of the cells.
    n_weeks : int
        Length of the window.
    rng : Generator
        Randomness.

    Returns
    -------
    Catalogue
        The models.
    """
    lab = np.unique([f"{name} {group}" for name, group, _ in cells], return_inverse=True)[1]
    count = rng.integers(2, 7, len(cells))
    cell = np.repeat(np.arange(len(cells)), count)
    launch = rng.uniform(-20.0, n_weeks, len(cell))
    # The first model of a cell is there from the start.
    launch[np.concatenate([[0], np.cumsum(count)[:-1]])] = -30.0
    age = np.arange(n_weeks)[:, None] - launch
    appeal = rng.gamma(0.7, size=len(cell)) + 0.02
    weight = appeal * np.where(age > 0, (1 - np.exp(-age / 2.0)) * 0.5 ** (age / 30.0), 0.0)
    whole = np.zeros((n_weeks, len(cells)))
    np.add.at(whole.T, cell, weight.T)
    base = [_PRICE.get(group, _PRICE_OPEN)[tier] for _, group, tier in cells]
    prompt = np.array(base) * np.exp(rng.normal(0, 0.25, len(cells))) / 1e6
    completion = rng.uniform(0.02, 0.12, lab.max() + 1)[lab]
    cached = rng.beta(6.0, 4.0, lab.max() + 1)[lab]
    price = prompt * (
        (1 - completion) * (1 - (1 - _CACHED_PER_PROMPT) * cached)
        + completion * _COMPLETION_PER_PROMPT
    )
    return Catalogue(tuple(cells), cell, weight / whole[:, cell], prompt, completion, cached, price)


def publish_panel(
    catalogue: Catalogue,
    named: FloatArray,
    cloaked: FloatArray,
    weeks: AnyArray,
    *,
    rng: np.random.Generator,
) -> PanelTables:
    """Publish the panel: the 50 largest models of each day by name, one row for all others.

    Parameters
    ----------
    catalogue : Catalogue
        The models.
    named, cloaked : ndarray, shape (T, C)
        Panel tokens under the makers' names and under cloaked names.
    weeks : ndarray of datetime64[D], shape (T,)
        Mondays.
    rng : Generator
        Randomness.

    Returns
    -------
    PanelTables
        The tables, and the tokens that they list by cell.
    """
    episodes = _episodes(cloaked)
    n_models = len(catalogue.cell)
    noise = np.exp(rng.normal(0, 0.15, catalogue.part.shape))
    part = catalogue.part * noise
    whole = np.zeros_like(named)
    np.add.at(whole.T, catalogue.cell, part.T)
    weekly = np.hstack([named[:, catalogue.cell] * part / whole[:, catalogue.cell], episodes])
    rhythm = np.array([1.08, 1.12, 1.12, 1.1, 1.05, 0.78, 0.75])
    daily = np.exp(rng.normal(0, 0.12, (len(weeks), 7, weekly.shape[1]))) * rhythm[:, None]
    daily *= weekly[:, None, :] / daily.sum(axis=1, keepdims=True)
    days = np.full(len(weeks), 7)
    for week, day in _LOST:
        daily[week, day] = 0.0
        days[week] = 6
    cut = np.sort(daily, axis=2)[:, :, -_TOP, None]
    shown = np.where(daily >= cut, daily, 0.0).sum(axis=1)
    other = daily.sum(axis=(1, 2)) - shown.sum(axis=1)
    # The newest weeks are still to be restated by up to .3 %.
    late = np.linspace(0.0, 0.003, _RESTATED_WEEKS) * rng.uniform(size=_RESTATED_WEEKS)
    shown[-_RESTATED_WEEKS:] *= 1 - late[:, None]
    models = _register(catalogue, episodes.shape[1])
    listed = np.zeros_like(named)
    np.add.at(listed.T, catalogue.cell, shown[:, :n_models].T)
    t, m = np.nonzero(shown >= 1.0)
    usage = pd.DataFrame(
        {
            "week_start": np.concatenate([weeks[t], weeks]),
            "days": np.concatenate([days[t], days]),
            "basis": "model",
            "model": np.concatenate(
                [models["model"].to_numpy()[:-1][m], np.full(len(weeks), "other")]
            ),
            "tokens": np.concatenate([shown[t, m], other]).astype(np.int64),
        }
    )
    return PanelTables(usage, models, _composition(catalogue, models, shown, rng), listed, other)


def _episodes(cloaked: FloatArray) -> FloatArray:
    """Tokens of each cloaked model, shape (T, E): a run of weeks of one maker is one model."""
    runs = []
    for volume in cloaked.T:
        edges = np.flatnonzero(np.diff((volume > 0).astype(np.int64), prepend=0, append=0))
        for start, stop in edges.reshape(-1, 2):
            run = np.zeros(len(cloaked))
            run[start:stop] = volume[start:stop]
            runs.append(run)
    return np.array(runs).reshape(len(runs), len(cloaked)).T


def _register(catalogue: Catalogue, n_cloaked: int) -> pd.DataFrame:
    """Register of all models; cloaked ones and the unnamed rest come last."""
    rows: list[tuple[object, ...]] = []
    for j, c in enumerate(catalogue.cell):
        lab, group, tier = catalogue.cells[c]
        prompt = catalogue.prompt[c] * 1e6
        weights = "closed" if group.endswith("closed") else "open"
        prices = (prompt, prompt * _COMPLETION_PER_PROMPT)
        author = lab.lower()
        rows.append((f"{author}/model-{j}", author, lab, weights, group, "standard", tier, *prices))
    for j in range(n_cloaked):
        rows.append(_unpriced(f"openrouter/cloaked-{j}", "openrouter", "Stealth"))
    rows.append(_unpriced("other", "other", "Other"))
    names = ["model", "author", "lab", "weights", "group", "variant", "tier"]
    return pd.DataFrame(rows, columns=[*names, "prompt", "completion"])


def _unpriced(model: str, author: str, group: str) -> tuple[object, ...]:
    return (model, author, group, "unidentified", group, "standard", "unclassified", np.nan, np.nan)


def _composition(
    catalogue: Catalogue, models: pd.DataFrame, shown: FloatArray, rng: np.random.Generator
) -> pd.DataFrame:
    """Token composition of the named models over the window, with errors of a few per cent."""
    total = shown[:, : len(catalogue.cell)].sum(axis=0)
    known = np.flatnonzero(total > 0)
    cell = catalogue.cell[known]
    error = np.exp(rng.normal(0, 0.05, (2, len(known))))
    completion = total[known] * catalogue.completion_share[cell] * error[0]
    prompt = total[known] - completion
    return pd.DataFrame(
        {
            "model": models["model"].to_numpy()[known],
            "prompt": prompt,
            "completion": completion,
            "cached": prompt * np.minimum(catalogue.cached_share[cell] * error[1], 1.0),
        }
    )
