"""Simulation-based calibration of the evidence synthesis over its own prior; resumable."""

import argparse
import shlex
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from study_io import chunks_of_this_code, parse_prior, run_study, write_result

from offroute._parallel import write_once
from offroute.data.disclosures import publish_disclosures
from offroute.data.simulate import WORLDS, simulate_market
from offroute.estimators.prior import Prior
from offroute.exceptions import DataError
from offroute.inference.sbc import calibration_ranks, summarise_ranks
from offroute.inference.validation import Case, prepare

MARKET_SEED = 1
FIRST_SEED = 12000
WEEKS = np.array([40, 77])
CHUNK = 10


def fixed_case() -> Case:
    """Return the market and the rows that all draws share."""
    children = np.random.SeedSequence(MARKET_SEED).spawn(2)
    simulated = simulate_market(WORLDS["calibrated"], rng=children[0])
    return prepare(simulated, publish_disclosures(simulated, rng=children[1]))


def run_draw(seed: int, *, case: Case, prior: Prior, n_draws: int) -> pd.DataFrame:
    """Rank one prior draw; a typed failure is a row of its own."""
    try:
        rows = calibration_ranks(
            case.market, case.benchmarks, prior=prior, weeks=WEEKS, n_draws=n_draws, rng=seed
        )
    except DataError as error:
        rows = pd.DataFrame([{"quantity": type(error).__name__, "got": error.got}])
    return rows.assign(seed=seed)


def run_chunk(
    task: tuple[int, int], *, case: Case, parts: Path, prior: Prior, n_draws: int
) -> Path:
    """Rank a chunk of prior draws."""
    run = partial(run_draw, case=case, prior=prior, n_draws=n_draws)
    path = parts / f"{task[0]}-{task[1]}.csv"
    return write_once(path, lambda: pd.concat([run(s) for s in range(*task)], ignore_index=True))


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=2000, help="prior draws")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--prior", nargs="*", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--parts", type=Path, default=Path("out/sbc"))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    prior = parse_prior(options.prior)
    kind = "-".join([str(options.draws), *options.prior])
    parts = chunks_of_this_code(options.parts / kind)
    stop = FIRST_SEED + options.number
    tasks = [(a, min(a + CHUNK, stop)) for a in range(FIRST_SEED, stop, CHUNK)]
    work = partial(run_chunk, case=fixed_case(), parts=parts, prior=prior, n_draws=options.draws)
    rows = run_study(work, tasks, workers=options.workers)
    failed = rows["rank"].isna()
    table = summarise_ranks(rows[~failed])
    table["failed"] = failed.sum() / options.number
    print(table.round(3).to_string())
    print(rows.loc[failed, "quantity"].value_counts().to_string())
    if options.output:
        write_result(
            table,
            options.output,
            about="simulation-based calibration of the evidence synthesis over its prior",
            command=shlex.join(["python", *sys.argv]),
            prior=prior,
            seeds=f"{FIRST_SEED} to {stop - 1}; market {MARKET_SEED}",
        )


if __name__ == "__main__":
    main()
