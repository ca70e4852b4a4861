"""A ledger row's way to a benchmark, step by step."""

import numpy as np
import pandas as pd

from offroute.exceptions import UsageError
from offroute.measurement.ledger import log_volume, nearest_week, select_cells
from offroute.measurement.market import Market


def find_row(ledger: pd.DataFrame, row_id: str) -> pd.Series:
    """Return one row of the ledger.

    Parameters
    ----------
    ledger : pandas.DataFrame
        The ledger.
    row_id : str
        Its id.

    Returns
    -------
    pandas.Series
        The row.

    Raises
    ------
    UsageError
        If there is none of that id.
    """
    found = ledger[ledger["id"] == row_id]
    if found.empty:
        raise UsageError(
            "row",
            got=repr(row_id),
            rule="must be an id of the ledger",
            next_step="List the ids with `offroute ledger`.",
        )
    row: pd.Series = found.iloc[0]
    return row


def conversion_steps(
    row: pd.Series, crosswalk: pd.DataFrame, market: Market
) -> list[tuple[str, str]]:
    """Describe how a ledger row becomes a benchmark in each population.

    Parameters
    ----------
    row : pandas.Series
        One row of the ledger.
    crosswalk : pandas.DataFrame
        As `offroute.data.snapshot.load_crosswalk` returns it.
    market : Market
        The panel, for the effective price and the panel's own volume.

    Returns
    -------
    list of (str, str)
        Name and content of each step. A row that is not in use has the reason as its last step.
    """
    value = row["value"] if pd.notna(row["value"]) else row["low"]
    value = row["high"] if pd.isna(value) else value
    steps = [("published", f"{value:g} {row['unit']} ({row['entity']}: {row['scope']})")]
    if row["use"] != "likelihood":
        return [*steps, ("not a benchmark", row["reason"])]
    per_week = float(np.exp(log_volume(row)))
    week, _ = nearest_week(market, row["measured_on"])
    cells = select_cells(market, row["selector"])
    volume, price = market.Xs[week, cells], market.price[week, cells]
    panel = market.X[week, cells].sum()
    steps.append(("put to the week of", f"{market.weeks[week]}: {row['reason']}"))
    if row["form"].startswith("share"):
        steps.append(("per week", f"{per_week:.1%} of an unknown total: only ratios speak"))
    elif row["form"] == "tokens":
        steps.append(("per week", f"{per_week / 1e12:.2f} T tokens"))
    else:
        mean = float(volume @ price / volume.sum())
        steps.append(("per week", f"{per_week / 1e6:.2f} M USD"))
        steps.append(
            ("effective price", f"{mean * 1e6:.2f} USD per M tokens at the panel's mix of tiers")
        )
        steps.append(("display only", f"{per_week / mean / 1e12:.2f} T tokens before any offset"))
    steps.append(("panel", f"{panel / 1e12:.3f} T tokens of {row['selector']} in that week"))
    steps.append(("error of the row", f"log sd {row['sd']:g}, {row['side']}"))
    steps.append(("family", f"{row['family']}: its rows share one bias"))
    for _, link in crosswalk[crosswalk["scope_class"] == row["scope_class"]].iterrows():
        text = (
            f"figure = {link['factor']:g} x volume (log sd {link['sd']:g}), panel inside "
            f"{link['iota']:.0%}, {link['side']}: {link['reason']}"
        )
        steps.append((link["population"], text))
    return steps
