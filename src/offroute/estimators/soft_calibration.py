"""Calibration to benchmarks that have an error of their own, and may contradict each other."""

from collections.abc import Sequence

from offroute.estimators.calibrate import (
    DistanceName,
    positive_column,
    resolve_distance,
)
from offroute.estimators.calibrated import calibrated_point
from offroute.estimators.constraints import constrain
from offroute.estimators.distances import Distance
from offroute.estimators.dual import TOLERANCE, Problem, solve, total_scale
from offroute.estimators.estimands import Estimand
from offroute.estimators.point import PointEstimate, Sample, Target
from offroute.exceptions import InvalidValue, NotConverged


def soft_calibrate(
    sample: Sample,
    target: Target,
    *,
    estimands: Sequence[Estimand] | None = None,
    distance: DistanceName | Distance = "raking",
    bounds: tuple[float, float] | None = None,
    row_scale: str | None = None,
    trust: float = 1.0,
) -> PointEstimate:
    """Reweight towards benchmarks that may be missed in proportion to their own covariance.

    Minimises ``sum_i (d_i / q_i) G(w_i / d_i) + (c / 2) (T - X'w)' S^-1 (T - X'w)``: with the
    linear distance, the mode of w under the prior ``w_i ~ N(d_i, c d_i q_i)`` and the likelihood
    ``T ~ N(X'w, S)``. Covariance 0 is `calibrate`, infinite covariance is `expansion`; benchmarks
    that contradict each other are reconciled by their covariances. Consistent when the base weights
    are right but for independent errors of rows; not for a volunteer log, whose weights err by
    levels together, unless `trust` is so large that the benchmarks are met.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target
        Totals with ``covariance`` S, shape (q, q) in the order of ``Target.names``.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one.
    distance : {"linear", "raking", "logit", "sinh"} or Distance
        As in `calibrate`.
    bounds : (float, float), optional
        As in `calibrate`.
    row_scale : str, optional
        Numeric column of positive q: how far each row's weight may move.
    trust : float
        The c above: larger holds the benchmarks more tightly for the same movement of weights.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        Influence values ``w_i (u_i - x_i'B)``, ``B = (X'O X + S / c)^-1 X'O u``; the benchmarks
        add ``B' S B``. Largest miss of a benchmark in its standard errors in `diagnostics`.

    Raises
    ------
    InvalidValue
        If the target has no covariance or `trust` is not positive.
    NotConverged
        If benchmarks without error contradict each other.

    References
    ----------
    Guggemos, F. and Tille, Y. (2010). J. Stat. Plan. Inference 140, 3199-3212.
    doi:10.1016/j.jspi.2010.04.010

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> from offroute.estimators.point import make_target
    >>> s = read_sample(pd.DataFrame({"x": [1.0, 1, 0, 0]}), outcomes=["x"])
    >>> t = make_target({"x": 4.0}, covariance=[[2.0]])
    >>> soft_calibrate(s, t, distance="linear").weights.tolist()
    [1.5, 1.5, 1.0, 1.0]
    """
    if target.covariance is None or not trust > 0:
        raise InvalidValue(
            "target.covariance, trust",
            got=f"covariance {'given' if target.covariance is not None else 'missing'}, "
            f"trust {trust}",
            rule="soft calibration needs the benchmarks' covariance and a positive trust",
            next_step="Pass covariance= to make_target, or use calibrate.",
        )
    constraints = constrain(sample, target, drop_implied=False)
    rows = constraints.benchmark[constraints.free]
    problem = Problem(
        constraints,
        resolve_distance(distance, bounds),
        sample.weights,
        total_scale(constraints, sample.weights),
        None if row_scale is None else positive_column(sample, row_scale),
        target.covariance[rows][:, rows] / trust,
    )
    solution = solve(problem)
    if solution.error > TOLERANCE:
        raise NotConverged(
            "soft calibration",
            got=f"a relative error of {solution.error:.2g} in the optimality conditions",
            rule="the optimum must be reached to 1e-10",
            next_step="Benchmarks without error may contradict each other: give them a variance.",
        )
    return calibrated_point(
        problem, solution, sample, target, estimands=estimands, linearisation="calibrated"
    )
