"""Commands that say what could overturn the answer."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from offroute.cli import app
from offroute.estimators.presets import NAMES
from offroute.inference.comparison import compare_estimators
from offroute.inference.pipeline import correct
from offroute.inference.summary import answer_table
from offroute.report.overturn import extrapolation

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch):
    """The commands draw 2,000; what is tested here needs fewer."""
    for module in ("bounds", "diagnose", "series", "trend"):
        short = partial(correct, n_draws=600)
        monkeypatch.setattr(f"offroute.cli.{module}.correct_population", short)
    monkeypatch.setattr("offroute.cli.summary.answer_table", partial(answer_table, n_draws=600))
    short = partial(compare_estimators, n_draws=400)
    monkeypatch.setattr("offroute.cli.estimators.compare_estimators", short)


def run(*call):
    done = RUNNER.invoke(app, list(call))
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_estimators_side_by_side_with_the_naive_one_first(tmp_path):
    csv, js, plot = (tmp_path / f"e.{suffix}" for suffix in ("csv", "json", "svg"))
    text = run(
        "estimators", "--week", "2026-06-01", "--population", "world-external-api",
        "--population", "us-startups", "--csv", str(csv), "--json", str(js), "--plot", str(plot),
    )  # fmt: skip  # dense
    table = pd.read_csv(csv)
    assert tuple(table["estimator"]) == NAMES
    assert table["estimator"].iloc[0] == "naive"
    assert table["ratio"].iloc[0] == pytest.approx(1.325, abs=0.001)
    assert table["lambda"].iloc[0] == pytest.approx(1.0)
    assert [r["estimator"] for r in json.loads(js.read_text())] == list(NAMES)
    assert plot.read_bytes().startswith(b"<?xml")
    assert "NOT IDENTIFIED" in text
    assert "Over-identification" in text
    synthesis = table.set_index("estimator").loc["evidence synthesis"]
    assert synthesis["ratio_low"] < synthesis["ratio"] < synthesis["ratio_high"]


@pytest.mark.parametrize(
    ("population", "words"),
    [
        ("us-enterprise", "if shares of the survey Menlo-2025H2"),
        ("world-with-self-host", "Self-hosting can only add to open weights"),
    ],
)
def test_bounds_say_what_each_assumption_buys(population, words, tmp_path):
    csv, js, plot = (tmp_path / f"b.{kind}" for kind in ("csv", "json", "svg"))
    text = run(
        "bounds", "--week", "2026-06-01", "--population", population,
        "--csv", str(csv), "--json", str(js), "--plot", str(plot),
    )  # fmt: skip  # dense
    assert plot.read_bytes().startswith(b"<?xml")
    assert words in text
    assert "Duncan and Davis" in text
    table = pd.read_csv(csv)
    assert set(table["of"]) == {"panel ratio", "market ratio", "China's share"}
    assert (table["low"].dropna() >= 0).all()
    assert len(json.loads(js.read_text())) == len(table)
    # The panel is no part of the use by US customers: nothing nests there.
    assert (table["of"] == "market ratio").sum() == (1 if population.startswith("us-") else 9)


def test_weeks_beyond_the_last_disclosure_are_labelled():
    (line,) = extrapolation(6.0)
    assert line.plain.startswith("EXTRAPOLATION: the last benchmark is 6 weeks older")
    assert extrapolation(4.0) == []


def test_trend_writes_all_weeks_and_refuses_a_reversed_window(tmp_path):
    csv = tmp_path / "t.csv"
    text = run("trend", "--since", "2026-02-09", "--week", "2026-06-01", "--csv", str(csv))
    assert "Trend from 2026-02-09 to 2026-06-01" in text
    assert "M* =" in text
    assert "Break-even" in text
    assert "EXTRAPOLATION" not in text
    table = pd.read_csv(csv)
    assert table.loc[table["week_start"] == "2026-02-09", "change"].item() == 0
    assert table["change"].isna().sum() == 2
    back = RUNNER.invoke(app, ["trend", "--since", "2026-06-01", "--week", "2026-02-09"])
    assert back.exit_code == 2


def test_diagnose_names_labs_without_evidence(tmp_path):
    csv = tmp_path / "d.csv"
    text = run("diagnose", "--week", "2026-06-01", "--csv", str(csv))
    assert "Xiaomi" in text.split("No evidence of their own")[1].split("Contraction")[0]
    assert "Anthropic" not in text.split("No evidence of their own")[1].split("Contraction")[0]
    table = pd.read_csv(csv)
    assert set(table["kind"]) == {"row", "family", "lab", "parameter", "week", "phi"}
    beta = table[table["name"] == "pass-through of China open"].set_index("measure")["value"]
    assert beta["prior"] == pytest.approx(0.5)
    spread = [beta[f"{kind}_high"] - beta[f"{kind}_low"] for kind in ("prior", "posterior")]
    assert spread[1] < spread[0]
    z = table[(table["kind"] == "row") & (table["measure"] == "z")]["value"]
    assert (z.abs() < 3).mean() > 0.9


def test_summary_answers_for_all_six_populations(tmp_path):
    csv, js = tmp_path / "a.csv", tmp_path / "a.json"
    text = run("summary", "--csv", str(csv), "--json", str(js))
    table = pd.read_csv(csv)
    assert table.groupby("population").size().eq(3).all()
    assert table["population"].nunique() == 3
    assert (table["ratio"] * table["lambda"] / table["observed"]).sub(1).abs().max() < 1e-3
    assert (table["p_china_leads_closed"] >= table["p_china_leads"]).all()
    assert text.count("NOT IDENTIFIED") == 3
    document = json.loads(js.read_text())
    leads = pd.DataFrame(document["leads"])
    parts = leads[["inside", "left_censored", "right_censored", "never"]].sum(axis=1)
    np.testing.assert_allclose(parts, 1.0)
    dates = ["by_2026-02-09", "by_2026-06-01", "by_2026-09-07"]
    assert (np.diff(leads[dates].to_numpy(), axis=1) >= 0).all()
    assert [r["population"] for r in document["not_identified"]] == [
        "us-startups",
        "us-enterprise",
        "world-with-self-host",
    ]


def test_series_by_partition(tmp_path):
    csv, plot = tmp_path / "g.csv", tmp_path / "g.png"
    call = ("--by", "group", "--quantity", "dollars", "--last", "1", "--csv", str(csv))
    text = run("series", *call, "--plot", str(plot))
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "Shares of dollars by group" in text
    assert "Dollars at the panel's" in text
    table = pd.read_csv(csv)
    total = table.groupby("week_start")["observed"].sum(min_count=1).dropna()
    np.testing.assert_allclose(total, 1.0)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (["estimators", "--level", "2"], 2),
        (["estimators", "--plot", "e.txt"], 2),
        (["bounds", "--population", "mars"], 2),
        (["trend", "--population", "us-startups"], 1),
        (["diagnose", "--week", "2025-06-09"], 2),
        (["summary", "--prior", "mine"], 2),
        (["series", "--by", "colour"], 2),
        (["series", "--by", "lab", "--quantity", "euros"], 2),
        (["sensitivity", "--plot", "s.txt"], 2),
        (["series", "--plot", "s.txt"], 2),
        (["bounds", "--plot", "b.txt"], 2),
    ],
)
def test_refusals_write_nothing(call, code, tmp_path):
    path = tmp_path / "out.csv"
    assert RUNNER.invoke(app, [*call, "--csv", str(path)]).exit_code == code
    assert not path.exists()
