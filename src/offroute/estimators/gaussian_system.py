r"""Design of the evidence synthesis: which Gaussian coefficients make up the log volume.

The off-platform volume of a unit (a lab and an openness) is linear in logs, and its split over
tiers is a softmax,

.. math::

   \log D_{tl} &= \log X^s_{T_0 l} + \beta_g(\log X^s_{tl} - \log X^s_{T_0 l}) + u_{tl}, \\
   u_{tl} &= b_0 + b_{closed} + b_{China} + \delta_g + \tau a_l + r_l(t), \\
   D_{tc} &= D_{tl}\, X^s_{tc} e^{\xi_c} / \textstyle\sum_{c' \in l} X^s_{tc'} e^{\xi_{c'}},
   \qquad \xi_c = \gamma z_c + s_e e_c .

The rise of a unit below `Prior.quiet` of the panel is that of the panel itself, and the centre of
:math:`b_{China}` is where :math:`P(\Lambda > 1)` is one half in the anchor week; where its sd is
zero there is no such effect.

So a disclosure about one lab is linear in what it informs, which keeps the Laplace approximation
close: only sums over labs and prices over tiers bend it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from offroute._typing import FloatArray, IntArray
from offroute.estimators.prior import Prior
from offroute.measurement.market import GROUPS, Market

_CENTRE_DRAWS = 4000
_CENTRE_SEED = 20260601
_BISECTIONS = 60
_CLOSED = np.array([g.endswith("closed") for g in GROUPS], dtype=np.float64)
_CHINA = np.array([g.startswith("China") for g in GROUPS], dtype=np.float64)


@dataclass(frozen=True)
class Features:
    """Design of the log off-platform volume (U units, C cells, T weeks).

    Attributes
    ----------
    fixed : ndarray, shape (U, P)
        Intercept, closed, China and groups, each scaled by its prior sd.
    split : ndarray, shape (C, 1 + C)
        Log price within the unit and cell residuals, scaled by their prior sd.
    company : ndarray of int, shape (U,)
        Company of each unit, whose effect has scale tau.
    unit : ndarray of int, shape (C,)
        Unit of each cell.
    group : ndarray of int, shape (U,)
        Group of each unit.
    rise : ndarray, shape (T, U)
        Log of the smoothed panel volume over its value at the anchor.
    mu : ndarray, shape (T, U)
        Prior mean of log D of the units.
    mix : ndarray, shape (T, C)
        Log of the cell's part of the smoothed panel volume of its unit, times the prior mean of
        the price effect.
    elapsed : ndarray, shape (T,)
        Weeks since the anchor, negative before it.
    """

    fixed: FloatArray
    split: FloatArray
    company: IntArray
    unit: IntArray
    group: IntArray
    rise: FloatArray
    mu: FloatArray
    mix: FloatArray
    elapsed: FloatArray


def sum_units(features: Features, values: FloatArray) -> FloatArray:
    """Sum over the cells of each unit.

    Parameters
    ----------
    features : Features
        Design.
    values : ndarray, shape (..., C)
        Values by cell.

    Returns
    -------
    ndarray, shape (..., U)
        Sums by unit.
    """
    starts = np.searchsorted(features.unit, np.arange(len(features.group)))
    out: FloatArray = np.add.reduceat(values, starts, axis=-1)
    return out


def build_features(market: Market, prior: Prior) -> Features:
    """Lay out the features of the market under a prior.

    Parameters
    ----------
    market : Market
        The panel; the cells of a unit are contiguous.
    prior : Prior
        Scales of the coefficients.

    Returns
    -------
    Features
        Everything that does not depend on hyper-parameters.
    """
    anchor, unit = market.anchor, market.unit
    first = np.searchsorted(unit, np.arange(int(unit.max()) + 1))
    group = market.unit_group
    # The pooled small labs of a group are no company: each pool has an effect of its own.
    names = [
        f"{market.labs[c]} {market.groups[c]}" if market.labs[c] == "Other labs" else market.labs[c]
        for c in first
    ]
    company = np.array([sorted(set(names)).index(name) for name in names], dtype=np.int64)
    log_price = np.log(market.price[anchor])
    z = log_price - (np.bincount(unit, log_price) / np.bincount(unit))[unit]
    fixed = np.column_stack(
        [
            np.full(len(group), prior.b_0_sd),
            prior.b_closed_sd * _CLOSED[group],
            prior.b_china_sd * _CHINA[group],
            prior.delta_sd * np.eye(len(GROUPS))[group],
        ]
    )
    split = np.column_stack([prior.gamma_sd * z, prior.s_e * np.eye(len(unit))])
    per_unit = np.log(np.add.reduceat(market.Xs, first, axis=1))
    # A lab with next to no part of the panel is moved there by a few apps: it follows the panel.
    total = market.Xs.sum(axis=1, keepdims=True)
    heard = np.log(np.maximum(np.exp(per_unit), prior.quiet * total))
    rise = heard - heard[anchor]
    level = prior.b_0 + prior.b_closed * _CLOSED[group] + prior.b_china * _CHINA[group]
    if prior.b_china_sd > 0:
        centre = _neutral_centre(market, prior, (fixed, split, company, unit))
        level = level + centre * _CHINA[group]
    return Features(
        fixed=fixed,
        split=split,
        company=company,
        unit=unit,
        group=group,
        rise=rise,
        mu=level + per_unit[anchor] + prior.beta * rise,
        mix=np.log(market.Xs) - per_unit[:, unit] + prior.gamma * z,
        elapsed=market.elapsed - market.elapsed[anchor],
    )


def _neutral_centre(
    market: Market, prior: Prior, design: tuple[FloatArray, FloatArray, IntArray, IntArray]
) -> float:
    r"""Centre of the China effect at which P(Lambda > 1) is one half in the anchor week.

    The effect multiplies all Chinese volume, so that given everything else
    :math:`P(\Lambda > 1) = \Phi((A - c) / sd)` with
    :math:`A = \log(D_{US}/X_{US}) - \log(D_{CN}/X_{CN})` without the effect. Antithetic draws of
    the rest make the mean of this nearly exact.
    """
    fixed, split, company, unit = design
    a = market.anchor
    rng = np.random.default_rng(_CENTRE_SEED)
    half = rng.standard_normal((_CENTRE_DRAWS, fixed.shape[1] + split.shape[1]))
    tau = prior.tau * np.abs(rng.standard_normal((_CENTRE_DRAWS, 1)))
    lab = tau * rng.standard_normal((_CENTRE_DRAWS, int(company.max()) + 1))
    values = []
    for sign in (1.0, -1.0):
        rest = fixed.copy()
        rest[:, 2] = 0.0
        u = sign * (half[:, : fixed.shape[1]] @ rest.T + lab[:, company])
        xi = sign * (half[:, fixed.shape[1] :] @ split.T)
        part = market.Xs[a] * np.exp(xi)
        starts = np.searchsorted(unit, np.arange(len(company)))
        scale = np.add.reduceat(np.broadcast_to(market.Xs[a], part.shape), starts, axis=1)
        D = part * (np.exp(u) * scale / np.add.reduceat(part, starts, axis=1))[:, unit]
        side = [
            np.log(D[:, k].sum(axis=1) / market.X[a, k].sum())
            for k in (market.is_us, market.is_china)
        ]
        values.append(side[0] - side[1])
    A = np.concatenate(values)
    low, high = float(A.min()), float(A.max())
    # Bisection to the last bit; scipy.optimize would double the time of the first import.
    for _ in range(_BISECTIONS):
        centre = 0.5 * (low + high)
        above = ndtr((A - centre) / prior.b_china_sd).mean() > 0.5  # noqa: PLR2004 - one half
        low, high = (centre, high) if above else (low, centre)
    return centre


def cell_volume(
    features: Features, log_units: FloatArray, mix: FloatArray, xi: FloatArray
) -> FloatArray:
    """Off-platform volume of the cells from that of the units and the split.

    Parameters
    ----------
    features : Features
        Design.
    log_units : ndarray, shape (..., U)
        Log volume of the units.
    mix, xi : ndarray, shape (..., C)
        Log panel mix and its deviation.

    Returns
    -------
    ndarray, shape (..., C)
        Tokens a week.
    """
    part = np.exp(mix + xi)
    scale = np.exp(log_units) / sum_units(features, part)
    out: FloatArray = part * scale[..., features.unit]
    return out


def walk_kernel(s: FloatArray, t: FloatArray) -> FloatArray:
    """Covariance of a unit random walk that is zero at the anchor, between times `s` and `t`.

    Parameters
    ----------
    s, t : ndarray, shapes (m,) and (n,)
        Weeks since the anchor.

    Returns
    -------
    ndarray, shape (m, n)
        ``min(|s|, |t|)`` on the same side of the anchor, else zero.

    Examples
    --------
    >>> walk_kernel(np.array([-3.0, 2.0]), np.array([-1.0, 5.0]))
    array([[1., 0.],
           [0., 2.]])
    """
    same = np.sign(s)[:, None] * np.sign(t)[None, :] > 0
    return np.where(same, np.minimum(np.abs(s)[:, None], np.abs(t)[None, :]), 0.0)
