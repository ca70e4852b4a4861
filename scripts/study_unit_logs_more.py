"""Further estimators on the two populations of study_unit_logs_designs.py."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from study_unit_logs_designs import (
    ALL,
    N_LABELLED,
    N_REFERENCE,
    OUTCOMES,
    as_rows,
    systematic,
)

from offroute.estimators.calibrate import calibrate
from offroute.estimators.doubly_robust import doubly_robust
from offroute.estimators.estimands import mean, ratio, share
from offroute.estimators.imputation import impute
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.point import Estimator, Sample, Target, make_target
from offroute.estimators.propensity import ipw
from offroute.estimators.rectifier import rectify
from offroute.estimators.reference import benchmark_columns, target_from_reference
from offroute.estimators.soft_calibration import soft_calibrate
from offroute.inference.estimate import infer
from offroute.inference.variance import design_variance

CLUSTERS = DesignColumns(clusters="account")
# Prior variance of a weight over its base weight: rows' errors, and errors that levels share.
BY_ROW, BY_LEVEL = 1.0, 1e6


def draw_chen_li_wu(population: pd.DataFrame, seed: np.random.SeedSequence) -> Iterator[dict]:
    """Draw logs, reference and a probability sample; yield the other distances and soft ones."""
    rng = np.random.default_rng(seed)
    logs = population[rng.random(len(population)) < population["enters"]]
    panel = systematic(population, N_REFERENCE, rng)
    few = systematic(population, N_LABELLED, rng)
    size = len(population)
    sample = read_sample(
        logs.assign(even=size / len(logs)), outcomes=OUTCOMES, covariates=ALL, weights="even"
    )
    drawn = read_sample(few, outcomes=OUTCOMES, covariates=ALL, weights="d")
    reference = read_sample(panel, covariates=ALL, weights="d")
    rows, totals = Target(reference=reference), target_from_reference(reference, ALL)
    noisy = _with_covariance(reference, totals)
    bounded = {"distance": "logit", "bounds": (0.001, 50.0)}
    wide = partial(soft_calibrate, trust=BY_LEVEL)
    cases: list[tuple[str, Estimator, Target, bool]] = [
        ("calibrate logit", partial(calibrate, **bounded), totals, True),
        ("calibrate sinh", partial(calibrate, distance="sinh"), totals, True),
        ("calibrate truncated linear", partial(calibrate, bounds=(0.0, 50.0)), totals, True),
        ("soft calibrate, errors by row", partial(soft_calibrate, trust=BY_ROW), noisy, False),
        ("soft calibrate, errors by level", wide, noisy, True),
        (
            "doubly robust bias-minimised-x4",
            partial(doubly_robust, terms=ALL[:3], method="bias-minimised"),
            rows,
            False,
        ),
    ]
    truth = population[OUTCOMES].mean().to_numpy()
    for name, estimator, target, holds in cases:
        yield from as_rows(name, infer(estimator(sample, target)), truth, OUTCOMES, holds)
    soft = infer(soft_calibrate(drawn, noisy, trust=BY_ROW))
    yield from as_rows("soft calibrate, probability sample", soft, truth, OUTCOMES, True)


def draw_accounts(population: pd.DataFrame, seed: np.random.SeedSequence) -> Iterator[dict]:
    """Draw accounts into the logs, at random and by outcome; yield the other estimators."""
    rng = np.random.default_rng(seed)
    first = population.drop_duplicates("account")
    lots = rng.random(len(first))
    panel, labelled = (
        population[
            population["account"].isin(rng.choice(first["account"], n, replace=False))
        ].assign(d=len(first) / n)
        for n in (500, 300)
    )
    margins = ["region", "plan"]
    reference = read_sample(panel, covariates=margins, weights="d", design=CLUSTERS)
    sides = make_target({k: population[k].value_counts().to_dict() for k in margins})
    noisy = _with_covariance(reference, target_from_reference(reference, margins))
    estimands = [share("origin", levels=["CN"]), mean("chinese")]
    names = ["share of volume", "mean"]
    by_volume = population.groupby("origin")["volume"].sum()
    truth = np.array([by_volume["CN"] / by_volume.sum(), population["chinese"].mean()])
    cross, rows = [("region", "plan")], Target(reference=reference)
    together = partial(doubly_robust, terms=cross, method="bias-minimised")
    cases: list[tuple[str, Estimator, Target, bool]] = [
        # Neither the weights nor the outcomes have the form of these two distances.
        ("calibrate linear", calibrate, sides, False),
        ("calibrate sinh", partial(calibrate, distance="sinh"), sides, False),
        ("calibrate raking", partial(calibrate, distance="raking"), sides, True),
        ("soft calibrate, errors by row", partial(soft_calibrate, trust=BY_ROW), noisy, False),
        ("soft calibrate, errors by level", partial(soft_calibrate, trust=BY_LEVEL), noisy, True),
        ("ipw alp", partial(ipw, terms=margins, method="alp"), rows, True),
        ("impute pmm", partial(impute, method="pmm", terms=cross), rows, True),
        ("doubly robust bias-minimised", together, rows, True),
    ]
    for entry, suffix in (("enters", ""), ("enters by outcome", ", entry by outcome")):
        chosen = first["account"][lots < first[entry]]
        logs = population[population["account"].isin(chosen)]
        sample = read_sample(
            logs.assign(even=len(population) / len(logs)),
            outcomes=["origin", "chinese"],
            covariates=margins,
            weights="even",
            volume="volume",
            design=CLUSTERS,
        )
        for name, estimator, target, holds in cases:
            estimate = infer(estimator(sample, target, estimands=estimands))
            yield from as_rows(name + suffix, estimate, truth, names, holds and not suffix)
        if not suffix:
            # Shares by cell, learned on the logs, predict the accounts that were labelled.
            learned = logs.groupby(margins)["chinese"].mean().rename("f").reset_index()
            yield from _rectified(labelled, panel, learned, truth, names)


def _with_covariance(reference: Sample, target: Target) -> Target:
    """Return the totals with their own error in place of the sample that they come from."""
    columns = benchmark_columns(reference, target)
    covariance = design_variance(reference.weights[:, None] * columns, reference.design)
    return replace(target, covariance=covariance, reference=None)


def _rectified(
    labelled: pd.DataFrame,
    panel: pd.DataFrame,
    learned: pd.DataFrame,
    truth: np.ndarray,
    names: list[str],
) -> Iterator[dict]:
    columns = ["f", "f_volume", "volume"]
    few, many = (
        frame.merge(learned, on=["region", "plan"]).assign(
            cn_volume=lambda t: t["chinese"] * t["volume"], f_volume=lambda t: t["f"] * t["volume"]
        )
        for frame in (labelled, panel)
    )
    sample = read_sample(
        few, outcomes=["cn_volume", "chinese"], covariates=columns, weights="d", design=CLUSTERS
    )
    reference = read_sample(many, covariates=columns, weights="d", design=CLUSTERS)
    estimands = [ratio("cn_volume", "volume"), mean("chinese")]
    predictions = {"cn_volume": "f_volume", "chinese": "f"}
    point = rectify(
        sample, Target(reference=reference), predictions=predictions, estimands=estimands
    )
    yield from as_rows("rectify", infer(point), truth, names, True)
