"""Hosts of a model, and the apps that use it."""

from pathlib import Path

import pandas as pd
from snapshot_io import OPENROUTER_CITATION, About

#: Head office of each host, as far as it is common knowledge; own judgement, not OpenRouter's.
_HOMES = {
    "China": "alibaba baidu deepseek minimax moonshotai nex-agi siliconflow stepfun streamlake "
    "xiaomi z-ai",
    "US": "akashml amazon-bedrock anthropic azure baseten cerebras cloudflare deepinfra "
    "digitalocean fireworks friendli google-ai-studio google-vertex groq io-net mara morph openai "
    "parasail sambanova together venice wandb",
    "Elsewhere": "decart dekallm inceptron mistral nebius",
}
HOME = {host: home for home, hosts in _HOMES.items() for host in hosts.split(" ")}


def hosts(source: Path) -> pd.DataFrame:
    """Return the mean daily share of each host in a model's tokens."""
    frame = pd.read_csv(
        source / "openrouter/provider_effective_pricing_2026-07-07_2026-07-15.csv.gz"
    ).rename(columns={"model_permaslug": "model", "provider_slug": "host"})
    days = frame.groupby("model")["dt"].nunique()
    daily = frame.groupby(["model", "host", "dt"], as_index=False)["total_tokens"].sum()
    daily["share"] = daily["total_tokens"] / daily.groupby(["model", "dt"])[
        "total_tokens"
    ].transform("sum")
    table = daily.groupby(["model", "host"], as_index=False)["share"].sum()
    table["days"] = table["model"].map(days)
    return table.assign(
        share=(table["share"] / table["days"]).round(6),
        home=table["host"].map(HOME).fillna("Unknown"),
    )


def app_models(source: Path) -> pd.DataFrame:
    """Return the tokens of the top apps by model, and of the largest apps in total."""
    frame = pd.read_csv(source / "openrouter/apps_by_model_snapshot_2026-07-07.csv.gz")
    frame = frame.sort_values("run_ts")
    free = (frame["variant"] == "free").map({True: ":free", False: ""})
    whole = frame["scope"] == "global"
    frame["model"] = (frame["model_permaslug"] + free).mask(whole, "all")
    frame = frame.drop_duplicates(["model", "variant", "app_id"], keep="last")
    table = frame.groupby(["app_title", "model"], as_index=False)["total_tokens"].sum()
    return table.rename(columns={"app_title": "app", "total_tokens": "tokens"})


ABOUT_HOSTS = About(
    title="Hosts of the models that more than one company serves on OpenRouter, July 2026",
    source=(
        "OpenRouter transacted prices by model, host and day, pluriholonomic/ai-routing "
        "analysis/h4_shares.parquet at bbfb89916660cf8bebfca77f12cec77e8df6db56 "
        "(2026-07-07 to 07-15)",
    ),
    citation=OPENROUTER_CITATION.format(as_of="2026-07-15"),
    licence="CC BY 4.0 (OpenRouter); the repository has no licence file",
    as_of="2026-07-15",
    derived=(
        "Endpoints of one company added up; share of the day's tokens of the model, averaged over "
        "the days on which it was seen. The tokens behind it are 1-4 % of the official ones: a "
        "weight within a model, never a level. Head offices are the project's own judgement; a "
        "company's data centres may stand elsewhere."
    ),
)

ABOUT_APP_MODELS = About(
    title="Largest apps by model on OpenRouter, 30 days to 2026-07-07",
    source=(
        "OpenRouter app rankings, pluriholonomic/ai-routing analysis/h5_apps_snapshot.parquet at "
        "bbfb89916660cf8bebfca77f12cec77e8df6db56",
    ),
    citation="Source: OpenRouter (openrouter.ai/apps), as of 2026-07-07.",
    licence="CC BY 4.0",
    as_of="2026-07-07",
    derived=(
        "Top apps of 304 models (five, at most twenty) and the totals of the four largest apps "
        "shown; the later of two fetches of the day. The window of 30 days is inferred from the "
        "volumes. An app's tokens outside a model's top apps are not in it."
    ),
)
