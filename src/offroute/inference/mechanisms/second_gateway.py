r"""The second gateway: what two biased samples of one market say about each other.

Differences of log shares identify the relative selection of panel A and gateway B within an origin,

.. math:: d_l = \log\frac{s^B_l}{s^B_{origin}} - \log\frac{s^A_l}{s^A_{origin}} =
   \log\frac{\pi^B_l}{\pi^B_{origin}} - \log\frac{\pi^A_l}{\pi^A_{origin}} .

Neither selection is identified, nor the market's volume: tokens cannot be recaptured, since a token
passes one gateway. Between origins the difference mixes both gateways' selection, and is shown as
what would happen if the gateway had the market's own composition.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from offroute._random import RngLike, resolve_rng
from offroute._typing import FloatArray
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.estimators.synthesis import Posterior, synthesise
from offroute.exceptions import NotIdentified
from offroute.inference.diagnostics import predict_rows
from offroute.inference.lead_lag import LeadLag, lead_lag
from offroute.inference.mechanisms.counterfactual import china_over_us
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes
from offroute.measurement.gateway import (
    SELECTION_SD,
    gateway_benchmarks,
    join_benchmarks,
    origin_log_ratio,
    shared_labs,
    window,
)
from offroute.measurement.ledger import take
from offroute.measurement.market import Market, week_index


def relative_selection(
    market: Market, gateway: pd.DataFrame, *, week: str, level: float = 0.9
) -> pd.DataFrame:
    """Tabulate by how much more the gateway selects each lab than the panel, within its origin.

    Parameters
    ----------
    market : Market
        The panel.
    gateway : pandas.DataFrame
        As `offroute.data.snapshot.load_gateway` returns it.
    week : str
        A day of the week, ISO; the gateway's days within four weeks of it are used.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``origin``, ``lab``, ``panel`` and ``gateway`` share within the labs of the origin that both
        show, ``difference`` of the logs with ``low``, ``high`` (t interval over days), ``days``.

    Raises
    ------
    UnknownWeek
        If the panel lacks the week.
    NotIdentified
        If the gateway has no two days near it, or no origin has two labs in both.

    Notes
    -----
    Identified without a prior: the market's own composition cancels. The interval holds the
    day-to-day noise of the gateway only, as if days a fortnight apart were independent.
    """
    from scipy.stats import t as student  # noqa: PLC0415 - keeps the import of the package cheap

    at = week_index(market, week)
    rows = window(gateway, str(market.weeks[at]))
    days = int(rows["date"].nunique())
    out = []
    for origin in ("US", "China"):
        labs = shared_labs(rows, market, at, origin)
        if len(labs) <= 1:
            continue
        of = np.array([[name == lab for name in market.labs] for lab in labs], dtype=np.float64)
        panel = of @ market.X[at]
        wide = rows.pivot_table(index="date", columns="lab", values="token_share")[labs]
        daily = wide.to_numpy(dtype=np.float64)
        within = np.log(daily / daily.sum(axis=1, keepdims=True))
        mean, sd = within.mean(axis=0), within.std(axis=0, ddof=1) / np.sqrt(days)
        difference = mean - np.log(panel / panel.sum())
        half = float(student.ppf(0.5 + level / 2, days - 1)) * sd
        for j, lab in enumerate(labs):
            values = (panel[j] / panel.sum(), np.exp(mean[j]), difference[j])
            out.append((origin, lab, *values, difference[j] - half[j], difference[j] + half[j]))
    if not out:
        raise NotIdentified(
            "relative selection",
            got="no origin with two labs in both",
            rule="labs are compared within an origin",
            next_step="Choose a later week.",
        )
    columns = ["origin", "lab", "panel", "gateway", "difference", "low", "high"]
    return pd.DataFrame(out, columns=columns).assign(days=days)


def second_gateway(v: Volumes, gateway: pd.DataFrame, *, level: float = 0.9) -> Effect:
    r"""Bound the correction that the gateway's composition would imply.

    .. math:: \Delta = \log\frac{s^B_{CN}}{s^B_{US}} - \log\frac{s^A_{CN}}{s^A_{US}}

    Parameters
    ----------
    v : Volumes
        One week, of which only the panel is used.
    gateway : pandas.DataFrame
        Daily shares.
    level : float
        Probability of the interval of the difference.

    Returns
    -------
    Effect
        The estimate is the identified difference of log ratios; the effect runs from 0 (the panel
        has the market's composition) to its far end (the gateway has it). The truth may lie outside
        if both select alike, which is why it is not a bound on the population.

    Raises
    ------
    NotIdentified
        If the gateway has no two days near the week.
    """
    from scipy.stats import t as student  # noqa: PLC0415 - keeps the import of the package cheap

    rows = window(gateway, v.week)
    daily = origin_log_ratio(rows).to_numpy(dtype=np.float64)
    difference = daily - float(china_over_us(v, v.X))
    n = len(daily)
    half = float(student.ppf(0.5 + level / 2, n - 1) * difference.std(ddof=1) / np.sqrt(n))
    middle = float(difference.mean())
    estimate = (middle - half, middle, middle + half)
    return Effect(
        critique="C13",
        mechanism="second gateway",
        population=v.population,
        week=v.week,
        parameter="log(China / US) at the second gateway less that of the panel",
        estimate=estimate,
        effect=(min(0.0, estimate[0]), np.nan, max(0.0, estimate[2])),
        level=level,
        evidence=("gateway",),
        direction="either",
        strength="bounds only",
        note=(
            f"From {n} days of the gateway; it identifies how the two gateways differ, not which "
            "of them is like the market, and both may select alike."
        ),
    )


def add_gateway(
    posterior: Posterior,
    gateway: pd.DataFrame,
    *,
    week: str,
    selection_sd: float = SELECTION_SD,
    n_draws: int = 2000,
    rng: RngLike = 0,
) -> Posterior:
    """Refit with the gateway's shares as share families within each origin; off by default.

    Parameters
    ----------
    posterior : Posterior
        The fit without it.
    gateway : pandas.DataFrame
        Daily shares.
    week : str
        Monday of the week that the shares are dated to, ISO.
    selection_sd : float
        How far the gateway's own selection may move a lab within its origin (log sd).
    n_draws : int
        Draws.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    Posterior
        The fit with it, for the same weeks.

    Raises
    ------
    NotIdentified
        If the gateway has no days near the week.
    UnreliablePosterior
        If the weights of the fit are too heavy-tailed.

    Notes
    -----
    Assumes that the gateway's selection of labs within an origin is independent of the panel's.
    Both draw developers who route, so that the assumption is doubtful, and the family stays out of
    every default.
    """
    b = posterior.benchmarks
    rows = gateway_benchmarks(
        gateway, posterior.market, week, population=b.population, selection_sd=selection_sd
    )
    return synthesise(
        posterior.market,
        join_benchmarks(b, rows),
        prior=posterior.prior,
        weeks=posterior.draws.weeks,
        n_draws=n_draws,
        rng=rng,
    )


@dataclass(frozen=True)
class GatewayCheck:
    """Held-out check of the corrected composition within each origin against the gateway.

    Attributes
    ----------
    table : pandas.DataFrame
        ``origin``, ``lab``; log shares within the origin less their mean: ``gateway``, ``panel``,
        ``corrected`` (posterior mean); ``z`` and ``pit`` of the gateway's under the prediction.
    panel_rmse, corrected_rmse : float
        Root mean square distance from the gateway.
    chi2, df, p_value : float, int, float
        Squared Mahalanobis distance of the gateway from the prediction; large is conflict.
    """

    table: pd.DataFrame
    panel_rmse: float
    corrected_rmse: float
    chi2: float
    df: int
    p_value: float


def check_against_gateway(
    posterior: Posterior,
    gateway: pd.DataFrame,
    *,
    week: str,
    selection_sd: float = SELECTION_SD,
    prior: Prior = NEUTRAL,
    rng: RngLike = 0,
) -> GatewayCheck:
    """Predict the gateway's composition within each origin from a fit that has not seen it.

    Parameters
    ----------
    posterior : Posterior
        A fit without the gateway, with draws for the week.
    gateway : pandas.DataFrame
        Daily shares.
    week : str
        Monday of the week, ISO.
    selection_sd : float
        How far the gateway's own selection may move a lab within its origin (log sd).
    prior : Prior
        Scales of the errors.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    GatewayCheck
        Comparison by lab and as a whole.

    Raises
    ------
    NotIdentified
        If the gateway has no days near the week.
    UnknownWeek
        If the fit has no draws for it.

    Notes
    -----
    Shares are compared within an origin, so that the check is blind to China against the US.
    """
    from scipy.stats import chi2 as chi_squared  # noqa: PLC0415 - keeps the import cheap

    market = posterior.market
    held = gateway_benchmarks(
        gateway, market, week, population=posterior.benchmarks.population, selection_sd=selection_sd
    )
    # The rows need the families of the fit: joined, and taken apart again.
    joint = join_benchmarks(posterior.benchmarks, held)
    n = len(posterior.benchmarks)
    rows = np.arange(len(joint))
    # The gateway's families are new: their states are drawn from the prior in the prediction.
    state = np.zeros((len(posterior.draws.state), len(joint.families)), dtype=np.int64)
    place = [joint.families.index(name) for name in posterior.benchmarks.families]
    state[:, place] = posterior.draws.state
    fit = replace(
        posterior,
        benchmarks=take(joint, rows[:n]),
        draws=replace(posterior.draws, state=state),
    )
    drawn = predict_rows(fit, take(joint, rows[n:]), prior, resolve_rng(rng))
    origin = np.where(held.origin > 0, "US", "China")
    with np.errstate(divide="ignore"):
        panel = np.log(held.w @ market.X[int(held.week[0])])
    centre = _centring(held.origin)
    y, x, draws = centre @ held.y, centre @ panel, drawn @ centre.T
    mean = draws.mean(axis=0)
    covariance = np.cov(draws.T)
    df = len(y) - len(set(held.origin))
    error = y - mean
    distance = float(error @ np.linalg.pinv(covariance, hermitian=True, rcond=1e-8) @ error)
    table = pd.DataFrame(
        {
            "origin": origin,
            "lab": [name.removeprefix("gateway:") for name in held.ids],
            "gateway": y,
            "panel": x,
            "corrected": mean,
            "z": error / draws.std(axis=0),
            "pit": (draws < y).mean(axis=0),
        }
    )
    return GatewayCheck(
        table=table,
        panel_rmse=float(np.sqrt(((x - y) ** 2).mean())),
        corrected_rmse=float(np.sqrt((error**2).mean())),
        chi2=distance,
        df=df,
        p_value=float(chi_squared.sf(distance, df)),
    )


def _centring(group: np.ndarray) -> FloatArray:
    """Matrix that takes the mean of its origin off each row."""
    same = (group[:, None] == group[None, :]).astype(np.float64)
    return np.asarray(np.eye(len(group)) - same / same.sum(axis=1, keepdims=True))


def panel_and_gateway(
    market: Market,
    gateway: pd.DataFrame,
    *,
    max_lag: int = 8,
    level: float = 0.9,
    rng: RngLike = 0,
) -> LeadLag:
    """Estimate whether the gateway follows the panel in log(China / US), and by how many weeks.

    Parameters
    ----------
    market : Market
        The panel.
    gateway : pandas.DataFrame
        Daily shares.
    max_lag : int
        Largest lead or lag, weeks.
    level : float
        Coverage.
    rng : int, Generator, SeedSequence or None
        Randomness of the bootstrap.

    Returns
    -------
    LeadLag
        Positive lags: the panel leads. The gateway's days are a fortnight apart, so that a lag is
        known to about two weeks at best.

    Raises
    ------
    NotIdentified
        If too few days have all lags inside the panel.
    """
    daily = origin_log_ratio(gateway)
    days = (daily.index.to_numpy().astype("datetime64[D]") - market.weeks[0]).astype("int64")
    weekly = daily.groupby(days // 7).median()
    s = weekly.index.to_numpy(dtype=np.float64)
    china, us = (market.X[:, side].sum(axis=1) for side in (market.is_china, market.is_us))
    panel = np.log(china / us)
    return lead_lag(
        (market.elapsed, panel),
        (s, weekly.to_numpy(dtype=np.float64)),
        max_lag=max_lag,
        level=level,
        rng=rng,
    )
