"""What the committed studies measured, arranged for the paper; no new statistics."""

import pandas as pd
from results_common import ROOT

#: A coverage further than this many standard errors below the nominal one is called too low.
TOO_LOW = 2.0
NOMINAL = (50, 80, 90, 95)
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


def other_methods() -> list[dict[str, object]]:
    """Return the coverage at 90 % of all other interval methods, worst design first.

    Of the methods for logs, designs that break a method's assumptions stand in a row of their own;
    the worlds of selection models and of overlaps say by name what they break.
    """
    logs = read("unit_logs_coverage").rename(
        columns={"coverage_90": "coverage", "coverage_90_mcse": "se"}
    )
    tables = {
        "logs": logs[logs["assumptions_hold"]],
        "logs, assumptions broken": logs[~logs["assumptions_hold"]],
        "selection models": read("selection_coverage").rename(columns={"world": "design"}),
        "overlaps": read("overlap_coverage").rename(columns={"world": "design"}),
    }
    out: list[dict[str, object]] = []
    for study, table in tables.items():
        for method, part in table.groupby("estimator"):
            worst = part.loc[part["coverage"].idxmin()]
            floor = 0.9 - TOO_LOW * (0.09 / float(worst["replicates"])) ** 0.5
            out.append(
                {
                    "study": study,
                    "method": str(method),
                    "designs": len(part),
                    "replicates": int(worst["replicates"]),
                    "lowest": float(worst["coverage"]),
                    "highest": float(part["coverage"].max()),
                    "worst_design": str(worst["design"]),
                    "too_low": bool(worst["coverage"] < floor),
                }
            )
    return out


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
