"""Figures of the paper: what is drawn is what the frame says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from offroute.exceptions import SchemaError
from offroute.report.figures_overturn import nested_figure, steps_figure, tipping_figure
from offroute.report.figures_paper import (
    MOST_LABS,
    audit_figure,
    coverage_figure,
    crossing_figure,
    shares_over_time_figure,
)
from offroute.report.figures_validation import held_out_figure, units_figure, validation_figure
from offroute.report.style import COLOURS

RESULTS = Path(__file__).resolve().parents[2] / "results"


def table(name, **options):
    return pd.read_csv(RESULTS / f"{name}.csv", **options)


def texts(figure):
    return [t.get_text() for ax in figure.axes for t in ax.texts]


def colours(ax):
    return {to_hex(line.get_color()).upper() for line in ax.lines}


FIGURES = {
    "audit": (audit_figure, {"chart_week": "2026-06-01", "since": "2025-07-01"}, ["week_start"]),
    "labs": (coverage_figure, {"population": "world-external-api"}, []),
    "share_weekly": (shares_over_time_figure, {"since": "2025-07-01"}, ["week_start"]),
    "crossing": (crossing_figure, {"against": "US"}, []),
    "steps": (steps_figure, {}, []),
    "tipping": (tipping_figure, {}, []),
    "bounds": (nested_figure, {}, []),
    "validation": (validation_figure, {}, []),
    "held_out": (held_out_figure, {"population": "world-external-api"}, []),
    "units": (units_figure, {"week": "2026-06-01"}, []),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_its_source_and_refuses_a_frame_without_a_column(name):
    draw, options, dates = FIGURES[name]
    frame = table(name, parse_dates=dates)
    figure = draw(frame, source="Source: made up.", **options)
    assert "Source: made up." in [t.get_text() for t in figure.texts]
    for column in ("population", "kind", "ratio"):
        if column in frame.columns and name != "units":
            with pytest.raises(SchemaError, match=column):
                draw(frame.drop(columns=column), source="", **options)
            break


def test_the_audit_prints_both_ratios_of_the_chart_s_week():
    frame = table("audit", parse_dates=["week_start"])
    figure = audit_figure(frame, chart_week="2026-06-01", since="2025-07-01", source="")
    row = frame[frame["week_start"] == "2026-06-01"].iloc[0]
    assert f"{row['ratio']:.2f}" in texts(figure)
    assert f"{row['top_china'] / row['top_us']:.2f}" in texts(figure)


def test_labs_stand_in_the_order_of_the_panel_and_the_colour_of_their_origin():
    frame = table("labs")
    figure = coverage_figure(frame, population="world-external-api", source="")
    ticks = figure.axes[0].get_yticklabels()
    main = frame[(frame["population"] == "world-external-api") & (frame["kind"] == "posterior")]
    main = main[main["lab"] != "Other labs"].sort_values("panel", ascending=False)
    assert [t.get_text() for t in ticks] == list(main["lab"].head(MOST_LABS))
    assert [t.get_color() for t in ticks] == [COLOURS[o] for o in main["origin"].head(MOST_LABS)]


def test_populations_are_named_and_groups_keep_their_colours():
    frame = table("share_weekly", parse_dates=["week_start"])
    figure = shares_over_time_figure(frame, since="2025-07-01", source="")
    names = [ax.get_title(loc="left") for ax in figure.axes]
    assert names == list(dict.fromkeys(frame["population"]))
    for ax in figure.axes:
        assert colours(ax) == {COLOURS["US"].upper(), COLOURS["China"].upper()}


def test_the_crossing_ends_below_one_by_the_mass_at_never():
    frame = table("crossing")
    figure = crossing_figure(frame, against="US", source="")
    for ax in figure.axes:
        population = ax.get_title(loc="left")
        for line in ax.lines:
            chosen = (frame["population"] == population) & (frame["lead"] == line.get_label())
            rows = frame[chosen & (frame["against"] == "US")]
            mass = rows.groupby("part")["probability"].sum()
            end = mass.get("at the start", 0) + mass.get("begins", 0)
            assert np.asarray(line.get_ydata())[-1] == pytest.approx(end)


def test_the_waterfall_starts_at_the_chart_and_ends_at_the_estimate():
    frame = table("steps")
    figure = steps_figure(frame, source="")
    for ax in figure.axes:
        rows = frame[frame["population"] == ax.get_title(loc="left")]
        printed = [t.get_text() for t in ax.texts]
        ends = np.exp(rows["step"].iloc[[0, -1]])
        assert printed == [f"{x:.2f}" for x in ends]
        assert rows["step"].iloc[:-1].sum() == pytest.approx(rows["step"].iloc[-1])


def test_every_coverage_below_nominal_is_printed():
    frame = table("validation")
    figure = validation_figure(frame, source="")
    held = frame[(frame["kind"] == "coverage") & (frame["nominal"] == 0.9)]
    # A plug-in ratio and raking to exact totals are points: they have no interval to hold.
    points_only = held["estimator"].isin(["coverage ratio", "raking"])
    drawn = held[(held["quantity"] != "crossing_week") & ~points_only]
    printed = [t for t in texts(figure) if t.isdigit()]
    points = (frame["kind"] == "calibration").sum()
    assert len(printed) == len(drawn) + points


def test_the_units_of_the_week_are_all_there():
    frame = table("units")
    figure = units_figure(frame, week="2026-06-01", source="")
    units = list(dict.fromkeys(frame["unit"]))
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == units
