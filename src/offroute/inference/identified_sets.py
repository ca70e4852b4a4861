"""What is known without a model: nested bounds of one week from the panel and the ledger."""

import numpy as np
import pandas as pd

from offroute._checks import check_finite, check_probability
from offroute._typing import FloatArray
from offroute.exceptions import InfeasibleMargins
from offroute.inference.billing import billing_bounds
from offroute.inference.bounds import nested_bounds, ratio_bounds
from offroute.inference.partial_intervals import imbens_manski
from offroute.inference.shares import Volumes
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import Market

#: Largest factors between the coverage odds of China and the US that are tried.
GAMMAS = (2.0, 5.0, 10.0, 30.0, 100.0)
#: A figure is read as an interval of this many of its log standard deviations on either side.
_SDS = 1.645
#: Figures about a whole side bound it from above only if they are at most this many weeks away.
_NEAR_WEEKS = 26.0
#: Assumed error of the part of the panel's tokens that is billed in the US.
_US_PART_SD = 0.03
_T = 1e12


def disclosed_range(
    market: Market, b: Benchmarks, week: int, *, china: bool
) -> tuple[float, float]:
    r"""Range of the total of one side that its figures allow.

    Every figure is an interval :math:`[v/F, vF]` with :math:`\log F = 1.645 \sqrt{s^2 + q^2}`. The
    side has at least the sum over its labs of each lab's largest lower end up to the week (a lab's
    tokens do not shrink between a figure and the week), and at most the smallest upper end of a
    figure about the whole side within half a year.

    Parameters
    ----------
    market : Market
        The panel.
    b : Benchmarks
        Figures about the population.
    week : int
        Index of the week.
    china : bool
        Whether the side is China, else the US.

    Returns
    -------
    low, high : float
        Tokens a week; high is infinite if no figure covers the side.
    """
    side = market.is_china if china else market.is_us
    n_labs = len({lab for lab, here in zip(market.labs, side, strict=True) if here})
    spread = _SDS * np.hypot(b.s, b.q)
    lower: dict[int, float] = {}
    high = np.inf
    for i in np.flatnonzero(~b.flat[b.family] & (b.origin == (-1 if china else 1))):
        cells = b.w[i] > 0
        X = market.X[b.week[i], cells]
        # Money is turned into tokens at the panel's mean price of the lab.
        price = float((b.w[i, cells] @ X) / X.sum()) if X.sum() > 0 else float(b.w[i, cells].mean())
        value = float(np.exp(b.y[i] - b.off[i])) / price
        rest = (1 - b.iota[i]) * X.sum()
        units = np.unique(market.unit[cells])
        if len(units) == 1 and b.side[i] >= 0 and b.week[i] <= week:
            at_least = value * np.exp(-spread[i]) + rest
            lower[int(units[0])] = max(lower.get(int(units[0]), 0.0), at_least)
        covered = {lab for lab, here in zip(market.labs, cells, strict=True) if here}
        near = abs(market.elapsed[b.week[i]] - market.elapsed[week]) <= _NEAR_WEEKS
        if len(covered) == n_labs and b.side[i] <= 0 and near:
            high = min(high, value * np.exp(spread[i]) + rest)
    return float(sum(lower.values())), high


def nested_table(
    market: Market,
    b: Benchmarks,
    week: int,
    *,
    ceilings: bool = True,
    coverage_ratio: float | None = None,
) -> pd.DataFrame:
    """Bound China against the US under assumptions of growing strength.

    The population must contain what the panel sees, as the two of US customers do not.

    Parameters
    ----------
    market : Market
        The panel.
    b : Benchmarks
        Figures about the population.
    week : int
        Index of the week.
    ceilings : bool
        Whether figures bound the population from above as well, or only a part of it.
    coverage_ratio : float, optional
        Lambda of the last row, such as its posterior median.

    Returns
    -------
    pandas.DataFrame
        ``assumption``, ``low`` and ``high`` of the ratio, ``share_low`` and ``share_high`` of China
        in the two, ``leads`` (China, US or open), and ``note``: figures or an assumption that the
        figures refute.
    """
    panel = (
        float(market.X[week, market.is_china].sum()),
        float(market.X[week, market.is_us].sum()),
    )
    china = disclosed_range(market, b, week, china=True)
    us = disclosed_range(market, b, week, china=False)
    if not ceilings:
        china, us = (china[0], np.inf), (us[0], np.inf)
    rows: list[dict[str, object]] = []

    def _add(name: str, low: float, high: float, note: str = "") -> None:
        leads = "China" if low > 0 else "US" if high < 0 else "open"
        share = [1 / (1 + np.exp(-x)) for x in (low, high)]
        rows.append(
            {
                "assumption": name,
                "low": np.exp(low),
                "high": np.exp(high),
                "share_low": share[0],
                "share_high": share[1],
                "leads": leads if not note.startswith("refuted") else "",
                "note": note,
            }
        )

    _add("no figure, no assumption", -np.inf, np.inf)
    free = nested_bounds(panel)
    _add("Y >= X", free.low[-1], free.high[-1], "totals have no ceiling")
    note = f"China {_span(china)}, US {_span(us)} a week"
    try:
        told = nested_bounds(panel, volume_a=china, volume_b=us)
        _add("... and figures within their errors", told.low[-1], told.high[-1], note)
    except InfeasibleMargins:
        _add("... and figures within their errors", np.nan, np.nan, "refuted by the figures")
        china = us = (0.0, np.inf)
    if ceilings:
        least, most = by_openness(market, week)
        _add("... or coverage by openness alone", least, most, "open weights at least as well")
    for gamma in (None, *GAMMAS):
        name = "... and China covered at least as well"
        if gamma is not None:
            name = f"... or coverage odds within a factor of {gamma:g}"
        try:
            found = nested_bounds(
                panel,
                volume_a=china,
                volume_b=us,
                better_covered="a" if gamma is None else None,
                gamma=gamma,
            )
            _add(name, found.low[-1], found.high[-1])
        except InfeasibleMargins:
            _add(name, np.nan, np.nan, "refuted by the figures")
    if coverage_ratio is not None:
        point = float(np.log(panel[0] / panel[1] / coverage_ratio))
        _add(f"Lambda = {coverage_ratio:.2f}, the posterior median", point, point)
    return pd.DataFrame(rows)


def by_openness(market: Market, week: int) -> tuple[float, float]:
    r"""Bound log(Y_CN / Y_US) if coverage depends on openness alone and open weights have more.

    With :math:`r = \pi_{open} / \pi_{closed} \ge 1`,

    .. math:: \frac{Y_{CN}}{Y_{US}} =
       \frac{X_{CN,open} + r X_{CN,closed}}{X_{US,open} + r X_{US,closed}},

    which runs from the panel's ratio to that of the closed models as r grows without bound.

    Parameters
    ----------
    market : Market
        The panel.
    week : int
        Index of the week.

    Returns
    -------
    low, high : float
        Log ratio; minus infinity if the panel shows no closed Chinese model.
    """
    X = market.X[week]
    with np.errstate(divide="ignore"):
        ends = [
            float(np.log(X[market.is_china & of].sum() / X[market.is_us & of].sum()))
            for of in (np.ones(len(X), dtype=bool), market.is_closed)
        ]
    return min(ends), max(ends)


def _span(x: tuple[float, float]) -> str:
    least = f"{x[0] / _T:.0f}"
    return f"at least {least} T" if x[1] == np.inf else f"{least} to {x[1] / _T:.0f} T"


def us_customers(
    share: float, part: float, *, rest: float = 0.0, sd: float = _US_PART_SD, level: float = 0.95
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bound China's share among US customers from margins, with the error of the margin.

    Parameters
    ----------
    share : float
        China's share among China and the US, over all customers.
    part : float
        Part of all tokens that US customers use.
    rest : float
        Part of all tokens that is of other or undeclared origin, which loosens the bounds.
    sd : float
        Error of that part (billing addresses are not users).
    level : float
        Coverage of the interval of Imbens and Manski for the share itself.

    Returns
    -------
    bounds : tuple of two float
        Aggregation bounds, as of `offroute.inference.billing.billing_bounds`.
    interval : tuple of two float
        Interval that also holds the error of the part, within [0, 1].

    Raises
    ------
    UsageError
        If a share or part is not inside (0, 1), or the rest not in [0, 1).
    InvalidValue
        If the sd is negative.

    Examples
    --------
    >>> bounds, interval = us_customers(0.46, 0.8, sd=0.03)
    >>> [round(x, 3) for x in (*bounds, *interval)]
    [0.325, 0.575, 0.283, 0.61]
    """
    check_probability(share, name="share")
    check_probability(part, name="part")
    if rest:
        check_probability(rest, name="rest")
    check_finite(sd, name="sd", minimum=0)
    china, us = share * (1 - rest), (1 - share) * (1 - rest)
    step = min(1e-4, part / 2, (1 - part) / 2)

    def _bounds(r: float) -> tuple[float, float]:
        return billing_bounds(china, us, 1.0, (r, r))

    low, high = _bounds(part)
    moved = [_bounds(part + s * step) for s in (-1, 1)]
    se = [abs(float(moved[1][j]) - float(moved[0][j])) / (2 * step) * sd for j in (0, 1)]
    if max(se) == 0:
        return (low, high), (low, high)
    found = imbens_manski((low, high), (se[0], se[1]), level=level)
    return (low, high), (max(found.low, 0.0), min(found.high, 1.0))


def _numbers(audit: pd.DataFrame, week: pd.Timestamp) -> dict[str, float]:
    columns = ["top_china", "top_us", "china", "us", "stealth", "unnamed"]
    values = audit.loc[audit["week_start"] == week, columns].to_numpy(dtype=np.float64)[0]
    return dict(zip(columns, values.tolist(), strict=True))


def truncation_table(audit: pd.DataFrame, hidden: pd.DataFrame, week: pd.Timestamp) -> pd.DataFrame:
    """Bound the panel's own ratio: models outside the day's top 50, and stealth models.

    Parameters
    ----------
    audit : pandas.DataFrame
        As `offroute.measurement.audit.audit_weeks` returns it.
    hidden : pandas.DataFrame
        As `offroute.measurement.truncation.hidden_bounds` returns it by origin.
    week : pandas.Timestamp
        Monday.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``low`` and ``high`` of the panel's ratio of China to the US: under the press's
        rule, all named, with the unnamed rest within its bounds (day by day from the cap of the
        50th model where daily data exist, else all of it either way), and with stealth either way
        as well.
    """
    row = _numbers(audit, week)
    of_week = hidden[hidden["week_start"] == week].set_index("class")
    rest = row["unnamed"]
    if len(of_week):
        cn, us = (
            (float(of_week["low"].loc[c]), float(of_week["high"].loc[c])) for c in ("China", "US")
        )
        how = "each hidden model of a day at most the 50th model's tokens"
    else:
        cn = us = (0.0, rest)
        how = "no daily data: all of it either way"
    stealth, china, usa = row["stealth"], row["china"], row["us"]
    named = china / usa
    press = row["top_china"] / row["top_us"]
    low, high = ratio_bounds(china, usa, hidden_a=cn, hidden_b=us)
    # Unassigned tokens go to one side or the other, never to both.
    far = (
        float((china + cn[0]) / (usa + us[1] + stealth)),
        float((china + cn[1] + stealth) / (usa + us[0])),
    )
    rows: list[tuple[str, float, float, str]] = [
        ("the nine models of the chart", press, press, ""),
        ("all named models", named, named, ""),
        ("... and the unnamed rest", float(low), float(high), how),
        ("... and stealth models, all to either side", *far, ""),
    ]
    table = pd.DataFrame(rows, columns=["what", "low", "high", "note"])
    return table[table["low"].notna()].reset_index(drop=True)


def self_hosting_break_even(v: Volumes) -> FloatArray:
    r"""Self-hosted Chinese open weights at which China would lead, per token sold through an API.

    With self-hosting only of Chinese open weights, the case most favourable to China, it leads if
    :math:`h > (Y_{US} - Y_{CN}) / Y_{CN,open}`.

    Parameters
    ----------
    v : Volumes
        A week of world-external-api.

    Returns
    -------
    ndarray, shape (k,)
        Draws of the factor h; 0 where China leads already.
    """
    group = v.labels["group"].to_numpy()
    origin = v.labels["origin"].to_numpy()
    china, us = v.Y[:, origin == "China"].sum(axis=1), v.Y[:, origin == "US"].sum(axis=1)
    out: FloatArray = np.maximum(us - china, 0.0) / v.Y[:, group == "China open"].sum(axis=1)
    return out
