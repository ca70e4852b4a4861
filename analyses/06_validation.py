# %% [markdown]
# # Do the intervals hold?
#
# In the real market nobody knows the truth. So the whole pipeline is run on simulated markets whose
# truth is known, built by a model of buyers that the estimator does not share. And on the real
# ledger, figures are held out and predicted. This notebook runs two markets live and reads the
# results of the long studies, which `make slow` and `make holdout` repeat.
#
# **Populations:** a simulated market has one, all tokens sold through APIs. The held-out figures
# are of the population named with them.

# %%
from pathlib import Path

import numpy as np
import pandas as pd

import offroute
from offroute.data.disclosures import publish_disclosures
from offroute.data.simulate import WORLDS, simulate_market
from offroute.inference.validation import score_market
from offroute.report.figures_panel import intervals_figure
from offroute.report.notebook import picture, table

SEED, STUDIES = 7, Path("../studies")
source = f"Simulated markets; offroute {offroute.__version__}."

# %% [markdown]
# ## Two markets, live
#
# Five segments of buyers choose among models; a part of their tokens goes through a panel that
# under-samples closed US models and favours promotions. Companies publish rounded figures with
# errors. In the second market all errors are larger than the analyst believes.

# %%
scores = []
for kind in ("calibrated", "over-confident"):
    children = np.random.SeedSequence(SEED).spawn(3)
    simulated = simulate_market(WORLDS[kind], rng=children[0])
    published = publish_disclosures(simulated, rng=children[1])
    scored = score_market(simulated, published, n_draws=500, rng=children[2])
    scores.append(scored[scored["quantity"] == "log_ratio"].assign(market=kind))
scores = pd.concat(scores)
labels = {"naive": "naive", "synthesis": "corrected"}
scores = scores[scores["estimator"].isin(labels)]

# %%
estimates = pd.DataFrame(
    {
        "label": scores["estimator"].map(labels),
        "value": np.exp(scores["q0.5"]),
        "low": np.exp(scores["q0.05"]),
        "high": np.exp(scores["q0.95"]),
        "kind": scores["estimator"].map({"naive": "panel"}).fillna("corrected"),
        "section": scores["market"],
    }
)
truths = estimates.drop_duplicates("section").assign(
    label="truth", kind="truth", low=np.nan, high=np.nan,
    value=np.exp(scores.groupby("market", sort=False)["truth"].first().to_numpy()),
)  # fmt: skip  # dense
both = pd.concat([truths, estimates]).sort_values(
    ["section", "label"], key=lambda s: s.map({"truth": 0, "naive": 1}).fillna(2), kind="stable"
)
both = both.sort_values("section", kind="stable")
picture(
    intervals_figure(
        both,
        title="Two simulated markets: China over the US in the last week",
        subtitle="Tokens to Chinese models per token to US models, truth, naive and corrected with "
        "90 % intervals. Log scale.",
        source=source,
        line=1.0,
        log=True,
    ),
    alt="Truth, naive and corrected ratio of China to the US in two simulated markets",
)

# %% [markdown]
# ## Coverage over many markets
#
# The same for many markets of each kind. An interval of 90 % should contain the truth in nine of
# ten. The kinds in which all US figures are off by a factor of two break the model's own beliefs;
# there the intervals may miss more often. Naive intervals, from the scatter of the panel, hold
# hardly ever.

# %%
coverage = pd.read_csv(STUDIES / "coverage.csv")
ratio = coverage[coverage["quantity"] == "log_ratio"]
ratio = ratio[ratio["estimator"].isin(["naive", "synthesis"])]
kinds = ratio["estimator"].map({"naive": "panel", "synthesis": "corrected"})
picture(
    intervals_figure(
        pd.DataFrame(
            {
                "label": ratio["estimator"].map(labels),
                "value": ratio["coverage_90"],
                "low": (ratio["coverage_90"] - 1.645 * ratio["se_90"]).clip(0, 1),
                "high": (ratio["coverage_90"] + 1.645 * ratio["se_90"]).clip(0, 1),
                "kind": kinds,
                "section": ratio["world"],
            }
        ),
        title="How often a 90 % interval holds the true ratio",
        subtitle=f"{int(ratio['markets'].min())} to {int(ratio['markets'].max())} markets of each "
        "kind, with the Monte Carlo error. Line: 90 %.",
        source=source,
        line=0.9,
        spec=".0%",
    ),
    alt="Coverage of 90 per cent intervals, naive and corrected, by kind of market",
)

# %% [markdown]
# The decisions that people take from such numbers, who leads, by kind of market: how often the
# more probable side is the right one, and how often a confident answer (P above 95 %) is wrong.
# `lost` is the part of markets in which the pipeline refused to answer.

# %%
synthesis = ratio[ratio["estimator"] == "synthesis"].set_index("world")
decided = synthesis[["failed", "bias", "rmse", "sign_right", "decisive", "decisive_wrong"]].assign(
    naive=ratio[ratio["estimator"] == "naive"].set_index("world")["sign_right"]
)
table(
    decided.reset_index().rename(
        columns={
            "world": "market", "failed": "lost", "sign_right": "side right",
            "naive": "side right, naive", "decisive": "confident", "decisive_wrong": "and wrong",
        }
    ),
    caption="Corrected log ratio of China to the US on simulated markets",
    formats={
        "lost": ".0%", "bias": "+.2f", "rmse": ".2f", "side right": ".0%", "confident": ".0%",
        "and wrong": ".1%", "side right, naive": ".0%",
    },
)  # fmt: skip  # dense

# %% [markdown]
# Is a probability of 30 % right in three of ten markets? Over all kinds of market:

# %%
bins = pd.read_csv(STUDIES / "coverage_reliability.csv")
weight = bins["markets"]
pooled = (
    bins.assign(stated=bins["mean_p"] * weight, happened=bins["frequency"] * weight)
    .groupby("low")[["markets", "stated", "happened"]]
    .sum()
)
table(
    pd.DataFrame(
        {
            "stated P(China leads)": pooled["stated"] / pooled["markets"],
            "China leads in": pooled["happened"] / pooled["markets"],
            "markets": pooled["markets"],
        }
    ),
    caption="Stated probability and how often it came true, simulated markets of all kinds",
    formats={"stated P(China leads)": ".0%", "China leads in": ".0%", "markets": ".0f"},
)

# %% [markdown]
# ## Held-out figures
#
# On the real ledger: leave out all figures of a family, predict them from the others; and predict
# each figure from those published before it. Half should fall into the 50 % interval, nine of ten
# into the 90 % interval. Some of the model's scales were chosen with this ledger in view, so that
# this is a check of fit more than of prediction.

# %%
held = pd.read_csv(STUDIES / "holdout.csv", comment="#").assign(how="family held out")
earlier = pd.read_csv(STUDIES / "prequential.csv", comment="#").assign(how="later from earlier")
inside = (
    pd.concat([held, earlier])
    .groupby(["how", "population"])
    .agg(figures=("id", "size"), half=("inside_50", "mean"), most=("inside_90", "mean"))
)
table(
    inside.reset_index().rename(
        columns={"how": "", "half": "in the 50 % interval", "most": "in the 90 % interval"}
    ),
    caption="Share of real figures inside their predicted interval, by population",
    formats={"figures": "d", "in the 50 % interval": ".0%", "in the 90 % interval": ".0%"},
)
