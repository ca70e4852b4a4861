"""Coverage of the whole pipeline on simulated markets with a known truth; resumable.

Finished chunks stay in ``--parts``, so a second run does only what is missing, and the result does
not depend on the number of workers. Scales of the prior are tuned on the tuning block alone.
"""

import argparse
import shlex
import sys
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
from study_io import chunks_of_this_code, parse_prior, run_study, write_result

from offroute._parallel import write_once
from offroute.data.disclosures import publish_disclosures
from offroute.data.simulate import WORLDS, simulate_market
from offroute.estimators.prior import Prior
from offroute.exceptions import DataError
from offroute.inference.validation import reliability, score_market, summarise

BLOCKS = {"tuning": (4000, 4200), "reporting": (7000, 7300)}
CHUNK = 10
#: Worlds that show a failure rather than meet a bar need fewer markets.
FEWER = {"contradictory": 100, "no-chinese-evidence": 100, "stealth-heavy": 100}


def run_market(seed: int, *, world: str, prior: Prior, n_draws: int) -> pd.DataFrame:
    """Score one market; a typed failure of the pipeline is a row of its own."""
    children = np.random.SeedSequence(seed).spawn(3)
    simulated = simulate_market(WORLDS[world], rng=children[0])
    published = publish_disclosures(simulated, rng=children[1])
    started = process_time()
    try:
        rows = score_market(simulated, published, prior=prior, n_draws=n_draws, rng=children[2])
    except DataError as error:
        rows = pd.DataFrame([{"quantity": type(error).__name__, "got": error.got}])
    return rows.assign(world=world, seed=seed, seconds=process_time() - started)


def run_chunk(task: tuple[str, int, int], *, parts: Path, prior: Prior, n_draws: int) -> Path:
    """Score a chunk of markets."""
    world, first, stop = task
    run = partial(run_market, world=world, prior=prior, n_draws=n_draws)
    seeds = range(first, stop)
    path = parts / f"{world}-{first}-{stop}.csv"
    return write_once(path, lambda: pd.concat([run(s) for s in seeds], ignore_index=True))


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--block", choices=BLOCKS, default="reporting")
    parser.add_argument("--markets", type=int, default=300, help="first so many of the block")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--prior", nargs="*", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--parts", type=Path, default=Path("out/coverage"))
    parser.add_argument("--output", type=Path, help="CSV of the summary; a sidecar stands beside")
    options = parser.parse_args()
    prior = parse_prior(options.prior)
    first, stop = BLOCKS[options.block]
    most = min(stop - first, options.markets)
    number = {world: min(most, FEWER.get(world, most)) for world in options.worlds}
    kind = "-".join([str(options.draws), *options.prior])
    parts = chunks_of_this_code(options.parts / kind)
    tasks = [
        (world, first + a, first + min(a + CHUNK, number[world]))
        for a in range(0, most, CHUNK)
        for world in options.worlds
        if a < number[world]
    ]
    work = partial(run_chunk, parts=parts, prior=prior, n_draws=options.draws)
    rows = run_study(work, tasks, workers=options.workers)
    failed = rows["estimator"].isna()
    table = summarise(rows[~failed])
    lost = failed.groupby(rows["world"]).sum() / pd.Series(number)
    table.insert(1, "failed", table["world"].map(lost))
    central = rows[(rows["estimator"] == "synthesis") & (rows["quantity"] == "log_ratio")]
    bins = pd.concat(
        [reliability(block).assign(world=world) for world, block in central.groupby("world")],
        ignore_index=True,
    )
    with pd.option_context("display.width", 240, "display.max_columns", 30):
        print(table.round(3).to_string())
        print(rows.loc[failed, ["world", "quantity"]].value_counts().to_string())
    print(f"CPU seconds a market, median: {central['seconds'].median():.2f}")
    if options.output:
        note = partial(
            write_result,
            command=shlex.join(["python", *sys.argv]),
            prior=prior,
            seeds=f"{options.block}: {first} to {first + most - 1}",
        )
        note(table, options.output, about="coverage of the pipeline on simulated markets")
        name = f"{options.output.stem}_reliability.csv"
        note(bins, options.output.with_name(name), about="how often China leads, by stated P")


if __name__ == "__main__":
    main()
