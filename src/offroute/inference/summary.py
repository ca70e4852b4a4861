"""The answer in every population: ratio, Lambda, who leads, and when the lead began."""

from pathlib import Path

import numpy as np
import pandas as pd

from offroute._checks import check_probability
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.inference.crossing import crossing_quantile, probability_by
from offroute.inference.identification import Identification
from offroute.inference.pipeline import correct, identify_population
from offroute.inference.shares import contest, share_table, volumes
from offroute.inference.trends import lead_weeks
from offroute.measurement.market import Market, week_index
from offroute.measurement.populations import POPULATIONS


def answer_table(
    market: Market,
    weeks: tuple[str, ...],
    *,
    prior: Prior = NEUTRAL,
    level: float = 0.9,
    n_draws: int = 2000,
    seed: int = 0,
    data_dir: Path | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Identification]]:
    """Tabulate the answer of all six populations in some weeks.

    Parameters
    ----------
    market : Market
        The panel.
    weeks : tuple of str
        Days of the weeks, ISO.
    prior : Prior
        The prior.
    level : float
        Probability of the intervals.
    n_draws : int
        Draws of each population.
    seed : int
        Seed of each.
    data_dir : pathlib.Path, optional
        Folder of tables; the shipped snapshot by default.

    Returns
    -------
    answers : pandas.DataFrame
        ``population``, ``week``; ``observed`` ratio of China to the US; ``share`` of China,
        ``ratio`` and ``lambda`` with ``_low`` and ``_high``; ``p_china_leads`` and
        ``p_china_leads_closed``; ``weeks_since_last`` benchmark and ``extrapolated``.
    leads : pandas.DataFrame
        ``population``, ``against`` (US, US closed), ``lead`` (its meaning), ``inside`` the window,
        ``left_censored``, ``right_censored``, ``never`` (these add up to 1), the ``median`` week
        over all paths (missing where no week is), and P(by) each week, ``by_<week>`` and, with
        unfinished leads counted, ``by_<week>_most``.
    unidentified : list of Identification
        The other populations, with their bounds in the last week.

    Raises
    ------
    UnknownWeek
        If there is no such week.
    UnreliablePosterior
        If a fit fails.
    """
    check_probability(level, name="level")
    index = [week_index(market, week) for week in weeks]
    mondays = [str(market.weeks[i]) for i in index]
    answers: list[dict[str, object]] = []
    leads: list[dict[str, object]] = []
    unidentified = []
    for name in POPULATIONS:
        found = identify_population(
            name, week=weeks[-1], market=market, level=level, rng=seed, data_dir=data_dir
        )
        if not found.identified:
            unidentified.append(found)
            continue
        posterior = correct(
            name, prior=prior, n_draws=n_draws, rng=seed, market=market, data_dir=data_dir
        )
        for i in index:
            v = volumes(posterior, i)
            c = contest(v, level=level)
            share = share_table(v, by="origin", level=level).set_index("class").loc["China"]
            row: dict[str, object] = {"population": name, "week": v.week}
            row |= {"observed": c.observed_ratio}
            for label, (low, middle, high) in {
                "share": (share["low"], share["corrected"], share["high"]),
                "ratio": c.ratio,
                "lambda": c.undersampling,
            }.items():
                row |= {label: middle, f"{label}_low": low, f"{label}_high": high}
            answers.append(
                {
                    **row,
                    "p_china_leads": c.p_china_leads,
                    "p_china_leads_closed": c.p_china_leads_closed,
                    "weeks_since_last": v.stale,
                    "extrapolated": v.extrapolated,
                }
            )
        for against in ("US", "US closed"):
            for lead, when in lead_weeks(posterior, closed_only=against != "US").items():
                by: dict[str, float] = {}
                for monday in mondays:
                    least, most = probability_by(when, monday)
                    by |= {f"by_{monday}": least, f"by_{monday}_most": most}
                median = crossing_quantile(when, 0.5)
                leads.append(
                    {
                        "population": name,
                        "against": against,
                        "lead": lead,
                        "inside": float(when.probability.sum()),
                        "left_censored": when.left_censored,
                        "right_censored": when.right_censored,
                        "never": when.never,
                        "median": "" if np.isnat(median) else str(median),
                        **by,
                    }
                )
    return pd.DataFrame(answers), pd.DataFrame(leads), unidentified
