r"""Draws of the evidence synthesis by tempered sequential Monte Carlo on the points.

Proposals come from a mixture of normal components. What they miss (sums over labs bend, one-sided
rows cut, families may be unreliable) is the ratio r of `components`, whose power grows from 0 to 1
(Del Moral, Doucet and Jasra 2006, doi:10.1111/j.1467-9868.2006.00553.x),

.. math:: \pi_\lambda(c, z) \propto w_c\, N(z; 0, I)\, r_c(m_c + L_c z)^\lambda .

Two moves leave this invariant: an elliptical-slice step of the standardised point z (Murray, Adams
and MacKay 2010, AISTATS, PMLR 9:541-548), and a change of component that keeps z, accepted with
probability :math:`\min(1, (r_{c'}(m_{c'} + L_{c'} z) / r_c(m_c + L_c z))^\lambda)`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import logsumexp

from offroute._typing import FloatArray, IntArray
from offroute.estimators.components import (
    Component,
    Problem,
    build_component,
    build_errors,
    exact_errors,
    groups,
    log_target,
)
from offroute.estimators.families import FamilyErrors, draw_states
from offroute.estimators.field import Draws, effective_draws
from offroute.estimators.points import field_given_points
from offroute.estimators.psis import pareto_smooth
from offroute.measurement.market import GROUPS

#: Proposals come in blocks of one component, so that few components have to be factorised.
_BLOCK = 40
#: Shrinks of a slice after which a draw stays where it is; that leaves the target invariant.
_SHRINKS = 8
#: A step of the power is halved until its tail shape is below this, or it is this short.
_TAME = 0.5
#: Weights of at most so many times their mean are bounded, whatever the shape of their tail.
_BOUNDED = 10.0
_SHORTEST = 1e-3
#: Pairs of moves at each power below the last.
_MOVES = 1
#: Slices at the last power: at least so many, since the weights miss a little of a heavy tail; then
#: on until this part of the draws is effective, or for so many.
_FEWEST_MOVES = 20
_MOST_MOVES = 300
_WANTED = 0.6
#: Directions are wide whose second moment is so many times what noise alone reaches.
_EDGE = 1.15
#: Slices at the last power before which the wide directions are learnt anew.
_LEARN = (0, 4, 12, 30)
#: Tail shape above which importance weights cannot be trusted.
MAX_K_HAT = 0.7


@dataclass(frozen=True)
class _State:
    """Draws in the order of their components (k draws, d coordinates, n exact rows).

    Attributes
    ----------
    of : ndarray of int, shape (k,)
        Component.
    z, deviation : ndarray, shape (k, d)
        Standardised point, and its deviation from the mean of the component.
    linear : ndarray, shape (k, n)
        What the deviation takes off the whitened linearised errors.
    ratio : ndarray, shape (k,)
        Log ratio of the target to the component.
    ancestor : ndarray of int, shape (k,)
        Proposal from which the draw descends.
    """

    of: IntArray
    z: FloatArray
    deviation: FloatArray
    linear: FloatArray
    ratio: FloatArray
    ancestor: IntArray

    def take(self, rows: IntArray) -> _State:
        """Return some of the draws, in the order of their components."""
        rows = rows[np.argsort(self.of[rows], kind="stable")]
        return _State(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class _Mixture:
    """Components in use, their shares of the proposals, their means, offsets and errors."""

    p: Problem
    components: list[Component]
    errors: list[FamilyErrors]
    of_errors: IntArray
    share: FloatArray
    means: FloatArray
    offsets: FloatArray

    def phi(self, s: _State) -> FloatArray:
        """Return the points of the draws, shape (k, d)."""
        return np.asarray(self.means[s.of] + s.deviation)


@dataclass(frozen=True)
class _Wide:
    """Directions of z in which the target is wider than the components, and how much (sd)."""

    direction: FloatArray
    sd: FloatArray


def _scale(mix: _Mixture, of: IntArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Deviations from the mean, (k, d), and in the whitened linearised errors, (k, n)."""
    deviation, linear = np.empty_like(z), np.empty((len(z), mix.offsets.shape[1]))
    for j, rows in groups(of):
        c = mix.components[j]
        deviation[rows] = z[rows] @ c.root.T
        linear[rows] = deviation[rows] @ c.linear.T
    return deviation, linear


def _log_ratio(
    mix: _Mixture, of: IntArray, deviation: FloatArray, linear: FloatArray
) -> FloatArray:
    """Log of the target over the component, up to the weight of the component, shape (k,)."""
    error = mix.offsets[of] - linear
    target = log_target(mix.p, mix.errors, mix.of_errors[of], mix.means[of] + deviation)
    return np.asarray(target + 0.5 * np.einsum("ij,ij->i", error, error))


def _learn(s: _State) -> _Wide:
    """Find the directions whose second moment stands out of the noise of so many draws."""
    k, d = s.z.shape
    value, vector = np.linalg.eigh(s.z.T @ s.z / k)
    keep = value > _EDGE * (1 + np.sqrt(d / k)) ** 2
    return _Wide(vector[:, keep], np.sqrt(value[keep]))


def _slice_move(
    mix: _Mixture, s: _State, power: float, wide: _Wide, rng: np.random.Generator
) -> _State:
    """Elliptical-slice move of every draw under a power of the ratio.

    The ellipses are those of a normal density that is as wide as the target in the wide directions;
    its ratio to the component joins the one of the target.
    """
    k = len(s.of)
    nu_z = rng.standard_normal(s.z.shape)
    nu_z += ((nu_z @ wide.direction) * (wide.sd - 1)) @ wide.direction.T
    along, across = s.z @ wide.direction, nu_z @ wide.direction
    narrow = 0.5 * (1 / wide.sd**2 - 1)
    nu, nu_linear = _scale(mix, s.of, nu_z)
    bar = power * s.ratio + along**2 @ narrow + np.log(rng.uniform(size=k))
    angle = rng.uniform(0.0, 2 * np.pi, k)
    low, high = angle - 2 * np.pi, angle.copy()
    # A draw that no angle suits stays where it is.
    taken, ratio, todo = np.zeros(k), s.ratio.copy(), np.arange(k)
    for shrink in range(_SHRINKS):
        at = slice(None) if shrink == 0 else todo
        cos, sin = np.cos(angle[at])[:, None], np.sin(angle[at])[:, None]
        trial = cos * s.deviation[at] + sin * nu[at]
        trial_linear = cos * s.linear[at] + sin * nu_linear[at]
        new = _log_ratio(mix, s.of[at], trial, trial_linear)
        part = (cos * along[at] + sin * across[at]) ** 2 @ narrow
        good = power * new + part > bar[at]
        taken[todo[good]], ratio[todo[good]] = angle[todo[good]], new[good]
        todo = todo[~good]
        if not len(todo):
            break
        negative = angle[todo] < 0
        low[todo[negative]] = angle[todo[negative]]
        high[todo[~negative]] = angle[todo[~negative]]
        angle[todo] = rng.uniform(low[todo], high[todo])
    cos, sin = np.cos(taken)[:, None], np.sin(taken)[:, None]
    return _State(
        of=s.of,
        z=cos * s.z + sin * nu_z,
        deviation=cos * s.deviation + sin * nu,
        linear=cos * s.linear + sin * nu_linear,
        ratio=ratio,
        ancestor=s.ancestor,
    )


def _switch_move(mix: _Mixture, s: _State, power: float, rng: np.random.Generator) -> _State:
    """Propose another component to every draw, z staying what it is."""
    k = len(s.of)
    other = rng.choice(len(mix.share), size=k, p=mix.share)
    order = np.argsort(other, kind="stable")
    deviation, linear = _scale(mix, other[order], s.z[order])
    new = _log_ratio(mix, other[order], deviation, linear)
    good = np.log(rng.uniform(size=k)) < power * (new - s.ratio[order])
    yes = order[good]
    of, ratio = s.of.copy(), s.ratio.copy()
    of[yes], ratio[yes] = other[yes], new[good]
    moved, moved_linear = s.deviation.copy(), s.linear.copy()
    moved[yes], moved_linear[yes] = deviation[good], linear[good]
    return _State(of, s.z, moved, moved_linear, ratio, s.ancestor).take(np.arange(k))


def _next_power(ratio: FloatArray, power: float, wanted: float) -> float:
    """Largest power of the ratio at which `wanted` draws stay effective (bisection)."""

    def _effective(x: float) -> float:
        w = np.exp((x - power) * (ratio - ratio.max()))
        return float(w.sum() ** 2 / (w**2).sum())

    low, high = power, 1.0
    if _effective(high) >= wanted:
        return 1.0
    while high - low > _SHORTEST:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _effective(middle) >= wanted else (low, middle)
    return min(max(low, power + _SHORTEST), 1.0)


def _weights(log_ratio: FloatArray) -> tuple[FloatArray, float]:
    """Smooth the weights of a step and estimate the shape of their tail, 0 if they are bounded."""
    weights, k = pareto_smooth(log_ratio)
    return weights, k if weights.max() * len(weights) > _BOUNDED else min(k, 0.0)


def _propose(p: Problem, n_proposals: int, rng: np.random.Generator) -> tuple[_Mixture, _State]:
    """Draw from the mixture of components, in blocks that are systematic in the weights."""
    share = np.exp(p.log_weight - logsumexp(p.log_weight))
    edges = np.floor(np.cumsum(share) * (n_proposals // _BLOCK) + rng.uniform())
    blocks = np.diff(edges, prepend=0.0).astype(np.int64)
    used = np.flatnonzero(blocks)
    kinds = [(p.fit.omega[j], *p.certain[j]) for j in used]
    first = {kind: int(j) for j, kind in reversed(list(zip(used, kinds, strict=True)))}
    errors = [build_errors(p, j) for j in first.values()]
    of_errors = np.array([list(first).index(kind) for kind in kinds], dtype=np.int64)
    components = [
        build_component(p, int(j), errors[k]) for j, k in zip(used, of_errors, strict=True)
    ]
    mix = _Mixture(
        p=p,
        components=components,
        errors=errors,
        of_errors=of_errors,
        share=blocks[used] / blocks.sum(),
        means=np.array([c.mean for c in components]),
        offsets=np.array([c.offset for c in components]),
    )
    of = np.repeat(np.arange(len(used)), blocks[used] * _BLOCK)
    z = rng.standard_normal((len(of), mix.means.shape[1]))
    deviation, linear = _scale(mix, of, z)
    ratio = _log_ratio(mix, of, deviation, linear)
    return mix, _State(of, z, deviation, linear, ratio, np.arange(len(of)))


def draw(
    p: Problem, *, weeks: IntArray, n_draws: int, n_proposals: int, rng: np.random.Generator
) -> tuple[Draws, float, float, IntArray]:
    """Draw from the posterior.

    Parameters
    ----------
    p : Problem
        The target.
    weeks : ndarray of int
        Weeks in which the draws are to be evaluated.
    n_draws, n_proposals : int
        Draws to return, and proposals.
    rng : Generator
        Randomness.

    Returns
    -------
    draws : Draws
        Equally weighted.
    k_hat : float
        Largest Pareto shape of the weights of a step; 0 for weights below ten times their mean.
    log_norm : float
        Log of the mean ratio: what the corrections add to the log evidence.
    ancestor : ndarray of int, shape (n_draws,)
        Proposal from which each draw descends.
    """
    mix, s = _propose(p, n_proposals, rng)
    power, k_hat, log_norm = 0.0, -np.inf, 0.0
    while power < 1.0:
        step = _next_power(s.ratio, power, 0.5 * n_draws)
        weights, k = _weights((step - power) * s.ratio)
        # The tail shape falls with the power: a shorter step tames a heavy tail.
        while k > _TAME and step - power > _SHORTEST:
            step = power + 0.5 * (step - power)
            weights, k = _weights((step - power) * s.ratio)
        log_norm += float(logsumexp((step - power) * s.ratio)) - np.log(len(s.of))
        points = (np.arange(n_draws) + rng.uniform()) / n_draws
        pick = np.searchsorted(np.cumsum(weights), points).clip(0, len(s.of) - 1)
        s, power, k_hat = s.take(pick), step, max(k_hat, k)
        wide = _learn(s)
        for _ in range(_MOVES):
            s = _switch_move(mix, _slice_move(mix, s, power, wide, rng), power, rng)
    # Clones of one proposal part only by moving: go on until enough of them have.
    contrast = _contrast(p)
    for move in range(_MOST_MOVES):
        level = mix.phi(s) @ contrast
        effective = min(effective_draws(x, s.ancestor) for x in level.T)
        if move >= _FEWEST_MOVES and effective >= _WANTED * n_draws:
            break
        wide = _learn(s) if move in _LEARN else wide
        s = _slice_move(mix, s, power, wide, rng)
        if move % 2:
            s = _switch_move(mix, s, power, rng)
    order = rng.permutation(n_draws)
    draws = _expand(mix, s.of[order], mix.phi(s)[order], weeks, rng)
    return draws, k_hat, log_norm, s.ancestor[order]


def _contrast(p: Problem) -> FloatArray:
    """Mean log volume of China, of the US, and their difference, by point; shape (d, 3)."""
    m = len(p.points.week)
    group = p.features.group[p.points.unit]
    out = np.zeros((m + len(p.features.unit) + 2, 2))
    for column, first in enumerate(("China", "US")):
        of = np.array([GROUPS[g].startswith(first) for g in group], dtype=bool)
        out[:m, column] = of / max(int(of.sum()), 1)
    return np.column_stack([out, out[:, 0] - out[:, 1]])


def _expand(
    mix: _Mixture,
    of: IntArray,
    phi: FloatArray,
    weeks: IntArray,
    rng: np.random.Generator,
) -> Draws:
    """Draw the field in the wanted weeks, and the states of the families, given the points."""
    p = mix.p
    m, n_cells = len(p.points.week), len(p.features.unit)
    dates = np.unique(np.concatenate([weeks, p.points.week])).astype(np.int64)
    base = np.empty((len(of), len(p.features.group)))
    beta = np.empty_like(base)
    keep = np.searchsorted(dates, np.unique(weeks))
    walk = np.empty((*base.shape, len(keep)))
    hyper = np.array([c.hyper for c in mix.components])
    for pair in np.unique(hyper[:, [0, 2]], axis=0):
        rows = np.flatnonzero((hyper[of][:, [0, 2]] == pair).all(axis=1))
        if len(rows):
            base[rows], slope, path = field_given_points(
                p.points, p.features, p.prior, (pair[0], pair[1]), phi[rows, :m], dates, rng
            )
            beta[rows], walk[rows] = slope + p.prior.beta, path[:, :, keep]
    error = exact_errors(p, phi)
    exact = p.b.side == 0
    own = error[:, exact] - phi[:, -2:] @ p.common[exact].T
    state = np.empty((len(of), len(p.b.families)), dtype=np.int64)
    for j in np.unique(of):
        rows = np.flatnonzero(of == j)
        e = mix.errors[mix.of_errors[j]]
        state[rows] = draw_states(e, own[rows], state.shape[1], rng)
    return Draws(
        base=base,
        xi=phi[:, m : m + n_cells],
        beta=beta,
        walk=walk,
        weeks=dates[keep],
        hyper=hyper[of],
        error=error,
        common=phi[:, -2:],
        state=state,
    )
