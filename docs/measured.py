"""The directive `measured`: a table of studies/ and what fell short in it, at every build."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

STUDIES = Path(__file__).parent.parent / "studies"
#: A row falls short if it is so many Monte Carlo standard errors below the nominal level.
ERRORS = 2
NOMINAL = 0.9
#: A number and its unit stay on one line.
PERCENT = "\N{NO-BREAK SPACE}%"
HEADINGS = {
    "assumptions_hold": "assumptions hold",
    "bias_over_sd": "bias / sd",
    "coverage": f"inside 90{PERCENT}",
    "coverage_50": f"inside 50{PERCENT}",
    "coverage_90": f"inside 90{PERCENT}",
    "coverage_95": f"inside 95{PERCENT}",
    "draws": "markets",
    "half_width_90": "half width",
    "ks_p": "p (uniform)",
    "lambda": "Lambda",
    "mean_rank": "mean rank",
    "median_width": "median width",
    "naive_bias": "bias of the panel",
    "p_china_leads": "P(China leads)",
    "rmse_knowing_the_world": "rmse knowing the world",
    "se_90": "MC error",
    "mcse": "MC error",
    "sign_right": "sign right",
}
COUNTS = ("replicates", "markets", "draws", "size")


def per_estimator(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per design and estimator: the worst of its outcomes."""
    frame = frame.assign(bias_over_sd=frame["bias"] / frame["sd"])
    by = ["design", "estimator", "assumptions_hold"]
    worst = frame.groupby(by)["coverage_90"].idxmin()
    columns = [*by, "replicates", "bias_over_sd", "coverage_90", "coverage_95"]
    return frame.loc[worst, columns]


def by_population(frame: pd.DataFrame) -> pd.DataFrame:
    """Part of the later disclosures that their 90 % interval held, by population."""
    found = frame.groupby("population")["inside_90"].agg(["size", "mean"]).reset_index()
    return found.rename(columns={"mean": "coverage_90"})


SUMMARIES = {"per-estimator": per_estimator, "by-population": by_population}


def short_of_nominal(frame: pd.DataFrame, label: list[str]) -> str:
    """Say which rows hold less often than they claim."""
    (inside,) = (c for c in ("coverage_90", "coverage") if c in frame)
    (count,) = (c for c in COUNTS if c in frame)
    there = frame[count] - frame.get("refused", 0)
    error = np.sqrt(NOMINAL * (1 - NOMINAL) / there)
    short = frame[frame[inside] < NOMINAL - ERRORS * error]
    rule = f"more than {ERRORS} Monte Carlo standard errors below 90{PERCENT}"
    if short.empty:
        return f"None of the {len(frame)} rows holds {rule}."

    def listed(rows: pd.DataFrame) -> str:
        return "; ".join(
            f"{', '.join(str(row[c]) for c in label)} ({100 * row[inside]:.0f}{PERCENT})"
            for _, row in rows.sort_values(inside).iterrows()
        )

    verb = "holds" if len(short) == 1 else "hold"
    head = f"{len(short)} of the {len(frame)} rows {verb} {rule}"
    if "assumptions_hold" not in short:
        return f"{head}: {listed(short)}."
    broken = short[~short["assumptions_hold"]]
    kept = short[short["assumptions_hold"]]
    texts = []
    if len(broken):
        whose = "its" if len(broken) == 1 else "their"
        texts.append(f"{len(broken)} because {whose} assumptions are broken on purpose")
    if len(kept):
        whose = "its" if len(kept) == 1 else "their"
        texts.append(f"{len(kept)} although {whose} assumptions hold: {listed(kept)}")
    return f"{head}, {'; '.join(texts)}."


def text_of(value: object, column: str) -> str:
    """Write one cell."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return ""
        if column.startswith(("coverage", "inside")):
            return f"{100 * value:.0f}{PERCENT}"
        if float(value).is_integer() and column in (*COUNTS, "refused", "rows"):
            return f"{value:.0f}"
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"  # noqa: PLR2004 - where digits stop to help
    return str(value)


class Measured(SphinxDirective):
    """A CSV file of studies/ as a table, rows by a query, with a sentence on under-coverage."""

    required_arguments = 1
    option_spec: ClassVar = {
        "rows": directives.unchanged_required,
        "columns": directives.unchanged_required,
        "summary": directives.unchanged_required,
        "label": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Read the file and write the table."""
        path = STUDIES / f"{self.arguments[0]}.csv"
        self.env.note_dependency(str(path))
        frame = pd.read_csv(path, comment="#")
        if "rows" in self.options:
            frame = frame.query(self.options["rows"])
        if "summary" in self.options:
            frame = SUMMARIES[self.options["summary"]](frame)
        if frame.empty:
            raise ExtensionError(f"{self.env.docname}: no row of {path.name} is left")
        columns = [c.strip() for c in self.options.get("columns", ",".join(frame)).split(",")]
        out: list[nodes.Node] = [self._table(frame[columns])]
        if "label" in self.options:
            label = [c.strip() for c in self.options["label"].split(",")]
            out.append(nodes.paragraph(text=short_of_nominal(frame, label)))
        source = nodes.paragraph(classes=["source"])
        source += nodes.inline(text=f"studies/{path.name}, read at build.")
        return [*out, source]

    def _table(self, frame: pd.DataFrame) -> nodes.container:
        table = nodes.table(classes=["measured", "colwidths-auto"])
        group = nodes.tgroup(cols=len(frame.columns))
        table += group
        group += [nodes.colspec(colwidth=1) for _ in frame.columns]
        head = nodes.thead()
        head += self._row([HEADINGS.get(c, c.replace("_", " ")) for c in frame], frame)
        body = nodes.tbody()
        for values in frame.itertuples(index=False, name=None):
            texts = [text_of(v, c) for v, c in zip(values, frame, strict=True)]
            body += self._row(texts, frame)
        group += [head, body]
        return table

    def _row(self, texts: list[str], frame: pd.DataFrame) -> nodes.row:
        row = nodes.row()
        for text, column in zip(texts, frame, strict=True):
            kind = frame[column].dtype.kind
            entry = nodes.entry(classes=["number"] if kind in "if" else [])
            entry += nodes.paragraph(text=text)
            row += entry
        return row


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
