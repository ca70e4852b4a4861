r"""Promotions (C11): shares without free routes, and what a free window leaves behind.

A window is an unbroken run of weeks with tokens on a ``:free`` route. With the paid route's mean
over the w weeks before (B) and after (A) it, and the free route's mean within it (F), the
pass-through of the window is what of the free volume stayed on the paid route,

.. math:: \rho = \frac{A - B}{F} .
"""

import numpy as np
import pandas as pd

from offroute._checks import check_columns, check_finite, check_probability
from offroute._typing import FloatArray
from offroute.data.register import base_of, join_register
from offroute.exceptions import NotIdentified
from offroute.inference.mechanisms.counterfactual import direction_of
from offroute.inference.mechanisms.effect import Effect
from offroute.measurement.observed import FREE, observed_shares

#: Weeks before and after a window over which the paid route is averaged.
MARGIN_WEEKS = 4
#: Digits of a pass-through: means of whole tokens leave dust beyond.
_DIGITS = 9


def promotion_windows(
    usage: pd.DataFrame, models: pd.DataFrame, *, margin: int = MARGIN_WEEKS
) -> pd.DataFrame:
    """Find the windows of free routes, with what stayed on the paid route.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    margin : int
        Weeks before and after a window.

    Returns
    -------
    pandas.DataFrame
        ``model`` (without its variant), ``lab``, ``origin``, ``first``, ``last`` week, ``weeks``
        with tokens, ``free`` (mean tokens a week in the window), ``before``, ``after`` (paid tokens
        a week; 0 where the paid route is not listed), ``pass_through`` (missing where the window is
        open at either end of the table, or too near it).

    Raises
    ------
    InvalidValue
        If the margin is not above 0.
    SchemaError
        If a column is missing.
    NotIdentified
        If no week is known by model.

    Notes
    -----
    A week in which a route is not among a day's 50 largest counts as without tokens. Not causal:
    what else moved the paid route, such as a successor, is inside.
    """
    check_finite(margin, name="margin", minimum=0, strict=True)
    check_columns(usage, ["week_start", "model", "tokens", "basis"], name="usage")
    check_columns(models, ["model", "variant", "lab", "origin"], name="models")
    rows = usage[usage["basis"] == "model"]
    if rows.empty:
        raise NotIdentified(
            "promotion windows",
            got="no week known by model",
            rule="free routes are known by model only",
            next_step="Add weeks before 2026-09-14.",
        )
    weeks = np.sort(rows["week_start"].unique())
    wide = join_register(rows, models).pivot_table(
        index="week_start", columns="model", values="tokens", aggfunc="sum", fill_value=0
    )
    about = models.set_index("model")
    out = []
    for model in about.index[(about["variant"] == "free") & about.index.isin(wide.columns)]:
        free: FloatArray = wide[model].to_numpy(dtype=np.float64)
        paid = (
            wide[base_of(model)].to_numpy(dtype=np.float64)
            if base_of(model) in wide.columns
            else np.zeros(len(weeks))
        )
        edges = np.flatnonzero(np.diff(np.concatenate([[0], free > 0, [0]])))
        for start, stop in edges.reshape(-1, 2).tolist():
            whole = start >= margin and stop + margin <= len(weeks)
            before, after = paid[max(start - margin, 0) : start], paid[stop : stop + margin]
            level = float(free[start:stop].mean())
            a, b = (float(x.mean()) if len(x) else np.nan for x in (after, before))
            out.append(
                {
                    "model": base_of(model),
                    "lab": about.loc[model, "lab"],
                    "origin": about.loc[model, "origin"],
                    "first": weeks[start],
                    "last": weeks[stop - 1],
                    "weeks": int(stop - start),
                    "free": level,
                    "before": b,
                    "after": a,
                    "pass_through": round((a - b) / level, _DIGITS) if whole else np.nan,
                }
            )
    frame = pd.DataFrame(out).sort_values("free", ascending=False, kind="stable")
    return frame.reset_index(drop=True)


def free_routes(
    usage: pd.DataFrame, models: pd.DataFrame, *, week: str, level: float = 0.9
) -> Effect:
    """Say what leaving out free routes does to China against the US.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    week : str
        Monday of the week.
    level : float
        Printed; the middle is counted on named models, the ends give the unnamed rest, free or
        not, to one side.

    Returns
    -------
    Effect
        The parameter is the part of the week's tokens on free routes.

    Raises
    ------
    UnknownWeek
        If there is no such week.
    NotIdentified
        If the week is known by lab only.

    Notes
    -----
    A free token is a token: whether it belongs in the share depends on the question. Promotions
    without a free route (launch discounts) are not in it.
    """
    kept = observed_shares(usage, models, by="origin", week=week).set_index("class")
    paid = observed_shares(usage, models, by="origin", week=week, free="excluded")
    apart = observed_shares(usage, models, by="origin", week=week, free="own row")
    part = apart.set_index("class")["share"].get(FREE, 0.0)
    table = paid.set_index("class")
    naive, without = (
        float(np.log(tokens["China"] / tokens["US"]))
        for tokens in (kept["tokens"].to_dict(), table["tokens"].to_dict())
    )
    effect = (without - naive,) * 3
    return Effect(
        critique="C11",
        mechanism="free routes left out",
        population="panel",
        week=paid["week_start"].iloc[0].date().isoformat(),
        parameter="part of the week's tokens on free routes (fraction)",
        estimate=(float(part),) * 3,
        effect=effect,
        level=level,
        evidence=("usage", "models"),
        direction=direction_of(effect),
        strength="strong",
        note="counted on named models; discounts without a free route are not in it; naive: all "
        "named routes",
    )


def window_pass_through(
    windows: pd.DataFrame,
    usage: pd.DataFrame,
    models: pd.DataFrame,
    *,
    week: str,
    level: float = 0.9,
    least: float = 1e10,
) -> Effect:
    r"""Say what counting only the part of free tokens that stays does to China against the US.

    .. math:: \Delta(\rho) = \log\frac{C - (1 - \rho) F_C}{U - (1 - \rho) F_U} - \log\frac{C}{U}

    with the week's tokens C and U, and F_C and F_U of them on free routes.

    Parameters
    ----------
    windows : pandas.DataFrame
        As of `promotion_windows`.
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`, for the week's free tokens.
    week : str
        Monday of the week.
    level : float
        Probability of the interval: quantiles over windows.
    least : float
        Smallest mean tokens a week of a window that counts.

    Returns
    -------
    Effect
        The parameter is the pass-through of windows, weighted alike; its quantiles are those of one
        more window, not an interval of a mean. A pass-through of 0 leaves all free tokens out, of 1
        none.

    Raises
    ------
    UnknownWeek
        If there is no such week.
    NotIdentified
        If fewer than three windows have a pass-through, the week is known by lab only, or a
        negative pass-through takes more than a side has.

    Notes
    -----
    A description of windows that ended, not an effect of ending one: successors are inside.
    """
    check_probability(level, name="level")
    check_finite(least, name="least", minimum=0)
    known = windows[windows["pass_through"].notna() & (windows["free"] >= least)]
    if len(known) < 3:  # noqa: PLR2004 - quantiles need more than two
        raise NotIdentified(
            "pass-through",
            got=f"{len(known)} finished windows",
            rule="at least three are needed",
            next_step="Lower the least volume of a window.",
        )
    q = np.quantile(known["pass_through"], [(1 - level) / 2, 0.5, (1 + level) / 2])
    low, middle, high = (float(x) for x in np.round(q, _DIGITS) + 0.0)
    every = observed_shares(usage, models, by="origin", week=week)
    paid = observed_shares(usage, models, by="origin", week=week, free="excluded")
    every_of, paid_of = (t.set_index("class")["tokens"].to_dict() for t in (every, paid))
    rest = np.array([paid_of["China"], paid_of["US"]], dtype=np.float64)
    free = np.array([every_of["China"], every_of["US"]], dtype=np.float64) - rest
    kept = rest[:, None] + free[:, None] * np.array([low, middle, high])
    if not (kept > 0).all():
        raise NotIdentified(
            "pass-through",
            got=f"a pass-through of {low:.2f}",
            rule="a side must keep some tokens",
            next_step="See promotion_windows for the windows.",
        )
    change = np.log(kept[0] / kept[1]) - np.log((rest + free)[0] / (rest + free)[1])
    # Monotone in the pass-through: the middle stays between the ends.
    ends = sorted(float(x) for x in change)
    effect = ends[0], float(change[1]), ends[2]
    return Effect(
        critique="C11",
        mechanism="free tokens counted by what stays",
        population="panel",
        week=every["week_start"].iloc[0].date().isoformat(),
        parameter=f"gain of the paid route over free tokens, {len(known)} ended windows (ratio)",
        estimate=(low, middle, high),
        effect=effect,
        level=level,
        evidence=("usage", "models"),
        direction=direction_of(effect),
        strength="weak",
        note="quantiles over windows, not causal: successors are inside; the central model has a "
        "pass-through of its own; naive: every free token",
    )
