r"""Which missing disclosure would shrink the interval most.

For a hypothetical figure :math:`h` about the volumes with error sd :math:`s`, a Gaussian posterior
of the log ratio R would lose

.. math:: \Delta Var(R) = \frac{Cov(R, \log h)^2}{Var(\log h) + s^2} .
"""

import numpy as np
import pandas as pd

from offroute._checks import check_finite
from offroute.inference.shares import Volumes, sum_classes


def value_of_information(v: Volumes, *, sd: float = 0.15) -> pd.DataFrame:
    """Rank hypothetical disclosures by how much each would narrow China against the US.

    Parameters
    ----------
    v : Volumes
        Draws of one week.
    sd : float
        Log sd of the disclosure.

    Returns
    -------
    pandas.DataFrame
        ``disclosure`` (total tokens of a lab, of a side, or the ratio of the two sides from one
        source) and ``shrinkage``, the part of the sd of R that it would take away, falling.

    Raises
    ------
    InvalidValue
        If the sd is not above zero.

    Notes
    -----
    Linear in the draws: it ranks, and it ignores the bias that a new family would bring (Raiffa and
    Schlaifer's preposterior analysis with a Gaussian posterior).

    Examples
    --------
    >>> labels = pd.DataFrame({"origin": ["China", "US"], "lab": ["A", "B"]})
    >>> Y = np.exp(np.random.default_rng(0).standard_normal((4000, 2)))
    >>> v = Volumes("world-external-api", "2026-06-01", np.ones(2), 1 + Y, labels, 0.0)
    >>> value_of_information(v)["disclosure"].iloc[0]
    'ratio of China to US'
    """
    check_finite(sd, name="sd", minimum=0.0, strict=True)
    labs, _, by_lab = sum_classes(v, "lab")
    sides, _, by_side = sum_classes(v, "origin")
    china, us = (np.log(by_side[:, sides.index(name)]) for name in ("China", "US"))
    R = china - us
    with np.errstate(divide="ignore"):
        figures = {f"tokens of {name}": np.log(by_lab[:, j]) for j, name in enumerate(labs)}
    figures |= {"all tokens of China": china, "all tokens of US": us, "ratio of China to US": R}
    rows = []
    for name, log_h in figures.items():
        # A class without a token in some draw, such as stealth in a quiet week, tells nothing.
        if not np.isfinite(log_h).all() or np.ptp(log_h) == 0:
            continue
        variance = log_h.var()
        lost = np.mean((R - R.mean()) * (log_h - log_h.mean())) ** 2 / (variance + sd**2)
        rows.append({"disclosure": name, "shrinkage": 1 - np.sqrt(max(1 - lost / R.var(), 0.0))})
    table = pd.DataFrame(rows).sort_values("shrinkage", ascending=False, kind="stable")
    return table.reset_index(drop=True)
