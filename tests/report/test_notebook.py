import numpy as np
import pandas as pd
import pytest

from offroute.exceptions import SchemaError
from offroute.report.figures_panel import intervals_figure, parts_figure
from offroute.report.notebook import picture, table

WEEKS = pd.to_datetime(["2026-01-05", "2026-01-12", "2026-01-26"])


def _texts(figure):
    found = [text.get_text() for ax in figure.axes for text in ax.texts]
    return found + [text.get_text() for text in figure.texts]


def test_a_table_escapes_text_and_joins_an_interval():
    frame = pd.DataFrame({"a<b": ["x & y"], "n": [0.25], "low": [0.1], "high": [np.nan]})
    shown = table(frame, caption="1 < 2", formats={"n": ".0%"}, intervals={"n": ("low", "high")})
    html = shown._repr_html_()
    assert "x &amp; y" in html
    assert "a&lt;b" in html
    assert "1 &lt; 2" in html
    assert ">25%<" in html
    assert "low" not in html
    whole = table(frame.assign(high=0.5), caption="", formats={"n": ".0%"},
                  intervals={"n": ("low", "high")})  # fmt: skip  # dense
    assert "25% [10%, 50%]" in repr(whole)


def test_a_table_writes_days_missing_values_and_open_ends():
    frame = pd.DataFrame({"day": WEEKS[:2], "x": [np.nan, np.inf], "ok": [True, False]})
    lines = repr(table(frame, caption="c")).splitlines()
    assert lines[2].split() == ["2026-01-05", "\N{EN DASH}", "yes"]
    assert lines[3].split() == ["2026-01-12", "no", "bound", "no"]


def test_a_table_refuses_a_column_that_is_not_there():
    with pytest.raises(SchemaError):
        table(pd.DataFrame({"a": [1]}), caption="c", formats={"b": ".1f"})


def test_a_picture_is_the_same_each_time_and_has_a_text():
    rows = pd.DataFrame({"label": ["a"], "value": [1.0], "low": [0.5], "high": [2.0], "kind": "US"})
    first, second = (
        picture(
            intervals_figure(rows, title="t", subtitle="s", source="q"), alt='one "interval"'
        ).html
        for _ in range(2)
    )
    assert first == second
    assert 'alt="one &quot;interval&quot;"' in first
    assert "http" not in first


def test_intervals_are_written_out_and_bounds_have_no_point():
    rows = pd.DataFrame(
        {
            "label": ["naive", "bounds", "estimate"],
            "value": [2.0, np.nan, 0.5],
            "low": [2.0, 0.1, 0.25],
            "high": [2.0, 0.9, 1.0],
            "kind": ["panel", "panel", "corrected"],
            "section": ["one", "one", "two"],
        }
    )
    figure = intervals_figure(rows, title="t", subtitle="s", source="q", line=1.0, log=True)
    texts = _texts(figure)
    assert "2.00" in texts
    assert "  [0.10, 0.90]" in texts
    assert "0.50  [0.25, 1.00]" in texts
    assert {"one", "two"} <= set(texts)
    low, high = figure.axes[0].get_xlim()
    assert (low < 0.1, high > 2.0) == (True, True)


def test_parts_break_where_weeks_are_missing_and_name_the_large_ones():
    table_ = pd.DataFrame(
        {
            "week_start": np.repeat(WEEKS, 2),
            "class": ["US", "China"] * 3,
            "share": [0.6, 0.4, 0.5, 0.5, 0.97, 0.03],
        }
    )
    figure = parts_figure(table_, title="t", subtitle="s", source="q")
    assert len(figure.axes[0].collections) == 4
    assert "US 97" in _texts(figure)
    assert "China 3" not in _texts(figure)
