"""One look for all figures: a colour per group, safe for colour-blind readers."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

#: Colours after Okabe and Ito; a group has the same colour in every figure.
COLOURS = {
    "US closed": "#0072B2",
    "US": "#0072B2",
    "US open": "#56B4E9",
    "China open": "#D55E00",
    "China": "#D55E00",
    "China closed": "#E69F00",
    "Rest of world": "#009E73",
    "Stealth": "#8C8C8C",
    "Other": "#C9C9C9",
}
INK, MUTED, GRID = "#222222", "#6A6A6A", "#E4E4E4"
PANEL, CORRECTED = "#8C8C8C", "#5B3A8C"
"""What the panel shows, and what is estimated, in figures that have no groups."""

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "svg.hashsalt": "offroute",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 150,
}
"""Settings for `matplotlib.rc_context`; nothing global is changed."""


def plain_log_axis(ax: Axes, ticks: list[float]) -> None:
    """Give a logarithmic y axis plain labels and a light grid.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    ticks : list of float
        Labelled values.
    """
    ax.set_yscale("log")
    ax.set_yticks(ticks)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.grid(axis="y", color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)


def source_line(figure: Figure, text: str) -> None:
    """Write where the figures come from under everything else.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    text : str
        Source and licence.
    """
    figure.text(0.01, 0.01, text, fontsize=7, color=MUTED, ha="left", va="bottom")


#: For partitions without groups of their own, in the order of the classes.
OTHERS = ("#CC79A7", "#5B3A8C", "#009E73", "#E69F00", "#56B4E9", "#0072B2", "#D55E00")


def colours_of(classes: list[str]) -> dict[str, str]:
    """Return a colour for every class: that of its group, or one of a list.

    Parameters
    ----------
    classes : list of str
        Names.

    Returns
    -------
    dict of str to str
        Colour by class.

    Examples
    --------
    >>> colours_of(["China open", "flagship"])
    {'China open': '#D55E00', 'flagship': '#CC79A7'}
    """
    free = iter(OTHERS * len(classes))
    return {name: COLOURS[name] if name in COLOURS else next(free) for name in classes}
