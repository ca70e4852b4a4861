"""Rows of a sample and of a reference sample, one after the other, without a copy of either.

A number of bytes for every pooled row is what a large model would pay for; so columns stay where
the samples keep them and are read, and multiplied, a slice of the pooled rows at a time.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from offroute._typing import AnyArray, FloatArray
from offroute.estimators.margins import index_type, renumber
from offroute.estimators.point import Sample

CHUNK = 1 << 15

RowIndex = AnyArray | slice
"""Pooled (or distinct) rows of some rows: their numbers, or a slice where each is its own."""

Products = tuple[tuple[FloatArray, ...], ...]
"""Columns of one length, each the product of its factors."""


@dataclass(frozen=True)
class PooledColumns:
    """Numeric columns over pooled rows.

    Attributes
    ----------
    parts : tuple of (int, Products)
        First row and columns of every run of rows.
    shape : tuple of int
        Numbers of columns and of rows.
    """

    parts: tuple[tuple[int, Products], ...]
    shape: tuple[int, int]

    @classmethod
    def of_table(cls, table: FloatArray) -> "PooledColumns":
        """Wrap columns that exist, shape (q, rows).

        Parameters
        ----------
        table : numpy.ndarray of float64, shape (q, rows)
            The columns.
        """
        return cls(((0, tuple((column,) for column in table)),), (table.shape[0], table.shape[1]))

    def block(self, rows: slice) -> FloatArray:
        """Return the columns, multiplied out, of a slice of the rows.

        Parameters
        ----------
        rows : slice
            Rows, ascending.
        """
        out = np.empty((self.shape[0], _count(rows, self.shape[1])))
        for start, products in self.parts:
            if products:
                here, there = _meet(rows, start, products[0][0].size, self.shape[1])
                multiply_out(products, there, out[:, here])
        return out


def multiply_out(products: Products, rows: slice, out: FloatArray) -> None:
    """Write some rows of products of columns.

    Parameters
    ----------
    products : tuple of tuple of numpy.ndarray of float64, shape (n,)
        Columns, each the product of its factors.
    rows : slice
        Rows.
    out : numpy.ndarray of float64, shape (columns, rows)
        Receives them.
    """
    for column, (first, *others) in zip(out, products, strict=True):
        column[:] = first[rows]
        for factor in others:
            np.multiply(column, factor[rows], out=column)


def sums_by_row(of: RowIndex, values: FloatArray, size: int) -> FloatArray:
    """Add up values by row, shape (size,).

    Parameters
    ----------
    of : numpy.ndarray of integers, or slice
        Row of each value.
    values : numpy.ndarray of float64, shape (n,)
        Values.
    size : int
        Number of rows.
    """
    return sums_in_slices(of, values, size)(slice(None))


def sums_in_slices(of: RowIndex, values: FloatArray, size: int) -> Callable[[slice], FloatArray]:
    """Return `sums_by_row` as a function of slices of the rows, which lays out no more than one.

    Parameters
    ----------
    of : numpy.ndarray of integers, or slice
        Row of each value.
    values : numpy.ndarray of float64, shape (n,)
        Values.
    size : int
        Number of rows.
    """
    if isinstance(of, slice):
        return partial(_padded, values, of.start, size)
    return np.asarray(np.bincount(of, values, size), np.float64).__getitem__


def chunks(stop: int, *, start: int = 0, step: int = CHUNK) -> list[slice]:
    """Return slices of consecutive rows that fit the second-level cache.

    Parameters
    ----------
    stop, start : int
        Last row, exclusive, and first row.
    step : int
        Rows of a slice.
    """
    return [slice(i, min(i + step, stop)) for i in range(start, stop, step)]


def joint_codes(
    samples: Sequence[Sample], variables: tuple[str, ...]
) -> tuple[AnyArray, list[tuple[str, ...]]]:
    """Return codes over pooled rows on the levels that occur, and those levels.

    Parameters
    ----------
    samples : sequence of Sample
        Samples in the order of their rows.
    variables : tuple of str
        A factor, or several to cross.
    """
    sets = [sorted({k for s in samples for k in s.factor(v).levels}) for v in variables]
    shape = tuple(len(u) for u in sets)
    total = math.prod(shape)
    blocks = []
    for s in samples:
        flat: AnyArray = np.zeros(1, index_type(total))
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
        codes, used = renumber(flat, total)
        codes = codes.astype(index_type(used.size))
    index = np.unravel_index(used, shape)
    levels = [
        tuple(u[int(i)] for u, i in zip(sets, cell, strict=True))
        for cell in zip(*index, strict=True)
    ]
    return codes, levels


def _padded(values: FloatArray, start: int, size: int, rows: slice) -> FloatArray:
    here, there = _meet(rows, start, values.size, size)
    count = _count(rows, size)
    if here == slice(0, count):
        return values[there]
    out = np.zeros(count)
    out[here] = values[there]
    return out


def _meet(rows: slice, start: int, length: int, size: int) -> tuple[slice, slice]:
    """Return which of `rows` lie in the run of rows from `start`, and where in the run."""
    every = range(*rows.indices(size))
    first = min(max(0, -((every.start - start) // every.step)), len(every))
    stop = max(first, len(range(every.start, min(every.stop, start + length), every.step)))
    inside = every[first:stop]
    return slice(first, stop), slice(inside.start - start, inside.stop - start, every.step)


def _count(rows: slice, size: int) -> int:
    return len(range(*rows.indices(size)))


def _has_all(codes: AnyArray, levels: int) -> bool:
    """Whether every level occurs; the first rows often tell."""
    return any(np.bincount(some, minlength=levels).all() for some in (codes[:CHUNK], codes))
