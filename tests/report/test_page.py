"""The page's content and its arithmetic against Python's."""

import json
import re
import subprocess
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from offroute.cli import app
from offroute.exceptions import InvalidValue, UnknownWeek, UsageError
from offroute.inference.atoms import collect_atoms, label_cells, thin_atoms
from offroute.inference.beliefs import Beliefs, believed_contest, believed_volume
from offroute.inference.pipeline import correct, load_market
from offroute.inference.shares import contest, volumes
from offroute.inference.thinning import balanced_subset
from offroute.report.page.codec import pack, unpack
from offroute.report.page.content import page_content, page_weeks, read_atoms
from offroute.report.page.render import SCRIPTS, csp_hash, joined_script, render_page
from offroute.report.style import COLOURS

PAGE = Path(__file__).resolve().parents[2] / "src" / "offroute" / "report" / "page"
# The page's arithmetic is Python's in another order of additions.
TOLERANCE = 1e-9
MOST_BYTES = 1_000_000


class Elements(HTMLParser):
    """Tags with their attributes, and the text of style and script."""

    def __init__(self):
        super().__init__()
        self.tags, self.inline, self.open = [], [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open = len(self.tags) - 1 if tag in ("style", "script") else None

    def handle_data(self, data):
        if self.open is not None:
            self.inline.append((*self.tags[self.open], data))
            self.open = None


@pytest.fixture(scope="module")
def elements(page_file):
    parser = Elements()
    parser.feed(page_file.read_text(encoding="utf-8"))
    return parser


def test_the_page_is_one_small_file_that_can_fetch_nothing(page_file, elements):
    assert page_file.stat().st_size < MOST_BYTES
    loading = [(t, a) for t, a in elements.tags if t in ("img", "iframe", "object", "embed")]
    assert not loading
    assert not [a for t, a in elements.tags if "src" in a or "srcset" in a or "style" in a]
    links = [a["href"] for t, a in elements.tags if t == "link"]
    assert links == ["data:,"]
    assert not re.search(r"@import|url\(|fetch\(", page_file.read_text())


def test_the_policy_admits_the_pages_own_style_and_script_alone(elements):
    policy = next(
        a["content"] for t, a in elements.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    style = next(text for tag, _, text in elements.inline if tag == "style")
    script = next(text for _, a, text in elements.inline if a.get("type") == "module")
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'{csp_hash(script)}'",
        "style-src": f"'{csp_hash(style)}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_same_seed_and_data_give_the_same_bytes(page_file):
    assert render_page(page_content()).encode() == page_file.read_bytes()


def test_readers_without_scripts_get_the_answer_and_who_is_not_identified(page_file):
    text = page_file.read_text()
    table = text[text.index("<noscript>") : text.index("</noscript>")]
    assert len(re.findall(r"<td>\d\.\d\d</td><td>\[\d", table)) == 3
    assert table.count("not identified") == 3


def test_populations_without_evidence_have_bounds_and_no_draws(page_data):
    by_name = {p["name"]: p for p in page_data["populations"]}
    unknown = [name for name, p in by_name.items() if not p["identified"]]
    assert unknown == ["us-startups", "us-enterprise", "world-with-self-host"]
    for name in unknown:
        assert "log_D" not in by_name[name]
        assert len(by_name[name]["bounds"]) == len(page_data["weeks"])
        for bound in by_name[name]["bounds"]:
            assert all(0 <= low <= high <= 1 for _, low, high, _ in bound)
    # The panel's own US customers are .47 of its tokens: Duncan and Davis's bounds of the week.
    week = page_data["shown"]["week"]
    atoms = page_data["atoms"]
    # Tokens of other origins may be bought there too, and loosen the ends.
    X = page_data["X"][week]
    china, us = (
        sum(x for x, atom in zip(X, atoms, strict=True) if atom["origin"] == side)
        for side in ("China", "US")
    )
    least = max(china - 0.53 * sum(X), 0)
    _, low, high, (row,) = by_name["us-startups"]["bounds"][week][1]
    assert low == pytest.approx(least / (least + us), abs=1e-4)
    assert high == 1
    assert page_data["ledger"][row]["figure"].startswith("47 %")


def test_every_cited_row_is_in_the_page_with_its_source(page_data):
    cited = {row for p in page_data["populations"] for row, _ in p.get("rows", [])}
    assert page_data["figures"] == len(cited)
    assert cited <= set(page_data["ledger"])
    assert all(page_data["ledger"][row]["title"] for row in cited)
    assert all(re.match("https?://", page_data["ledger"][r]["url"] or "http://") for r in cited)
    # A row of Anthropic's revenue is a source of Anthropic's number.
    atoms = [a["name"] for a in page_data["atoms"]]
    rows = {row: of for row, of in page_data["populations"][1]["rows"]}
    assert rows["A-R12"] == [atoms.index("Anthropic")]


def test_the_pages_draws_are_the_posteriors_within_the_stated_error(page_data):
    shown = page_data["shown"]
    short = believed_contest(read_atoms(page_data, shown["population"]), shown["week"], Beliefs())
    posterior = correct(
        shown["population"], weeks=(page_data["weeks"][shown["week"]],), n_draws=4000
    )
    full = contest(volumes(posterior, int(posterior.draws.weeks[0])))
    assert short.observed_ratio == pytest.approx(full.observed_ratio, rel=1e-5)
    # The same 4,000 draws and 200 of them, chosen so that China leads in as many.
    assert short.ratio == pytest.approx(full.ratio, rel=0.12)
    assert short.p_china_leads == pytest.approx(full.p_china_leads, abs=0.015)
    thinning = [p["thinning"] for p in page_data["populations"] if p["identified"]]
    assert all(t["mean"] < 0.01 and t["largest"] < 0.05 for t in thinning)


# ---- the page's arithmetic ---------------------------------------------------------------------


def cases(page_data, n=24):
    rng = np.random.default_rng(20261011)
    out = []
    names = [p["name"] for p in page_data["populations"] if p["identified"]]
    for i in range(n):
        factors = np.exp(rng.uniform(-2, 2, 3)) if i >= 6 else np.ones(3)
        beliefs = Beliefs(factors[0], factors[1], float(rng.uniform(0, 3)) * (i >= 6), factors[2])
        out.append(
            {
                "population": names[i % 3],
                "week": int(rng.integers(len(page_data["weeks"]))),
                "unit": ("tokens", "dollars")[i // 3 % 2],
                "beliefs": asdict(beliefs),
                "level": (0.9, 0.5)[i % 2],
                "by": ("origin", "group", "name")[i // 2 % 3],
            }
        )
    return out


@pytest.fixture(scope="module")
def vectors(page_data, program, tmp_path_factory):
    node = program("node")
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "page.json").write_text(json.dumps(page_data))
    (folder / "cases.json").write_text(json.dumps(cases(page_data)))
    script = Path(__file__).with_name("page_vectors.mjs")
    done = subprocess.run(
        [node, script, PAGE / "model.mjs", folder / "page.json", folder / "cases.json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def triple(summary):
    return summary["low"], summary["median"], summary["high"]


def test_the_pages_comparison_is_pythons(page_data, vectors):
    for case, result in zip(cases(page_data), vectors["results"], strict=True):
        atoms, beliefs = read_atoms(page_data, case["population"]), Beliefs(**case["beliefs"])
        want = believed_contest(
            atoms, case["week"], beliefs, unit=case["unit"], level=case["level"]
        )
        got = result["contest"]
        assert got["observed"] == pytest.approx(want.observed_ratio, rel=TOLERANCE)
        assert got["p"] == pytest.approx(want.p_china_leads, abs=TOLERANCE)
        for name, value in (
            ("ratio", want.ratio),
            ("undersampling", want.undersampling),
            ("breakEven", want.break_even),
        ):
            assert triple(got[name]) == pytest.approx(value, rel=TOLERANCE)
        assert triple(result["series"]) == pytest.approx(want.ratio, rel=TOLERANCE)
        assert result["panel"] == pytest.approx(want.observed_ratio, rel=TOLERANCE)


def test_the_pages_shares_are_pythons(page_data, vectors):
    for case, result in zip(cases(page_data), vectors["results"], strict=True):
        atoms, beliefs = read_atoms(page_data, case["population"]), Beliefs(**case["beliefs"])
        X, Y = believed_volume(atoms, case["week"], beliefs, unit=case["unit"])
        labels = [a[case["by"]] for a in page_data["atoms"]] + ["Stealth"]
        share = Y / Y.sum(axis=1, keepdims=True)
        tail = (1 - case["level"]) / 2
        seen = 0.0
        for row in result["shares"]:
            member = np.array([label == row["label"] for label in labels])
            want = np.quantile(share[:, member].sum(axis=1), [tail, 0.5, 1 - tail])
            assert triple(row) == pytest.approx(want, rel=TOLERANCE)
            assert row["naive"] == pytest.approx(X[member].sum() / X.sum(), rel=TOLERANCE)
            seen += row["naive"]
        assert seen == pytest.approx(1)


def test_at_the_tick_of_a_slider_the_median_ratio_is_one(page_data, vectors):
    ticks = 0
    for case, result in zip(cases(page_data), vectors["results"], strict=True):
        atoms = read_atoms(page_data, case["population"])
        for belief, flip in result["flips"].items():
            if flip is None:
                continue
            ticks += 1
            there = Beliefs(**{**case["beliefs"], belief: flip["at"]})
            found = believed_contest(atoms, case["week"], there, unit=case["unit"])
            assert found.ratio[1] == pytest.approx(1, rel=1e-6)
            beyond = Beliefs(**{**case["beliefs"], belief: flip["at"] * 1.01})
            more = believed_contest(atoms, case["week"], beyond, unit=case["unit"])
            assert (more.ratio[1] > 1) == flip["above"]
    assert ticks > 20


def test_the_pages_words(vectors):
    words = vectors["words"]
    assert [w.replace("\u00a0", " ") for w in words["percents"]] == [
        "0 %", "0.04 %", "0.4 %", "4.3 %", "10 %", "62 %", "100 %",
    ]  # fmt: skip  # dense
    assert words["times"] == ["0.05", "1.00", "12.3", "1234"]
    assert [w.replace("\u00a0", " ") for w in words["probabilities"]] == [
        "under 1 %", "13 %", "over 99 %",
    ]  # fmt: skip  # dense
    assert words["verdicts"][1] == "The evidence does not decide who leads"
    assert words["date"] == "7 September 2026"
    assert words["ticks"] == [0.05, 0.1, 0.2, 0.5, 1, 2]
    assert words["line"] == "M0.0 0.0L1.0 2.0M3.0 4.0"


# ---- the parts ---------------------------------------------------------------------------------


def test_packing_keeps_values_within_half_a_step_and_large_jumps_too():
    x = np.random.default_rng(1).standard_normal((40, 6, 3)).cumsum(axis=1)
    x[3, 4] += 9
    for step in (0.02, 0.1):
        back = unpack(pack(x, step=step), x.shape)
        assert np.abs(back - x).max() <= step / 2 + 1e-9


def test_atoms_add_up_to_the_market():
    market = load_market()
    posterior = correct("world-external-api", weeks=("2026-06-01",), n_draws=400, market=market)
    weeks = posterior.draws.weeks
    labels = label_cells([posterior], weeks)
    atoms = collect_atoms(posterior, labels, weeks)
    v = volumes(posterior, int(weeks[0]))
    Y = atoms.X + np.exp(atoms.log_D[:, 0])
    assert Y.sum(axis=1) == pytest.approx(v.Y[:, :-1].sum(axis=1))
    assert Y[:, atoms.is_china].sum(axis=1) == pytest.approx(v.Y[:, :-1][:, market.is_china].sum(1))
    assert atoms.X_usd.sum() == pytest.approx((market.X * market.price)[weeks].sum())
    full = contest(v)
    same = believed_contest(atoms, 0, Beliefs())
    assert same.ratio == pytest.approx(full.ratio)
    assert same.undersampling == pytest.approx(full.undersampling)
    assert same.break_even == pytest.approx(full.break_even)
    assert same.p_china_leads == full.p_china_leads
    with pytest.raises(UnknownWeek):
        collect_atoms(posterior, labels, np.array([0]))
    few = thin_atoms(atoms, 100)
    assert few.log_D.shape == few.log_p.shape == (100, 1, len(few.labs))
    assert believed_contest(few, 0, Beliefs()).ratio == pytest.approx(full.ratio, rel=0.15)
    # China leads in as many of the kept draws as of all but for one of a hundred, be it in few of
    # them or in nearly all: much else is balanced at once.
    for more in (-0.5, 0.0, 2.0):
        moved = replace(atoms, log_D=atoms.log_D + more * atoms.is_china)
        p, kept = (
            believed_contest(a, 0, Beliefs()).p_china_leads for a in (moved, thin_atoms(moved, 100))
        )
        assert 0 < p < 1
        assert kept == pytest.approx(p, abs=0.01 + 1e-9)


def test_beliefs_move_what_they_say(page_data):
    atoms = read_atoms(page_data, "world-external-api")
    X, Y = believed_volume(atoms, -1, Beliefs())
    closed = np.append(atoms.is_us & ~atoms.is_open, False)
    _, twice = believed_volume(atoms, -1, Beliefs(closed_us=2))
    assert (twice - X)[:, closed] == pytest.approx(2 * (Y - X)[:, closed])
    assert (twice == Y)[:, ~closed].all()
    _, hosted = believed_volume(atoms, -1, Beliefs(self_host=0.5))
    is_open = np.append(atoms.is_open, False)
    assert hosted[:, is_open] == pytest.approx(1.5 * Y[:, is_open])
    assert (hosted == Y)[:, ~is_open].all()
    _, dear = believed_volume(atoms, -1, Beliefs(price=10))
    moved = np.log10((dear - X)[:, :-1] / (Y - X)[:, :-1])
    assert moved == pytest.approx(np.broadcast_to(atoms.z[-1], moved.shape))
    for wrong in (Beliefs(china=0), Beliefs(self_host=-1), Beliefs(price=np.nan)):
        with pytest.raises(InvalidValue):
            believed_volume(atoms, -1, wrong)
    with pytest.raises(UsageError):
        believed_volume(atoms, -1, Beliefs(), unit="euros")


def test_a_balanced_subset_has_the_quantiles_of_all_draws_and_the_same_every_time():
    v = np.random.default_rng(0).standard_normal((1500, 4)) @ np.triu(np.ones((4, 4)))
    kept = balanced_subset(v, 150, rng=3)
    assert len(set(kept)) == 150
    assert np.array_equal(kept, balanced_subset(v, 150, rng=3))
    assert np.array_equal(balanced_subset(v, len(v)), np.arange(len(v)))
    levels = (0.05, 0.5, 0.95)

    def gap(rows):
        return np.abs(np.quantile(v[rows], levels, axis=0) - np.quantile(v, levels, axis=0)).mean()

    at_random = [gap(np.random.default_rng(i).choice(1500, 150, False)) for i in range(20)]
    assert gap(kept) < 0.4 * np.median(at_random)
    with pytest.raises(UsageError, match="between 1 and the 1500"):
        balanced_subset(v, 1501)


def test_the_page_has_recent_weeks_early_ones_and_both_sides_of_every_gap():
    market = load_market()
    weeks = page_weeks(market, "2025-03-05")
    days = {str(market.weeks[w]) for w in weeks}
    assert {"2025-03-03", "2025-06-02", "2025-06-16", "2025-07-07", "2025-07-21"} <= days
    assert np.array_equal(weeks[-41:], np.arange(len(market.weeks) - 41, len(market.weeks)))


def test_the_pages_colours_are_those_of_the_figures():
    css = (PAGE / "page.css").read_text()
    names = {
        "US closed": "us-closed", "US open": "us-open", "China open": "china-open",
        "China closed": "china-closed", "Rest of world": "rest", "Stealth": "stealth",
    }  # fmt: skip  # dense
    light = css[: css.index("@media")]
    for group, name in names.items():
        assert f"--{name}: {COLOURS[group].lower()};" in light


def test_joined_modules_import_nothing_and_define_no_name_twice():
    script = joined_script({name: (PAGE / name).read_text() for name in SCRIPTS})
    assert not re.search(r"^import ", script, flags=re.MULTILINE)
    names = re.findall(
        r"^(?:export )?(?:async )?(?:const|let|function) (\w+)", script, re.MULTILINE
    )
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        (["--week", "2031-01-01"], 2, "nearest week"),
        (["--week", "soon"], 2, "ISO date"),
        (["-o", "/no/such/folder/report.html"], 2, "its folder must exist"),
    ],
)
def test_a_wrong_call_is_refused_before_any_fit(call, code, words):
    done = CliRunner().invoke(app, ["report", *call])
    assert done.exit_code == code
    assert words in " ".join(done.output.split())


def test_without_its_extra_the_report_says_what_to_install(monkeypatch):
    monkeypatch.setattr("offroute.report.page.render.find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["report"])
    assert done.exit_code == 2
    assert "pip install 'offroute[report]'" in " ".join(done.output.split())
