r"""What the shares would be for a reader who believes otherwise.

The draws of the off-platform volume D are taken as they are, and moved by factors that the reader
sets. For atom a of week t with panel volume X, relative price z and openness,

.. math::

   Y_a = (1 + h\, open_a) \big(X_a + D_a\, m_{US}^{closed\ US_a}\, m_{CN}^{Chinese_a}\,
   m_p^{z_a}\big) .

All factors at one and h at zero give the model's own answer.
"""

from dataclasses import dataclass, fields

import numpy as np

from offroute._checks import check_choice, check_finite, check_probability
from offroute._typing import FloatArray
from offroute.inference.atoms import Atoms

UNITS = ("tokens", "dollars")


@dataclass(frozen=True)
class Beliefs:
    """Factors on the model's off-platform volume; the defaults are the model's answer.

    Attributes
    ----------
    closed_us : float
        On closed US models: 2 says that twice as much of their use passes by the panel.
    china : float
        On all Chinese models: the Chinese denominator.
    self_host : float
        Tokens of open weights that their users run themselves, per token served by an API; in
        dollars they count at the API's price.
    price : float
        On a model ten times as dear as the panel's mean, with its inverse on one ten times as
        cheap: what price keeps off the panel beyond what the model says.
    """

    closed_us: float = 1.0
    china: float = 1.0
    self_host: float = 0.0
    price: float = 1.0


def believed_volume(
    atoms: Atoms, week: int, beliefs: Beliefs, *, unit: str = "tokens"
) -> tuple[FloatArray, FloatArray]:
    """Return panel and total volume of a week under beliefs.

    Parameters
    ----------
    atoms : Atoms
        Draws of a population.
    week : int
        Position in `atoms.weeks`.
    beliefs : Beliefs
        What the reader believes.
    unit : {'tokens', 'dollars'}
        Unit. Models of undeclared origin have no price and are not in the dollars.

    Returns
    -------
    X : ndarray, shape (A + 1,)
        Panel volume a week; the last entry is stealth.
    Y : ndarray, shape (k, A + 1)
        Draws of the total volume a week.

    Raises
    ------
    UsageError
        If there is no such unit.
    InvalidValue
        If a factor is not finite and positive, or self-hosting is negative.
    """
    check_choice(unit, UNITS, name="unit")
    for field in fields(beliefs):
        value = getattr(beliefs, field.name)
        check_finite(value, name=field.name, minimum=0.0, strict=field.name != "self_host")
    factor = np.where(atoms.is_us & ~atoms.is_open, beliefs.closed_us, 1.0)
    factor = factor * np.where(atoms.is_china, beliefs.china, 1.0)
    factor = factor * beliefs.price ** atoms.z[week]
    D = np.exp(atoms.log_D[:, week]) * factor
    X, stealth = atoms.X[week], float(atoms.stealth[week])
    if unit == "dollars":
        D = D * np.exp(atoms.log_p[:, week])
        X, stealth = atoms.X_usd[week], 0.0
    Y = (1 + beliefs.self_host * atoms.is_open) * (X + D)
    return np.append(X, stealth), np.column_stack([Y, np.full(len(Y), stealth)])


@dataclass(frozen=True)
class Believed:
    """China against the US under beliefs; triples are (low, median, high).

    Attributes
    ----------
    observed_ratio : float
        Ratio on the panel: the tipping point of the under-sampling.
    ratio, undersampling, break_even : tuple of float
        As `offroute.inference.shares.Contest`.
    p_china_leads : float
        Part of the draws in which China's volume exceeds that of the US.
    """

    observed_ratio: float
    ratio: tuple[float, float, float]
    undersampling: tuple[float, float, float]
    break_even: tuple[float, float, float]
    p_china_leads: float


def believed_contest(
    atoms: Atoms, week: int, beliefs: Beliefs, *, unit: str = "tokens", level: float = 0.9
) -> Believed:
    """Compare China and the US in a week under beliefs.

    Parameters
    ----------
    atoms, week, beliefs, unit : Atoms, int, Beliefs, str
        As `believed_volume`.
    level : float
        Probability of the intervals.

    Returns
    -------
    Believed
        The comparison.

    Raises
    ------
    UsageError, InvalidValue
        As `believed_volume`, or if the level is not between 0 and 1.
    """
    check_probability(level, name="level")
    X, Y = believed_volume(atoms, week, beliefs, unit=unit)
    china, us = np.append(atoms.is_china, False), np.append(atoms.is_us, False)
    observed = float(X[china].sum() / X[us].sum())
    cn, usa = Y[:, china].sum(axis=1), Y[:, us].sum(axis=1)
    q = [0.5 - level / 2, 0.5, 0.5 + level / 2]

    def _triple(x: FloatArray) -> tuple[float, float, float]:
        low, middle, high = np.quantile(x, q)
        return float(low), float(middle), float(high)

    return Believed(
        observed_ratio=observed,
        ratio=_triple(cn / usa),
        undersampling=_triple(observed / (cn / usa)),
        break_even=_triple(X[china].sum() / usa),
        p_china_leads=float((cn > usa).mean()),
    )
