"""Series and scenarios in words."""

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offroute.estimators.synthesis import Posterior
from offroute.inference.crossing import Crossing, crossing_quantile
from offroute.measurement.populations import population

_FRESH_WEEKS = 4.0


def _heading(posterior: Posterior, what: str) -> list[Text]:
    name = posterior.benchmarks.population
    return [
        Text(f"{what}, population {name}", style="bold"),
        Text(f"({population(name).description})", style="dim"),
    ]


def _crossing_line(name: str, found: Crossing) -> str:
    inside = float(found.probability.sum())
    median = crossing_quantile(found, 0.5)
    when = "no week" if np.isnat(median) else f"{median}"
    return (
        f"{name}: within the window {inside:.2f} (median over all paths: {when}), before it "
        f"{found.left_censored:.2f}, begun but unfinished {found.right_censored:.2f}, never "
        f"{found.never:.2f}"
    )


def series_view(
    table: pd.DataFrame, leads: list[Crossing], posterior: Posterior, level: float
) -> RenderableType:
    """Lay out a weekly series.

    Parameters
    ----------
    table : pandas.DataFrame
        As `offroute.inference.paths.ratio_series` returns it.
    leads : list of Crossing
        Four weeks in a row, first week at all, for good.
    posterior : Posterior
        Where the series comes from.
    level : float
        Probability of intervals and band.

    Returns
    -------
    rich renderable
        Heading, table, crossing weeks.
    """
    view = Table(box=None, pad_edge=False, header_style="bold")
    for heading in (
        "week",
        "panel",
        "corrected",
        f"{level:.0%} interval",
        "band",
        "P(China leads)",
        "",
    ):
        view.add_column(heading, justify="right")
    for _, row in table.iterrows():
        gap = bool(np.isnan(row["observed"]))
        late = row["weeks_since_last"] > _FRESH_WEEKS
        note = "no data" if gap else "extrapolated" if late else ""
        cells = (
            ["", "", "", "", ""]
            if gap
            else [
                f"{row['observed']:.2f}",
                f"{row['ratio']:.2f}",
                f"[{row['low']:.2f}, {row['high']:.2f}]",
                f"[{row['band_low']:.2f}, {row['band_high']:.2f}]",
                f"{row['p_leads']:.3f}",
            ]
        )
        view.add_row(f"{row['week_start']:%Y-%m-%d}", *cells, note)
    names = ("Four weeks in a row", "A week at all", "For good")
    return Group(
        *_heading(posterior, "Ratio of Chinese to US tokens"),
        "",
        view,
        "",
        *[Text(_crossing_line(n, c)) for n, c in zip(names, leads, strict=True)],
        Text(
            "Posterior of the week in which China's lead begins; statements about several weeks "
            "need the band.",
            style="dim",
        ),
    )


def share_series_view(
    table: pd.DataFrame, posterior: Posterior, level: float, last: int
) -> RenderableType:
    """Lay out weekly shares of a partition.

    Parameters
    ----------
    table : pandas.DataFrame
        As `offroute.inference.paths.share_series` returns it.
    posterior : Posterior
        Where the series comes from.
    level : float
        Probability of intervals and band.
    last : int
        Weeks to print.

    Returns
    -------
    rich renderable
        One row a week and class: observed, corrected, interval, band.
    """
    view = Table(box=None, pad_edge=False, header_style="bold")
    view.add_column("week")
    view.add_column("class")
    for heading in ("panel %", "corrected %", f"{level:.0%} interval", "band", ""):
        view.add_column(heading, justify="right")
    weeks = table["week_start"].drop_duplicates().tail(last)
    for week in weeks:
        for _, row in table[table["week_start"] == week].iterrows():
            late = row["weeks_since_last"] > _FRESH_WEEKS
            if np.isnan(row["observed"]):
                view.add_row(f"{week:%Y-%m-%d}", row["class"], "", "", "", "", "no data")
                continue
            view.add_row(
                f"{week:%Y-%m-%d}",
                row["class"],
                f"{100 * row['observed']:.1f}",
                f"{100 * row['corrected']:.1f}",
                f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]",
                f"[{100 * row['band_low']:.1f}, {100 * row['band_high']:.1f}]",
                "extrapolated" if late else "",
            )
    quantity, by = table["quantity"].iloc[0], table["by"].iloc[0]
    note = (
        "Dollars at the panel's effective prices, which differ elsewhere: less well known than "
        "tokens. "
        if quantity == "dollars"
        else ""
    )
    return Group(
        *_heading(posterior, f"Shares of {quantity} by {by}"),
        "",
        view,
        "",
        Text(
            note
            + "Models of undeclared origin are left out; a band holds for all weeks of a class.",
            style="dim",
        ),
    )


def scenario_view(
    table: pd.DataFrame, news: pd.DataFrame, posterior: Posterior, week: str, level: float
) -> RenderableType:
    """Lay out scenarios.

    Parameters
    ----------
    table : pandas.DataFrame
        As `offroute.inference.scenarios.scenario_table` returns it.
    news : pandas.DataFrame
        As `offroute.inference.information.value_of_information` returns it.
    posterior : Posterior
        The fit with everything.
    week : str
        The week.
    level : float
        Probability of the intervals.

    Returns
    -------
    rich renderable
        Heading, table, total interval.
    """
    view = Table(box=None, pad_edge=False, header_style="bold")
    view.add_column("scenario")
    for heading in ("China : US", f"{level:.0%} interval", "Lambda", "P(China leads)"):
        view.add_column(heading, justify="right")
    for _, row in table.iterrows():
        view.add_row(
            row["scenario"],
            f"{np.exp(row['log_ratio']):.2f}",
            f"[{np.exp(row['low']):.2f}, {np.exp(row['high']):.2f}]",
            f"{row['lambda']:.2f} [{row['lambda_low']:.2f}, {row['lambda_high']:.2f}]",
            f"{row['p_china_leads']:.3f}",
        )
    priors = table[table["kind"] == "prior"]
    neutral = priors.iloc[0]
    return Group(
        *_heading(posterior, f"Sensitivity of the week of {week}"),
        "",
        view,
        "",
        Text(
            f"China : US, statistical interval (neutral prior) [{np.exp(neutral['low']):.2f}, "
            f"{np.exp(neutral['high']):.2f}], total interval (union over priors) "
            f"[{np.exp(priors['low'].min()):.2f}, {np.exp(priors['high'].max()):.2f}]."
        ),
        Text(
            "What would help most, by the part of the sd of the log ratio that a figure with log "
            "sd .15 would take away: "
            + ", ".join(f"{r.disclosure} {r.shrinkage:.0%}" for r in news.head(5).itertuples())
            + "."
        ),
        Text(
            "A common error of all US disclosures cannot be seen in the data: the two rows that "
            "halve and double them say what it would do.",
            style="dim",
        ),
    )
