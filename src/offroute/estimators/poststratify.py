"""Post-stratification: weights scaled to the population total of each cell."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from offroute._typing import FloatArray, IntArray
from offroute.estimators.calibrate import calibrate
from offroute.estimators.cell_rows import require_rows
from offroute.estimators.edge import cell_name
from offroute.estimators.estimands import Estimand
from offroute.estimators.point import Factor, Margin, PointEstimate, Sample, Target, make_target
from offroute.exceptions import EmptyCell, InvalidValue

_CELL = "(post-stratum)"


def poststratify(
    sample: Sample,
    target: Target,
    *,
    estimands: Sequence[Estimand] | None = None,
    min_units: int | None = None,
) -> PointEstimate:
    """Scale base weights to the population total of each cell of one (crossed) margin.

    ``w_i = d_i N_k / sum_{j in k} d_j`` for i in cell k. Consistent when inclusion does not depend
    on the outcome within cells, and biased where it does.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target
        Exactly one margin, crossed or not, and no numeric totals.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one.
    min_units : int, optional
        Collapse rule: a cell with fewer sampled units is merged with all cells that agree on
        every variable but the last, and so on leftwards, until each has `min_units`. Default: no
        collapsing. Order the variables of the margin from the one to keep to the one to give up.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        Influence values ``w_i (u_i - mean of u in the cell)``; the number of cells after
        collapsing is in `diagnostics`.

    Raises
    ------
    EmptyCell
        If a cell with a positive total has no sampled weight and `min_units` is not given, or the
        collapsed cells cannot reach `min_units`.
    InvalidValue
        If the target is not a single margin.

    References
    ----------
    Holt, D. and Smith, T. M. F. (1979). J. R. Stat. Soc. A 142, 33-46. doi:10.2307/2344652

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> logs = pd.DataFrame({"origin": ["US", "US", "CN"], "tokens": [1.0, 3.0, 5.0]})
    >>> s = read_sample(logs, outcomes=["tokens"], covariates=["origin"])
    >>> poststratify(s, make_target({"origin": {"US": 25, "CN": 75}})).values.tolist()
    [4.25]
    """
    if len(target.margins) != 1 or target.moments:
        raise InvalidValue(
            "target",
            got=f"{len(target.margins)} margins and {len(target.moments)} numeric totals",
            rule="post-stratification needs exactly one margin, crossed if need be",
            next_step="Give the crossed margin, or use rake or calibrate.",
        )
    margin = target.margins[0]
    cell = _cell_of_row(sample, margin)
    if min_units is not None:
        require_rows(sample.design.cells, "min_units")
    counts = np.bincount(cell[sample.weights > 0], minlength=len(margin.levels))
    if min_units is None:
        empty = np.flatnonzero((counts == 0) & (margin.totals > 0))
        if empty.size:
            raise EmptyCell(
                ", ".join(cell_name(margin.variables, margin.levels[i]) for i in empty),
                got="a positive total without any sampled unit",
                rule="every post-stratum needs sampled units",
                next_step="Pass min_units to merge small cells, or give a coarser margin.",
            )
        group = np.arange(counts.size)
    else:
        group = _collapse(margin, counts, min_units)
    labels = sorted(set(group.tolist()))
    compact = np.searchsorted(labels, group)
    totals = np.bincount(compact, margin.totals)
    names = tuple(str(k) for k in labels)
    merged = replace(sample, columns={**sample.columns, _CELL: Factor(compact[cell], names)})
    transfer = (compact[None, :] == np.arange(len(labels))[:, None]).astype(np.float64)
    covariance = target.covariance
    if covariance is not None:
        own = covariance[-margin.totals.size :, -margin.totals.size :]
        covariance = transfer @ own @ transfer.T
    cells = make_target(
        {_CELL: dict(zip(names, totals.tolist(), strict=True))}, covariance=covariance
    )
    point = calibrate(merged, cells, estimands=estimands)
    offset = len(target.names) - margin.totals.size
    within = point.replicate

    def _replicates(weights: FloatArray, draws: FloatArray | None = None) -> FloatArray:
        assert within is not None
        return within(weights, None if draws is None else draws[:, offset:] @ transfer.T)

    return replace(
        point,
        diagnostics={**point.diagnostics, "post-strata": float(len(labels))},
        replicate=_replicates,
    )


def _cell_of_row(sample: Sample, margin: Margin) -> IntArray:
    """Position in the margin of each row; -1 never remains for a row with weight."""
    factors = [sample.factor(v) for v in margin.variables]
    place = {level: i for i, level in enumerate(margin.levels)}
    shape = tuple(len(f.levels) for f in factors)
    grid = np.array(
        [
            place.get(tuple(f.levels[k] for f, k in zip(factors, index, strict=True)), -1)
            for index in np.ndindex(*shape)
        ],
        dtype=np.int64,
    )
    row = grid[np.ravel_multi_index([f.codes.astype(np.intp) for f in factors], shape)]
    orphan = (row < 0) & (sample.weights > 0)
    if orphan.any():
        first = int(np.flatnonzero(orphan)[0])
        level = tuple(f.levels[int(f.codes[first])] for f in factors)
        raise InvalidValue(
            cell_name(margin.variables, level),
            got=f"{int(orphan.sum())} sampled units in cells without a population total",
            rule="every sampled cell needs a total",
            next_step="Add the totals, merge the levels, or drop the rows.",
        )
    return np.maximum(row, 0)


def _collapse(margin: Margin, counts: IntArray, min_units: int) -> IntArray:
    """Group of each cell of the margin after merging from the last variable leftwards."""
    depth = np.full(counts.size, len(margin.variables))
    while True:
        keys = [level[:d] for level, d in zip(margin.levels, depth, strict=True)]
        size: dict[tuple[str, ...], int] = {}
        total: dict[tuple[str, ...], float] = {}
        for key, count, n in zip(keys, counts, margin.totals, strict=True):
            size[key] = size.get(key, 0) + int(count)
            total[key] = total.get(key, 0.0) + float(n)
        small = [k for k in size if size[k] < min_units and (size[k] > 0 or total[k] > 0)]
        if not small:
            order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
            return np.array([order[key] for key in keys], dtype=np.int64)
        if () in small:
            raise EmptyCell(
                ":".join(margin.variables),
                got=f"{int(counts.sum())} sampled units in all",
                rule=f"collapsed cells must reach min_units={min_units}",
                next_step="Lower min_units.",
            )
        for key in small:
            prefix = key[:-1]
            for i, level in enumerate(margin.levels):
                if level[: len(prefix)] == prefix:
                    depth[i] = min(depth[i], len(prefix))
