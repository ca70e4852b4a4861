"""Regressors of a model on a sample and a reference sample, collapsed to distinct rows.

Rows that agree in every regressor are one: with categorical (or small whole-number) regressors
Newton's method runs on the distinct rows. Indicator columns never exist; their sums are counts by
level, their products two-way tables.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offroute._typing import AnyArray, FloatArray, IntArray
from offroute.estimators.edge import cell_name
from offroute.estimators.margins import (
    Cells,
    axis_levels,
    cell_totals,
    collapse,
    margin_sums,
    scores,
    two_way_tables,
)
from offroute.estimators.point import Factor, Sample, TermKey
from offroute.exceptions import SchemaError

# Whole numbers with at most this range are a key of the collapse.
_WHOLE_RANGE = 200
_INT32 = 2**31


@dataclass(frozen=True)
class Regressors:
    """Columns x on distinct rows: an intercept, levels of factors, numeric columns.

    Attributes
    ----------
    cells : Cells
        Categorical part; its first axis is the intercept.
    numeric : numpy.ndarray of float64, shape (q, rows)
        Numeric columns.
    free : numpy.ndarray of int64, shape (p,)
        Columns used: one level of every factor is left out.
    full_names : tuple of str
        Names of all columns, those left out included.
    sample_row : numpy.ndarray of integers, shape (n,)
        Distinct row of each sample row.
    reference_row : numpy.ndarray of integers, shape (m,)
        Distinct row of each reference row; empty without a reference sample.
    """

    cells: Cells
    numeric: FloatArray
    free: IntArray
    full_names: tuple[str, ...]
    sample_row: AnyArray
    reference_row: AnyArray

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns used."""
        return tuple(self.full_names[int(i)] for i in self.free)

    @property
    def rows(self) -> int:
        """Number of distinct rows."""
        return int(self.cells.code.shape[0])

    def predictor(self, coefficients: FloatArray) -> FloatArray:
        """Return ``x_r' b``, shape (rows,) or (rows, k), of coefficients (p,) or (p, k).

        Parameters
        ----------
        coefficients : numpy.ndarray of float64, shape (p,) or (p, k)
            Coefficients b.
        """
        b = coefficients.reshape(self.free.size, -1)
        full = np.zeros((b.shape[1], self.cells.width + self.numeric.shape[0]))
        full[:, self.free] = b.T
        width = self.cells.width
        out = scores(self.cells, full[:, :width])[:, self.cells.code]
        if self.numeric.shape[0]:
            out = out + full[:, width:] @ self.numeric
        return np.asarray(out[0] if coefficients.ndim == 1 else out.T)

    def cross(self, values: FloatArray) -> FloatArray:
        """Return ``sum_r x_r v_r``, shape (p, k), of values, shape (rows, k).

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (rows, k)
            Values v.
        """
        columns = np.ascontiguousarray(values.T)
        head = margin_sums(self.cells, cell_totals(self.cells, columns)).T
        return np.asarray(np.concatenate([head, self.numeric @ values])[self.free])

    def gram(self, weights: FloatArray) -> FloatArray:
        """Return ``sum_r w_r x_r x_r'``, shape (p, p).

        Parameters
        ----------
        weights : numpy.ndarray of float64, shape (rows,)
            Weights w.
        """
        width, q = self.cells.width, self.numeric.shape[0]
        table = np.empty((width + q, width + q))
        table[:width, :width] = two_way_tables(self.cells, cell_totals(self.cells, weights))
        if q:
            scaled = self.numeric * weights
            table[:width, width:] = margin_sums(self.cells, cell_totals(self.cells, scaled)).T
            table[width:, :width] = table[:width, width:].T
            table[width:, width:] = scaled @ self.numeric.T
        return np.asarray(table[np.ix_(self.free, self.free)])

    def levels_apart(self, first: FloatArray, second: FloatArray) -> list[str]:
        """Return levels where `first` sums to 0 and `second` to more; of both shape (rows,).

        Parameters
        ----------
        first, second : numpy.ndarray of float64, shape (rows,)
            Sums by distinct row.
        """
        one, two = margin_sums(self.cells, cell_totals(self.cells, np.stack([first, second])))
        apart = np.flatnonzero((one <= 0) & (two > 0))
        return [self.full_names[int(k)] for k in apart]

    def sample_sums(self, values: FloatArray) -> FloatArray:
        """Add up sample values, shape (n,), by distinct row: shape (rows,).

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (n,)
            Values of the sample rows.
        """
        return np.asarray(np.bincount(self.sample_row, values, self.rows), np.float64)

    def reference_sums(self, values: FloatArray) -> FloatArray:
        """Add up reference values, shape (m,), by distinct row: shape (rows,).

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (m,)
            Values of the reference rows.
        """
        return np.asarray(np.bincount(self.reference_row, values, self.rows), np.float64)

    def every(self, stride: int) -> "Regressors":
        """Return a systematic subsample of the distinct rows; it has no rows of the samples.

        Parameters
        ----------
        stride : int
            Rows from one to the next.
        """
        cells = self.cells
        code = cells.code[::stride]
        none = np.zeros(0, np.int64)
        return Regressors(
            Cells(cells.shape, code, cells.size, cells.levels),
            np.ascontiguousarray(self.numeric[:, ::stride]),
            self.free,
            self.full_names,
            none,
            none,
        )

    def matrix(self) -> FloatArray:
        """Return the columns of every distinct row, shape (rows, p); for matching and checks."""
        return self.predictor(np.eye(self.free.size))


def build_regressors(
    sample: Sample, reference: Sample | None = None, *, terms: Sequence[TermKey] | None = None
) -> Regressors:
    """Lay out the regressors of `terms` on a sample and a reference sample.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    reference : Sample, optional
        Reference sample, m rows, with the same columns.
    terms : sequence of str or tuple of str, optional
        Factors (or crosses of factors) enter as indicators of all levels but the first, numeric
        columns (or products) as they are. Default: the sample's covariates.

    Returns
    -------
    Regressors
        With an intercept.

    Raises
    ------
    SchemaError
        If a column is missing in either sample, or a term mixes factors and numeric columns.
    """
    chosen = sample.covariates if terms is None else terms
    samples = (sample,) if reference is None else (sample, reference)
    n = sum(s.n for s in samples)
    axes: list[tuple[AnyArray, int]] = [(np.zeros(n, np.int8), 1)]
    names, numeric = ["(Intercept)"], []
    for term in chosen:
        variables = (term,) if isinstance(term, str) else tuple(term)
        if _is_factor(samples, variables):
            codes, levels = _joint_codes(samples, variables)
            axes.append((codes, len(levels)))
            names += [cell_name(variables, level) for level in levels]
        else:
            columns = [
                np.prod([s.numeric(v) for v in variables], axis=0, dtype=np.float64)
                for s in samples
            ]
            numeric.append((":".join(variables), np.concatenate(columns)))
    names += [name for name, _ in numeric]
    stacked = np.array([c for _, c in numeric], np.float64).reshape(-1, n)
    starts = np.cumsum([0, *(k for _, k in axes)])[1:-1]
    free = np.setdiff1d(np.arange(len(names)), starts)
    cells, distinct, row = _distinct(axes, stacked)
    return Regressors(cells, distinct, free, tuple(names), row[: sample.n], row[sample.n :])


def _distinct(
    axes: list[tuple[AnyArray, int]], numeric: FloatArray
) -> tuple[Cells, FloatArray, AnyArray]:
    """Return cells and numeric columns of the distinct rows, and the distinct row of each row."""
    n = axes[0][0].size
    keys: list[tuple[AnyArray, int]] = []
    for column in numeric:
        low, high = column.min(initial=0.0), column.max(initial=0.0)
        if high - low > _WHOLE_RANGE or (column[:64] % 1).any() or (column % 1).any():
            return collapse(axes, n), numeric, np.arange(n)
        keys.append(((column - low).astype(np.int64), int(high - low) + 1))
    grid = collapse([*axes, *keys], n)
    used = np.flatnonzero(np.bincount(grid.code, minlength=grid.size))
    place = np.zeros(grid.size, np.int64)
    place[used] = np.arange(used.size)
    row = place[grid.code]
    first = np.zeros(used.size, np.int64)
    first[row[::-1]] = np.arange(n)[::-1]
    shape = tuple(k for _, k in axes)
    levels = tuple(axis_levels(grid, j)[used] for j in range(len(axes)))
    cells = Cells(shape, np.arange(used.size), used.size, levels)
    return cells, np.ascontiguousarray(numeric[:, first]), row


def _is_factor(samples: Sequence[Sample], variables: tuple[str, ...]) -> bool:
    for s in samples:
        for v in variables:
            if v not in s.columns:
                s.factor(v)  # raises the error that names the column
    kinds = {isinstance(s.columns[v], Factor) for s in samples for v in variables}
    if len(kinds) > 1:
        raise SchemaError(
            ":".join(variables),
            got="factors and numeric columns in one term, or one kind in each sample",
            rule="a term crosses factors, or multiplies numeric columns, in both samples alike",
            next_step="Split the term, or convert the column in one of the samples.",
        )
    return kinds == {True}


def _joint_codes(
    samples: Sequence[Sample], variables: tuple[str, ...]
) -> tuple[AnyArray, list[tuple[str, ...]]]:
    """Return codes over all rows on the levels that occur, and those levels."""
    sets = [sorted({k for s in samples for k in s.factor(v).levels}) for v in variables]
    shape = tuple(len(u) for u in sets)
    total = math.prod(shape)
    blocks = []
    for s in samples:
        flat: AnyArray = np.zeros(1, np.int32 if total < _INT32 else np.int64)
        for v, union in zip(variables, sets, strict=True):
            factor = s.factor(v)
            place = {level: i for i, level in enumerate(union)}
            move = np.array([place[level] for level in factor.levels], flat.dtype)
            flat = flat * len(union) + move[factor.codes]
        blocks.append(flat)
    flat = np.concatenate(blocks)
    used, codes = np.arange(total), flat
    if len(variables) > 1 or not np.bincount(flat, minlength=total).all():
        used, codes = np.unique(flat, return_inverse=True)
    index = np.unravel_index(used, shape)
    levels = [
        tuple(u[int(i)] for u, i in zip(sets, cell, strict=True))
        for cell in zip(*index, strict=True)
    ]
    return codes.reshape(-1).astype(np.int32, copy=False), levels
