"""Do the intervals hold: the whole pipeline on simulated markets, scored against their truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from offroute._random import RngLike, resolve_rng
from offroute._typing import BoolArray, FloatArray
from offroute.data.disclosures import POPULATION, Disclosures
from offroute.data.simulate import SimulatedMarket, log_ratio
from offroute.estimators.field import off_platform
from offroute.estimators.presets import estimate
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.estimators.synthesis import Posterior, synthesise
from offroute.exceptions import DataError, UnknownLab
from offroute.measurement.ledger import Benchmarks, build_benchmarks, ledger_labs, select_cells
from offroute.measurement.market import Market, build_market

LEVELS = (0.50, 0.80, 0.90, 0.95)
QUANTILES = (0.025, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.975)
#: Weeks before this one are left out of bands and crossing weeks: hardly any figure is as old.
FIRST_BAND_WEEK = 20
#: China leads for good from the first of this many weeks in a row.
CROSSING_RUN = 4
_DECISIVE = 0.95
_NAIVE_WINDOW = 12
#: Estimators of the lattice that are scored beside the synthesis.
RIVALS = (
    "coverage ratio",
    "coverage ratio, Monte Carlo",
    "raking",
    "replicated calibration",
    "soft calibration",
)
_RIVAL_DRAWS = 200


@dataclass(frozen=True)
class Case:
    """A simulated market as an analyst sees it.

    Attributes
    ----------
    market : Market
        The panel, arranged by `build_market` as real data are.
    benchmarks : Benchmarks
        The disclosures, read by `build_benchmarks` as the real ledger is.
    """

    market: Market
    benchmarks: Benchmarks


def prepare(simulated: SimulatedMarket, published: Disclosures, *, anchor: int = -8) -> Case:
    """Send a simulated market through the same steps as the shipped snapshot.

    Parameters
    ----------
    simulated : SimulatedMarket
        The market.
    published : Disclosures
        What was published about it.
    anchor : int
        Position of the anchor week; by default near the last disclosures.

    Returns
    -------
    Case
        The panel and its benchmarks.
    """
    market = build_market(
        simulated.usage,
        simulated.models,
        simulated.composition,
        anchor=str(simulated.weeks[anchor]),
        off_panel=(),
        keep=ledger_labs(published.ledger),
    )
    # Figures about a lab that is too small on the panel to have cells of its own say nothing here.
    known = published.ledger["selector"].map(partial(_names_cells, market))
    benchmarks = build_benchmarks(
        published.ledger[known], published.crosswalk, market, population=POPULATION
    )
    return Case(market, benchmarks)


def _names_cells(market: Market, selector: str) -> bool:
    try:
        return bool(select_cells(market, selector).any())
    except UnknownLab:
        return False


def crossing_week(R: FloatArray, *, run: int = CROSSING_RUN) -> FloatArray:
    """First of `run` weeks in a row with a positive log ratio, or the number of weeks if none.

    Parameters
    ----------
    R : ndarray, shape (..., T)
        Paths of the log ratio.
    run : int
        Length of the run.

    Returns
    -------
    ndarray, shape (...)
        Index of the week.

    Examples
    --------
    >>> crossing_week(np.array([[-1.0, 1, 1, -1, 1, 1, 1], [-1.0] * 7]), run=3).tolist()
    [4.0, 7.0]
    """
    positive = np.lib.stride_tricks.sliding_window_view(R > 0, run, axis=-1).all(axis=-1)
    first = np.where(positive.any(axis=-1), positive.argmax(axis=-1), R.shape[-1])
    return np.asarray(first, dtype=np.float64)


def preset_ratio(
    case: Case, week: int, name: str, *, prior: Prior, n_draws: int, rng: RngLike = None
) -> FloatArray | None:
    """Log ratio by another estimator of the lattice, or None where it has no answer.

    Parameters
    ----------
    case : Case
        Panel and benchmarks.
    week : int
        Week.
    name : str
        Name of the preset.
    prior : Prior
        Scales of its errors.
    n_draws : int
        Draws; a point estimate has one.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    ndarray, shape (k,), or None
        Draws of R.
    """
    try:
        draws = estimate(
            name, case.market, case.benchmarks, week=week, prior=prior, n_draws=n_draws, rng=rng
        )
    except DataError:
        return None
    return log_ratio(draws.Y[:, 0], case.market.groups)


def naive_ratio(case: Case, week: int, *, n_draws: int, rng: RngLike = None) -> FloatArray:
    """Log ratio of the panel itself, with the scatter of its last weeks about their trend.

    Parameters
    ----------
    case : Case
        Panel and benchmarks.
    week : int
        Last week.
    n_draws : int
        Draws.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    ndarray, shape (n_draws,)
        Draws of R.
    """
    R = log_ratio(case.market.X[week - _NAIVE_WINDOW + 1 : week + 1], case.market.groups)
    t = np.arange(_NAIVE_WINDOW)
    sd = float(np.std(R - np.polyval(np.polyfit(t, R, 1), t), ddof=2))
    return np.asarray(R[-1] + sd * resolve_rng(rng).standard_normal(n_draws))


def posterior_paths(posterior: Posterior) -> FloatArray:
    """Draws of the log ratio in all weeks of the draws, shape (k, W).

    Parameters
    ----------
    posterior : Posterior
        A fitted posterior.

    Returns
    -------
    ndarray, shape (k, W)
        Log ratio of China to the United States, panel and off-platform tokens together.
    """
    p, market = posterior, posterior.market
    volumes = (off_platform(p.features, p.prior, p.draws, int(t)) for t in p.draws.weeks)
    return np.column_stack(
        [
            log_ratio(market.X[t] + D, market.groups)
            for t, D in zip(p.draws.weeks, volumes, strict=True)
        ]
    )


def score_market(
    simulated: SimulatedMarket,
    published: Disclosures,
    *,
    prior: Prior = NEUTRAL,
    n_draws: int = 1000,
    anchor: int = -8,
    rng: RngLike = None,
) -> pd.DataFrame:
    """Run the pipeline on one market and put it beside the truth of its last week.

    Parameters
    ----------
    simulated : SimulatedMarket
        The market.
    published : Disclosures
        What was published about it.
    prior : Prior
        Prior of the synthesis.
    n_draws : int
        Posterior draws.
    anchor : int
        As in `prepare`.
    rng : int, Generator, SeedSequence or None
        Randomness.

    Returns
    -------
    pandas.DataFrame
        One row per estimator and quantity: ``truth``, ``mean``, ``sd``, ``rank`` of the truth
        among the draws, the quantiles, ``p_positive``; for the path of R also ``in_band``
        (sup-t, 90 %).

    Raises
    ------
    NotConverged, UnreliablePosterior, BenchmarkBelowPanel
        As the steps of the pipeline raise them.
    """
    generator = resolve_rng(rng)
    case = prepare(simulated, published, anchor=anchor)
    last = len(simulated.weeks) - 1
    weeks = np.arange(FIRST_BAND_WEEK, last + 1)
    posterior = synthesise(
        case.market, case.benchmarks, prior=prior, weeks=weeks, n_draws=n_draws, rng=generator
    )
    market = case.market
    D = off_platform(posterior.features, posterior.prior, posterior.draws, last)
    Y, true = market.X[last] + D, simulated.Y[last]
    path, true_path = posterior_paths(posterior), log_ratio(simulated.Y, simulated.groups)[weeks]
    china = np.array([g.startswith("China") for g in simulated.groups])
    panel, true_panel = (
        float(log_ratio(X[last], groups))
        for X, groups in ((market.X, market.groups), (simulated.X, simulated.groups))
    )
    R, dollars = float(true_path[-1]), float(log_ratio(true * simulated.price, simulated.groups))
    draws = {
        ("synthesis", "log_ratio"): (path[:, -1], R),
        ("synthesis", "china_share"): (
            Y[:, market.is_china].sum(axis=1) / Y.sum(axis=1),
            float(true[china].sum() / true.sum()),
        ),
        ("synthesis", "log_ratio_usd"): (log_ratio(Y * market.price[last], market.groups), dollars),
        ("synthesis", "log_lambda"): (panel - path[:, -1], true_panel - R),
        ("synthesis", "crossing_week"): (
            crossing_week(path),
            float(crossing_week(true_path)),
        ),
        ("naive", "log_ratio"): (naive_ratio(case, last, n_draws=n_draws, rng=generator), R),
    }
    for name in RIVALS:
        values = preset_ratio(case, last, name, prior=prior, n_draws=_RIVAL_DRAWS, rng=generator)
        if values is not None:
            draws[name, "log_ratio"] = (values, R)
    rows = []
    for (estimator, quantity), (values, truth) in draws.items():
        row = {
            "estimator": estimator,
            "quantity": quantity,
            "truth": truth,
            "mean": float(values.mean()),
            "sd": float(values.std()),
            "rank": float((values < truth).mean()),
            "p_positive": float((values > 0).mean()),
            "k_hat": posterior.k_hat if estimator == "synthesis" else np.nan,
            "ess": posterior.ess if estimator == "synthesis" else np.nan,
            "in_band": np.nan,
        }
        row |= dict(
            zip([f"q{q:g}" for q in QUANTILES], np.quantile(values, QUANTILES), strict=True)
        )
        rows.append(row)
    rows[0]["in_band"] = float(_inside_band(path, true_path))
    return pd.DataFrame(rows)


def _inside_band(path: FloatArray, truth: FloatArray, level: float = 0.9) -> bool:
    """Whether the whole true path lies in the sup-t band."""
    mean, sd = path.mean(axis=0), path.std(axis=0)
    width = np.quantile((np.abs(path - mean) / sd).max(axis=1), level)
    return bool((np.abs(truth - mean) <= width * sd).all())


def summarise(rows: pd.DataFrame, *, by: Sequence[str] = ("world",)) -> pd.DataFrame:
    """Bias, error, coverage and decisions over markets.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of `score_market` of many markets.
    by : sequence of str
        Columns that tell studies apart.

    Returns
    -------
    pandas.DataFrame
        One row per study, estimator and quantity: number of markets, ``bias``, ``rmse``,
        ``half_width_90`` (median), coverage at the levels of `LEVELS` with the Monte Carlo error
        ``se_90``, ``sign_right``, ``brier``, ``decisive`` (share of markets with P above .95 or
        below .05), ``decisive_wrong`` (share of these that are wrong), ``in_band``.
    """
    out = []
    for key, block in rows.groupby([*by, "estimator", "quantity"], sort=False):
        truth = block["truth"].to_numpy()
        error = block["q0.5"].to_numpy() - truth
        p, leads = block["p_positive"].to_numpy(), truth > 0
        decisive = (p >= _DECISIVE) | (p <= 1 - _DECISIVE)
        inside = {level: _covered(block, truth, level) for level in LEVELS}
        row = dict(zip([*by, "estimator", "quantity"], key, strict=True))
        row |= {
            "markets": len(block),
            "bias": error.mean(),
            "rmse": np.sqrt((error**2).mean()),
            "half_width_90": float(np.median(block["q0.95"] - block["q0.05"]) / 2),
            **{f"coverage_{100 * level:.0f}": inside[level].mean() for level in LEVELS},
            "se_90": np.sqrt(inside[0.90].mean() * (1 - inside[0.90].mean()) / len(block)),
            "sign_right": ((p > 0.5) == leads).mean(),  # noqa: PLR2004 - more likely than not
            "brier": ((p - leads) ** 2).mean(),
            "decisive": decisive.mean(),
            "decisive_wrong": ((p > 0.5) != leads)[decisive].mean()  # noqa: PLR2004 - as above
            if decisive.any()
            else np.nan,
            "in_band": block["in_band"].mean(),
        }
        out.append(row)
    return pd.DataFrame(out)


def _covered(block: pd.DataFrame, truth: FloatArray, level: float) -> BoolArray:
    low, high = f"q{(1 - level) / 2:g}", f"q{(1 + level) / 2:g}"
    return np.asarray((block[low].to_numpy() <= truth) & (truth <= block[high].to_numpy()))


def reliability(rows: pd.DataFrame, *, n_bins: int = 10) -> pd.DataFrame:
    """How often China leads where the posterior says that it leads with probability p.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of `score_market` of one estimator and ``log_ratio``.
    n_bins : int
        Bins of equal width.

    Returns
    -------
    pandas.DataFrame
        ``low``, ``high``, ``markets``, ``mean_p``, ``frequency`` for each bin with a market.
    """
    p = rows["p_positive"].to_numpy()
    place = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
    frame = pd.DataFrame({"bin": place, "p": p, "leads": rows["truth"].to_numpy() > 0})
    table = frame.groupby("bin").agg(
        markets=("p", "size"), mean_p=("p", "mean"), frequency=("leads", "mean")
    )
    table.insert(0, "low", table.index / n_bins)
    table.insert(1, "high", (table.index + 1) / n_bins)
    return table.reset_index(drop=True)
