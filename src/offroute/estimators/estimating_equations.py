"""Newton's method for ``sum_r x_r r_r(x_r' b) = 0`` and the influence of having solved it."""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.dual import solve_hessian
from offroute.estimators.regressors import Equation, Regressors, Sums, Tables
from offroute.exceptions import NotConverged

_MAX_STEPS = 100
# In standard errors of the fit when r is a score; times the root of the rows, as standard errors
# relative to what they belong to fall with it.
_AIM = 1e-11
_SHORTEST_STEP = 1e-6
_NEGATIVE = -1e-10
_VANISHED = 1e-9
_ENOUGH = 1e-7
# The information is kept once steps are this short, in standard errors, and contract this fast.
_CHORD_DISTANCE, _CHORD_CONTRACTION = 1.0, 0.05
# A last step is taken unseen if it should leave this much of the aim.
_SURE = 0.1
_SUBSAMPLE_FROM = 60_000
_STRIDE = 20


@dataclass(frozen=True)
class Fit:
    """Solved estimating equations.

    Attributes
    ----------
    regressors : Regressors
        Columns x.
    coefficients : numpy.ndarray of float64, shape (p,)
        Solution b.
    equation : callable
        What was solved.
    """

    regressors: Regressors
    coefficients: FloatArray
    equation: Equation

    @cached_property
    def information(self) -> FloatArray:
        """``-d/db sum_r x_r r_r``, exact, shape (p, p)."""
        return _both(self.regressors.accumulate(self.equation, self.coefficients)[1])[0]

    @property
    def predictor(self) -> FloatArray:
        """Linear predictor ``x_r' b`` of each distinct row, shape (rows,)."""
        return self.regressors.predictor(self.coefficients)

    @property
    def on_sample(self) -> FloatArray:
        """Linear predictor of each sample row, shape (n,)."""
        return self.regressors.predictor(self.coefficients, of=self.regressors.sample_row)

    @property
    def on_reference(self) -> FloatArray:
        """Linear predictor of each reference row, shape (m,)."""
        return self.regressors.predictor(self.coefficients, of=self.regressors.reference_row)

    def effect(self, gradient: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``x_i' I^-1 D`` of sample rows (n, k) and reference rows (m, k).

        Times the row's r, it is what the row contributes through b to an estimate with derivative
        D, shape (p, k), in b.

        Parameters
        ----------
        gradient : numpy.ndarray of float64, shape (p, k)
            Derivative D.
        """
        x, change = self.regressors, np.linalg.pinv(self.information, hermitian=True) @ gradient
        return x.predictor(change, of=x.sample_row), x.predictor(change, of=x.reference_row)


def solve_equations(
    regressors: Regressors, equation: Equation, start: FloatArray, *, name: str
) -> Fit:
    """Solve the estimating equations of a model.

    Parameters
    ----------
    regressors : Regressors
        Columns x.
    equation : callable
        Linear predictors and the slice of distinct rows they belong to, to (r, s, t): the row's
        contribution, ``s = -dr/deta`` and t >= 0 that replaces s where ``X' diag(s) X`` is not
        positive definite.
    start : numpy.ndarray of float64, shape (p,)
        First b.
    name : str
        Name of the model for the message.

    Returns
    -------
    Fit
        The solution, within 1e-7 of its own standard error or much closer.

    Raises
    ------
    NotConverged
        If there is no solution within reach, such as when a regressor separates the rows.
    """
    small, stride = regressors, 1
    if regressors.rows >= _SUBSAMPLE_FROM:
        small, stride = regressors.every(_STRIDE), _STRIDE
    some = partial(_strided, equation, stride)
    first = small.accumulate(some, start)
    before, nearby = stride * np.diag(_both(first[1])[1]), None
    if stride > 1:
        start, _, rough = _newton(small, some, start, first, aim=1e-2)
        nearby = stride * rough
        first = regressors.accumulate(equation, start, curvature=False)
    aim = _AIM * regressors.rows**0.5
    b, error, information = _newton(regressors, equation, start, first, aim=aim, nearby=nearby)
    if not error < _ENOUGH:
        raise NotConverged(
            name,
            got=f"a distance of {error:.2g} standard errors after {_MAX_STEPS} steps",
            rule="the estimating equations must have a solution",
            next_step="Drop or merge a regressor that separates sample and population.",
        )
    if (np.abs(np.diag(information)) <= _VANISHED * before).any():
        raise NotConverged(
            name,
            got="an information that vanished on the way",
            rule="the estimating equations must have a solution at finite coefficients",
            next_step="Drop or merge a regressor that separates sample and population.",
        )
    return Fit(regressors, b, equation)


def _strided(
    equation: Equation, stride: int, eta: FloatArray, rows: slice
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Evaluate the equation on every `stride`-th distinct row, of which `rows` are asked for."""
    return equation(eta, slice(rows.start * stride, rows.stop * stride, stride))


def _newton(
    x: Regressors,
    equation: Equation,
    b: FloatArray,
    first: Sums,
    *,
    aim: float,
    nearby: FloatArray | None = None,
) -> tuple[FloatArray, float, FloatArray]:
    """Newton steps, halved until the gradient shrinks in the metric of the last information.

    `first` are the sums at the first b, whose step may take an information from `nearby`. Steps
    that contract quickly keep theirs. Returns b, its distance from the solution in standard
    errors, and the last information.
    """
    gradient, tables = first
    information = _metric(tables, exact=True) if nearby is None else nearby
    norm, exact, quick = np.inf, True, False
    for _ in range(_MAX_STEPS):
        step = solve_hessian(information, gradient)
        before, norm = norm, max(float(gradient @ step), 0.0) ** 0.5
        if not norm > aim:
            break
        contracted = norm < _CHORD_CONTRACTION * before
        if tables is None and not contracted:
            # The information kept has grown too old.
            tables = x.accumulate(equation, b)[1]
            information = _metric(tables, exact=exact)
            step = solve_hessian(information, gradient)
        quick = contracted and exact and norm < _CHORD_DISTANCE
        if quick and np.isfinite(before) and norm * norm / before < _SURE * aim:
            # What is left after this step is known from how the last ones contracted.
            b, norm = b + step, norm * norm / before
            break
        moved, trial, new, new_tables = _walk(x, equation, b, (step, information), norm, not quick)
        if moved:
            b, gradient, tables, exact = trial, new, new_tables, True
            if tables is not None:
                information = _metric(tables, exact=True)
        elif tables is None:
            tables = x.accumulate(equation, b)[1]
            information = _metric(tables, exact=True)
        elif exact and tables[1] is not tables[0]:
            # The exact information misleads far from the solution: try the expected one.
            exact, information = False, tables[1]
        else:
            break
    return b, norm, information


def _walk(
    x: Regressors,
    equation: Equation,
    b: FloatArray,
    direction: tuple[FloatArray, FloatArray],
    norm: float,
    curvature: bool,
) -> tuple[bool, FloatArray, FloatArray, Tables | None]:
    """Halve a step until the gradient shrinks in the metric of `direction`'s information.

    Returns whether it does, and the last b tried with its sums.
    """
    step, information = direction
    length = 1.0
    while True:
        trial = b + length * step
        with np.errstate(all="ignore"):
            new, tables = x.accumulate(equation, trial, curvature=curvature)
        finite = bool(np.isfinite(new).all())
        if finite and float(new @ solve_hessian(information, new)) < norm**2:
            return True, trial, new, tables
        length /= 2
        if length <= _SHORTEST_STEP:
            return False, trial, new, tables


def _both(tables: Tables | None) -> Tables:
    assert tables is not None  # they were asked for
    return tables


def _metric(tables: Tables | None, *, exact: bool) -> FloatArray:
    """Return the exact information if it can be trusted, else the expected, which always can."""
    observed, expected = _both(tables)
    return observed if exact and _is_positive(observed, expected) else expected


def _is_positive(exact: FloatArray, expected: FloatArray) -> bool:
    """Whether the exact information can be trusted as a metric; the expected one always can."""
    if exact is expected:
        return True
    scale = np.sqrt(np.abs(np.diag(exact)))
    scale[scale == 0] = 1.0
    return bool(np.linalg.eigvalsh(exact / scale[:, None] / scale)[0] > _NEGATIVE)
