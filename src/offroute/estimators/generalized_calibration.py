"""Generalized calibration: instruments for selection that depends on the outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.calibrate import DistanceName, resolve_distance
from offroute.estimators.calibrated import add_benchmark_error
from offroute.estimators.constraints import constrain
from offroute.estimators.distances import Distance
from offroute.estimators.dual import TOLERANCE, total_scale
from offroute.estimators.estimands import Estimand, linearise, weighted_point
from offroute.estimators.point import Margin, Moment, PointEstimate, Sample, Target
from offroute.exceptions import InvalidValue, NotConverged, NotIdentified

_MAX_STEPS = 100
_AIM, _SINGULAR, _SHORTEST = 1e-13, 1e14, 1e-6


@dataclass(frozen=True)
class _System:
    """Estimating equations ``sum_i d_i F(z_i'l) x_i = T``."""

    x: FloatArray
    z: FloatArray
    totals: FloatArray
    scale: FloatArray
    distance: Distance


def generalized_calibrate(
    sample: Sample,
    target: Target,
    *,
    instruments: Mapping[str, str],
    estimands: Sequence[Estimand] | None = None,
    distance: DistanceName | Distance = "linear",
    bounds: tuple[float, float] | None = None,
) -> PointEstimate:
    """Calibrate totals of x with a weight factor that is a function of other columns z.

    ``w_i = d_i F(z_i' l)`` with l solving ``sum_i w_i x_i = T``. When inclusion depends on z, seen
    in the sample only (the outcome itself, say), and x is known in the population and predicts z,
    this removes a bias that `calibrate` on x cannot.
    Consistent when inclusion odds have the form ``1 / F(z' l)``; biased when they depend on more.
    Not identified when x and z are unrelated: the variance explodes as ``Z'D X`` nears singularity
    (its condition number is in `diagnostics`).

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    target : Target
        Totals of the calibration columns x.
    instruments : mapping of str to str
        Calibration column to the column that replaces it in z: numeric to numeric, or factor to
        factor with as many sampled levels. Columns not named stand for themselves.
    estimands : sequence of Estimand, optional
        Default: mean of each numeric outcome, share of each categorical one.
    distance : {"linear", "raking", "logit", "sinh"} or Distance
        F as in `calibrate`.
    bounds : (float, float), optional
        As in `calibrate`.

    Returns
    -------
    PointEstimate
        Values in the outcome's unit, shares as fractions of 1.
        Influence values ``w_i (u_i - x_i'B)``, ``B = (Z'D X)^-1 Z'D u``, D the diagonal of d F'.

    Raises
    ------
    InvalidValue
        If an instrument names no calibration column, or z has another number of columns than x.
    NotIdentified
        If ``Z'D X`` is singular.
    NotConverged
        If the equations have no solution within reach.

    References
    ----------
    Deville, J.-C. (2000). COMPSTAT Proceedings, 65-76. doi:10.1007/978-3-642-57678-2_6
    Kott, P. S. (2006). Survey Methodology 32, 133-142.

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> from offroute.estimators.point import make_target
    >>> logs = pd.DataFrame({"x": [1.0, 2, 3, 4], "y": [1.0, 3, 2, 6]})
    >>> s = read_sample(logs, outcomes=["y"], covariates=["x"])
    >>> t = make_target({"x": 12.0}, size=4)
    >>> float((generalized_calibrate(s, t, instruments={"x": "y"}).weights * s.columns["x"]).sum())
    12.0
    """
    constraints = constrain(sample, target)
    z = _instrument_columns(sample, target, instruments)
    x = constraints.matrix()
    if z.shape != x.shape:
        raise InvalidValue(
            "instruments",
            got=f"{z.shape[1]} instrument columns for {x.shape[1]} totals",
            rule="there must be as many instrument columns as totals",
            next_step="Replace a factor only by one with as many sampled levels.",
        )
    system = _System(
        x,
        z,
        constraints.totals,
        total_scale(constraints, sample.weights),
        resolve_distance(distance, bounds),
    )
    dual, g, slopes = _solve(system, sample.weights, np.zeros(x.shape[1]))
    lin = linearise(sample, estimands)
    omega = sample.weights * slopes
    cross = z.T @ (omega[:, None] * x)
    effects: list[FloatArray] = []

    def _residualise(u: FloatArray) -> FloatArray:
        effects.append(np.asarray(np.linalg.solve(cross, z.T @ (omega[:, None] * u)), np.float64))
        return np.asarray(u - x @ effects[0])

    point = weighted_point(
        lin,
        sample.weights * g,
        g_weights=g,
        design=sample.design,
        residualise=_residualise,
        diagnostics={
            "condition number of Z'DX": _condition(cross),
            "smallest g": float(g.min()),
            "largest g": float(g.max()),
        },
    )

    def _replicates(weights: FloatArray, totals: FloatArray | None = None) -> FloatArray:
        place = constraints.benchmark[constraints.free]
        out = []
        for r, w in enumerate(weights):
            one = system if totals is None else replace(system, totals=totals[r, place])
            out.append((w * _solve(one, w, dual)[1]) @ lin.columns)
        return lin.value(np.array(out))

    return replace(add_benchmark_error(point, constraints, target, effects), replicate=_replicates)


def _instrument_columns(
    sample: Sample, target: Target, instruments: Mapping[str, str]
) -> FloatArray:
    used = {v for m in target.margins for v in m.variables}
    used |= {v for m in target.moments for v in m.variables}
    unknown = sorted(set(instruments) - used)
    if unknown:
        raise InvalidValue(
            ", ".join(unknown),
            got=f"calibration columns {sorted(used)}",
            rule="each instrument replaces a calibration column",
            next_step="Name calibration columns as keys of `instruments`.",
        )
    margins = []
    for margin in target.margins:
        swapped = tuple(instruments.get(v, v) for v in margin.variables)
        if swapped == margin.variables:
            margins.append(margin)
            continue
        labels = [np.array(f.levels)[f.codes] for f in map(sample.factor, swapped)]
        levels = sorted(set(zip(*labels, strict=True)))
        # The instrument's totals are never used; equal ones keep the margins consistent.
        size = float(margin.totals.sum())
        totals = np.full(len(levels), size / len(levels))
        margins.append(Margin(swapped, tuple(tuple(map(str, lv)) for lv in levels), totals))
    moments = tuple(
        Moment(tuple(instruments.get(v, v) for v in m.variables), m.total) for m in target.moments
    )
    return constrain(sample, Target(target.size, tuple(margins), moments)).matrix()


def _solve(
    system: _System, base: FloatArray, start: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Newton's method with steps halved while the largest error grows."""
    dual = start
    g, slopes = system.distance.evaluate(system.z @ dual)
    error = _error(system, base * g)
    for _ in range(_MAX_STEPS):
        if error <= _AIM:
            break
        cross = system.x.T @ ((base * slopes)[:, None] * system.z)
        if _condition(cross) > _SINGULAR:
            raise NotIdentified(
                "instruments",
                got="a singular Z'DX",
                rule="calibration columns must predict the instruments",
                next_step="Drop an instrument that the calibration columns do not predict.",
            )
        step = np.linalg.solve(cross, system.totals - system.x.T @ (base * g))
        length = 1.0
        while length > _SHORTEST:
            new_g, new_slopes = system.distance.evaluate(system.z @ (dual + length * step))
            new = _error(system, base * new_g)
            if new < error:
                break
            length /= 2
        if not new < error:
            break
        dual, g, slopes, error = dual + length * step, new_g, new_slopes, new
    if error > TOLERANCE:
        raise NotConverged(
            "generalized calibration",
            got=f"a relative error of {error:.2g}",
            rule="every total must be met to 1e-10",
            next_step="Widen the bounds, use the linear distance, or use stronger predictors.",
        )
    return dual, g, slopes


def _error(system: _System, weights: FloatArray) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(system.x.T @ weights - system.totals) / system.scale
    return float(gap.max()) if np.isfinite(gap).all() else np.inf


def _condition(cross: FloatArray) -> float:
    rows = np.linalg.norm(cross, axis=1, keepdims=True)
    scaled = cross / np.where(rows > 0, rows, 1)
    columns = np.linalg.norm(scaled, axis=0)
    return float(np.linalg.cond(scaled / np.where(columns > 0, columns, 1)))
