"""Inverse probability weighting by a model of participation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from offroute._checks import check_choice
from offroute._typing import FloatArray
from offroute.estimators.calibrated import calibrated_point
from offroute.estimators.constraints import Constraints, constrain
from offroute.estimators.dual import TOLERANCE, Problem, solve, total_scale
from offroute.estimators.estimands import Estimand, linearise, weighted_point
from offroute.estimators.feasibility import check_collinear, explain_failure
from offroute.estimators.links import LinkName, linear_predictor
from offroute.estimators.participation import (
    Participation,
    fit_participation,
    inverse_probability_distance,
    poisson_design,
    relative_weights,
)
from offroute.estimators.point import PointEstimate, Sample, Target, TermKey
from offroute.estimators.reference import target_from_reference
from offroute.exceptions import InvalidValue

Method = Literal["pseudo-likelihood", "alp", "calibrated"]


def ipw(
    sample: Sample,
    target: Target,
    *,
    estimands: Sequence[Estimand] | None = None,
    method: Method = "pseudo-likelihood",
    link: LinkName = "logit",
    terms: Sequence[TermKey] | None = None,
) -> PointEstimate:
    """Weigh logs by the inverse of an estimated probability of being in them.

    ``w_i = a_i / pi(x_i' b)``, with b from

    - "pseudo-likelihood" (Chen, Li and Wu 2020), reference sample B with weights d:
      ``sum_A a_i x_i pi_i' / (pi_i (1 - pi_i)) = sum_B d_j x_j pi_j' / (1 - pi_j)``;
    - "alp" (Wang, Valliant and Li 2021): logs against logs and population together, with
      ``w_i = a_i (1 - p_i) / p_i``; needs no ``1 / pi > 1``;
    - "calibrated" (estimating equations, totals T suffice): ``sum_A a_i x_i / pi_i = T``.

    Base weights a are scaled to mean 1. Consistent when participation depends on the regressors
    alone through this link and every unit of the population can participate. When participation
    depends on the outcome given x, it is biased (see `generalized_calibrate`).

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target
        With a reference sample (weights summing to the population size), or with totals for
        "calibrated"; when it has both, "calibrated" uses the totals.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one. An empty tuple gives
        weights only.
    method : {"pseudo-likelihood", "alp", "calibrated"}
        Estimating equations of b.
    link : {"logit", "probit", "cloglog"}
        Probability as a function of ``x' b``.
    terms : sequence of str or tuple of str, optional
        Regressors; default the sample's covariates. "calibrated" with totals takes those of the
        target.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        Influence values contain the effect of estimating b in both samples (stacked estimating
        equations). Without strata and clusters the rows entered independently, with variance
        ``sum (1 - pi_i) z_i^2``.

    Raises
    ------
    InvalidValue
        If the method needs a reference sample that the target lacks.
    EmptyCell
        If a level of the population has no logs: participation is not identified there.
    NotConverged
        If a regressor separates logs and population.
    InfeasibleMargins
        If no probabilities below 1 meet the totals ("calibrated").

    References
    ----------
    Chen, Y., Li, P. and Wu, C. (2020). JASA 115, 2011-2021. doi:10.1080/01621459.2019.1677241
    Wang, L., Valliant, R. and Li, Y. (2021). Stat. Med. 40, 5237-5250. doi:10.1002/sim.9122

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> logs = pd.DataFrame({"origin": ["US", "US", "CN"], "tokens": [1.0, 3.0, 5.0]})
    >>> s = read_sample(logs, outcomes=["tokens"], covariates=["origin"])
    >>> panel = pd.DataFrame({"origin": ["US", "CN"], "d": [50.0, 50.0]})
    >>> t = Target(reference=read_sample(panel, covariates=["origin"], weights="d"))
    >>> ipw(s, t).values.round(6).tolist()
    [3.5]
    """
    check_choice(method, ("pseudo-likelihood", "alp", "calibrated"), name="method")
    if method == "calibrated":
        return _calibrated(sample, target, estimands, link, terms)
    reference = reference_of(target, name=method)
    model = fit_participation(sample, reference, method=method, link=link, terms=terms)
    lin = linearise(sample, estimands)
    from_reference: list[FloatArray] = []

    def _residualise(u: FloatArray) -> FloatArray:
        here, there = propensity_effect(model, u)
        from_reference.append(there)
        positive = model.weights > 0
        left = np.divide(
            here, model.weights[:, None], out=np.zeros_like(here), where=positive[:, None]
        )
        return np.asarray(u + left)

    point = weighted_point(
        lin,
        model.weights,
        g_weights=over_base(model.weights, sample),
        design=poisson_design(sample.design, model.probability),
        residualise=_residualise,
        diagnostics=participation_diagnostics(model.weights, model.probability),
    )
    # Weights only: nothing was residualised.
    there = from_reference[0] if from_reference else np.zeros((reference.n, 0))
    return replace(point, reference_influence=there, reference_design=reference.design)


def over_base(weights: FloatArray, sample: Sample) -> FloatArray:
    """Return final over base weights, 0 where the base weight is 0.

    Parameters
    ----------
    weights : numpy.ndarray of float64, shape (n,)
        Final weights.
    sample : Sample
        Logs with their base weights.
    """
    base = sample.weights
    return np.divide(weights, base, out=np.zeros_like(base), where=base > 0)


def propensity_effect(model: Participation, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what estimating b adds to estimates ``sum_A w_i u_i``.

    Returns contributions of the sample rows (n, k) and of the reference rows (m, k).

    Parameters
    ----------
    model : Participation
        Fitted model.
    values : numpy.ndarray of float64, shape (n, k)
        Values u.
    """
    x = model.fit.regressors
    slope, part = model.sample_parts()
    here, there = model.fit.effect(x.cross(slope[:, None] * values, of=x.sample_row))
    here *= part[:, None]
    there *= model.reference_part()[:, None]
    return here, there


def participation_diagnostics(weights: FloatArray, probability: FloatArray) -> dict[str, float]:
    """Return the numbers that tell whether logs and population overlap.

    Parameters
    ----------
    weights : numpy.ndarray of float64, shape (n,)
        Final weights.
    probability : numpy.ndarray of float64, shape (n,)
        Probabilities of participation.
    """
    return {
        "smallest probability": float(probability.min()),
        "largest probability": float(probability.max()),
        "sum of weights": float(weights.sum()),
        "Kish effective sample size": float(weights.sum() ** 2 / (weights @ weights)),
    }


def reference_of(target: Target, *, name: str) -> Sample:
    """Return the reference sample of a target.

    Parameters
    ----------
    target : Target
        Target.
    name : str
        What needs the reference sample, for the message.

    Raises
    ------
    InvalidValue
        If there is none.
    """
    if target.reference is None:
        raise InvalidValue(
            "target",
            got="no reference sample",
            rule=f"{name} needs rows of a reference sample",
            next_step="Pass Target(reference=...), or use a method that takes totals.",
        )
    return target.reference


def _calibrated(
    sample: Sample,
    target: Target,
    estimands: Sequence[Estimand] | None,
    link: LinkName,
    terms: Sequence[TermKey] | None,
) -> PointEstimate:
    if not target.names:
        reference = reference_of(target, name="calibrated without totals")
        target = target_from_reference(reference, sample.covariates if terms is None else terms)
    scaled = replace(sample, weights=relative_weights(sample))
    constraints = constrain(scaled, target)
    problem = Problem(
        constraints,
        inverse_probability_distance(link),
        scaled.weights,
        total_scale(constraints, scaled.weights),
    )
    solution = solve(problem, start=_start(constraints, scaled, target, link))
    if solution.error > TOLERANCE:
        explain_failure(problem, solution.error)
    check_collinear(problem, solution.hessian)
    point = calibrated_point(
        problem, solution, scaled, target, estimands=estimands, linearisation="calibrated"
    )
    probability = 1 / solution.g
    return replace(
        point,
        design=poisson_design(sample.design, probability),
        diagnostics={**point.diagnostics, **participation_diagnostics(point.weights, probability)},
    )


def _start(constraints: Constraints, sample: Sample, target: Target, link: LinkName) -> FloatArray:
    """Start at one probability for all rows; never at 0, where F is not 1 for these links."""
    axis = constraints.cells.shape[0]
    size = float(np.nansum(constraints.full_totals[:axis])) if target.names else 0.0
    share = sample.weights.sum() / max(size, 1.01 * sample.weights.sum())
    full = np.full(constraints.full_totals.size, 1e-12)
    full[:axis] = -linear_predictor(link, float(share))
    return np.asarray(full[constraints.free])
