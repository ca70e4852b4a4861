"""Calibration to known totals: GREG, raking, logit, truncated linear, sinh, entropy balancing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators import distances
from offroute.estimators.calibrated import Linearisation, calibrated_point
from offroute.estimators.constraints import constrain
from offroute.estimators.distances import Distance
from offroute.estimators.dual import TOLERANCE, Problem, solve, total_scale
from offroute.estimators.estimands import Estimand
from offroute.estimators.feasibility import check_collinear, explain_failure
from offroute.estimators.point import PointEstimate, Sample, Target
from offroute.exceptions import InvalidValue

DistanceName = Literal["linear", "raking", "logit", "sinh"]


def calibrate(
    sample: Sample,
    target: Target,
    *,
    estimands: Sequence[Estimand] | None = None,
    distance: DistanceName | Distance = "linear",
    bounds: tuple[float, float] | None = None,
    row_scale: str | None = None,
    linearisation: Linearisation = "calibrated",
) -> PointEstimate:
    """Reweight a sample so that its weighted totals equal the target's.

    Minimises ``sum_i (d_i / q_i) G(w_i / d_i)`` subject to ``sum_i w_i x_i = T``; the solution is
    ``w_i = d_i F(q_i x_i' l)``. For a probability sample this lowers variance; for a volunteer
    log it is consistent when inclusion odds have the form ``1 / F(x' l)`` or the outcome is linear
    in x. It does not remove selection that depends on the outcome given x
    (see `generalized_calibrate`).

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target
        Totals of factors and numeric columns, p linearly independent constraints.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one. An empty tuple gives
        weights only.
    distance : {"linear", "raking", "logit", "sinh"} or Distance
        Linear is GREG; its weights may be negative.
    bounds : (float, float), optional
        Bounds on the weight factor g = w / d: with "linear" the truncated linear distance, with
        "logit" required; other distances refuse bounds, as they could not bind.
    row_scale : str, optional
        Numeric column of positive q (heteroscedasticity: 1 / variance of the outcome).
    linearisation : {"calibrated", "base"}
        Weights of the regression in the influence values ``d g (u - x'B)``: ``d F'`` (the exact
        derivative, right when g does not tend to 1), or ``d`` (asymptotically the same in a
        probability sample; what R survey does).

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        Totals met to 1e-10 relative.

    Raises
    ------
    InfeasibleMargins
        Naming the smallest set of totals that no weights within the bounds meet together.
    CollinearMargins
        Naming linearly dependent constraints.
    EmptyCell, InvalidValue, NotConverged
        For levels without units, wrong options, or a solution on the boundary only.

    References
    ----------
    Deville, J.-C. and Sarndal, C.-E. (1992). JASA 87, 376-382. doi:10.1080/01621459.1992.10475217

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> from offroute.estimators.point import make_target
    >>> logs = pd.DataFrame({"origin": ["US", "US", "CN"], "tokens": [1.0, 3.0, 5.0]})
    >>> s = read_sample(logs, outcomes=["tokens"], covariates=["origin"])
    >>> calibrate(s, make_target({"origin": {"US": 50, "CN": 50}})).values.round(6).tolist()
    [3.5]
    """
    metric = resolve_distance(distance, bounds)
    constraints = constrain(sample, target)
    problem = Problem(
        constraints,
        metric,
        sample.weights,
        total_scale(constraints, sample.weights),
        None if row_scale is None else positive_column(sample, row_scale),
    )
    solution = solve(problem)
    if solution.error > TOLERANCE:
        explain_failure(problem, solution.error)
    check_collinear(problem, solution.hessian)
    return calibrated_point(
        problem, solution, sample, target, estimands=estimands, linearisation=linearisation
    )


def entropy_balance(
    sample: Sample, target: Target, *, estimands: Sequence[Estimand] | None = None
) -> PointEstimate:
    """Reweight a sample to moments of another group with the least entropy divergence.

    ``w_i = d_i exp(x_i' l)``: the raking case of `calibrate`, in which the linearised variance
    uses the exact derivative. Consistent when the odds of belonging to the group are log-linear in
    the moments, or the outcome is linear in them; not when they differ in what was not balanced.
    Give `Target` the group's size and totals of its moments (a tuple of columns is their product).

    Parameters
    ----------
    sample : Sample
        Rows to reweight (the comparison group), n rows.
    target : Target
        Size and moments of the group to resemble.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        As `calibrate`.

    Raises
    ------
    InfeasibleMargins
        If the moments lie outside the convex hull of the sample, naming those in conflict.

    References
    ----------
    Hainmueller, J. (2012). Political Analysis 20, 25-46. doi:10.1093/pan/mpr025

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> from offroute.estimators.point import make_target
    >>> s = read_sample(pd.DataFrame({"x": [0, 1, 2], "y": [0, 1, 4]}), outcomes=["y", "x"])
    >>> entropy_balance(s, make_target({"x": 1.2}, size=1)).values.round(6).tolist()
    [2.076743, 1.2]
    """
    return calibrate(sample, target, estimands=estimands, distance="raking")


def rake(
    sample: Sample,
    target: Target,
    *,
    estimands: Sequence[Estimand] | None = None,
    linearisation: Linearisation = "calibrated",
) -> PointEstimate:
    """Rake base weights to categorical margins.

    ``w_i = d_i prod_j f_j[level of i on margin j]``: the limit of iterative proportional fitting
    (Deming and Stephan 1940), reached here by Newton steps on the cells of the crossed margins.
    Consistent when inclusion is a product of one factor a margin, or the outcome a sum of one term
    a margin; biased when margins interact in both, or inclusion depends on the outcome beyond them.
    Redundant margins are allowed when they agree; a level with total 0 gets weight 0.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target
        Margins only, crossed or not.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one.
    linearisation : {"calibrated", "base"}
        As in `calibrate`.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        Margins met to 1e-10 relative.

    Raises
    ------
    InvalidValue
        If the target has numeric totals (use `calibrate`).
    InfeasibleMargins, EmptyCell, NotConverged
        As `calibrate`.

    References
    ----------
    Deming, W. E. and Stephan, F. F. (1940). Ann. Math. Stat. 11, 427-444.
    doi:10.1214/aoms/1177731829

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> from offroute.estimators.point import make_target
    >>> logs = pd.DataFrame({"a": list("xxyy"), "b": list("uvuv"), "y": [1.0, 2, 3, 4]})
    >>> s = read_sample(logs, outcomes=["y"], covariates=["a", "b"])
    >>> t = make_target({"a": {"x": 3, "y": 1}, "b": {"u": 2, "v": 2}})
    >>> rake(s, t).values.round(6).tolist()
    [2.0]
    """
    if target.moments:
        raise InvalidValue(
            "target",
            got=f"{len(target.moments)} numeric totals",
            rule="raking takes categorical margins only",
            next_step='Use calibrate(..., distance="raking").',
        )
    base = _without_zero_levels(sample, target)
    constraints = constrain(replace(sample, weights=base), target)
    problem = Problem(constraints, distances.raking(), base, total_scale(constraints, base))
    solution = solve(problem)
    if solution.error > TOLERANCE:
        explain_failure(problem, solution.error)
    return calibrated_point(
        problem, solution, sample, target, estimands=estimands, linearisation=linearisation
    )


def resolve_distance(
    distance: DistanceName | Distance, bounds: tuple[float, float] | None
) -> Distance:
    """Return the distance that a name and bounds ask for.

    Parameters
    ----------
    distance : {"linear", "raking", "logit", "sinh"} or Distance
        Name or distance.
    bounds : (float, float) or None
        Bounds on the weight factor.

    Raises
    ------
    InvalidValue
        If the name is unknown, logit has no bounds, or the bounds could not bind.
    """
    if bounds is not None and distance == "linear":
        return distances.truncated_linear(*bounds)
    if bounds is not None and distance == "logit":
        return distances.logit(*bounds)
    if bounds is None and isinstance(distance, Distance):
        return distance
    plain = {"linear": distances.linear, "raking": distances.raking, "sinh": distances.sinh}
    if bounds is None and isinstance(distance, str) and distance in plain:
        return plain[distance]()
    raise InvalidValue(
        "distance, bounds",
        got=f"{distance!r} with bounds {bounds}",
        rule='bounds go with "linear" and "logit" (required there), not with "raking" or "sinh"',
        next_step='Use distance="logit" or "linear" with bounds, or drop the bounds.',
    )


def positive_column(sample: Sample, name: str) -> FloatArray:
    """Return a numeric column after checking that it is positive.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    name : str
        Numeric column.

    Raises
    ------
    InvalidValue
        If a value is 0 or negative.
    """
    values = sample.numeric(name)
    if not values.min() > 0:
        raise InvalidValue(
            name,
            got=f"smallest value {values.min():g}",
            rule="q weights must be positive",
            next_step="Use the inverse of the outcome's variance, up to a factor.",
        )
    return values


def _without_zero_levels(sample: Sample, target: Target) -> FloatArray:
    """Return base weights, 0 in every level whose total is 0."""
    base = sample.weights
    for margin in target.margins:
        for level in (lv for lv, t in zip(margin.levels, margin.totals, strict=True) if t == 0):
            inside = np.ones(sample.n, bool)
            for variable, name in zip(margin.variables, level, strict=True):
                factor = sample.factor(variable)
                code = factor.levels.index(name) if name in factor.levels else -1
                inside &= factor.codes == code
            base = np.where(inside, 0.0, base)
    return base
