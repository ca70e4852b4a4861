"""Calibration repeated under many base weights at once."""

from dataclasses import dataclass, replace

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.dual import TOLERANCE, Problem, evaluate, factor, needs_rows, solve
from offroute.estimators.margins import cell_totals, margin_sums, products, scores
from offroute.exceptions import NotConverged

_AIM = 5e-11
_CHORD_STEPS = 20
# A last step is taken unseen if it should leave this much of the aim, by the last contraction.
_SURE, _QUICK = 0.1, 0.2
# Numbers in a block of replicates by cells, which fits the second-level cache.
_BLOCK = 1 << 17


@dataclass(frozen=True)
class Centre:
    """The full-sample solution, where replicates start, and the metric of their steps.

    Attributes
    ----------
    dual : numpy.ndarray of float64, shape (p,)
        Multipliers.
    scale : numpy.ndarray of float64, shape (p,)
        Inverse root of the Hessian's diagonal.
    root : numpy.ndarray of float64, shape (p, r)
        Root of the pseudo-inverse of the scaled Hessian.
    """

    dual: FloatArray
    scale: FloatArray
    root: FloatArray


def centre_at(problem: Problem, dual: FloatArray) -> Centre:
    """Compute what the replicates of a problem share.

    Parameters
    ----------
    problem : Problem
        The full-sample problem.
    dual : numpy.ndarray of float64, shape (p,)
        Its solution.
    """
    return Centre(dual, *factor(np.asarray(evaluate(problem, dual, hessian=True)[1])))


def replicate_totals(
    problem: Problem,
    centre: Centre,
    weights: FloatArray,
    columns: FloatArray,
    totals: FloatArray | None,
) -> FloatArray:
    """Calibrate every replicate and sum `columns` under its weights.

    Parameters
    ----------
    problem : Problem
        The full-sample problem.
    centre : Centre
        Its solution, where every replicate starts.
    weights : numpy.ndarray of float64, shape (b, n)
        Replicate base weights.
    columns : numpy.ndarray of float64, shape (n, m)
        Columns to sum.
    totals : numpy.ndarray of float64, shape (b, q), or None
        Replicate benchmarks in the order of ``Target.names``.

    Returns
    -------
    numpy.ndarray of float64, shape (b, m)
        Calibrated totals.

    Raises
    ------
    NotConverged
        If a replicate cannot meet its totals, such as when it has lost a level.
    """
    goals = _goals(problem, weights.shape[0], totals)
    if needs_rows(problem):
        return np.stack(
            [
                (w * _solve_one(problem, centre.dual, w, t)[1]) @ columns
                for w, t in zip(weights, goals, strict=True)
            ]
        )
    cells = problem.constraints.cells
    code = cells.code.astype(np.intp)
    out = np.empty((weights.shape[0], columns.shape[1]))
    row = np.empty(problem.constraints.n)
    size = max(1, _BLOCK // cells.size)
    for start in range(0, weights.shape[0], size):
        some = slice(start, start + size)
        duals = _solve_on_cells(problem, centre, weights[some], goals[some])
        factors = _cell_factors(problem, duals)
        for r, w in enumerate(weights[some]):
            np.take(factors[r], code, out=row, mode="clip")
            row *= w
            out[start + r] = row @ columns
    return out


def _cell_factors(problem: Problem, duals: FloatArray) -> FloatArray:
    """Weight factor of every cell in every replicate, shape (b, C)."""
    cells = problem.constraints.cells
    effects = problem.constraints.full(duals)[:, : cells.width]
    if problem.distance.name == "raking":
        return products(cells, np.exp(effects))
    return problem.distance.evaluate(scores(cells, effects))[0]


def _goals(problem: Problem, count: int, totals: FloatArray | None) -> FloatArray:
    c = problem.constraints
    if totals is None:
        return np.broadcast_to(c.totals, (count, c.free.size))
    return np.asarray(totals[:, c.benchmark[c.free]])


def _solve_one(
    problem: Problem, start: FloatArray, weights: FloatArray, totals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    c = problem.constraints
    goals = c.full_totals.copy()
    goals[c.free] = totals
    one = replace(problem, base=weights, constraints=replace(c, full_totals=goals))
    solution = solve(one, start=start)
    if solution.error > TOLERANCE:
        raise NotConverged(
            "replicate",
            got=f"a relative error of {solution.error:.2g}",
            rule="every replicate must meet the totals to 1e-10",
            next_step="A replicate may have lost all units of a level: merge small levels.",
        )
    return solution.dual, solution.g


def _solve_on_cells(
    problem: Problem, centre: Centre, weights: FloatArray, goals: FloatArray
) -> FloatArray:
    """Chord steps with the full-sample Hessian for some replicates together, shape (b, p)."""
    c = problem.constraints
    base = cell_totals(c.cells, weights)
    duals = np.tile(centre.dual, (weights.shape[0], 1))
    active = np.arange(weights.shape[0])
    previous = np.full(active.size, np.inf)
    failed: list[int] = []
    for _ in range(_CHORD_STEPS):
        cell_weights = _cell_factors(problem, duals[active])
        cell_weights *= base if active.size == base.shape[0] else base[active]
        gradient = margin_sums(c.cells, cell_weights)[:, c.free] - goals[active]
        if problem.softness is not None:
            gradient += duals[active] @ problem.softness
        error = np.max(np.abs(gradient) / problem.scale, axis=1, initial=0.0)
        slow = ~(error < 0.5 * previous) & (error > _AIM)
        failed += active[slow].tolist()
        go = (error > _AIM) & ~slow
        duals[active[go]] -= (
            ((gradient[go] * centre.scale) @ centre.root) @ centre.root.T * centre.scale
        )
        seen = np.isfinite(previous) & (error < _QUICK * previous)
        last = seen & (error * error < _SURE * _AIM * previous)
        go &= ~last
        active, previous = active[go], error[go]
        if not active.size:
            break
    else:
        failed += active.tolist()
    for r in failed:
        duals[r] = _solve_one(problem, centre.dual, weights[r], goals[r])[0]
    return duals
