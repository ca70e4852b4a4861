r"""Log-linear models of lists that overlap: accounts or apps, never tokens.

.. math:: \log E[x_h] = \theta_0 + \sum_{j \in h} \theta_j + \sum_{a \subseteq h} \theta_a, \qquad
   \hat N = n + e^{\hat\theta_0}
"""

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import gammaln
from scipy.stats import chi2

from offroute._checks import check_finite, check_probability
from offroute._typing import BoolArray, FloatArray
from offroute.estimators.overlap import PopulationSize
from offroute.exceptions import InvalidValue, NotConverged, NotIdentified, UsageError

_STEPS = 100
_TOLERANCE = 1e-10
_AXES = 2
#: Far beyond any mean count; only keeps the exponential finite where there is no maximum.
_FLATTEST = 300.0
#: Beyond this many times the units seen, an upper end is reported as infinite.
_FARTHEST = 1e6


def fit_poisson(counts: FloatArray, M: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    r"""Fit a log-linear model of counts by iteratively reweighted least squares.

    Parameters
    ----------
    counts : ndarray, shape (c,)
        Counts; they need not be whole.
    M : ndarray, shape (c, p)
        Design.

    Returns
    -------
    coefficients : ndarray, shape (p,)
        The maximum of the likelihood.
    covariance : ndarray, shape (p, p)
        Inverse of the information.
    deviance : float
        Of the fit.

    Raises
    ------
    NotConverged
        If a margin of the model is zero, so that no finite estimate exists.

    Examples
    --------
    >>> round(float(np.exp(fit_poisson(np.array([2.0, 4.0]), np.ones((2, 1)))[0][0])), 6)
    3.0
    """
    mean = counts + 0.5
    eta = np.log(mean)
    b: FloatArray = np.zeros(M.shape[1])
    for _ in range(_STEPS):
        root = np.sqrt(mean)[:, None]
        new: FloatArray = np.linalg.lstsq(
            M * root, (root[:, 0] * eta + (counts - mean) / root[:, 0])
        )[0].astype(np.float64)
        eta = M @ new
        mean = np.exp(np.clip(eta, -_FLATTEST, _FLATTEST))
        if np.abs(new - b).max() < _TOLERANCE * max(1.0, np.abs(new).max()):
            with np.errstate(divide="ignore", invalid="ignore"):
                terms = np.where(counts > 0, counts * np.log(counts / mean), 0.0)
            deviance = 2 * float((terms - counts + mean).sum())
            inverse = np.linalg.inv((M * mean[:, None]).T @ M)
            return new, np.asarray(inverse, dtype=np.float64), deviance
        b = new
    raise NotConverged(
        "log-linear model",
        got=f"largest coefficient {np.abs(b).max():.3g} after {_STEPS} steps",
        rule="every margin of the model must have a unit",
        next_step="Drop the interaction of lists that never meet.",
    )


def _design(histories: BoolArray, interactions: tuple[tuple[int, ...], ...]) -> FloatArray:
    terms = [histories[:, list(pair)].all(axis=1) for pair in interactions]
    columns = [np.ones(len(histories)), *histories.T, *terms]
    return np.column_stack(columns).astype(np.float64)


def loglinear(
    histories: BoolArray,
    counts: FloatArray,
    *,
    interactions: tuple[tuple[int, ...], ...] = (),
    level: float = 0.9,
) -> PopulationSize:
    r"""Estimate a population from t lists by a log-linear model with chosen dependences.

    .. math:: \log E[x_h] = \theta_0 + \sum_{j \in h} \theta_j + \sum_{a \subseteq h} \theta_a,
       \qquad \hat N = n + e^{\hat\theta_0}

    Parameters
    ----------
    histories : ndarray of bool, shape (c, t)
        Which lists the units of a row are on; each history once, the empty one left out. A history
        that is absent counts as zero units.
    counts : ndarray, shape (c,)
        Number of units.
    interactions : tuple of tuples of int
        Sets of lists that depend on each other, such as ``((0, 1),)``.
    level : float
        Coverage of the interval, of the profile likelihood of the multinomial.

    Returns
    -------
    PopulationSize
        Estimate with deviance and AIC, to compare models; an upper end that the data do not bound
        is inf.

    Raises
    ------
    InvalidValue
        If histories repeat, are empty, or counts are not whole.
    UsageError
        If an interaction names a list that does not exist, or all lists at once.
    NotIdentified
        If the model has more coefficients than histories.
    NotConverged
        If a margin of the model is empty.

    Notes
    -----
    Assumes that the interaction of all lists is zero, which no data can test. Fienberg (1972),
    doi:10.1093/biomet/59.3.591; interval of Cormack (1992), doi:10.2307/2532310.

    Examples
    --------
    >>> histories = np.array([[1, 1], [1, 0], [0, 1]], dtype=bool)
    >>> round(loglinear(histories, np.array([30.0, 170.0, 120.0])).estimate, 6)
    1000.0
    """
    level = check_probability(level, name="level")
    cells, x = _check_histories(histories, counts, interactions)
    M = _design(cells, interactions)
    b, V, deviance = fit_poisson(x, M)
    n, unseen = float(x.sum()), float(np.exp(b[0]))
    # The count of the unseen is Poisson given its mean, whose log has variance V[0, 0].
    variance = unseen + unseen**2 * V[0, 0]
    low, high = _profile_interval(x, cells, interactions, level)
    constant = float((gammaln(x + 1) - np.where(x > 0, x * np.log(np.maximum(x, 1)), 0) + x).sum())
    name = "log-linear" + "".join(
        f" [{''.join(str(j + 1) for j in term)}]" for term in interactions
    )
    return PopulationSize(
        name,
        n + unseen,
        float(np.sqrt(variance)),
        low,
        high,
        int(n),
        level,
        deviance,
        deviance + 2 * constant + 2 * M.shape[1],
    )


def _check_histories(
    histories: BoolArray, counts: FloatArray, interactions: tuple[tuple[int, ...], ...]
) -> tuple[BoolArray, FloatArray]:
    """Check and complete the table of capture histories."""
    h, x = np.asarray(histories), np.asarray(counts, dtype=np.float64)
    check_finite(x, name="counts", minimum=0)
    repeated = h.ndim == _AXES and len(np.unique(h, axis=0)) < len(h)
    if (
        h.dtype != bool
        or h.ndim != _AXES
        or len(h) != len(x)
        or repeated
        or not h.any(axis=1).all()
    ):
        raise InvalidValue(
            "histories",
            got=f"shape {h.shape} of {h.dtype} with {len(x)} counts",
            rule="must be bool, one row for each count, without repeats and without the empty one",
            next_step="Add up the counts of equal rows.",
        )
    if bool((x != np.round(x)).any()) or x.sum() == 0:
        raise InvalidValue(
            "counts",
            got=f"sum {x.sum():g}",
            rule="must be whole numbers of units, at least one",
            next_step="Volumes and shares cannot overlap; count accounts or apps.",
        )
    t = h.shape[1]
    wrong = [a for a in interactions if not (1 < len(set(a)) == len(a) and set(a) <= set(range(t)))]
    if wrong:
        raise UsageError(
            "interactions",
            got=wrong[0],
            rule=f"each must name two or more different lists of 0 to {t - 1}",
            next_step="Write ((0, 1),) for a dependence of the first two lists.",
        )
    if any(len(a) == t for a in interactions):
        raise NotIdentified(
            "interactions",
            got=f"a dependence of all {t} lists",
            rule="no unit is on none of the lists, so that this one is assumed to be zero",
            next_step="For two lists use dependence_dial.",
        )
    if 1 + t + len(interactions) > 2**t - 1:
        raise NotIdentified(
            "interactions",
            got=f"{1 + t + len(interactions)} coefficients and {2**t - 1} histories",
            rule="there must not be more coefficients than histories",
            next_step="Drop an interaction.",
        )
    grid = np.array([[code >> j & 1 for j in range(t)] for code in range(1, 2**t)], dtype=bool)
    known = {tuple(row): value for row, value in zip(h, x, strict=True)}
    return grid, np.array([known.get(tuple(row), 0.0) for row in grid])


def _profile_interval(
    x: FloatArray, cells: BoolArray, interactions: tuple[tuple[int, ...], ...], level: float
) -> tuple[float, float]:
    """Find the ends of the profile likelihood of N under multinomial sampling."""
    M = _design(np.vstack([np.zeros((1, cells.shape[1]), dtype=bool), cells]), interactions)
    n = float(x.sum())

    def _log_profile(unseen: float) -> float:
        total = n + unseen
        _, _, deviance = fit_poisson(np.append(unseen, x), M)
        full = np.append(unseen, x)
        terms = np.where(full > 0, full * np.log(np.maximum(full, 1e-300) / total), 0.0)
        value = gammaln(total + 1) - gammaln(unseen + 1) + terms.sum() - 0.5 * deviance
        return float(value)

    # The profile has one maximum: a grid on the log scale finds its neighbourhood.
    grid = np.append(0.0, n * np.geomspace(1e-3, _FARTHEST, 60))
    best = int(np.argmax([_log_profile(u) for u in grid]))
    ends = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(lambda u: -_log_profile(u), bounds=ends, method="bounded")
    peak, top = float(found.x), -float(found.fun)
    drop = top - 0.5 * float(chi2.ppf(level, 1))

    def _gap(unseen: float) -> float:
        return _log_profile(unseen) - drop

    low = 0.0 if _gap(0.0) >= 0 else float(brentq(_gap, 0.0, peak, xtol=1e-8 * n))
    end = float(grid[-1])
    high = np.inf if _gap(end) >= 0 else float(brentq(_gap, peak, end, xtol=1e-8 * n))
    return n + low, n + high
