"""The answer by population and week: shares, ratios, Lambda, paths, and when the lead begins."""

from dataclasses import asdict

import numpy as np
import pandas as pd
from results_common import CHART_WEEK, LEVEL, N_DRAWS, POPULATIONS, SEED, WEEKS

from offroute.data.snapshot import (
    load_composition,
    load_crosswalk,
    load_gateway,
    load_ledger,
    load_models,
)
from offroute.estimators.synthesis import Posterior
from offroute.inference.crossing import Crossing, crossing_quantile
from offroute.inference.lab_evidence import lab_evidence
from offroute.inference.mechanisms.counterfactual import panel_volumes
from offroute.inference.mechanisms.dollars import check_prices, unit_factors
from offroute.inference.other_units import unit_table
from offroute.inference.paths import ratio_series, share_series
from offroute.inference.pipeline import correct, identify_population
from offroute.inference.shares import Volumes, contest, share_table, volumes
from offroute.inference.trends import lead_weeks
from offroute.measurement.composition import composition_table, market_composition
from offroute.measurement.ledger import build_benchmarks
from offroute.measurement.market import Market, latest_full_week
from offroute.measurement.populations import POPULATIONS as ALL
from offroute.report.files import frame_to_records

PARTITIONS = ("group", "origin", "lab")


def one_week(population: str, week: str, market: Market) -> tuple[Posterior, Volumes]:
    """Return the posterior of one week, as the command line makes it."""
    posterior = correct(population, weeks=(week,), n_draws=N_DRAWS, rng=SEED, market=market)
    return posterior, volumes(posterior, int(posterior.draws.weeks[0]))


def answer(posterior: Posterior, v: Volumes) -> tuple[dict[str, object], pd.DataFrame]:
    """Return the answer of one week, and its share tables."""
    shares = {by: share_table(v, by=by, level=LEVEL) for by in PARTITIONS}
    table = pd.concat([frame.assign(by=by) for by, frame in shares.items()])
    found = {
        "contest": asdict(contest(v, level=LEVEL)),
        "shares": {
            by: {r.pop("class"): r for r in frame_to_records(shares[by])}
            for by in ("group", "origin")
        },
        "weeks_since_last_benchmark": v.stale,
        "extrapolated": v.extrapolated,
        "benchmarks": len(posterior.benchmarks),
        "families": len(posterior.benchmarks.families),
        "effective_draws": posterior.ess,
        "k_hat": posterior.k_hat,
    }
    return found, table.assign(population=v.population, week_start=v.week)


def corrected(
    market: Market,
) -> tuple[dict[str, object], dict[str, pd.DataFrame], dict[str, Posterior]]:
    """Return the main job by population and week, its tables, and the fits of the chart's week."""
    results: dict[str, object] = {}
    tables, units, of_chart = [], [], {}
    latest = latest_full_week(market)
    composition = market_composition(market, composition_table(load_composition(), load_models()))
    gateway = load_gateway()
    for population in POPULATIONS:
        weeks = {}
        for week in (*WEEKS, latest):
            posterior, v = one_week(population, week, market)
            weeks[week], table = answer(posterior, v)
            tables.append(table)
            if week == CHART_WEEK:
                of_chart[population] = posterior
            factors = unit_factors(
                market, composition, week=week, n_draws=N_DRAWS, rng=SEED,
                price_sd=check_prices(market, gateway, week=week).sd,
            )  # fmt: skip  # dense
            other = unit_table(v, panel_volumes(market, week), factors, level=LEVEL)
            units.append(other.assign(population=population, week_start=week))
        results[population] = weeks
    frame = pd.concat(tables, ignore_index=True)
    keys = ["population", "week_start", "by"]
    csvs = {
        "shares": frame[keys + [c for c in frame.columns if c not in keys]],
        "units": pd.concat(units, ignore_index=True),
    }
    return {"latest": latest, "weeks": results}, csvs, of_chart


def crossing_frame(found: Crossing) -> pd.DataFrame:
    """Return the posterior of a crossing week as rows, atoms first."""
    atoms = {"at the start": found.left_censored, "never": found.never}
    rows = [("atom", name, "", p) for name, p in atoms.items()]
    for part, values in (("begins", found.probability), ("unfinished", found.pending)):
        rows += [
            ("week", part, str(week), float(p))
            for week, p in zip(found.weeks, values, strict=True)
            if p > 0
        ]
    return pd.DataFrame(rows, columns=["kind", "part", "week_start", "probability"])


def crossing_facts(found: Crossing) -> dict[str, object]:
    """Return the parts of a crossing week that add up to one, and its median."""
    median = crossing_quantile(found, 0.5)
    return {
        "at_the_start": found.left_censored,
        "inside": float(found.probability.sum()),
        "unfinished": found.right_censored,
        "never": found.never,
        "median": None if np.isnat(median) else str(median),
    }


def over_time(
    posteriors: dict[str, Posterior],
) -> tuple[dict[str, object], dict[str, pd.DataFrame]]:
    """Return weekly ratios, weekly shares and crossing weeks of joint paths."""
    ratios, shares, crossings = [], [], []
    facts: dict[str, object] = {}
    for population, posterior in posteriors.items():
        market = posterior.market
        ratios.append(ratio_series(posterior, market.is_china, market.is_us, level=LEVEL))
        shares.append(share_series(posterior, by="origin", level=LEVEL))
        by_side = {}
        for against in ("US", "US closed"):
            leads = lead_weeks(posterior, closed_only=against != "US")
            by_side[against] = {lead: crossing_facts(found) for lead, found in leads.items()}
            crossings += [
                crossing_frame(found).assign(population=population, against=against, lead=lead)
                for lead, found in leads.items()
            ]
        facts[population] = by_side
    return facts, {
        "weekly": pd.concat(ratios, ignore_index=True).dropna(subset=["observed"]),
        "share_weekly": pd.concat(shares, ignore_index=True).dropna(subset=["observed"]),
        "crossing": pd.concat(crossings, ignore_index=True),
    }


def lab_coverage(market: Market, shares: pd.DataFrame, week: str) -> pd.DataFrame:
    """Return each lab's coverage in a week, above the coverage that single figures imply."""
    rows, crosswalk = load_ledger(), load_crosswalk()
    out = []
    for population in POPULATIONS:
        b = build_benchmarks(rows, crosswalk, market, population=population)
        chosen = (shares["population"] == population) & (shares["week_start"] == week)
        table = shares[chosen & (shares["by"] == "lab") & (shares["panel"] > 0)]
        posterior = table[["class", "panel", "tokens", "coverage", "coverage_low", "coverage_high"]]
        posterior = posterior.rename(
            columns={"class": "lab", "coverage_low": "low", "coverage_high": "high"}
        ).assign(kind="posterior", week_start=week, side="exact")
        figures = lab_evidence(market, b, level=LEVEL)
        figures["week_start"] = figures["week_start"].dt.strftime("%Y-%m-%d")
        both = pd.concat([posterior[posterior["lab"] != "Stealth"], figures], ignore_index=True)
        origins = dict(zip(market.labs, (g.split(" ")[0] for g in market.groups), strict=True))
        both["origin"] = both["lab"].map(origins).replace("Rest", "Rest of world")
        out.append(both.assign(population=population))
    return pd.concat(out, ignore_index=True)


def unidentified(market: Market) -> dict[str, object]:
    """Return the populations that the ledger does not identify, with their bounds."""
    found = {}
    for name in ALL:
        told = identify_population(name, week=latest_full_week(market), market=market)
        if not told.identified:
            bounds = [{"assumption": a, "low": low, "high": high} for a, low, high in told.bounds]
            found[name] = {"reason": told.reason, "bounds": bounds}
    return found


def ledger_use(market: Market) -> dict[str, object]:
    """Return how many rows of the ledger speak of each population, and why the others do not."""
    rows, crosswalk = load_ledger(), load_crosswalk()
    built = {p: build_benchmarks(rows, crosswalk, market, population=p) for p in POPULATIONS}
    return {
        "rows": len(rows),
        "likelihood": int((rows["use"] == "likelihood").sum()),
        "benchmarks": {p: len(b) for p, b in built.items()},
        "not_used": {
            reason: int(n)
            for reason, n in rows.loc[rows["use"] == "context", "reason"].value_counts().items()
        },
    }
