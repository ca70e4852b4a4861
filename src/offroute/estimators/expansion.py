"""Expansion estimator: the base weights as they are, always printed beside a correction."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.estimands import Estimand, linearise, weighted_point
from offroute.estimators.point import PointEstimate, Sample, Target


def expansion(
    sample: Sample,
    target: Target | None = None,
    *,
    estimands: Sequence[Estimand] | None = None,
) -> PointEstimate:
    """Estimate with the base weights alone (Horvitz-Thompson totals, Hajek means).

    ``t = sum_i d_i v_i``, ``theta = h(t)``. Consistent when the base weights are the inverse
    inclusion probabilities; on a volunteer log it is the naive figure.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target, optional
        Not used: the expansion estimator knows nothing of the population. It is a parameter so
        that every estimator is called alike.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        Influence values ``d_i J v_i``.

    Raises
    ------
    SchemaError, InvalidValue
        If an estimand names a column that is not there, or divides by a total of 0.

    References
    ----------
    Horvitz, D. G. and Thompson, D. J. (1952). JASA 47, 663-685. doi:10.1080/01621459.1952.10483446

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> s = read_sample(pd.DataFrame({"y": [1, 2, 6], "d": [1, 1, 2]}), outcomes=["y"], weights="d")
    >>> expansion(s).values.tolist()
    [3.75]
    """
    del target
    lin = linearise(sample, estimands)
    point = weighted_point(lin, sample.weights, g_weights=np.ones(sample.n), design=sample.design)

    def _replicates(weights: FloatArray, totals: FloatArray | None = None) -> FloatArray:
        del totals
        return lin.value(weights @ lin.columns)

    return replace(point, replicate=_replicates)
