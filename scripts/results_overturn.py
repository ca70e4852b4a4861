"""What could overturn the answer in the week of the chart: steps, tipping, bounds, scenarios."""

import numpy as np
import pandas as pd
from results_common import CHART_WEEK, LEVEL, N_DRAWS, SEED

from offroute.data.snapshot import load_crosswalk, load_daily, load_ledger, load_models, load_roster
from offroute.estimators.synthesis import Posterior
from offroute.inference.identified_sets import (
    nested_table,
    self_hosting_break_even,
    truncation_table,
)
from offroute.inference.mechanism_steps import mechanism_steps
from offroute.inference.mechanisms.effect import effects_frame
from offroute.inference.mechanisms.table import Question, Tables, critiques
from offroute.inference.overturn import contour_frame, contour_of, overturn
from offroute.inference.scenarios import scenario_table
from offroute.inference.shares import contest, volumes
from offroute.inference.trends import trend_report
from offroute.measurement.ledger import build_benchmarks
from offroute.measurement.market import Market, latest_full_week, week_index
from offroute.measurement.truncation import hidden_bounds
from offroute.report.files import frame_to_records
from offroute.report.overturn import steps_frame

FACTORS = np.exp2(np.linspace(-2, 2, 17))
TREND_FROM = "2026-02-09"


def steps(posteriors: dict[str, Posterior], audit: pd.DataFrame) -> pd.DataFrame:
    """Return the way from the chart to the corrected market, by population."""
    out = []
    for population, posterior in posteriors.items():
        week = week_index(posterior.market, CHART_WEEK)
        frame = steps_frame(mechanism_steps(posterior, week, audit, level=LEVEL))
        out.append(frame.assign(population=population, week=CHART_WEEK))
    return pd.concat(out, ignore_index=True)


def tipping(posteriors: dict[str, Posterior]) -> pd.DataFrame:
    """Return who leads if the unseen part of either side is larger or smaller than estimated."""
    out = []
    for population, posterior in posteriors.items():
        v = volumes(posterior, week_index(posterior.market, CHART_WEEK))
        frame = contour_frame(contour_of(v, factors=FACTORS))
        out.append(frame.assign(population=population, week=CHART_WEEK))
    return pd.concat(out, ignore_index=True)


def bounds(
    market: Market, posteriors: dict[str, Posterior], audit: pd.DataFrame
) -> tuple[pd.DataFrame, list[dict[str, object]]]:
    """Return nested bounds by population, and the panel's own ratio with its truncation."""
    rows, crosswalk = load_ledger(), load_crosswalk()
    index = week_index(market, CHART_WEEK)
    x = [market.X[index, side].sum() for side in (market.is_china, market.is_us)]
    out = []
    for population, posterior in posteriors.items():
        b = build_benchmarks(rows, crosswalk, market, population=population)
        point = contest(volumes(posterior, index), level=LEVEL).undersampling[1]
        frame = nested_table(market, b, index, coverage_ratio=point)
        out.append(frame.assign(population=population, week=CHART_WEEK, panel=x[0] / x[1]))
    hidden = hidden_bounds(load_daily(), load_roster(), load_models(), by="origin")
    panel = truncation_table(audit, hidden, pd.Timestamp(CHART_WEEK))
    return pd.concat(out, ignore_index=True), frame_to_records(panel)


def sensitivity(
    posteriors: dict[str, Posterior],
) -> tuple[dict[str, object], pd.DataFrame]:
    """Return refits under other priors and errors, and how much bias the order stands."""
    frames, facts = [], {}
    for population, posterior in posteriors.items():
        week = week_index(posterior.market, CHART_WEEK)
        frame = scenario_table(
            posterior, week, families=False, level=LEVEL, n_draws=N_DRAWS, seed=SEED
        )
        frames.append(frame.assign(population=population, week=CHART_WEEK))
        found = overturn(posterior, week, n_draws=N_DRAWS, seed=SEED)
        priors = frame[frame["kind"] == "prior"]
        facts[population] = {
            "bias_to": {
                f"{p:g}": {"log": float(bias), "sd": float(sd)}
                for p, bias, sd in zip(
                    found.robustness.probability,
                    found.robustness.bias,
                    found.robustness.in_sd,
                    strict=True,
                )
            },
            "response": found.response,
            "prior_pull": found.prior_pull,
            "prior_pull_sd": found.prior_pull_sd,
            "power": {
                name: {
                    "prior": float(p.prior[0]),
                    "likelihood": float(p.likelihood[0]),
                    "diagnosis": p.diagnosis[0],
                }
                for name, p in found.power.items()
            },
            "total_interval": [
                float(np.exp(priors["low"].min())),
                float(np.exp(priors["high"].max())),
            ],
        }
    return facts, pd.concat(frames, ignore_index=True)


def trends(posteriors: dict[str, Posterior]) -> dict[str, object]:
    """Return what is known of the trend and of open weights without the level of coverage."""
    out = {}
    for population, posterior in posteriors.items():
        market = posterior.market
        base, week = (week_index(market, d) for d in (TREND_FROM, latest_full_week(market)))
        found = trend_report(posterior, base=base, week=week, level=LEVEL)
        at = int(np.searchsorted(found.weeks, found.week))
        out[population] = {
            "base": str(found.base),
            "week": str(found.week),
            "panel_change": float(found.drift.change[at]),
            "drift_bound": found.drift_bound,
            "low": float(found.drift.low[at]),
            "high": float(found.drift.high[at]),
            "breakdown": float(found.drift.breakdown[at]),
            "p_undone": float(found.drift.probability[at]),
            "change": list(found.change),
            "open_panel": found.open_panel,
            "open_ratio": list(found.open_ratio),
            "p_open": found.p_open,
        }
    return out


def self_hosting(posterior: Posterior) -> dict[str, object]:
    """Return the self-hosted tokens per API token at which China would lead in the chart's week."""
    v = volumes(posterior, week_index(posterior.market, CHART_WEEK))
    tails = [0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2]
    h = np.quantile(self_hosting_break_even(v), tails)
    return {"population": v.population, "break_even": [float(x) for x in h]}


def critique_table(
    posteriors: dict[str, Posterior],
) -> tuple[dict[str, object], pd.DataFrame]:
    """Return every critique as a mechanism with its effect, and those that cannot be decided."""
    frames, left_out = [], {}
    for population, posterior in posteriors.items():
        v = volumes(posterior, week_index(posterior.market, CHART_WEEK))
        question = Question(population=population, week=CHART_WEEK, level=LEVEL)
        found = critiques(Tables(posterior.market), question, (posterior, v))
        frames.append(effects_frame(found.effects).assign(asked=population))
        left_out[population] = [{"mechanism": m, "reason": why} for m, why in found.left_out]
    return left_out, pd.concat(frames, ignore_index=True)
