"""Regressors of a model on a sample and a reference sample, collapsed to distinct rows.

Rows that agree in every regressor are one: with categorical (or small whole-number) regressors
Newton's method runs on the distinct rows. Indicator columns never exist; their sums are counts by
level, their products two-way tables.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from offroute._typing import AnyArray, FloatArray, IntArray
from offroute.estimators.edge import cell_name
from offroute.estimators.margins import (
    Cells,
    axis_levels,
    collapse,
    margin_sums,
    scores,
)
from offroute.estimators.moments import Moments
from offroute.estimators.point import Factor, Sample, TermKey
from offroute.estimators.pooled import (
    CHUNK,
    PooledColumns,
    RowIndex,
    chunks,
    joint_codes,
    sums_by_row,
)
from offroute.exceptions import SchemaError

# Whole numbers at most this far from the first are a key of the collapse.
_REACH = 200

Equation = Callable[[FloatArray, slice], tuple[FloatArray, FloatArray, FloatArray]]
"""Linear predictors of some distinct rows to (r, s = -dr/deta, t >= 0 to use in place of s)."""

Tables = tuple[FloatArray, FloatArray]
"""``sum_r s_r x_r x_r'`` and ``sum_r t_r x_r x_r'``."""

Sums = tuple[FloatArray, Tables | None]
"""``sum_r x_r r_r`` and, if asked for, the tables."""


@dataclass(frozen=True)
class Regressors:
    """Columns x on distinct rows: an intercept, levels of factors, numeric columns.

    Attributes
    ----------
    cells : Cells
        Categorical part; its first axis is the intercept.
    numeric : PooledColumns
        Numeric columns, q by rows.
    free : numpy.ndarray of int64, shape (p,)
        Columns used: one level of every factor is left out.
    full_names : tuple of str
        Names of all columns, those left out included.
    sample_row : numpy.ndarray of integers, shape (n,), or slice
        Distinct row of each sample row.
    reference_row : numpy.ndarray of integers, shape (m,), or slice
        Distinct row of each reference row; empty without a reference sample.
    """

    cells: Cells
    numeric: PooledColumns
    free: IntArray
    full_names: tuple[str, ...]
    sample_row: RowIndex
    reference_row: RowIndex

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns used."""
        return tuple(self.full_names[int(i)] for i in self.free)

    @property
    def rows(self) -> int:
        """Number of distinct rows."""
        return int(self.cells.code.shape[0])

    def predictor(self, coefficients: FloatArray, *, of: RowIndex = slice(None)) -> FloatArray:
        """Return ``x_r' b``, shape (rows,) or (rows, k), of coefficients (p,) or (p, k).

        Parameters
        ----------
        coefficients : numpy.ndarray of float64, shape (p,) or (p, k)
            Coefficients b.
        of : numpy.ndarray of integers, or slice
            Distinct rows; default all.
        """
        if not isinstance(of, slice):
            return np.asarray(self.predictor(coefficients)[of])
        first, stop, _ = of.indices(self.rows)
        out = np.empty((stop - first, *coefficients.shape[1:]))
        for column, b in zip(
            out.reshape(stop - first, -1).T, coefficients.reshape(self.free.size, -1).T, strict=True
        ):
            for rows, _z, eta in self._in_chunks(b, of):
                column[rows.start - first : rows.stop - first] = eta
        return out

    def _in_chunks(
        self, coefficients: FloatArray, of: slice = slice(None)
    ) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Yield slices of the distinct rows, their numeric columns and linear predictors."""
        width, q = self.cells.width, self.numeric.shape[0]
        full = np.zeros(width + q)
        full[self.free] = coefficients
        by_level = scores(self.cells, full[:width])
        for rows in self._chunks(of):
            z = self.numeric.block(rows)
            eta = np.take(by_level, self.cells.code[rows], mode="clip")
            if q:
                eta += full[width:] @ z
            yield rows, z, eta

    def _chunks(self, of: slice = slice(None)) -> list[slice]:
        """Return slices of the distinct rows that fit the cache."""
        first, stop, _ = of.indices(self.rows)
        # Sums by cell cost as much as there are cells, so a chunk has at least as many rows.
        return chunks(stop, start=first, step=max(CHUNK, self.cells.size))

    def cross(self, values: FloatArray, *, of: RowIndex = slice(None)) -> FloatArray:
        """Return ``sum_i x_i v_i``, shape (p, k), of values, shape (n, k).

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (n, k)
            Values v.
        of : numpy.ndarray of integers, or slice
            Distinct row of each value; default all of them in turn.
        """
        if not isinstance(of, slice):
            return self.cross(np.stack([sums_by_row(of, v, self.rows) for v in values.T], axis=1))
        first = of.indices(self.rows)[0]
        totals = np.zeros((values.shape[1], self.cells.size))
        numeric = np.zeros((self.numeric.shape[0], values.shape[1]))
        for rows in self._chunks(of):
            code = self.cells.code[rows].astype(np.intp, copy=False)
            some = values[rows.start - first : rows.stop - first]
            numeric += self.numeric.block(rows) @ some
            for k, column in enumerate(some.T):
                totals[k] += np.bincount(code, column, self.cells.size)
        return np.concatenate([margin_sums(self.cells, totals).T, numeric])[self.free]

    def accumulate(
        self, equation: Equation, coefficients: FloatArray, *, curvature: bool = True
    ) -> Sums:
        """Return ``sum_r x_r r_r``, and ``sum_r s_r x_r x_r'`` and ``sum_r t_r x_r x_r'``, at b.

        Of shapes (p,), (p, p) and (p, p); the last two are one object where s and t are.

        Parameters
        ----------
        equation : callable
            Linear predictors ``x_r' b`` and a slice of the distinct rows, to (r, s, t).
        coefficients : numpy.ndarray of float64, shape (p,)
            Coefficients b.
        curvature : bool
            Whether to compute the matrices; without, None stands for them.
        """
        size, q = self.cells.size, self.numeric.shape[0]
        first, first_numeric = np.zeros(size), np.zeros(q)
        exact, expected = Moments.zeros(size, q), Moments.zeros(size, q)
        one = True
        for rows, z, eta in self._in_chunks(coefficients):
            r, s, t = equation(eta, rows)
            code = self.cells.code[rows].astype(np.intp, copy=False)
            first += np.bincount(code, r, size)
            first_numeric += z @ r
            if curvature:
                exact.add(code, z, s)
            if curvature and t is not s:
                one = False
                expected.add(code, z, t)
        sums = np.concatenate([margin_sums(self.cells, first), first_numeric])[self.free]
        if not curvature:
            return sums, None
        table = exact.table(self.cells)[np.ix_(self.free, self.free)]
        if one:
            return sums, (table, table)
        return sums, (table, expected.table(self.cells)[np.ix_(self.free, self.free)])

    def gram(self, weights: FloatArray) -> FloatArray:
        """Return ``sum_r w_r x_r x_r'``, shape (p, p).

        Parameters
        ----------
        weights : numpy.ndarray of float64, shape (rows,)
            Weights w.
        """
        sums = Moments.zeros(self.cells.size, self.numeric.shape[0])
        for rows in self._chunks():
            code = self.cells.code[rows].astype(np.intp, copy=False)
            sums.add(code, self.numeric.block(rows), weights[rows])
        return sums.table(self.cells)[np.ix_(self.free, self.free)]

    def level_sums(self, values: FloatArray, *, of: RowIndex) -> FloatArray:
        """Add up values, shape (n,), by level of every factor: shape (width,).

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (n,)
            Values.
        of : numpy.ndarray of integers, or slice
            Distinct row of each value.
        """
        sums = np.bincount(self.cells.code[of], values, self.cells.size)
        return margin_sums(self.cells, np.asarray(sums, np.float64))

    def levels_apart(self, first: FloatArray, second: FloatArray) -> list[str]:
        """Return levels where `first` sums to 0 and `second` to more; of both shape (width,).

        Parameters
        ----------
        first, second : numpy.ndarray of float64, shape (width,)
            Sums by level, see `level_sums`.
        """
        return [self.full_names[int(k)] for k in np.flatnonzero((first <= 0) & (second > 0))]

    def sample_sums(self, values: FloatArray) -> FloatArray:
        """Add up sample values, shape (n,), by distinct row: shape (rows,).

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (n,)
            Values of the sample rows.
        """
        return sums_by_row(self.sample_row, values, self.rows)

    def reference_sums(self, values: FloatArray) -> FloatArray:
        """Add up reference values, shape (m,), by distinct row: shape (rows,).

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (m,)
            Values of the reference rows.
        """
        return sums_by_row(self.reference_row, values, self.rows)

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
            PooledColumns.of_table(self.numeric.block(slice(None, None, stride))),
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
    names, products = ["(Intercept)"], []
    for term in chosen:
        variables = (term,) if isinstance(term, str) else tuple(term)
        if _is_factor(samples, variables):
            codes, levels = joint_codes(samples, variables)
            axes.append((codes, len(levels)))
            names += [cell_name(variables, level) for level in levels]
        else:
            products.append(variables)
    names += [":".join(variables) for variables in products]
    numeric = PooledColumns(
        tuple(
            (start, tuple(tuple(s.numeric(v) for v in variables) for variables in products))
            for start, s in zip((0, sample.n), samples, strict=False)
        ),
        (len(products), n),
    )
    starts = np.cumsum([0, *(k for _, k in axes)])[1:-1]
    free = np.setdiff1d(np.arange(len(names)), starts)
    cells, distinct, row_of = _distinct(axes, numeric)
    if row_of is None:
        split: tuple[RowIndex, RowIndex] = slice(0, sample.n), slice(sample.n, n)
    else:
        split = row_of[: sample.n], row_of[sample.n :]
    return Regressors(cells, distinct, free, tuple(names), *split)


def _distinct(
    axes: list[tuple[AnyArray, int]], numeric: PooledColumns
) -> tuple[Cells, PooledColumns, AnyArray | None]:
    """Return cells and numeric columns of the distinct rows, and the distinct row of each row.

    The last is None where rows are not merged.
    """
    q, n = numeric.shape
    first = numeric.block(slice(0, 1))
    steps = np.empty((q, n), np.int16)
    for rows in chunks(n):
        z = numeric.block(rows)
        if (z != np.floor(z)).any() or (np.abs(z - first) > _REACH).any():
            return collapse(axes, n), numeric, None
        steps[:, rows] = z - first
    low, high = steps.min(axis=1), steps.max(axis=1)
    keys = [(s - a, int(b - a) + 1) for s, a, b in zip(steps, low, high, strict=True)]
    grid = collapse([*axes, *keys], n)
    used = np.flatnonzero(np.bincount(grid.code, minlength=grid.size))
    place = np.zeros(grid.size, np.int32)
    place[used] = np.arange(used.size)
    levels = [axis_levels(grid, j)[used] for j in range(len(axes) + q)]
    shape = tuple(k for _, k in axes)
    cells = Cells(shape, np.arange(used.size), used.size, tuple(levels[: len(axes)]))
    table = first + low[:, None] + np.reshape(levels[len(axes) :], (q, used.size))
    return cells, PooledColumns.of_table(table), place[grid.code]


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
