"""What the committed studies measured, arranged for the paper; no new statistics."""

import pandas as pd
from results_common import ROOT

#: A coverage further than this many standard errors below the nominal one is called too low.
TOO_LOW = 2.0
NOMINAL = (50, 80, 90, 95)
NINETY = 0.9
#: Studies without a column for it, and the cases "method | design" that break an assumption.
NO_COLUMN = {
    "weights": (
        "weights_coverage",
        # Default trust is for weights whose errors are independent, not for volunteers.
        r"^naive|taken as exact|^soft_calibrate \||^entropy_balance on x \| entry by outcome",
    ),
    "selection models": (
        "selection_coverage",
        r"naive|^(?!.*dial).*(?:acts directly|heavy tails)",
    ),
    "overlaps": ("overlap_coverage", r"^(?:Chapman|log-linear, independence).*odds ratio 3"),
}
BINS = 5


def read(name: str) -> pd.DataFrame:
    """Return a table of studies/."""
    return pd.read_csv(ROOT / "studies" / f"{name}.csv", comment="#")


def pooled_calibration() -> list[dict[str, object]]:
    """Return stated probabilities against frequencies, all worlds pooled, in fifths."""
    curve = read("coverage_reliability")
    fifth = (curve["mean_p"] * BINS).clip(upper=BINS - 1e-9).astype(int)
    rows: list[dict[str, object]] = []
    for _, part in curve.groupby(fifth):
        n = int(part["markets"].sum())
        rows.append(
            {
                "kind": "calibration",
                "world": "all worlds",
                "estimator": "synthesis",
                "quantity": "p_china_leads",
                "nominal": float((part["mean_p"] * part["markets"]).sum()) / n,
                "measured": float((part["frequency"] * part["markets"]).sum()) / n,
                "markets": n,
            }
        )
    return rows


def validation() -> tuple[dict[str, object], pd.DataFrame]:
    """Return coverage by world, estimator and quantity, and how well probabilities are calibrated.

    Every row of the study is kept; intervals that hold too rarely are marked.
    """
    study = read("coverage")
    rows = []
    for _, row in study.iterrows():
        for level in NOMINAL:
            rows.append(
                {
                    "kind": "coverage",
                    "world": row["world"],
                    "estimator": row["estimator"],
                    "quantity": row["quantity"],
                    "nominal": level / 100,
                    "measured": row[f"coverage_{level}"],
                    "markets": row["markets"],
                    "failed": row["failed"],
                    "bias": row["bias"],
                    "rmse": row["rmse"],
                }
            )
    rows += pooled_calibration()
    frame = pd.DataFrame(rows)
    held = frame["kind"] == "coverage"
    se = (frame["nominal"] * (1 - frame["nominal"]) / frame["markets"]) ** 0.5
    frame["se"] = se
    frame["too_low"] = held & (frame["measured"] < frame["nominal"] - TOO_LOW * se)
    at_90 = frame[held & (frame["nominal"] == 0.9)]  # noqa: PLR2004 - the headline's level
    facts: dict[str, object] = {}
    for (estimator, quantity), part in at_90.groupby(["estimator", "quantity"]):
        by_world = part.set_index("world")
        facts[f"{estimator}.{quantity}"] = {
            world: {
                "coverage": float(r["measured"]),
                "se": float(r["se"]),
                "markets": int(r["markets"]),
                "failed": float(r["failed"]),
                "bias": float(r["bias"]),
                "rmse": float(r["rmse"]),
                "too_low": bool(r["too_low"]),
            }
            for world, r in by_world.iterrows()
        }
    wrong = study[(study["estimator"] == "synthesis") & (study["quantity"] == "log_ratio")]
    stated = frame[~held]
    facts["calibration"] = [
        {
            "stated": float(r["nominal"]),
            "frequency": float(r["measured"]),
            "markets": int(r["markets"]),
            "off": bool(abs(r["measured"] - r["nominal"]) > TOO_LOW * r["se"]),
        }
        for _, r in stated.iterrows()
    ]
    facts["decisive_wrong"] = {r["world"]: float(r["decisive_wrong"]) for _, r in wrong.iterrows()}
    facts["band"] = {r["world"]: float(r["in_band"]) for _, r in wrong.iterrows()}
    return facts, frame


def interval_studies() -> pd.DataFrame:
    """Return the coverage at 90 % of every interval method in every design of the other studies.

    ``holds`` says whether the assumptions of the method hold in the design; ``too_low`` whether
    coverage is below nominal by more than can be Monte Carlo error.
    """
    logs = read("unit_logs_coverage").rename(columns={"coverage_90": "coverage"})
    logs["design"] += ", " + logs["outcome"]
    intervals = read("interval_coverage").query("level == 0.9")
    tables = {
        "estimators for logs": logs.rename(columns={"assumptions_hold": "holds"}),
        "intervals for logs": intervals.rename(
            columns={"assumptions_hold": "holds", "interval": "estimator"}
        ),
    }
    for study, (name, broken) in NO_COLUMN.items():
        table = read(name).rename(columns={"world": "design"})
        cases = table["estimator"] + " | " + table["design"]
        tables[study] = table.assign(holds=~cases.str.contains(broken, regex=True))
    columns = ["study", "estimator", "design", "holds", "replicates", "refused", "coverage"]
    whole = pd.concat(
        [t.assign(study=study).reindex(columns=columns) for study, t in tables.items()],
        ignore_index=True,
    )
    se = (NINETY * (1 - NINETY) / whole["replicates"]) ** 0.5
    return whole.assign(too_low=whole["coverage"] < NINETY - TOO_LOW * se)


def other_methods() -> dict[str, object]:
    """Return what those studies found: a row a study, and all methods that fell short.

    A method that fell short where its assumptions hold is named with its worst design.
    """
    whole = interval_studies()
    studies: list[dict[str, object]] = []
    for study, table in whole.groupby("study", sort=False):
        row: dict[str, object] = {"study": study, "methods": int(table["estimator"].nunique())}
        for key, part in (("holds", table[table["holds"]]), ("broken", table[~table["holds"]])):
            row[key] = {
                "cases": len(part),
                "lowest": float(part["coverage"].min()),
                "median": float(part["coverage"].median()),
                "highest": float(part["coverage"].max()),
                "too_low": int(part["too_low"].sum()),
            }
        row["refused"] = float((table["refused"] / table["replicates"]).fillna(0.0).max())
        row["replicates"] = [int(table["replicates"].min()), int(table["replicates"].max())]
        studies.append(row)
    short = whole[whole["holds"] & whole["too_low"]]
    worst = short.loc[short.groupby(["study", "estimator"], sort=False)["coverage"].idxmin()]
    return {
        "studies": studies,
        "short": [
            {"study": r["study"], "method": r["estimator"], "design": r["design"],
             "coverage": float(r["coverage"]), "replicates": int(r["replicates"])}
            for _, r in worst.iterrows()
        ],
    }  # fmt: skip  # dense


def calibration_of_simulation() -> dict[str, object]:
    """Return simulation-based calibration over the prior, by quantity."""
    table = read("sbc")
    return {
        r["quantity"]: {
            "draws": int(r["draws"]),
            "failed": float(r["failed"]),
            "ks_p": float(r["ks_p"]),
            **{f"coverage_{k}": float(r[f"coverage_{k}"]) for k in NOMINAL},
            "se_90": float(r["se_90"]),
        }
        for _, r in table.iterrows()
    }


def held_out() -> tuple[dict[str, object], pd.DataFrame]:
    """Return what each family does to Lambda, and how often disclosures were predicted."""
    families, holdout, later = read("families"), read("holdout"), read("prequential")
    full = read("beta").query("beta == 'estimated'").assign(family="all families")
    columns = ["population", "family", "lambda", "lambda_low", "lambda_high", "p_china_leads"]
    parts = [
        pd.concat([full, families], ignore_index=True)[columns].assign(kind="family"),
        holdout[["population", "group", "id", "family", "z", "pit"]].assign(kind="holdout"),
        later[["population", "published", "id", "pit"]].assign(kind="prequential"),
    ]
    tables = {"holdout": holdout, "prequential": later}
    facts: dict[str, object] = {
        name: {
            "rows": len(table),
            "inside_50": float(table["inside_50"].mean()),
            "inside_90": float(table["inside_90"].mean()),
        }
        for name, table in tables.items()
    }
    facts["family"] = {
        population: {
            "lambda": [float(part["lambda"].min()), float(part["lambda"].max())],
            "p_china_leads": [
                float(part["p_china_leads"].min()),
                float(part["p_china_leads"].max()),
            ],
            "least_without": str(part.loc[part["lambda"].idxmin(), "family"]),
            "most_without": str(part.loc[part["lambda"].idxmax(), "family"]),
        }
        for population, part in families.groupby("population")
    }
    return facts, pd.concat(parts, ignore_index=True)


def pass_through() -> dict[str, object]:
    """Return the answer with the pass-through fixed, by population."""
    table = read("beta")
    return {
        population: {
            r["beta"]: {
                "log_evidence": float(r["log_evidence"]),
                "worst_z": float(r["worst_z"]),
                "p_china_leads": float(r["p_china_leads"]),
                "lambda": float(r["lambda"]),
            }
            for _, r in part.iterrows()
        }
        for population, part in table.groupby("population")
    }
