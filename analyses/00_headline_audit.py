# %% [markdown]
# # The headline, audited
#
# In June 2026 a chart said that Chinese models had overtaken US models on OpenRouter. A usage panel
# such as OpenRouter counts the tokens that pass through it. Before asking how much of the market
# that is, this notebook asks what the panel itself says: does the chart add up, and does its
# order hold when all models are counted?
#
# **Population: the panel.** Every number here is tokens that passed through OpenRouter in a week.

# %%
import pandas as pd

import offroute
from offroute.measurement.audit import first_lasting, press_check, spells
from offroute.report.figures_paper import audit_figure
from offroute.report.notebook import picture, table

WEEK = "2026-06-01"
usage, models = offroute.load_usage(), offroute.load_models()
source = offroute.sidecar_of("usage").citation

# %% [markdown]
# ## Does the chart add up?
#
# The chart names the nine largest models of a week. Articles added up those of China and those of
# the US. The same rule, applied to the published data, gives nearly the printed figures; counting
# all named models gives more tokens for both.

# %%
audit = offroute.audit_weeks(usage, models)
printed = press_check(audit).drop(columns="url").set_index(["week_start", "source"]) / 1e12
printed.columns = [
    "China, printed", "US, printed", "China, top nine", "US, top nine", "China, all", "US, all",
]  # fmt: skip  # dense
table(
    printed.reset_index().rename(columns={"week_start": "week"}),
    caption="Trillion tokens a week on the panel",
    formats=dict.fromkeys(printed.columns, ".2f"),
)

# %% [markdown]
# ## Does the order hold when everyone is counted?
#
# Two parts of the panel belong to no country: models shown under a cloaked name, and the unnamed
# rest outside the 50 largest models of the day. The grey range gives all of both to one side or
# the other. Above the line China is ahead.

# %%
picture(
    audit_figure(audit, chart_week=WEEK, since="2025-07-01", source=source),
    alt="Weekly ratio of Chinese to US tokens on the panel, top nine against all named models",
)

# %%
weeks = audit.set_index("week_start").loc[["2026-02-09", "2026-03-09", "2026-05-18", WEEK]]
weeks["chart"] = weeks["top_china"] / weeks["top_us"]
weeks["sure"] = weeks["leads_surely"].map({True: "yes", False: "no"})
table(
    weeks.reset_index()[["week_start", "chart", "ratio", "ratio_low", "ratio_high", "sure"]].rename(
        columns={
            "week_start": "week",
            "ratio": "all named",
            "chart": "top nine",
            "sure": "China leads whatever the rest",
        }
    ),
    caption="Tokens to Chinese models per token to US models on the panel; range for the rest",
    formats={"top nine": ".2f", "all named": ".2f"},
    intervals={"all named": ("ratio_low", "ratio_high")},
)

# %% [markdown]
# Counted over all weeks of the panel:

# %%
flags = {
    "on all named models": "leads",
    "with the rest all given to the US": "leads_surely",
    "with the rest all given to China": "leads_possibly",
}
table(
    pd.DataFrame(
        {
            "China leads": name,
            "weeks": int(audit[flag].sum()),
            "unbroken runs": len(spells(audit["week_start"], audit[flag])),
            "for good from": first_lasting(audit["week_start"], audit[flag]),
        }
        for name, flag in flags.items()
    ),
    caption=f"Population: the panel, {len(audit)} weeks from {audit['week_start'].min():%Y-%m-%d} "
    f"to {audit['week_start'].max():%Y-%m-%d}",
    formats={"weeks": "d", "unbroken runs": "d"},
)

# %% [markdown]
# ## One week in full
#
# Shares of one week with their range: the lower end gives a class nothing of the unnamed rest, the
# upper end all of it. Models under a cloaked name stay a class of their own.

# %%
shares = offroute.observed_shares(usage, models, by="group", week=WEEK, tail="bounds")
table(
    shares[["class", "tokens", "share", "low", "high"]].assign(tokens=shares["tokens"] / 1e12),
    caption=f"Population: the panel. Week of {WEEK}; tokens in trillions",
    formats={"tokens": ".2f", "share": ".1%"},
    intervals={"share": ("low", "high")},
)

# %% [markdown]
# So the chart is right about the panel: China leads there, by more or less depending on who is
# counted. Whether it leads in the market is another question, and the next notebooks answer it.
