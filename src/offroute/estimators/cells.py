"""Cells in: a sample whose estimates and standard errors are those of the rows behind it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np

from offroute._typing import FloatArray, IntArray
from offroute.data.cell_table import ROWS, WEIGHT, WEIGHT_SQUARES, CellTable
from offroute.estimators.cell_rows import CellRows
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.point import Sample
from offroute.exceptions import InvalidValue


def read_cells(cells: CellTable, *, outcomes: Sequence[str] | None = None) -> Sample:
    r"""Make a sample from cells, for `expansion` and the calibration estimators.

    A row contributes to every weighted total through its base weight d and ``d v_k`` alone, so its
    influence value is ``z_i = L' (d_i, d_i v_i1, ..., d_i v_im)`` with L the same in its cell.
    The cell therefore stands in the sample as m + 1 nodes, points :math:`q_j` in the space of
    ``(d, d v)`` with :math:`\sum_j q_j = \sum_i (d_i, d_i v_i)`: totals of the nodes are those of
    the rows, and ``z_i`` follows from the influence values at the nodes. The variance of clusters
    needs no more than that; that of independent rows takes the scatter of the rows between the
    nodes, known from the sums of squares.

    Estimators that need single rows (`ipw`, `impute`, `doubly_robust`, `mrp`, `rectify`, bootstrap
    and jackknife without clusters) refuse such a sample, and so does calibration to the total of
    a summed column.

    Parameters
    ----------
    cells : CellTable
        From `offroute.collapse`.
    outcomes : sequence of str, optional
        What is estimated by default: summed columns or columns of `by`. Default: the outcomes
        that were summed.

    Returns
    -------
    Sample
        With m + 1 rows per cell, m the number of summed columns.

    Raises
    ------
    SchemaError
        If an outcome is neither a key nor a summed column.
    InvalidValue
        If population counts are below the sampled ones.

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.data.cells import collapse
    >>> from offroute.estimators.expansion import expansion
    >>> logs = pd.DataFrame({"origin": ["US", "CN", "US"], "tokens": [5, 9, 4]})
    >>> sample = read_cells(collapse(logs, by=["origin"], volume="tokens"), outcomes=["origin"])
    >>> expansion(sample).values.tolist()
    [0.5, 0.5]
    """
    frame = cells.frame
    weight = frame[WEIGHT].to_numpy(np.float64)
    summed = [frame[f"sum_w_{name}"].to_numpy(np.float64) for name in cells.summed]
    filled = np.where(weight > 0, weight, 1.0)
    means = np.array([total / filled for total in summed]).reshape(len(summed), len(frame))
    steps = _steps(cells, means)
    nodes = len(summed) + 1
    of_rows = frame[list(cells.keys)].loc[np.repeat(frame.index, nodes)].reset_index(drop=True)
    # A time that tells cells apart is a label.
    times = of_rows.select_dtypes(["datetime", "datetimetz"]).columns
    of_rows = of_rows.astype(dict.fromkeys(times, "str"))
    of_rows[WEIGHT] = np.repeat(weight / nodes, nodes)
    for k, name in enumerate(cells.summed):
        at = np.tile(means[k][:, None], nodes)
        at[:, 0] -= steps[k]
        at[:, k + 1] += steps[k]
        of_rows[name] = at.reshape(-1)
    own_rows = cells.clusters is None
    sample = read_sample(
        of_rows,
        outcomes=cells.outcomes if outcomes is None else outcomes,
        covariates=list(dict.fromkeys([*cells.by, *cells.summed])),
        weights=WEIGHT,
        volume=cells.volume,
        design=DesignColumns(
            cells.strata, cells.clusters, None if own_rows else cells.population_clusters
        ),
    )
    rows = CellRows(cells.summed, frame[ROWS].to_numpy(np.float64), _scatter(cells, steps, filled))
    design = replace(sample.design, cells=rows)
    if own_rows and cells.population_clusters is not None:
        counts = of_rows[cells.population_clusters].to_numpy(np.float64)
        _check_population(cells.population_clusters, counts[::nodes], rows, design.strata)
        design = replace(design, population_clusters=counts)
    return replace(sample, covariates=cells.by, design=design)


def _steps(cells: CellTable, means: FloatArray) -> FloatArray:
    """Distance of the nodes from the mean, shape (m, C); 0 where a column is 0 in all rows."""
    frame = cells.frame
    weight = frame[WEIGHT].to_numpy(np.float64)
    rows = frame[ROWS].to_numpy(np.float64)
    out = np.zeros_like(means)
    for k, name in enumerate(cells.summed):
        if name == cells.volume:
            # From 0 to twice the mean: a volume stays non-negative.
            out[k] = means[k]
            continue
        # Squares of distances from the mean: nodes lie as far from it as the rows do.
        root = np.sqrt(frame[f"sum_w2_{name}_{name}"].to_numpy(np.float64) * rows)
        out[k] = np.divide(root, weight, out=np.zeros_like(root), where=weight > 0)
    return out


def _scatter(cells: CellTable, steps: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the scatter of the coefficients a of the rows, shape (C, K, K).

    With omega = sum(d) / K the weight of a node, ``r_0 = d / omega`` and
    ``r_k = d (v_k - mean_k) / (omega step_k)``, a row has ``a_k = r_k + a_0`` and
    ``a_0 = (r_0 - sum_k r_k) / K``.
    """
    frame = cells.frame
    nodes = len(cells.summed) + 1
    rows = frame[ROWS].to_numpy(np.float64)
    moment = np.empty((len(frame), nodes, nodes))
    # The distances from the mean sum to 0, so that only the weights are left to be centred.
    moment[:, 0, 0] = frame[WEIGHT_SQUARES] - frame[WEIGHT] ** 2 / rows
    for k, name in enumerate(cells.summed, start=1):
        moment[:, 0, k] = moment[:, k, 0] = frame[f"sum_w2_{name}"]
    pairs = combinations_with_replacement(range(1, nodes), 2)
    for k, j in pairs:
        product = frame[f"sum_w2_{cells.summed[k - 1]}_{cells.summed[j - 1]}"]
        moment[:, k, j] = moment[:, j, k] = product
    omega = weight / nodes
    change = np.zeros((len(frame), nodes, nodes))
    change[:, 0, 0] = 1 / omega
    for k in range(1, nodes):
        step = steps[k - 1]
        inverse = np.divide(1.0, omega * step, out=np.zeros_like(step), where=step != 0)
        change[:, k, k] = inverse
    share = np.concatenate([[1.0], -np.ones(nodes - 1)]) / nodes
    to_nodes = np.diag([0.0, *np.ones(nodes - 1)]) + share
    both = to_nodes @ change
    return np.asarray(both @ moment @ both.transpose(0, 2, 1))


def _check_population(
    name: str, counts: FloatArray, rows: CellRows, strata: IntArray | None
) -> None:
    group = np.zeros(counts.size, np.int64) if strata is None else strata[:: rows.nodes]
    sampled = np.bincount(group, rows.counts)
    low, high = np.full(sampled.size, np.inf), np.full(sampled.size, -np.inf)
    np.minimum.at(low, group, counts)
    np.maximum.at(high, group, counts)
    if not np.array_equal(low, high) or (low < sampled).any():
        raise InvalidValue(
            name,
            got=f"population counts {low.min():g} to {high.max():g}, "
            f"sampled up to {sampled.max():g}",
            rule="each stratum needs one population count, not below its sampled rows",
            next_step="Give the number of rows in the population of the row's stratum.",
        )
