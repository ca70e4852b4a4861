"""The two halves of the figure of what could overturn the answer, each for itself."""

from typing import TYPE_CHECKING

import pandas as pd

from offroute._checks import check_columns
from offroute.report.figures_sensitivity import contour_panel, steps_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def contour_figure(grid: pd.DataFrame, *, title: str, source: str) -> "Figure":
    """Draw who leads if what the panel misses is larger or smaller than estimated.

    Parameters
    ----------
    grid : pandas.DataFrame
        As `offroute.inference.overturn.contour_frame` returns it.
    title : str
        Heading.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The left half of `overturn_figure`, for itself.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    from offroute.report.style import MUTED, RC, source_line  # noqa: PLC0415 - likewise

    check_columns(grid, ["factor_china", "factor_us_closed", "p_china_leads"], name="grid")
    with rc_context(RC):
        figure = Figure(figsize=(7.2, 5.4))
        ax = figure.subplots()
        figure.subplots_adjust(left=0.105, right=0.97, top=0.83, bottom=0.14)
        figure.text(0.01, 0.97, title, fontsize=12, weight="bold", va="top")
        figure.text(
            0.01, 0.915, "If the unseen part of either side is larger or smaller than estimated. "
            "Thick: as likely as not.", color=MUTED, va="top",
        )  # fmt: skip
        contour_panel(ax, grid)
        source_line(figure, source)
    return figure


def waterfall_figure(steps: pd.DataFrame, *, title: str, level: float, source: str) -> "Figure":
    """Draw the steps from the chart's ratio to the corrected one.

    Parameters
    ----------
    steps : pandas.DataFrame
        As `offroute.report.overturn.steps_frame` returns it.
    title : str
        Heading.
    level : float
        Probability of the intervals.
    source : str
        Line under the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The right half of `overturn_figure`, for itself.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - matplotlib is an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    from offroute.report.style import MUTED, RC, source_line  # noqa: PLC0415 - likewise

    check_columns(steps, ["mechanism", "step", "low", "high"], name="steps")
    with rc_context(RC):
        figure = Figure(figsize=(9.0, 4.6))
        ax = figure.subplots()
        figure.subplots_adjust(left=0.27, right=0.97, top=0.81, bottom=0.13)
        figure.text(0.01, 0.97, title, fontsize=12, weight="bold", va="top")
        figure.text(
            0.01, 0.905, f"Each bar multiplies the ratio of China to the US; lines are {level:.0%} "
            "intervals of the step. Log scale.", color=MUTED, va="top",
        )  # fmt: skip
        steps_panel(ax, steps)
        source_line(figure, source)
    return figure
