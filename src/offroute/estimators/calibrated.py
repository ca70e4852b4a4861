"""From a solved dual to a point estimate: influence values, benchmark error, replicates."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from offroute._checks import check_choice
from offroute._typing import FloatArray
from offroute.estimators.cell_rows import sum_of_squares
from offroute.estimators.constraints import Constraints
from offroute.estimators.dual import Problem, Solution, evaluate, solve_hessian
from offroute.estimators.estimands import Estimand, linearise, weighted_point
from offroute.estimators.point import PointEstimate, Sample, Target
from offroute.estimators.reference import benchmark_columns
from offroute.estimators.replicate_duals import Centre, centre_at, replicate_totals

Linearisation = Literal["calibrated", "base"]


def calibrated_point(
    problem: Problem,
    solution: Solution,
    sample: Sample,
    target: Target,
    *,
    estimands: Sequence[Estimand] | None,
    linearisation: Linearisation,
) -> PointEstimate:
    """Assemble the estimate of a calibration estimator.

    With ``B = (X'O X + S)^-1 X'O u``, O the diagonal of ``d q F'`` ("calibrated") or ``d q``
    ("base"), the influence value is ``w_i (u_i - x_i'B)`` and the benchmarks' covariance V adds
    ``B' V B``.

    Parameters
    ----------
    problem : Problem
        Calibration problem.
    solution : Solution
        Its solution.
    sample : Sample
        Logs, n rows.
    target : Target
        Benchmarks.
    estimands : sequence of Estimand or None
        What to estimate; None is the defaults.
    linearisation : {"calibrated", "base"}
        As in `calibrate`.
    """
    check_choice(linearisation, ("calibrated", "base"), name="linearisation")
    lin = linearise(sample, estimands)
    weights = solution.g * problem.base
    diagnostics = {
        "largest relative error of a total": solution.error,
        "passes": float(solution.steps),
        "smallest g": float(solution.g.min()),
        "largest g": float(solution.g.max()),
        "Kish effective sample size": float(
            weights.sum() ** 2 / sum_of_squares(weights, sample.design.cells)
        ),
    }
    effects: list[FloatArray] = []

    def _residualise(u: FloatArray) -> FloatArray:
        if u.shape[1] == 0:
            return u
        b = regression(problem, solution.dual, u, linearisation)
        effects.append(b)
        return u - problem.constraints.linear_score(b)

    point = weighted_point(
        lin,
        weights,
        g_weights=solution.g,
        design=sample.design,
        residualise=_residualise,
        diagnostics=diagnostics,
    )
    kept = (problem.base > 0) | (sample.weights == 0)

    # Found by the first replicate that needs it; a list, since it goes to the workers as it is.
    centre: list[Centre] = []

    def _replicates(draws: FloatArray, totals: FloatArray | None = None) -> FloatArray:
        if not centre:
            centre.append(centre_at(problem, solution.dual))
        used = draws if kept.all() else draws * kept
        return lin.value(replicate_totals(problem, centre[0], used, lin.columns, totals))

    return replace(
        add_benchmark_error(point, problem.constraints, target, effects), replicate=_replicates
    )


def regression(
    problem: Problem, dual: FloatArray, u: FloatArray, linearisation: Linearisation
) -> FloatArray:
    """Return B, shape (p, k), of the linearised calibration of u, shape (n, k).

    Parameters
    ----------
    problem : Problem
        Calibration problem.
    dual : numpy.ndarray of float64, shape (p,)
        Multipliers.
    u : numpy.ndarray of float64, shape (n, k)
        Linearised variables.
    linearisation : {"calibrated", "base"}
        As in `calibrate`.
    """
    at = dual if linearisation == "calibrated" else np.zeros_like(dual)
    score = problem.constraints.linear_score(at[:, None])[:, 0]
    row_scale = np.ones(1) if problem.row_scale is None else problem.row_scale
    omega = problem.base * problem.distance.evaluate(score * row_scale)[1] * row_scale
    gram = np.asarray(evaluate(problem, at, hessian=True)[1])
    return solve_hessian(gram, problem.constraints.cross(omega[:, None] * u))


def add_benchmark_error(
    point: PointEstimate,
    constraints: Constraints,
    target: Target,
    effects: Sequence[FloatArray],
) -> PointEstimate:
    """Add what the benchmarks' error contributes through B: ``B' V B`` or the reference rows.

    Benchmarks estimated from a reference sample contribute ``r_j x_j'B`` for its row j.

    Parameters
    ----------
    point : PointEstimate
        Estimate.
    constraints : Constraints
        Columns and totals.
    target : Target
        Benchmarks.
    effects : sequence of numpy.ndarray of float64, shape (p, k)
        The regression B; empty when nothing is estimated.
    """
    if not effects or (target.covariance is None and target.reference is None):
        return point
    gradient = np.zeros((len(target.names), effects[0].shape[1]))
    gradient[constraints.benchmark[constraints.free]] = effects[0]
    if target.covariance is not None:
        covariance = gradient.T @ target.covariance @ gradient
        return replace(point, external_covariance=np.asarray(covariance, np.float64))
    reference = target.reference
    assert reference is not None
    rows = benchmark_columns(reference, target) @ gradient
    return replace(
        point,
        reference_influence=reference.weights[:, None] * rows,
        reference_design=reference.design,
    )
