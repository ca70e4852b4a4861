# %% [markdown]
# # Corrected shares in each population
#
# "The market" is a choice. Do Chinese clouds count? A lab's own apps? Each answer is a *population*
# and has its own shares. This notebook corrects one week of the panel for three populations, puts
# the naive number beside each corrected one, and says which populations the public figures cannot
# decide.

# %%
import pandas as pd

import offroute
from offroute.inference.pipeline import identify_population
from offroute.report.figures import ratio_figure, shares_figure
from offroute.report.figures_panel import intervals_figure
from offroute.report.notebook import picture, table

WEEK, SEED, LEVEL = "2026-06-01", 0, 0.9
market = offroute.load_market()
source = offroute.sidecar_of("usage").citation
populations = ["outside-china-external-api", "world-external-api", "world-all-uses"]
table(
    pd.DataFrame([vars(p) for p in offroute.POPULATIONS.values()]),
    caption="All populations, by the name that every call takes",
)

# %% [markdown]
# ## Shares by group
#
# The correction multiplies each group by how much of it the panel misses, estimated from the
# figures of the ledger. Intervals are 90 % posterior intervals.

# %%
posteriors = {
    name: offroute.correct(name, n_draws=1000, market=market, rng=SEED) for name in populations
}
week = int((market.weeks.astype(str) == WEEK).argmax())
weeks = {name: offroute.volumes(p, week) for name, p in posteriors.items()}
shares = pd.concat(
    offroute.share_table(v, level=LEVEL).assign(population=name, week=WEEK)
    for name, v in weeks.items()
)
picture(
    shares_figure(shares[shares["population"].isin(populations[:2])], level=LEVEL, source=source),
    alt="Observed and corrected shares of tokens by group in two populations",
)

# %%
table(
    shares[["population", "class", "observed", "corrected", "low", "high", "coverage"]],
    caption=f"Share of tokens, week of {WEEK}: on the panel and corrected, 90 % intervals; "
    "coverage is the part of a group's tokens that passes through the panel",
    formats={"observed": ".1%", "corrected": ".1%", "coverage": ".2%"},
    intervals={"corrected": ("low", "high")},
)

# %% [markdown]
# ## China against the United States
#
# Tokens to Chinese models per token to US models. Naive, the panel's own ratio, is the same for
# every population, since the panel does not know which one is meant.

# %%
contests = {name: offroute.contest(v, level=LEVEL) for name, v in weeks.items()}
rows = pd.DataFrame(
    [
        {"label": label, "value": middle, "low": low, "high": high, "kind": kind, "section": name}
        for name, c in contests.items()
        for label, (low, middle, high), kind in (
            ("naive", (c.observed_ratio,) * 3, "panel"),
            ("corrected", c.ratio, "corrected"),
        )
    ]
)
picture(
    intervals_figure(
        rows,
        title="Tokens to Chinese models per token to US models",
        subtitle=f"Week of {WEEK}, naive and corrected with 90 % intervals. Right of the line "
        "China leads. Log scale.",
        source=source,
        line=1.0,
        log=True,
    ),
    alt="Ratio of Chinese to US tokens, naive and corrected, in three populations",
)

# %% [markdown]
# Λ (Lambda) says how many times less of the US than of China the panel sees. China leads in a
# population exactly if Λ is smaller than the naive ratio.

# %%
leads = pd.DataFrame(
    [
        {
            "population": name,
            "naive ratio": c.observed_ratio,
            "Λ": c.undersampling[1],
            "low": c.undersampling[0],
            "high": c.undersampling[2],
            "P(China leads)": c.p_china_leads,
            "P(China leads closed US models)": c.p_china_leads_closed,
        }
        for name, c in contests.items()
    ]
)
table(
    leads,
    caption=f"Week of {WEEK}, 90 % intervals",
    formats={
        "naive ratio": ".2f", "Λ": ".2f", "P(China leads)": ".3f",
        "P(China leads closed US models)": ".3f",
    },
    intervals={"Λ": ("low", "high")},
)  # fmt: skip  # dense

# %% [markdown]
# ## Over time
#
# The same ratio for every week. The band widens where no figure is near, and is dashed after the
# last one.

# %%
weekly = pd.concat(
    offroute.ratio_series(p, market.is_china, market.is_us, level=LEVEL)
    for p in posteriors.values()
).dropna(subset=["observed"])
picture(
    ratio_figure(
        weekly,
        titles={name: offroute.POPULATIONS[name].name for name in populations[:2]},
        source=source,
    ),
    alt="Weekly ratio of Chinese to US tokens on the panel and corrected, two populations",
)

# %% [markdown]
# ## Where the figures cannot decide
#
# For the other populations no figures of absolute size exist about both sides. offroute then gives
# no corrected number, only bounds and what they rest on.

# %%
undecided = [
    identify_population(name, week=WEEK, market=market)
    for name in offroute.POPULATIONS
    if name not in populations
]
bounds = pd.DataFrame(
    [
        {"population": found.population, "assumption": text, "low": low, "high": high}
        for found in undecided
        for text, low, high in found.bounds
    ]
)
table(
    bounds,
    caption=f"China's share of tokens to China and the US, week of {WEEK}, bounds",
    formats={"low": ".1%", "high": ".1%"},
)
