"""Rows collapsed to cells: sums, scores and cross-tables of categorical margins.

A row enters categorical constraints only through its cell, the combination of its levels. So the
margins, the Hessian of the dual and the replicates need sums by cell and two-way tables of the
cells; a matrix of rows by constraints never exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from offroute._typing import AnyArray, FloatArray, IntArray

_LOOKUP_LIMIT = 50_000_000


@dataclass(frozen=True)
class Cells:
    """Rows grouped by the combination of their levels on J axes.

    Attributes
    ----------
    shape : tuple of int, length J
        Levels of each axis; there is at least one axis.
    code : numpy.ndarray of integers, shape (n,)
        Cell of each row, 0 to ``size - 1``.
    size : int
        Number of cells C.
    levels : tuple of numpy.ndarray of int64, shape (C,), or None
        Level of each cell on each axis; None when cells are the full grid in C order.
    """

    shape: tuple[int, ...]
    code: AnyArray
    size: int
    levels: tuple[IntArray, ...] | None

    @property
    def width(self) -> int:
        """Number of indicator columns, the levels of all axes."""
        return sum(self.shape)


def collapse(axes: Sequence[tuple[AnyArray, int]], n: int) -> Cells:
    """Group `n` rows by their codes on `axes`, given as (codes, number of levels).

    The full grid is kept when it is not much larger than the data; otherwise the cells that occur.

    Parameters
    ----------
    axes : sequence of (numpy.ndarray, int)
        Codes of the rows and number of levels, per axis.
    n : int
        Number of rows.
    """
    shape = tuple(k for _, k in axes)
    if prod(shape) <= 4 * n + 4096:
        return Cells(shape, _compose(axes), prod(shape), None)
    code: AnyArray = np.zeros(n, np.int64)
    levels: tuple[IntArray, ...] = ()
    size = 1
    for codes, k in axes:
        code = code * k + codes
        code, used = renumber(code, size * k)
        levels = (*(level[used // k] for level in levels), used % k)
        size = used.size
    return Cells(shape, code.astype(index_type(size)), size, levels)


def cell_totals(cells: Cells, values: FloatArray) -> FloatArray:
    """Sum row values, shape (n,) or (b, n), by cell: shape (C,) or (b, C).

    Parameters
    ----------
    cells : Cells
        Rows grouped by level.
    values : numpy.ndarray of float64, shape (n,) or (b, n)
        Row values.
    """
    if values.ndim == 1:
        return np.asarray(np.bincount(cells.code, values, cells.size), dtype=np.float64)
    code = cells.code.astype(np.intp, copy=False)
    return np.stack([np.bincount(code, row, cells.size) for row in values])


def margin_sums(cells: Cells, totals: FloatArray) -> FloatArray:
    """Sum cell totals, shape (..., C), over the levels of every axis: shape (..., width).

    Parameters
    ----------
    cells : Cells
        Rows grouped by level.
    totals : numpy.ndarray of float64, shape (..., C)
        Cell totals.
    """
    lead = totals.shape[:-1]
    flat = totals.reshape(-1, cells.size)
    if cells.levels is None:
        parts: list[FloatArray] = []
        left = flat
        for k in reversed(cells.shape):
            block = left.reshape(flat.shape[0], -1, k)
            parts.append(np.matmul(np.ones((1, block.shape[1])), block)[:, 0])
            left = block @ np.ones(k)
        out = np.concatenate(parts[::-1], axis=1)
    else:
        rows = [
            np.concatenate(
                [
                    np.bincount(level, row, k)
                    for level, k in zip(cells.levels, cells.shape, strict=True)
                ]
            )
            for row in flat
        ]
        out = np.array(rows).reshape(flat.shape[0], cells.width)
    return np.asarray(out.reshape(*lead, cells.width))


def scores(cells: Cells, effects: FloatArray) -> FloatArray:
    """Add up level effects, shape (..., width), in every cell: shape (..., C).

    Parameters
    ----------
    cells : Cells
        Rows grouped by level.
    effects : numpy.ndarray of float64, shape (..., width)
        Level effects.
    """
    return _combine(cells, effects, np.add)


def products(cells: Cells, factors: FloatArray) -> FloatArray:
    """Multiply level factors, shape (..., width), in every cell: shape (..., C).

    Parameters
    ----------
    cells : Cells
        Rows grouped by level.
    factors : numpy.ndarray of float64, shape (..., width)
        Level factors.
    """
    return _combine(cells, factors, np.multiply)


def _combine(cells: Cells, values: FloatArray, operation: np.ufunc) -> FloatArray:
    lead = values.shape[:-1]
    blocks = np.split(values.reshape(-1, cells.width), np.cumsum(cells.shape)[:-1], axis=1)
    if cells.levels is None:
        # The two halves first: the one large outer operation then has long inner rows.
        half = _balanced_split(cells.shape)
        out = _outer(blocks[:half], operation)
        if half < len(blocks):
            out = _outer([out, _outer(blocks[half:], operation)], operation)
    else:
        out = blocks[0][:, cells.levels[0]]
        for block, level in zip(blocks[1:], cells.levels[1:], strict=True):
            operation(out, block[:, level], out=out)
    return np.asarray(out.reshape(*lead, cells.size))


def _outer(blocks: Sequence[FloatArray], operation: np.ufunc) -> FloatArray:
    out = blocks[0]
    for block in blocks[1:]:
        out = operation(out[:, :, None], block[:, None, :]).reshape(out.shape[0], -1)
    return out


def _balanced_split(shape: Sequence[int]) -> int:
    gaps = [abs(prod(shape[:j]) - prod(shape[j:])) for j in range(1, len(shape) + 1)]
    return 1 + gaps.index(min(gaps))


def two_way_tables(cells: Cells, totals: FloatArray) -> FloatArray:
    """Return ``A' diag(totals) A``, shape (width, width), A the cells' indicator columns.

    Parameters
    ----------
    cells : Cells
        Rows grouped by level.
    totals : numpy.ndarray of float64, shape (C,)
        Cell totals.
    """
    offsets = np.concatenate([[0], np.cumsum(cells.shape)])
    out = np.zeros((cells.width, cells.width))
    prefix = totals
    for j in range(len(cells.shape) - 1, -1, -1):
        k = cells.shape[j]
        rows = slice(offsets[j], offsets[j + 1])
        for i in range(j):
            cols = slice(offsets[i], offsets[i + 1])
            if cells.levels is None:
                middle = prod(cells.shape[i + 1 : j])
                table = prefix.reshape(-1, cells.shape[i], middle, k).sum(axis=(0, 2))
            else:
                pair = cells.levels[i] * k + cells.levels[j]
                table = np.bincount(pair, totals, cells.shape[i] * k).reshape(-1, k)
            out[cols, rows], out[rows, cols] = table, table.T
        if cells.levels is None:
            block = prefix.reshape(-1, k)
            np.fill_diagonal(out[rows, rows], block.sum(axis=0))
            prefix = block @ np.ones(k)
        else:
            np.fill_diagonal(out[rows, rows], np.bincount(cells.levels[j], totals, k))
    return out


def indicator_columns(cells: Cells) -> FloatArray:
    """Return the 0/1 columns of the cells, shape (C, width); for small problems and checks.

    Parameters
    ----------
    cells : Cells
        Rows grouped by level.
    """
    parts = []
    for j, k in enumerate(cells.shape):
        level = axis_levels(cells, j)
        parts.append((level[:, None] == np.arange(k)).astype(np.float64))
    return np.concatenate(parts, axis=1)


def axis_levels(cells: Cells, axis: int) -> IntArray:
    """Return the level of each cell on `axis`, shape (C,).

    Parameters
    ----------
    cells : Cells
        Rows grouped by level.
    axis : int
        Axis.
    """
    if cells.levels is not None:
        return cells.levels[axis]
    after = prod(cells.shape[axis + 1 :])
    return np.asarray(np.arange(cells.size) // after % cells.shape[axis], dtype=np.int64)


def _compose(axes: Sequence[tuple[AnyArray, int]]) -> AnyArray:
    kind = index_type(prod(k for _, k in axes))
    (first, _), *rest = axes
    code = first.astype(kind)
    for codes, k in rest:
        np.multiply(code, k, out=code)
        np.add(code, codes, out=code, casting="unsafe")
    return code


def index_type(size: int) -> type[np.signedinteger]:
    """Return the smallest type that holds `size` itself.

    Parameters
    ----------
    size : int
        Number of things to number.
    """
    for kind in (np.int16, np.int32):
        if size <= np.iinfo(kind).max:
            return kind
    return np.int64


def renumber(code: AnyArray, size: int) -> tuple[AnyArray, IntArray]:
    """Return codes numbered from 0 without gaps, and the old code of each new one.

    Parameters
    ----------
    code : numpy.ndarray of integers, shape (n,)
        Codes, 0 to ``size - 1``.
    size : int
        Number of codes that could occur.
    """
    if size > _LOOKUP_LIMIT:
        used, new = np.unique(code, return_inverse=True)
        return new.reshape(-1), used
    seen = np.zeros(size, bool)
    seen[code] = True
    used = np.flatnonzero(seen)
    lookup = np.zeros(size, np.int64)
    lookup[used] = np.arange(used.size)
    return lookup[code], used
