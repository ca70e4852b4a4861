"""The answer in every population, in words."""

import json
from dataclasses import asdict

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from offroute.inference.identification import Identification
from offroute.report.correct import unidentified_view
from offroute.report.files import frame_to_records
from offroute.report.overturn import heading, plain_table


def summary_view(
    answers: pd.DataFrame, leads: pd.DataFrame, unidentified: list[Identification], level: float
) -> RenderableType:
    """Lay out the answer of all populations.

    Parameters
    ----------
    answers, leads, unidentified : DataFrame, DataFrame, list of Identification
        As `offroute.inference.summary.answer_table` returns them.
    level : float
        Probability of the intervals.

    Returns
    -------
    rich renderable
        Who leads by week, when the lead began, and what is not identified.
    """
    names = [str(c) for c in leads.columns]
    dates = [c.removeprefix("by_") for c in names if c.startswith("by_") and c[-5:] != "_most"]
    parts: list[RenderableType] = []
    for name in dict.fromkeys(answers["population"]):
        rows = answers[answers["population"] == name]
        view = plain_table(
            (
                "week",
                "panel",
                f"China : US, {level:.0%}",
                "Lambda",
                "P(China leads)",
                "> US closed",
                "",
            )
        )
        for _, row in rows.iterrows():
            view.add_row(
                row["week"],
                f"{row['observed']:.2f}",
                f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]",
                f"{row['lambda']:.2f} [{row['lambda_low']:.2f}, {row['lambda_high']:.2f}]",
                f"{row['p_china_leads']:.3f}",
                f"{row['p_china_leads_closed']:.3f}",
                "extrapolated" if row["extrapolated"] else "",
            )
        when = plain_table(
            (
                "P(China's lead begins)",
                "at the start",
                "later",
                "unfinished",
                "never",
                *[f"by {d}" for d in dates],
            )
        )
        for _, row in leads[leads["population"] == name].iterrows():
            when.add_row(
                f"over {row['against']}, {row['lead']}",
                *[f"{row[c]:.3f}" for c in ("left_censored", "inside", "right_censored", "never")],
                *[f"{row[f'by_{d}']:.3f}" for d in dates],
            )
        parts += [*heading(str(name), "China against the US"), "", view, "", when, ""]
    last = str(answers["week"].iloc[-1]) if len(answers) else ""
    return Group(
        *parts,
        Text(
            "The week in which the lead begins comes from joint weekly paths; 'by' counts leads "
            "that are there at the start, and not the unfinished ones. A lead at the start began "
            "in the panel's first week or before it.",
            style="dim",
        ),
        "",
        *[unidentified_view(found, last) for found in unidentified],
    )


def summary_json(
    answers: pd.DataFrame, leads: pd.DataFrame, unidentified: list[Identification]
) -> str:
    """Return the same as a JSON document.

    Parameters
    ----------
    answers, leads, unidentified : DataFrame, DataFrame, list of Identification
        As `offroute.inference.summary.answer_table` returns them.

    Returns
    -------
    str
        JSON with a final newline.
    """
    document = {
        "answers": frame_to_records(answers),
        "leads": frame_to_records(leads),
        "not_identified": [asdict(found) for found in unidentified],
    }
    return json.dumps(document, indent=1) + "\n"
