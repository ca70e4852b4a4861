r"""Partial identification: what the panel and stated assumptions allow, without a model.

Groups a (China) and b (US) have panel volumes :math:`X_g`, market volumes :math:`Y_g`, coverage
:math:`\pi_g = X_g / Y_g` and coverage odds :math:`\omega_g = \pi_g / (1 - \pi_g)`. Then

.. math:: R = \log(Y_a / Y_b) = \log(X_a / X_b) - \log\Lambda, \qquad \Lambda = \pi_a / \pi_b .

Each assumption bounds :math:`\Lambda`; the panel alone says nothing about it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import expit

from offroute._checks import check_choice, check_finite
from offroute._typing import FloatArray
from offroute.exceptions import InfeasibleMargins, InvalidValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Direction = Literal["a", "b"]
Line = tuple[float, float]

_SLACK = 1e-9


@dataclass(frozen=True)
class Bounds:
    """Nested bounds of the log ratio of two volumes, from the weakest assumption to the point.

    Attributes
    ----------
    assumption : tuple of str, length m
        Names; each row keeps the assumptions of the rows above.
    low, high : ndarray, shape (m,)
        Bounds of log(Y_a / Y_b); infinite where nothing bounds it.
    """

    assumption: tuple[str, ...]
    low: FloatArray
    high: FloatArray

    @property
    def share_low(self) -> FloatArray:
        """Lower bound of Y_a / (Y_a + Y_b), shape (m,)."""
        return np.asarray(expit(self.low))

    @property
    def share_high(self) -> FloatArray:
        """Upper bound of Y_a / (Y_a + Y_b), shape (m,)."""
        return np.asarray(expit(self.high))

    @property
    def decided(self) -> tuple[str, ...]:
        """Who leads under each assumption: 'a', 'b' or 'open', length m."""
        return tuple(
            "a" if low > 0 else "b" if high < 0 else "open"
            for low, high in zip(self.low, self.high, strict=True)
        )


def nested_bounds(
    panel: tuple[float, float],
    *,
    volume_a: tuple[float, float] = (0.0, np.inf),
    volume_b: tuple[float, float] = (0.0, np.inf),
    total: float = np.inf,
    better_covered: Direction | None = None,
    gamma: float | None = None,
    coverage_ratio: float | None = None,
) -> Bounds:
    r"""Bound log(Y_a / Y_b) under assumptions of growing strength.

    1. *worst case*: only the disclosed ranges, :math:`Y_g \in [l_g, u_g]` and
       :math:`Y_a + Y_b \le T`.
    2. *Y >= X*: no group is smaller than what the panel saw of it. With a known total this is
       Manski's worst case for missing data: share in :math:`[X_a/T, 1 - X_b/T]`.
    3. *monotone* (`better_covered`): the panel covers one group at least as well as the other,
       :math:`\Lambda \ge 1` for a (the critics' weakest claim: R is at most the panel's) or
       :math:`\Lambda \le 1` for b.
    4. *gamma*: coverage odds differ at most by a factor, :math:`1/\Gamma \le \omega_a/\omega_b \le
       \Gamma`, on the side of row 3 if there is one.
    5. *point* (`coverage_ratio`): :math:`\Lambda` known; 1 returns the panel's own ratio.

    Parameters
    ----------
    panel : tuple of two float
        Panel volumes X_a and X_b, above 0.
    volume_a, volume_b : tuple of two float
        Range of each market volume, such as a disclosure divided and multiplied by its factor.
    total : float
        Upper bound T of the two volumes together.
    better_covered : {'a', 'b'}, optional
        The group that the panel covers at least as well as the other; row 3 is left out by default.
    gamma : float, optional
        Largest factor between the coverage odds, at least 1; row 4 is left out by default.
    coverage_ratio : float, optional
        Lambda of row 5, left out by default.

    Returns
    -------
    Bounds
        One row per assumption.

    Raises
    ------
    InvalidValue
        If a volume, `gamma` or `coverage_ratio` is out of its range.
    UsageError
        If `better_covered` is neither a nor b.
    InfeasibleMargins
        If no volumes meet the assumptions together: the data refute the last one named.

    Notes
    -----
    All rows are sharp: every value between the bounds is attained by volumes that meet the
    assumptions. With q = 1/Lambda and t = pi_b all constraints are linear in (q, t), so the
    extremes lie at vertices of a polygon. Not identified, at any sample size: anything inside the
    bounds. Sources: Manski (2003), Partial Identification of Probability Distributions,
    doi:10.1007/b97478; Manski and Pepper (2000), doi:10.1111/1468-0262.00144, for monotone
    selection; Tan (2006), doi:10.1198/016214506000000023, for the bounded odds ratio.

    Examples
    --------
    >>> rows = nested_bounds((19.0, 14.0), total=660.0, better_covered="a", gamma=8.0)
    >>> for name, low, high in zip(rows.assumption, rows.low, rows.high):
    ...     print(f"{name:12s} {low:6.2f} {high:6.2f}")
    worst case     -inf    inf
    Y >= X        -3.52   3.83
    monotone      -3.52   0.31
    gamma         -1.61   0.31
    """
    x_a, x_b = panel
    check_finite(panel, name="panel", minimum=0, strict=True)
    for name, (low, high) in (("volume_a", volume_a), ("volume_b", volume_b)):
        if not (0 <= low <= high and high > 0 and low < np.inf):
            raise InvalidValue(
                name,
                got=(low, high),
                rule="0 <= low <= high, low finite",
                next_step="Write an open end as (low, inf).",
            )
    names, ranges = ["worst case"], [_box(volume_a, volume_b, total)]
    floor_a = (max(volume_a[0], x_a), volume_a[1])
    floor_b = (max(volume_b[0], x_b), volume_b[1])
    names.append("Y >= X")
    ranges.append(_box(floor_a, floor_b, total, rule="each group's range lies above its panel"))
    naive = float(np.log(x_a / x_b))
    odds = (0.0, np.inf)
    if better_covered is not None:
        check_choice(better_covered, ("a", "b"), name="better_covered")
        odds = (1.0, np.inf) if better_covered == "a" else (0.0, 1.0)
        names.append("monotone")
        ranges.append(_polygon(panel, floor_a, floor_b, total, odds))
    if gamma is not None:
        if not 1 <= gamma < np.inf:
            raise InvalidValue(
                "gamma",
                got=gamma,
                rule="must be finite and at least 1",
                next_step="1 says that both groups are covered alike.",
            )
        odds = (max(odds[0], 1 / gamma), min(odds[1], gamma))
        names.append("gamma")
        ranges.append(_polygon(panel, floor_a, floor_b, total, odds))
    if coverage_ratio is not None:
        check_finite(coverage_ratio, name="coverage_ratio", minimum=0, strict=True)
        point = naive - float(np.log(coverage_ratio))
        low, high = ranges[-1]
        if not low - _SLACK <= point <= high + _SLACK:
            raise InfeasibleMargins(
                "coverage_ratio",
                got=f"{coverage_ratio:g}, log ratio {point:g}",
                rule=f"must lie in the bounds of '{names[-1]}', [{low:g}, {high:g}]",
                next_step="Widen the bounds or change the coverage ratio.",
            )
        names.append("point")
        ranges.append((point, point))
    table = np.array(ranges)
    return Bounds(assumption=tuple(names), low=table[:, 0], high=table[:, 1])


def _box(
    a: tuple[float, float],
    b: tuple[float, float],
    total: float,
    *,
    rule: str = "the two lower ends fit into the total",
) -> tuple[float, float]:
    """Range of log(Y_a / Y_b) over a box with a limit on the sum."""
    if not (a[0] <= a[1] and b[0] <= b[1] and a[0] + b[0] <= total and total > 0):
        raise InfeasibleMargins(
            "volumes",
            got=f"a in [{a[0]:g}, {a[1]:g}], b in [{b[0]:g}, {b[1]:g}], total {total:g}",
            rule=rule,
            next_step="Check units, weeks and population of the ranges against the panel.",
        )
    most_a, most_b = min(a[1], total - b[0]), min(b[1], total - a[0])
    with np.errstate(divide="ignore"):
        low = np.log(a[0]) - np.log(most_b)
        high = np.log(most_a) - np.log(b[0])
    return float(low), float(high)


def _polygon(
    panel: tuple[float, float],
    a: tuple[float, float],
    b: tuple[float, float],
    total: float,
    odds: tuple[float, float],
) -> tuple[float, float]:
    """Range of log(Y_a / Y_b) when the odds ratio of coverage lies in `odds` as well.

    Lines are (intercept, slope) of q in t; d_b >= odds * d_a reads 1 - t >= odds * (q - t).
    """
    x_a, x_b = panel
    lower: list[Line] = [(0.0, a[0] / x_a)]
    upper: list[Line] = []
    if a[1] < np.inf:
        upper.append((0.0, a[1] / x_a))
    if total < np.inf:
        upper.append((-x_b / x_a, total / x_a))
    if odds[0] > 0:
        upper.append((1 / odds[0], 1 - 1 / odds[0]))
    if odds[1] < np.inf:
        lower.append((1 / odds[1], 1 - 1 / odds[1]))
    t_low, t_high = x_b / b[1], x_b / b[0]
    lines = np.array(lower + upper)
    gap = lines[:, None, :] - lines[None, :, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (-gap[..., 0] / gap[..., 1]).ravel()
    inside = crossing[(crossing > t_low) & (crossing < t_high)]
    t = np.concatenate([[t_low, t_high], inside])
    least = np.max([c + s * t for c, s in lower], axis=0)
    most = np.min([c + s * t for c, s in upper], axis=0) if upper else np.full_like(t, np.inf)
    fits = least <= most * (1 + _SLACK) + 1e-15
    if not fits.any():
        raise InfeasibleMargins(
            "coverage odds",
            got=f"odds ratio of a to b in [{odds[0]:g}, {odds[1]:g}]",
            rule="some volumes within their ranges must have coverage odds in that ratio",
            next_step="The ranges refute the assumption: widen gamma or drop the direction.",
        )
    with np.errstate(divide="ignore"):
        low, high = np.log(least[fits].min()), np.log(most[fits].max())
    naive = np.log(x_a / x_b)
    return float(naive + low), float(naive + max(low, high))


def ratio_bounds(
    named_a: "ArrayLike",
    named_b: "ArrayLike",
    *,
    hidden_a: tuple["ArrayLike", "ArrayLike"],
    hidden_b: tuple["ArrayLike", "ArrayLike"],
) -> tuple[FloatArray, FloatArray]:
    r"""Bound the ratio of two classes when part of each is hidden.

    .. math:: \frac{n_a + l_a}{n_b + u_b} \le \frac{X_a}{X_b} \le \frac{n_a + u_a}{n_b + l_b}

    An unassigned volume u (stealth models, the unnamed rest) that may belong to either class is
    ``hidden_a = hidden_b = (0, u)``. For the day's tail outside the top 50 take low and high of
    `offroute.measurement.truncation.hidden_bounds`: one class at its upper bound leaves the other
    its lower bound on every day, whatever third classes there are, so both ends are attained.

    Parameters
    ----------
    named_a, named_b : array_like
        Volumes known to belong to each class; one shape, or shapes that broadcast.
    hidden_a, hidden_b : tuple of two array_like
        Least and greatest hidden volume of each class, in the same unit.

    Returns
    -------
    low, high : ndarray
        Bounds of X_a / X_b; high is infinite where b may be empty.

    Raises
    ------
    InvalidValue
        If a volume is negative or a lower bound exceeds its upper bound.

    Examples
    --------
    >>> low, high = ratio_bounds(19.0, 14.0, hidden_a=(0.0, 3.0), hidden_b=(0.0, 3.0))
    >>> round(float(low), 6), round(float(high), 6)
    (1.117647, 1.571429)
    """
    named = [np.asarray(v, dtype=np.float64) for v in (named_a, named_b)]
    ends = [[np.asarray(v, dtype=np.float64) for v in pair] for pair in (hidden_a, hidden_b)]
    for name, values in zip(("named_a", "named_b"), named, strict=True):
        check_finite(values, name=name, minimum=0)
    for name, (low, high) in zip(("hidden_a", "hidden_b"), ends, strict=True):
        check_finite(low, name=name, minimum=0)
        if bool((high < low).any()):
            raise InvalidValue(
                name,
                got="a lower bound above its upper bound",
                rule="low <= high",
                next_step="Pass (low, high).",
            )
    with np.errstate(divide="ignore", invalid="ignore"):
        least = (named[0] + ends[0][0]) / (named[1] + ends[1][1])
        most = (named[0] + ends[0][1]) / (named[1] + ends[1][0])
    return np.asarray(least), np.asarray(most)


def aggregation_bounds(share: "ArrayLike", part: "ArrayLike") -> tuple[FloatArray, FloatArray]:
    r"""Bound a group's share inside a part of a population from the two margins alone.

    With the group's share theta of everything and the part's size r,

    .. math:: \max\{0, (\theta - (1 - r)) / r\} \le \theta_{part} \le \min\{1, \theta / r\}.

    Sharp without any assumption on how group and part go together (Duncan and Davis 1953,
    doi:10.2307/2088122). A share among US customers is not identified from the panel's margins.

    Parameters
    ----------
    share : array_like
        Share theta of the group in all volume, 0 to 1.
    part : array_like
        Share r of the part in all volume, above 0 and at most 1.

    Returns
    -------
    low, high : ndarray
        Bounds of the group's share inside the part.

    Raises
    ------
    InvalidValue
        If a share lies outside its range.

    Examples
    --------
    >>> low, high = aggregation_bounds(0.46, [0.47, 0.80])
    >>> low.round(6).tolist(), high.round(6).tolist()
    ([0.0, 0.325], [0.978723, 0.575])
    """
    theta, r = np.asarray(share, dtype=np.float64), np.asarray(part, dtype=np.float64)
    check_finite(theta, name="share", minimum=0)
    check_finite(r, name="part", minimum=0, strict=True)
    for name, values in (("share", theta), ("part", r)):
        if bool((values > 1).any()):
            raise InvalidValue(
                name,
                got=f"{values.max():g}",
                rule="must be at most 1",
                next_step="Divide percentages by 100.",
            )
    low = np.maximum(0.0, (theta - (1 - r)) / r)
    high = np.minimum(1.0, theta / r)
    return low, np.maximum(low, high)
