r"""What a sample must know of the rows that its cells stand for.

A row i contributes to every weighted total by its base weight d and d times its summed columns
v_1 to v_m, all else being equal within its cell. So its influence value is linear in m + 1 numbers,
and is known from m + 1 nodes j of its cell: :math:`z_i = \sum_j a_{ij} z_j` with
:math:`\sum_i a_{ij} = 1`.
"""

from dataclasses import dataclass

import numpy as np

from offroute._typing import FloatArray
from offroute.exceptions import NotIdentified


@dataclass(frozen=True)
class CellRows:
    """Rows summed up in C cells, each of which stands in the sample as K consecutive nodes.

    Attributes
    ----------
    averaged : tuple of str
        Columns that hold nodes, not values of rows: they may only be totalled.
    counts : numpy.ndarray of float64, shape (C,)
        Rows of each cell.
    scatter : numpy.ndarray of float64, shape (C, K, K)
        ``sum_i (a_i - abar)(a_i - abar)'`` over the rows of each cell, ``abar = 1 / rows``.
    """

    averaged: tuple[str, ...]
    counts: FloatArray
    scatter: FloatArray

    @property
    def nodes(self) -> int:
        """Number of nodes K of a cell."""
        return int(self.scatter.shape[1])


def sum_of_squares(values: FloatArray, cells: CellRows | None) -> float:
    """Return the sum of squares over rows of values, shape (n,), that are linear in the rows.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (n,)
        Values of the rows or, with `cells`, of their nodes: weights, weighted volumes.
    cells : CellRows or None
        What the rows of the sample stand for.

    Examples
    --------
    >>> sum_of_squares(np.array([1.0, 2.0]), None)
    5.0
    """
    if cells is None:
        return float(values @ values)
    z = values.reshape(-1, cells.nodes)
    within = np.einsum("cj,cjk,ck->", z, cells.scatter, z, optimize=True)
    return float(within + (z.sum(axis=1) ** 2 / cells.counts).sum())


def require_rows(cells: CellRows | None, what: str) -> None:
    """Refuse a sample of cells where the values of single rows are needed.

    Parameters
    ----------
    cells : CellRows or None
        What the rows of the sample stand for.
    what : str
        What needs rows.

    Raises
    ------
    NotIdentified
        If the sample was made from cells.
    """
    if cells is not None:
        raise NotIdentified(
            what,
            got=f"{cells.counts.size} cells that stand for {cells.counts.sum():g} rows",
            rule="it needs the values of single rows, which cells do not keep",
            next_step="Use expansion, calibrate, rake, soft_calibrate or poststratify, with infer "
            "or replicates of clusters; or read the rows with read_sample.",
        )
