"""Mass imputation: outcomes of a reference sample predicted from the logs."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from offroute._checks import check_choice
from offroute._typing import FloatArray
from offroute.estimators.estimands import Estimand, Linearised, linearise
from offroute.estimators.matching import local_residuals, match, standardise
from offroute.estimators.outcome_models import Family, OutcomeModel, at_rows, fit_outcomes
from offroute.estimators.participation import poisson_design, relative_weights
from offroute.estimators.point import PointEstimate, Sample, Target, TermKey
from offroute.estimators.propensity import over_base, reference_of
from offroute.estimators.regressors import Regressors, build_regressors
from offroute.exceptions import EmptyCell, InvalidValue

Method = Literal["glm", "nearest", "pmm"]


def impute(
    sample: Sample,
    target: Target,
    *,
    estimands: Sequence[Estimand] | None = None,
    method: Method = "glm",
    family: Family = "gaussian",
    terms: Sequence[TermKey] | None = None,
    neighbours: int = 5,
    adjust: bool = True,
) -> PointEstimate:
    """Predict the outcomes of a reference sample from the logs and sum them there.

    ``t = sum_B d_j v~_j`` with v~_j, for every column v whose total an estimand needs,

    - "glm": ``m(x_j'b)``, ``sum_A a_i x_i (v_i - m(x_i'b)) = 0``;
    - "nearest": the mean of the nearest logs in standardised x (at least `neighbours`, ties all);
    - "pmm": the mean of the logs with the nearest fitted m.

    Matched logs differ from the row they stand for; `adjust` adds ``m(x_j) - m(x_i)``, without
    which nearest neighbours in several dimensions are biased beyond their standard error
    (Abadie and Imbens 2011). Constant columns are known without a model.
    Consistent when the outcome given x is the same in logs and population; not when participation
    depends on the outcome given x.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target
        With a reference sample, m rows.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one.
    method : {"glm", "nearest", "pmm"}
        How an outcome is predicted.
    family : {"gaussian", "binomial", "poisson"}
        Model m, with canonical link.
    terms : sequence of str or tuple of str, optional
        Regressors; default the sample's covariates.
    neighbours : int
        Fewest donors of a reference row.
    adjust : bool
        Correct matches for the difference of their fitted means; "glm" does not use it.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        Influence values hold the residuals of the logs and the effect of the fit;
        `reference_influence` the imputed values. `weights` are those the logs have in a linear
        fit, or as donors.

    Raises
    ------
    InvalidValue
        If the target has no reference sample, values do not fit the family, or `neighbours` is
        not positive.
    EmptyCell
        If a level of the reference sample has no logs to learn from ("glm", "pmm" or `adjust`).
    NotConverged
        If the model has no solution.

    References
    ----------
    Kim, J. K., Park, S., Chen, Y. and Wu, C. (2021). JRSS A 184, 941-963. doi:10.1111/rssa.12696
    Abadie, A. and Imbens, G. (2006). Econometrica 74, 235-267.
    doi:10.1111/j.1468-0262.2006.00655.x
    Abadie, A. and Imbens, G. (2011). JBES 29, 1-11. doi:10.1198/jbes.2009.07333

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> logs = pd.DataFrame({"x": [0.0, 1, 2, 3], "y": [1.0, 3, 5, 7]})
    >>> s = read_sample(logs, outcomes=["y"], covariates=["x"])
    >>> panel = pd.DataFrame({"x": [2.0, 4.0], "d": [30.0, 10.0]})
    >>> t = Target(reference=read_sample(panel, covariates=["x"], weights="d"))
    >>> impute(s, t).values.round(6).tolist()
    [6.0]
    """
    check_choice(method, ("glm", "nearest", "pmm"), name="method")
    if not isinstance(neighbours, int | np.integer) or neighbours < 1:
        raise InvalidValue(
            "neighbours",
            got=neighbours,
            rule="a whole number of donors, at least one",
            next_step="Use 1 or more.",
        )
    reference = reference_of(target, name="impute")
    x = build_regressors(sample, reference, terms=terms)
    lin = linearise(sample, estimands)
    weights = relative_weights(sample)
    if method != "nearest" or adjust:
        check_supported(x, weights, reference)
        models = fit_outcomes(x, lin.columns, weights, family=family)
    else:
        models = [_plain(column, x, weights) for column in lin.columns.T]
    if method == "glm":
        return _from_models(sample, reference, lin, x, models)
    return _from_donors(sample, reference, lin, x, models, (method, neighbours, adjust))


def check_supported(x: Regressors, weights: FloatArray, reference: Sample) -> None:
    """Raise EmptyCell when a level of the reference sample has no logs.

    Parameters
    ----------
    x : Regressors
        Regressors of both samples.
    weights : numpy.ndarray of float64, shape (n,)
        Base weights of the logs.
    reference : Sample
        Reference sample.
    """
    logs = x.level_sums(weights, of=x.sample_row)
    empty = x.levels_apart(logs, x.level_sums(reference.weights, of=x.reference_row))
    if empty:
        raise EmptyCell(
            ", ".join(empty),
            got="reference rows without any log",
            rule="a model needs logs in every level that it predicts",
            next_step="Merge the level with another, or leave the term out.",
        )


def _from_models(
    sample: Sample,
    reference: Sample,
    lin: Linearised,
    x: Regressors,
    models: list[OutcomeModel],
) -> PointEstimate:
    d = x.reference_sums(reference.weights)
    totals = np.array([d @ m.mean for m in models])
    jacobian = lin.jacobian(totals)
    gradients = [x.cross((d * m.slope)[:, None])[:, 0] for m in models]
    parts = [m.contribution(g) for m, g in zip(models, gradients, strict=True)]
    weights = _implied_weights(x, d, models[0].weights) if models else sample.weights
    return PointEstimate(
        values=lin.value(totals),
        names=lin.names,
        weights=weights,
        g_weights=over_base(weights, sample),
        influence=np.stack(parts, axis=1) @ jacobian.T,
        design=poisson_design(sample.design, np.zeros(sample.n)),
        diagnostics=_fit_diagnostics(models),
        reference_influence=reference.weights[:, None]
        * (at_rows(models, x.reference_row) @ jacobian.T),
        reference_design=reference.design,
    )


def _from_donors(
    sample: Sample,
    reference: Sample,
    lin: Linearised,
    x: Regressors,
    models: list[OutcomeModel],
    options: tuple[str, int, bool],
) -> PointEstimate:
    method, neighbours, adjust = options
    base, d = relative_weights(sample), reference.weights
    n, m = sample.n, reference.n
    totals, influence, imputed = [], np.zeros((n, len(models))), np.zeros((m, len(models)))
    weights = base
    shared = None
    if method == "nearest":
        rows = x.matrix()[:, 1:]
        shared = standardise(rows[x.sample_row], rows[x.reference_row])
    for k, model in enumerate(models):
        if np.ptp(lin.columns[:, k]) == 0:
            imputed[:, k] = lin.columns[0, k]
            totals.append(float(d @ imputed[:, k]))
            continue
        fitted = model.mean[x.sample_row], model.mean[x.reference_row]
        here, there = shared or (fitted[0][:, None], fitted[1][:, None])
        matches = match(here, there, base, d, reference.design, neighbours=neighbours)
        weights = matches.donor_weights
        imputed[:, k] = matches.share @ lin.columns[:, k]
        if adjust:
            imputed[:, k] += fitted[1] - matches.share @ fitted[0]
        totals.append(float(d @ imputed[:, k]))
        influence[:, k] = (
            matches.noise_weights * local_residuals(here, model.residual[:, None], base)[:, 0]
        )
        if adjust or method == "pmm":
            change = x.reference_sums(d) - x.sample_sums(weights)
            influence[:, k] += model.contribution(x.cross((change * model.slope)[:, None])[:, 0])
    sums = np.array(totals)
    jacobian = lin.jacobian(sums)
    return PointEstimate(
        values=lin.value(sums),
        names=lin.names,
        weights=weights,
        g_weights=over_base(weights, sample),
        influence=influence @ jacobian.T,
        design=poisson_design(sample.design, np.zeros(n)),
        diagnostics={
            **_fit_diagnostics(models),
            "logs used as donors": float((weights > 0).sum()),
            "Kish effective sample size": float(weights.sum() ** 2 / (weights @ weights)),
        },
        reference_influence=d[:, None] * (imputed @ jacobian.T),
        reference_design=reference.design,
    )


def _implied_weights(x: Regressors, d: FloatArray, base: FloatArray) -> FloatArray:
    """Return ``a_i x_i' (X'aX)^-1 sum_B d x``, the weights of the logs in a linear fit."""
    gram = x.gram(x.sample_sums(base))
    effect = np.linalg.pinv(gram, hermitian=True) @ x.cross(d[:, None])
    return np.asarray(base * x.predictor(effect[:, 0], of=x.sample_row))


def _plain(column: FloatArray, x: Regressors, weights: FloatArray) -> OutcomeModel:
    zeros = np.zeros(x.rows)
    return OutcomeModel(None, zeros, zeros, column, weights)


def _fit_diagnostics(models: list[OutcomeModel]) -> dict[str, float]:
    fitted = [m for m in models if m.fit is not None]
    if not fitted:
        return {}
    spread = [
        m.residual.std() / (m.residual + m.mean[m.fit.regressors.sample_row]).std()
        for m in fitted
        if m.fit is not None
    ]
    return {"smallest R2": 1 - float(np.max(spread)) ** 2}
