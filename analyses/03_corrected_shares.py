# %% [markdown]
# # Corrected shares in each population
#
# The same panel week, corrected for what does not pass through the panel. The sign and the size of
# the correction depend on the population, so that it is always named.

# %%
import pandas as pd

import offroute

WEEK, SEED = "2026-06-01", 0
market = offroute.load_market()
populations = ["outside-china-external-api", "world-external-api", "world-all-uses"]

# %%
posteriors = {
    name: offroute.correct(name, weeks=(WEEK,), market=market, rng=SEED) for name in populations
}
weeks = {name: offroute.volumes(p, int(p.draws.weeks[0])) for name, p in posteriors.items()}

# %% [markdown]
# Observed and corrected shares with 90 % intervals, naive beside corrected.

# %%
pd.concat({name: offroute.share_table(v) for name, v in weeks.items()})[
    ["class", "observed", "corrected", "low", "high"]
]

# %% [markdown]
# China against the United States: the ratio, how many times less the panel covers the US, and the
# probability that China leads.

# %%
pd.DataFrame({name: vars(offroute.contest(v)) for name, v in weeks.items()})
