"""Draws of the latent field, and what is read off them."""

from dataclasses import dataclass

import numpy as np

from offroute._typing import FloatArray, IntArray
from offroute.estimators.gaussian_system import Features, cell_volume
from offroute.estimators.prior import Prior
from offroute.exceptions import UnknownWeek


@dataclass(frozen=True)
class Draws:
    """Draws of the coefficients of the log off-platform volume (k draws).

    Attributes
    ----------
    base : ndarray, shape (k, U)
        Part of a unit that does not change in time, as a deviation from the prior mean.
    xi : ndarray, shape (k, C)
        Log split over the tiers of a unit, as a deviation from the panel's mix.
    beta : ndarray, shape (k, U)
        Pass-through of each unit.
    walk : ndarray, shape (k, U, W)
        Random walk of each unit in the weeks of `weeks`.
    weeks : ndarray of int, shape (W,)
        Weeks of the market in which the draws can be evaluated, sorted.
    hyper : ndarray, shape (k, 3)
        tau, omega and s_rw of each draw.
    error : ndarray, shape (k, n)
        Exact error y - off - h of each benchmark.
    common : ndarray, shape (k, 2)
        Part of the error that all figures about the US, and about China, share.
    state : ndarray of int, shape (k, F)
        State of each family: 0 usual, 1 in the tail of the biases, 2 unreliable.
    """

    base: FloatArray
    xi: FloatArray
    beta: FloatArray
    walk: FloatArray
    weeks: IntArray
    hyper: FloatArray
    error: FloatArray
    common: FloatArray
    state: IntArray


def off_platform(features: Features, prior: Prior, draws: Draws, week: int) -> FloatArray:
    """Off-platform volume of every cell in one week.

    Parameters
    ----------
    features : Features
        Design.
    prior : Prior
        The prior of the fit.
    draws : Draws
        Draws that can be evaluated in the week.
    week : int
        Index of the week.

    Returns
    -------
    ndarray, shape (k, C)
        Tokens a week.

    Raises
    ------
    UnknownWeek
        If the draws cannot be evaluated in the week.
    """
    found = np.flatnonzero(draws.weeks == week)
    if not len(found):
        raise UnknownWeek(
            "week",
            got=week,
            rule=f"the draws have {len(draws.weeks)} weeks, and this index is not one of them",
            next_step="Ask for the week when the posterior is drawn.",
        )
    d = int(found[0])
    G = features.mu[week] + draws.base + draws.walk[:, :, d]
    G += (draws.beta - prior.beta) * features.rise[week]
    return cell_volume(features, G, features.mix[week], draws.xi)


def effective_draws(x: FloatArray, ancestor: IntArray) -> float:
    r"""Effective number of draws that descend from common ancestors.

    .. math:: k_{eff} = k^2 s^2 / \sum_a \big(\sum_{i \in a} (x_i - \bar x)\big)^2

    Parameters
    ----------
    x : ndarray, shape (k,)
        A functional of the draws.
    ancestor : ndarray of int, shape (k,)
        Cluster of each draw.

    Returns
    -------
    float
        k over the design effect of the clusters, at most k.

    Examples
    --------
    >>> effective_draws(np.array([1.0, 1.0, 2.0, 2.0]), np.array([0, 0, 1, 1]))
    2.0
    """
    deviation = x - x.mean()
    between = (np.bincount(ancestor, deviation) ** 2).sum()
    if between == 0:
        return float(len(x))
    # Rounded, so that draws without a common ancestor count in full.
    return float(min(len(x), round(len(x) * (deviation @ deviation) / between, 6)))
