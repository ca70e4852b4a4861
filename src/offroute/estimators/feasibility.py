"""Why a calibration failed: collinear margins, or the smallest set of totals in conflict."""

from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csc_matrix, hstack, identity

from offroute._typing import FloatArray, IntArray
from offroute.estimators.constraints import Constraints
from offroute.estimators.distances import Distance, linear
from offroute.estimators.dual import Problem, evaluate
from offroute.estimators.margins import cell_totals, indicator_columns
from offroute.exceptions import CollinearMargins, InfeasibleMargins, NotConverged

_RANK_TOLERANCE = 1e-12
_ROW_LIMIT = 100_000
_SLACK = 1e-7
_CONTRADICTION = 1e-8
_SPANNED, _INVOLVED = 1e-10, 1e-5


def check_collinear(problem: Problem, hessian: FloatArray | None = None) -> None:
    """Raise when a column of the constraints is a combination of the others.

    Parameters
    ----------
    problem : Problem
        Calibration problem.
    hessian : numpy.ndarray of float64, shape (p, p), optional
        Hessian of the dual; computed when not given.

    Raises
    ------
    CollinearMargins
        Naming the dependent columns, when the totals agree with the dependence.
    InfeasibleMargins
        Naming them, when the totals contradict it.
    """
    if hessian is not None and _regular(_scaled(hessian)[0]):
        return
    # A Hessian may be singular because rows lie on a bound; the columns themselves decide.
    flat = Problem(problem.constraints, linear(), problem.base, problem.scale)
    gram = np.asarray(evaluate(flat, np.zeros(problem.scale.size), hessian=True)[1])
    scaled, scale = _scaled(gram)
    if _regular(scaled):
        return
    support, gap = _first_dependence(scaled, problem.constraints.totals / scale)
    names = [problem.constraints.names[int(i)] for i in support]
    if gap > _CONTRADICTION:
        raise InfeasibleMargins(
            ", ".join(names),
            got=f"totals that contradict an exact linear relation by {gap:.2g} (relative)",
            rule="columns that are linearly dependent must have totals that obey the relation",
            next_step="Correct one of these totals, or remove one of these constraints.",
        )
    raise CollinearMargins(
        ", ".join(names),
        got=f"{len(names)} linearly dependent columns",
        rule="each constraint must add information",
        next_step="Remove one of these constraints; the others imply it.",
    )


def _scaled(gram: FloatArray) -> tuple[FloatArray, FloatArray]:
    diagonal = np.sqrt(np.diag(gram))
    scale = np.where(diagonal > 0, diagonal, 1.0)
    return gram / scale[:, None] / scale, scale


def _regular(scaled: FloatArray) -> bool:
    return bool(np.linalg.eigvalsh(scaled)[0] > _RANK_TOLERANCE * scaled.shape[0])


def _first_dependence(scaled: FloatArray, totals: FloatArray) -> tuple[IntArray, float]:
    """Find the first column spanned by earlier ones: (columns involved, relative gap of totals)."""
    for j in range(scaled.shape[0]):
        head = scaled[:j, :j]
        coefficients = np.linalg.lstsq(head, scaled[:j, j], rcond=1e-12)[0]
        left = scaled[j, j] - scaled[:j, j] @ coefficients
        if left <= _SPANNED:
            used = np.flatnonzero(np.abs(coefficients) > _INVOLVED)
            implied = float(coefficients @ totals[:j])
            size = max(abs(totals[j]), float(np.abs(coefficients) @ np.abs(totals[:j])), 1e-300)
            return np.append(used, j), abs(implied - totals[j]) / size
    return np.arange(scaled.shape[0]), 0.0


def explain_failure(problem: Problem, error: float) -> None:
    """Raise the error that explains why a calibration did not meet its totals.

    A linear programme looks for any weights within the distance's bounds that meet the totals. If
    there are none, an elastic filter followed by a deletion filter (Chinneck 2008, Feasibility
    and Infeasibility in Optimization) leaves an irreducible set: without any one of its members
    the rest can be met.

    Parameters
    ----------
    problem : Problem
        Calibration problem.
    error : float
        Largest relative error reached.

    Raises
    ------
    CollinearMargins, InfeasibleMargins
        Naming the constraints.
    NotConverged
        If weights exist only on the boundary, or the problem is too large to decide.
    """
    check_collinear(problem)
    rows = problem.constraints.n if problem.constraints.moments else problem.constraints.cells.size
    if rows <= _ROW_LIMIT and np.isfinite(problem.distance.lower):
        matrix, base = _programme(problem.constraints, problem.base)
        conflict = _conflict(matrix, base, problem.constraints.totals, problem.distance)
        if conflict is not None:
            names = [problem.constraints.names[int(i)] for i in conflict]
            raise InfeasibleMargins(
                ", ".join(names),
                got=f"{len(names)} totals that no weights meet together",
                rule=f"weight factors lie in [{problem.distance.lower:g}, "
                f"{problem.distance.upper:g}] ({problem.distance.name})",
                next_step="Widen the bounds, drop one of these totals, or use soft_calibrate.",
            )
    raise NotConverged(
        "calibration",
        got=f"a relative error of {error:.2g}",
        rule="every total must be met to 1e-10",
        next_step="Weights that meet the totals may exist only at the bounds: widen the bounds, "
        "merge small levels, or use soft_calibrate.",
    )


def _programme(constraints: Constraints, base: FloatArray) -> tuple[csc_matrix, FloatArray]:
    """Constraint columns, shape (p, rows), and the base weight of each cell or row."""
    if constraints.moments:
        used = base > 0
        return csc_matrix(constraints.matrix()[used].T), base[used]
    weight = cell_totals(constraints.cells, base)
    used = weight > 0
    columns = indicator_columns(constraints.cells)[:, constraints.free][used]
    return csc_matrix(columns.T), weight[used]


def _conflict(
    matrix: csc_matrix, base: FloatArray, totals: FloatArray, distance: Distance
) -> IntArray | None:
    upper = base * distance.upper if np.isfinite(distance.upper) else np.full(base.size, np.inf)
    bounds = np.column_stack([base * distance.lower, upper])
    # Unit-size constraints, so that one slack tolerance serves all of them.
    size = np.maximum(np.abs(totals), abs(matrix) @ base)
    size = np.where(size > 0, size, 1.0)
    scaled = csc_matrix(matrix.multiply(1 / size[:, None]))
    right = totals / size

    def slacks(soft: IntArray, hard: IntArray) -> FloatArray | None:
        """Smallest total slack on `soft` given `hard`; None when `hard` alone is infeasible."""
        rows = np.concatenate([soft, hard])
        p, s = rows.size, soft.size
        eye = csc_matrix(identity(p, format="csc")[:, :s])
        system = hstack([scaled[rows], eye, -eye], format="csc")
        cost = np.concatenate([np.zeros(base.size), np.ones(2 * s)])
        limits = np.vstack([bounds, np.tile([0.0, np.inf], (2 * s, 1))])
        result: Any = linprog(  # type: ignore[call-overload]  # scipy-stubs knows no sparse A_eq
            cost, A_eq=system, b_eq=right[rows], bounds=limits, method="highs"
        )
        if result.status != 0:
            return None
        return np.asarray(result.x[base.size : base.size + s] + result.x[base.size + s :])

    everything = np.arange(totals.size)
    hard = np.zeros(0, np.int64)
    while True:
        soft = np.setdiff1d(everything, hard)
        slack = slacks(soft, hard)
        if slack is None:
            break
        violated = soft[slack > _SLACK]
        if violated.size == 0:
            if hard.size == 0:
                return None
            break
        hard = np.concatenate([hard, violated])
    for member in list(hard):
        rest = hard[hard != member]
        slack = slacks(rest, np.zeros(0, np.int64)) if rest.size else None
        if slack is not None and slack.max(initial=0.0) > _SLACK:
            hard = rest
    return np.sort(hard)
