"""Tables of tokens: weekly usage and the daily top 50."""

from pathlib import Path

import pandas as pd
from snapshot_io import OPENROUTER_CITATION, About

LAST_MODEL_WEEK = pd.Timestamp("2026-09-07")
TOLERANCE_T = 2e-6
"""The check table has six decimals of a trillion and the weekly file counts in millions."""


def monday(dates: pd.Series) -> pd.Series:
    """Return the Monday of each date's week."""
    return dates - pd.to_timedelta(dates.dt.day_of_week, unit="D")


def usage(source: Path) -> pd.DataFrame:
    """Return weekly tokens by model, then by author from the week of 2026-09-14."""
    weekly = pd.read_csv(
        source / "openrouter/rankings_weekly_by_model_2025-01-06_2026-09-13.csv.gz",
        parse_dates=["week_start"],
    ).rename(columns={"model_permaslug": "model"})
    by_model = weekly.assign(
        days=7, basis="model", tokens=weekly["tokens_millions"].astype("int64") * 1_000_000
    )
    daily = pd.read_csv(
        source / "openrouter/rankings_daily_by_lab_2026-08-23_2026-10-09.csv",
        parse_dates=["date"],
    )
    daily["week_start"] = monday(daily["date"])
    daily = daily[daily["week_start"] > LAST_MODEL_WEEK]
    by_lab = daily.groupby(["week_start", "author"], as_index=False)["tokens"].sum()
    days = daily.groupby("week_start")["date"].nunique()
    by_lab["days"] = by_lab["week_start"].map(days)
    by_lab["basis"] = "lab"
    by_lab["model"] = by_lab["author"].where(by_lab["author"] == "other", by_lab["author"] + "/*")
    columns = ["week_start", "days", "basis", "model", "tokens"]
    return pd.concat([by_model[columns], by_lab[columns]], ignore_index=True)


def daily_top50(source: Path) -> pd.DataFrame:
    """Return the daily top 50 with its tail."""
    frame = pd.read_csv(
        source / "openrouter/rankings_daily_top50_2026-05-23_2026-08-21.csv.gz"
    ).rename(columns={"model_permaslug": "model", "total_tokens": "tokens"})
    return frame[["date", "model", "tokens"]]


def check_by_origin(usage_table: pd.DataFrame, models: pd.DataFrame, source: Path) -> None:
    """Compare the sums by group with the check table (not shipped), week by week."""
    check = pd.read_csv(
        source / "openrouter/derived_weekly_by_origin_2025-01-06_2026-10-09.csv",
        parse_dates=["week_start"],
    ).set_index("week_start")
    groups = usage_table.merge(models[["model", "group", "variant"]], on="model", how="left")
    ours = groups.pivot_table(
        index="week_start", columns="group", values="tokens", aggfunc="sum", fill_value=0
    )
    ours["China"] = ours["China open"] + ours["China closed"]
    pairs = {
        "China": "china_T",
        "US closed": "us_closed_T",
        "US open": "us_open_T",
        "Rest of world": "rest_of_world_T",
        "Stealth": "stealth_unidentified_T",
        "Other": "other_tail_T",
    }
    for group, column in pairs.items():
        worst = (ours[group] / 1e12 - check[column]).abs().max()
        if not worst < TOLERANCE_T:
            raise SystemExit(f"{group}: differs from {column} by {worst:g} T")
    days = usage_table.groupby("week_start")["days"].first()
    if not (days == check["days"]).all():
        raise SystemExit("days observed differ from the check table")


ABOUT_USAGE = About(
    title="Weekly tokens by model on OpenRouter, by author from the week of 2026-09-14",
    source=(
        "OpenRouter rankings-daily dataset, weekly sums by falercia/modelseason public/data.json "
        "at 01eea155aa2ead8c6655a4a898890e9297d6c195 (weeks 2025-01-06 to 2026-09-07)",
        "OpenRouter rankings-daily dataset, daily by author, halcyonic-systems/facets "
        "assets/data/openrouter-routed-by-lab-vintage-2026-10-10.csv at "
        "f2983f51cfd185897fe0be1c92f29e9525f7795c (days 2026-09-14 to 2026-10-09)",
    ),
    citation=OPENROUTER_CITATION.format(as_of="2026-10-11T00:27Z"),
    licence="CC BY 4.0",
    as_of="2026-10-11",
    derived=(
        "Millions of tokens times 1e6 for weeks by model; daily tokens summed over source labels "
        "by author and Monday-start week after 2026-09-07. Days outside a model's top 50 are in "
        "'other'. Weeks of 2025-06-09 and 2025-07-14 lack a day at the source and are absent. "
        "Sums by origin were compared with an independent table to its rounding. The weeks of "
        "2026-05-25 to 06-15 are the restated vintage (lower by .02-.04 %)."
    ),
)

ABOUT_DAILY = About(
    title="Daily tokens of the top 50 models on OpenRouter and of all others together",
    source=(
        "OpenRouter GET /api/v1/datasets/rankings-daily, CasualStudy/casualstudy-portfolio "
        "data/openrouter-usage.json at 48879aed4527f40e629560a3007315276f29157c and "
        "31b1fc510a4154bd0bb4d4abd1dd02cfb68adce8 (2026-05-23 to 06-20)",
        "the same, silentdog918/ai-tracker data/openrouter.json up to "
        "6b061bc720a64b70e7d2105fe783dfa484ae198c (2026-06-21 to 08-21)",
    ),
    citation=OPENROUTER_CITATION.format(as_of="2026-08-22T02:01Z"),
    licence="CC BY 4.0",
    as_of="2026-08-22",
    derived="Date, permaslug and tokens; the fetch columns dropped. No gaps.",
)
