"""Rectified predictions: a model's outputs on many rows, corrected on the few with labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.cell_rows import require_rows
from offroute.estimators.estimands import Estimand, linearise
from offroute.estimators.point import Design, PointEstimate, Sample, Target
from offroute.exceptions import InvalidValue


def rectify(
    sample: Sample,
    target: Target,
    *,
    predictions: Mapping[str, str],
    estimands: Sequence[Estimand] | None = None,
    tune: bool = True,
) -> PointEstimate:
    """Correct the total of predictions by their error on labelled rows.

    For each totalled column v, and f the same column with predictions in place of outcomes,
    ``t = L sum_B d_j f_j + sum_A w_i (v_i - L f_i)``, ``w = a N / sum a``, ``N = sum_B d``: the
    difference estimator (L = 1) or prediction-powered inference. With `tune`, L minimises the
    variance: ``L = C_A(v, f) / (V_A(f) + V_B(f))``, the covariances of the estimated totals.

    Unbiased whatever the predictions when the labelled rows are a probability sample of the
    population under their base weights, drawn apart from the reference sample; it does not remove
    selection into being labelled.

    Parameters
    ----------
    sample : Sample
        Labelled rows: outcomes and predictions, n rows.
    target : Target
        With a reference sample that has the predictions (unlabelled rows), or with its size and
        totals of the predictions.
    predictions : mapping of str to str
        Numeric outcome to the numeric column that predicts it.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome of the sample. With totals only, estimands must be
        functions of totals of outcomes (no domains, no shares).
    tune : bool
        Choose L by the data, which has no effect on the variance to first order; else 1.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        `diagnostics` has the strength L of every column that has predictions.

    Raises
    ------
    SchemaError
        If an outcome or a prediction is missing or not numeric.
    InvalidValue
        If the target has neither a reference sample, nor size and totals of the predictions.

    References
    ----------
    Sarndal, C.-E., Swensson, B. and Wretman, J. (1992). Model Assisted Survey Sampling, ch. 6.
    doi:10.1007/978-1-4612-4378-6
    Angelopoulos, A. N., Bates, S., Fannjiang, C., Jordan, M. I. and Zrnic, T. (2023). Science 382,
    669-674. doi:10.1126/science.adi6000

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> labelled = pd.DataFrame({"y": [1.0, 2, 4], "f": [1.0, 2, 3]})
    >>> few = read_sample(labelled, outcomes=["y"], covariates=["f"])
    >>> many = read_sample(pd.DataFrame({"f": [1.0, 2, 3, 4, 5]}), covariates=["f"])
    >>> point = rectify(few, Target(reference=many), predictions={"y": "f"}, tune=False)
    >>> point.values.round(6).tolist()
    [3.333333]
    """
    require_rows(sample.design.cells, "rectify")
    lin = linearise(sample, estimands)
    guess = linearise(_replaced(sample, predictions), lin.estimands).columns
    reference, gradient = _population(target, predictions)
    outside = linearise(_replaced(reference, predictions), lin.estimands).columns
    d = reference.weights
    w = sample.weights * (d.sum() / sample.weights.sum())
    strength = np.ones(guess.shape[1])
    powered = np.flatnonzero(np.ptp(guess, axis=0) > 0)
    for k in powered if tune else ():
        here = w * (guess[:, k] - w @ guess[:, k] / w.sum())
        labels = w * (lin.columns[:, k] - w @ lin.columns[:, k] / w.sum())
        spread = _covariance(here, here, sample.design)
        if target.reference is not None:
            there = d * (outside[:, k] - d @ outside[:, k] / d.sum())
            spread += _covariance(there, there, reference.design)
        strength[k] = _covariance(labels, here, sample.design) / spread
    left = lin.columns - strength * guess
    totals = strength * (d @ outside) + w @ left
    jacobian = lin.jacobian(totals)
    mean = w @ left / w.sum()
    point = PointEstimate(
        values=lin.value(totals),
        names=lin.names,
        weights=w,
        g_weights=np.full(sample.n, d.sum() / sample.weights.sum()),
        influence=w[:, None] * ((left - mean) @ jacobian.T),
        design=sample.design,
        diagnostics={f"strength {k}": float(strength[k]) for k in powered},
    )
    if target.reference is not None:
        rows = d[:, None] * ((strength * outside + mean) @ jacobian.T)
        return replace(point, reference_influence=rows, reference_design=reference.design)
    if target.covariance is None:
        return point
    moved = np.stack(
        [
            d.sum() * linearise(_replaced(one, predictions), lin.estimands).columns[0]
            for one in gradient
        ]
    )
    step = moved - d @ outside
    # The size moves the residual part as well; it is the first benchmark.
    slope = step * strength
    slope[0] = strength * outside[0] + mean
    external = jacobian @ slope.T @ target.covariance @ slope @ jacobian.T
    return replace(point, external_covariance=np.asarray(external, np.float64))


def _replaced(sample: Sample, predictions: Mapping[str, str]) -> Sample:
    """Return the sample with predictions in the place of outcomes."""
    swapped = {y: sample.numeric(f) for y, f in predictions.items()}
    return replace(sample, columns={**sample.columns, **swapped})


def _population(
    target: Target, predictions: Mapping[str, str]
) -> tuple[Sample, tuple[Sample, ...]]:
    """Return the reference sample, or one row that stands for totals and its moved versions."""
    if target.reference is not None:
        return target.reference, ()
    known = {m.variables[0]: m.total for m in target.moments if len(m.variables) == 1}
    missing = sorted(set(predictions.values()) - set(known))
    if target.size is None or missing or target.margins:
        raise InvalidValue(
            "target",
            got=f"benchmarks {list(target.names)}",
            rule="rectify needs a reference sample, or the size and totals of the predictions only",
            next_step=f"Pass Target(reference=...), or make_target with {missing or 'size'}.",
        )
    size = target.size

    def one_row(totals: FloatArray) -> Sample:
        names = [m.variables[0] for m in target.moments]
        means = {k: np.array([t / size]) for k, t in zip(names, totals, strict=True)}
        return Sample(means, np.array([size]), Design(1))

    totals = np.array([m.total for m in target.moments])
    moved = tuple(one_row(totals + step) for step in np.eye(totals.size))
    return one_row(totals), (one_row(totals), *moved)


def _covariance(first: FloatArray, second: FloatArray, design: Design) -> float:
    """Return the covariance of two sums over the design's clusters, drawn with replacement."""
    stratum = np.zeros(design.n, np.int64) if design.strata is None else design.strata
    if design.clusters is not None:
        at = np.unique(design.clusters, return_index=True)[1]
        first = np.asarray(np.bincount(design.clusters, first), np.float64)
        second = np.asarray(np.bincount(design.clusters, second), np.float64)
        stratum = stratum[at]
    count = np.bincount(stratum)
    product = np.bincount(stratum, first * second)
    means = np.bincount(stratum, first) * np.bincount(stratum, second) / count
    return float(((product - means) * count / np.maximum(count - 1, 1)).sum())
