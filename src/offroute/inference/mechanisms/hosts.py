r"""Hosts (C6): who runs a model is not who made it.

With the host shares :math:`h_{mj}` of a model and its tokens :math:`X_m`, the tokens served from
country j of models made in o are :math:`\sum_{m \in o} h_{mj} X_m`. Host shares exist for models
that several companies serve; the tokens of all others are unplaced, and bounds give them to either
country.
"""

import numpy as np
import pandas as pd

from offroute.data.frames import resolve_week
from offroute.data.register import STEALTH, TAIL_MODEL, join_register
from offroute.exceptions import NotIdentified
from offroute.inference.mechanisms.effect import Effect

UNPLACED = "Unplaced"


def origin_by_host(
    usage: pd.DataFrame, models: pd.DataFrame, hosts: pd.DataFrame, *, week: str
) -> pd.DataFrame:
    """Tabulate the tokens of a week by origin and country of the host.

    Parameters
    ----------
    usage, models : pandas.DataFrame
        As of `load_usage` and `load_models`.
    hosts : pandas.DataFrame
        As of `load_hosts`; shares of July 2026 stand for the week.
    week : str
        Monday of the week.

    Returns
    -------
    pandas.DataFrame
        ``origin``, ``home`` (China, US, Elsewhere, Unplaced), ``tokens``, ``low``, ``high``: bounds
        of the share within the origin, with unplaced tokens given to the home or kept from it. A
        closed model of a US lab without several hosts is served by the lab: US.

    Raises
    ------
    UnknownWeek
        If there is no such week.
    NotIdentified
        If the week is known by lab only.
    """
    start = resolve_week(usage, week)
    rows = join_register(usage[usage["week_start"] == start], models)
    if bool((rows["basis"] == "lab").any()):
        raise NotIdentified(
            "hosts",
            got="a week known by lab",
            rule="hosts are known by model",
            next_step="Choose a week before 2026-09-14.",
        )
    rows = rows[(rows["model"] != TAIL_MODEL) & (rows["lab"] != STEALTH)]
    share = hosts.assign(home=hosts["home"].replace("Unknown", UNPLACED)).pivot_table(
        index="model", columns="home", values="share", aggfunc="sum", fill_value=0.0
    )
    share = share.div(share.sum(axis=1), axis=0)
    names = ["China", "US", "Elsewhere", UNPLACED]
    placed = rows[["model"]].merge(
        share.reindex(columns=names, fill_value=0.0), left_on="model", right_index=True, how="left"
    )[names]
    own = rows["group"].eq("US closed").to_numpy() & placed["US"].isna().to_numpy()
    lost = placed["US"].isna().to_numpy() & ~own
    placed = placed.fillna(0.0)
    placed.loc[own, "US"] = 1.0
    placed.loc[lost, UNPLACED] = 1.0
    tokens = placed.mul(rows["tokens"].to_numpy(dtype=np.float64), axis=0)
    table = tokens.groupby(rows["origin"].to_numpy()).sum()
    frame = table.rename_axis("origin").reset_index().melt("origin", names, "home", "tokens")
    total = frame.groupby("origin")["tokens"].transform("sum")
    loose = frame["origin"].map(table[UNPLACED])
    known = frame["home"] != UNPLACED
    low = np.where(known, frame["tokens"], 0.0) / total
    high = np.where(known, frame["tokens"] + loose, frame["tokens"]) / total
    return frame.assign(low=low, high=high)


def host_not_origin(
    usage: pd.DataFrame,
    models: pd.DataFrame,
    hosts: pd.DataFrame,
    *,
    week: str,
    level: float = 0.9,
) -> Effect:
    """Say what counting the country of the host in place of the maker's does.

    Parameters
    ----------
    usage, models, hosts : pandas.DataFrame
        As of the loaders of the snapshot.
    week : str
        Monday of the week.
    level : float
        Printed; the bounds hold surely, given the host shares.

    Returns
    -------
    Effect
        The parameter is the part of Chinese models' tokens that hosts outside China serve. By
        origin the effect of hosts is nil: a model's maker does not change with its host.

    Raises
    ------
    UnknownWeek, NotIdentified
        As `origin_by_host`.

    Notes
    -----
    A host's head office is not its data centre, and buyers pin hosts: shares of July 2026, of 1 to
    4 % of the tokens, are weights within a model.
    """
    table = origin_by_host(usage, models, hosts, week=week)
    cell = table.set_index(["origin", "home"])["tokens"]
    china = cell.loc["China"]
    inside, loose = float(china["China"]), float(china[UNPLACED])
    part = 1 - (inside + loose) / china.sum(), 1 - inside / china.sum()
    home = table.groupby("home")["tokens"].sum()
    made = float(np.log(china.sum() / cell.loc["US"].sum()))
    if not home["China"] > 0:
        raise NotIdentified(
            "hosts", got="no token on a Chinese host", rule="both must have one", next_step="-"
        )
    low = float(np.log(home["China"] / (home["US"] + home[UNPLACED]))) - made
    high = float(np.log((home["China"] + home[UNPLACED]) / home["US"])) - made
    return Effect(
        critique="C6",
        mechanism="country of the host instead of the maker",
        population="panel",
        week=resolve_week(usage, week).date().isoformat(),
        parameter="part of Chinese models' tokens served by hosts outside China (fraction)",
        estimate=(float(part[0]), float("nan"), float(part[1])),
        effect=(low, float("nan"), high),
        level=level,
        evidence=("hosts", "usage"),
        direction="panel overstates China" if high < 0 else "either",
        strength="bounds only",
        note=f"{loose / china.sum():.0%} of Chinese models' tokens unplaced; by origin no effect; "
        "naive: makers",
    )
