"""Newton's method on the dual of a calibration problem, on cells or in cache-sized chunks.

The dual ``D(l) = sum_i (d_i / q_i) F*(q_i x_i' l) - T' l + l' S l / 2`` is convex; its gradient is
``X'w(l) + S l - T`` and its Hessian ``X' diag(d q F') X + S``.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from offroute._typing import FloatArray
from offroute.estimators.constraints import Constraints
from offroute.estimators.distances import Distance
from offroute.estimators.margins import Cells, cell_totals, margin_sums, scores, two_way_tables
from offroute.estimators.pooled import chunks

TOLERANCE = 1e-10
_AIM = 1e-11
_SUBSAMPLE = 20_000
_MAX_STEPS = 60
_RIDGE = 1e-14
# Below this error a step is Newton's last; its slope is rounding noise and no longer a guide.
_ASYMPTOTIC = 1e-6
_SHORTEST = 1e-8
_STALLS = 3
# Chord steps replace Newton steps once the error is this small and falls this fast.
_CHORD_ERROR, _CHORD_CONTRACTION = 1e-3, 0.05
_WARM_ERROR = 1e-2
_WELL_CONDITIONED = 1e-6
# F(0) = F'(0) = 1 for every distance.
_ONE = np.ones(1)


@dataclass(frozen=True)
class Problem:
    """One calibration problem.

    Attributes
    ----------
    constraints : Constraints
        Columns and totals.
    distance : Distance
        Weight function F.
    base : numpy.ndarray of float64, shape (n,)
        Base weights d.
    scale : numpy.ndarray of float64, shape (p,)
        Size of each total against which its error is judged.
    row_scale : numpy.ndarray of float64, shape (n,), or None
        The q of Deville and Sarndal; None is 1.
    softness : numpy.ndarray of float64, shape (p, p), or None
        Benchmark covariance S; None meets the totals exactly.
    """

    constraints: Constraints
    distance: Distance
    base: FloatArray
    scale: FloatArray
    row_scale: FloatArray | None = None
    softness: FloatArray | None = None

    @cached_property
    def cell_base(self) -> FloatArray:
        """Base weight of each cell, shape (C,)."""
        if self.base is self.constraints.weights:
            return self.constraints.cell_weights
        return cell_totals(self.constraints.cells, self.base)


@dataclass(frozen=True)
class Solution:
    """Solution of a dual.

    Attributes
    ----------
    dual : numpy.ndarray of float64, shape (p,)
        Multipliers.
    g : numpy.ndarray of float64, shape (n,)
        Weight factors F.
    error : float
        Largest error of a total relative to its scale.
    steps : int
        Passes over all rows (or cells).
    hessian : numpy.ndarray of float64, shape (p, p)
        Last Hessian computed, at or near the solution.
    """

    dual: FloatArray
    g: FloatArray
    error: float
    steps: int
    hessian: FloatArray


def total_scale(constraints: Constraints, base: FloatArray) -> FloatArray:
    """Return the scale of each total: its size, or 1e-3 of the column's absolute sum if larger.

    Parameters
    ----------
    constraints : Constraints
        Columns and totals.
    base : numpy.ndarray of float64, shape (n,)
        Base weights.
    """
    sizes = np.zeros(constraints.full_totals.size)
    width = constraints.cells.width
    # A systematic subsample is enough for an order of magnitude.
    every = slice(0, base.size, max(1, base.size // _SUBSAMPLE))
    share = base.sum() / max(base[every].sum(), np.finfo(float).tiny)
    sizes[width:] = np.abs(constraints.block(every)) @ base[every] * share
    scale = np.maximum(np.abs(constraints.full_totals), 1e-3 * sizes)
    levels = scale[:width]
    # An implied level inherits the errors of the others, so all levels answer to the smallest.
    scale[:width] = levels[levels > 0].min() if (levels > 0).any() else 1.0
    return np.asarray(scale[constraints.free])


def needs_rows(problem: Problem) -> bool:
    """Whether factors differ between rows of one cell.

    Parameters
    ----------
    problem : Problem
        Calibration problem.
    """
    return bool(problem.constraints.moments) or problem.row_scale is not None


def evaluate(
    problem: Problem, dual: FloatArray, *, hessian: bool, g: FloatArray | None = None
) -> tuple[FloatArray, FloatArray | None]:
    """Return the gradient, shape (p,), and the Hessian, shape (p, p), of the dual.

    `g`, shape (n,), receives the weight factors when given.

    Parameters
    ----------
    problem : Problem
        Calibration problem.
    dual : numpy.ndarray of float64, shape (p,)
        Multipliers.
    hessian : bool
        Whether to compute the Hessian.
    g : numpy.ndarray of float64, shape (n,), optional
        Receives the weight factors.
    """
    c = problem.constraints
    passes = _on_rows if needs_rows(problem) else _on_cells
    # A trial step may overflow; the solver sees the infinity and shortens it.
    with np.errstate(invalid="ignore", over="ignore"):
        sums, table = passes(problem, dual, hessian=hessian, g=g)
    gradient = sums[c.free] - c.totals
    matrix = None if table is None else table[np.ix_(c.free, c.free)]
    if problem.softness is not None:
        gradient = gradient + problem.softness @ dual
        matrix = None if matrix is None else matrix + problem.softness
    return gradient, matrix


def solve(problem: Problem, *, start: FloatArray | None = None) -> Solution:
    """Solve the dual from `start`, or from the solution on a systematic subsample.

    The caller judges the error: a Solution whose `error` exceeds `TOLERANCE` did not converge.

    Parameters
    ----------
    problem : Problem
        Calibration problem.
    start : numpy.ndarray of float64, shape (p,), optional
        First multipliers.
    """
    n = problem.constraints.n
    on_rows = needs_rows(problem)
    dual = _multiplicative_start(problem) if start is None else start.copy()
    size = max(_SUBSAMPLE, n // 20)
    if start is None and on_rows and n >= 3 * size and problem.distance.name != "linear":
        small = _subsample(problem, n // size)
        warm, error, _, _ = _newton(small, dual, aim=1e-4, g=np.empty(small.base.size))
        if error < _WARM_ERROR:
            dual = warm
    g = np.empty(n)
    dual, error, steps, hessian = _newton(problem, dual, aim=_AIM, g=g if on_rows else None)
    if not on_rows:
        evaluate(problem, dual, hessian=False, g=g)
    return Solution(dual, g, error, steps, hessian)


def factor(matrix: FloatArray) -> "tuple[FloatArray, FloatArray]":
    """Return (inverse square root of the diagonal, pseudo-inverse factor) of a Hessian.

    Parameters
    ----------
    matrix : numpy.ndarray of float64, shape (p, p)
        Positive semi-definite matrix.
    """
    diagonal = np.sqrt(np.maximum(np.diag(matrix), 0))
    scale = np.where(diagonal > 0, 1 / np.where(diagonal > 0, diagonal, 1), 0)
    values, vectors = np.linalg.eigh(scale[:, None] * matrix * scale)
    keep = values > max(values[-1], 0) * _RIDGE * values.size
    root = vectors[:, keep] / np.sqrt(values[keep])
    return scale, root


def solve_hessian(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Solve a positive semi-definite system, minimum norm in directions it does not determine.

    Parameters
    ----------
    matrix : numpy.ndarray of float64, shape (p, p)
        Positive semi-definite matrix.
    right : numpy.ndarray of float64, shape (p,) or (p, k)
        Right-hand side.
    """
    diagonal = np.sqrt(np.maximum(np.diag(matrix), 0))
    if (diagonal > 0).all():
        scaled = matrix / diagonal[:, None] / diagonal
        try:
            lower = cho_factor(scaled, lower=True, check_finite=False)
        except LinAlgError:
            pass
        else:
            if np.diag(lower[0]).min() > _WELL_CONDITIONED:
                flat = right.reshape(right.shape[0], -1) / diagonal[:, None]
                solved = cho_solve(lower, flat, check_finite=False) / diagonal[:, None]
                return np.asarray(solved.reshape(right.shape))
    scale, root = factor(matrix)
    flat = right.reshape(right.shape[0], -1) * scale[:, None]
    return np.asarray((scale[:, None] * (root @ (root.T @ flat))).reshape(right.shape))


def _multiplicative_start(problem: Problem) -> FloatArray:
    """Start exponential factors at the ratio of totals on the first axis, others at 1."""
    c = problem.constraints
    full = np.zeros(c.full_totals.size)
    if problem.distance.name == "raking" and problem.row_scale is None:
        k = c.cells.shape[0]
        sums, totals = margin_sums(c.cells, problem.cell_base)[:k], c.full_totals[:k]
        usable = (sums > 0) & (totals > 0)
        full[:k][usable] = np.log(totals[usable] / sums[usable])
    return np.asarray(full[c.free])


def _newton(
    problem: Problem, dual: FloatArray, *, aim: float, g: FloatArray | None
) -> tuple[FloatArray, float, int, FloatArray]:
    """Newton steps, shortened while they overshoot; chord steps once they contract quickly.

    Returns the best dual, its error, the passes and the last Hessian; `g` receives the factors
    at that dual.
    """
    gradient, hessian = evaluate(problem, dual, hessian=True, g=g)
    error = _error(problem, gradient)
    best, best_dual, latest, last = error, dual, error, np.asarray(hessian)
    steps, stalled, quick = 1, 0, False
    while latest > aim and steps < _MAX_STEPS and stalled < _STALLS:
        if hessian is None:
            hessian = evaluate(problem, dual, hessian=True)[1]
            steps += 1
        last = np.asarray(hessian)
        step = solve_hessian(last, -gradient)
        slope, length, before = float(gradient @ step), 1.0, latest
        while True:
            trial = dual + length * step
            new, table = evaluate(problem, trial, hessian=not quick, g=g)
            latest = _error(problem, new)
            steps += 1
            # The dual is convex: a slope that has not turned as steep means no overshoot.
            smooth = np.isfinite(latest) and float(new @ step) <= -0.9 * slope
            if smooth or before < _ASYMPTOTIC or length < _SHORTEST or steps >= _MAX_STEPS:
                break
            length /= 4
        dual, gradient = trial, new
        contracted = latest < _CHORD_CONTRACTION * before
        if table is not None:
            hessian = table
        elif not contracted:
            hessian = None
        quick = contracted and latest < _CHORD_ERROR
        stalled = 0 if latest < 0.5 * best else stalled + 1
        if latest < best:
            best, best_dual = latest, dual
    if best_dual is not dual:
        evaluate(problem, best_dual, hessian=False, g=g)
    return best_dual, best, steps, np.asarray(last)


def _error(problem: Problem, gradient: FloatArray) -> float:
    return float(np.max(np.abs(gradient) / problem.scale, initial=0.0))


def _on_cells(
    problem: Problem, dual: FloatArray, *, hessian: bool, g: FloatArray | None
) -> tuple[FloatArray, FloatArray | None]:
    cells = problem.constraints.cells
    factors, slopes = problem.distance.evaluate(
        scores(cells, problem.constraints.full(dual)[: cells.width])
    )
    if g is not None:
        np.take(factors, problem.constraints.cells.code, out=g, mode="clip")
    # Empty cells may carry an infinite factor, which must not turn 0 weight into nan.
    filled = problem.cell_base > 0
    sums = margin_sums(cells, np.where(filled, problem.cell_base * factors, 0.0))
    if not hessian:
        return sums, None
    return sums, two_way_tables(cells, np.where(filled, problem.cell_base * slopes, 0.0))


def _on_rows(
    problem: Problem, dual: FloatArray, *, hessian: bool, g: FloatArray | None
) -> tuple[FloatArray, FloatArray | None]:
    c = problem.constraints
    width, q, size = c.cells.width, len(c.moments), c.cells.size
    full = c.full(dual)
    level_scores, slopes_by_moment = scores(c.cells, full[:width]), full[width:]
    at_zero = not dual.any()
    first = problem.cell_base if at_zero else np.zeros(size)
    first_moments = np.zeros(q)
    second, mixed, square = np.zeros(size), np.zeros((q, size)), np.zeros((q, q))
    for rows in chunks(c.n):
        code = c.cells.code[rows].astype(np.intp)
        z, d = c.block(rows), problem.base[rows]
        if at_zero:
            factors, slopes, weight = _ONE, _ONE, d
        else:
            score = np.take(level_scores, code, mode="clip")
            score += slopes_by_moment @ z
            if problem.row_scale is not None:
                score *= problem.row_scale[rows]
            factors, slopes = problem.distance.evaluate(score)
            weight = factors * d
            first += np.bincount(code, weight, size)
        if g is not None:
            g[rows] = factors
        first_moments += z @ weight
        if hessian:
            if slopes is not factors or problem.row_scale is not None:
                weight = _slope_weights(problem, rows, slopes)
                second += np.bincount(code, weight, size)
            scaled = z * weight
            for m in range(q):
                mixed[m] += np.bincount(code, scaled[m], size)
            square += scaled @ z.T
    sums = np.concatenate([margin_sums(c.cells, first), first_moments])
    if not hessian:
        return sums, None
    shared = slopes is factors and problem.row_scale is None
    table = np.empty((width + q, width + q))
    table[:width, :width] = two_way_tables(c.cells, first if shared else second)
    table[:width, width:] = margin_sums(c.cells, mixed).T
    table[width:, :width] = table[:width, width:].T
    table[width:, width:] = square
    return sums, table


def _slope_weights(problem: Problem, rows: slice, slopes: FloatArray) -> FloatArray:
    weight = slopes * problem.base[rows]
    if problem.row_scale is not None:
        weight *= problem.row_scale[rows]
    return weight


def _subsample(problem: Problem, stride: int) -> Problem:
    """Every `stride`-th row, with base weights raised to the same sum."""
    c, every = problem.constraints, slice(None, None, stride)
    cells = Cells(c.cells.shape, c.cells.code[every], c.cells.size, c.cells.levels)
    moments = tuple(tuple(np.ascontiguousarray(f[every]) for f in m) for m in c.moments)
    base = problem.base[every]
    return replace(
        problem,
        constraints=replace(c, cells=cells, moments=moments),
        base=base * (problem.base.sum() / base.sum()),
        row_scale=None if problem.row_scale is None else problem.row_scale[every],
    )
