"""All market estimators side by side, in words."""

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offroute.measurement.populations import population
from offroute.report.overturn import extrapolation


def _interval(row: pd.Series, name: str, digits: int = 2) -> str:
    middle = f"{row[name]:.{digits}f}"
    if np.isnan(row[f"{name}_low"]):
        return middle
    return f"{middle} [{row[f'{name}_low']:.{digits}f}, {row[f'{name}_high']:.{digits}f}]"


def estimators_view(table: pd.DataFrame) -> RenderableType:
    """Lay out the estimators of one population.

    Parameters
    ----------
    table : pandas.DataFrame
        As `offroute.inference.comparison.compare_estimators` returns it, with ``population``,
        ``week`` and ``level``.

    Returns
    -------
    rich renderable
        Heading, table, what each implies, refusals.
    """
    name, level = table["population"].iloc[0], table["level"].iloc[0]
    view = Table(box=None, pad_edge=False, header_style="bold")
    view.add_column("estimator")
    headings = ("rows", f"China : US, {level:.0%} interval", "Lambda", "P(China leads)", "closed")
    for heading in headings:
        view.add_column(heading, justify="right")
    answered = table[table["refused"] == ""]
    for _, row in answered.iterrows():
        sure = np.isnan(row["p_china_leads"])
        view.add_row(
            row["estimator"],
            f"{row['rows']:.0f}",
            _interval(row, "ratio"),
            _interval(row, "lambda"),
            "" if sure else f"{row['p_china_leads']:.3f}",
            "" if sure else f"{row['p_china_leads_closed']:.3f}",
        )
    beliefs = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("estimator", "K: coverage may differ", "S: figures err by", "implies"):
        beliefs.add_column(heading, overflow="fold")
    for _, row in table.iterrows():
        beliefs.add_row(row["estimator"], row["K"], row["S"], row["implies"])
    notes = [f"Refused: {row['refused']}" for _, row in table[table["refused"] != ""].iterrows()]
    main = answered[answered["estimator"] == "evidence synthesis"]
    late = extrapolation(float(main["weeks_since_last"].iloc[0])) if len(main) else []
    for _, row in answered[answered["j"].notna()].iterrows():
        verdict = "rejected" if row["j_p"] < 0.01 else "not rejected"  # noqa: PLR2004 - 1 %
        notes.append(
            f"Over-identification of {row['estimator']}: J = {row['j']:.1f} on "
            f"{row['j_df']:.0f} degrees of freedom, p = {row['j_p']:.2g}: {verdict} at 1 %."
        )
    return Group(
        Text(f"Estimators of the week of {table['week'].iloc[0]}, population {name}", style="bold"),
        Text(f"({population(name).description})", style="dim"),
        "",
        view,
        "",
        beliefs,
        "",
        *late,
        *[Text(note) for note in notes],
        Text(
            "A row without an interval takes its figures as exact. All are corners of one "
            "Gaussian family: which one is right is which K and S one believes. Intervals that "
            "leave out the bias of sources or the spread between labs are too narrow.",
            style="dim",
        ),
        "",
    )
