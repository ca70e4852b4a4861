"""Derive the proxy ledger and the crosswalk from the collected figures and our decisions.

Run: python scripts/build_ledger.py --source ../shared/data
"""

import argparse
from pathlib import Path

import pandas as pd
from snapshot_io import About, write_table

from offroute.data.schema_ledger import CROSSWALK, LEDGER
from offroute.data.snapshot import SNAPSHOT_DIR

HERE = Path(__file__).parent
RULES = (
    ("openrouter", "drawn from OpenRouter itself: circular, not evidence on what it misses"),
    ("vercel", "second gateway: in the gateway table, held out of the likelihood"),
    ("users", "counts people or customers, not tokens"),
    ("downloads", "downloads are made by machines: a diagnostic, not a volume"),
    ("price", "a price or an elasticity, not a volume"),
    ("ratio", "a ratio, a growth rate or a definition without a level"),
    ("adoption", "share of firms or people that use a vendor: prevalence, not volume"),
    ("tracker", "estimate of a tracker built on other rows: not a disclosure"),
    ("cloud", "all of a cloud's revenue or customers: the models' part is not known"),
    ("before", "before the first week of the panel"),
    ("overlap", "same source and period as a row in use: would count twice"),
    ("no-level", "no level, or no part that maps to the cells of the market"),
)
OVERLAP = {
    "O-T04": "overlap",
    "M-T03": "overlap",
    "A-R14": "overlap",
    "A-R15": "overlap",
    "A-R16": "overlap",
    "A-R17": "ratio",
    "A-R18": "ratio",
    "A-R19": "overlap",
    "A-R20": "overlap",
    "idc_2025_total": "overlap",
    "idc_2025_total_gatt": "overlap",
    "frost_2025H2_qwen_wk": "overlap",
    "X-T12": "overlap",
    "google_api_2026-07": "overlap",
    "openai_api_ref_2026-03": "overlap",
    "menlo_anthropic_2025": "overlap",
    "a16z_cio_openai": "overlap",
    "G-T13": "overlap",
    "G-T14": "overlap",
    "G-T15": "overlap",
    "G-T16": "overlap",
    "G-T17": "overlap",
    "doubao_2025-12_inst": "overlap",
    "minimax_rev_2025": "overlap",
    "portkey_2026-08": "overlap",
    "G-T01": "before",
    "G-T18": "before",
    "A-R01": "before",
    "zai_2022-12": "before",
    "zai_2023-12": "before",
    "zai_2024-12": "before",
    "doubao_2024-05": "before",
    "doubao_2024-07": "before",
    "doubao_2024-09": "before",
    "doubao_2024-12": "before",
    "nda_2024-01": "before",
    "nda_2025-01": "before",
    "idc_2024_total": "before",
    "minimax_2024_daily": "before",
    "S-01": "before",
}
ADOPTION = ("% of Ramp businesses", "% of CIOs", "% of enterprises using", "orgs", "developers")


def _first(cases: list[tuple[bool, str]], otherwise: str) -> str:
    """Return the label of the first case that holds."""
    return next((label for holds, label in cases if holds), otherwise)


def _population(row: pd.Series) -> str:
    """Name the population that a row speaks of by itself."""
    text = f"{row['entity']} {row['unit']} {row['scope']}"
    meters = ("all use", "ll surfaces", "national", "National", "Doubao")
    meter = row["channel"] == "consumer" or any(word in text for word in meters)
    cases = [
        (row["channel"] == "openrouter" or "OpenRouter" in text, "the panel"),
        ("Vercel" in text or row["channel"] == "gateway", "another gateway"),
        ("startup" in text or "Ramp" in text, "us-startups"),
        (row["channel"] == "survey", "us-enterprise"),
        (row["channel"] == "self_host", "world-with-self-host"),
        (meter, "world-all-uses"),
    ]
    return _first(cases, "world-external-api")


def _default_rule(row: pd.Series) -> str:
    """Name the rule that keeps a row out of the likelihood."""
    text = f"{row['id']} {row['entity']} {row['scope']} {row['unit']}"
    panel = "OpenRouter" in f"{row['entity']} {row['unit']}" or row["channel"] == "openrouter"
    kind = str(row["quantity_kind"])
    cases = [
        (row["id"] in OVERLAP, OVERLAP.get(row["id"], "")),
        (panel, "openrouter"),
        ("Vercel" in text, "vercel"),
        (kind in ("users", "downloads", "price", "ratio"), kind),
        (any(word in row["unit"] for word in ADOPTION), "adoption"),
        (row["confidence"] == "C", "tracker"),
        (row["channel"] == "cloud", "cloud"),
    ]
    return _first(cases, "no-level")


def build(source: Path, folder: Path) -> None:
    """Write both tables with their sidecars."""
    raw = pd.read_csv(source / "proxies" / "proxy_ledger.csv", dtype=str).drop_duplicates("id")
    raw = raw.rename(columns={"date_published": "published"})
    decisions = pd.read_csv(HERE / "ledger_decisions.csv", dtype=str)
    unknown = set(decisions["id"]) - set(raw["id"])
    if unknown:
        raise SystemExit(f"decisions about rows that do not exist: {sorted(unknown)}")
    rules = dict(RULES)
    rows = raw.merge(decisions, on="id", how="left")
    used = rows["form"].notna()
    rows["use"] = used.map({True: "likelihood", False: "context"})
    why = rows.apply(lambda r: rules[_default_rule(r)], axis=1)
    rows["reason"] = rows["reason"].where(used, why)
    rows["population"] = rows.apply(_population, axis=1)
    rows["quantity"] = rows["quantity_kind"]
    rows["source_title"] = rows["source_title"].fillna("")
    for column in ("value", "low", "high", "sd"):
        rows[column] = pd.to_numeric(rows[column])
    rows["note"] = rows["notes"]
    negative = (rows[["value", "low", "high"]] < 0).any(axis=1)
    rows.loc[negative, "note"] = (
        "Published with a negative sign; absolute values here. " + rows.loc[negative, "notes"]
    )
    rows[["value", "low", "high"]] = rows[["value", "low", "high"]].abs()
    swap = rows["low"] > rows["high"]
    rows.loc[swap, ["low", "high"]] = rows.loc[swap, ["high", "low"]].to_numpy()
    about = About(
        title="Public figures on the use of language models outside the panel",
        source=("Each row names its own source and address",),
        citation="Cite the source of the row.",
        licence="Facts; each source keeps its rights. Selection and classification: MIT.",
        as_of="2026-11-23",
        derived="scripts/build_ledger.py: collected figures joined with ledger_decisions.csv",
    )
    write_table(rows, LEDGER, about, folder)
    crosswalk = pd.read_csv(HERE / "crosswalk.csv")
    write_table(
        crosswalk,
        CROSSWALK,
        About(
            title="What a ledger row says about each population",
            source=("Judgement of the authors, reasons in the table",),
            citation="Cite offroute.",
            licence="MIT",
            as_of="2026-11-23",
            derived="scripts/build_ledger.py: copied from scripts/crosswalk.csv",
        ),
        folder,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=SNAPSHOT_DIR)
    arguments = parser.parse_args()
    build(arguments.source, arguments.out)
