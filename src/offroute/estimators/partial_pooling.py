"""Partial pooling of cells and post-stratification (multilevel regression, "MRP")."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from offroute._typing import AnyArray, FloatArray, IntArray
from offroute.estimators.cell_rows import require_rows
from offroute.estimators.estimands import Estimand, Linearised, linearise
from offroute.estimators.participation import relative_weights
from offroute.estimators.point import Factor, PointEstimate, Sample, Target, TermKey
from offroute.estimators.propensity import over_base
from offroute.estimators.variance_components import (
    CellMeans,
    Components,
    fit_components,
    predict_cells,
    uncertain_error,
)
from offroute.exceptions import InvalidValue

_CELL_LIMIT = 1500


@dataclass(frozen=True)
class _Cells:
    """Sampled cells first, then those only the population has."""

    code: IntArray
    sampled: int
    groups: tuple[IntArray, ...]
    counts: FloatArray
    reference_code: IntArray | None


def mrp(
    sample: Sample,
    target: Target,
    *,
    estimands: Sequence[Estimand] | None = None,
    cells: Sequence[str] | None = None,
    pooled: Sequence[TermKey] | None = None,
) -> PointEstimate:
    """Pool cell means towards each other and add them up over the population's cells.

    For each totalled column v, with cells c crossed from factors, the empirical Bayes predictor
    of ``theta_c = b + sum_f u_f[level of c]``, ``u_f ~ N(0, sd_f^2)``,
    ``mean_c ~ N(theta_c, sigma^2 / n_c)``, components by restricted maximum likelihood;
    ``t = sum_c N_c theta_c``. Cells without logs are predicted from the others. n_c is Kish's
    effective size under the base weights, which are otherwise used within cells only.

    The variance is the design variance of the noise that reaches the estimate, plus the error of
    shrinking, plus the error of the estimated components (their posterior under flat priors on
    the standard deviations). Consistent when outcomes given the cell are the same in logs and
    population and cells fill up; with few rows per cell it leans on exchangeable cell effects.
    The components are not identified with fewer than three levels of a pooled term: its flat
    prior then decides.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target
        With one margin that crosses all of `cells`, or with a reference sample.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one.
    cells : sequence of str, optional
        Factors that make the cells; default the sample's covariates.
    pooled : sequence of str or tuple of str, optional
        Terms with an effect; default each factor of `cells` and their cross.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        `weights` are those of the first pooled column (the predictor is linear in the outcomes
        given the components); `diagnostics` has its components.

    Raises
    ------
    InvalidValue
        If the target has neither a margin of the cells nor a reference sample, a pooled term
        names a factor outside `cells`, or there are more than 1,500 cells.
    NotConverged
        If the components have no solution.

    References
    ----------
    Gelman, A. and Little, T. C. (1997). Survey Methodology 23, 127-135.
    Fay, R. E. and Herriot, R. A. (1979). JASA 74, 269-277. doi:10.1080/01621459.1979.10482505
    Prasad, N. G. N. and Rao, J. N. K. (1990). JASA 85, 163-171.
    doi:10.1080/01621459.1990.10475320

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> from offroute.estimators.point import make_target
    >>> logs = pd.DataFrame({"a": list("xxxyyyzzz"), "y": [1.0, 2, 3, 5, 6, 7, 2, 3, 4]})
    >>> s = read_sample(logs, outcomes=["y"], covariates=["a"])
    >>> t = make_target({"a": {"x": 20, "y": 20, "z": 60}})
    >>> mrp(s, t, pooled=["a"]).values.round(2).tolist()
    [3.42]
    """
    require_rows(sample.design.cells, "mrp")
    names = tuple(sample.covariates if cells is None else cells)
    terms: tuple[TermKey, ...] = names if pooled is None else tuple(pooled)
    if pooled is None and len(names) > 1:
        terms = (*names, names)
    grid = _grid(sample, target, names, terms)
    lin = linearise(sample, estimands)
    counts = grid.counts
    base = relative_weights(sample)
    totals = np.zeros(lin.columns.shape[1])
    noise = np.zeros_like(lin.columns)
    predicted = np.zeros((counts.size, totals.size))
    first: tuple[Components, FloatArray] | None = None
    for k, column in enumerate(lin.columns.T):
        if np.ptp(column) == 0:
            predicted[:, k] = column[0]
            totals[k] = column[0] * counts.sum()
            continue
        data = _cell_means(column, base, grid)
        fit = fit_components(data)
        theta, weights, _ = predict_cells(data, fit.sd, fit.sigma, counts[:, None])
        predicted[:, k], totals[k] = theta, counts @ theta
        row = base * (weights[:, 0] / _sums(base, grid))[grid.code]
        noise[:, k] = row * (column - theta[grid.code])
        first = (fit, row) if first is None else first
    jacobian = lin.jacobian(totals)
    influence = noise @ jacobian.T
    row_weights = base if first is None else first[1]
    point = PointEstimate(
        values=lin.value(totals),
        names=lin.names,
        weights=row_weights,
        g_weights=over_base(row_weights, sample),
        influence=influence,
        design=sample.design,
        diagnostics=_diagnostics(first, terms, grid),
        external_covariance=_shrinkage(lin, jacobian, base, grid, influence),
    )
    if grid.reference_code is None or target.reference is None:
        return point
    rows = target.reference.weights[:, None] * (predicted[grid.reference_code] @ jacobian.T)
    return replace(point, reference_influence=rows, reference_design=target.reference.design)


def _shrinkage(
    lin: Linearised, jacobian: FloatArray, base: FloatArray, grid: _Cells, influence: FloatArray
) -> FloatArray:
    """Return what shrinking and the components add to the covariance, shape (k, k).

    Each linearised variable is pooled on its own; errors correlate as the noise does.
    """
    u = lin.columns @ jacobian.T
    extra = np.zeros(u.shape[1])
    for k, column in enumerate(u.T):
        if np.ptp(column) <= 1e-12 * np.abs(column).max(initial=1e-300):
            continue
        data = _cell_means(column, base, grid)
        fit = fit_components(data)
        shares = grid.counts[:, None]
        weights = predict_cells(data, fit.sd, fit.sigma, shares)[1][:, 0]
        noise = fit.sigma**2 * float((weights**2 / data.size).sum())
        extra[k] = max(float(uncertain_error(data, fit, shares)[0]) - noise, 0.0)
    gram = influence.T @ influence
    scale = np.sqrt(np.diag(gram))
    scale[scale == 0] = 1.0
    correlation = gram / scale[:, None] / scale
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation * np.sqrt(extra)[:, None] * np.sqrt(extra))


def _cell_means(column: FloatArray, base: FloatArray, grid: _Cells) -> CellMeans:
    count = grid.sampled
    mass = _sums(base, grid)
    mean = np.bincount(grid.code, base * column, count) / mass
    size = mass**2 / np.bincount(grid.code, base**2, count)
    # Equal weights give the ordinary sum of squares and n - c.
    rows = np.bincount(grid.code, base > 0, count)
    scaled = base * (rows / mass)[grid.code]
    within = float(scaled @ (column - mean[grid.code]) ** 2)
    return CellMeans(mean, size, grid.groups, within, float(rows.sum() - count))


def _sums(base: FloatArray, grid: _Cells) -> FloatArray:
    return np.asarray(np.bincount(grid.code, base, grid.sampled), np.float64)


def _grid(
    sample: Sample, target: Target, names: tuple[str, ...], terms: tuple[TermKey, ...]
) -> _Cells:
    population, counts, codes = _population(target, names)
    wanted = {name: i for i, name in enumerate(names)}
    variables = [(t,) if isinstance(t, str) else tuple(t) for t in terms]
    outside = sorted({v for term in variables for v in term} - set(names))
    if outside or not variables:
        raise InvalidValue(
            "pooled",
            got=outside or "no terms",
            rule=f"pooled terms combine the factors of the cells, {list(names)}",
            next_step="Add the factor to `cells`.",
        )
    labels = _labels(sample, names)
    live = [lv for lv, w in zip(labels, sample.weights.tolist(), strict=True) if w > 0]
    sampled = sorted(set(live))
    place = {level: i for i, level in enumerate(sampled)}
    absent = sorted(set(population) - set(sampled))
    every = [*sampled, *absent]
    if len(every) > _CELL_LIMIT:
        raise InvalidValue(
            "cells",
            got=f"{len(every)} cells",
            rule=f"at most {_CELL_LIMIT} cells",
            next_step="Merge levels, or name fewer factors.",
        )
    # A row of weight 0 may lie in a cell that no other row is in; it then counts nowhere.
    code = np.array([place.get(level, 0) for level in labels], np.int64)
    known = dict(zip(population, counts.tolist(), strict=True))
    place = {level: i for i, level in enumerate(every)}
    groups = []
    for term in variables:
        keys = [tuple(level[wanted[v]] for v in term) for level in every]
        groups.append(np.unique(np.array(["\0".join(k) for k in keys]), return_inverse=True)[1])
    reference = None if codes is None else np.array([place[lv] for lv in codes], np.int64)
    return _Cells(
        code,
        len(sampled),
        tuple(g.reshape(-1).astype(np.int64) for g in groups),
        np.array([known.get(level, 0.0) for level in every]),
        reference,
    )


def _population(
    target: Target, names: tuple[str, ...]
) -> tuple[list[tuple[str, ...]], FloatArray, list[tuple[str, ...]] | None]:
    """Return population cells, their counts, and the cell of every reference row."""
    for margin in target.margins:
        if set(margin.variables) == set(names):
            order = [margin.variables.index(v) for v in names]
            if target.covariance is None:
                cells = [tuple(level[i] for i in order) for level in margin.levels]
                return cells, margin.totals, None
    if target.reference is None or target.covariance is not None:
        raise InvalidValue(
            "target",
            got=f"benchmarks {list(target.names)[:8]}",
            rule=f"mrp needs a margin that crosses {list(names)}, without benchmark covariance, "
            "or a reference sample",
            next_step="Pass the joint counts, or Target(reference=...).",
        )
    rows = _labels(target.reference, names)
    levels = sorted(set(rows))
    place = {level: i for i, level in enumerate(levels)}
    at = [place[level] for level in rows]
    counts = np.bincount(at, target.reference.weights, len(levels))
    return levels, np.asarray(counts, np.float64), rows


def _labels(sample: Sample, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    factors: list[Factor] = [sample.factor(name) for name in names]
    columns: list[AnyArray] = [np.array(f.levels, dtype=object)[f.codes] for f in factors]
    return list(zip(*columns, strict=True))


def _diagnostics(
    first: tuple[Components, FloatArray] | None, terms: tuple[TermKey, ...], grid: _Cells
) -> dict[str, float]:
    out = {
        "cells": float(grid.counts.size),
        "share of the population in cells without logs": float(
            grid.counts[grid.sampled :].sum() / grid.counts.sum()
        ),
    }
    if first is None:
        return out
    fit = first[0]
    for term, sd in zip(terms, fit.sd, strict=True):
        name = term if isinstance(term, str) else ":".join(term)
        out[f"sd[{name}]"] = float(sd)
    return {**out, "sigma": fit.sigma, "intercept": fit.intercept, "intercept se": fit.intercept_se}
