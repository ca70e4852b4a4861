r"""Users and places (C2): another mix of segments, with shares by segment or with margins only.

With the mix of the panel :math:`r_s`, that of the population :math:`w_s` and the Chinese share
within a segment :math:`\theta_s`, the panel shows :math:`\theta = \sum_s r_s \theta_s` and the
population has :math:`\sum_s w_s \theta_s`. Where :math:`\theta_s` is published, this is
post-stratification. Where only the margins are, every split that gives :math:`\theta` is possible:
the ecological limit.
"""

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from offroute._checks import check_finite
from offroute._random import RngLike, resolve_rng
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_TOLERANCE = 1e-6


def poststratify_share(
    share: "ArrayLike",
    share_sd: "ArrayLike",
    mix: "ArrayLike",
    mix_sd: "ArrayLike",
    *,
    n_draws: int = 4000,
    rng: RngLike = None,
) -> FloatArray:
    r"""Draw the share of a population with another mix of segments.

    .. math:: \theta = \sum_s w_s \theta_s / \sum_s w_s

    Parameters
    ----------
    share, share_sd : array_like, shape (S,)
        Share within each segment, between 0 and 1, and the sd of its log odds.
    mix, mix_sd : array_like, shape (S,)
        Size of each segment in the population, above 0, and the sd of its log.
    n_draws : int
        Number of draws.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    ndarray, shape (n_draws,)
        The share; errors of segments are independent.

    Raises
    ------
    InvalidValue
        If a share is outside (0, 1), a size is not above 0, an sd is negative, shapes differ or no
        draw is asked for.

    Examples
    --------
    >>> float(poststratify_share([0.6, 0.1], [0, 0], [1, 3], [0, 0], n_draws=1)[0].round(6))
    0.225
    """
    theta, size = (np.asarray(x, dtype=np.float64) for x in (share, mix))
    sds = [np.asarray(x, dtype=np.float64) for x in (share_sd, mix_sd)]
    _check_fraction(theta, name="share")
    check_finite(size, name="mix", minimum=0, strict=True)
    for name, sd in zip(("share_sd", "mix_sd"), sds, strict=True):
        check_finite(sd, name=name, minimum=0)
    shapes = {x.shape for x in (theta, size, *sds)}
    if len(shapes) > 1 or theta.ndim != 1 or n_draws < 1:
        raise InvalidValue(
            "share, share_sd, mix, mix_sd",
            got=f"shapes {[x.shape for x in (theta, size, *sds)]}, {n_draws} draws",
            rule="must all be (S,), with at least one draw",
            next_step="Give one value for each segment.",
        )
    generator = resolve_rng(rng)
    noise = generator.standard_normal((2, n_draws, len(theta)))
    inside = expit(logit(theta) + sds[0] * noise[0])
    weight = size * np.exp(sds[1] * noise[1])
    out: FloatArray = (inside * weight).sum(axis=1) / weight.sum(axis=1)
    return out


def margin_bounds(
    share: float, panel_mix: "ArrayLike", target_mix: "ArrayLike"
) -> tuple[float, float]:
    r"""Bound the share of a population whose mix of segments differs from the panel's.

    .. math:: \min, \max \sum_s w_s \theta_s \quad \text{subject to} \quad
       \sum_s r_s \theta_s = \theta, \; 0 \le \theta_s \le 1

    Solved exactly: segments are filled in the order of :math:`w_s / r_s`. With one segment as the
    target it is Duncan and Davis (1953), doi:10.2307/2088122.

    Parameters
    ----------
    share : float
        Share on the panel.
    panel_mix, target_mix : array_like, shape (S,)
        Part of each segment in the panel and in the population; both add up to 1.

    Returns
    -------
    tuple of float
        Sharp bounds; a segment of the population that the panel lacks is free.

    Raises
    ------
    InvalidValue
        If a mix is negative or does not add up to 1, or the share is outside (0, 1).

    Examples
    --------
    >>> [round(x, 6) for x in margin_bounds(0.46, [0.8, 0.2], [1.0, 0.0])]
    [0.325, 0.575]
    """
    r, w = (np.asarray(x, dtype=np.float64) for x in (panel_mix, target_mix))
    _check_fraction(np.array([share]), name="share")
    for name, mix in (("panel_mix", r), ("target_mix", w)):
        check_finite(mix, name=name, minimum=0)
        if mix.shape != r.shape or abs(mix.sum() - 1) > _TOLERANCE:
            raise InvalidValue(
                name,
                got=f"{len(mix)} parts that add up to {mix.sum():g}",
                rule=f"must have {len(r)} parts that add up to 1",
                next_step="Add the rest as a segment.",
            )
    seen = r > 0
    order = np.flatnonzero(seen)[np.argsort(w[seen] / r[seen])]
    low, high = (_fill(share, r[o], w[o]) for o in (order, order[::-1]))
    return low, high + float(w[~seen].sum())


def _fill(share: float, r: FloatArray, w: FloatArray) -> float:
    """Fill segments with the panel's share in the order given; return the population's share."""
    before = np.concatenate([[0.0], np.cumsum(r)[:-1]])
    part = np.clip((share - before) / r, 0.0, 1.0)
    return float(w @ part)


def _check_fraction(x: FloatArray, *, name: str) -> None:
    check_finite(x, name=name, minimum=0, strict=True)
    if (x >= 1).any():
        raise InvalidValue(
            name,
            got=f"{x.max():g}",
            rule="must be below 1",
            next_step="Write 46 % as 0.46; a share of 0 or 1 has no odds.",
        )
