"""What the page holds: panel, draws, sources, and what is known about their errors."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from offroute import __version__
from offroute._typing import FloatArray, IntArray
from offroute.data.snapshot import load_crosswalk, load_ledger, load_usage, sidecar_of
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import NotIdentified
from offroute.inference.atoms import POOLED, Atoms, collect_atoms, label_cells, thin_atoms
from offroute.inference.identification import SELF_HOST, SOLD, identify
from offroute.inference.mechanisms.self_hosting import chinese_part, with_any_self_run
from offroute.inference.pipeline import correct, load_market
from offroute.inference.shares import volumes
from offroute.measurement.ledger import build_benchmarks
from offroute.measurement.market import Market, latest_full_week, week_index
from offroute.measurement.populations import POPULATIONS
from offroute.report.correct import week_notes
from offroute.report.page.codec import PRICE_STEP, pack, unpack

#: Titles for people; the names stand beside them.
TITLES = {
    "outside-china-external-api": "Customers outside China, any API",
    "world-external-api": "Customers everywhere, any API",
    "world-all-uses": "Everyone, the labs' own apps included",
    "us-startups": "US start-ups and developers",
    "us-enterprise": "US enterprises",
    "world-with-self-host": "Everywhere, self-hosted models included",
}
#: How a sentence about them begins.
AMONG = {
    "outside-china-external-api": "Among customers outside China, through any API, it was",
    "world-external-api": "Among customers everywhere, through any API, it was",
    "world-all-uses": "Counting everyone, the labs' own apps included, it was",
    "us-startups": "Among US start-ups and developers, it was",
    "us-enterprise": "Among US enterprises, it was",
    "world-with-self-host": "Counting customers everywhere and self-hosted models, it was",
}
DEFAULT = "world-external-api"
LEVEL = 0.9
N_DRAWS, N_KEPT = 4000, 200
_RECENT, _EVERY = 41, 4
_SIGNIFICANT = 6
_OPTIONAL = {"url": "source_url", "family": "family", "side": "side"}


def page_weeks(market: Market, shown: str) -> IntArray:
    """Return the weeks of the page: the latest 41, every fourth before, and the one asked for.

    The weeks on either side of one that does not exist are there too, so that a line breaks where
    the gap is.

    Parameters
    ----------
    market : Market
        The panel.
    shown : str
        A day of the week that the page opens with.

    Returns
    -------
    ndarray of int
        Positions in the market.
    """
    n = len(market.weeks)
    recent = np.arange(max(n - _RECENT, 0), n)
    early = np.arange(recent[0] - _EVERY, -1, -_EVERY)
    gap = np.flatnonzero(np.diff(market.elapsed) > 1)
    return np.unique(np.concatenate([early, recent, gap, gap + 1, [week_index(market, shown)]]))


def page_content(
    *, week: str | None = None, seed: int = 0, data_dir: Path | None = None, n_kept: int = N_KEPT
) -> dict[str, Any]:
    """Fit every population that the ledger identifies and collect what the page needs.

    Parameters
    ----------
    week : str, optional
        A day of the week that the page opens with; the latest full week by default.
    seed : int
        Seed of the draws and of the choice among them.
    data_dir : pathlib.Path, optional
        Folder of tables; the shipped snapshot by default.
    n_kept : int
        Draws that the page holds for each population.

    Returns
    -------
    dict
        Plain data, ready for JSON.

    Raises
    ------
    UnknownWeek
        If the week is not in the panel.
    NotIdentified
        If the ledger identifies no population.
    UnreliablePosterior
        If a population's importance weights are too heavy-tailed.
    """
    market, usage, ledger = load_market(data_dir), load_usage(data_dir), load_ledger(data_dir)
    shown = latest_full_week(market) if week is None else week
    weeks = page_weeks(market, shown)
    days = [str(market.weeks[w]) for w in weeks]
    crosswalk = load_crosswalk(data_dir)
    built = {n: build_benchmarks(ledger, crosswalk, market, population=n) for n in POPULATIONS}
    found = {
        n: [identify(b, market, int(w), ledger, level=LEVEL) for w in weeks]
        for n, b in built.items()
    }
    posteriors = [
        correct(
            name, weeks=tuple(days), n_draws=N_DRAWS, rng=seed, market=market, data_dir=data_dir
        )
        for name, by_week in found.items()
        if by_week[0].identified
    ]
    if not posteriors:
        raise NotIdentified(
            "report",
            got="a ledger that identifies no population",
            rule="the page needs draws of at least one",
            next_step="See `offroute correct` for what is missing.",
        )
    by_name = {p.benchmarks.population: p for p in posteriors}
    if SOLD in by_name and not found[SELF_HOST][0].identified:
        part = chinese_part(ledger)
        found[SELF_HOST] = [
            with_any_self_run(one, volumes(by_name[SOLD], int(w)), part, level=LEVEL)
            for one, w in zip(found[SELF_HOST], weeks, strict=True)
        ]
    labels = label_cells(posteriors, weeks)
    opens = int(np.searchsorted(weeks, week_index(market, shown)))
    full = [collect_atoms(p, labels, weeks) for p in posteriors]
    atoms = [thin_atoms(a, n_kept, week=opens, rng=seed) for a in full]
    cells = list(zip(market.groups, labels, strict=True))
    populations: list[dict[str, object]] = []
    fits = {
        p.benchmarks.population: (p, every, few)
        for p, every, few in zip(posteriors, full, atoms, strict=True)
    }
    for name, by_week in found.items():
        entry: dict[str, object] = {
            "name": name,
            "title": TITLES[name],
            "description": POPULATIONS[name].description,
            "identified": name in fits,
            "reason": by_week[0].reason,
            "bounds": [_bounds(one.bounds, ledger) for one in by_week],
        }
        if name in fits:
            entry |= _fitted(*fits[name], cells)
        populations.append(entry)
    cited = {i for one in found.values() for b in _bounds(one[0].bounds, ledger) for i in b[3]}
    first = atoms[0]
    panel = sidecar_of("usage", data_dir)
    return {
        "offroute": __version__,
        "seed": seed,
        "level": LEVEL,
        "n_draws": N_DRAWS,
        "n_kept": n_kept,
        "as_of": panel.as_of,
        "licence": panel.licence,
        "citation": panel.citation.rstrip("."),
        "prior": posteriors[0].prior.name,
        "shown": {
            "population": DEFAULT if DEFAULT in fits else atoms[0].population,
            "week": opens,
        },
        "figures": len({i for p in posteriors for i in p.benchmarks.ids}),
        "weeks": days,
        "gaps": [bool(g) for g in _gap_before(market, weeks)],
        "notes": [week_notes(market, usage, day) for day in days],
        "atoms": _atoms(first),
        "X": _significant(first.X),
        "X_usd": _significant(first.X_usd),
        "z": np.round(first.z, 4).tolist(),
        "stealth": _significant(first.stealth),
        "populations": populations,
        "ledger": _sources(ledger, {i for p in posteriors for i in p.benchmarks.ids} | cited),
    }


def _bounds(
    bounds: tuple[tuple[str, float, float], ...], ledger: pd.DataFrame
) -> list[tuple[str, float, float, list[str]]]:
    """Return words, low, high and the ledger rows that the words name by id or survey."""
    ids = ledger["id"].astype(str).to_list()
    surveys = ledger["family"].where(ledger["use"] == "likelihood", "").astype(str)
    named_by = [
        (f"({i})", f"survey {s.removeprefix('share:')} ") for i, s in zip(ids, surveys, strict=True)
    ]
    out: list[tuple[str, float, float, list[str]]] = []
    for text, low, high in bounds:
        rows = sorted(
            i for i, names in zip(ids, named_by, strict=True) if any(n in text for n in names)
        )
        if text.startswith("the same"):
            rows = out[-1][3]
        words = text
        for row in rows:
            words = words.replace(f" ({row})", "")
        out.append((words, round(low, 4), round(high, 4), rows))
    return out


def _gap_before(market: Market, weeks: IntArray) -> list[bool]:
    """Whether a week that does not exist lies between a week of the page and the one before."""
    absent = np.flatnonzero(np.diff(market.elapsed) > 1)
    return [False, *(bool(((absent >= a) & (absent < b)).any()) for a, b in pairwise(weeks))]


def read_atoms(content: Mapping[str, Any], population: str) -> Atoms:
    """Return the pieces of a population as the page holds them, after quantisation.

    Parameters
    ----------
    content : mapping
        As of `page_content`, or read back from a page.
    population : str
        A population of the page that is identified.

    Returns
    -------
    Atoms
        What the page's own arithmetic starts from; `weeks` counts the weeks of the page.
    """
    entry = next(p for p in content["populations"] if p["name"] == population)
    atoms, weeks = content["atoms"], len(content["weeks"])
    shape = (content["n_kept"], weeks, len(atoms))
    return Atoms(
        population=population,
        weeks=np.arange(weeks),
        labs=tuple(a["lab"] for a in atoms),
        groups=tuple(a["group"] for a in atoms),
        X=np.array(content["X"], dtype=np.float64),
        X_usd=np.array(content["X_usd"], dtype=np.float64),
        z=np.array(content["z"]),
        stealth=np.array(content["stealth"], dtype=np.float64),
        log_D=unpack(entry["log_D"], shape),
        log_p=unpack(entry["log_p"], shape),
    )


def _significant(values: FloatArray) -> object:
    """Round to six significant digits: more than the panel is restated by."""
    safe = np.where(values == 0, 1.0, np.abs(values))
    scale = 10.0 ** (_SIGNIFICANT - 1 - np.floor(np.log10(safe)))
    rounded = np.round(values * scale) / scale
    # Whole numbers are shorter, and JSON has no other use for the decimals of a token.
    large = np.abs(rounded).min(initial=np.inf, where=rounded != 0) > 10.0**_SIGNIFICANT
    out: object = (np.rint(rounded).astype(np.int64) if large else rounded).tolist()
    return out


def _atoms(atoms: Atoms) -> list[dict[str, object]]:
    alone = {group for group in atoms.groups if atoms.groups.count(group) == 1}
    pooled = {group: group if group in alone else f"Other {group}" for group in atoms.groups}
    return [
        {
            "lab": lab,
            "group": group,
            "origin": group if group == "Rest of world" else group.split(" ")[0],
            "open": bool(is_open),
            "name": pooled[group] if lab == POOLED else lab,
        }
        for group, lab, is_open in zip(atoms.groups, atoms.labs, atoms.is_open, strict=True)
    ]


def _fitted(
    posterior: Posterior, full: Atoms, atoms: Atoms, cells: list[tuple[str, str]]
) -> dict[str, object]:
    """Return draws, diagnostics and sources of a population."""
    D, p = pack(atoms.log_D), pack(atoms.log_p, step=PRICE_STEP)
    b = posterior.benchmarks
    pairs = list(zip(atoms.groups, atoms.labs, strict=True))
    names = [sorted({pairs.index(cells[c]) for c in np.flatnonzero(w > 0)}) for w in b.w]
    order = np.argsort(np.array(b.ids))
    elapsed = posterior.market.elapsed
    stale = (elapsed[atoms.weeks] - elapsed[b.week.max()]).round().astype(int).tolist()
    return {
        "among": AMONG[b.population],
        "log_D": D,
        "log_p": p,
        "stale": stale,
        "ess": round(posterior.ess),
        "k_hat": round(max(posterior.k_hat, 0.0), 2),
        "families": len({int(f) for f in b.family}),
        "rows": [[b.ids[i], names[i]] for i in order],
        "thinning": thinning_error(full, replace(atoms, log_D=unpack(D, atoms.log_D.shape))),
    }


def thinning_error(full: Atoms, kept: Atoms) -> dict[str, float]:
    """Say how far the page's draws are from all draws in China's share of tokens.

    Parameters
    ----------
    full : Atoms
        With all draws.
    kept : Atoms
        With the draws of the page, after quantisation.

    Returns
    -------
    dict
        ``mean`` and ``largest`` absolute difference over weeks of the low end, the median and the
        high end, as fractions.
    """
    q = [0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2]
    ends = []
    for atoms in (full, kept):
        Y = atoms.X + np.exp(atoms.log_D)
        share = Y[:, :, atoms.is_china].sum(axis=2) / (Y.sum(axis=2) + atoms.stealth)
        ends.append(np.quantile(share, q, axis=0))
    gap = np.abs(ends[0] - ends[1])
    return {"mean": round(float(gap.mean()), 5), "largest": round(float(gap.max()), 5)}


def _sources(ledger: pd.DataFrame, ids: set[str]) -> dict[str, dict[str, str]]:
    """Return the ledger rows that the page cites, by id."""
    rows = ledger.set_index("id").loc[sorted(ids)]
    out: dict[str, dict[str, str]] = {}
    for name, row in rows.iterrows():
        value = next(x for x in (row["value"], row["low"], row["high"]) if pd.notna(x))
        day = row["measured_on"]
        out[str(name)] = {
            "figure": f"{value:g} {row['unit']}",
            "of": str(row["entity"]),
            "what": str(row["scope"]),
            "day": f"{day:%Y-%m-%d}" if pd.notna(day) else str(row["published"]),
            "grade": str(row["confidence"]),
            "title": str(row["source_title"]),
            **{n: str(row[k]) if pd.notna(row[k]) else "" for n, k in _OPTIONAL.items()},
        }
    return out
