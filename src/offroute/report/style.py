"""One look for all figures: a colour per group, safe for colour-blind readers."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from seaborn import axes_style, color_palette

BLUE, AMBER, GREEN, VERMILION, PINK, _, _, GREY, _, SKY = color_palette("colorblind").as_hex()
#: A group has the same colour in every figure, and in the interactive report.
COLOURS = {
    "US closed": BLUE,
    "US": BLUE,
    "US open": SKY,
    "China open": VERMILION,
    "China": VERMILION,
    "China closed": AMBER,
    "Rest of world": GREEN,
    "Stealth": GREY,
    "Other": "#c9c9c9",
}
INK, MUTED = "#222222", "#5f5f5f"
PANEL, CORRECTED = "#8c8c8c", "#5b3a8c"
"""What the panel shows, and what is estimated, in figures that have no groups."""
TOO_LOW = "#b3202c"
"""A coverage below the nominal one."""

RC: dict[Any, Any] = {
    **axes_style("ticks"),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "patch.force_edgecolor": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "svg.hashsalt": "offroute",
    "svg.fonttype": "path",
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
    ax.grid(axis="y")


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
OTHERS = (PINK, CORRECTED, GREEN, AMBER, SKY, BLUE, VERMILION)


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
    {'China open': '#d55e00', 'flagship': '#cc78bc'}
    """
    free = iter(OTHERS * len(classes))
    return {name: COLOURS[name] if name in COLOURS else next(free) for name in classes}
