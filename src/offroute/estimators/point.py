"""The seam of the unit-log estimators: sample and target in, point estimate out.

An estimator is a function ``(sample, target, *, estimands, ...) -> PointEstimate``; options are
bound with `functools.partial`. `offroute.inference` reads influence values, designs and
replicate functions from the result and knows no estimator.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from offroute._typing import AnyArray, FloatArray, IntArray
from offroute.estimators.cell_rows import CellRows, require_rows
from offroute.estimators.edge import cell_name, check_weights, level_name
from offroute.exceptions import InvalidValue, SchemaError

TermKey = str | tuple[str, ...]


@dataclass(frozen=True)
class Factor:
    """A categorical column.

    Attributes
    ----------
    codes : numpy.ndarray of integers, shape (n,)
        Level of each row, 0 to ``len(levels) - 1``, in the smallest signed integer type.
    levels : tuple of str
        Names of the levels.
    """

    codes: AnyArray
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Design:
    """How the rows were drawn; the unit of resampling and of the variance is the cluster.

    Attributes
    ----------
    n : int
        Number of rows.
    strata, clusters : numpy.ndarray of int64, shape (n,), or None
        Codes from 0. Clusters are nested in strata: the same code in two strata is two clusters.
        None is one stratum, or every row its own cluster.
    population_clusters : numpy.ndarray of float64, shape (n,), or None
        Number of clusters in the population of the row's stratum (finite population correction
        of the first stage). None is sampling with replacement.
    inclusion : numpy.ndarray of float64, shape (n,), or None
        Probability with which each row entered on its own (Poisson sampling); only without strata
        and clusters. Volunteers enter so under a propensity model.
    cells : CellRows or None
        What the rows stand for when the sample was made from cells; None is themselves.
    """

    n: int
    strata: IntArray | None = None
    clusters: IntArray | None = None
    population_clusters: FloatArray | None = None
    inclusion: FloatArray | None = None
    cells: CellRows | None = None


@dataclass(frozen=True)
class Sample:
    """Unit-level logs, checked once; made by `offroute.estimators.intake.read_sample`.

    Attributes
    ----------
    columns : mapping of str to Factor or numpy.ndarray of float64, shape (n,)
        Every column that an estimand, a margin or a model may name.
    weights : numpy.ndarray of float64, shape (n,)
        Base weights: non-negative, finite, positive sum.
    design : Design
        Strata, clusters and finite population correction.
    outcomes : tuple of str
        Columns whose mean (numeric) or share (categorical) is estimated by default.
    covariates : tuple of str
        Columns that a model uses when none are named.
    volume : numpy.ndarray of float64, shape (n,), or None
        Volume of each row in the caller's unit (tokens, requests, dollars); None is 1 a row.
    """

    columns: Mapping[str, "Factor | FloatArray"]
    weights: FloatArray
    design: Design
    outcomes: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    volume: FloatArray | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.weights.shape[0])

    def numeric(self, name: str, *, totalled: bool = False) -> FloatArray:
        """Return the numeric column `name`, shape (n,).

        Parameters
        ----------
        name : str
            Numeric column.
        totalled : bool
            The caller only adds the column up under weights, so that nodes of cells will do.

        Raises
        ------
        SchemaError
            If there is no such column or it is categorical.
        NotIdentified
            If values of rows are needed, and the sample has cells instead.
        """
        column = self._column(name)
        cells = self.design.cells
        if not totalled and cells is not None and name in cells.averaged:
            require_rows(cells, name)
        if isinstance(column, Factor):
            raise SchemaError(
                name,
                got="a categorical column",
                rule="a numeric column is needed here",
                next_step="Name a numeric column, or give totals by level.",
            )
        return column

    def factor(self, name: str) -> Factor:
        """Return column `name` as a factor; a numeric column gets one level per value.

        Parameters
        ----------
        name : str
            Column.

        Raises
        ------
        SchemaError
            If there is no such column.
        """
        column = self._column(name)
        if isinstance(column, Factor):
            return column
        column = self.numeric(name)
        values, codes = np.unique(column, return_inverse=True)
        return Factor(_shrink(codes, values.size), tuple(level_name(v) for v in values))

    def with_weights(self, weights: FloatArray) -> "Sample":
        """Return the same sample under other base weights, shape (n,).

        Parameters
        ----------
        weights : numpy.ndarray of float64, shape (n,)
            Other base weights.
        """
        return replace(self, weights=check_weights(weights, n=self.n))

    def _column(self, name: str) -> "Factor | FloatArray":
        if name not in self.columns:
            raise SchemaError(
                name,
                got=f"columns {sorted(self.columns)}",
                rule="the column must be in the sample",
                next_step="Name it in `outcomes` or `covariates` of read_sample.",
            )
        return self.columns[name]


@dataclass(frozen=True)
class Margin:
    """Population totals of the levels of one factor or of several crossed factors.

    Attributes
    ----------
    variables : tuple of str
        Crossed columns.
    levels : tuple of tuple of str
        One entry per cell of the cross, a level per variable.
    totals : numpy.ndarray of float64, shape (len(levels),)
        Population total of the weights in each cell.
    """

    variables: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    totals: FloatArray


@dataclass(frozen=True)
class Moment:
    """Population total of the product of one or more numeric columns."""

    variables: tuple[str, ...]
    total: float


@dataclass(frozen=True)
class Target:
    """What is known of the population; made by `make_target` or `target_from_reference`.

    Attributes
    ----------
    size : float or None
        Number of units in the population.
    margins : tuple of Margin
        Categorical totals.
    moments : tuple of Moment
        Numeric totals.
    covariance : numpy.ndarray of float64, shape (q, q), or None
        Covariance of the benchmarks' own error in the order of `names`; None is known exactly.
    reference : Sample or None
        A probability sample of the population with its own weights and design.
    """

    size: float | None = None
    margins: tuple[Margin, ...] = ()
    moments: tuple[Moment, ...] = ()
    covariance: FloatArray | None = None
    reference: Sample | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the q benchmarks: size, then levels of margins, then moments."""
        names = [] if self.size is None else ["(size)"]
        for margin in self.margins:
            names += [cell_name(margin.variables, level) for level in margin.levels]
        return (*names, *(":".join(m.variables) for m in self.moments))

    @property
    def totals(self) -> FloatArray:
        """Values of the q benchmarks in the order of `names`."""
        size = [] if self.size is None else [self.size]
        parts = [m.totals for m in self.margins]
        return np.concatenate([size, *parts, [m.total for m in self.moments]])

    def with_totals(self, totals: FloatArray) -> "Target":
        """Return the same target with other benchmarks, shape (q,), in the order of `names`.

        Parameters
        ----------
        totals : numpy.ndarray of float64, shape (q,)
            Benchmarks in the order of `names`.
        """
        left = iter(totals.tolist())
        size = None if self.size is None else next(left)
        margins = tuple(
            replace(m, totals=np.array([next(left) for _ in m.levels])) for m in self.margins
        )
        moments = tuple(replace(m, total=next(left)) for m in self.moments)
        return replace(self, size=size, margins=margins, moments=moments)


@dataclass(frozen=True)
class PointEstimate:
    """What an estimator returns.

    Attributes
    ----------
    values : numpy.ndarray of float64, shape (k,)
        Estimates.
    names : tuple of str, length k
        Names of the estimands.
    weights, g_weights : numpy.ndarray of float64, shape (n,)
        Final weights, and final over base weights.
    influence : numpy.ndarray of float64, shape (n, k)
        Contributions z with variance of the estimate = design variance of ``sum_i z_i``: they
        contain the weight and the effect of having estimated it.
    design : Design
        Design of the sample rows.
    diagnostics : mapping of str to float
        Numbers an estimator reports about its own fit.
    external_covariance : numpy.ndarray of float64, shape (k, k), or None
        Covariance that the benchmarks' error adds to the estimates.
    reference_influence : numpy.ndarray of float64, shape (m, k), or None
        Contributions of the rows of a reference sample.
    reference_design : Design or None
        Design of the reference rows.
    replicate : callable or None
        ``(weights, totals)`` to estimates, shape (b, k): the whole estimator repeated under
        replicate base weights, shape (b, n), and benchmarks, shape (b, q) in the order of
        ``Target.names``, or None for the target's own. None when there is no batched form:
        `offroute.inference` then calls the estimator again.
    """

    values: FloatArray
    names: tuple[str, ...]
    weights: FloatArray
    g_weights: FloatArray
    influence: FloatArray
    design: Design
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    external_covariance: FloatArray | None = None
    reference_influence: FloatArray | None = None
    reference_design: Design | None = None
    replicate: Callable[[FloatArray, FloatArray | None], FloatArray] | None = None


Estimator = Callable[[Sample, Target], PointEstimate]


def make_target(
    totals: Mapping[TermKey, float | Mapping[object, float]],
    *,
    size: float | None = None,
    covariance: AnyArray | None = None,
    reference: Sample | None = None,
) -> Target:
    """Build a target from population totals.

    Parameters
    ----------
    totals : mapping
        ``{"stype": {"E": 4421, ...}}`` is a categorical margin, ``{("stype", "wide"): {("E",
        "No"): ...}}`` a crossed one, ``{"tokens": 3.9e6}`` the total of a numeric column and
        ``{("age", "age"): ...}`` that of a product. Unit: number of population units, or that
        times the column's unit.
    size : float, optional
        Number of population units; implied by any categorical margin.
    covariance : array_like, shape (q, q), optional
        Covariance of the benchmarks' error in the order of ``Target.names``.
    reference : Sample, optional
        Reference sample, for estimators that use its rows.

    Returns
    -------
    Target
        The checked target.

    Raises
    ------
    InvalidValue
        If a total is not finite, a level's total is negative, or the covariance is not a
        symmetric positive semi-definite matrix of the right shape.

    Examples
    --------
    >>> make_target({"origin": {"US": 60, "CN": 40}}, size=100).names
    ('(size)', 'origin[US]', 'origin[CN]')
    """
    margins, moments = [], []
    for key, value in totals.items():
        variables = (key,) if isinstance(key, str) else tuple(key)
        if isinstance(value, Mapping):
            levels = tuple(
                tuple(level_name(v) for v in (k if isinstance(k, tuple) else (k,))) for k in value
            )
            margins.append(Margin(variables, levels, np.array([*value.values()], np.float64)))
        else:
            moments.append(Moment(variables, float(value)))
    target = Target(size, tuple(margins), tuple(moments), None, reference)
    bad = [n for n, t in zip(target.names, target.totals, strict=True) if not np.isfinite(t)]
    bad += [
        cell_name(m.variables, level)
        for m in target.margins
        for level, t in zip(m.levels, m.totals, strict=True)
        if t < 0
    ]
    empty = [":".join(m.variables) for m in margins if not m.totals.sum() > 0]
    if bad or empty or (size is not None and size <= 0):
        raise InvalidValue(
            ", ".join(bad or empty) or "size",
            got="a negative, missing or infinite total" if bad else "a population of size 0",
            rule="population totals must be finite and counts non-negative, with a positive sum",
            next_step="Correct the totals.",
        )
    if covariance is None:
        return target
    return replace(target, covariance=_check_covariance(covariance, len(target.names)))


def _check_covariance(covariance: AnyArray, q: int) -> FloatArray:
    v = np.asarray(covariance, dtype=np.float64)
    shape_ok = v.shape == (q, q) and bool(np.isfinite(v).all())
    scale = float(np.abs(v).max()) if shape_ok and q else 0.0
    if (
        not shape_ok
        or np.abs(v - v.T).max(initial=0.0) > 1e-9 * scale
        or (q and float(np.linalg.eigvalsh(v)[0]) < -1e-9 * scale)
    ):
        raise InvalidValue(
            "covariance",
            got=f"shape {v.shape}",
            rule=f"it must be a symmetric positive semi-definite {q} x {q} matrix",
            next_step="Order its rows as Target.names.",
        )
    return (v + v.T) / 2


def _shrink(codes: AnyArray, size: int) -> AnyArray:
    for kind in (np.int8, np.int16, np.int32):
        if size <= np.iinfo(kind).max:
            return np.ascontiguousarray(codes, dtype=kind)
    return np.ascontiguousarray(codes, dtype=np.int64)
