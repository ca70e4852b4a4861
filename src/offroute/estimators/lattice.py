r"""One Gaussian family that every market estimator is a corner of.

The multiplier of cell c (total tokens per panel token) is a link of a Gaussian coefficient, and a
benchmark is a noisy sum over the cells,

.. math::

   g_c = b_c F(\eta_c), \qquad \eta \sim N(m, K), \qquad
   y_i = \log\Big[\textstyle\sum_c A_{ic} (g_c - 1) + P_i\Big] + e_i, \qquad e \sim N(0, S),

with :math:`A_{ic}` the panel's part of the figure and :math:`P_i` what of it the figure contains
itself. K says how much coverage may differ between cells, S how far benchmarks are trusted:

====================================  ==========================================  ==============
estimator                             K                                           S
====================================  ==========================================  ==============
naive                                 one common coefficient                      any
coverage ratio                        unbounded between labs, none within         0 or given
post-stratification                   unbounded between strata, none within       0 or given
GREG, raking, bounded logit           :math:`1 / (d_c F'(\eta_c))`                0
calibration to uncertain benchmarks   the same                                    given
selection on covariates               low rank                                    given
evidence synthesis                    full                                        full
bias analysis                         full                                        no benchmarks
====================================  ==========================================  ==============

Not a corner, because aggregated tokens do not hold what it needs: unit-level propensity, doubly
robust and mass imputation (unit logs), Heckman selection (unit outcomes and an exclusion
restriction), nested logit (not identified from one channel), capture and recapture (a token passes
one gateway, so that the overlap is empty by construction).

Given draws of m and y, the mode solves :math:`\eta = m + K J' \alpha`,
:math:`S \alpha = y - h(\eta)`, by Gauss-Newton steps in Kriging form. With m and y drawn from prior
and error this is randomised maximum likelihood, exact where h is linear (Oliver, He and Reynolds
1996, doi:10.3997/2214-4609.201406884).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from offroute._typing import FloatArray, IntArray
from offroute.estimators.distances import Distance
from offroute.exceptions import InfeasibleMargins, NotConverged, NotIdentified

_TOLERANCE = 1e-6
_MAX_ITERATIONS = 300
#: A step may change the log of a benchmark by this much, and a coefficient by that much.
_MAX_CHANGE = 1.0
_MAX_STEP = 3.0
_HALVINGS = 20
#: A draw whose objective gains less in a step is done, as in the synthesis.
_LEAST_GAIN = 1e-6
#: Spread of an unbounded coefficient; its square is large against any error of a benchmark.
UNBOUNDED = 100.0


@dataclass(frozen=True)
class Evidence:
    """Benchmarks as sums over the cells.

    Attributes
    ----------
    ids : tuple of str, length n
        Names of the rows.
    y : ndarray, shape (n,)
        Log figures less their known offset.
    A : ndarray, shape (n, C)
        What the panel shows of each figure by cell, 0 or more.
    inside : ndarray, shape (n,)
        Part P of the panel's own volume that the figure contains.
    S : ndarray, shape (n, n)
        Covariance of the errors; zero for benchmarks taken as exact.
    """

    ids: tuple[str, ...]
    y: FloatArray
    A: FloatArray
    inside: FloatArray
    S: FloatArray

    def __len__(self) -> int:
        """Return the number of benchmarks."""
        return len(self.ids)


@dataclass(frozen=True)
class Corner:
    """A choice of K: how much coverage may differ between cells.

    Attributes
    ----------
    link : Distance
        F and its derivative.
    base : ndarray, shape (C,)
        Multiplier at a coefficient of zero over F(0).
    K : ndarray, shape (C, C), or None
        Prior covariance of the coefficients; None for that of a calibration distance.
    d : ndarray, shape (C,)
        Design volumes of a calibration distance, in any unit; only their ratios matter if S is 0.
    """

    link: Distance
    base: FloatArray
    K: FloatArray | None
    d: FloatArray


def odds() -> Distance:
    """Return the link of off-platform odds, ``F(u) = 1 + exp(u)``: never below the panel.

    Examples
    --------
    >>> odds().evaluate(np.array([0.0]))[0].tolist()
    [2.0]
    """

    def _evaluate(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        slope = np.exp(u)
        return 1.0 + slope, slope

    return Distance("odds", _evaluate, lower=1.0)


def multiplier(corner: Corner, eta: FloatArray) -> FloatArray:
    """Return the multipliers of the cells.

    Parameters
    ----------
    corner : Corner
        Link and base.
    eta : ndarray, shape (k, C)
        Coefficients.

    Returns
    -------
    ndarray, shape (k, C)
        Total tokens per panel token.
    """
    out: FloatArray = corner.base * corner.link.evaluate(eta.copy())[0]
    return out


def solve(
    evidence: Evidence, corner: Corner, *, y: FloatArray, m: FloatArray, S: FloatArray
) -> FloatArray:
    r"""Find the coefficients that prior and benchmarks agree on, draw by draw.

    Minimises :math:`\tfrac12 (\eta-m)'K^{-1}(\eta-m) + \tfrac12 r'S^{-1}r` with
    :math:`r = y - h(\eta)`; with S = 0 the first term under :math:`r = 0`. For a calibration
    distance the first term is :math:`\sum_c d_c G(F_c)`.

    Parameters
    ----------
    evidence : Evidence
        The benchmarks.
    corner : Corner
        Link and K.
    y : ndarray, shape (k, n)
        Log figures, one row per draw.
    m : ndarray, shape (k, C)
        Centre of the coefficients, one row per draw; unbounded ones need no draw.
    S : ndarray, shape (n, n)
        Covariance of the errors that the solution may leave.

    Returns
    -------
    ndarray, shape (k, C)
        Coefficients.

    Raises
    ------
    InfeasibleMargins
        If exact benchmarks repeat or contradict each other under K.
    NotConverged
        If no solution is found, which for exact benchmarks means that none exists.

    Examples
    --------
    Volumes of 10 and 30, a benchmark of 50 for the first with log sd .5, unit log sd on the
    multiplier: 5 ** (1 / 1.25).

    >>> from offroute.estimators.distances import raking
    >>> A = np.array([[10.0, 0.0]])
    >>> e = Evidence(("a",), np.log([50.0]), A, A.sum(axis=1), np.array([[0.25]]))
    >>> c = Corner(raking(), np.ones(2), np.eye(2), np.array([10.0, 30.0]))
    >>> eta = solve(e, c, y=e.y[None], m=np.zeros((1, 2)), S=e.S)
    >>> multiplier(c, eta).round(6).tolist()
    [[3.623898, 1.0]]
    """
    eta = m.copy()
    if not len(evidence):
        return eta
    _check_exact(evidence, corner, m[:1], S)
    search = corner.K is not None and bool(np.any(S))
    target = (evidence, corner, np.asarray(np.linalg.inv(S) if search else S))
    v, todo, worst = np.zeros_like(m), np.arange(len(m)), np.inf
    for _ in range(_MAX_ITERATIONS):
        now, centre = eta[todo], m[todo]
        h, J, JK = _linearise(evidence, corner, now)
        Sigma = JK @ J.transpose(0, 2, 1) + S
        r = y[todo] - h + (J @ (now - centre)[:, :, None])[:, :, 0]
        try:
            alpha = np.linalg.solve(Sigma, r[:, :, None])
        except np.linalg.LinAlgError:
            # At a bound of the link nothing moves any more.
            break
        step = centre + (alpha.transpose(0, 2, 1) @ JK)[:, 0] - now
        change = np.abs((J @ step[:, :, None])[:, :, 0]).max(axis=1)
        size = np.abs(step).max(axis=1)
        if not np.isfinite(size).all():
            break
        gain = np.full(len(todo), np.inf)
        damp = np.minimum(1.0, _MAX_CHANGE / np.maximum(change, 1e-300))
        if corner.link.name != "linear":
            damp = np.minimum(damp, _MAX_STEP / np.maximum(size, 1e-300))
        if search:
            v_step = (alpha.transpose(0, 2, 1) @ J)[:, 0] - v[todo]
            damp, gain = _line_search(
                target, (y[todo], now - centre, now, v[todo]), (step, v_step), damp
            )
            v[todo] += damp[:, None] * v_step
        eta[todo] += damp[:, None] * step
        relative = size / (1 + np.abs(eta[todo]).max(axis=1))
        worst = float(relative.max())
        todo = todo[(relative >= _TOLERANCE) & (gain >= _LEAST_GAIN)]
        if not len(todo):
            return eta
    raise NotConverged(
        f"lattice ({corner.link.name} link)",
        got=f"{len(todo)} of {len(m)} draws with a relative step up to {worst:.1e}",
        rule=f"it must fall below {_TOLERANCE:g} within {_MAX_ITERATIONS} iterations",
        next_step="Exact benchmarks may be out of reach of the link's bounds: give them an error.",
    )


def _line_search(
    target: tuple[Evidence, Corner, FloatArray],
    state: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    steps: tuple[FloatArray, FloatArray],
    damp: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Halve the step of each draw until its objective does not rise; v is K^-1 (eta - m).

    Returns the damping and by how much the objective falls.
    """
    evidence, corner, inverse = target
    y, away, eta, v = state
    step, v_step = steps

    def _objective(rows: IntArray, x: FloatArray) -> FloatArray:
        at = x[:, None]
        total = (corner.base * corner.link.evaluate(eta[rows] + at * step[rows])[0] - 1) @ (
            evidence.A.T
        ) + evidence.inside
        r = y[rows] - np.log(np.maximum(total, 1e-300))
        prior = ((away[rows] + at * step[rows]) * (v[rows] + at * v_step[rows])).sum(axis=1)
        out: FloatArray = 0.5 * (prior + ((r @ inverse) * r).sum(axis=1))
        return out

    rows, out = np.arange(len(eta)), damp.copy()
    start = _objective(rows, np.zeros(len(eta)))
    value = np.full(len(eta), np.inf)
    for _ in range(_HALVINGS):
        value[rows] = _objective(rows, out[rows])
        rows = rows[~(value[rows] <= start[rows] + 1e-12 * np.abs(start[rows]))]
        if not len(rows):
            break
        out[rows] *= 0.5
    else:
        # A draw that no step improves stays where it is.
        out[rows], value[rows] = 0.0, start[rows]
    return out, start - value


def _linearise(
    evidence: Evidence, corner: Corner, eta: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log figures (k, n), their derivative (k, n, C), and the derivative times K."""
    F, slope = corner.link.evaluate(eta.copy())
    total = (corner.base * F - 1) @ evidence.A.T + evidence.inside
    total = np.maximum(total, 1e-12 * np.abs(evidence.A).sum(axis=1) + 1e-300)
    J = evidence.A * (corner.base * slope)[:, None, :] / total[:, :, None]
    if corner.K is None:
        scale = corner.d.mean() / (corner.d * np.maximum(slope, 1e-300))
        return np.log(total), J, J * scale[:, None, :]
    return np.log(total), J, J @ corner.K


def _check_exact(evidence: Evidence, corner: Corner, m: FloatArray, S: FloatArray) -> None:
    """Refuse exact benchmarks that leave no solution, or one of them undetermined."""
    if np.any(S):
        return
    _, J, JK = _linearise(evidence, corner, m)
    Sigma = (JK @ J.transpose(0, 2, 1))[0]
    scale = np.sqrt(np.diag(Sigma))
    if scale.min() > 0 and np.linalg.matrix_rank(Sigma / np.outer(scale, scale)) == len(evidence):
        return
    raise InfeasibleMargins(
        "benchmarks",
        got=f"{len(evidence)} exact rows that K cannot meet one by one",
        rule="each exact benchmark must move cells that the others leave free",
        next_step="Keep one figure per lab or stratum, or give the figures an error.",
    )


def j_test(
    evidence: Evidence, corner: Corner, eta: FloatArray, *, rank: int
) -> tuple[float, int, float]:
    r"""Test over-identifying benchmarks: :math:`J = r' S^{-1} r \sim \chi^2_{n - p}`.

    Parameters
    ----------
    evidence : Evidence
        The benchmarks, S above zero.
    corner : Corner
        Link and base.
    eta : ndarray, shape (C,)
        Solution with p unbounded coefficients and nothing else.
    rank : int
        Number p of coefficients.

    Returns
    -------
    statistic : float
        J.
    df : int
        Degrees of freedom n - p.
    p_value : float
        Probability of a larger J if the covariates explain all of the selection.

    Raises
    ------
    NotIdentified
        If there are no more benchmarks than coefficients.

    Notes
    -----
    Hansen (1982), Econometrica 50, 1029-1054, doi:10.2307/1912775.
    """
    df = len(evidence) - rank
    if df < 1:
        raise NotIdentified(
            "over-identification test",
            got=f"{len(evidence)} benchmarks for {rank} coefficients",
            rule="it needs more benchmarks than coefficients",
            next_step="Add benchmarks or drop a covariate.",
        )
    total = evidence.A @ (multiplier(corner, eta[None])[0] - 1) + evidence.inside
    r = evidence.y - np.log(total)
    statistic = float(r @ np.linalg.solve(evidence.S, r))
    return statistic, df, float(chdtrc(df, statistic))
