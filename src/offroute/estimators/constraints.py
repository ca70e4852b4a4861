"""A target laid on a sample: which columns must sum to which totals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offroute._typing import AnyArray, BoolArray, FloatArray, IntArray
from offroute.estimators.edge import cell_name
from offroute.estimators.margins import (
    Cells,
    axis_levels,
    cell_totals,
    collapse,
    margin_sums,
    scores,
)
from offroute.estimators.point import Factor, Margin, Sample, Target
from offroute.estimators.pooled import Products, chunks, multiply_out
from offroute.exceptions import EmptyCell, InfeasibleMargins, InvalidValue

_SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Constraints:
    """Columns x of the calibration ``sum_i w_i x_i = T``, stored by cells and numeric factors.

    The full columns are the levels of every axis, then the moments; `free` picks those that
    are solved for (one level of every axis but the first is implied by the others).

    Attributes
    ----------
    cells : Cells
        Categorical part.
    moments : tuple of tuple of numpy.ndarray of float64, shape (n,)
        Numeric columns, each the product of its factors.
    free : numpy.ndarray of int64, shape (p,)
        Solved-for full columns.
    full_totals : numpy.ndarray of float64, shape (width + moments,)
        Totals of all full columns; missing (nan) where the target says nothing.
    full_names : tuple of str
        Their names.
    benchmark : numpy.ndarray of int64, shape (width + moments,)
        Position of each full column in ``Target.names``; -1 where there is none.
    weights : numpy.ndarray of float64, shape (n,)
        The sample's base weights.
    cell_weights : numpy.ndarray of float64, shape (C,)
        Their sum in each cell.
    """

    cells: Cells
    moments: Products
    free: IntArray
    full_totals: FloatArray
    full_names: tuple[str, ...]
    benchmark: IntArray
    weights: FloatArray
    cell_weights: FloatArray

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.cells.code.shape[0])

    @property
    def totals(self) -> FloatArray:
        """Totals of the free columns, shape (p,)."""
        return np.asarray(self.full_totals[self.free])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free columns."""
        return tuple(self.full_names[int(i)] for i in self.free)

    def full(self, values: FloatArray) -> FloatArray:
        """Place values of the free columns, shape (..., p), among all columns, 0 elsewhere.

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (..., p)
            Values of the free columns.
        """
        out = np.zeros((*values.shape[:-1], self.full_totals.size))
        out[..., self.free] = values
        return out

    def block(self, rows: slice) -> FloatArray:
        """Return the numeric columns of some rows, shape (moments, rows).

        Parameters
        ----------
        rows : slice
            Rows.
        """
        size = len(range(*rows.indices(self.n)))
        out = np.empty((len(self.moments), size))
        multiply_out(self.moments, rows, out)
        return out

    def linear_score(self, coefficients: FloatArray) -> FloatArray:
        """Return ``x_i' b`` for every row, shape (n, k), of coefficients, shape (p, k).

        Parameters
        ----------
        coefficients : numpy.ndarray of float64, shape (p, k)
            Coefficients b.
        """
        full = self.full(coefficients.T)
        width = self.cells.width
        out = np.ascontiguousarray(scores(self.cells, full[:, :width]).T)[self.cells.code]
        for rows in chunks(self.n) if self.moments else []:
            out[rows] += self.block(rows).T @ full[:, width:].T
        return np.asarray(out)

    def cross(self, values: FloatArray) -> FloatArray:
        """Return ``sum_i x_i v_i``, shape (p, k), of row values, shape (n, k).

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (n, k)
            Row values v.
        """
        width = self.cells.width
        out = np.zeros((self.full_totals.size, values.shape[1]))
        out[:width] = margin_sums(self.cells, cell_totals(self.cells, values.T)).T
        for rows in chunks(self.n) if self.moments else []:
            out[width:] += self.block(rows) @ values[rows]
        return np.asarray(out[self.free])

    def matrix(self) -> FloatArray:
        """Return the free columns as a dense (n, p) matrix; for small problems and checks."""
        return self.linear_score(np.eye(self.free.size))


def constrain(sample: Sample, target: Target, *, drop_implied: bool = True) -> Constraints:
    """Lay the totals of `target` on the columns of `sample`.

    Parameters
    ----------
    sample : Sample
        Logs.
    target : Target
        Totals.
    drop_implied : bool
        Leave out one level of every axis but the first, which the other totals imply. False keeps
        every benchmark, for soft calibration to benchmarks that may contradict each other.

    Returns
    -------
    Constraints
        The columns, totals and names.

    Raises
    ------
    InvalidValue
        If the target is empty, or a sampled level has no total.
    EmptyCell
        If a level with a positive total has no sampled weight.
    InfeasibleMargins
        If margins imply different population sizes (only when `drop_implied`).
    """
    if not target.names:
        raise InvalidValue(
            "target",
            got="no totals",
            rule="calibration needs at least one total",
            next_step="Build the target with make_target or target_from_reference.",
        )
    offset = 0 if target.size is None else 1
    axes: list[tuple[AnyArray, int]] = []
    totals: list[FloatArray] = []
    names: list[str] = []
    position: list[IntArray] = []
    if target.size is not None or not target.margins:
        axes.append((np.zeros(sample.n, np.int8), 1))
        totals.append(np.array([np.nan if target.size is None else target.size]))
        names.append("(size)")
        position.append(np.array([-1 if target.size is None else 0]))
    for margin in target.margins:
        codes, levels, where = _encode(sample, margin)
        axes.append((codes, len(levels)))
        totals.append(np.where(where >= 0, margin.totals[where], 0.0))
        names += [cell_name(margin.variables, level) for level in levels]
        position.append(np.where(where >= 0, where + offset, -1))
        offset += len(margin.levels)
    if target.size is not None and target.margins and drop_implied:
        _check_sizes(target)
        axes, totals, names, position = axes[1:], totals[1:], names[1:], position[1:]
    elif drop_implied:
        _check_sizes(target)
    cells = collapse(axes, sample.n)
    moments = tuple(tuple(sample.numeric(v) for v in m.variables) for m in target.moments)
    q = len(moments)
    cell_weights = cell_totals(cells, sample.weights)
    occupied = margin_sums(cells, cell_weights) > 0
    if drop_implied:
        totals = [t * (totals[0].sum() / t.sum()) for t in totals]
    full_totals = np.concatenate([*totals, [m.total for m in target.moments]])
    names += [":".join(m.variables) for m in target.moments]
    _check_occupied(names, full_totals, occupied)
    return Constraints(
        cells,
        moments,
        _free_columns(cells, occupied, full_totals, drop_implied=drop_implied),
        full_totals,
        tuple(names),
        np.concatenate([*position, np.arange(offset, offset + q)]).astype(np.int64),
        sample.weights,
        cell_weights,
    )


def _free_columns(
    cells: Cells, occupied: BoolArray, full_totals: FloatArray, *, drop_implied: bool
) -> IntArray:
    known = np.isfinite(full_totals)
    known[: cells.width] &= occupied
    start = 0
    for j, k in enumerate(cells.shape):
        used = np.flatnonzero(known[start : start + k])
        if j and drop_implied and used.size:
            known[start + used[0]] = False
        start += k
    return np.flatnonzero(known).astype(np.int64)


def _encode(sample: Sample, margin: Margin) -> tuple[AnyArray, list[tuple[str, ...]], IntArray]:
    """Return codes, levels that occur or have a total, and each level's place in the margin."""
    factors = [sample.factor(v) for v in margin.variables]
    codes, known = _cross(factors)
    place = {level: i for i, level in enumerate(margin.levels)}
    if len(place) < len(margin.levels):
        raise InvalidValue(
            ":".join(margin.variables),
            got=f"{len(margin.levels)} totals for {len(place)} levels",
            rule="a level has one total",
            next_step="Add up or remove the repeated levels.",
        )
    where = np.array([place.get(level, -1) for level in known], dtype=np.int64)
    if (where < 0).any():
        weight = np.bincount(codes, sample.weights, len(known))
        orphans = [known[i] for i in np.flatnonzero((where < 0) & (weight > 0))]
        if orphans:
            raise InvalidValue(
                ", ".join(cell_name(margin.variables, level) for level in orphans),
                got="sampled units without a population total",
                rule="every sampled level needs a total in its margin",
                next_step="Add the totals, merge the levels, or drop the rows.",
            )
    absent = [level for level in margin.levels if level not in set(known)]
    levels = [*known, *absent]
    return codes, levels, np.concatenate([where, [place[level] for level in absent]]).astype(int)


def _cross(factors: Sequence[Factor]) -> tuple[AnyArray, list[tuple[str, ...]]]:
    if len(factors) == 1:
        return factors[0].codes, [(level,) for level in factors[0].levels]
    grid = collapse([(f.codes, len(f.levels)) for f in factors], factors[0].codes.size)
    columns = [axis_levels(grid, j) for j in range(len(factors))]
    levels = [
        tuple(f.levels[int(c)] for f, c in zip(factors, cell, strict=True))
        for cell in zip(*columns, strict=True)
    ]
    return grid.code, levels


def _check_occupied(names: Sequence[str], totals: FloatArray, occupied: BoolArray) -> None:
    width = occupied.size
    empty = np.flatnonzero(~occupied & (totals[:width] > 0))
    if empty.size:
        raise EmptyCell(
            ", ".join(names[int(i)] for i in empty),
            got="a positive total without any sampled weight",
            rule="every population level needs sampled units",
            next_step="Merge the level with another in both sample and target.",
        )


def _check_sizes(target: Target) -> None:
    sizes = {":".join(m.variables): float(m.totals.sum()) for m in target.margins}
    if target.size is not None:
        sizes["(size)"] = target.size
    if sizes and max(sizes.values()) - min(sizes.values()) > _SUM_TOLERANCE * max(sizes.values()):
        low, high = min(sizes, key=lambda k: sizes[k]), max(sizes, key=lambda k: sizes[k])
        raise InfeasibleMargins(
            f"{low}, {high}",
            got=f"population sizes {sizes[low]:.12g} and {sizes[high]:.12g}",
            rule="all margins must add up to the same population size",
            next_step="Rescale one margin, or use soft_calibrate with a benchmark covariance.",
        )
