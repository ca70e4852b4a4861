# %% [markdown]
# # From a public figure to a benchmark
#
# What the panel does not see is known from public figures: token counts of companies, revenue,
# surveys, national statistics. The *ledger* holds them with their source. Each says something about
# some tokens of some labs; this notebook follows three of them, step by step, to the number that
# the correction uses, and then sets all of them beside the panel.
#
# Numbers are of the population **world-external-api** (tokens served to customers everywhere
# through any API) unless another is named.

# %%
import numpy as np
import pandas as pd

import offroute
from offroute.measurement.conversion import conversion_steps, find_row
from offroute.report.figures_panel import intervals_figure
from offroute.report.notebook import picture, table

POPULATION = "world-external-api"
ledger, crosswalk = offroute.load_ledger(), offroute.load_crosswalk()
market = offroute.load_market()

# %% [markdown]
# ## What the ledger holds
#
# Most rows are context: older figures, duplicates, or figures about something else, each with its
# reason. The others are benchmarks. Figures of one family (say, one company's revenue) share
# whatever error that kind of figure has, so that ten of them do not count as ten.

# %%
used = ledger[ledger["use"] == "likelihood"]
forms = {
    "tokens": "tokens counted",
    "revenue": "revenue",
    "share-tokens": "shares of tokens",
    "share-spend": "shares of spend",
}
counts = used.groupby("form").agg(
    rows=("id", "size"), families=("family", "nunique"),
    first=("measured_on", "min"), last=("measured_on", "max"),
)  # fmt: skip  # dense
table(
    counts.reset_index().assign(form=lambda t: t["form"].map(forms)),
    caption=f"Benchmarks: {len(used)} of the {len(ledger)} rows of the ledger",
    formats={"rows": "d", "families": "d"},
)

# %% [markdown]
# ## Tokens: a company counts
#
# A count of tokens needs a unit per week, a week, and a scope: does the figure contain exactly the
# tokens of this population? The last lines answer that for each population. Where a population is
# missing, the figure says nothing about it.

# %%
steps = pd.DataFrame(conversion_steps(find_row(ledger, "G-T10"), crosswalk, market))
table(steps.set_axis(["step", "what"], axis=1), caption="Google's tokens through its API (G-T10)")

# %% [markdown]
# ## Money: a company's run-rate
#
# Revenue becomes tokens through an effective price: what a token cost on the panel in that week, at
# the panel's mix of sizes, prompts and caching. The correction compares dollars with dollars; the
# tokens below are for display.

# %%
steps = pd.DataFrame(conversion_steps(find_row(ledger, "A-R13"), crosswalk, market))
table(steps.set_axis(["step", "what"], axis=1), caption="Anthropic's annualised revenue (A-R13)")

# %% [markdown]
# ## Shares: a survey
#
# A share table has a total that nobody states. Only the ratios between its rows speak, and the
# model estimates the total as an unknown of its own.

# %%
steps = pd.DataFrame(conversion_steps(find_row(ledger, "S-05"), crosswalk, market))
table(steps.set_axis(["step", "what"], axis=1), caption="Anthropic's share of a US survey (S-05)")

# %% [markdown]
# ## All figures beside the panel
#
# For each family, the newest figure of absolute size, divided by what the panel itself saw of the
# same labs in the same week. If the panel were the market, all would lie on the line at 1. The
# distance to it is how much the panel misses, and it differs between labs: that is the bias.
# Floors, ceilings and share tables are left out here, not in the estimate.

# %%
b = offroute.build_benchmarks(ledger, crosswalk, market, population=POPULATION)
inside = (b.w * market.X[b.week]).sum(axis=1)
factor = np.divide(np.exp(b.y - b.off), inside, out=np.full(len(b), np.nan), where=inside > 0)
spread = np.exp(1.645 * np.hypot(b.s, b.q))
figures = pd.DataFrame(
    {
        "family": [b.families[f] for f in b.family],
        "week": market.weeks[b.week].astype("datetime64[ns]"),
        "value": factor,
        "low": factor / spread,
        "high": factor * spread,
        "kind": pd.Series(b.origin).map({1: "US", -1: "China", 0: "both"}),
        "shown": (b.side == 0) & ~b.flat[b.family] & (inside > 0),
    }
)
newest = figures[figures["shown"]].sort_values("week").groupby("family").tail(1)
newest = newest.sort_values(["kind", "value"], ascending=[False, False])
sections = {"US": "US labs", "China": "Chinese labs", "both": "hosts of both"}
picture(
    intervals_figure(
        newest.assign(
            label=newest["family"] + newest["week"].dt.strftime(", %b %y"),
            section=newest["kind"].map(sections),
        ),
        title="How many times the panel's volume the figures imply",
        subtitle=f"Population {POPULATION}. Newest exact figure of each family over the panel's "
        "tokens or dollars of the same labs, with its 90 % error. Log scale.",
        source="Sources: each row of the ledger names its own; panel: "
        + offroute.sidecar_of("usage").citation,
        line=1.0,
        log=True,
        spec=",.0f",
    ),
    alt="Public figures divided by the panel's volume of the same labs, by family",
)

# %% [markdown]
# The same as plain numbers: the share of its market that the panel sees of a country's labs, by the
# median figure of each side. These are raw; the estimate weighs errors, time and shared biases.

# %%
medians = newest[newest["kind"] != "both"].groupby("kind")["value"].median()
raw = pd.DataFrame(
    {
        "labs": ["China", "US"],
        "figure over panel": [medians["China"], medians["US"]],
        "coverage": [1 / medians["China"], 1 / medians["US"]],
    }
)
table(
    raw,
    caption=f"Median over families, population {POPULATION}; naive: 1 and 100 %",
    formats={"figure over panel": ",.0f", "coverage": ".2%"},
)
