# %% [markdown]
# # The headline, audited
#
# In June 2026 a chart said that Chinese models had overtaken US models on OpenRouter. It summed the
# nine models that it drew. Here are the same weeks by that rule, over all named models, and with
# everything that the panel leaves open given to either side.

# %%
import offroute

usage, models = offroute.load_usage(), offroute.load_models()
audit = offroute.audit_weeks(usage, models)
audit.set_index("week_start").loc[["2026-02-09", "2026-03-09", "2026-05-18", "2026-06-01"]].T

# %% [markdown]
# The unnamed rest and the models without a declared maker are rows of their own, with bounds.

# %%
shares = offroute.observed_shares(usage, models, by="group", week="2026-06-01", tail="bounds")
shares[["class", "share", "low", "high"]]
