"""Draws of one population in few pieces: labs by openness, with tokens and dollars."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from offroute._random import RngLike
from offroute._typing import BoolArray, FloatArray, IntArray
from offroute.estimators.field import off_platform
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import UnknownWeek
from offroute.inference.thinning import balanced_subset
from offroute.measurement.market import Market

POOLED = "Other labs"
#: Groups whose larger labs are pieces of their own; the others are one piece each.
_SPLIT = ("US closed", "China open", "China closed")


@dataclass(frozen=True)
class Atoms:
    """Panel volumes and draws of the off-platform volume by lab and openness (A atoms, W weeks).

    Attributes
    ----------
    population : str
        The population.
    weeks : ndarray of int, shape (W,)
        Weeks of the market.
    labs, groups : tuple of str, length A
        Labels of the atoms.
    X : ndarray, shape (W, A)
        Panel tokens a week.
    X_usd : ndarray, shape (W, A)
        The same at effective prices, USD a week.
    z : ndarray, shape (W, A)
        Log10 of the effective price at the panel's mix of tiers, less its mean over the panel's
        tokens of the week.
    stealth : ndarray, shape (W,)
        Panel tokens a week of models of undeclared origin.
    log_D : ndarray, shape (k, W, A)
        Log of the off-platform tokens a week.
    log_p : ndarray, shape (k, W, A)
        Log of the effective price of an off-platform token, USD.
    """

    population: str
    weeks: IntArray
    labs: tuple[str, ...]
    groups: tuple[str, ...]
    X: FloatArray
    X_usd: FloatArray
    z: FloatArray
    stealth: FloatArray
    log_D: FloatArray
    log_p: FloatArray

    @property
    def is_china(self) -> BoolArray:
        """Whether an atom is of Chinese origin, shape (A,)."""
        return np.array([g.startswith("China") for g in self.groups])

    @property
    def is_us(self) -> BoolArray:
        """Whether an atom is of US origin, shape (A,)."""
        return np.array([g.startswith("US") for g in self.groups])

    @property
    def is_open(self) -> BoolArray:
        """Whether an atom has open weights, shape (A,); the rest of the world counts as open."""
        return np.array([not g.endswith("closed") for g in self.groups])


def check_weeks(posterior: Posterior, weeks: IntArray) -> None:
    """Refuse weeks in which the draws cannot be evaluated.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    weeks : ndarray of int
        Weeks of the market.

    Raises
    ------
    UnknownWeek
        If one of them is not among `posterior.draws.weeks`.
    """
    absent = np.setdiff1d(weeks, posterior.draws.weeks)
    if len(absent) or not len(weeks):
        raise UnknownWeek(
            "weeks",
            got=absent.tolist(),
            rule=f"must be among the {len(posterior.draws.weeks)} weeks of the draws, and one",
            next_step="Ask for these weeks when the posterior is drawn.",
        )


def label_cells(
    posteriors: Sequence[Posterior], weeks: IntArray, *, panel: float = 0.1, total: float = 0.04
) -> tuple[str, ...]:
    """Name each cell by its lab if the lab counts in any population, else as pooled.

    Parameters
    ----------
    posteriors : sequence of Posterior
        Fits on one market.
    weeks : ndarray of int
        Weeks that are looked at.
    panel, total : float
        A lab and openness is named if it has this part of the panel in some week, or of the
        corrected volume in the median over the draws.

    Returns
    -------
    tuple of str, length C
        Lab of each cell, or `POOLED`.

    Raises
    ------
    UnknownWeek
        As `check_weeks`.
    """
    market = posteriors[0].market
    pairs = list(zip(market.groups, market.labs, strict=True))
    names = sorted({p for p in pairs if p[0] in _SPLIT and p[1] != POOLED})
    member = np.array([[p == name for p in pairs] for name in names], dtype=np.float64)
    X = market.X[weeks]
    part = ((X @ member.T) / X.sum(axis=1, keepdims=True)).max(axis=0)
    kept = part >= panel
    for posterior in posteriors:
        check_weeks(posterior, weeks)
        for week in weeks:
            Y = market.X[week] + off_platform(
                posterior.features, posterior.prior, posterior.draws, int(week)
            )
            kept |= np.median((Y @ member.T) / Y.sum(axis=1, keepdims=True), axis=0) >= total
    named = {name for name, keep in zip(names, kept, strict=True) if keep}
    return tuple(lab if (group, lab) in named else POOLED for group, lab in pairs)


def collect_atoms(posterior: Posterior, labels: Sequence[str], weeks: IntArray) -> Atoms:
    """Add the cells of a lab and openness up.

    Parameters
    ----------
    posterior : Posterior
        The fit, with draws in `weeks`.
    labels : sequence of str, length C
        As of `label_cells`.
    weeks : ndarray of int, shape (W,)
        Weeks of the market.

    Returns
    -------
    Atoms
        The pieces, with all draws.

    Raises
    ------
    UnknownWeek
        If the draws cannot be evaluated in a week.
    """
    check_weeks(posterior, weeks)
    market = posterior.market
    pairs = list(zip(market.groups, labels, strict=True))
    names = sorted(set(pairs), key=lambda pair: (pair[0], pair[1] == POOLED, pair[1]))
    member = np.array([[p == name for p in pairs] for name in names], dtype=np.float64)
    D = np.empty((len(posterior.draws.base), len(weeks), len(names)))
    usd = np.empty_like(D)
    for j, week in enumerate(weeks):
        cells = off_platform(posterior.features, posterior.prior, posterior.draws, int(week))
        D[:, j] = cells @ member.T
        usd[:, j] = cells @ (market.price[week] * member).T
    return Atoms(
        population=posterior.benchmarks.population,
        weeks=weeks,
        labs=tuple(n[1] for n in names),
        groups=tuple(n[0] for n in names),
        X=market.X[weeks] @ member.T,
        X_usd=(market.X[weeks] * market.price[weeks]) @ member.T,
        z=_relative_price(market, weeks, member),
        stealth=market.stealth[weeks],
        log_D=np.log(D),
        log_p=np.log(usd / D),
    )


def thin_atoms(atoms: Atoms, size: int, *, week: int = -1, rng: RngLike = 0) -> Atoms:
    """Keep few draws that have the quantiles of all.

    Parameters
    ----------
    atoms : Atoms
        The pieces.
    size : int
        Draws to keep. Balanced are log(China / US) and who leads in every week, and of one week
        the shares of the groups and the volumes of the atoms.
    week : int
        Position of that week.
    rng : int, Generator, SeedSequence or None
        Randomness of the choice.

    Returns
    -------
    Atoms
        The same with `size` draws.

    Raises
    ------
    UsageError
        If there are fewer draws than `size`.
    """
    Y = atoms.X + np.exp(atoms.log_D)
    R = np.log(Y[:, :, atoms.is_china].sum(axis=2) / Y[:, :, atoms.is_us].sum(axis=2))
    groups = np.array(atoms.groups)
    share = Y[:, week] / Y[:, week].sum(axis=1, keepdims=True)
    by_group = np.column_stack([share[:, groups == g].sum(axis=1) for g in sorted(set(groups))])
    # Of the two indicators the one that is mostly 0 counts: quantiles of the other are all 1.
    values = np.column_stack([R, R > 0, R <= 0, by_group, atoms.log_D[:, week]])
    kept = balanced_subset(values, size, rng=rng)
    return replace(atoms, log_D=atoms.log_D[kept], log_p=atoms.log_p[kept])


def _relative_price(market: Market, weeks: IntArray, member: FloatArray) -> FloatArray:
    """Log10 price of the atoms at the panel's mix, less its mean over the panel's tokens."""
    Xs = market.Xs[weeks]
    price = np.log10(((Xs * market.price[weeks]) @ member.T) / (Xs @ member.T))
    X = market.X[weeks] @ member.T
    out: FloatArray = price - (X * price).sum(axis=1, keepdims=True) / X.sum(axis=1, keepdims=True)
    return out
