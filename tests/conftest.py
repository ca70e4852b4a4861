"""Small markets and benchmarks with every feature of the real ones."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from offroute.cli import app
from offroute.measurement.ledger import Benchmarks
from offroute.measurement.market import GROUPS, Market

#: Lab, group, tier, unit, tokens a week, USD per token.
_CELLS = [
    ("OpenAI", "US closed", "flagship", 0, 4.0, 4.0),
    ("OpenAI", "US closed", "light", 0, 3.0, 0.4),
    ("Anthropic", "US closed", "flagship", 1, 5.0, 5.0),
    ("OpenAI", "US open", "mid", 2, 1.0, 0.2),
    ("DeepSeek", "China open", "mid", 3, 6.0, 0.3),
    ("DeepSeek", "China closed", "flagship", 3, 1.0, 1.2),
    ("Alibaba", "China open", "mid", 4, 2.0, 0.5),
]


def _market(cells=_CELLS, *, elapsed=(0, 1, 2, 4, 5, 6, 9), anchor=3):
    """Volumes grow at rates of their own, with a wave, so that beta and the walks are seen."""
    labs, groups, tiers, unit, tokens, price = zip(*cells, strict=True)
    elapsed = np.array(elapsed, dtype=float)
    c = np.arange(len(cells))
    wave = 0.08 * (c % 3 - 1) * (elapsed - elapsed[anchor])[:, None] + 0.2 * np.sin(
        elapsed[:, None] + c
    )
    X = np.array(tokens) * np.exp(wave)
    return Market(
        weeks=np.datetime64("2026-01-05", "D") + (7 * elapsed).astype("timedelta64[D]"),
        elapsed=elapsed,
        anchor=anchor,
        labs=labs,
        groups=groups,
        tiers=tiers,
        unit=np.array(unit, dtype=np.int64),
        X=X,
        Xs=0.9 * X + 0.1 * X.mean(axis=0),
        price=np.array(price) * np.exp(-0.02 * elapsed[:, None]),
        by_model=elapsed < elapsed[-1],
        stealth=np.where(elapsed > 1, 0.5, 0.0),
    )


def _benchmarks(market, rows):
    """Benchmarks from dictionaries; what a row leaves out has the value of a plain token figure."""
    plain = {"week": 0, "s": 0.2, "off": 0.0, "q": 0.0, "iota": 0.0, "side": 0, "money": False}
    rows = [{**plain, **row} for row in rows]
    families = tuple(sorted({row["family"] for row in rows}))
    w = np.zeros((len(rows), len(market.labs)))
    for i, row in enumerate(rows):
        price = market.price[row["week"]] if row["money"] else np.ones(len(market.labs))
        w[i, row["cells"]] = price[row["cells"]]
    of = [np.flatnonzero(x) for x in w]
    return Benchmarks(
        population="world-external-api",
        ids=tuple(f"row{i}" for i in range(len(rows))),
        family=np.array([families.index(r["family"]) for r in rows], dtype=np.int64),
        families=families,
        flat=np.array([f.startswith("share:") for f in families], dtype=bool),
        week=np.array([r["week"] for r in rows], dtype=np.int64),
        y=np.array([r["y"] for r in rows], dtype=float),
        s=np.array([r["s"] for r in rows], dtype=float),
        off=np.array([r["off"] for r in rows], dtype=float),
        q=np.array([r["q"] for r in rows], dtype=float),
        iota=np.array([r["iota"] for r in rows], dtype=float),
        w=w,
        origin=np.array(
            [int(market.is_us[c].all()) - int(market.is_china[c].all()) for c in of],
            dtype=np.int64,
        ),
        side=np.array([r["side"] for r in rows], dtype=np.int64),
        left_out=pd.DataFrame({"id": [], "entity": [], "reason": []}),
    )


#: A sum over labs, a share table, a floor, a ceiling, revenue over tiers, a lab twice in a family.
_ROWS = [
    {"family": "tokens:OpenAI", "cells": [0, 1], "week": 1, "y": 5.0, "iota": 0.8, "off": -0.2},
    {"family": "tokens:OpenAI", "cells": [0, 1], "week": 5, "y": 5.6, "iota": 0.8, "q": 0.1},
    {"family": "revenue:Anthropic", "cells": [2], "week": 4, "y": 6.5, "q": 0.4, "money": True},
    {"family": "revenue:OpenAI", "cells": [0, 1], "week": 4, "y": 5.9, "q": 0.4, "money": True},
    {"family": "tokens:DeepSeek", "cells": [4, 5], "week": 2, "y": 3.6, "iota": 0.3},
    {"family": "tokens:house", "cells": [4, 5, 6], "week": 3, "y": 3.8, "s": 0.3, "q": 0.2},
    {"family": "tokens:Alibaba", "cells": [6], "week": 5, "y": 3.0, "side": 1, "q": 0.2},
    {"family": "tokens:OpenAI", "cells": [0, 1], "week": 6, "y": 6.2, "side": -1},
    {"family": "share:survey", "cells": [2], "week": 4, "y": -1.0, "s": 0.25, "money": True},
    {"family": "share:survey", "cells": [0, 1], "week": 4, "y": -1.2, "s": 0.25, "money": True},
    {"family": "share:survey", "cells": [4], "week": 4, "y": -3.5, "s": 0.4, "money": True},
]


@pytest.fixture(scope="session")
def toy():
    """Makers of small markets and benchmarks, with the rows and cells that they start from."""
    assert {c[1] for c in _CELLS} <= set(GROUPS)
    return SimpleNamespace(market=_market, benchmarks=_benchmarks, rows=_ROWS, cells=_CELLS)


@pytest.fixture(scope="session")
def page_file(tmp_path_factory):
    """The report as `offroute report -o report.html` writes it."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    done = CliRunner().invoke(app, ["report", "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert f"{path.stat().st_size / 1e3:.0f} kB" in done.output
    return path
