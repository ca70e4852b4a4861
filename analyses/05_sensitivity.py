# %% [markdown]
# # What could overturn the answer
#
# A corrected number rests on a prior, on public figures and on the belief that their errors are of
# the stated size. This notebook changes each of them and watches the answer, then drops the model
# altogether and asks what is left.
#
# **Population: world-external-api**, tokens served to customers everywhere through any API, in the
# week of 2026-06-01. Ratios are tokens to Chinese models per token to US models.

# %%
import numpy as np
import pandas as pd

import offroute
from offroute.inference.identified_sets import nested_table
from offroute.inference.overturn import contour_frame, contour_of
from offroute.inference.scenarios import scenario_table
from offroute.report.figures_overturn import nested_figure, tipping_figure
from offroute.report.figures_panel import intervals_figure
from offroute.report.notebook import picture, table
from offroute.report.overturn import overturn_lines

POPULATION, WEEK, SEED = "world-external-api", "2026-06-01", 0
market = offroute.load_market()
source = offroute.sidecar_of("usage").citation
posterior = offroute.correct(POPULATION, weeks=(WEEK,), market=market, rng=SEED)
week = int(posterior.draws.weeks[0])
v = offroute.volumes(posterior, week)
base = offroute.contest(v)

# %% [markdown]
# ## Priors, errors common to one country, and families
#
# Each row is a refit. First other priors: half or twice as sure of how coverage differs between
# groups, disclosures taken as more biased, all taken as reliable, and so on. Then all US figures
# halved or doubled. Then without each family of figures in turn.

# %%
scenarios = scenario_table(posterior, week, n_draws=500, seed=SEED)
naive = pd.DataFrame(
    [
        {
            "label": "naive: the panel itself", "value": base.observed_ratio,
            "low": base.observed_ratio, "high": base.observed_ratio, "kind": "panel",
            "section": "the panel",
        }
    ]
)  # fmt: skip  # dense
names = {
    "prior": "other priors", "shift": "US figures off by a factor", "family": "without a family",
}  # fmt: skip  # dense
refits = pd.DataFrame(
    {
        "label": scenarios["scenario"].str.removeprefix("without "),
        "value": np.exp(scenarios["log_ratio"]),
        "low": np.exp(scenarios["low"]),
        "high": np.exp(scenarios["high"]),
        "kind": "corrected",
        "section": scenarios["kind"].map(names),
    }
)
picture(
    intervals_figure(
        pd.concat([naive, refits]),
        title=f"The ratio of China to the US in {POPULATION} under other assumptions",
        subtitle=f"Week of {WEEK}, posterior median and 90 % interval. Right of the line China "
        "leads. Log scale.",
        source=source,
        line=1.0,
        log=True,
    ),
    alt="Ratio of China to the US under other priors, shifted figures and without each family",
)

# %%
extremes = scenarios.groupby("kind")["p_china_leads"].agg(["min", "max", "size"]).loc[list(names)]
table(
    extremes.reset_index().assign(kind=list(names.values())).rename(
        columns={"size": "refits", "min": "smallest", "max": "largest"}
    ),
    caption=f"P(China leads), population {POPULATION}, week of {WEEK}; as estimated: "
    f"{base.p_china_leads:.3f}",
    formats={"smallest": ".3f", "largest": ".3f", "refits": "d"},
)  # fmt: skip  # dense

# %% [markdown]
# The total interval is the union of the intervals over all priors:

# %%
priors = scenarios[scenarios["kind"] == "prior"]
table(
    pd.DataFrame(
        {
            "ratio": ["naive", "corrected, one prior", "corrected, all priors"],
            "low": [base.observed_ratio, base.ratio[0], np.exp(priors["low"].min())],
            "median": [base.observed_ratio, base.ratio[1], np.nan],
            "high": [base.observed_ratio, base.ratio[2], np.exp(priors["high"].max())],
        }
    ),
    caption=f"Tokens to Chinese models per token to US models, {POPULATION}, week of {WEEK}",
    formats=dict.fromkeys(("low", "median", "high"), ".2f"),
)

# %% [markdown]
# ## The tipping point
#
# Suppose what the panel does not see is larger or smaller than estimated, by one factor for Chinese
# models and one for closed US models. Where does the order flip?

# %%
picture(
    tipping_figure(
        contour_frame(contour_of(v)).assign(population=POPULATION),
        title=f"P(China leads), week of {WEEK}",
        source=source,
    ),
    alt="Contours of the probability that China leads over factors on what the panel misses",
)  # fmt: skip  # dense

# %%
found = offroute.overturn(posterior, week, n_draws=500, seed=SEED)
table(
    pd.DataFrame({"": overturn_lines(found, posterior.prior.s_cm)}),
    caption=f"How far the order stands, population {POPULATION}, week of {WEEK}",
)

# %% [markdown]
# ## Without a model
#
# Now no prior and no synthesis. Each row adds an assumption to those above it (dots) or replaces
# the last one (or). The bar is what the data then allow; where it crosses 1 the order is open.

# %%
nested = nested_table(market, posterior.benchmarks, week, coverage_ratio=base.undersampling[1])
picture(
    nested_figure(
        nested.assign(population=POPULATION, panel=base.observed_ratio),
        title=f"What the data allow, week of {WEEK} (dashed: on the panel)",
        source=source,
    ),
    alt="Nested bounds of the ratio of China to the US from no assumption to the posterior",
)

# %%
table(
    nested[["assumption", "low", "high", "leads"]],
    caption=f"Bounds of the ratio of China to the US, {POPULATION}, week of {WEEK}; naive "
    f"{base.observed_ratio:.2f}",
    formats={"low": ".2f", "high": ".2f"},
)
