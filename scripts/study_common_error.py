"""What insurance against an error common to a country's figures costs; resumable.

The scale of that error (`Prior.s_cm`) is changed on markets of the tuning block, in the calibrated
world, in those whose US figures are all doubled or halved, and in one whose figures have no bias
(rounding, restatements, discounts, the drift of a scope and a survey's sampling are left). No
figure tells these worlds apart, so that one width serves all of them.
"""

import argparse
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from study_io import accepted, chunks_of_this_code, interval_scores, run_study, write_result

from offroute._parallel import write_once
from offroute.data.disclosures import publish_disclosures
from offroute.data.simulate import WORLDS, World, log_ratio, simulate_market
from offroute.estimators.field import off_platform
from offroute.estimators.prior import NEUTRAL
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import DataError
from offroute.inference.shares import contest, volumes
from offroute.inference.validation import prepare

FIRST_SEED = 4000
CHUNK = 10
SCALES = (0.05, 0.25, 0.35, NEUTRAL.s_cm, 0.6)
STUDIED: dict[str, World] = {
    **{name: WORLDS[name] for name in ("calibrated", "us-doubled", "us-halved")},
    "no-error": replace(WORLDS["calibrated"], name="no-error", bias_scale=0.0),
}


def run_market(seed: int, *, world: str, n_draws: int) -> pd.DataFrame:
    """Fit one market with every scale; a typed refusal is a row of its own."""
    children = np.random.SeedSequence(seed).spawn(3)
    simulated = simulate_market(STUDIED[world], rng=children[0])
    case = prepare(simulated, publish_disclosures(simulated, rng=children[1]))
    last = len(simulated.weeks) - 1
    row = {
        "world": world,
        "seed": seed,
        "truth": float(log_ratio(simulated.Y[last], simulated.groups)),
        "panel": float(log_ratio(case.market.X[last], case.market.groups)),
        "truth_usd": float(log_ratio(simulated.Y[last] * simulated.price, simulated.groups)),
    }
    rows = []
    for s_cm in SCALES:
        try:
            fit = synthesise(
                case.market,
                case.benchmarks,
                prior=replace(NEUTRAL, s_cm=s_cm),
                weeks=np.array([last]),
                n_draws=n_draws,
                rng=children[2],
            )
            Y = case.market.X[last] + off_platform(fit.features, fit.prior, fit.draws, last)
            dollars = log_ratio(Y * case.market.price[last], case.market.groups)
            low_usd, high_usd = np.quantile(dollars, (0.05, 0.95))
            c = contest(volumes(fit, last))
            low, middle, high = np.log(c.ratio)
            p = c.p_china_leads
            fitted = {"low": low, "median": middle, "high": high, "p": p, "refused": ""}
            fitted |= {"low_usd": low_usd, "high_usd": high_usd}
            rows.append(row | {"s_cm": s_cm} | fitted)
        except DataError as error:
            rows.append(row | {"s_cm": s_cm, "refused": type(error).__name__})
    return pd.DataFrame(rows)


def run_chunk(task: tuple[str, int, int], *, parts: Path, n_draws: int) -> Path:
    """Fit a chunk of markets."""
    world, first, stop = task
    run = partial(run_market, world=world, n_draws=n_draws)
    path = parts / f"{world}-{first}-{stop}.csv"
    return write_once(path, lambda: pd.concat([run(s) for s in range(first, stop)]))


def rmse_knowing_the_world(block: pd.DataFrame) -> float:
    """Leave-one-out error of a line in estimate and panel, fitted to the truths of the others.

    Not a number where there are too few others.
    """
    Z = np.column_stack([np.ones(len(block)), block["median"], block["panel"]])
    if len(Z) <= Z.shape[1]:
        return float("nan")
    hat = Z @ np.linalg.solve(Z.T @ Z, Z.T)
    truth = block["truth"].to_numpy()
    error = (truth - hat @ truth) / (1 - np.diag(hat))
    return float(np.sqrt((error**2).mean()))


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Error, width and coverage by world and scale."""
    out = []
    for (world, s_cm), block in rows.groupby(["world", "s_cm"], sort=False):
        done = accepted(block)
        decisive = (done["p"] >= 0.95) | (done["p"] <= 0.05)  # noqa: PLR2004 - as in validation
        wrong = (done["median"] > 0) != (done["truth"] > 0)
        out.append(
            {
                "world": world,
                "s_cm": s_cm,
                "markets": len(block),
                "refused": len(block) - len(done),
                **interval_scores(block),
                "coverage_90_usd": done["truth_usd"]
                .between(done["low_usd"], done["high_usd"])
                .mean(),
                "rmse_knowing_the_world": rmse_knowing_the_world(done),
                "decisive": decisive.mean(),
                "decisive_wrong": (wrong & decisive).sum() / max(decisive.sum(), 1),
            }
        )
    return pd.DataFrame(out)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markets", type=int, default=100, help="markets of each world")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--parts", type=Path, default=Path("out/common-error"))
    parser.add_argument("--output", type=Path, help="CSV of the summary; a sidecar stands beside")
    options = parser.parse_args()
    stop = FIRST_SEED + options.markets
    starts = range(FIRST_SEED, stop, CHUNK)
    tasks = [(world, a, min(a + CHUNK, stop)) for a in starts for world in STUDIED]
    parts = chunks_of_this_code(options.parts / str(options.draws))
    work = partial(run_chunk, parts=parts, n_draws=options.draws)
    rows = run_study(work, tasks, workers=options.workers)
    table = summarise(rows.sort_values(["world", "s_cm", "seed"], kind="stable"))
    with pd.option_context("display.width", 200, "display.max_columns", 20):
        print(table.round(3).to_string())
    if options.output:
        write_result(
            table,
            options.output,
            about="log(China / US) of the last week by the scale of a country's common error",
            command=shlex.join(["python", *sys.argv]),
            prior=NEUTRAL,
            seeds=f"{FIRST_SEED} to {stop - 1}",
        )


if __name__ == "__main__":
    main()
