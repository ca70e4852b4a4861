r"""Populations (C5): what the choice of buyers does, and the crosswalk's own uncertainty.

A figure speaks of some buyers and channels; a factor with an error carries it to the population
that is asked about. For every scope class k the posterior's response to its factor is exact to
first order,

.. math:: \frac{\partial E[R]}{\partial o_k} = -\sum_{i \in k} Cov(R, s_i), \qquad
   s = -S^{-1} e ,

with e the errors of the figures in each draw and S their covariance: the derivative of a posterior
mean is a posterior covariance with the score.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import logit

from offroute._checks import check_columns
from offroute._typing import FloatArray
from offroute.estimators.synthesis import Posterior
from offroute.exceptions import InvalidValue, NotIdentified
from offroute.inference.diagnostics import conditional_errors
from offroute.inference.identification import Identification
from offroute.inference.mechanisms.counterfactual import china_over_us, direction_of, triple
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes

#: Two sources on either side with figures of absolute size make the effect moderate.
_SOURCES = 2


def population_effect(posterior: Posterior, v: Volumes, *, level: float = 0.9) -> Effect:
    """Measure the whole correction of an identified population.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    v : Volumes
        Its volumes in one week.
    level : float
        Probability of the interval.

    Returns
    -------
    Effect
        The parameter is the log ratio itself. Moderate where two sources on either side have
        figures of absolute size, else weak; never strong, since factors of the crosswalk carry most
        of them to the population.

    Raises
    ------
    NotIdentified
        If a side has no volume.
    """
    ratio = china_over_us(v, v.Y)
    change = triple(ratio - china_over_us(v, v.X), level)
    b = posterior.benchmarks
    absolute = ~b.flat[b.family] & (b.side == 0)
    sources = [len(set(b.family[absolute & (sign * b.origin > 0)])) for sign in (1, -1)]
    few = min(sources)
    strength = "moderate" if few >= _SOURCES else "weak"
    return Effect(
        critique="C5",
        mechanism="population",
        population=v.population,
        week=v.week,
        parameter="log(China / US) of the population",
        estimate=triple(ratio, level),
        effect=change,
        level=level,
        evidence=b.ids,
        direction=direction_of(change),
        strength=strength,
        note=(
            f"All corrections together, from {sources[0]} sources about US and {sources[1]} about "
            "Chinese labs; the crosswalk's factors are assumptions with stated errors."
        ),
    )


def population_bounds(
    found: Identification,
    v: Volumes,
    *,
    place: Effect | None = None,
    self_run: Effect | None = None,
    level: float = 0.9,
) -> Effect:
    """Bound the correction of a population that no figure identifies.

    Parameters
    ----------
    found : Identification
        As of `offroute.inference.pipeline.identify_population`.
    v : Volumes
        The panel's week.
    place : Effect, optional
        Bounds from the place of the panel's buyers, where the population is a place.
    self_run : Effect, optional
        What self-run tokens add to an identified part of the population, as of
        `offroute.inference.mechanisms.self_hosting.self_hosting`; the last bounds of `found` must
        then be those of `offroute.inference.mechanisms.self_hosting.with_any_self_run`.
    level : float
        Level of the interval of the identified part; other bounds hold surely.

    Returns
    -------
    Effect
        The log ratio of the panel's buyers in that place, if given, or of the identified part with
        any amount of self-run tokens, if given; else of anyone: then the ends are infinite and
        nothing bounds it. Buyers off the panel are not in a place.

    Raises
    ------
    InvalidValue
        If the population is identified.
    """
    if found.identified:
        raise InvalidValue(
            f"population '{found.population}'",
            got=found.reason,
            rule="must not be identified",
            next_step="Use population_effect on its posterior.",
        )
    naive = float(china_over_us(v, v.X).ravel()[0])
    ends = (-np.inf, np.inf)
    evidence: tuple[str, ...] = ("logic",)
    said = "Nothing bounds it."
    if place is not None:
        ends, evidence = (place.effect[0], place.effect[2]), place.evidence
        said = "Bounds are of the panel's own buyers."
    elif self_run is not None:
        assumption, low, high = found.bounds[-1]
        ends = float(logit(low)) - naive, float(logit(high)) - naive
        evidence = self_run.evidence
        said = f"Bounds hold {assumption}."
    return Effect(
        critique="C5",
        mechanism="population",
        population=found.population,
        week=v.week,
        parameter="log(China / US) of the population",
        estimate=(naive + ends[0], np.nan, naive + ends[1]),
        effect=(ends[0], np.nan, ends[1]),
        level=level,
        evidence=evidence,
        direction=direction_of((ends[0], 0.0, ends[1])),
        strength="bounds only",
        note=f"Not identified: {found.reason}. {said}",
    )


def compare_populations(effects: Mapping[str, Effect]) -> pd.DataFrame:
    """Put the effects of several populations side by side.

    Parameters
    ----------
    effects : mapping of str to Effect
        By population.

    Returns
    -------
    pandas.DataFrame
        ``population``, ``low``, ``median``, ``high`` of the share of China among China and the US,
        ``strength``; bounds where the median is missing.
    """
    rows = []
    for name, effect in effects.items():
        share = 1 / (1 + np.exp(-np.array(effect.estimate)))
        rows.append((name, *share, effect.strength))
    return pd.DataFrame(rows, columns=["population", "low", "median", "high", "strength"])


def factor_sensitivity(
    posterior: Posterior, v: Volumes, ledger: pd.DataFrame, crosswalk: pd.DataFrame
) -> pd.DataFrame:
    """Tabulate how the corrected log ratio moves with each factor of the crosswalk.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    v : Volumes
        Its volumes in one week.
    ledger, crosswalk : pandas.DataFrame
        The tables that it was fitted to.

    Returns
    -------
    pandas.DataFrame
        ``scope_class``, ``factor``, ``sd``, ``rows`` (figures of the class in the fit), ``slope``
        (change of the posterior mean of R for a factor larger by one log unit), ``shift`` (the same
        for one sd, which the interval already holds), ``mcse`` of the shift; by falling size of
        the shift. Share tables and one-sided figures are left out: their factors cancel or do not
        act to first order.

    Raises
    ------
    SchemaError
        If a column is missing.
    NotIdentified
        If the fit has no exact figure of absolute size.
    """
    check_columns(ledger, ["id", "scope_class"], name="ledger")
    check_columns(crosswalk, ["scope_class", "population", "factor", "sd"], name="crosswalk")
    rows, score = scores(posterior)
    R = china_over_us(v, v.Y)
    centred = R - R.mean()
    b = posterior.benchmarks
    scope = ledger.set_index("id")["scope_class"].to_dict()
    factors = crosswalk[crosswalk["population"] == b.population].set_index("scope_class")
    of = np.array([str(scope[b.ids[i]]) for i in rows])
    out = []
    for name in sorted(set(of)):
        product = -centred * score[:, of == name].sum(axis=1)
        slope, error = float(product.mean()), float(product.std() / np.sqrt(len(product)))
        sd = float(factors.loc[name, "sd"])
        factor = float(factors.loc[name, "factor"])
        out.append((name, factor, sd, int((of == name).sum()), slope, slope * sd, error * sd))
    columns = ["scope_class", "factor", "sd", "rows", "slope", "shift", "mcse"]
    table = pd.DataFrame(out, columns=columns)
    order = table["shift"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def scores(posterior: Posterior) -> tuple[np.ndarray, FloatArray]:
    """Differentiate the log density of the figures by each figure, draw by draw.

    Parameters
    ----------
    posterior : Posterior
        The fit.

    Returns
    -------
    rows : ndarray of int, shape (m,)
        Exact figures of absolute size.
    score : ndarray, shape (k, m)
        Minus the precision of the errors times the errors.

    Raises
    ------
    NotIdentified
        If there is no such figure.
    """
    b = posterior.benchmarks
    e = conditional_errors(posterior)
    keep = ~b.flat[b.family[e.rows]]
    if not keep.any():
        raise NotIdentified(
            "response to the figures",
            got="no exact figure of absolute size",
            rule="at least one is needed",
            next_step="See population_bounds.",
        )
    # The residual given the others is the precision times the errors, over its diagonal.
    return e.rows[keep], -(e.residual / e.sd**2)[:, keep]
