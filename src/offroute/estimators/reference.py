"""Benchmarks estimated from a reference sample of the population."""

from collections.abc import Mapping, Sequence

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.constraints import constrain
from offroute.estimators.point import Factor, Sample, Target, TermKey, make_target
from offroute.exceptions import SchemaError


def target_from_reference(reference: Sample, terms: Sequence[TermKey]) -> Target:
    """Estimate totals of columns from a reference sample, whose error then enters the variance.

    ``T = sum_j r_j x_j`` with the reference sample's weights r.

    Parameters
    ----------
    reference : Sample
        Probability sample of the population, m rows.
    terms : sequence of str or tuple of str
        Factors (or crosses of factors) become margins, numeric columns (or products) totals.

    Returns
    -------
    Target
        With ``reference`` set; its size is the sum of the reference weights.

    Raises
    ------
    SchemaError
        If a term mixes factors and numeric columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> frame = pd.DataFrame({"a": ["x", "y", "y"], "b": [1.0, 2, 3], "r": [10.0, 5, 5]})
    >>> ref = read_sample(frame, covariates=["a", "b"], weights="r")
    >>> target_from_reference(ref, ["a", "b"]).totals.tolist()
    [20.0, 10.0, 10.0, 35.0]
    """
    totals: dict[TermKey, float | Mapping[object, float]] = {}
    for term in terms:
        variables = (term,) if isinstance(term, str) else tuple(term)
        kinds = {isinstance(reference.columns.get(v), Factor) for v in variables}
        if len(kinds) != 1:
            raise SchemaError(
                ":".join(variables),
                got="factors and numeric columns in one term",
                rule="a term crosses factors, or multiplies numeric columns",
                next_step="Split the term.",
            )
        if kinds == {False}:
            product = np.prod([reference.numeric(v) for v in variables], axis=0)
            totals[term] = float(reference.weights @ product)
            continue
        levels: dict[object, float] = {}
        factors = [reference.factor(v) for v in variables]
        shape = tuple(len(f.levels) for f in factors)
        cell = np.ravel_multi_index([f.codes.astype(np.intp) for f in factors], shape)
        sums = np.bincount(cell, reference.weights, int(np.prod(shape)))
        for index, value in zip(np.ndindex(*shape), sums.tolist(), strict=True):
            if value > 0:
                levels[tuple(f.levels[k] for f, k in zip(factors, index, strict=True))] = value
        totals[term] = levels
    return make_target(totals, size=float(reference.weights.sum()), reference=reference)


def benchmark_columns(sample: Sample, target: Target) -> FloatArray:
    """Return the column of each benchmark for every row, shape (n, q), as ``Target.names``.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target
        Benchmarks.
    """
    c = constrain(sample, target, drop_implied=False)
    out = np.zeros((sample.n, len(target.names)))
    out[:, c.benchmark[c.free]] = c.matrix()
    return out
