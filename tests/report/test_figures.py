"""Figures: the frames behind them, that they draw, and that their bytes repeat."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from offroute.exceptions import SchemaError, UsageError
from offroute.inference.paths import ratio_series
from offroute.inference.pipeline import correct
from offroute.report.figures import (
    check_plot,
    figure_bytes,
    ratio_figure,
    runs_of_weeks,
    shares_figure,
)
from offroute.report.style import COLOURS, CORRECTED

POPULATION = "outside-china-external-api"


@pytest.fixture(scope="module")
def posterior():
    return correct(POPULATION, n_draws=500)


@pytest.fixture(scope="module")
def weekly(posterior):
    market = posterior.market
    table = ratio_series(posterior, market.is_china, market.is_us)
    return table.dropna(subset=["observed"]).reset_index(drop=True)


@pytest.fixture
def shares():
    return pd.DataFrame(
        {
            "population": ["a", "a", "b", "b"],
            "week": "2026-06-01",
            "class": ["China", "US", "China", "US"],
            "observed": [0.6, 0.4, 0.6, 0.4],
            "corrected": [0.2, 0.8, 0.4, 0.6],
            "low": [0.1, 0.7, 0.2, 0.4],
            "high": [0.3, 0.9, 0.6, 0.8],
        }
    )


def test_the_weekly_frame_has_every_week_of_the_panel_once(weekly, posterior):
    assert weekly["week_start"].tolist() == [pd.Timestamp(w) for w in posterior.market.weeks]
    assert (weekly["low"] < weekly["ratio"]).all()
    assert (weekly["ratio"] < weekly["high"]).all()
    assert weekly["p_leads"].between(0, 1).all()
    assert weekly["benchmarks"].sum() == len(posterior.benchmarks)
    # The last week with a benchmark is as old as itself.
    last = weekly[weekly["benchmarks"] > 0].iloc[-1]
    assert last["weeks_since_last"] == 0
    market = posterior.market
    X = market.X[:, market.is_china].sum(axis=1) / market.X[:, market.is_us].sum(axis=1)
    np.testing.assert_allclose(weekly["observed"], X)


def test_lines_break_at_missing_weeks(weekly):
    pieces = [weekly["week_start"].iloc[run] for run in runs_of_weeks(weekly["week_start"])]
    assert sum(len(piece) for piece in pieces) == len(weekly)
    ends = [(f"{a.iloc[-1]:%Y-%m-%d}", f"{b.iloc[0]:%Y-%m-%d}") for a, b in pairwise(pieces)]
    assert ends == [("2025-06-02", "2025-06-16"), ("2025-07-07", "2025-07-21")]


def test_the_ratio_figure_draws_what_is_in_the_frame(weekly):
    figure = ratio_figure(weekly, titles={POPULATION: "Outside China"}, source="Source: test.")
    (ax,) = figure.axes
    assert ax.get_title(loc="left") == "Outside China"
    assert ax.get_yscale() == "log"
    solid, dashed = [], []
    for line in ax.lines:
        if line.get_color() == CORRECTED:
            (solid if line.get_linestyle() == "-" else dashed).append(line)
    assert len(solid) == 3
    drawn = np.concatenate([line.get_ydata() for line in solid])
    known = weekly.loc[weekly["weeks_since_last"] <= 0, "ratio"]
    np.testing.assert_allclose(drawn, known)
    late = weekly.loc[weekly["weeks_since_last"] >= 0, "ratio"]
    np.testing.assert_allclose(np.concatenate([line.get_ydata() for line in dashed]), late)
    assert "Source: test." in [text.get_text() for text in figure.texts]


def test_a_missing_population_or_column_is_refused(weekly):
    with pytest.raises(SchemaError, match="no row of world-external-api"):
        ratio_figure(weekly, titles={"world-external-api": ""}, source="")
    with pytest.raises(SchemaError, match="ratio"):
        ratio_figure(weekly.drop(columns="ratio"), titles={POPULATION: ""}, source="")


def test_the_share_figure_has_a_panel_per_population_in_the_colours_of_the_groups(shares):
    figure = shares_figure(shares, level=0.9, source="")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b"]
    widths = [round(bar.get_width(), 6) for bar in figure.axes[0].patches]
    assert widths == [60, 40, 20, 80]
    colours = [bar.get_facecolor()[:3] for bar in figure.axes[0].patches[2:]]
    expected = [
        tuple(int(COLOURS[g][i : i + 2], 16) / 255 for i in (1, 3, 5)) for g in ("China", "US")
    ]
    np.testing.assert_allclose(colours, expected)


def test_the_share_figure_refuses_a_table_without_intervals(shares):
    with pytest.raises(SchemaError, match="low"):
        shares_figure(shares.drop(columns="low"), level=0.9, source="")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_bytes_repeat(shares, suffix):
    contents = [figure_bytes(shares_figure(shares, level=0.9, source=""), suffix) for _ in range(2)]
    assert contents[0] == contents[1]
    assert len(contents[0]) > 1000


def test_groups_have_distinct_colours():
    groups = ["US closed", "US open", "China open", "China closed", "Rest of world", "Stealth"]
    assert len({COLOURS[g] for g in groups}) == len(groups)


def test_a_suffix_that_is_no_figure_is_refused(tmp_path):
    assert check_plot(tmp_path / "a.PNG").name == "a.PNG"
    with pytest.raises(UsageError, match=r"\.png, \.svg, \.pdf"):
        check_plot(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["matplotlib", "seaborn"])
def test_a_figure_without_the_extra_says_what_to_install(tmp_path, monkeypatch, name):
    monkeypatch.setattr("offroute.report.figures.find_spec", lambda x: None if x == name else x)
    with pytest.raises(UsageError, match=rf"no {name}.*offroute\[figures\]"):
        check_plot(tmp_path / "a.svg")
