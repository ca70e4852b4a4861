"""What could overturn the answer, in words: bounds, robustness, priors, mechanisms."""

import json

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offroute.inference.overturn import Overturn
from offroute.inference.power_scaling import THRESHOLD
from offroute.inference.waterfall import Waterfall
from offroute.measurement.populations import population
from offroute.report.files import frame_to_records

#: What a diagnosis of power-scaling means.
_MEANS = {
    "prior-data conflict": (
        " (both move the answer: the figures pull it away from the prior, or neither is much "
        "sharper than the other)"
    ),
    "strong prior or weak data": " (the prior moves the answer, the figures hardly do)",
}
_SETTLED = 1e-4
_FAR = 1e4
_FRESH_WEEKS = 4.0


def plain_table(headings: tuple[str, ...]) -> Table:
    """Return a table without lines whose first column is text and whose others are numbers.

    Parameters
    ----------
    headings : tuple of str
        Column headings.

    Returns
    -------
    rich.table.Table
        To add rows to.
    """
    view = Table(box=None, pad_edge=False, header_style="bold")
    view.add_column(headings[0])
    for heading in headings[1:]:
        view.add_column(heading, justify="right")
    return view


def heading(name: str, what: str) -> list[Text]:
    """Return the first lines of a view of one population.

    Parameters
    ----------
    name : str
        The population.
    what : str
        What is shown.

    Returns
    -------
    list of rich.text.Text
        Two lines.
    """
    return [
        Text(f"{what}, population {name}", style="bold"),
        Text(f"({population(name).description})", style="dim"),
    ]


def extrapolation(stale: float) -> list[Text]:
    """Return the line that labels a week beyond the last benchmark, if it is one.

    Parameters
    ----------
    stale : float
        Weeks since the last benchmark.

    Returns
    -------
    list of rich.text.Text
        One line or none.
    """
    if stale <= _FRESH_WEEKS:
        return []
    return [Text(f"EXTRAPOLATION: the last benchmark is {stale:.0f} weeks older than this week.")]


def _end(x: float) -> str:
    if np.isnan(x):
        return ""
    return "0" if x < _SETTLED else "no bound" if x > _FAR else f"{x:.2f}"


def bounds_view(
    panel: pd.DataFrame, nested: pd.DataFrame, notes: list[str], *, name: str, week: str
) -> RenderableType:
    """Lay out the bounds of one week.

    Parameters
    ----------
    panel : pandas.DataFrame
        As `offroute.inference.identified_sets.truncation_table` returns it.
    nested : pandas.DataFrame
        As `offroute.inference.identified_sets.nested_table` returns it.
    notes : list of str
        Bounds of other kinds, one sentence each.
    name, week : str
        Population and Monday.

    Returns
    -------
    rich renderable
        Heading, both tables, notes.
    """
    first = plain_table(("the panel's own China : US", "low", "high", ""))
    for _, row in panel.iterrows():
        first.add_row(row["what"], f"{row['low']:.2f}", f"{row['high']:.2f}", row["note"])
    second = plain_table(("assumption (China : US in the market)", "low", "high", "leads", ""))
    for _, row in nested.iterrows():
        second.add_row(
            row["assumption"], _end(row["low"]), _end(row["high"]), row["leads"], row["note"]
        )
    return Group(
        *heading(name, f"Bounds of the week of {week}"),
        "",
        first,
        "",
        second,
        "",
        *[Text(note) for note in notes],
        Text(
            "Rows that begin with dots keep the rows above, those with 'or' replace each other. "
            "Without an assumption on coverage the panel bounds nothing.",
            style="dim",
        ),
        "",
    )


def overturn_lines(found: Overturn, s_cm: float) -> list[str]:
    """Say how far the order stands further bias and what the prior does.

    Parameters
    ----------
    found : Overturn
        As `offroute.inference.overturn.overturn` returns it.
    s_cm : float
        Prior sd of the error common to one country's disclosures.

    Returns
    -------
    list of str
        One sentence each.
    """
    bias, in_sd = found.robustness.bias[1], found.robustness.in_sd[1]
    direction = "too high" if bias > 0 else "too low"
    out = [
        f"The order flips (median) if all US disclosures are {direction} by a factor of "
        f"{np.exp(abs(bias)):.2f} beyond what is allowed for: {abs(in_sd):.1f} sd of the common "
        f"error (sd {s_cm:g}). A common error of 1 moves the log ratio by {found.response:.2f}.",
        f"Prior-pull: doubling the prior sd of the closed and China effects moves E log ratio by "
        f"{found.prior_pull:+.2f} ({found.prior_pull_sd:+.2f} posterior sd).",
    ]
    for name, power in found.power.items():
        out.append(
            f"Power-scaling, prior of the {name}: sensitivity {power.prior[0]:.3f} to the prior, "
            f"{power.likelihood[0]:.3f} to the likelihood (from {THRESHOLD:g} on it counts); "
            f"diagnosis: {power.diagnosis[0]}{_MEANS.get(power.diagnosis[0], '')}."
        )
    return out


def steps_frame(steps: Waterfall) -> pd.DataFrame:
    """Return the steps of a waterfall as a tidy frame.

    Parameters
    ----------
    steps : Waterfall
        As `offroute.inference.mechanism_steps.mechanism_steps` returns it.

    Returns
    -------
    pandas.DataFrame
        ``mechanism``, ``step`` of the log ratio with ``low`` and ``high``, ``least`` and ``most``
        over all orders; the first row is the start, the last the end.
    """
    ends = {"low": np.nan, "high": np.nan, "least": np.nan, "most": np.nan}
    first = steps.names[0].startswith("more than")
    start = "the press's chart" if first else "all named models of the panel"
    rows: list[dict[str, object]] = [{"mechanism": start, "step": steps.start, **ends}]
    for j, name in enumerate(steps.names):
        rows.append(
            {
                "mechanism": name,
                "step": steps.step[j],
                "low": steps.low[j],
                "high": steps.high[j],
                "least": steps.least[j],
                "most": steps.most[j],
            }
        )
    rows.append({"mechanism": "corrected", "step": steps.end, **ends})
    return pd.DataFrame(rows)


def steps_view(frame: pd.DataFrame, level: float) -> RenderableType:
    """Lay out the steps from the chart to the corrected ratio.

    Parameters
    ----------
    frame : pandas.DataFrame
        As of `steps_frame`.
    level : float
        Probability of the intervals.

    Returns
    -------
    rich renderable
        A table of factors on the ratio of China to the US.
    """
    view = plain_table(
        ("from the chart to the market", "factor", f"{level:.0%} interval", "over orders")
    )
    for _, row in frame.iterrows():
        if np.isnan(row["low"]):
            view.add_row(f"{row['mechanism']}: ratio", f"{np.exp(row['step']):.2f}", "", "")
        else:
            view.add_row(
                row["mechanism"],
                f"x {np.exp(row['step']):.2f}",
                f"[{np.exp(row['low']):.2f}, {np.exp(row['high']):.2f}]",
                f"{np.exp(row['least']):.2f} to {np.exp(row['most']):.2f}",
            )
    return view


def overturn_view(
    found: Overturn, steps: pd.DataFrame, s_cm: float, level: float
) -> RenderableType:
    """Lay out robustness, prior and mechanisms.

    Parameters
    ----------
    found : Overturn
        As `offroute.inference.overturn.overturn` returns it.
    steps : pandas.DataFrame
        As of `steps_frame`.
    s_cm : float
        Prior sd of the error common to one country's disclosures.
    level : float
        Probability of the intervals.

    Returns
    -------
    rich renderable
        Sentences and a table.
    """
    return Group(
        "",
        *[Text(line) for line in overturn_lines(found, s_cm)],
        "",
        steps_view(steps, level),
        Text(
            "Factors on China : US, averaged over all orders of the mechanisms; they multiply to "
            "the corrected ratio (a geometric mean, not the median).",
            style="dim",
        ),
        "",
    )


def overturn_json(found: Overturn, tables: dict[str, pd.DataFrame]) -> str:
    """Return robustness, prior and tables as a JSON document.

    Parameters
    ----------
    found : Overturn
        As `offroute.inference.overturn.overturn` returns it.
    tables : dict of str to pandas.DataFrame
        Tables by name.

    Returns
    -------
    str
        JSON with a final newline.
    """
    r = found.robustness
    document: dict[str, object] = {
        "robustness": [
            {"p_china_leads": p, "common_bias_log": b, "common_bias_sd": sd}
            for p, b, sd in zip(
                r.probability.tolist(), r.bias.tolist(), r.in_sd.tolist(), strict=True
            )
        ],
        "response": found.response,
        "prior_pull": found.prior_pull,
        "prior_pull_sd": found.prior_pull_sd,
        "power_scaling": {
            name: {
                "prior": float(p.prior[0]),
                "likelihood": float(p.likelihood[0]),
                "prior_shift": float(p.prior_shift[0]),
                "likelihood_shift": float(p.likelihood_shift[0]),
                "diagnosis": p.diagnosis[0],
            }
            for name, p in found.power.items()
        },
    }
    finite = {k: v.replace([np.inf, -np.inf], np.nan) for k, v in tables.items()}
    document |= {name: frame_to_records(frame) for name, frame in finite.items()}
    return json.dumps(document, indent=1) + "\n"
