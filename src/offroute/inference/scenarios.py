"""The headline under other priors, under common errors of disclosures, and without each family."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from offroute.estimators.prior import INFORMED, NEUTRAL, Prior
from offroute.estimators.synthesis import Posterior, synthesise
from offroute.inference.diagnostics import families_of
from offroute.inference.shares import contest, volumes
from offroute.measurement.ledger import Benchmarks, take


def prior_scenarios() -> dict[str, Prior]:
    """Return the family of priors over which the total interval is taken.

    Returns
    -------
    dict of str to Prior
        The neutral prior first, the critics' last.
    """
    n = NEUTRAL

    def _effects(k: float) -> Prior:
        return replace(n, b_closed_sd=k * n.b_closed_sd, b_china_sd=k * n.b_china_sd)

    return {
        "neutral prior": n,
        "effects half as wide": _effects(0.5),
        "effects twice as wide": _effects(2.0),
        "no common mode": replace(n, s_cm=0.0),
        "common mode doubled": replace(n, s_cm=2 * n.s_cm),
        "families twice as biased": replace(n, omega=2 * n.omega),
        "all families reliable": replace(n, p_unreliable=0.0),
        "pass-through centred at 1": replace(n, beta=1.0),
        "pass-through centred at 0": replace(n, beta=0.0),
        "informed prior": INFORMED,
    }


def shifted(b: Benchmarks, factor: float) -> Benchmarks:
    """Suppose that all disclosures about US labs are off by one factor.

    Parameters
    ----------
    b : Benchmarks
        The benchmarks.
    factor : float
        By how much the figures are too low: 2 doubles them.

    Returns
    -------
    Benchmarks
        With figures of absolute size about US labs multiplied.
    """
    absolute = (b.origin > 0) & ~b.flat[b.family]
    return replace(b, y=b.y + np.log(factor) * absolute)


def scenario_table(
    posterior: Posterior,
    week: int,
    *,
    families: bool = True,
    level: float = 0.9,
    n_draws: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Refit under every scenario and tabulate the headline.

    Parameters
    ----------
    posterior : Posterior
        Fit whose market and benchmarks are used.
    week : int
        Index of the week.
    families : bool
        Whether to leave out each family in turn as well.
    level : float
        Probability of the intervals.
    n_draws : int
        Draws of each refit.
    seed : int
        Seed of every refit, so that scenarios differ by their assumptions alone.
    progress : callable, optional
        Called with the number done and the number of all refits.

    Returns
    -------
    pandas.DataFrame
        ``kind`` (prior, shift, family), ``scenario``, ``log_ratio`` with ``low``, ``high``,
        Lambda with ``lambda_low``, ``lambda_high``, ``p_china_leads``. The total interval is the
        union of the intervals of kind prior.

    Raises
    ------
    UnreliablePosterior
        If a refit fails.
    """
    b = posterior.benchmarks
    cases: list[tuple[str, str, Prior, Benchmarks]] = [
        ("prior", name, prior, b) for name, prior in prior_scenarios().items()
    ]
    for factor in (0.5, 2.0):
        cases.append(
            ("shift", f"US disclosures times {factor:g}", posterior.prior, shifted(b, factor))
        )
    if families:
        for name, rows in families_of(b).items():
            kept = take(b, np.setdiff1d(np.arange(len(b)), rows))
            cases.append(("family", f"without {name}", posterior.prior, kept))
    out = []
    for done, (kind, name, prior, evidence) in enumerate(cases):
        fit = synthesise(
            posterior.market,
            evidence,
            prior=prior,
            weeks=np.array([week]),
            n_draws=n_draws,
            rng=seed,
        )
        c = contest(volumes(fit, week), level=level)
        out.append(
            {
                "kind": kind,
                "scenario": name,
                "log_ratio": np.log(c.ratio[1]),
                "low": np.log(c.ratio[0]),
                "high": np.log(c.ratio[2]),
                "lambda": c.undersampling[1],
                "lambda_low": c.undersampling[0],
                "lambda_high": c.undersampling[2],
                "p_china_leads": c.p_china_leads,
            }
        )
        if progress is not None:
            progress(done + 1, len(cases))
    return pd.DataFrame(out)
