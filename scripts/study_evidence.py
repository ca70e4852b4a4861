"""Confront the model with the real ledger: leave-one-out, held-out families, fixed pass-through.

Run: python scripts/study_evidence.py  (about ten minutes of one core; `make holdout`)
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from offroute import __version__
from offroute.data.snapshot import load_crosswalk, load_ledger
from offroute.estimators.prior import NEUTRAL
from offroute.estimators.synthesis import Posterior, synthesise
from offroute.inference.diagnostics import (
    families_of,
    family_reliability,
    hold_out,
    leave_one_out,
    predict_rows,
    refit_one_out,
)
from offroute.inference.pipeline import load_market
from offroute.inference.shares import contest, volumes
from offroute.measurement.ledger import build_benchmarks, take
from offroute.measurement.market import Market, week_index

POPULATIONS = ("world-external-api", "outside-china-external-api", "world-all-uses")
WEEK = "2026-06-01"
CUT = "2026-03-31"
BETAS = (0.0, 0.25, 0.5, 1.0)
SEED = 20261123
FLAG = 3.0
FEWEST = 8
#: Row whose series goes on, what the next figure will be, and its unit per week.
NEXT = (
    ("G-T10", "Google: API tokens, B a minute", 1e9 * 7 * 24 * 60),
    ("O-T03", "OpenAI: API tokens, B a minute", 1e9 * 7 * 24 * 60),
    ("A-R13", "Anthropic: run-rate, USD bn a year", 1e9 * 7 / 365.25),
)


def headline(posterior: Posterior, week: int) -> dict[str, float]:
    """Lambda with its interval and the probability that China leads."""
    c = contest(volumes(posterior, week))
    low, middle, high = c.undersampling
    return {
        "lambda": middle,
        "lambda_low": low,
        "lambda_high": high,
        "p_china_leads": c.p_china_leads,
        "p_china_leads_closed": c.p_china_leads_closed,
    }


def pass_through(market: Market, full: Posterior, week: int) -> pd.DataFrame:
    """Compare the estimated pass-through with fixed ones."""
    out = []
    for beta in (None, *BETAS):
        prior = NEUTRAL
        if beta is not None:
            prior = replace(NEUTRAL, beta=beta, beta_sd=1e-4, beta_group_sd=1e-4, beta_unit_sd=1e-4)
        fit = synthesise(
            market, full.benchmarks, prior=prior, weeks=np.array([week]), rng=SEED, n_draws=4000
        )
        table = refit_one_out(fit, leave_one_out(fit), n_draws=1000, rng=SEED)
        worst = table.loc[table["z"].abs().idxmax()]
        out.append(
            {
                "beta": "estimated" if beta is None else f"{beta:g}",
                "log_evidence": fit.log_evidence,
                "worst_z": worst["z"],
                "worst_row": worst["id"],
                **headline(fit, week),
            }
        )
    return pd.DataFrame(out)


def prequential(market: Market, full: Posterior, published: pd.Series) -> pd.DataFrame:
    """Predict each disclosure from those published on earlier days."""
    b = full.benchmarks
    # A date known to the month or year stands for its last day: nothing is used before it is out.
    period = pd.Series([pd.Period(str(published[row])) for row in b.ids])
    day = period.map(lambda p: p.end_time.normalize())
    out = []
    for moment in sorted(set(day)):
        before = np.flatnonzero(day < moment)
        now = [i for i in np.flatnonzero(day == moment) if b.side[i] == 0]
        now = [i for i in now if not b.flat[b.family[i]]]
        if len(before) < FEWEST or not now:
            continue
        fit = synthesise(
            market, take(b, before), weeks=np.unique(b.week[now]), rng=SEED, n_draws=1500
        )
        y = predict_rows(fit, take(b, np.array(now)), NEUTRAL, np.random.default_rng(SEED))
        for j, i in enumerate(now):
            pit = float((y[:, j] < b.y[i]).mean())
            row = {"published": f"{moment:%Y-%m-%d}", "id": b.ids[i], "earlier": len(before)}
            out.append(
                {
                    **row,
                    "pit": pit,
                    **{f"inside_{k}": abs(pit - 0.5) < k / 200 for k in (50, 90)},
                }
            )
    return pd.DataFrame(out)


def predictions(full: Posterior) -> pd.DataFrame:
    """Predict the next figures of three series, before they are published."""
    b, market = full.benchmarks, full.market
    week = len(market.weeks) - 1
    fit = synthesise(market, b, weeks=np.array([week]), rng=SEED, n_draws=4000)
    rng = np.random.default_rng(SEED)
    out = []
    for row, what, unit in NEXT:
        i = b.ids.index(row)
        new = take(b, np.array([i]))
        price = market.price[week] / market.price[b.week[i]]
        money = new.w.max() < 1.0
        new = replace(new, week=np.array([week]), w=new.w * price if money else new.w)
        y = np.exp(predict_rows(fit, new, NEUTRAL, rng)[:, 0]) / unit
        q = np.quantile(y, [0.05, 0.25, 0.5, 0.75, 0.95])
        out.append(
            {
                "figure": what,
                "week": str(market.weeks[week]),
                "q05": q[0],
                "q25": q[1],
                "median": q[2],
                "q75": q[3],
                "q95": q[4],
            }
        )
    return pd.DataFrame(out)


def study(folder: Path) -> None:
    """Write evidence.csv, holdout.csv, families.csv, beta.csv, prequential.csv, predictions.csv."""
    market = load_market()
    ledger, crosswalk = load_ledger(), load_crosswalk()
    published = ledger.set_index("id")["published"]
    week = week_index(market, WEEK)
    keys = ("evidence", "holdout", "families", "beta", "prequential", "predictions")
    parts: dict[str, list[pd.DataFrame]] = {key: [] for key in keys}
    for name in POPULATIONS:
        b = build_benchmarks(ledger, crosswalk, market, population=name)
        full = synthesise(market, b, weeks=np.array([week]), rng=SEED, n_draws=4000)
        b = full.benchmarks
        one_out = refit_one_out(full, leave_one_out(full), rng=SEED)
        later = np.array([i for i, row in enumerate(b.ids) if published[row] > CUT])
        groups = {**families_of(b), f"published after {CUT}": later}
        reliability = family_reliability(full)
        drop = []
        for family, rows in families_of(b).items():
            kept = np.setdiff1d(np.arange(len(b)), rows)
            fit = synthesise(market, take(b, kept), weeks=np.array([week]), rng=SEED)
            drop.append({"family": family, "rows": len(rows), **headline(fit, week)})
        dropped = pd.DataFrame(drop).merge(
            reliability[["family", "p_unreliable"]], on="family", how="left"
        )
        tables = {
            "evidence": one_out,
            "holdout": hold_out(full, groups, n_draws=2000, rng=SEED),
            "families": dropped,
            "beta": pass_through(market, full, week),
            "prequential": prequential(market, full, published),
            "predictions": predictions(full) if name == POPULATIONS[0] else pd.DataFrame(),
        }
        for key, table in tables.items():
            parts[key].append(table.assign(population=name))
        print(
            name,
            f"|z|<3: {(one_out['z'].abs() < FLAG).mean():.3f}",
            f"worst {one_out['z'].abs().max():.2f}",
            f"inside 50 / 90: {tables['holdout']['inside_50'].mean():.2f} /",
            f"{tables['holdout']['inside_90'].mean():.2f}",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for key, frames in parts.items():
        text = pd.concat(frames).to_csv(index=False, float_format="%.6g", lineterminator="\n")
        head = f"# offroute {__version__}, seed {SEED}, python scripts/study_evidence.py\n"
        (folder / f"{key}.csv").write_text(head + text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("studies"))
    study(parser.parse_args().out)
