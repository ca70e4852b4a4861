"""What one mechanism does to the log ratio of China to the United States.

The strength of the evidence follows one rule. *Strong*: counted in the panel's own records, nothing
from outside enters. *Moderate*: estimated from two independent sources, of each side where sides
are compared, and narrowed by figures to a quarter of the prior variance where there is a prior.
*Weak*: estimated from less, or by an assumption that no figure tests. *Bounds only*: the data leave
a set, and no point of it is better than another. What rests on scope factors of the crosswalk is
never strong: an error common to all figures about one country moves it one for one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute._checks import check_choice, check_probability
from offroute.exceptions import InvalidValue

DIRECTIONS = ("panel overstates China", "panel understates China", "either")
STRENGTHS = ("strong", "moderate", "weak", "bounds only")


@dataclass(frozen=True)
class Effect:
    """Effect of one critique's mechanism on the log ratio of China to the US.

    Attributes
    ----------
    critique : str
        Number of the critique, such as ``C8``.
    mechanism : str
        Name of the mechanism, such as ``dollars instead of tokens``.
    population : str
        Population that the effect is of.
    week : str
        Monday of the week, ISO.
    parameter : str
        What is estimated, with its unit.
    estimate : tuple of float
        Low, median and high of the parameter; the middle is nan where there are bounds only.
    effect : tuple of float
        Low, median and high of the change of log(China / US) from the naive one; the middle is nan
        where there are bounds only.
    level : float
        Probability of the intervals; bounds hold surely.
    evidence : tuple of str
        Ids of ledger rows or names of tables.
    direction : {'panel overstates China', 'panel understates China', 'either'}
        What the evidence says of the panel's bias by this mechanism.
    strength : {'strong', 'moderate', 'weak', 'bounds only'}
        Strength of the evidence, by the rule above.
    note : str
        One sentence for the reader.

    Raises
    ------
    UsageError
        If direction, strength or level is none that exists.
    InvalidValue
        If an interval is out of order, a text is empty, the direction contradicts the effect, or a
        middle is given where there are bounds only, or missing where there are not.
    """

    critique: str
    mechanism: str
    population: str
    week: str
    parameter: str
    estimate: tuple[float, float, float]
    effect: tuple[float, float, float]
    level: float
    evidence: tuple[str, ...]
    direction: str
    strength: str
    note: str

    def __post_init__(self) -> None:
        """Refuse what a table must not print."""
        check_choice(self.direction, DIRECTIONS, name="direction")
        check_choice(self.strength, STRENGTHS, name="strength")
        check_probability(self.level, name="level")
        for name in ("critique", "mechanism", "population", "week", "parameter"):
            if not getattr(self, name):
                raise InvalidValue(
                    name, got="nothing", rule="must be named", next_step="Say which it is."
                )
        for name in ("estimate", "effect"):
            values = np.array(getattr(self, name), dtype=np.float64)
            known = values[~np.isnan(values)]
            if values.shape != (3,) or bool((np.diff(known) < 0).any()):
                raise InvalidValue(
                    name,
                    got=getattr(self, name),
                    rule="must be low, median and high in this order",
                    next_step="Sort the ends; nan stands for a middle that bounds lack.",
                )
        low, middle, high = self.effect
        if np.isnan(middle) != (self.strength == "bounds only"):
            raise InvalidValue(
                "strength",
                got=f"'{self.strength}' with a middle of {middle:g}",
                rule="is 'bounds only' where the effect has no middle, and nowhere else",
                next_step="Give a middle, or say that there are bounds only.",
            )
        signs = {DIRECTIONS[0]: high <= 0, DIRECTIONS[1]: low >= 0, DIRECTIONS[2]: low <= 0 <= high}
        if not signs[self.direction]:
            raise InvalidValue(
                "direction",
                got=f"'{self.direction}' with an effect from {low:g} to {high:g}",
                rule="must agree with the sign of the effect",
                next_step="See `direction_of`.",
            )


def effects_frame(effects: Iterable[Effect]) -> pd.DataFrame:
    """Return effects as a frame.

    Parameters
    ----------
    effects : iterable of Effect
        The effects.

    Returns
    -------
    pandas.DataFrame
        One row per effect: ``critique``, ``mechanism``, ``population``, ``week``, ``parameter``,
        ``estimate`` with ``estimate_low``, ``estimate_high``; ``effect`` with ``low``, ``high``;
        ``level``, ``direction``, ``strength``, ``evidence`` (joined by semicolons), ``note``.
    """
    rows = [
        {
            "critique": e.critique,
            "mechanism": e.mechanism,
            "population": e.population,
            "week": e.week,
            "parameter": e.parameter,
            "estimate_low": e.estimate[0],
            "estimate": e.estimate[1],
            "estimate_high": e.estimate[2],
            "low": e.effect[0],
            "effect": e.effect[1],
            "high": e.effect[2],
            "level": e.level,
            "direction": e.direction,
            "strength": e.strength,
            "evidence": "; ".join(e.evidence),
            "note": e.note,
        }
        for e in effects
    ]
    return pd.DataFrame(rows)
