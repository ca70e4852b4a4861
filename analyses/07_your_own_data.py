# %% [markdown]
# # Your own log, from a file to a corrected share
#
# Any log of requests is a sample of somebody's requests. If heavy users of Chinese models are more
# likely to be in yours, its shares are biased, however many rows it has. This notebook makes up a
# population whose truth is known, lets a biased part of it into a log file, and corrects the log
# with two totals that are known of the population.
#
# **Population:** the made-up one below. Replace the file, the columns and the totals by yours.

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import offroute
from offroute.report.figures_panel import intervals_figure
from offroute.report.notebook import picture, table

SEED, LEVEL = 0, 0.95
rng = np.random.default_rng(SEED)

# %% [markdown]
# ## A population, and who is in the log
#
# Accounts use models for coding, chat or batch jobs. Coding accounts choose Chinese models more
# often, and the gateway that writes the log is popular with them. So coding is over-represented,
# and with it China.

# %%
accounts = pd.DataFrame({"use": rng.choice(["coding", "chat", "batch"], 6000, p=[0.25, 0.55, 0.2])})
accounts["size"] = rng.choice(["small", "large"], len(accounts), p=[0.8, 0.2])
accounts["account"] = np.arange(len(accounts))
lean = accounts["use"].map({"coding": 0.62, "chat": 0.22, "batch": 0.40})
accounts["china"] = rng.beta(6 * lean, 6 * (1 - lean))
busy = accounts["size"].map({"small": 6.0, "large": 30.0})
requests = accounts.loc[accounts.index.repeat(rng.poisson(busy))].reset_index(drop=True)
requests["origin"] = np.where(rng.random(len(requests)) < requests["china"], "China", "US")
requests["tokens"] = rng.lognormal(7.5, 1.0, len(requests)).round()
reach = accounts["use"].map({"coding": 0.30, "chat": 0.05, "batch": 0.12}) * accounts["size"].map(
    {"small": 1.0, "large": 1.3}
)
logged = accounts.loc[rng.random(len(accounts)) < reach, "account"]
log = requests[requests["account"].isin(logged)]

# %%
table(
    pd.DataFrame(
        {
            "": ["population", "log"],
            "accounts": [len(accounts), len(logged)],
            "requests": [len(requests), len(log)],
            "coding": [(t["use"] == "coding").mean() for t in (requests, log)],
            "China": [
                t.loc[t["origin"] == "China", "tokens"].sum() / t["tokens"].sum()
                for t in (requests, log)
            ],
        }
    ),
    caption="Coding as a share of requests, China as a share of tokens; the made-up population",
    formats={"accounts": ",d", "requests": ",d", "coding": ".1%", "China": ".1%"},
)

# %% [markdown]
# ## Read the file
#
# A log may be larger than memory. `collapse` sums it up in cells, here by origin, use and size,
# and keeps what variances need: requests of one account are alike, so that accounts are the
# sampled units. It reads Parquet, CSV and JSON lines, single files or many.

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "requests.csv"
    log[["account", "use", "size", "origin", "tokens"]].to_csv(file, index=False)
    cells = offroute.collapse(
        file, by=["origin", "use", "size"], volume="tokens", clusters="account"
    )
sample = offroute.read_cells(cells, outcomes=["origin"])

# %% [markdown]
# ## Correct
#
# Of the population we know how many requests are made for each use, and how many by accounts of
# each size. `rake` weights the log so that it agrees with both; `expansion` is the log as it is.
# The share is of tokens.

# %%
target = offroute.make_target(
    {name: requests[name].value_counts().to_dict() for name in ("use", "size")}
)
asked = [offroute.share("origin", levels=["China"], of="tokens")]
points = {
    "naive: the log as it is": offroute.expansion(sample, estimands=asked),
    "corrected for use alone": offroute.rake(
        sample,
        offroute.make_target({"use": requests["use"].value_counts().to_dict()}),
        estimands=asked,
    ),
    "corrected for use and size": offroute.rake(sample, target, estimands=asked),
}
estimates = {
    name: offroute.infer(point, level=LEVEL, interval="logit") for name, point in points.items()
}
truth = requests.loc[requests["origin"] == "China", "tokens"].sum() / requests["tokens"].sum()

# %%
rows = pd.DataFrame(
    [{"label": "truth", "value": truth, "low": np.nan, "high": np.nan, "kind": "truth"}]
    + [
        {
            "label": name, "value": e.values[0], "low": e.lower[0], "high": e.upper[0],
            "kind": "panel" if name.startswith("naive") else "corrected",
        }
        for name, e in estimates.items()
    ]
)  # fmt: skip  # dense
picture(
    intervals_figure(
        rows,
        title="China's share of tokens in the made-up population",
        subtitle=f"Truth (line), the log as it is, and corrected, with {LEVEL:.0%} intervals.",
        source="Made-up log; offroute.",
        line=float(truth),
        spec=".1%",
    ),
    alt="China's share of tokens: truth, naive and corrected with intervals",
)

# %% [markdown]
# The interval of the log as it is says how few accounts there are, not which ones: more rows would
# make it narrower around the wrong number.

# %%
table(
    pd.DataFrame(
        {
            "estimate": list(estimates),
            "share": [e.values[0] for e in estimates.values()],
            "low": [e.lower[0] for e in estimates.values()],
            "high": [e.upper[0] for e in estimates.values()],
            "error": [e.values[0] - truth for e in estimates.values()],
        }
    ),
    caption=f"China's share of tokens, made-up population; truth {truth:.1%}, {LEVEL:.0%} interval",
    formats={"share": ".1%", "error": "+.1%"},
    intervals={"share": ("low", "high")},
)

# %% [markdown]
# ## Look at the weights
#
# Balance: the share of each level in the population, in the log, and after weighting.

# %%
corrected = points["corrected for use and size"]
balance = offroute.balance_table(corrected, sample, target)
table(
    pd.DataFrame(
        {
            "level": balance.names,
            "population": balance.target,
            "log": balance.base,
            "weighted": balance.weighted,
        }
    ),
    caption="Share of requests by level, made-up population",
    formats=dict.fromkeys(("population", "log", "weighted"), ".1%"),
)

# %% [markdown]
# Calibration removes what the known totals explain. If, among coding accounts, those that prefer
# Chinese models were more likely to be in the log, the corrected share would keep that bias, and
# no total of use or size could show it. Ask what decides who is in your log before you trust the
# result.
