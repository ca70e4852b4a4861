"""Second gateway, token composition and app rankings."""

from pathlib import Path

import pandas as pd
from snapshot_io import OPENROUTER_CITATION, About

from offroute.data.classify import GATEWAY_OPEN_LABS
from offroute.data.register import lab_and_origin


def gateway(source: Path) -> pd.DataFrame:
    """Return the gateway's daily shares by lab, both files together."""
    frame = pd.concat(
        [
            pd.read_csv(source / "proxies" / name)
            for name in ("vercel_gateway_shares.csv", "vercel_gateway_shares_extra_days.csv")
        ],
        ignore_index=True,
    )
    frame["weights"] = frame["lab"].isin(GATEWAY_OPEN_LABS).map({True: "open", False: "closed"})
    both = frame["lab"].map(lab_and_origin)
    return frame.assign(lab=both.str[0], origin=both.str[1])


def composition(source: Path) -> pd.DataFrame:
    """Return the token composition of the top models by snapshot."""
    frame = pd.read_csv(
        source / "openrouter/weekly_token_composition_top10_2025-11-16_2026-05-11.csv"
    ).rename(
        columns={
            "model_permaslug": "model",
            "total_tokens": "total",
            "prompt_tokens": "prompt",
            "completion_tokens": "completion",
            "reasoning_tokens": "reasoning",
            "cached_tokens": "cached",
            "request_count": "requests",
        }
    )
    # The source writes zeros where the page gave no composition.
    counts = ["prompt", "completion", "reasoning", "cached", "requests"]
    frame[counts] = frame[counts].astype(float).mask(frame["prompt"] == 0)
    return frame


def apps(source: Path) -> pd.DataFrame:
    """Return app rankings: 30-day windows and the one-day page snapshots."""
    windows = pd.read_csv(source / "openrouter/app_rankings_30d_2026-07-21_2026-08-22.csv.gz")
    windows = pd.DataFrame(
        {
            "window_end": windows["fetched_at"].str[:10],
            "window_days": 30,
            "app": windows["app_name"],
            "tokens": windows["total_tokens"],
            "requests": windows["total_requests"],
        }
    )
    pages = pd.read_csv(source / "openrouter/rankings_page_apps_2026-03-28_2026-05-16.csv.gz")
    pages = pd.DataFrame(
        {
            "window_end": pages["snapshot_date"],
            "window_days": 1,
            "app": pages["app"],
            "tokens": pages["tokens"],
            "requests": pages["requests"],
        }
    )
    both = pd.concat([windows, pages], ignore_index=True)
    # Two app ids can share a name; they are one app here.
    return both.groupby(["window_end", "window_days", "app"], as_index=False).sum()


ABOUT_GATEWAY = About(
    title="Vercel AI Gateway: shares of tokens, spend and requests by lab, 39 days",
    source=(
        "AI Gateway Leaderboard Data, (c) 2026 Vercel, labs export 2025-10-01 to 2026-09-19, "
        "frozen copy in jeremiahdillon/vercel-open-vs-closed-spend at acf8785",
    ),
    citation="Source: Vercel AI Gateway Leaderboard Data, as of 2026-09-19. Vercel does not "
    "endorse this use.",
    licence="CC BY 4.0",
    as_of="2026-09-19",
    derived=(
        "Two day selections joined; lab ids renamed as in offroute.data.register (spacexai is "
        "taken to be xAI); openness by the first repository's list of open labs, whole labs. "
        "Request shares are missing on 2025-12-23 and 2026-07-07."
    ),
)

ABOUT_COMPOSITION = About(
    title="Token composition of the ten largest models on OpenRouter, trailing week",
    source=(
        "OpenRouter rankings pages, johnbean393/openrouter-inference-stats data/*.json at "
        "02966a2eb8a98972f942d1abe5a5d7a80fc479f9",
    ),
    citation=OPENROUTER_CITATION.format(as_of="2026-05-11"),
    licence="CC BY 4.0",
    as_of="2026-05-11",
    derived=(
        "Counts only: ranks, growth, list prices and revenue estimates dropped; zeros of the 15 "
        "rows without a composition are missing values. Prompt and completion do not always add "
        "up to the total (13-26 % short on 2025-11-16, 87-99 % short on five free rows, 65 % over "
        "on one stealth row): use ratios within the composition."
    ),
)

ABOUT_APPS = About(
    title="Largest apps on OpenRouter by tokens and requests",
    source=(
        "OpenRouter GET /api/v1/datasets/app-rankings (30 days, top 50), silentdog918/ai-tracker "
        "up to 6b061bc720a64b70e7d2105fe783dfa484ae198c (2026-07-21 to 08-22)",
        "OpenRouter rankings page (top 20), jampongsathorn/openrouter-rankings at "
        "8bc326572ce66be5003debcc44228f6120c9f89b (2026-03-28 to 05-16)",
    ),
    citation="Source: OpenRouter (openrouter.ai/apps), as of 2026-08-22.",
    licence="CC BY 4.0",
    as_of="2026-08-22",
    derived=(
        "Both rankings in one table with the length of the window; apps of one name added up. The "
        "page states no window: one day is inferred from the volumes (the top 20 sum to 23-48 % "
        "of a day's total, 3-7 % of a week's)."
    ),
)
