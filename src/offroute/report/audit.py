"""Text and files of the headline audit."""

import json

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offroute.measurement.audit import PRESS_TOP, first_lasting, press_check, spells
from offroute.report.files import frame_to_records

_T = 1e12
RULES = (
    f"Press: China and US among the {PRESS_TOP} largest named models of the week. "
    "Named: all models of the day's top 50. Bounds: stealth models and the unnamed rest "
    "(outside the top 50) all given to the US, or all to China. US includes Canada. "
    ":free rows are counted."
)


def _t(tokens: float) -> str:
    return "-" if pd.isna(tokens) else f"{tokens / _T:.3f}"


def _runs(table: pd.DataFrame, flag: str) -> str:
    runs = spells(table["week_start"], table[flag])
    words = [f"{a:%Y-%m-%d}" if a == b else f"{a:%Y-%m-%d} to {b:%Y-%m-%d}" for a, b in runs]
    return ", ".join(words) or "never"


def findings(table: pd.DataFrame) -> dict[str, str]:
    """Return what the audit says of China's lead over the weeks of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `offroute.measurement.audit.audit_weeks`.

    Returns
    -------
    dict of str to str
        Sentence by name, with the weeks of each lead.
    """
    lasting = first_lasting(table["week_start"], table["leads"])
    return {
        "China leads for good on all named models from": f"{lasting:%Y-%m-%d}"
        if lasting is not None
        else "never",
        "China leads on all named models": _runs(table, "leads"),
        "... with stealth and unnamed rest all given to the US": _runs(table, "leads_surely"),
        "... with stealth and unnamed rest all given to China": _runs(table, "leads_possibly"),
    }


def audit_json(table: pd.DataFrame, shown: pd.DataFrame) -> str:
    """Return the audit as JSON text.

    Parameters
    ----------
    table : pandas.DataFrame
        All weeks, as of `offroute.measurement.audit.audit_weeks`.
    shown : pandas.DataFrame
        The weeks asked for.

    Returns
    -------
    str
        Object with ``rules``, ``findings``, ``press`` and ``weeks`` (tokens, not trillions).
    """
    content = {
        "rules": RULES,
        "findings": findings(table),
        "press": frame_to_records(press_check(table)),
        "weeks": frame_to_records(shown),
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _press_table(table: pd.DataFrame) -> Table:
    out = Table(title="Press figures against the panel (trillion tokens: China / US)", box=None)
    for name in ("week", "printed", f"top {PRESS_TOP}", "all named", "printed by"):
        out.add_column(name, justify="left" if name in ("week", "printed by") else "right")
    for row in press_check(table).to_dict("records"):
        out.add_row(
            f"{row['week_start']:%Y-%m-%d}",
            f"{row['press_china'] / _T:g} / {row['press_us'] / _T:g}",
            f"{_t(row['top_china'])} / {_t(row['top_us'])}",
            f"{_t(row['china'])} / {_t(row['us'])}",
            str(row["source"]),
        )
    return out


def _week_table(shown: pd.DataFrame) -> Table:
    out = Table(title="China and the US by week (trillion tokens)", box=None)
    heads = (
        "week", "days", f"top-{PRESS_TOP} CN / US", "named CN / US", "stealth", "unnamed",
        "CN:US", "bounds", "China leads",
    )  # fmt: skip  # dense
    for name in heads:
        out.add_column(name, justify="left" if name in ("week", "China leads") else "right")
    for row in shown.to_dict("records"):
        verdict = "surely" if row["leads_surely"] else "named only" if row["leads"] else "no"
        if not row["leads"] and row["leads_possibly"]:
            verdict = "not on named"
        out.add_row(
            f"{row['week_start']:%Y-%m-%d}",
            str(row["days"]),
            "-" if pd.isna(row["top_us"]) else f"{_t(row['top_china'])} / {_t(row['top_us'])}",
            f"{_t(row['china'])} / {_t(row['us'])}",
            _t(row["stealth"]),
            _t(row["unnamed"]),
            f"{row['ratio']:.3f}",
            f"{row['ratio_low']:.3f}-{row['ratio_high']:.3f}",
            verdict,
        )
    return out


def audit_view(table: pd.DataFrame, shown: pd.DataFrame) -> RenderableType:
    """Return the audit for a terminal.

    Parameters
    ----------
    table : pandas.DataFrame
        All weeks, as of `offroute.measurement.audit.audit_weeks`.
    shown : pandas.DataFrame
        The weeks asked for.

    Returns
    -------
    rich.console.RenderableType
        Press table, weekly table, findings and rules.
    """
    found = "\n".join(f"{name}: {weeks}" for name, weeks in findings(table).items())
    return Group(
        _press_table(table), Text(), _week_table(shown), Text(), Text(found), Text(), Text(RULES)
    )
