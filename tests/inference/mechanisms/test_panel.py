"""Mechanisms counted on the panel: made-up weeks with the answer by hand, then the real one."""

import numpy as np
import pandas as pd
import pytest

from offroute.data.snapshot import (
    load_apps,
    load_daily,
    load_models,
    load_roster,
    load_usage,
)
from offroute.data.snapshot_detail import load_app_models, load_hosts
from offroute.exceptions import InvalidValue, NotIdentified, UnknownLab, UsageError
from offroute.inference.mechanisms.concentration import (
    app_concentration,
    app_origins,
    leave_one_app_out,
    leave_one_model_out,
    one_app,
    one_model,
)
from offroute.inference.mechanisms.groups import big_three, group_ratio, top_chart
from offroute.inference.mechanisms.hosts import host_not_origin, origin_by_host
from offroute.inference.mechanisms.promotions import (
    free_routes,
    promotion_windows,
    window_pass_through,
)
from offroute.measurement.truncation import hidden_bounds

WEEK = "2026-06-01"
LABS = {
    "openai/big": ("OpenAI", "US", "closed", "US closed"),
    "nvidia/open": ("NVIDIA", "US", "open", "US open"),
    "deepseek/one": ("DeepSeek", "China", "open", "China open"),
    "qwen/two": ("Alibaba", "China", "open", "China open"),
    "openrouter/cloak": ("Stealth", "Unidentified", "unidentified", "Stealth"),
    "other": ("Other", "Unidentified", "unidentified", "Other"),
}
TOKENS = {
    "openai/big": 40,
    "nvidia/open": 10,
    "deepseek/one": 60,
    "qwen/two": 20,
    "openrouter/cloak": 6,
    "other": 14,
}


#: Small models from elsewhere, so that the unnamed rest has ranks to be completed from.
SMALL = {f"mistralai/small-{i}": ("Mistral", "Europe", "open", "Rest of world") for i in range(30)}


def made_models():
    labs = LABS | SMALL
    rows = load_models().iloc[[0] * len(labs)].reset_index(drop=True)
    about = np.array(list(labs.values()), dtype=object).T
    for column, values in zip(("lab", "origin", "weights", "group"), about, strict=True):
        rows[column] = values
    rows["model"] = list(labs)
    rows["author"] = [m.split("/")[0] for m in labs]
    return rows.assign(variant="standard", tier="mid")


def made_usage(weeks=("2026-06-01",), tokens=TOKENS):
    frame = pd.DataFrame(
        [
            {"week_start": w, "days": 7, "basis": "model", "model": m, "tokens": 1000 * n}
            for w in weeks
            for m, n in tokens.items()
        ]
    )
    return frame.assign(week_start=pd.to_datetime(frame["week_start"]).astype("datetime64[us]"))


def padded():
    return made_usage(tokens=TOKENS | dict.fromkeys(SMALL, 0.001)).astype({"tokens": "int64"})


@pytest.fixture(scope="module")
def usage():
    return load_usage()


@pytest.fixture(scope="module")
def models():
    return load_models()


def test_a_group_under_any_rule_by_hand():
    u, m = made_usage(), made_models()
    claim = group_ratio(u, m, week=WEEK, labs=("OpenAI",), top=2)
    assert (claim.china, claim.group) == (60_000, 40_000)
    whole = group_ratio(u, m, week=WEEK, labs=("OpenAI", "NVIDIA"))
    assert whole.log_ratio == pytest.approx(np.log(80 / 50))
    effect = big_three(u, m, week=WEEK, labs=("OpenAI",))
    assert effect.effect[1] == pytest.approx(np.log(80 / 50) - np.log(80 / 40))
    assert effect.estimate[1] == pytest.approx(0.8)


def test_a_group_must_exist_and_have_tokens():
    u, m = made_usage(), made_models()
    with pytest.raises(UnknownLab):
        group_ratio(u, m, week=WEEK, labs=("Nobody",))
    with pytest.raises(UsageError):
        group_ratio(u, m, week=WEEK, labs=("OpenAI",), top=0)
    with pytest.raises(NotIdentified):
        group_ratio(u, m, week=WEEK, labs=("NVIDIA",), top=2)


def test_weeks_by_lab_have_no_chart(usage, models):
    with pytest.raises(NotIdentified):
        group_ratio(usage, models, week="2026-09-21", top=9)


def test_a_chart_against_all_by_hand():
    """Two models 60 : 40; all 80 : 50 with 6 cloaked and 14 unnamed given either way."""
    effect = top_chart(padded(), made_models(), week=WEEK, top=2)
    chart = np.log(60 / 40)
    assert effect.effect[0] == pytest.approx(np.log(80 / (50 + 20)) - chart)
    assert effect.effect[2] == pytest.approx(np.log((80 + 20) / 50) - chart)
    assert effect.estimate[1] == pytest.approx(100 / 150, rel=1e-3)


def test_every_placing_of_the_hidden_lies_in_the_bounds():
    low, middle, high = top_chart(padded(), made_models(), week=WEEK, top=2).effect
    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b = rng.dirichlet([1, 1, 1]), rng.dirichlet([1, 1, 1])
        truth = np.log((80 + 14 * a[0] + 6 * b[0]) / (50 + 14 * a[1] + 6 * b[1])) - np.log(1.5)
        assert low <= truth <= high
    assert low <= middle <= high


def test_the_chart_of_june_overstated_china(usage, models):
    hidden = hidden_bounds(load_daily(), load_roster(), models, by="origin")
    loose = top_chart(usage, models, week=WEEK)
    sharp = top_chart(usage, models, week=WEEK, hidden=hidden)
    assert loose.effect[0] <= sharp.effect[0] <= sharp.effect[1] <= sharp.effect[2] < 0
    assert sharp.direction == "panel overstates China"


def test_free_routes_by_hand():
    m = made_models()
    free = m[m["model"] == "deepseek/one"].assign(model="deepseek/one:free", variant="free")
    m = pd.concat([m, free], ignore_index=True)
    u = made_usage(tokens={**TOKENS, "deepseek/one:free": 50})
    effect = free_routes(u, m, week=WEEK)
    assert effect.effect[1] == pytest.approx(np.log(80 / 50) - np.log(130 / 50))
    assert effect.estimate[1] == pytest.approx(50 / 200)


def test_promotion_windows_find_what_stayed():
    """Free for two weeks at 50; paid 10 before and 30 after: 0.4 of the free volume stayed."""
    weeks = pd.date_range("2026-01-05", periods=12, freq="7D").strftime("%Y-%m-%d")
    m = made_models()
    free = m[m["model"] == "qwen/two"].assign(model="qwen/two:free", variant="free")
    m = pd.concat([m, free], ignore_index=True)
    parts = []
    for i, week in enumerate(weeks):
        tokens = {**TOKENS, "qwen/two": 10 if i < 5 else 0 if i < 7 else 30}
        if 5 <= i < 7:
            tokens["qwen/two:free"] = 50
        parts.append(made_usage((week,), {k: v for k, v in tokens.items() if v}))
    usage = pd.concat(parts, ignore_index=True)
    windows = promotion_windows(usage, m)
    assert len(windows) == 1
    row = windows.iloc[0]
    assert (row["weeks"], row["free"], row["before"], row["after"]) == (2, 50e3, 10e3, 30e3)
    assert row["pass_through"] == pytest.approx(0.4)
    with pytest.raises(NotIdentified):
        window_pass_through(windows, usage, m, week="2026-02-09", least=0)
    three = pd.concat([windows] * 3, ignore_index=True)
    effect = window_pass_through(three, usage, m, week="2026-02-09", least=0)
    assert effect.estimate == pytest.approx((0.4,) * 3)
    # Of 110 Chinese tokens 50 are free, and 20 of these stay.
    assert effect.effect == pytest.approx((np.log(80 / 110),) * 3)
    assert effect.direction == "panel overstates China"
    fallen = three.assign(pass_through=-3.0)
    with pytest.raises(NotIdentified, match="keep"):
        window_pass_through(fallen, usage, m, week="2026-02-09", least=0)
    for wrong in ({"level": 90}, {"least": -1.0}):
        with pytest.raises((UsageError, InvalidValue)):
            window_pass_through(three, usage, m, **({"week": "2026-02-09", "least": 0} | wrong))


def test_an_open_window_has_no_pass_through(usage, models):
    windows = promotion_windows(usage, models)
    late = windows[windows["last"] == windows["last"].max()]
    assert len(late) > 0
    assert late["pass_through"].isna().all()
    with pytest.raises(NotIdentified):
        promotion_windows(usage[usage["basis"] == "lab"], models)


def test_hosts_by_hand():
    hosts = pd.DataFrame(
        {
            "model": ["deepseek/one", "deepseek/one", "nvidia/open"],
            "host": ["a", "b", "c"],
            "home": ["China", "US", "Unknown"],
            "share": [0.75, 0.25, 1.0],
            "days": 9,
        }
    )
    table = origin_by_host(made_usage(), made_models(), hosts, week=WEEK)
    cell = table.set_index(["origin", "home"])["tokens"] / 1000
    assert cell["China", "China"] == pytest.approx(45)
    assert cell["China", "US"] == pytest.approx(15)
    assert cell["China", "Unplaced"] == pytest.approx(20)
    # A closed US model without several hosts is served by its lab.
    assert cell["US", "US"] == pytest.approx(40)
    assert cell["US", "Unplaced"] == pytest.approx(10)
    effect = host_not_origin(made_usage(), made_models(), hosts, week=WEEK)
    made = np.log(80 / 50)
    assert effect.effect[0] == pytest.approx(np.log(45 / (55 + 30)) - made)
    assert effect.effect[2] == pytest.approx(np.log((45 + 30) / 55) - made)
    assert effect.estimate[0] == pytest.approx(15 / 80)
    assert effect.estimate[2] == pytest.approx(35 / 80)


def test_hosts_of_the_snapshot(usage, models):
    table = origin_by_host(usage, models, load_hosts(), week=WEEK)
    named = usage[(usage["week_start"] == WEEK) & (usage["model"] != "other")]
    assert table["tokens"].sum() <= named["tokens"].sum()
    assert (table["low"] <= table["high"]).all()
    with pytest.raises(NotIdentified):
        origin_by_host(usage, models, load_hosts(), week="2026-09-21")


def test_leave_one_model_out_by_hand():
    table = leave_one_model_out(made_usage(), made_models(), week=WEEK).set_index("model")
    assert table.loc["deepseek/one", "change"] == pytest.approx(np.log(20 / 80))
    assert table.loc["openai/big", "change"] == pytest.approx(np.log(50 / 10))
    assert table.index[0] == "openai/big"
    effect = one_model(made_usage(), made_models(), week=WEEK)
    assert effect.effect[0] == pytest.approx(np.log(1 / 4))
    assert effect.effect[2] == pytest.approx(np.log(5))
    alone = made_usage(tokens={"openai/big": 1, "deepseek/one": 2, "qwen/two": 1})
    with pytest.raises(NotIdentified):
        leave_one_model_out(alone, made_models(), week=WEEK)


def test_app_concentration_by_hand():
    """Apps of 50 and 30 of 150; the rest of 70 adds at most 70/150 * 30/150 to the squares."""
    apps = pd.DataFrame(
        {
            "window_end": pd.Timestamp("2026-06-08"),
            "window_days": 7,
            "app": ["x", "y"],
            "tokens": [50_000, 30_000],
            "requests": 1,
        }
    )
    found = app_concentration(apps, made_usage())
    squares = (50**2 + 30**2) / 150**2
    assert found.top_share == pytest.approx(80 / 150)
    assert found.effective == pytest.approx((1 / (squares + 70 * 30 / 150**2), 1 / squares))
    assert app_concentration(apps, made_usage(), top=1).apps == 1
    with pytest.raises(InvalidValue):
        app_concentration(apps, made_usage(), top=0)
    with pytest.raises(NotIdentified):
        app_concentration(apps, made_usage(), window_end="2020-01-01")
    with pytest.raises(NotIdentified):
        app_concentration(apps.assign(window_days=30), made_usage())
    with pytest.raises(InvalidValue):
        app_concentration(apps.assign(tokens=10**6), made_usage())


def test_every_hidden_split_of_apps_lies_in_the_bounds():
    rng = np.random.default_rng(0)
    for _ in range(50):
        shares = np.sort(rng.pareto(1.2, 40) + 0.01)[::-1]
        shares /= shares.sum()
        apps = pd.DataFrame(
            {
                "window_end": pd.Timestamp("2026-06-08"),
                "window_days": 7,
                "app": [str(i) for i in range(10)],
                "tokens": (shares[:10] * 150_000).astype(int),
                "requests": 1,
            }
        )
        low, high = app_concentration(apps, made_usage()).effective
        assert low * (1 - 1e-3) <= 1 / (shares**2).sum() <= high * (1 + 1e-3)


def test_removing_an_app_by_hand():
    table = pd.DataFrame(
        {
            "app": ["x", "x", "x", "x", "y"],
            "model": ["deepseek/one", "openai/big", "nobody/knows", "all", "openai/big"],
            "tokens": [30, 10, 5, 60, 20],
        }
    )
    origins = app_origins(table)
    assert origins.loc["x", ["China", "US", "unknown", "total"]].tolist() == [30, 10, 20, 60]
    out = leave_one_app_out(origins, china=100.0, us=80.0).set_index("app")
    plain = np.log(100 / 80)
    assert out.loc["x", "low"] == pytest.approx(np.log((70 - 20) / 70) - plain)
    assert out.loc["x", "high"] == pytest.approx(np.log(70 / (70 - 20)) - plain)
    assert out.loc["y", "low"] == out.loc["y", "high"] == pytest.approx(np.log(100 / 60) - plain)
    with pytest.raises(InvalidValue):
        leave_one_app_out(origins, china=40.0, us=80.0)


def test_apps_of_the_snapshot(usage, models):
    found = app_concentration(load_apps(), usage)
    assert found.effective[0] <= found.effective[1]
    effect = one_app(load_app_models(), load_daily(), models, found)
    assert effect.effect[0] < 0 < effect.effect[2]
    assert "Hermes Agent" in effect.note
    with pytest.raises(NotIdentified):
        one_app(load_app_models(), load_daily().iloc[2000:], models, found)
