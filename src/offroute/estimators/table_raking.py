r"""Raking of a two-way table to margins that are known with error.

A seed table n with the association of a sample, and margins r (rows) and c (columns) of the
population, give the table :math:`m_{ij} = n_{ij} a_i b_j` with those margins: it keeps the odds
ratios of the seed (Deming and Stephan 1940, doi:10.1214/aoms/1177731829). Margins with errors are
drawn, and the table is raked anew for each draw.
"""

from typing import TYPE_CHECKING

import numpy as np

from offroute._checks import check_finite
from offroute._random import RngLike, resolve_rng
from offroute._typing import FloatArray
from offroute.exceptions import InfeasibleMargins, InvalidValue, NotConverged

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_TOLERANCE = 1e-10
_MAX_ITERATIONS = 10_000


def rake_table(seed: "ArrayLike", rows: "ArrayLike", columns: "ArrayLike") -> FloatArray:
    """Rake a table to row and column shares by iterative proportional fitting.

    Parameters
    ----------
    seed : array_like, shape (I, J)
        Counts or tokens of the sample, 0 or more.
    rows : array_like, shape (..., I)
        Shares of the rows, above 0; scaled to add up to 1.
    columns : array_like, shape (..., J)
        Shares of the columns, likewise.

    Returns
    -------
    ndarray, shape (..., I, J)
        Shares that add up to 1, with the margins asked for and the seed's odds ratios.

    Raises
    ------
    InvalidValue
        If values are negative or not finite, or shapes do not fit.
    InfeasibleMargins
        If a row or column of the seed is empty.
    NotConverged
        If zeros of the seed stand in the way of the margins.

    Examples
    --------
    >>> rake_table([[1.0, 1.0], [1.0, 1.0]], [0.2, 0.8], [0.5, 0.5]).round(6).tolist()
    [[0.1, 0.1], [0.4, 0.4]]
    """
    n = np.asarray(seed, dtype=np.float64)
    r, c = np.asarray(rows, dtype=np.float64), np.asarray(columns, dtype=np.float64)
    check_finite(n, name="seed", minimum=0)
    check_finite(r, name="rows", minimum=0, strict=True)
    check_finite(c, name="columns", minimum=0, strict=True)
    if n.ndim != 2 or r.shape[-1:] != n.shape[:1] or c.shape[-1:] != n.shape[1:]:  # noqa: PLR2004 - a table has two axes
        raise InvalidValue(
            "seed",
            got=f"shape {n.shape} with {r.shape[-1:]} rows and {c.shape[-1:]} columns",
            rule="rows and columns must have the lengths of the seed's sides",
            next_step="Give a share for each row and each column.",
        )
    if not (n.sum(axis=0) > 0).all() or not (n.sum(axis=1) > 0).all():
        raise InfeasibleMargins(
            "seed",
            got="a row or column without any count",
            rule="every row and column needs a count to be scaled",
            next_step="Merge the empty class with another.",
        )
    r = r / r.sum(axis=-1, keepdims=True)
    c = c / c.sum(axis=-1, keepdims=True)
    m: FloatArray = np.broadcast_to(
        n / n.sum(), np.broadcast_shapes(r.shape[:-1], c.shape[:-1]) + n.shape
    )
    for _ in range(_MAX_ITERATIONS):
        m = m * (r / m.sum(axis=-1))[..., :, None]
        m = m * (c / m.sum(axis=-2))[..., None, :]
        if np.abs(m.sum(axis=-1) - r).max() < _TOLERANCE:
            return m
    raise NotConverged(
        "raking",
        got=f"rows off by {np.abs(m.sum(axis=-1) - r).max():.2g}",
        rule=f"margins must be met to {_TOLERANCE:g} within {_MAX_ITERATIONS} rounds",
        next_step="Zeros of the seed exclude these margins; merge classes.",
    )


def rake_noisy(
    seed: "ArrayLike",
    rows: tuple["ArrayLike", "ArrayLike"],
    columns: tuple["ArrayLike", "ArrayLike"],
    *,
    n_draws: int = 2000,
    rng: RngLike = None,
) -> FloatArray:
    """Rake a table to margins that are known with error.

    Parameters
    ----------
    seed : array_like, shape (I, J)
        Counts or tokens of the sample.
    rows, columns : tuple of array_like
        Shares and the sd of the log of each; an sd of 0 is a margin known exactly.
    n_draws : int
        Draws of the margins.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    ndarray, shape (n_draws, I, J)
        A raked table for each draw.

    Raises
    ------
    InvalidValue, InfeasibleMargins, NotConverged
        As `rake_table`; or if an sd is negative or missing, or no draw is asked for.

    Notes
    -----
    Assumes that the association of the seed is that of the population: margins say nothing about
    it. See `offroute.inference.mechanisms.segments.margin_bounds` for what they say alone.
    """
    if n_draws < 1:
        raise InvalidValue(
            "n_draws", got=n_draws, rule="must be at least 1", next_step="Leave it out for 2000."
        )
    generator = resolve_rng(rng)
    drawn = []
    for name, (share, sd) in (("rows", rows), ("columns", columns)):
        mean, scale = np.asarray(share, dtype=np.float64), np.asarray(sd, dtype=np.float64)
        check_finite(mean, name=name, minimum=0, strict=True)
        check_finite(scale, name=f"sd of {name}", minimum=0)
        if mean.ndim != 1 or scale.shape not in {(), mean.shape}:
            raise InvalidValue(
                f"sd of {name}",
                got=f"shape {scale.shape} for shares of shape {mean.shape}",
                rule="must be one number or one for each share",
                next_step="Give an sd of 0 where a share is known exactly.",
            )
        noise = generator.standard_normal((n_draws, len(mean)))
        drawn.append(mean * np.exp(scale * noise))
    return rake_table(seed, *drawn)
