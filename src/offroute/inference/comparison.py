"""All market estimators side by side: the same functionals over each corner of the lattice."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from offroute._checks import check_probability
from offroute.estimators.presets import PRESETS, estimate
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.exceptions import DataError
from offroute.inference.shares import contest, coverage_volumes, share_table
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import Market


def compare_estimators(
    market: Market,
    benchmarks: Benchmarks,
    week: int,
    *,
    prior: Prior = NEUTRAL,
    level: float = 0.9,
    n_draws: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Tabulate China against the US under every preset of the lattice.

    Parameters
    ----------
    market : Market
        The panel.
    benchmarks : Benchmarks
        The evidence on one population.
    week : int
        Index of the week.
    prior : Prior
        Scales of K and S.
    level : float
        Probability of the intervals.
    n_draws : int
        Draws of each estimator that has errors.
    seed : int
        Seed of each, so that estimators differ by their assumptions alone.
    progress : callable, optional
        Called before each with the number done and the number of all.

    Returns
    -------
    pandas.DataFrame
        One row per estimator, naive first: ``estimator``, ``K``, ``S``, ``implies``; ``rows`` used
        and ``draws``; ``share`` of China in all tokens, ``ratio`` of China to the US and Lambda,
        each with ``_low`` and ``_high`` (missing for a point); ``weeks_since_last`` figure
        used; ``p_china_leads`` and ``p_china_leads_closed`` (missing for a point); ``j``,
        ``j_df``, ``j_p`` of the over-identification test; ``refused``, the reason where the
        estimator has no answer.

    Raises
    ------
    UsageError
        If the level is no probability.
    """
    check_probability(level, name="level")
    out = []
    for done, preset in enumerate(PRESETS):
        if progress is not None:
            progress(done, len(PRESETS))
        row: dict[str, object] = {
            "estimator": preset.name,
            "K": preset.K,
            "S": preset.S,
            "implies": preset.implies,
        }
        try:
            draws = estimate(
                preset.name,
                market,
                benchmarks,
                week=week,
                prior=prior,
                n_draws=n_draws,
                rng=seed,
            )
        except DataError as error:
            out.append({**row, "refused": str(error)})
            continue
        v = coverage_volumes(draws, week)
        c = contest(v, level=level)
        table = share_table(v, by="origin", level=level).set_index("class").loc["China"]
        point = len(draws.Y) == 1
        # The naive ratio does not move with the common multiplier: a probability of it is none.
        sure = point or preset.name == "naive"
        row |= {"rows": len(draws.used), "draws": len(draws.Y), "weeks_since_last": v.stale}
        triples = {
            "share": (table["low"], table["corrected"], table["high"]),
            "ratio": c.ratio,
            "lambda": c.undersampling,
        }
        for name, (low, middle, high) in triples.items():
            row |= {name: middle}
            row |= {f"{name}_low": np.nan, f"{name}_high": np.nan}
            if not sure:
                row |= {f"{name}_low": low, f"{name}_high": high}
        row["p_china_leads"] = np.nan if sure else c.p_china_leads
        row["p_china_leads_closed"] = np.nan if sure else c.p_china_leads_closed
        j, df, p = draws.over_identification or (np.nan, np.nan, np.nan)
        out.append({**row, "j": j, "j_df": df, "j_p": p, "refused": ""})
    return pd.DataFrame(out)
