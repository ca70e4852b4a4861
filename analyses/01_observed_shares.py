# %% [markdown]
# # What the panel shows, and what it is made of
#
# A share is as good as the mix behind it. This notebook takes the panel apart: by group, price,
# tier, free routes, apps and the kind of tokens. Nothing is corrected yet.
#
# **Population: the panel** in every number, tokens a week through OpenRouter.

# %%
import pandas as pd

import offroute
from offroute.inference.mechanisms.hosts import origin_by_host
from offroute.measurement.composition import composition_table
from offroute.report.figures_panel import parts_figure
from offroute.report.notebook import picture, table

WEEK = "2026-06-01"
usage, models = offroute.load_usage(), offroute.load_models()
source = offroute.sidecar_of("usage").citation

# %% [markdown]
# ## Who is used
#
# Closed models are sold without their weights; open ones can be run by anyone. The panel was mostly
# closed US models at the start, and Chinese open models took their place.

# %%
order = ["US closed", "US open", "Rest of world", "Stealth", "Other", "China closed", "China open"]
shares = offroute.observed_shares(usage, models, by="group")
stacked = shares.sort_values("class", key=lambda s: s.map(order.index), kind="stable")
picture(
    parts_figure(
        stacked,
        title="Shares of the panel by group",
        subtitle="Tokens a week. Stealth: cloaked names. Other: outside the day's 50 largest.",
        source=source,
    ),
    alt="Stacked shares of tokens on the panel by group and week",
)

# %% [markdown]
# ## How large, cheap and free
#
# The tier is the size class of a model in its family: a lab's flagship, or something smaller.

# %%
week = usage[usage["week_start"] == WEEK].merge(models, on="model")
week = week[week["origin"].isin(["China", "US"])]
tiers = week.pivot_table(index="tier", columns="origin", values="tokens", aggfunc="sum")
tiers = (tiers / tiers.sum()).sort_values("US", ascending=False).reset_index()
table(
    tiers, caption=f"Share of each country's panel tokens by tier, week of {WEEK}",
    formats={"China": ".0%", "US": ".0%"},
)  # fmt: skip  # dense

# %% [markdown]
# List prices, weighted by tokens. What buyers pay is lower, since many prompt tokens are read from
# a cache (below).

# %%
priced = week.dropna(subset=["prompt", "completion"])
weighted = priced[["prompt", "completion"]].mul(priced["tokens"], axis=0)
prices = weighted.assign(group=priced["group"], tokens=priced["tokens"]).groupby("group").sum()
prices = prices[["prompt", "completion"]].div(prices["tokens"], axis=0).reset_index()
table(
    prices.rename(columns={"prompt": "USD per M prompt tokens", "completion": "per M completion"}),
    caption=f"Mean list price of what the panel used, week of {WEEK}",
    formats={"USD per M prompt tokens": ".2f", "per M completion": ".2f"},
)

# %% [markdown]
# Free routes are promotions and trials: tokens without a price. They are kept in all figures of
# offroute unless you say otherwise; here is what they change.

# %%
free = pd.concat(
    offroute.observed_shares(usage, models, by="origin", week=WEEK, free=how).assign(free=how)
    for how in ("kept", "excluded")
)
free = free.pivot(index="class", columns="free", values="share").reset_index()
table(
    free.rename(columns={"kept": "with free routes", "excluded": "without"}),
    caption=f"Share of panel tokens by origin, week of {WEEK}",
    formats={"with free routes": ".1%", "without": ".1%"},
)

# %% [markdown]
# ## Which apps
#
# Apps that name themselves are ranked by the panel. The largest few carry much of all tokens, so
# that a default model in one app can move the chart. Tokens over the 30 days to the last ranking.

# %%
apps = offroute.load_apps()
apps = apps[(apps["window_days"] == 30) & (apps["window_end"] == apps["window_end"].max())]
apps = apps.sort_values("tokens", ascending=False)
total = usage.loc[usage["week_start"].between("2026-07-20", "2026-08-10"), "tokens"].sum()
top = apps.head(8).assign(share=apps["tokens"] / (total * 30 / 28), tokens=apps["tokens"] / 1e12)
table(
    top[["app", "tokens", "share"]],
    caption=f"Trillion tokens in the 30 days to {apps['window_end'].max():%Y-%m-%d}, and share of "
    "the panel (its four full weeks in that time, scaled to 30 days)",
    formats={"tokens": ".2f", "share": ".1%"},
)

# %% [markdown]
# ## Who runs the models
#
# A model's maker is not its host: anyone may serve open weights. Where several companies serve a
# model, their shares of its tokens are known; the other tokens are unplaced, and the range gives
# them to either side. All shares in this project are by maker, so that hosts do not move them.

# %%
hosts = origin_by_host(usage, models, offroute.load_hosts(), week=WEEK)
hosts = hosts[hosts["origin"].isin(["China", "US"]) & (hosts["home"] != "Unplaced")]
table(
    hosts[["origin", "home", "low", "high"]].rename(
        columns={"origin": "made in", "home": "host in", "low": "at least", "high": "at most"}
    ),
    caption=f"Share of panel tokens by the head office of the host, week of {WEEK}; host shares of "
    f"{offroute.sidecar_of('hosts').as_of}",
    formats={"at least": ".0%", "at most": ".0%"},
)

# %% [markdown]
# ## What a token is
#
# Most tokens are prompts, and most of these are read again from a cache. A token of a coding agent
# is not a token of a chat. The published composition of the largest models, summed by lab:

# %%
parts = composition_table(offroute.load_composition(), models)
parts = parts[(parts["lab"] != "all") & (parts["snapshots"] >= 3)]
parts = parts.pivot(index=["lab", "weights"], columns="ratio", values="value").reset_index()
parts["tokens a request"] = 1 / parts["requests"]
table(
    parts[["lab", "weights", "completion", "cached", "reasoning", "tokens a request"]],
    caption="Parts of all tokens on the panel, November 2025 to May 2026, labs with three or more "
    "snapshots among the ten largest models",
    formats={"completion": ".1%", "cached": ".0%", "reasoning": ".1%", "tokens a request": ",.0f"},
)
