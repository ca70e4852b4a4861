"""What every market estimator returns: draws of total volume, never below the panel's."""

from dataclasses import dataclass

import numpy as np

from offroute._typing import FloatArray, IntArray
from offroute.estimators.field import off_platform
from offroute.estimators.synthesis import Posterior
from offroute.measurement.market import Market


@dataclass(frozen=True)
class CoverageDraws:
    """What every market estimator returns: draws of total volume, never below the panel's.

    Attributes
    ----------
    estimator : str
        Name of the preset.
    market : Market
        The panel.
    population : str
        The population.
    weeks : ndarray of int, shape (W,)
        Weeks of the market, sorted.
    Y : ndarray, shape (k, W, C)
        Tokens a week; a point estimate has one draw.
    last : int
        Index of the week of the last benchmark used; 0 without any.
    used : tuple of str
        Rows used.
    over_identification : tuple of (float, int, float), or None
        J, its degrees of freedom and its p-value, for selection on covariates.
    """

    estimator: str
    market: Market
    population: str
    weeks: IntArray
    Y: FloatArray
    last: int
    used: tuple[str, ...]
    over_identification: tuple[float, int, float] | None = None

    @property
    def log_multiplier(self) -> FloatArray:
        """Log of total over panel tokens, 0 or more, shape (k, W, C); infinite off the panel."""
        X = self.market.X[self.weeks]
        with np.errstate(divide="ignore", invalid="ignore"):
            out: FloatArray = np.log(self.Y / X)
        return np.where(self.Y > 0, out, 0.0)


def coverage_draws(posterior: Posterior, *, estimator: str = "evidence synthesis") -> CoverageDraws:
    """Return the posterior of the synthesis in the form that all estimators share.

    Parameters
    ----------
    posterior : Posterior
        Result of `offroute.estimators.synthesis.synthesise`.
    estimator : str
        Name to give it.

    Returns
    -------
    CoverageDraws
        In the weeks that the posterior can be evaluated in.
    """
    p, b = posterior, posterior.benchmarks
    Y = np.empty((len(p.draws.base), len(p.draws.weeks), len(p.market.labs)))
    for j, week in enumerate(p.draws.weeks):
        Y[:, j] = p.market.X[week] + off_platform(p.features, p.prior, p.draws, int(week))
    last = int(b.week.max()) if len(b) else 0
    return CoverageDraws(estimator, p.market, b.population, p.draws.weeks, Y, last, b.ids)
