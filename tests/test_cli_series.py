import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from offroute.cli import app
from offroute.inference.mechanism_steps import MECHANISMS

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "series.csv"
    plot = path.with_suffix(".png")
    call = ["series", "--last", "5", "--csv", str(path), "--plot", str(plot)]
    done = RUNNER.invoke(app, call)
    assert done.exit_code == 0, done.output
    assert plot.read_bytes().startswith(b"\x89PNG")
    return done.output, pd.read_csv(path)


def test_the_series_names_its_population_and_writes_all_weeks(series):
    text, table = series
    assert "population world-external-api" in text
    assert table["week_start"].iloc[0] == "2025-01-06"
    assert table["observed"].isna().sum() == 2
    assert table.loc[table["observed"].isna(), "week_start"].tolist() == [
        "2025-06-09",
        "2025-07-14",
    ]


def test_printed_weeks_are_the_last_ones_and_the_last_is_extrapolated(series):
    text, table = series
    rows = [line for line in text.splitlines() if line.strip().startswith("2026-")]
    assert [row.split()[0] for row in rows] == table["week_start"].tail(5).tolist()
    assert rows[-1].endswith("extrapolated")
    assert "Four weeks in a row" in text
    assert "never" in text


def test_against_closed_models_alone_the_ratio_is_higher(series, tmp_path):
    path = tmp_path / "closed.csv"
    done = RUNNER.invoke(app, ["series", "--against", "closed", "--csv", str(path)])
    assert done.exit_code == 0
    both = pd.read_csv(path).merge(series[1], on="week_start", suffixes=("_closed", "")).dropna()
    assert (both["observed_closed"] > both["observed"]).all()
    assert (both["ratio_closed"] > both["ratio"]).mean() > 0.95


def test_sensitivity_prints_both_intervals_and_what_would_help(tmp_path):
    path, js, plot = (tmp_path / f"sensitivity.{kind}" for kind in ("csv", "json", "png"))
    call = ["sensitivity", "--week", "2026-06-01", "--no-families", "--csv", str(path)]
    call += ["--json", str(js), "--plot", str(plot)]
    done = RUNNER.invoke(app, call)
    assert done.exit_code == 0, done.output
    table = pd.read_csv(path)
    assert set(table["kind"]) == {"prior", "shift"}
    assert "statistical interval" in done.output
    assert "total interval" in done.output
    assert "What would help most" in done.output
    assert "Prior-pull" in done.output
    assert "Power-scaling" in done.output
    document = json.loads(js.read_text())
    steps = pd.DataFrame(document["steps"])
    assert tuple(steps["mechanism"].iloc[1:-1]) == MECHANISMS
    assert steps["step"].iloc[:-1].sum() == pytest.approx(steps["step"].iloc[-1])
    assert len(document["contour"]) == 33**2
    assert [r["p_china_leads"] for r in document["robustness"]] == [0.05, 0.5, 0.95]
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (["series", "--against", "nobody"], 2),
        (["series", "--population", "mars"], 2),
        (["series", "--population", "us-startups"], 1),
        (["series", "--level", "2"], 2),
        (["sensitivity", "--week", "2025-06-09"], 2),
    ],
)
def test_refusals_have_their_exit_code_and_write_nothing(call, code, tmp_path):
    path = tmp_path / "out.csv"
    done = RUNNER.invoke(app, [*call, "--csv", str(path)])
    assert done.exit_code == code
    assert not path.exists()
