"""Figures of sensitivity and series: what they draw, from made-up frames."""

import numpy as np
import pandas as pd
import pytest

from offroute.exceptions import SchemaError
from offroute.inference.crossing import crossing
from offroute.report.figures import figure_bytes
from offroute.report.figures_overturn import nested_figure, overturn_figure
from offroute.report.figures_sensitivity import estimators_figure
from offroute.report.figures_series import MOST_CLASSES, series_figure, share_series_figure


@pytest.fixture
def compared():
    nan = np.nan
    return pd.DataFrame(
        {
            "population": "world-external-api",
            "week": "2026-06-01",
            "level": 0.9,
            "estimator": ["naive", "GREG", "selection on covariates", "evidence synthesis"],
            "ratio": [1.3, nan, 900.0, 0.5],
            "ratio_low": [nan, nan, 300.0, 0.2],
            "ratio_high": [nan, nan, 5000.0, 1.1],
            "refused": ["", "no solution", "", ""],
        }
    )


def texts(figure):
    found = [t.get_text() for t in figure.texts]
    for ax in figure.axes:
        found += [t.get_text() for t in ax.texts] + [ax.get_title(loc="left")]
        found += [t.get_text() for t in ax.get_yticklabels()]
    return found


def test_estimators_without_an_answer_say_so_and_far_ones_stay_inside(compared):
    figure = estimators_figure(compared, source="made up")
    found = texts(figure)
    assert " no answer" in found
    assert "900 →" in found
    assert "evidence synthesis" in found
    ax = figure.axes[0]
    points = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert all(ax.get_xlim()[0] <= x <= ax.get_xlim()[1] for x in points)
    assert figure_bytes(figure, ".png").startswith(b"\x89PNG")
    with pytest.raises(SchemaError):
        estimators_figure(compared.drop(columns="refused"), source="")


def test_the_contour_shows_the_estimate_and_the_steps_end_where_they_should():
    f = np.array([0.25, 1.0, 4.0])
    a, b = np.meshgrid(f, f, indexing="ij")
    grid = pd.DataFrame(
        {
            "factor_china": a.ravel(),
            "factor_us_closed": b.ravel(),
            "p_china_leads": (a / b / (1 + a / b)).ravel(),
        }
    )
    steps = pd.DataFrame(
        {
            "mechanism": ["start", "bypass", "corrected"],
            "step": [0.3, -1.0, -0.7],
            "low": [np.nan, -1.5, np.nan],
            "high": [np.nan, -0.4, np.nan],
            "population": "world-external-api",
            "week": "2026-06-01",
        }
    )
    figure = overturn_figure(grid, steps, level=0.9, source="made up")
    found = texts(figure)
    assert f"{np.exp(0.3):.2f}" in found
    assert f"{np.exp(-0.7):.2f}" in found
    assert "the estimate" in found
    certain = grid.assign(p_china_leads=0.01)
    assert overturn_figure(certain, steps, level=0.9, source="").axes
    with pytest.raises(SchemaError):
        overturn_figure(grid, steps.drop(columns="week"), level=0.9, source="")


def test_open_ends_have_arrows_and_refuted_assumptions_no_bar():
    nested = pd.DataFrame(
        {
            "population": "world-external-api",
            "panel": 1.3,
            "assumption": ["none", "gamma", "point", "small gamma"],
            "low": [0.0, 0.2, 0.5, np.nan],
            "high": [np.inf, 0.8, 0.5, np.nan],
            "leads": ["open", "US", "US", ""],
        }
    )
    figure = nested_figure(nested, title="What is left", source="")
    markers = [line.get_marker() for line in figure.axes[0].lines]
    assert markers.count("<") == markers.count(">") == 1
    assert markers.count("o") == 1
    assert {"What is left", "refuted by the figures"} <= set(texts(figure))
    with pytest.raises(SchemaError):
        nested_figure(nested.drop(columns="panel"), source="")


@pytest.fixture
def weekly():
    weeks = pd.date_range("2026-01-05", periods=12, freq="7D")
    ratio = np.linspace(0.5, 1.5, 12)
    table = pd.DataFrame(
        {
            "week_start": weeks,
            "observed": ratio + 0.2,
            "ratio": ratio,
            "low": ratio / 2,
            "high": ratio * 2,
            "band_low": ratio / 3,
            "band_high": ratio * 3,
            "weeks_since_last": np.arange(12) - 8.0,
        }
    )
    table.loc[4, ["observed", "ratio", "low", "high", "band_low", "band_high"]] = np.nan
    return table


def test_the_series_breaks_at_gaps_and_says_when_the_lead_begins(weekly):
    days = weekly["week_start"].to_numpy().astype("datetime64[D]")
    paths = np.tile(np.log(weekly["ratio"].to_numpy()), (4, 1))
    paths[0] = -np.abs(paths[0])
    leads = {
        "four weeks in a row": crossing(paths, days),
        "a week at all": crossing(paths, days, run=1),
    }
    figure = series_figure(weekly, leads, title="Ratio", level=0.9, source="made up")
    assert "never 0.25" in texts(figure)
    dates = [
        line.get_xdata().astype("datetime64[D]")
        for line in figure.axes[0].lines
        if len(line.get_xdata()) > 2
    ]
    assert all(days[4] not in x for x in dates)
    with pytest.raises(SchemaError):
        series_figure(weekly.drop(columns="ratio"), leads, title="", level=0.9, source="")


def test_only_the_largest_classes_are_drawn(weekly):
    many = pd.concat(
        [
            weekly.rename(columns={"ratio": "corrected"}).assign(
                **{
                    "class": f"lab {i:02d}",
                    "observed": weekly["observed"] / (i + 1),
                    "corrected": 0.1,
                }
            )
            for i in range(MOST_CLASSES + 3)
        ]
    )
    figure = share_series_figure(many, title="Shares", level=0.9, source="made up")
    drawn = [ax.get_title(loc="left") for ax in figure.axes if ax.lines]
    assert drawn == [f"lab {i:02d}" for i in range(MOST_CLASSES)]
    few = share_series_figure(many[many["class"] < "lab 05"], title="", level=0.9, source="")
    assert sum(bool(ax.lines) for ax in few.axes) == 5
    with pytest.raises(SchemaError):
        share_series_figure(many.drop(columns="class"), title="", level=0.9, source="")
