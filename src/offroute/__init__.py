r"""Corrected shares of large-language-model usage from a biased panel.

Examples
--------
>>> import offroute
>>> posterior = offroute.correct("world-external-api", weeks=("2026-06-01",), n_draws=400)
>>> week = offroute.volumes(posterior, int(posterior.draws.weeks[0]))
>>> offroute.share_table(week, by="origin", level=0.9)["class"].tolist()
['China', 'US', 'Stealth', 'Rest of world']
>>> offroute.contest(week).observed_ratio > offroute.contest(week).ratio[1]
True

From a file of one's own logs to a share of volume: naive, and for the population whose plans are
known.

>>> from io import StringIO
>>> import pandas as pd
>>> file = StringIO(
...     "account plan origin tokens\n"
...     "1 free CN 9\n1 free CN 7\n2 free US 3\n2 free CN 8\n3 free CN 6\n4 free CN 5\n"
...     "4 free US 4\n5 paid US 9\n5 paid US 7\n6 paid CN 4\n7 paid US 6\n"
... )
>>> logs = offroute.read_sample(
...     pd.read_csv(file, sep=" "),
...     outcomes=["origin"],
...     covariates=["plan"],
...     volume="tokens",
...     design=offroute.DesignColumns(clusters="account"),
... )
>>> population = offroute.make_target({"plan": {"free": 50, "paid": 50}})
>>> china = [offroute.share("origin", levels=["CN"])]
>>> for estimator in (offroute.expansion, offroute.calibrate):
...     point = estimator(logs, population, estimands=china)
...     e = offroute.infer(point, level=0.9, interval="logit")
...     print(f"{estimator.__name__}: {e.values[0]:.2f} [{e.lower[0]:.2f}, {e.upper[0]:.2f}]")
expansion: 0.57 [0.22, 0.87]
calibrate: 0.48 [0.24, 0.73]
"""

from importlib import import_module
from typing import TYPE_CHECKING

from offroute import exceptions

if TYPE_CHECKING:
    from offroute.data.cell_table import CellTable, cells_from_frame, cells_to_csv, load_cells
    from offroute.data.cells import collapse
    from offroute.data.log_formats import read_log
    from offroute.data.refreshed import load_refreshed
    from offroute.data.snapshot import (
        load_apps,
        load_composition,
        load_crosswalk,
        load_daily,
        load_gateway,
        load_ledger,
        load_models,
        load_prices,
        load_roster,
        load_usage,
        sidecar_of,
    )
    from offroute.data.snapshot_detail import load_app_models, load_hosts
    from offroute.estimators.calibrate import calibrate, entropy_balance, rake
    from offroute.estimators.cells import read_cells
    from offroute.estimators.doubly_robust import doubly_robust
    from offroute.estimators.estimands import mean, ratio, share, shares_of, smooth, total
    from offroute.estimators.exclusion import exclusion_dial, exclusion_test, population_mean
    from offroute.estimators.expansion import expansion
    from offroute.estimators.generalized_calibration import generalized_calibrate
    from offroute.estimators.imputation import impute
    from offroute.estimators.intake import DesignColumns, read_sample
    from offroute.estimators.loglinear import loglinear
    from offroute.estimators.overlap import chao_bound, chapman, dependence_dial
    from offroute.estimators.partial_pooling import mrp
    from offroute.estimators.point import PointEstimate, Sample, Target, make_target
    from offroute.estimators.poststratify import poststratify
    from offroute.estimators.prior import INFORMED, NEUTRAL, Prior
    from offroute.estimators.propensity import ipw
    from offroute.estimators.rectifier import rectify
    from offroute.estimators.reference import target_from_reference
    from offroute.estimators.selection import heckman_two_step
    from offroute.estimators.selection_binary import heckman_binary
    from offroute.estimators.selection_ml import heckman_ml
    from offroute.estimators.soft_calibration import soft_calibrate
    from offroute.estimators.switches import MECHANISMS
    from offroute.estimators.synthesis import Posterior
    from offroute.estimators.weights import (
        balance_table,
        summarise_weights,
        trim,
        trim_weights,
        uncovered_share,
    )
    from offroute.exceptions import OffrouteError
    from offroute.inference.bands import (
        composition_intervals,
        design_effect_covariance,
        goodman_intervals,
        sison_glaz_intervals,
        sup_t_band,
    )
    from offroute.inference.comparison import compare_estimators
    from offroute.inference.delta import delta_method
    from offroute.inference.estimate import Estimate, infer
    from offroute.inference.intervals import fieller_interval
    from offroute.inference.mechanisms.coverage import coverage_by_lab
    from offroute.inference.overturn import overturn
    from offroute.inference.paths import ratio_series, share_series
    from offroute.inference.pipeline import correct, load_market
    from offroute.inference.replicates import given_replicates
    from offroute.inference.resampling import bootstrap, jackknife, replicate_inference
    from offroute.inference.shares import Contest, Volumes, contest, share_table, volumes
    from offroute.inference.summary import answer_table
    from offroute.inference.trends import trend_report
    from offroute.measurement.audit import audit_weeks
    from offroute.measurement.ledger import Benchmarks, build_benchmarks
    from offroute.measurement.market import Market
    from offroute.measurement.observed import observed_shares
    from offroute.measurement.populations import POPULATIONS

__version__ = "0.1.0"

# Where each public name lives; imported on first use, so that `import offroute` stays cheap.
_GROUPS = {
    # tables
    "offroute.data.snapshot": (
        "load_apps",
        "load_composition",
        "load_crosswalk",
        "load_daily",
        "load_gateway",
        "load_ledger",
        "load_models",
        "load_prices",
        "load_roster",
        "load_usage",
        "sidecar_of",
    ),
    "offroute.data.snapshot_detail": ("load_app_models", "load_hosts"),
    "offroute.data.refreshed": ("load_refreshed",),
    # what was meant
    "offroute.measurement.audit": ("audit_weeks",),
    "offroute.measurement.ledger": ("Benchmarks", "build_benchmarks"),
    "offroute.measurement.market": ("Market",),
    "offroute.measurement.observed": ("observed_shares",),
    "offroute.measurement.populations": ("POPULATIONS",),
    # estimates
    "offroute.estimators.prior": ("INFORMED", "NEUTRAL", "Prior"),
    "offroute.estimators.switches": ("MECHANISMS",),
    "offroute.estimators.synthesis": ("Posterior",),
    "offroute.inference.pipeline": ("correct", "load_market"),
    # what follows from them
    "offroute.inference.shares": ("Contest", "Volumes", "contest", "share_table", "volumes"),
    "offroute.inference.mechanisms.coverage": ("coverage_by_lab",),
    "offroute.inference.paths": ("ratio_series", "share_series"),
    "offroute.inference.summary": ("answer_table",),
    "offroute.inference.trends": ("trend_report",),
    # what else it could be
    "offroute.inference.comparison": ("compare_estimators",),
    "offroute.inference.overturn": ("overturn",),
    # people's own logs
    "offroute.data.cells": ("collapse",),
    "offroute.data.cell_table": ("CellTable", "cells_from_frame", "cells_to_csv", "load_cells"),
    "offroute.data.log_formats": ("read_log",),
    "offroute.estimators.cells": ("read_cells",),
    "offroute.estimators.intake": (
        "DesignColumns",
        "read_sample",
    ),
    "offroute.estimators.point": (
        "PointEstimate",
        "Sample",
        "Target",
        "make_target",
    ),
    "offroute.estimators.reference": ("target_from_reference",),
    # estimands of a log
    "offroute.estimators.estimands": (
        "mean",
        "ratio",
        "share",
        "shares_of",
        "smooth",
        "total",
    ),
    # weights to known totals
    "offroute.estimators.expansion": ("expansion",),
    "offroute.estimators.poststratify": ("poststratify",),
    "offroute.estimators.calibrate": (
        "calibrate",
        "entropy_balance",
        "rake",
    ),
    "offroute.estimators.soft_calibration": ("soft_calibrate",),
    "offroute.estimators.generalized_calibration": ("generalized_calibrate",),
    # models of who takes part, and of the outcome
    "offroute.estimators.propensity": ("ipw",),
    "offroute.estimators.imputation": ("impute",),
    "offroute.estimators.doubly_robust": ("doubly_robust",),
    "offroute.estimators.rectifier": ("rectify",),
    "offroute.estimators.partial_pooling": ("mrp",),
    # selection on what is not observed
    "offroute.estimators.selection": ("heckman_two_step",),
    "offroute.estimators.selection_ml": ("heckman_ml",),
    "offroute.estimators.selection_binary": ("heckman_binary",),
    "offroute.estimators.exclusion": (
        "exclusion_dial",
        "exclusion_test",
        "population_mean",
    ),
    # overlap of lists
    "offroute.estimators.overlap": (
        "chao_bound",
        "chapman",
        "dependence_dial",
    ),
    "offroute.estimators.loglinear": ("loglinear",),
    # checks of weights
    "offroute.estimators.weights": (
        "balance_table",
        "summarise_weights",
        "trim",
        "trim_weights",
        "uncovered_share",
    ),
    # intervals and replicates
    "offroute.inference.estimate": ("Estimate", "infer"),
    "offroute.inference.resampling": (
        "bootstrap",
        "jackknife",
        "replicate_inference",
    ),
    "offroute.inference.replicates": ("given_replicates",),
    "offroute.inference.intervals": ("fieller_interval",),
    "offroute.inference.delta": ("delta_method",),
    "offroute.inference.bands": (
        "composition_intervals",
        "design_effect_covariance",
        "goodman_intervals",
        "sison_glaz_intervals",
        "sup_t_band",
    ),
    # errors
    "offroute.exceptions": ("OffrouteError",),
}
_HOME = {name: module for module, names in _GROUPS.items() for name in names}

__all__ = [  # noqa: RUF022 - grouped as above
    "load_app_models",
    "load_apps",
    "load_composition",
    "load_crosswalk",
    "load_daily",
    "load_gateway",
    "load_hosts",
    "load_ledger",
    "load_models",
    "load_prices",
    "load_refreshed",
    "load_roster",
    "load_usage",
    "sidecar_of",
    "audit_weeks",
    "Benchmarks",
    "build_benchmarks",
    "Market",
    "observed_shares",
    "POPULATIONS",
    "INFORMED",
    "NEUTRAL",
    "Prior",
    "MECHANISMS",
    "Posterior",
    "correct",
    "load_market",
    "Contest",
    "Volumes",
    "contest",
    "share_table",
    "volumes",
    "coverage_by_lab",
    "ratio_series",
    "share_series",
    "answer_table",
    "trend_report",
    "compare_estimators",
    "overturn",
    "CellTable",
    "collapse",
    "cells_from_frame",
    "cells_to_csv",
    "load_cells",
    "read_log",
    "read_cells",
    "DesignColumns",
    "read_sample",
    "PointEstimate",
    "Sample",
    "Target",
    "make_target",
    "target_from_reference",
    "mean",
    "ratio",
    "share",
    "shares_of",
    "smooth",
    "total",
    "expansion",
    "poststratify",
    "calibrate",
    "entropy_balance",
    "rake",
    "soft_calibrate",
    "generalized_calibrate",
    "ipw",
    "impute",
    "doubly_robust",
    "rectify",
    "mrp",
    "heckman_two_step",
    "heckman_ml",
    "heckman_binary",
    "exclusion_dial",
    "exclusion_test",
    "population_mean",
    "chao_bound",
    "chapman",
    "dependence_dial",
    "loglinear",
    "balance_table",
    "summarise_weights",
    "trim",
    "trim_weights",
    "uncovered_share",
    "Estimate",
    "infer",
    "bootstrap",
    "jackknife",
    "replicate_inference",
    "given_replicates",
    "fieller_interval",
    "delta_method",
    "composition_intervals",
    "design_effect_covariance",
    "goodman_intervals",
    "sison_glaz_intervals",
    "sup_t_band",
    "OffrouteError",
    "exceptions",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
