"""Calls to the peers: each prepares its own input untimed and returns the call to time.

A peer is a function of `Logs` that returns ``(call, weights)``: `call` takes nothing, `weights`
turns its result into final weights (for "ipw" into coefficients). Dense columns are built untimed,
which favours the peers that need them.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from generator import LEVELS, Logs, dense_columns, dense_totals

Call = tuple[Callable[[], Any], Callable[[Any], np.ndarray]]
BOUNDS = (0.2, 5.0)


def _labels(logs: Logs) -> pd.DataFrame:
    frame = {}
    for j, (codes, k) in enumerate(zip(logs.codes, LEVELS, strict=True)):
        frame[f"x{j}"] = pd.Categorical.from_codes(codes, [f"v{level}" for level in range(k)])
    return pd.DataFrame(frame).astype(str).assign(pw=logs.base)


def _margins(logs: Logs) -> dict[str, dict[str, float]]:
    return {
        f"x{j}": {f"v{level}": float(t) for level, t in enumerate(margin)}
        for j, margin in enumerate(logs.margins)
    }


def weightpipe_rake(logs: Logs) -> Call:
    """Rake base weights with weightpipe."""
    weightpipe = import_module("weightpipe")
    frame, margins = _labels(logs), _margins(logs)
    return (
        lambda: (
            weightpipe.WeightPipe(frame, weight="pw")
            .calibrate(method="raking", margins=margins, tol=1e-8, max_iter=2000, force1=False)
            .weights
        ),
        lambda out: out.to_numpy(),
    )


def rimpy_rake(logs: Logs) -> Call:
    """Rake unit weights with rimpy, which takes no base weights (a smaller problem)."""
    rimpy = import_module("rimpy")
    frame = pd.DataFrame({f"x{j}": c.astype(np.int64) for j, c in enumerate(logs.codes)})
    targets = {
        f"x{j}": {level: float(t * 100 / m.sum()) for level, t in enumerate(m)}
        for j, m in enumerate(logs.margins)
    }
    return (
        lambda: rimpy.rake(frame, targets, convergence_threshold=1e-8, max_iterations=5000),
        lambda out: out["weight"].to_numpy(),
    )


def _weightpipe(logs: Logs, calfun: str, bounds: tuple[float, float] | None = None) -> Call:
    weightpipe = import_module("weightpipe")
    names = [f"k{i}" for i in range(1, 40)]
    frame = pd.DataFrame(dense_columns(logs)[:, 1:], columns=names).assign(pw=logs.base)
    formula = "~ " + " + ".join(names)
    values = dict(zip(["Intercept", *names], dense_totals(logs).tolist(), strict=True))
    values["(Intercept)"] = values["Intercept"]
    totals = {key: values[key] for key in weightpipe.population_totals(frame.head(100), formula)}
    options = {"formula": formula, "totals": totals, "bounds": bounds, "tol": 1e-8}
    return (
        lambda: (
            weightpipe.WeightPipe(frame, weight="pw")
            .calibrate(method="linear", calfun=calfun, max_iter=100, **options)
            .weights
        ),
        lambda out: out.to_numpy(),
    )


def weightpipe_linear(logs: Logs) -> Call:
    """Calibrate linearly with weightpipe."""
    return _weightpipe(logs, "linear")


def weightpipe_entropy(logs: Logs) -> Call:
    """Calibrate with the raking distance with weightpipe."""
    return _weightpipe(logs, "raking")


def weightpipe_logit(logs: Logs) -> Call:
    """Calibrate with the logit distance with weightpipe."""
    return _weightpipe(logs, "logit", BOUNDS)


def _icarus(logs: Logs, method: str, bounds: tuple[float, float] | None = None) -> Call:
    calibrate = import_module("pycarus.calibration").calibrate
    c = [logs.c1, logs.c2, logs.c1**2, logs.c1 * logs.c2]
    frame = _labels(logs).assign(**{f"c{m}": column for m, column in enumerate(c)})
    totals = _margins(logs) | {f"c{m}": float(t) for m, t in enumerate(logs.moments)}
    options = {"initial_weights_column": "pw", "tolerance": 1e-8, "verbose": False}
    return (
        lambda: calibrate(frame, totals, method=method, bounds=bounds, **options),
        lambda out: np.asarray(out[0]),
    )


def icarus_linear(logs: Logs) -> Call:
    """Calibrate linearly with icarus."""
    return _icarus(logs, "linear")


def icarus_entropy(logs: Logs) -> Call:
    """Calibrate with the raking distance with icarus."""
    return _icarus(logs, "raking")


def icarus_logit(logs: Logs) -> Call:
    """Calibrate with the logit distance with icarus."""
    return _icarus(logs, "logit", BOUNDS)


def empirical_calibration_entropy(logs: Logs) -> Call:
    """Balance entropy with empirical_calibration."""
    ec = import_module("empirical_calibration")
    x, t = dense_columns(logs)[:, 1:], (dense_totals(logs)[1:] / logs.n)[None, :]
    options = {"objective": ec.Objective.ENTROPY, "autoscale": True}
    return (
        lambda: ec.calibrate(x, t, baseline_weights=logs.base, **options),
        lambda out: np.asarray(out[0]) * logs.n,
    )


def svy_replicates(logs: Logs) -> Call:
    """Draw 500 Rao-Wu replicates and rake each with svy."""
    pl, svy = import_module("polars"), import_module("svy")
    strings = [pl.col(f"x{j}").cast(pl.String) for j in range(len(LEVELS))]
    frame = pl.from_pandas(_labels(logs)).with_columns(strings)
    frame = frame.with_columns(id=pl.Series(np.arange(logs.n)))
    margins = _margins(logs)

    def call() -> Any:  # noqa: ANN401 - the peer's own type
        design = svy.Design(wgt="pw", psu="id")
        drawn = svy.Sample(frame, design).weighting.create_bs_wgts(500, kind="rao-wu", rstate=1)
        return drawn.weighting.rake(controls=margins, tol=1e-8, max_iter=5000)

    return call, lambda out: out.data["rk_wgt"].to_numpy()


def sklearn_ipw(logs: Logs) -> Call:
    """Fit participation by logistic regression with scikit-learn's Newton-Cholesky solver."""
    linear_model = import_module("sklearn.linear_model")
    x = dense_columns(logs)[:, 1:]
    model = linear_model.LogisticRegression(
        C=np.inf, solver="newton-cholesky", tol=1e-8, max_iter=100
    )
    return (
        lambda: model.fit(x, logs.y),
        lambda out: np.concatenate([out.intercept_, out.coef_[0]]),
    )


def statsmodels_ipw(logs: Logs) -> Call:
    """Fit participation by logistic regression with statsmodels' Newton."""
    discrete = import_module("statsmodels.discrete.discrete_model")
    x = dense_columns(logs)
    return (
        lambda: discrete.Logit(logs.y, x).fit(method="newton", tol=1e-8, disp=0),
        lambda out: np.asarray(out.params),
    )


PEERS: dict[str, dict[str, Callable[[Logs], Call]]] = {
    "rake": {"weightpipe": weightpipe_rake, "rimpy": rimpy_rake},
    "linear": {"weightpipe": weightpipe_linear, "python-icarus": icarus_linear},
    "entropy": {
        "python-icarus": icarus_entropy,
        "empirical-calibration": empirical_calibration_entropy,
        "weightpipe": weightpipe_entropy,
    },
    "logit": {"python-icarus": icarus_logit, "weightpipe": weightpipe_logit},
    "ipw": {"scikit-learn": sklearn_ipw, "statsmodels": statsmodels_ipw},
    "replicates": {"svy": svy_replicates},
}
