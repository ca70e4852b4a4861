"""Doubly robust estimation: imputation corrected by weighted residuals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from offroute._checks import check_choice
from offroute._typing import FloatArray
from offroute.estimators.estimands import Estimand, Linearised, linearise
from offroute.estimators.estimating_equations import solve_equations
from offroute.estimators.imputation import check_supported
from offroute.estimators.links import LinkName, evaluate_link, linear_predictor
from offroute.estimators.outcome_models import (
    Family,
    OutcomeModel,
    at_rows,
    fit_outcome,
    fit_outcomes,
)
from offroute.estimators.participation import (
    fit_participation,
    poisson_design,
    relative_weights,
)
from offroute.estimators.point import PointEstimate, Sample, Target, TermKey
from offroute.estimators.pooled import sums_in_slices
from offroute.estimators.propensity import (
    over_base,
    participation_diagnostics,
    propensity_effect,
    reference_of,
)
from offroute.estimators.regressors import Regressors, build_regressors
from offroute.exceptions import NotConverged

Method = Literal["plain", "bias-minimised"]
_MAX_ROUNDS = 200
_AIM = 1e-10


def doubly_robust(
    sample: Sample,
    target: Target,
    *,
    estimands: Sequence[Estimand] | None = None,
    method: Method = "plain",
    family: Family = "gaussian",
    link: LinkName = "logit",
    terms: Sequence[TermKey] | None = None,
    outcome_terms: Sequence[TermKey] | None = None,
) -> PointEstimate:
    """Impute on a reference sample and correct by the weighted residuals of the logs.

    ``t = sum_B d_j m_j + sum_A w_i (v_i - m_i)``, ``w = a / pi``.

    - "plain" (Chen, Li and Wu 2020): pi by pseudo-likelihood, m by `impute`'s model; the variance
      contains both fits, so it holds when either model is wrong.
    - "bias-minimised" (Yang, Kim and Song 2020): pi and m solve, for each column v,
      ``sum_A a_i (pi'/pi^2) (v - m) x = 0`` and ``sum_A (a_i / pi_i) m' x = sum_B d_j m' x``, so
      that neither fit moves the estimate to first order.

    Consistent when the participation model or the outcome model is right; when both are wrong
    (participation depends on the outcome given x) it is as biased as either. With totals only, use
    ``ipw(method="calibrated")``: it is doubly robust for linear outcome models.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target
        With a reference sample whose weights sum to the population size.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one.
    method : {"plain", "bias-minimised"}
        How the two models are fitted.
    family : {"gaussian", "binomial", "poisson"}
        Outcome model, with canonical link.
    link : {"logit", "probit", "cloglog"}
        Participation model.
    terms : sequence of str or tuple of str, optional
        Regressors; default the sample's covariates.
    outcome_terms : sequence of str or tuple of str, optional
        Regressors of the outcome model if others; "bias-minimised" needs the same.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        With the weights of the participation model (of the first modelled column when they differ
        by column).

    Raises
    ------
    InvalidValue
        If the target has no reference sample, or values do not fit the family.
    EmptyCell, NotConverged
        As `ipw` and `impute`.

    References
    ----------
    Chen, Y., Li, P. and Wu, C. (2020). JASA 115, 2011-2021. doi:10.1080/01621459.2019.1677241
    Yang, S., Kim, J. K. and Song, R. (2020). JRSS B 82, 445-465. doi:10.1111/rssb.12354

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> logs = pd.DataFrame({"x": [0.0, 1, 1, 2, 3], "y": [1.0, 3, 3, 5, 7]})
    >>> s = read_sample(logs, outcomes=["y"], covariates=["x"])
    >>> panel = pd.DataFrame({"x": [0.0, 1, 2, 3], "d": [20.0, 30, 20, 10]})
    >>> t = Target(reference=read_sample(panel, covariates=["x"], weights="d"))
    >>> doubly_robust(s, t).values.round(6).tolist()
    [3.5]
    """
    check_choice(method, ("plain", "bias-minimised"), name="method")
    reference = reference_of(target, name="doubly_robust")
    lin = linearise(sample, estimands)
    if method == "plain":
        return _plain(sample, reference, lin, (family, link, terms, outcome_terms))
    return _bias_minimised(sample, reference, lin, (family, link, terms))


def _plain(
    sample: Sample,
    reference: Sample,
    lin: Linearised,
    models_of: tuple[Family, LinkName, Sequence[TermKey] | None, Sequence[TermKey] | None],
) -> PointEstimate:
    family, link, terms, outcome_terms = models_of
    model = fit_participation(sample, reference, method="pseudo-likelihood", link=link, terms=terms)
    x = model.fit.regressors
    if outcome_terms is not None:
        x = build_regressors(sample, reference, terms=outcome_terms)
        check_supported(x, relative_weights(sample), reference)
    outcomes = fit_outcomes(x, lin.columns, relative_weights(sample), family=family)
    d, w = reference.weights, model.weights
    residual = np.stack([m.residual for m in outcomes], axis=1)
    predicted = at_rows(outcomes, x.reference_row)
    totals = d @ predicted + w @ residual
    jacobian = lin.jacobian(totals)
    left = residual @ jacobian.T
    here, there = propensity_effect(model, left)
    fits = np.zeros_like(residual)
    change = x.reference_sums(d) - x.sample_sums(w)
    for k, outcome in enumerate(outcomes):
        fits[:, k] = outcome.contribution(x.cross((change * outcome.slope)[:, None])[:, 0])
    return PointEstimate(
        values=lin.value(totals),
        names=lin.names,
        weights=w,
        g_weights=over_base(w, sample),
        influence=w[:, None] * left + here + fits @ jacobian.T,
        design=poisson_design(sample.design, model.probability),
        diagnostics=participation_diagnostics(w, model.probability),
        reference_influence=d[:, None] * (predicted @ jacobian.T) + there,
        reference_design=reference.design,
    )


@dataclass(frozen=True)
class _Pair:
    """Both models of one column, fitted together."""

    outcome: OutcomeModel
    weights: FloatArray
    probability: FloatArray


def _bias_minimised(
    sample: Sample,
    reference: Sample,
    lin: Linearised,
    models_of: tuple[Family, LinkName, Sequence[TermKey] | None],
) -> PointEstimate:
    x = build_regressors(sample, reference, terms=models_of[2])
    base, d = relative_weights(sample), reference.weights
    check_supported(x, base, reference)
    fits: dict[int, _Pair] = {}
    for k, column in enumerate(lin.columns.T):
        if np.ptp(column) > 0:
            fits[k] = _fit_together(x, column, base, d, models_of[:2])
    totals = np.zeros(lin.columns.shape[1])
    rows = np.zeros((sample.n, totals.size))
    imputed = np.tile(lin.columns[0], (reference.n, 1))
    for k, pair in fits.items():
        imputed[:, k] = pair.outcome.mean[x.reference_row]
        rows[:, k] = pair.weights * pair.outcome.residual
    totals = d @ imputed + rows.sum(axis=0)
    jacobian = lin.jacobian(totals)
    first = next(iter(fits.values()), None)
    probability = np.ones(sample.n) if first is None else first.probability
    weights = base if first is None else first.weights
    return PointEstimate(
        values=lin.value(totals),
        names=lin.names,
        weights=weights,
        g_weights=over_base(weights, sample),
        influence=rows @ jacobian.T,
        design=poisson_design(sample.design, probability),
        diagnostics=participation_diagnostics(weights, probability),
        reference_influence=d[:, None] * (imputed @ jacobian.T),
        reference_design=reference.design,
    )


def _fit_together(
    x: Regressors,
    column: FloatArray,
    base: FloatArray,
    d: FloatArray,
    models_of: tuple[Family, LinkName],
) -> _Pair:
    """Alternate the two sets of equations until the weights stand still, and so the total does."""
    family, link = models_of
    a = sums_in_slices(x.sample_row, base, x.rows)
    there = sums_in_slices(x.reference_row, d, x.rows)
    outcome = fit_outcome(x, column, base, family=family)
    start = np.zeros(x.free.size)
    start[0] = linear_predictor(link, min(float(base.sum() / d.sum()), 0.99))
    last = np.full(base.size, np.inf)
    for _ in range(_MAX_ROUNDS):
        slope = outcome.slope

        def _equation(
            eta: FloatArray, rows: slice, slope: FloatArray = slope
        ) -> tuple[FloatArray, FloatArray, FloatArray]:
            v = evaluate_link(link, eta)
            weight = a(rows) * slope[rows] / v.probability
            curvature = weight * v.entry
            return weight - there(rows) * slope[rows], curvature, curvature

        fit = solve_equations(x, _equation, start, name="bias-minimised participation model")
        v = evaluate_link(link, fit.on_sample)
        weights = base / v.probability
        guess = None if outcome.fit is None else outcome.fit.coefficients
        outcome = fit_outcome(x, column, weights * v.entry, family=family, start=guess)
        if np.abs(weights - last).max() <= _AIM * weights.max():
            return _Pair(outcome, weights, v.probability)
        last, start = weights, fit.coefficients
    raise NotConverged(
        "bias-minimised models",
        got=f"weights that still move after {_MAX_ROUNDS} rounds",
        rule="the participation and outcome equations must have a joint solution",
        next_step='Use method="plain", or fewer regressors.',
    )
