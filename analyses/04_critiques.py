# %% [markdown]
# # Each critique alone, then all of them
#
# The chart drew many objections: big buyers bypass the panel, promotions inflate it, tokens are not
# dollars, one app can tip it, and more. Each is a *mechanism* with a parameter, evidence and an
# effect. This notebook measures them one by one, as if each were the only thing wrong, and then
# takes the way from the naive ratio to the corrected one step by step.
#
# **Population: outside-china-external-api**, tokens served to customers outside mainland China
# through any API, in the week of 2026-06-01. Effects multiply the ratio of tokens to Chinese models
# to tokens to US models.

# %%
import numpy as np
import pandas as pd

import offroute
from offroute.inference.mechanism_steps import mechanism_steps
from offroute.inference.mechanisms.effect import effects_frame
from offroute.inference.mechanisms.table import Question, Tables, critiques
from offroute.report.figures_overturn import steps_figure
from offroute.report.figures_panel import intervals_figure
from offroute.report.notebook import picture, table
from offroute.report.overturn import steps_frame

POPULATION, WEEK, SEED, LEVEL = "outside-china-external-api", "2026-06-01", 0, 0.9
market = offroute.load_market()
source = offroute.sidecar_of("usage").citation
posterior = offroute.correct(POPULATION, weeks=(WEEK,), market=market, rng=SEED)
week = int(posterior.draws.weeks[0])
v = offroute.volumes(posterior, week)
contest = offroute.contest(v, level=LEVEL)

# %% [markdown]
# ## Each alone
#
# A factor below 1 says that the panel overstates China by this mechanism, a factor above 1 that it
# understates it. Some effects are on the panel itself (who is counted, in which unit), others on
# the population. A row without a point has bounds only: the data do not say where inside.

# %%
found = critiques(Tables(market), Question(POPULATION, WEEK, LEVEL), (posterior, v))
effects = effects_frame(found.effects)
known = effects[np.isfinite(effects["low"]) & np.isfinite(effects["high"])]
on_panel = known["population"].eq("panel")
picture(
    intervals_figure(
        pd.DataFrame(
            {
                "label": known["critique"] + " " + known["mechanism"],
                "value": np.exp(known["effect"]),
                "low": np.exp(known["low"]),
                "high": np.exp(known["high"]),
                "kind": on_panel.map({True: "panel", False: "corrected"}),
                "section": on_panel.map({True: "on the panel", False: "in the population"}),
            }
        ).sort_values("section", kind="stable", ascending=False),
        title="What each critique alone does to China : US",
        subtitle=f"Factor on the ratio, week of {WEEK}, {LEVEL:.0%} interval or bounds. Left of "
        "the line the panel overstates China. Log scale.",
        source=source,
        line=1.0,
        log=True,
    ),
    alt="Factor of each critique on the ratio of China to the US",
)

# %%
shown = effects.assign(
    critique=effects["critique"] + " " + effects["mechanism"],
    population=effects["population"],
    factor=np.exp(effects["effect"]), low=np.exp(effects["low"]), high=np.exp(effects["high"]),
)  # fmt: skip  # dense
table(
    shown[["critique", "population", "parameter", "factor", "low", "high", "strength"]],
    caption=f"All critiques, week of {WEEK}; naive: a factor of 1 each",
    formats={"factor": ".2f"},
    intervals={"factor": ("low", "high")},
)

# %% [markdown]
# What each says in a sentence, and what could not be asked:

# %%
table(
    effects.assign(critique=effects["critique"] + " " + effects["mechanism"])[["critique", "note"]],
    caption=f"Notes, population {POPULATION} or the panel, week of {WEEK}",
)

# %%
left_out = pd.DataFrame(list(found.left_out), columns=["critique", "why it says nothing here"])
table(left_out, caption=f"{len(left_out)} critiques left out, week of {WEEK}")

# %% [markdown]
# ## All together
#
# Mechanisms overlap, so that their effects cannot be multiplied. The steps below are averaged over
# all orders in which the corrections can be made, and so add up exactly: from the chart, over all
# models of the panel, to the corrected ratio.

# %%
audit = offroute.audit_weeks(offroute.load_usage(), offroute.load_models())
steps = steps_frame(mechanism_steps(posterior, week, audit, level=LEVEL))
picture(
    steps_figure(
        steps.assign(population=POPULATION),
        title=f"From the chart to the market, week of {WEEK}, {LEVEL:.0%} intervals",
        source=source,
    ),
    alt="Steps from the ratio of the chart to the corrected ratio",
)

# %%
factors = steps.assign(
    factor=np.exp(steps["step"]), low=np.exp(steps["low"]), high=np.exp(steps["high"])
)
table(
    factors[["mechanism", "factor", "low", "high"]],
    caption=f"First row: the chart's ratio; last row: the corrected one (geometric mean); between: "
    f"factors with {LEVEL:.0%} intervals. {POPULATION}, week of {WEEK}",
    formats={"factor": ".2f"},
    intervals={"factor": ("low", "high")},
)

# %% [markdown]
# ## Naive and corrected

# %%
ratio, lead = contest.ratio, contest.p_china_leads
table(
    pd.DataFrame(
        {
            "": ["naive: all named models of the panel", "corrected"],
            "China : US": [contest.observed_ratio, ratio[1]],
            "low": [np.nan, ratio[0]],
            "high": [np.nan, ratio[2]],
            "P(China leads)": [np.nan, lead],
        }
    ),
    caption=f"Population {POPULATION}, week of {WEEK}, median and {LEVEL:.0%} interval",
    formats={"China : US": ".2f", "P(China leads)": ".3f"},
    intervals={"China : US": ("low", "high")},
)
