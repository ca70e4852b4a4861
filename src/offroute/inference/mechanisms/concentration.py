r"""Whales (C10 of the thread, here C11): how much hangs on one app or one model.

The effective number of apps is :math:`1 / \sum_a s_a^2`. A ranking names the largest apps only: the
rest R adds at least 0 and at most :math:`R\, s_{min}` to the sum of squares, since no hidden app is
larger than the smallest named one. Leaving out app a with known Chinese and US tokens
:math:`c_a, u_a` and a rest of unknown origin :math:`r_a` moves the log ratio to somewhere in

.. math:: \Big[\log \frac{C - c_a - r_a}{U - u_a},\; \log \frac{C - c_a}{U - u_a - r_a}\Big] .
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from offroute._checks import check_finite
from offroute.data.frames import resolve_week
from offroute.data.register import AUTHORS, TAIL_MODEL, author_of, join_register
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.mechanisms.counterfactual import direction_of
from offroute.inference.mechanisms.effect import Effect

#: Row of `load_app_models` that holds an app's total.
TOTAL = "all"
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Concentration:
    """How concentrated the panel is over apps.

    Attributes
    ----------
    window_end : str
        Day that ends the window.
    apps : int
        Apps named.
    top_share : float
        Part of all tokens that the named apps have.
    largest : float
        Part of the largest one.
    effective : tuple of float
        Least and most of the effective number of apps.
    """

    window_end: str
    apps: int
    top_share: float
    largest: float
    effective: tuple[float, float]


def app_concentration(
    apps: pd.DataFrame,
    usage: pd.DataFrame,
    *,
    top: int | None = None,
    window_end: str | None = None,
) -> Concentration:
    """Measure the concentration over apps in a window of the rankings.

    Parameters
    ----------
    apps : pandas.DataFrame
        As of `load_apps`.
    usage : pandas.DataFrame
        As of `load_usage`, for the panel's total over the window: weeks are taken in proportion to
        the days that they share with it.
    top : int, optional
        Count the named apps down to this rank only.
    window_end : str, optional
        Day that ends the window; the latest by default.

    Returns
    -------
    Concentration
        Shares of all tokens, those without an app included, and bounds of the effective number.

    Raises
    ------
    NotIdentified
        If the window does not exist or the panel does not cover it.
    InvalidValue
        If `top` is below 1, or named apps exceed the panel.
    """
    day = apps["window_end"].max() if window_end is None else pd.Timestamp(window_end)
    rows = apps[apps["window_end"] == day]
    if top is not None and top < 1:
        raise InvalidValue("top", got=top, rule="must be at least 1", next_step="Ask for 10.")
    if rows.empty:
        raise NotIdentified(
            "window_end",
            got=str(day.date()),
            rule="must end a window of the rankings",
            next_step=f"The latest is {apps['window_end'].max().date()}.",
        )
    rows = rows[rows["window_days"] == rows["window_days"].max()].nlargest(
        len(rows) if top is None else top, "tokens"
    )
    length = int(rows["window_days"].iloc[0])
    total = _panel_total(usage, day, length)
    share = rows["tokens"].to_numpy(dtype=np.float64) / total
    rest = 1 - share.sum()
    if rest < -_ROUNDING:
        raise InvalidValue(
            "apps",
            got=f"{share.sum():.2f} of the panel",
            rule="named apps must not exceed the panel",
            next_step="Check the length of the window.",
        )
    squares = float((share**2).sum())
    most = squares + max(float(rest), 0.0) * float(share.min())
    return Concentration(
        window_end=str(day.date()),
        apps=len(rows),
        top_share=float(share.sum()),
        largest=float(share.max()),
        effective=(1 / float(most), 1 / squares),
    )


def _panel_total(usage: pd.DataFrame, end: pd.Timestamp, length: int) -> float:
    """Panel tokens of the `length` days before `end`, from weekly sums."""
    weeks = usage.groupby("week_start").agg(tokens=("tokens", "sum"), days=("days", "first"))
    monday = weeks.index.to_numpy().astype("datetime64[D]")
    stop = end.to_datetime64().astype("datetime64[D]")
    first = np.maximum(monday, stop - np.timedelta64(length, "D"))
    last = np.minimum(monday + np.timedelta64(7, "D"), stop)
    inside = np.maximum((last - first).astype(np.int64), 0)
    if inside.sum() < length:
        raise NotIdentified(
            "apps",
            got=f"{int(inside.sum())} of {length} days of the window",
            rule="the panel must cover the window",
            next_step="Choose a window within the usage table.",
        )
    return float((weeks["tokens"] / weeks["days"]).to_numpy() @ inside)


def leave_one_model_out(usage: pd.DataFrame, models: pd.DataFrame, *, week: str) -> pd.DataFrame:
    """Remove each named model in turn.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    week : str
        Monday of the week.

    Returns
    -------
    pandas.DataFrame
        ``model``, ``origin``, ``tokens``, ``change`` of log(China / US) on named models; by falling
        absolute change.

    Raises
    ------
    UnknownWeek
        If there is no such week.
    NotIdentified
        If a side has fewer than two models.
    """
    start = resolve_week(usage, week)
    rows = join_register(usage[usage["week_start"] == start], models)
    rows = rows[(rows["model"] != TAIL_MODEL) & rows["origin"].isin(["China", "US"])]
    side = rows.groupby("origin")["tokens"].transform("sum").to_numpy(dtype=np.float64)
    if rows["origin"].nunique() < 2 or bool((rows.groupby("origin").size() < 2).any()):  # noqa: PLR2004 - two sides
        raise NotIdentified(
            "leave one model out",
            got="a side with one model or none",
            rule="both sides need two models",
            next_step="Choose another week.",
        )
    sign = np.where(rows["origin"] == "China", 1.0, -1.0)
    change = sign * np.log1p(-rows["tokens"].to_numpy(dtype=np.float64) / side)
    table = rows[["model", "origin", "tokens"]].assign(change=change)
    order = table["change"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def app_origins(app_models: pd.DataFrame) -> pd.DataFrame:
    """Add up what is known of each app's tokens by origin of the model.

    Parameters
    ----------
    app_models : pandas.DataFrame
        As of `load_app_models`.

    Returns
    -------
    pandas.DataFrame
        Index ``app``; ``China``, ``US``, ``other`` (tokens known), ``unknown`` (the rest of the
        app's total; 0 where no total is published: a lower bound then), ``total``.
    """
    known = app_models[app_models["model"] != TOTAL].copy()
    # An origin is never guessed: an author that is not in the register may be of either side.
    origin = [AUTHORS.get(author_of(m), ("", "unknown"))[1] for m in known["model"]]
    known["origin"] = [o if o in ("China", "US", "unknown") else "other" for o in origin]
    table = known.pivot_table(
        index="app", columns="origin", values="tokens", aggfunc="sum", fill_value=0
    ).reindex(columns=["China", "US", "other", "unknown"], fill_value=0)
    totals = app_models[app_models["model"] == TOTAL].set_index("app")["tokens"]
    named = table.sum(axis=1)
    rest = (totals.reindex(table.index).fillna(0) - named).clip(lower=0)
    table["unknown"] += rest
    return table.assign(total=named + rest).sort_values("total", ascending=False)


def leave_one_app_out(
    origins: pd.DataFrame, *, china: float, us: float, rest: float | None = None
) -> pd.DataFrame:
    """Remove each app in turn, with bounds for its tokens of unknown origin.

    Parameters
    ----------
    origins : pandas.DataFrame
        As of `app_origins`.
    china, us : float
        Tokens of the panel over the same window.
    rest : float, optional
        Part of an app's known tokens that may be missing where no total is published; 0 by default.

    Returns
    -------
    pandas.DataFrame
        ``app``, ``total``, ``low``, ``high``: bounds of the change of log(China / US); by falling
        absolute bound.

    Raises
    ------
    InvalidValue
        If the panel's tokens are not above 0 or below an app's.
    """
    check_finite([china, us], name="china and us", minimum=0, strict=True)
    check_finite(rest or 0.0, name="rest", minimum=0)
    loose = origins["unknown"] + (rest or 0.0) * origins["total"]
    c, u = china - origins["China"], us - origins["US"]
    if bool(((c - loose <= 0) | (u - loose <= 0)).any()):
        raise InvalidValue(
            "china and us",
            got=f"{china:g} and {us:g}",
            rule="must exceed every app's tokens",
            next_step="Give the panel's tokens over the window of the apps.",
        )
    plain = np.log(china / us)
    table = pd.DataFrame(
        {
            "total": origins["total"],
            "low": np.log((c - loose) / u) - plain,
            "high": np.log(c / (u - loose)) - plain,
        }
    ).reset_index()
    widest = table[["low", "high"]].abs().max(axis=1)
    return table.loc[widest.sort_values(ascending=False, kind="stable").index].reset_index(
        drop=True
    )


def one_model(
    usage: pd.DataFrame, models: pd.DataFrame, *, week: str, level: float = 0.9
) -> Effect:
    """Say what removing any one model can do at most.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    week : str
        Monday of the week.
    level : float
        Printed; the effect is counted.

    Returns
    -------
    Effect
        From the most China loses to the most it gains; the middle is the largest in absolute value.

    Raises
    ------
    UnknownWeek, NotIdentified
        As `leave_one_model_out`.
    """
    table = leave_one_model_out(usage, models, week=week)
    low, high = float(table["change"].min()), float(table["change"].max())
    first = table.iloc[0]
    start = resolve_week(usage, week)
    part = float(first["tokens"] / usage.loc[usage["week_start"] == start, "tokens"].sum())
    return Effect(
        critique="C11",
        mechanism="any one model left out",
        population="panel",
        week=start.date().isoformat(),
        parameter=f"part of {first['model']} in the week's tokens (fraction)",
        estimate=(part, part, part),
        effect=(low, float(first["change"]), high),
        level=level,
        evidence=("usage", "models"),
        direction=direction_of((low, 0.0, high)),
        strength="strong",
        note=f"range over models; the largest change is {first['change']:+.2f}; naive: all named",
    )


def one_app(
    app_models: pd.DataFrame,
    daily: pd.DataFrame,
    models: pd.DataFrame,
    concentration: Concentration,
    *,
    level: float = 0.9,
) -> Effect:
    """Bound what removing any one app can do at most.

    Parameters
    ----------
    app_models : pandas.DataFrame
        As of `load_app_models`: 30 days to 2026-07-07.
    daily : pandas.DataFrame
        As of `load_daily`, for the panel's tokens over these days.
    models : pandas.DataFrame
        Register.
    concentration : Concentration
        As of `app_concentration`, for the parameter.
    level : float
        Printed; the bounds hold surely for apps with a published total.

    Returns
    -------
    Effect
        The parameter is the effective number of apps, bounds.

    Raises
    ------
    NotIdentified
        If the daily table does not hold the window.
    """
    end = pd.Timestamp("2026-07-07")
    window = daily[(daily["date"] < end) & (daily["date"] >= end - pd.Timedelta(days=30))]
    if window["date"].nunique() < 30:  # noqa: PLR2004 - days of the window
        raise NotIdentified(
            "daily",
            got=f"{window['date'].nunique()} of 30 days",
            rule="the panel must cover the window of the apps",
            next_step="Use the shipped table.",
        )
    rows = join_register(window, models).groupby("origin")["tokens"].sum()
    table = leave_one_app_out(
        app_origins(app_models), china=float(rows["China"]), us=float(rows["US"])
    )
    low, high = float(table["low"].min()), float(table["high"].max())
    return Effect(
        critique="C11",
        mechanism=f"any one app left out, 30 days to {end.date()}",
        population="panel",
        week=end.date().isoformat(),
        parameter=f"effective number of apps, 30 days to {concentration.window_end}",
        estimate=(concentration.effective[0], float("nan"), concentration.effective[1]),
        effect=(low, float("nan"), high),
        level=level,
        evidence=("app_models", "apps", "daily"),
        direction=direction_of((low, 0.0, high)),
        strength="bounds only",
        note=f"apps with published models only; largest: {table.iloc[0]['app']}; the "
        f"{concentration.apps} named apps have {concentration.top_share:.0%} of all "
        "tokens; naive: all apps",
    )
