"""Regressors of a model on a sample and a reference sample, collapsed to distinct rows.

Rows that agree in every regressor are one: with categorical (or small whole-number) regressors
Newton's method runs on the distinct rows. Indicator columns never exist; their sums are counts by
level, their products two-way tables.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from offroute._typing import AnyArray, FloatArray, IntArray
from offroute.estimators.constraints import CHUNK
from offroute.estimators.edge import cell_name
from offroute.estimators.margins import (
    Cells,
    axis_levels,
    cell_totals,
    collapse,
    margin_sums,
    scores,
)
from offroute.estimators.moments import Moments
from offroute.estimators.point import Factor, Sample, TermKey
from offroute.exceptions import SchemaError

# Whole numbers with at most this range are a key of the collapse.
_WHOLE_RANGE = 200
_INT32 = 2**31

RowIndex = AnyArray | slice
"""Distinct rows of some rows: their numbers, or a slice where no two rows were merged."""

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
    numeric : numpy.ndarray of float64, shape (q, rows)
        Numeric columns.
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
    numeric: FloatArray
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

    def predictor(self, coefficients: FloatArray) -> FloatArray:
        """Return ``x_r' b``, shape (rows,) or (rows, k), of coefficients (p,) or (p, k).

        Parameters
        ----------
        coefficients : numpy.ndarray of float64, shape (p,) or (p, k)
            Coefficients b.
        """
        if coefficients.ndim == 1:
            out = np.empty(self.rows)
            for rows, eta in self._scores_in_chunks(coefficients):
                out[rows] = eta
            return out
        full = np.zeros((coefficients.shape[1], self.cells.width + self.numeric.shape[0]))
        full[:, self.free] = coefficients.T
        width = self.cells.width
        wide = scores(self.cells, full[:, :width])[:, self.cells.code]
        if self.numeric.shape[0]:
            wide = wide + full[:, width:] @ self.numeric
        return np.asarray(wide.T)

    def _scores_in_chunks(self, coefficients: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
        """Yield slices of the distinct rows that fit the cache, and their linear predictors."""
        width = self.cells.width
        full = np.zeros(width + self.numeric.shape[0])
        full[self.free] = coefficients
        by_level = scores(self.cells, full[:width])
        # Sums by cell cost as much as there are cells, so a chunk has at least as many rows.
        step = max(CHUNK, self.cells.size)
        for start in range(0, self.rows, step):
            rows = slice(start, start + step)
            eta = np.take(by_level, self.cells.code[rows], mode="clip")
            if self.numeric.shape[0]:
                eta += full[width:] @ self.numeric[:, rows]
            yield rows, eta

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
        for rows, eta in self._scores_in_chunks(coefficients):
            r, s, t = equation(eta, rows)
            code, z = self.cells.code[rows].astype(np.intp, copy=False), self.numeric[:, rows]
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
        sums.add(self.cells.code.astype(np.intp, copy=False), self.numeric, weights)
        return sums.table(self.cells)[np.ix_(self.free, self.free)]

    def level_sums(self, values: FloatArray, *, of: RowIndex = slice(None)) -> FloatArray:
        """Add up values, shape (rows,), by level of every factor: shape (width,).

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (rows,)
            Values by distinct row.
        of : slice, optional
            The distinct rows whose values are not 0, if they are a slice; else ignored.
        """
        rows = of if isinstance(of, slice) else slice(None)
        sums = np.bincount(self.cells.code[rows], values[rows], self.cells.size)
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
        return _add_up(self.sample_row, values, self.rows)

    def reference_sums(self, values: FloatArray) -> FloatArray:
        """Add up reference values, shape (m,), by distinct row: shape (rows,).

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (m,)
            Values of the reference rows.
        """
        return _add_up(self.reference_row, values, self.rows)

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
    names, products = ["(Intercept)"], []
    for term in chosen:
        variables = (term,) if isinstance(term, str) else tuple(term)
        if _is_factor(samples, variables):
            codes, levels = _joint_codes(samples, variables)
            axes.append((codes, len(levels)))
            names += [cell_name(variables, level) for level in levels]
        else:
            products.append(variables)
    names += [":".join(variables) for variables in products]
    numeric = np.empty((len(products), n))
    for row, variables in zip(numeric, products, strict=True):
        np.concatenate([s.numeric(variables[0]) for s in samples], out=row)
        for other in variables[1:]:
            stop = 0
            for s in samples:
                start, stop = stop, stop + s.n
                row[start:stop] *= s.numeric(other)
    starts = np.cumsum([0, *(k for _, k in axes)])[1:-1]
    free = np.setdiff1d(np.arange(len(names)), starts)
    cells, distinct, row_of = _distinct(axes, numeric)
    if row_of is None:
        split: tuple[RowIndex, RowIndex] = slice(0, sample.n), slice(sample.n, n)
    else:
        split = row_of[: sample.n], row_of[sample.n :]
    return Regressors(cells, distinct, free, tuple(names), *split)


def _add_up(rows: RowIndex, values: FloatArray, size: int) -> FloatArray:
    if isinstance(rows, slice):
        out = np.zeros(size)
        out[rows] = values
        return out
    return np.asarray(np.bincount(rows, values, size), np.float64)


def _distinct(
    axes: list[tuple[AnyArray, int]], numeric: FloatArray
) -> tuple[Cells, FloatArray, AnyArray | None]:
    """Return cells and numeric columns of the distinct rows, and the distinct row of each row.

    The last is None where rows are not merged.
    """
    n = axes[0][0].size
    keys: list[tuple[AnyArray, int]] = []
    for column in numeric:
        if (column[:64] % 1).any():
            return collapse(axes, n), numeric, None
        low, high = column.min(initial=0.0), column.max(initial=0.0)
        if high - low > _WHOLE_RANGE or (column % 1).any():
            return collapse(axes, n), numeric, None
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
            same = len(variables) == 1 and np.array_equal(move, np.arange(move.size))
            here = factor.codes if same else np.take(move, factor.codes)
            flat = here if len(variables) == 1 else flat * len(union) + here
        blocks.append(flat)
    flat = np.concatenate(blocks)
    used, codes = np.arange(total), flat
    if len(variables) > 1 or not _has_all(flat, total):
        used, codes = np.unique(flat, return_inverse=True)
    index = np.unravel_index(used, shape)
    levels = [
        tuple(u[int(i)] for u, i in zip(sets, cell, strict=True))
        for cell in zip(*index, strict=True)
    ]
    return codes.reshape(-1), levels


def _has_all(codes: AnyArray, levels: int) -> bool:
    """Whether every level occurs; the first rows often tell."""
    return any(np.bincount(some, minlength=levels).all() for some in (codes[:CHUNK], codes))
