"""What the committed studies measured, arranged for the paper; no new statistics."""

import pandas as pd
from results_common import ROOT

#: A coverage further than this many standard errors below the nominal one is called too low.
TOO_LOW = 2.0
NOMINAL = (50, 80, 90, 95)
POPULATION = "simulated market"


def read(name: str) -> pd.DataFrame:
    """Return a table of studies/."""
    return pd.read_csv(ROOT / "studies" / f"{name}.csv", comment="#")


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
    curve = read("coverage_reliability")
    for _, row in curve.iterrows():
        rows.append(
            {
                "kind": "calibration",
                "world": row["world"],
                "estimator": "synthesis",
                "quantity": "p_china_leads",
                "nominal": row["mean_p"],
                "measured": row["frequency"],
                "markets": row["markets"],
            }
        )
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
    facts["decisive_wrong"] = {r["world"]: float(r["decisive_wrong"]) for _, r in wrong.iterrows()}
    facts["band"] = {r["world"]: float(r["in_band"]) for _, r in wrong.iterrows()}
    return facts, frame


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
