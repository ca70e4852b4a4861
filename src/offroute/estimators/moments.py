"""Second moments of indicator and numeric columns, added up chunk by chunk."""

from dataclasses import dataclass

import numpy as np

from offroute._typing import AnyArray, FloatArray
from offroute.estimators.margins import Cells, margin_sums, two_way_tables


@dataclass(frozen=True)
class Moments:
    """Sums of ``s x x'``, whose indicator columns are kept by cell; `add` fills the arrays.

    Attributes
    ----------
    cell : numpy.ndarray of float64, shape (C,)
        Sums of s by cell.
    mixed : numpy.ndarray of float64, shape (q, C)
        Sums of s z by cell, z the numeric columns.
    square : numpy.ndarray of float64, shape (q, q)
        Sums of ``s z z'``.
    """

    cell: FloatArray
    mixed: FloatArray
    square: FloatArray

    @classmethod
    def zeros(cls, size: int, q: int) -> "Moments":
        """Start with nothing, for `size` cells and `q` numeric columns.

        Parameters
        ----------
        size, q : int
            Numbers of cells and of numeric columns.
        """
        return cls(np.zeros(size), np.zeros((q, size)), np.zeros((q, q)))

    def add(self, code: AnyArray, z: FloatArray, weights: FloatArray) -> None:
        """Add some rows.

        Parameters
        ----------
        code : numpy.ndarray of intp, shape (m,)
            Cell of each row.
        z : numpy.ndarray of float64, shape (q, m)
            Numeric columns.
        weights : numpy.ndarray of float64, shape (m,)
            Weights s.
        """
        size, scaled = self.cell.size, z * weights
        self.cell[:] += np.bincount(code, weights, size)
        for m, column in enumerate(scaled):
            self.mixed[m] += np.bincount(code, column, size)
        self.square[:] += scaled @ z.T

    def table(self, cells: Cells) -> FloatArray:
        """Return the sums over all columns, indicators first, shape (width + q, width + q).

        Parameters
        ----------
        cells : Cells
            The cells.
        """
        width, q = cells.width, self.square.shape[0]
        table = np.empty((width + q, width + q))
        table[:width, :width] = two_way_tables(cells, self.cell)
        if q:
            table[:width, width:] = margin_sums(cells, self.mixed).T
            table[width:, :width] = table[:width, width:].T
            table[width:, width:] = self.square
        return table
