"""Coverage of the whole pipeline on simulated markets; resumable.

Finished chunks stay in ``--parts``; a second run only does what is missing, and the result does
not depend on the number of workers. ``make slow`` runs the reporting block of all worlds.
"""

import argparse
import csv
import json
import os
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd

from offroute.data.disclosures import publish_disclosures
from offroute.data.simulate import WORLDS, simulate_market
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.exceptions import DataError
from offroute.inference.validation import reliability, score_market, summarise

BLOCKS = {"tuning": (4000, 4200), "reporting": (7000, 7300)}
CHUNK = 10


def run_market(seed: int, *, world: str, prior: Prior, n_draws: int) -> pd.DataFrame:
    """Score one market; a typed failure of the pipeline is a row of its own."""
    children = np.random.SeedSequence(seed).spawn(3)
    simulated = simulate_market(WORLDS[world], rng=children[0])
    published = publish_disclosures(simulated, rng=children[1])
    started = process_time()
    try:
        rows = score_market(simulated, published, prior=prior, n_draws=n_draws, rng=children[2])
    except DataError as error:
        rows = pd.DataFrame(
            [{"estimator": "failed", "quantity": type(error).__name__, "got": error.got}]
        )
    return rows.assign(world=world, seed=seed, seconds=process_time() - started)


def run_chunk(task: tuple[str, int, int], *, parts: Path, prior: Prior, n_draws: int) -> Path:
    """Score a chunk of markets and write it, unless it is there."""
    world, first, stop = task
    path = parts / f"{world}-{first}-{stop}.csv"
    if not path.exists():
        run = partial(run_market, world=world, prior=prior, n_draws=n_draws)
        rows = pd.concat([run(seed) for seed in range(first, stop)], ignore_index=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        rows.to_csv(unfinished, index=False)
        unfinished.rename(path)
    return path


def chunks(worlds: list[str], first: int, stop: int) -> Iterator[tuple[str, int, int]]:
    """Yield (world, first seed, stop seed), all worlds of a chunk before the next chunk."""
    for start in range(first, stop, CHUNK):
        for world in worlds:
            yield world, start, min(start + CHUNK, stop)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--block", choices=BLOCKS, default="reporting")
    parser.add_argument("--markets", type=int, help="first so many markets of the block")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--prior", nargs="*", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--parts", type=Path, default=Path("out/coverage"))
    parser.add_argument("--output", type=Path, help="CSV of the summary; a sidecar stands beside")
    return parser.parse_args()


def parse_prior(items: list[str]) -> Prior:
    """Change fields of the neutral prior, as in ``s_cm=0.25``."""
    names = {f.name for f in fields(Prior)}
    changes: dict[str, float] = {}
    for item in items:
        name, _, value = item.partition("=")
        if name not in names:
            raise SystemExit(f"--prior: no field {name!r}; there are {', '.join(sorted(names))}")
        changes[name] = float(value)
    return replace(NEUTRAL, **changes)


def main() -> None:
    """Run the study."""
    options = parse()
    prior = parse_prior(options.prior)
    first, stop = BLOCKS[options.block]
    stop = min(stop, first + (options.markets or stop))
    label = "-".join([f"{options.draws}", *options.prior]) or "default"
    parts = options.parts / label
    parts.mkdir(parents=True, exist_ok=True)
    work = partial(run_chunk, parts=parts, prior=prior, n_draws=options.draws)
    tasks = list(chunks(options.worlds, first, stop))
    # Plain float format and one BLAS thread per worker: set before numpy starts threads.
    with get_context("spawn").Pool(options.workers) as pool:
        paths = []
        for done, path in enumerate(pool.imap(work, tasks), start=1):
            paths.append(path)
            print(f"{done}/{len(tasks)} {path.name}", flush=True)
    rows = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)
    failed = rows[rows["estimator"] == "failed"]
    table = summarise(rows[rows["estimator"] != "failed"])
    attempts = rows.groupby("world")["seed"].nunique()
    lost = failed.groupby("world")["seed"].nunique().reindex(attempts.index, fill_value=0)
    table.insert(1, "failed", table["world"].map(lost / attempts))
    with pd.option_context("display.width", 240, "display.max_columns", 30, "display.max_rows", 200):
        print(table.round(3).to_string())
        print(failed["quantity"].value_counts().to_string())
        central = rows[(rows["estimator"] == "synthesis") & (rows["quantity"] == "log_ratio")]
        print(reliability(central).round(3).to_string())
        seconds = rows.drop_duplicates(["world", "seed"])["seconds"].median()
        print(f"CPU seconds a market, median: {seconds:.2f}")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.output, index=False, float_format="%.4f", quoting=csv.QUOTE_MINIMAL)
        note = {
            "what": "coverage of the pipeline on simulated markets",
            "block": options.block,
            "seeds": [first, stop - 1],
            "draws": options.draws,
            "prior": {f.name: getattr(prior, f.name) for f in fields(Prior)},
            "command": "python scripts/study_coverage.py " + " ".join(
                [f"--block {options.block}", *(f"--prior {p}" for p in options.prior)]
            ),
            "version": version("offroute"),
            "date": datetime.now(UTC).date().isoformat(),
        }
        options.output.with_suffix(".json").write_text(json.dumps(note, indent=2) + "\n")


if __name__ == "__main__":
    main()
