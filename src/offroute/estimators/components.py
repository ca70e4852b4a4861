r"""Gaussian components of the posterior of the points, and the target density relative to them.

A component is a node of the hyper-parameters with some families unreliable for certain. Around its
mode the exact benchmarks are linear in the points :math:`\phi = (G, \xi, b)` (log volumes, split
over tiers, what is common to the figures of a side), so that its posterior is normal,

.. math:: N(\phi; \mu + K A' \Sigma^{-1} \tilde y,\; K - K A' \Sigma^{-1} A K) .

The target over this density, up to the weight of the component, is

.. math:: r(\phi) = \frac{p(e(\phi))\,P(side)}{N(\tilde y - A(\phi - \mu); 0, S)}, \qquad
   e = y - off - b_{origin} - h(\phi) .
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from offroute._typing import FloatArray, IntArray
from offroute.estimators.families import FamilyErrors, common_rows, family_errors, log_states
from offroute.estimators.gaussian_system import Features
from offroute.estimators.linearise import Laplace
from offroute.estimators.points import (
    Points,
    gradient,
    predict,
    prior_covariance,
    prior_mean,
)
from offroute.estimators.prior import Prior
from offroute.measurement.ledger import Benchmarks, take

_JITTER = 1e-8


@dataclass(frozen=True)
class Problem:
    """What the target density needs.

    Attributes
    ----------
    features, prior, points : Features, Prior, Points
        Design, prior and the places where the benchmarks look.
    b : Benchmarks
        All benchmarks.
    fit : Laplace
        Linearised posterior of the components given the exact benchmarks.
    certain : tuple of ndarray of int, one per component
        Families that are unreliable for certain.
    settled : ndarray of int
        Families whose state every component fixes.
    log_weight : ndarray, shape (B,)
        Log weights of the components.
    """

    features: Features
    prior: Prior
    points: Points
    b: Benchmarks
    fit: Laplace
    certain: tuple[IntArray, ...]
    settled: IntArray
    log_weight: FloatArray

    @property
    def common(self) -> FloatArray:
        """Which rows carry what is common to a side (US, China), shape (n, 2)."""
        return common_rows(self.b)


@dataclass(frozen=True)
class Component:
    """One component (d coordinates of the points, n exact rows).

    Attributes
    ----------
    mean, root : ndarray, shapes (d,) and (d, d)
        The normal density: mean plus root times standard normals.
    linear : ndarray, shape (n, d)
        Whitened linearised errors are ``offset - linear (phi - mean)``.
    offset : ndarray, shape (n,)
        Whitened linearised errors at the mean.
    hyper : tuple of float
        tau, omega, s_rw.
    """

    mean: FloatArray
    root: FloatArray
    linear: FloatArray
    offset: FloatArray
    hyper: tuple[float, float, float]


def build_errors(p: Problem, index: int) -> FamilyErrors:
    """Factorise the exact errors; components alike in omega and unreliable families share them.

    Parameters
    ----------
    p : Problem
        The target.
    index : int
        Component.

    Returns
    -------
    FamilyErrors
        Whitenings and constants.
    """
    exact = take(p.b, np.flatnonzero(p.b.side == 0))
    omega = float(p.fit.omega[index])
    return family_errors(exact, p.prior, omega, p.certain[index], p.settled)


def build_component(p: Problem, index: int, errors: FamilyErrors) -> Component:
    """Condition the points on the exact benchmarks.

    Parameters
    ----------
    p : Problem
        The target.
    index : int
        Component.
    errors : FamilyErrors
        Density of its exact errors.

    Returns
    -------
    Component
        Density and whitened errors.
    """
    f, prior, fit, b = p.features, p.prior, p.fit, p.b
    hyper = (float(fit.tau[index]), float(fit.omega[index]), float(fit.s_rw[index]))
    m, n_cells = len(p.points.week), len(f.unit)
    exact = np.flatnonzero(b.side == 0)
    K = np.zeros((m + n_cells + 2,) * 2)
    K[:m, :m] = prior_covariance(p.points, f, prior, (hyper[0], hyper[2]))
    K[m : m + n_cells, m : m + n_cells] = f.split @ f.split.T
    K[m + n_cells :, m + n_cells :] = prior.s_cm**2 * np.eye(2)
    A = np.hstack([gradient(p.points, f, fit, index), p.common[exact]])
    AK = A @ K
    gain = np.linalg.solve(fit.Sigma[index], AK).T
    V = K - gain @ AK
    V[np.diag_indices_from(V)] += _JITTER
    step = gain @ fit.target[index]
    return Component(
        mean=prior_mean(p.points, f) + step,
        root=np.asarray(np.linalg.cholesky(V)),
        linear=errors.white @ A,
        offset=errors.white @ (fit.target[index] - A @ step),
        hyper=hyper,
    )


def exact_errors(p: Problem, phi: FloatArray) -> FloatArray:
    """Return the errors y - off - h of all benchmarks, what is common to a side included.

    Parameters
    ----------
    p : Problem
        The target.
    phi : ndarray, shape (k, d)
        Points.

    Returns
    -------
    ndarray, shape (k, n)
        Log errors.
    """
    return np.asarray(p.b.y - p.b.off - predict(p.points, phi))


def log_target(p: Problem, errors: list[FamilyErrors], of: IntArray, phi: FloatArray) -> FloatArray:
    """Log density of the exact errors and of the one-sided rows, without constants.

    Parameters
    ----------
    p : Problem
        The target.
    errors : list of FamilyErrors
        Densities of the exact errors.
    of : ndarray of int, shape (k,)
        Which of them each row of `phi` has.
    phi : ndarray, shape (k, d)
        Points.

    Returns
    -------
    ndarray, shape (k,)
        The log density.
    """
    b = p.b
    error = exact_errors(p, phi) - phi[:, -2:] @ p.common.T
    exact = b.side == 0
    own = error[:, exact]
    out = np.empty(len(of))
    for j in np.unique(of):
        rows, e = np.flatnonzero(of == j), errors[j]
        white = own[rows] @ e.white.T
        out[rows] = log_states(e, own[rows], white) - 0.5 * np.einsum("ij,ij->i", white, white)
        if not exact.all():
            sd = np.sqrt(b.s**2 + b.q**2 + e.omega**2 * ~b.flat[b.family])
            out[rows] += log_ndtr((error[rows] * (-b.side / sd))[:, ~exact]).sum(axis=1)
    return out


def groups(of: IntArray) -> list[tuple[int, slice]]:
    """Find the runs of equal values of a sorted array.

    Parameters
    ----------
    of : ndarray of int
        Sorted values.

    Returns
    -------
    list of (int, slice)
        Value and where it stands.
    """
    cuts = np.flatnonzero(np.diff(of, prepend=-1))
    ends = np.append(cuts[1:], len(of))
    return [(int(of[a]), slice(int(a), int(z))) for a, z in zip(cuts, ends, strict=True)]
