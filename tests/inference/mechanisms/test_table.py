"""The table of critiques: every mechanism once, reasons for what is left out, the command."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from offroute.cli import app
from offroute.exceptions import InvalidValue
from offroute.inference.mechanisms.detail import detail_tables
from offroute.inference.mechanisms.effect import DIRECTIONS, STRENGTHS, effects_frame
from offroute.inference.mechanisms.table import (
    CORRECTED,
    PANEL,
    Question,
    Tables,
    critiques,
)
from offroute.inference.pipeline import correct, load_market
from offroute.inference.shares import volumes
from offroute.report.critiques import interval, number
from offroute.report.figures_critiques import critiques_rows

WEEK = "2026-06-01"
RUNNER = CliRunner()


@pytest.fixture(scope="module")
def real():
    market = load_market()
    posterior = correct("world-external-api", weeks=(WEEK,), market=market, n_draws=600)
    v = volumes(posterior, int(posterior.draws.weeks[0]))
    tables = Tables(market)
    question = Question("world-external-api", WEEK)
    return SimpleNamespace(
        tables=tables, fit=(posterior, v), found=critiques(tables, question, (posterior, v))
    )


def test_every_mechanism_speaks_of_the_week_of_june(real):
    # In which mix of places the world buys is published nowhere.
    assert [name for name, _ in real.found.left_out] == ["C2 place of the buyers"]
    numbers = [int(e.critique[1:]) for e in real.found.effects]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, 15))
    assert len(real.found.effects) >= len(PANEL) + len(CORRECTED)


def test_effects_are_in_order_and_of_known_words(real):
    frame = effects_frame(real.found.effects)
    assert not frame.duplicated(["critique", "mechanism", "population", "parameter"]).any()
    assert frame["direction"].isin(DIRECTIONS).all()
    assert frame["strength"].isin(STRENGTHS).all()
    known = frame.dropna(subset=["low", "high"])
    assert (known["low"] <= known["high"]).all()
    bounds = frame[frame["strength"] == "bounds only"]
    assert bounds["effect"].isna().all()
    overstated = known[known["direction"] == "panel overstates China"]
    assert (overstated["high"] < 0).all()
    assert (frame["evidence"] != "").all()


def test_strength_follows_its_rule(real):
    """Strong is counted on the panel; a middle exists unless there are bounds only."""
    for e in real.found.effects:
        assert np.isnan(e.effect[1]) == (e.strength == "bounds only")
        if e.strength == "strong":
            assert e.population == "panel"
            assert set(e.evidence) <= {"usage", "models", "roster", "daily"}
    rows = critiques_rows(effects_frame(real.found.effects).assign(asked="world-external-api"))
    assert len(rows) == len(real.found.effects)
    assert rows.loc[rows["strength"] != "bounds only", "middle"].notna().all()
    assert (rows["row"].diff().dropna() >= 0).all()
    with pytest.raises(InvalidValue, match="table"):
        critiques_rows(rows.iloc[:0].reindex(columns=[*effects_frame(real.found.effects), "asked"]))


def test_the_seed_reaches_the_fit_that_bounds_a_self_hosted_population(real):
    def _ask(seed):
        found = critiques(real.tables, Question("world-with-self-host", WEEK, seed=seed), None)
        rows = effects_frame(e for e in found.effects if e.critique in {"C5", "C8", "C9"})
        assert set(rows["critique"]) == {"C5", "C8", "C9"}
        return rows

    first, again, other = _ask(0), _ask(0), _ask(1)
    pd.testing.assert_frame_equal(first, again)
    assert np.isfinite(first[["low", "high"]]).all(axis=None)
    changed = (first["low"] != other["low"]) | (first["high"] != other["high"])
    assert changed.groupby(first["critique"]).any().all()


def test_three_commands_print_the_same_bounds_of_a_self_hosted_population(tmp_path):
    options = ["--population", "world-with-self-host", "--week", WEEK, "--seed", "3"]
    files = {name: tmp_path / f"{name}.json" for name in ("correct", "bounds", "critiques")}
    text, document = {}, {}
    for name, file in files.items():
        done = RUNNER.invoke(app, [name, *options, "--json", str(file)])
        assert done.exit_code == 0, done.output
        text[name], document[name] = " ".join(done.output.split()), json.loads(file.read_text())
    name, low, high = document["correct"]["results"][0]["bounds"][-1]
    assert "whatever their amount" in name
    row = next(r for r in document["bounds"] if r["assumption"] == name)
    assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-12)
    five = next(e for e in document["critiques"][0]["effects"] if e["critique"] == "C5")
    ends = np.array([five["estimate_low"], five["estimate_high"]], dtype=float)
    np.testing.assert_allclose(1 / (1 + np.exp(-ends)), [low, high], rtol=1e-9)
    for name in ("correct", "bounds"):
        assert f"[{low:.3g}, {high:.3g}]" in text[name]
    assert interval((ends[0], np.nan, ends[1])) in text["critiques"]
    assert not {"C5 population", "C9 self-hosting"} & {
        lost["mechanism"] for lost in document["critiques"][0]["left_out"]
    }


def test_what_says_nothing_is_listed_with_its_reason(real):
    """Without a fit, and in a week known by lab only."""
    bare = critiques(real.tables, Question("us-startups", WEEK), None, reason="no figure")
    # What has bounds is not said to say nothing.
    assert bare.left_out == tuple((n, "no figure") for n in CORRECTED if n != "C5 population")
    assert {e.population for e in bare.effects} == {"panel", "us-startups"}
    late = critiques(real.tables, Question("us-startups", "2026-09-21"), None)
    lost = {name for name, _ in late.left_out}
    assert {"C6 hosts", "C11 free routes", "C12 charts"} <= lost
    assert "C11 one model" not in lost


def test_tables_behind_are_those_of_the_week(real):
    q = real.found.question
    whole = detail_tables(real.tables, q, real.fit)
    assert list(whole) == [
        *("coverage by lab", "tiers", "factors", "self-hosting", "prices", "units", "hosts"),
        *("second gateway", "promotions"),
    ]
    share = whole["units"].groupby("unit")["naive"].sum()
    # Medians of shares need not add up to one exactly.
    np.testing.assert_allclose(share, 1.0, atol=0.02)
    late = detail_tables(real.tables, Question("us-startups", "2026-09-21"), None)
    assert "hosts" not in late
    assert "units" not in late
    early = detail_tables(real.tables, Question("us-startups", "2025-03-03"), None)
    assert "prices" not in early


def test_numbers_in_words():
    assert interval((-np.inf, np.nan, np.inf), sign=True) == "[-inf, +inf]"
    assert number(12345.0) == "1.2e+04"
    assert number(1e-15) == "0.00"


def test_the_command_prints_and_writes_the_same(tmp_path):
    files = [tmp_path / "c.csv", tmp_path / "c.json"]
    result = RUNNER.invoke(
        app,
        [
            "critiques",
            *("--week", WEEK, "--population", "outside-china-external-api"),
            *("--population", "us-startups", "--csv", str(files[0]), "--json", str(files[1])),
            *("--plot", str(tmp_path / "c.png"), "--detail"),
        ],
    )
    assert result.exit_code == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert f"Critiques, week of {WEEK}, population outside-china-external-api" in text
    _, _, lost = text.partition("Says nothing here:")
    assert "C1 direct purchase, C2 tiers, C3 price-elastic selection" in lost
    for name in ("Coverage by lab", "Factors", "Units", "Hosts", "Second gateway", "Promotions"):
        assert name in text
    assert "Token shares by segment are not identified" in text
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    frame, documents = pd.read_csv(files[0]), json.loads(files[1].read_text())
    assert [d["population"] for d in documents] == ["outside-china-external-api", "us-startups"]
    assert len(frame) == sum(len(d["effects"]) for d in documents)
    assert frame["asked"].drop_duplicates().tolist() == [d["population"] for d in documents]
    assert documents[1]["left_out"]
    ends = {e["high"] for d in documents for e in d["effects"] if isinstance(e["high"], str)}
    assert ends == {"inf"}


@pytest.mark.parametrize(
    "wrong",
    [
        ["--population", "mars"],
        ["--week", "1999-01-04"],
        ["--level", "90"],
        ["--plot", "c.txt"],
        ["--population", "us-startups", "--population", "us-startups"],
    ],
)
def test_the_command_refuses_a_wrong_call(wrong):
    assert RUNNER.invoke(app, ["critiques", *wrong]).exit_code == 2
