"""Participation models: the probability of being in the logs, fitted against the population."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from offroute._checks import check_choice
from offroute._typing import FloatArray
from offroute.estimators.cell_rows import require_rows
from offroute.estimators.distances import Distance
from offroute.estimators.estimating_equations import Fit, solve_equations
from offroute.estimators.links import (
    LinkName,
    LinkValues,
    evaluate_link,
    linear_predictor,
    map_link,
)
from offroute.estimators.point import Design, Sample, TermKey
from offroute.estimators.pooled import sums_in_slices
from offroute.estimators.regressors import Regressors, build_regressors
from offroute.exceptions import EmptyCell, InvalidValue

Likelihood = Literal["pseudo-likelihood", "alp"]


@dataclass(frozen=True)
class Participation:
    """A fitted participation model.

    Attributes
    ----------
    fit : Fit
        Coefficients and information.
    link : {"logit", "probit", "cloglog"}
        Link.
    method : {"pseudo-likelihood", "alp"}
        Estimating equations.
    base : numpy.ndarray of float64, shape (n,)
        Base weights scaled to mean 1.
    exposure : numpy.ndarray of float64, shape (m,)
        Weights of the reference rows.
    probability : numpy.ndarray of float64, shape (n,)
        Probability of each sample row.
    weights : numpy.ndarray of float64, shape (n,)
        Inverse-probability weights, base weights included.
    """

    fit: Fit
    link: LinkName
    method: Likelihood
    base: FloatArray
    exposure: FloatArray
    probability: FloatArray
    weights: FloatArray

    def sample_parts(self) -> tuple[FloatArray, FloatArray]:
        """Return of each sample row, shape (n,), dw/deta and its term of the equations over x."""
        alp = self.method == "alp"
        slope, part = map_link(
            self.link,
            self.fit.on_sample,
            lambda v: -v.entry / v.probability,
            lambda v: v.entry if alp else v.entry + v.stay,
        )
        slope *= self.base
        part *= self.base
        return slope, part

    def reference_part(self) -> FloatArray:
        """Return of each reference row, shape (m,), its term of the equations over x."""
        (part,) = map_link(self.link, self.fit.on_reference, lambda v: -v.stay)
        part *= self.exposure
        return part


def relative_weights(sample: Sample) -> FloatArray:
    """Return base weights scaled to mean 1: only their ratios say anything about participation.

    Parameters
    ----------
    sample : Sample
        Logs.
    """
    return np.asarray(sample.weights * (sample.n / sample.weights.sum()))


def fit_participation(
    sample: Sample,
    reference: Sample,
    *,
    method: Likelihood,
    link: LinkName,
    terms: Sequence[TermKey] | None,
) -> Participation:
    """Fit the probability of being in the logs by pseudo-likelihood.

    With base weights a (mean 1) and reference weights d, "pseudo-likelihood" solves
    ``sum_A a_i x_i (kappa_i + lambda_i) = sum_B d_j x_j lambda_j`` with ``kappa = pi'/pi``,
    ``lambda = pi'/(1 - pi)`` (Chen, Li and Wu 2020) and weighs by ``a / pi``. "alp" solves
    ``sum_A a_i x_i kappa_i = sum_B d_j x_j lambda_j``, whose p is the chance that a row of logs and
    population together is a log, and weighs by ``a (1 - p) / p`` (Wang, Valliant and Li 2021).

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    reference : Sample
        Reference sample, m rows, whose weights sum to the population size.
    method : {"pseudo-likelihood", "alp"}
        Estimating equations.
    link : {"logit", "probit", "cloglog"}
        Link.
    terms : sequence of str or tuple of str, or None
        Regressors; None takes the sample's covariates.

    Raises
    ------
    EmptyCell
        If a level of the population has no logs.
    InvalidValue
        If a level of the logs has no reference weight, or the population is not larger than the
        sample under "pseudo-likelihood".
    NotConverged
        If a regressor separates logs and population.
    """
    check_choice(method, ("pseudo-likelihood", "alp"), name="method")
    x = build_regressors(sample, reference, terms=terms)
    weights = relative_weights(sample)
    logs = x.level_sums(weights, of=x.sample_row)
    population = x.level_sums(reference.weights, of=x.reference_row)
    _check_overlap(x, logs, population)
    a = sums_in_slices(x.sample_row, weights, x.rows)
    d = sums_in_slices(x.reference_row, reference.weights, x.rows)
    alp = method == "alp"
    size, count = float(reference.weights.sum()), float(weights.sum())
    if not alp and size <= count:
        raise InvalidValue(
            "reference",
            got=f"weights that sum to {size:g} for {count:g} logs",
            rule="reference weights must sum to the size of the population",
            next_step='Scale the reference weights, or use method="alp".',
        )

    def _equation(eta: FloatArray, rows: slice) -> tuple[FloatArray, FloatArray, FloatArray]:
        v = evaluate_link(link, eta)
        here, there = a(rows), d(rows)
        into = v.entry if alp else v.entry + v.stay
        slope = v.entry_slope if alp else v.entry_slope + v.stay_slope
        expected = v.entry * v.stay * (here + there if alp else there)
        return here * into - there * v.stay, there * v.stay_slope - here * slope, expected

    def _logit_equation(eta: FloatArray, rows: slice) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the same for the logit link, whose kappa + lambda is 1, with less arithmetic."""
        here, there = a(rows), d(rows)
        p = np.negative(eta, out=eta)
        with np.errstate(over="ignore"):
            np.exp(p, out=p)
        p += 1
        np.reciprocal(p, out=p)
        expected = (here + there if alp else there) * p
        left = here - expected
        expected *= 1 - p
        return left, expected, expected

    start = np.zeros(x.free.size)
    start[0] = linear_predictor(link, count / (size + count if alp else size))
    equation = _logit_equation if link == "logit" else _equation
    fit = solve_equations(x, equation, start, name="participation model")
    probability = fit.on_sample
    (w,) = map_link(link, probability, lambda v: v.entry / v.stay if alp else 1 / v.probability)
    # Under "alp" the odds are the participation probability that the weights invert.
    np.minimum(np.reciprocal(w, out=probability), 1.0, out=probability)
    w *= weights
    return Participation(fit, link, method, weights, reference.weights, probability, w)


def inverse_probability_distance(link: LinkName) -> Distance:
    """Return calibration's F for weights ``1 / pi(-u)``: the calibrated form of a link.

    Parameters
    ----------
    link : {"logit", "probit", "cloglog"}
        Link.
    """
    check_choice(link, ("logit", "probit", "cloglog"), name="link")

    def _evaluate(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        if link == "logit":
            odds = np.exp(u)
            return odds + 1.0, odds
        v: LinkValues = evaluate_link(link, -u)
        with np.errstate(divide="ignore"):
            return 1 / v.probability, v.entry / v.probability

    return Distance(f"inverse {link}", _evaluate, lower=1.0)


def poisson_design(design: Design, probability: FloatArray) -> Design:
    """Return the design with independent entry of rows, unless it names clusters or strata.

    Parameters
    ----------
    design : Design
        Design of the logs.
    probability : numpy.ndarray of float64, shape (n,)
        Chance of each row.
    """
    require_rows(design.cells, "a participation or outcome model")
    if design.strata is not None or design.clusters is not None:
        return design
    return replace(design, inclusion=probability, population_clusters=None)


def _check_overlap(x: Regressors, a: FloatArray, d: FloatArray) -> None:
    for name in x.levels_apart(a, d):
        raise EmptyCell(
            name,
            got="population weight without any log",
            rule="every level of the population needs logs: its participation is positive",
            next_step="Merge the level with another, or leave the term out.",
        )
    for name in x.levels_apart(d, a):
        raise InvalidValue(
            name,
            got="logs without any reference weight",
            rule="every sampled level must occur in the reference sample",
            next_step="Merge the level with another, or drop those rows.",
        )
