"""One mechanism at a time on simulated markets: the reading right, absent and wrong; resumable.

Each world has one mechanism only. It is read with everything on, with that mechanism switched off,
and with priors that are sure of a wrong sign or a wrong size. Finished chunks stay in ``--parts``.
"""

import argparse
import shlex
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from study_io import accepted, chunks_of_this_code, interval_scores, run_study, write_result

from offroute._parallel import write_once
from offroute.data.disclosures import publish_disclosures
from offroute.data.simulate import log_ratio, simulate_market
from offroute.data.worlds import ONE_MECHANISM
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.estimators.switches import MECHANISMS, switch
from offroute.estimators.synthesis import synthesise
from offroute.exceptions import DataError
from offroute.inference.shares import contest, volumes
from offroute.inference.validation import prepare
from offroute.measurement.ledger import take

FIRST_SEED = 9000
CHUNK = 5
#: Sd of a prior that is sure of itself.
_SURE = 0.2


@dataclass(frozen=True)
class Reading:
    """How an analyst reads a world: evidence or none, mechanisms that are off, wrong priors."""

    off: tuple[str, ...] = ()
    fields: dict[str, float] = field(default_factory=dict)
    evidence: bool = True


def _alone(mechanism: str, **fields: float) -> Reading:
    """Trust a prior on one mechanism, without any disclosure."""
    return Reading(tuple(m for m in MECHANISMS if m != mechanism), fields, evidence=False)


#: The effects of the worlds: closed models .9 (sd .35), Chinese ones .35 in the mean of segments.
READINGS: dict[str, dict[str, Reading]] = {
    "none": {"all on": Reading()},
    "direct-purchase": {
        "all on": Reading(),
        "off": Reading(("direct-purchase", "labs")),
        "wrong sign, sure": Reading(fields={"b_closed": -0.9, "b_closed_sd": _SURE}),
        "three times its size, sure": Reading(fields={"b_closed": 2.7, "b_closed_sd": _SURE}),
        "prior alone: right": _alone("direct-purchase", b_closed=0.9, b_closed_sd=0.35),
        "prior alone: wrong sign": _alone("direct-purchase", b_closed=-0.9, b_closed_sd=0.35),
        "prior alone: three times": _alone("direct-purchase", b_closed=2.7, b_closed_sd=0.35),
    },
    "reverse-selection": {
        "all on": Reading(),
        "off": Reading(("reverse-selection", "labs")),
        "wrong sign, sure": Reading(fields={"b_china": 0.5, "b_china_sd": _SURE}),
        "three times its size, sure": Reading(fields={"b_china": -1.5, "b_china_sd": _SURE}),
        "prior alone: right": _alone("reverse-selection", b_china=-0.35, b_china_sd=0.35),
        "prior alone: wrong sign": _alone("reverse-selection", b_china=0.35, b_china_sd=0.35),
        "prior alone: three times": _alone("reverse-selection", b_china=-1.05, b_china_sd=0.35),
    },
    "price": {
        "all on": Reading(),
        "off": Reading(("tiers",)),
        "wrong sign, sure": Reading(fields={"gamma": -0.6, "gamma_sd": _SURE}),
        "five times its size, sure": Reading(fields={"gamma": 1.0, "gamma_sd": _SURE}),
    },
    "labs": {"all on": Reading(), "off": Reading(("labs",))},
    "segments": {
        "all on": Reading(),
        "one coverage": Reading(("direct-purchase", "reverse-selection", "labs", "tiers")),
    },
    "surges": {
        "all on": Reading(),
        "off: all happens elsewhere": Reading(("pass-through",)),
        "nothing happens elsewhere, sure": Reading(
            fields={"beta": 0.0, "beta_sd": 0.05, "beta_group_sd": 0.0, "beta_unit_sd": 0.0}
        ),
    },
}


def run_market(seed: int, *, world: str, n_draws: int) -> pd.DataFrame:
    """Read one market in every way; a typed refusal is a row of its own."""
    children = np.random.SeedSequence(seed).spawn(3)
    simulated = simulate_market(ONE_MECHANISM[world], rng=children[0])
    case = prepare(simulated, publish_disclosures(simulated, rng=children[1]))
    last = len(simulated.weeks) - 1
    truth = float(log_ratio(simulated.Y[last], simulated.groups))
    naive = float(log_ratio(case.market.X[last], case.market.groups))
    rows = []
    for name, reading in READINGS[world].items():
        prior: Prior = replace(NEUTRAL, **reading.fields)
        b = case.benchmarks if reading.evidence else take(case.benchmarks, np.zeros(0, np.int64))
        model = switch(case.market, b, prior, set(MECHANISMS) - set(reading.off))
        row = {"world": world, "reading": name, "seed": seed, "truth": truth, "naive": naive}
        try:
            fit = synthesise(
                model.market,
                model.benchmarks,
                prior=model.prior,
                weeks=np.array([last]),
                n_draws=n_draws,
                rng=children[2],
            )
            low, middle, high = np.log(contest(volumes(fit, last)).ratio)
            rows.append(row | {"low": low, "median": middle, "high": high, "refused": ""})
        except DataError as error:
            rows.append(row | {"refused": type(error).__name__})
    return pd.DataFrame(rows)


def run_chunk(task: tuple[str, int, int], *, parts: Path, n_draws: int) -> Path:
    """Read a chunk of markets."""
    world, first, stop = task
    run = partial(run_market, world=world, n_draws=n_draws)
    path = parts / f"{world}-{first}-{stop}.csv"
    return write_once(path, lambda: pd.concat([run(s) for s in range(first, stop)]))


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Bias and coverage by world and reading, the naive bias beside."""
    out = []
    for (world, reading), block in rows.groupby(["world", "reading"], sort=False):
        out.append(
            {
                "world": world,
                "reading": reading,
                "markets": len(block),
                "refused": len(block) - len(accepted(block)),
                "naive_bias": (block["naive"] - block["truth"]).mean(),
                **interval_scores(block),
            }
        )
    return pd.DataFrame(out)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markets", type=int, default=60, help="markets of each world")
    parser.add_argument("--worlds", nargs="+", choices=READINGS, default=list(READINGS))
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--parts", type=Path, default=Path("out/mechanisms"))
    parser.add_argument("--output", type=Path, help="CSV of the summary; a sidecar stands beside")
    options = parser.parse_args()
    stop = FIRST_SEED + options.markets
    starts = range(FIRST_SEED, stop, CHUNK)
    tasks = [(world, a, min(a + CHUNK, stop)) for a in starts for world in options.worlds]
    parts = chunks_of_this_code(options.parts / str(options.draws))
    work = partial(run_chunk, parts=parts, n_draws=options.draws)
    rows = run_study(work, tasks, workers=options.workers)
    table = summarise(rows.sort_values(["world", "reading", "seed"], kind="stable"))
    with pd.option_context("display.width", 200, "display.max_columns", 20):
        print(table.round(3).to_string())
    if options.output:
        write_result(
            table,
            options.output,
            about="log(China / US) of the last week, one mechanism a world, by reading",
            command=shlex.join(["python", *sys.argv]),
            prior=NEUTRAL,
            seeds=f"{FIRST_SEED} to {stop - 1}",
        )


if __name__ == "__main__":
    main()
