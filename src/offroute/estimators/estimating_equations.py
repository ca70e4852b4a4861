"""Newton's method for ``sum_r x_r r_r(x_r' b) = 0`` and the influence of having solved it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.dual import solve_hessian
from offroute.estimators.regressors import Regressors
from offroute.exceptions import NotConverged

_MAX_STEPS = 100
# In standard errors of the fit, when r is a score.
_AIM = 1e-10
_SHORTEST_STEP = 1e-6
_NEGATIVE = -1e-10
_VANISHED = 1e-9
_ENOUGH = 1e-7
_SUBSAMPLE_FROM = 60_000
_STRIDE = 20

Equation = Callable[[FloatArray, slice], tuple[FloatArray, FloatArray, FloatArray]]
"""Linear predictors of some distinct rows to (r, -dr/deta, a positive stand-in for the latter)."""


@dataclass(frozen=True)
class Fit:
    """Solved estimating equations.

    Attributes
    ----------
    regressors : Regressors
        Columns x.
    coefficients : numpy.ndarray of float64, shape (p,)
        Solution b.
    predictor : numpy.ndarray of float64, shape (rows,)
        ``x_r' b``.
    information : numpy.ndarray of float64, shape (p, p)
        ``-d/db sum_r x_r r_r``, exact.
    """

    regressors: Regressors
    coefficients: FloatArray
    predictor: FloatArray
    information: FloatArray

    @property
    def on_sample(self) -> FloatArray:
        """Linear predictor of each sample row, shape (n,)."""
        return np.asarray(self.predictor[self.regressors.sample_row])

    @property
    def on_reference(self) -> FloatArray:
        """Linear predictor of each reference row, shape (m,)."""
        return np.asarray(self.predictor[self.regressors.reference_row])

    def effect(self, gradient: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``x_i' I^-1 D`` of sample rows (n, k) and reference rows (m, k).

        Times the row's r, it is what the row contributes through b to an estimate with derivative
        D, shape (p, k), in b.

        Parameters
        ----------
        gradient : numpy.ndarray of float64, shape (p, k)
            Derivative D.
        """
        row = self.regressors.predictor(np.linalg.pinv(self.information, hermitian=True) @ gradient)
        return row[self.regressors.sample_row], row[self.regressors.reference_row]


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
    before = stride * np.diag(small.gram(equation(small.predictor(start), _every(stride))[2]))
    if stride > 1:

        def _on_small(eta: FloatArray, rows: slice) -> tuple[FloatArray, FloatArray, FloatArray]:
            del rows
            return equation(eta, _every(stride))

        start = _newton(small, _on_small, start, aim=1e-2)[0]
    b, error, information = _newton(regressors, equation, start, aim=_AIM)
    if not error < _ENOUGH:
        raise NotConverged(
            name,
            got=f"a distance of {error:.2g} standard errors after {_MAX_STEPS} steps",
            rule="the estimating equations must have a solution",
            next_step="Drop or merge a regressor that separates sample and population.",
        )
    eta = regressors.predictor(b)
    if information is None:
        information = regressors.gram(equation(eta, slice(None))[1])
    if (np.abs(np.diag(information)) <= _VANISHED * before).any():
        raise NotConverged(
            name,
            got="an information that vanished on the way",
            rule="the estimating equations must have a solution at finite coefficients",
            next_step="Drop or merge a regressor that separates sample and population.",
        )
    return Fit(regressors, b, eta, information)


def _newton(
    x: Regressors, equation: Equation, b: FloatArray, *, aim: float
) -> tuple[FloatArray, float, FloatArray | None]:
    """Newton steps, halved until the gradient shrinks in the metric of the last information.

    Returns b, its distance from the solution in standard errors, and the exact information there
    if it is at hand.
    """
    rows = slice(None)
    r, s, t = equation(x.predictor(b), rows)
    gradient = x.cross(r[:, None])[:, 0]
    norm, exact, at_hand = np.inf, True, None
    for _ in range(_MAX_STEPS):
        information, observed = _positive(x, s, t) if exact else (x.gram(t), False)
        at_hand = information if observed else None
        step = solve_hessian(information, gradient)
        norm = max(float(gradient @ step), 0.0) ** 0.5
        if not norm > aim:
            break
        length, moved = 1.0, False
        while length > _SHORTEST_STEP and not moved:
            trial = b + length * step
            with np.errstate(all="ignore"):
                values = equation(x.predictor(trial), rows)
                new = x.cross(values[0][:, None])[:, 0]
            if np.isfinite(new).all():
                moved = float(new @ solve_hessian(information, new)) < norm**2
            length /= 2
        if moved:
            b, gradient, (r, s, t), exact = trial, new, values, True
        elif exact and t is not s:
            # The exact information misleads far from the solution: try the expected one.
            exact = False
        else:
            break
    return b, norm, at_hand


def _every(stride: int) -> slice:
    return slice(None) if stride == 1 else slice(None, None, stride)


def _positive(x: Regressors, s: FloatArray, t: FloatArray) -> tuple[FloatArray, bool]:
    """Return the exact information if it is positive, else the expected, and which it is."""
    exact = x.gram(s)
    if s is t:
        return exact, True
    scale = np.sqrt(np.abs(np.diag(exact)))
    scale[scale == 0] = 1.0
    smallest = np.linalg.eigvalsh(exact / scale[:, None] / scale)[0]
    return (exact, True) if smallest > _NEGATIVE else (x.gram(t), False)
