"""Weekly paths of corrected volumes, drawn jointly over the weeks."""

import numpy as np
import pandas as pd

from offroute._checks import check_choice
from offroute._typing import AnyArray, BoolArray, FloatArray
from offroute.estimators.field import off_platform
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import UnknownPartition, UsageError
from offroute.inference.series import series_bands
from offroute.inference.shares import SHARE_PARTITIONS, cell_labels


def volume_paths(posterior: Posterior, member: FloatArray) -> FloatArray:
    """Draw the total volume of classes in every week of the posterior.

    Parameters
    ----------
    posterior : Posterior
        Result of the synthesis.
    member : ndarray, shape (G, C)
        Which cells belong to which class (weights, such as prices, are allowed).

    Returns
    -------
    ndarray, shape (k, W, G)
        Tokens a week in the weeks of `posterior.draws.weeks`, jointly over weeks.
    """
    weeks, market = posterior.draws.weeks, posterior.market
    out = np.empty((len(posterior.draws.base), len(weeks), len(member)))
    for j, week in enumerate(weeks):
        D = off_platform(posterior.features, posterior.prior, posterior.draws, int(week))
        out[:, j] = (market.X[week] + D) @ member.T
    return out


def log_ratio_paths(
    posterior: Posterior, numerator: BoolArray, denominator: BoolArray
) -> tuple[AnyArray, FloatArray, FloatArray]:
    """Draw the log ratio of two groups of cells in every week, missing weeks kept as gaps.

    Parameters
    ----------
    posterior : Posterior
        Result of the synthesis, with draws in several weeks.
    numerator, denominator : ndarray of bool, shape (C,)
        The cells of either side, such as `Market.is_china` and `Market.is_us`.

    Returns
    -------
    weeks : ndarray of datetime64[D], shape (T,)
        All Mondays from the first to the last week.
    paths : ndarray, shape (k, T)
        Corrected log ratio; NaN in weeks that the panel does not have.
    panel : ndarray, shape (T,)
        The panel's own log ratio, NaN likewise.
    """
    market, weeks = posterior.market, posterior.draws.weeks
    member = np.array([numerator, denominator], dtype=np.float64)
    Y = volume_paths(posterior, member)
    X = market.X[weeks] @ member.T
    days = market.weeks[weeks]
    calendar = np.arange(days[0], days[-1] + np.timedelta64(1, "D"), np.timedelta64(7, "D"))
    place = np.searchsorted(calendar, days)
    paths = np.full((len(Y), len(calendar)), np.nan)
    panel = np.full(len(calendar), np.nan)
    with np.errstate(divide="ignore"):
        paths[:, place] = np.log(Y[:, :, 0] / Y[:, :, 1])
        panel[place] = np.log(X[:, 0] / X[:, 1])
    return calendar, paths, panel


def ratio_series(
    posterior: Posterior, numerator: BoolArray, denominator: BoolArray, *, level: float = 0.9
) -> pd.DataFrame:
    """Tabulate the corrected weekly ratio of two groups beside the panel's.

    Parameters
    ----------
    posterior : Posterior
        Result of the synthesis, with draws in several weeks.
    numerator, denominator : ndarray of bool, shape (C,)
        The cells of either side.
    level : float
        Probability of the pointwise intervals and of the simultaneous band.

    Returns
    -------
    pandas.DataFrame
        ``population``, ``week_start``, ``basis`` (model, lab, or empty), ``observed`` ratio,
        corrected ``ratio`` with pointwise ``low``, ``high`` and simultaneous ``band_low``,
        ``band_high``;
        ``p_leads``; ``benchmarks`` dated in the week and ``weeks_since_last`` benchmark (negative
        before it). Missing weeks are rows without values.

    Raises
    ------
    UsageError, NotIdentified
        As `offroute.inference.series.series_bands`.

    Examples
    --------
    >>> import offroute
    >>> posterior = offroute.correct("world-external-api", weeks=("2026-06-01",), n_draws=400)
    >>> market = posterior.market
    >>> series = ratio_series(posterior, market.is_china, market.is_us)
    >>> bool((series["band_low"] <= series["low"]).all())
    True
    """
    weeks, paths, panel = log_ratio_paths(posterior, numerator, denominator)
    bands = series_bands(paths, level=level)
    market, b = posterior.market, posterior.benchmarks
    dated = market.weeks[b.week]
    last = dated.max() if len(b) else weeks[-1]
    by_model = np.isin(weeks, market.weeks[market.by_model])
    return pd.DataFrame(
        {
            "population": b.population,
            "week_start": weeks.astype("datetime64[us]"),
            "basis": np.where(np.isnan(panel), "", np.where(by_model, "model", "lab")),
            "observed": np.exp(panel),
            "ratio": np.exp(bands.median),
            "low": np.exp(bands.low),
            "high": np.exp(bands.high),
            "band_low": np.exp(bands.band_low),
            "band_high": np.exp(bands.band_high),
            "p_leads": np.where(np.isnan(panel), np.nan, (paths > 0).mean(axis=0)),
            "benchmarks": [(dated == week).sum() for week in weeks],
            "weeks_since_last": (weeks - last).astype("int64") / 7.0,
        }
    )


def share_series(
    posterior: Posterior, *, by: str = "group", quantity: str = "tokens", level: float = 0.9
) -> pd.DataFrame:
    """Tabulate the corrected weekly shares of any partition beside the panel's.

    Parameters
    ----------
    posterior : Posterior
        Result of the synthesis, with draws in several weeks.
    by : {'group', 'origin', 'weights', 'lab', 'tier'}
        The partition; models of undeclared origin are in no class here.
    quantity : {'tokens', 'dollars'}
        Tokens, or tokens at the panel's effective price of the cell and week.
    level : float
        Probability of the pointwise intervals and of the simultaneous band, which holds for all
        weeks of one class.

    Returns
    -------
    pandas.DataFrame
        ``population``, ``quantity``, ``by``, ``class``, ``week_start``; ``observed`` and
        ``corrected`` share with pointwise ``low``, ``high`` and ``band_low``, ``band_high``;
        ``weeks_since_last`` benchmark. Missing weeks are rows without values.

    Raises
    ------
    UnknownPartition, UsageError
        If there is no such partition or quantity.

    Notes
    -----
    The price elsewhere is taken as that on the panel: dollars need a lab with both token and
    revenue figures, and are less well known than tokens.

    Examples
    --------
    >>> import offroute
    >>> posterior = offroute.correct("world-external-api", weeks=("2026-06-01",), n_draws=400)
    >>> series = share_series(posterior, by="origin")
    >>> sorted(series["class"].unique())
    ['China', 'Rest of world', 'US']
    """
    check_choice(by, SHARE_PARTITIONS, name="by", error=UnknownPartition)
    check_choice(quantity, ["tokens", "dollars"], name="quantity", error=UsageError)
    market, drawn = posterior.market, posterior.draws.weeks
    label = cell_labels(market)[by].to_numpy()
    names = sorted(set(label), key=lambda g: (-market.X[drawn[-1], label == g].sum(), g))
    member = np.array([label == g for g in names], dtype=np.float64)
    days = market.weeks[drawn]
    weeks = np.arange(days[0], days[-1] + np.timedelta64(1, "D"), np.timedelta64(7, "D"))
    place = np.searchsorted(weeks, days)
    share = np.full((len(posterior.draws.base), len(weeks), len(names)), np.nan)
    panel = np.full((len(weeks), len(names)), np.nan)
    for j, week in enumerate(drawn):
        D = off_platform(posterior.features, posterior.prior, posterior.draws, int(week))
        unit = market.price[week] if quantity == "dollars" else np.ones(len(label))
        Y, X = (market.X[week] + D) * unit @ member.T, market.X[week] * unit @ member.T
        share[:, place[j]] = Y / Y.sum(axis=1, keepdims=True)
        panel[place[j]] = X / X.sum()
    b = posterior.benchmarks
    last = market.weeks[b.week].max() if len(b) else weeks[-1]
    out = []
    for g, name in enumerate(names):
        bands = series_bands(share[:, :, g], level=level)
        out.append(
            pd.DataFrame(
                {
                    "population": b.population,
                    "quantity": quantity,
                    "by": by,
                    "class": name,
                    "week_start": weeks.astype("datetime64[us]"),
                    "observed": panel[:, g],
                    "corrected": bands.median,
                    "low": bands.low,
                    "high": bands.high,
                    "band_low": bands.band_low,
                    "band_high": bands.band_high,
                    "weeks_since_last": (weeks - last).astype("int64") / 7.0,
                }
            )
        )
    return pd.concat(out, ignore_index=True)
