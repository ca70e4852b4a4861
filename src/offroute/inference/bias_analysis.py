"""Probabilistic bias analysis: many biases at once, each drawn from its prior."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from offroute._checks import check_probability
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference._arrays import as_draws, check_together, tails


@dataclass(frozen=True)
class BiasAnalysis:
    """Log ratio after subtracting draws of every bias.

    Attributes
    ----------
    names : tuple of str, length m
        The biases.
    draws : ndarray, shape (k,)
        Adjusted log ratio.
    median, low, high : float
        Its median and the ends of its interval.
    probability : float
        P(a leads) after adjustment.
    mean_shift : ndarray, shape (m,)
        Mean of each bias; the adjusted mean is the naive one less their sum.
    variance_share : ndarray, shape (m + 1,)
        Part of the adjusted variance that each bias, and last the naive ratio, contributes:
        its covariance with the adjusted ratio over that one's variance. Adds up to 1.
    """

    names: tuple[str, ...]
    draws: FloatArray
    median: float
    low: float
    high: float
    probability: float
    mean_shift: FloatArray
    variance_share: FloatArray


def bias_analysis(
    log_ratio: FloatArray, biases: Mapping[str, FloatArray], *, level: float = 0.9
) -> BiasAnalysis:
    r"""Subtract draws of several biases at once from a log ratio.

    .. math:: R_{adjusted} = R_{naive} - \sum_m \lambda_m

    Probabilistic (Monte Carlo) bias analysis, Greenland (2005), J. R. Statist. Soc. A 168, 267-306,
    doi:10.1111/j.1467-985X.2004.00349.x: biases multiply on the scale of volumes and add in logs.

    Parameters
    ----------
    log_ratio : ndarray, shape (k,)
        Draws of the naive log ratio (constant if the panel is a census of itself).
    biases : mapping of str to ndarray, shape (k,)
        Joint draws of each log bias, positive when it makes a look too large.
    level : float
        Coverage of the interval.

    Returns
    -------
    BiasAnalysis
        Adjusted draws, interval and decomposition.

    Raises
    ------
    InvalidValue
        If draws are missing or of different lengths, or no bias is given.
    NotIdentified
        If the adjusted ratio has no spread, so that its variance cannot be split.
    UsageError
        If `level` is not between 0 and 1.

    Notes
    -----
    Nothing here is identified by the panel: the answer is the prior of the biases. Draw correlated
    biases jointly; drawn apart they are taken as independent.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = bias_analysis(np.full(9_000, 0.3), {"bypass": rng.normal(1.2, 0.4, 9_000)})
    >>> bool(abs(found.median + 0.9) < 0.02), found.variance_share.round(6).tolist()
    (True, [1.0, 0.0])
    """
    level = check_probability(level, name="level")
    naive = as_draws(log_ratio, name="log_ratio")
    if not biases:
        raise InvalidValue(
            "biases", got="none", rule="at least one bias is needed", next_step="Name a mechanism."
        )
    parts = [as_draws(v, name=f"biases['{name}']") for name, v in biases.items()]
    check_together("log_ratio and biases", naive, *parts)
    adjusted = naive - np.sum(parts, axis=0)
    centred = adjusted - adjusted.mean()
    variance = float(centred @ centred)
    if variance <= 1e-20 * len(adjusted):
        raise NotIdentified(
            "biases",
            got="no spread in any of them",
            rule="a probabilistic bias analysis needs uncertain biases",
            next_step="Draw each bias from its prior.",
        )
    shares = [float(-(part - part.mean()) @ centred) / variance for part in parts]
    shares.append(float((naive - naive.mean()) @ centred) / variance)
    low, middle, high = np.quantile(adjusted, [tails(level)[0], 0.5, tails(level)[1]])
    return BiasAnalysis(
        names=tuple(biases),
        draws=adjusted,
        median=float(middle),
        low=float(low),
        high=float(high),
        probability=float((adjusted > 0).mean()),
        mean_shift=np.array([part.mean() for part in parts]),
        variance_share=np.array(shares),
    )
