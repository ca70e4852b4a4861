"""Synthetic unit logs for the benchmarks; every peer gets the same data.

Five categorical covariates with 4, 6, 8, 10 and 12 levels (23,040 cells) that share a latent
normal, two continuous ones, log-normal base weights. Targets are totals under a true weight factor
in (0.25, 4), so they agree with each other and can be met. There are 40 constraints: the size, 35
levels, c1, c2, c1^2 and c1 c2.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

LEVELS = (4, 6, 8, 10, 12)
SEED = 20261123


@dataclass(frozen=True)
class Logs:
    """One synthetic log.

    Parameters
    ----------
    codes : numpy.ndarray of int8, shape (5, n)
        Levels of the covariates.
    c1, c2 : numpy.ndarray of float64, shape (n,)
        Continuous covariates.
    base : numpy.ndarray of float64, shape (n,)
        Base weights with mean 1.
    y : numpy.ndarray of float64, shape (n,)
        Binary outcome, logistic in the 40 columns.
    margins : tuple of numpy.ndarray of float64
        Totals of the levels of each covariate.
    moments : numpy.ndarray of float64, shape (4,)
        Totals of c1, c2, c1^2 and c1 c2.
    """

    codes: np.ndarray
    c1: np.ndarray
    c2: np.ndarray
    base: np.ndarray
    y: np.ndarray
    margins: tuple[np.ndarray, ...]
    moments: np.ndarray

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.base.size


def make_logs(n: int, *, seed: int = SEED) -> Logs:
    """Draw `n` rows; the population's parameters do not depend on `n`."""
    structure = np.random.default_rng(seed)
    shares = [structure.dirichlet(np.full(k, 4.0)) for k in LEVELS]
    effects = [structure.normal(0, 0.18, k) for k in LEVELS]
    slopes = structure.normal(0, 0.25, 40)
    rng = np.random.default_rng([seed, n])
    latent = rng.standard_normal(n)
    codes = np.empty((len(LEVELS), n), np.int8)
    for row, share in zip(codes, shares, strict=True):
        u = 0.45 * latent + np.sqrt(1 - 0.45**2) * rng.standard_normal(n)
        row[:] = np.searchsorted(ndtri(np.cumsum(share)[:-1]), u)
    c1 = 0.5 * latent + 0.866 * rng.standard_normal(n)
    c2 = (rng.gamma(4, size=n) - 4) / 2 + 0.2 * (codes[0] - 1.5)
    base = rng.lognormal(0, 1, n)
    base /= base.mean()
    score = 0.12 * c1 - 0.10 * c2
    for row, effect in zip(codes, effects, strict=True):
        score += effect[row]
    weights = base * np.clip(np.exp(score), 0.25, 4)
    weights *= n / weights.sum()
    continuous = np.stack([c1, c2, c1 * c1, c1 * c2])
    logit = -0.4 + 0.5 * slopes[36:] @ continuous
    first = 1
    for row, k in zip(codes, LEVELS, strict=True):
        logit += np.concatenate([[0.0], slopes[first : first + k - 1]])[row]
        first += k - 1
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float64)
    margins = tuple(np.bincount(row, weights, k) for row, k in zip(codes, LEVELS, strict=True))
    return Logs(codes, c1, c2, base, y, margins, continuous @ weights)


def dense_columns(logs: Logs) -> np.ndarray:
    """Return the 40 columns as a matrix, for peers that need one and for checks."""
    columns = [np.ones(logs.n)]
    for row, k in zip(logs.codes, LEVELS, strict=True):
        columns += [(row == level).astype(np.float64) for level in range(1, k)]
    return np.column_stack([*columns, logs.c1, logs.c2, logs.c1**2, logs.c1 * logs.c2])


def dense_totals(logs: Logs) -> np.ndarray:
    """Return the totals of `dense_columns`."""
    return np.concatenate([[float(logs.n)], *(m[1:] for m in logs.margins), logs.moments])
