"""Cells written to CSV and read back are the cells, and what cannot be cells is refused."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from cell_cases import BY, DESIGNS, EXACT, from_rows, largest_gap, made_up_logs

from offroute.cli import app
from offroute.data.cell_table import cells_from_frame, cells_to_csv, load_cells
from offroute.data.cells import collapse
from offroute.exceptions import DuplicateKey, InvalidValue, SchemaError, UsageError

LOGS = made_up_logs()
SUMS = {"by": BY, "volume": "tokens", "outcomes": ["dollars", "score"]}
ONE = {"by": ["origin"], "volume": "tokens", "clusters": "account"}
CELLS = collapse(LOGS, **ONE)


def written(cells, folder):
    path = folder / "cells.csv"
    path.write_text(cells_to_csv(cells), encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("weight", [None, "w"])
@pytest.mark.parametrize("design", DESIGNS)
def test_cells_come_back_to_the_last_bit_with_their_types(design, weight, tmp_path):
    cells = collapse(LOGS, **SUMS, weight=weight, **DESIGNS[design])
    again = load_cells(written(cells, tmp_path), **SUMS, **DESIGNS[design])
    pd.testing.assert_frame_equal(again.frame, cells.frame, check_exact=True)
    assert again.keys == cells.keys
    assert again.rows == len(LOGS)


@pytest.mark.parametrize("design", ["rows", "clusters in strata"])
def test_cells_read_back_give_the_estimates_of_the_rows(design, tmp_path):
    cells = collapse(LOGS, **SUMS, weight="w", **DESIGNS[design])
    again = load_cells(written(cells, tmp_path), **SUMS, **DESIGNS[design])
    assert largest_gap(again, from_rows(LOGS, weight="w", design=DESIGNS[design])) < EXACT


def test_the_command_writes_cells_that_can_be_read(tmp_path):
    out = tmp_path / "cells.csv"
    LOGS.to_parquet(tmp_path / "logs.parquet")
    call = ["cells", str(tmp_path / "logs.parquet"), "--by", "origin", "--volume", "tokens"]
    done = CliRunner().invoke(app, [*call, "--cluster", "account", "--csv", str(out)])
    assert done.exit_code == 0, done.output
    pd.testing.assert_frame_equal(load_cells(out, **ONE).frame, CELLS.frame, check_exact=True)


NAMES = [
    "a\rb",
    "l\nm",
    'q"x',
    "x,y",
    " x ",
    "",
    "NA",
    "nan",
    "inf",
    "007",
    "1e5",
    "True",
    "\u4e2d",
]


def test_names_numbers_and_times_come_back_as_they_were(tmp_path):
    n = len(NAMES)
    logs = pd.DataFrame(
        {
            "name": NAMES,
            "id": np.arange(n) + 2**62,
            "free": [i % 2 == 0 for i in range(n)],
            "size": np.arange(n) / 3,
            "day": pd.Timestamp("2026-06-01") + pd.to_timedelta(np.arange(n), unit="h"),
            "tokens": [1 / 3, 5e-324, 1e22, 0.1, 2**53, *range(n - 5)],
        }
    )
    by = ["name", "id", "free", "size", "day"]
    cells = collapse(logs, by=by, volume="tokens")
    again = load_cells(written(cells, tmp_path), by=by, volume="tokens")
    expected = cells.frame.assign(day=cells.frame["day"].astype(str))
    for column in cells.columns:
        assert again.frame[column].tolist() == expected[column].tolist(), column


def test_digits_that_no_number_has_are_a_name(tmp_path):
    for ids in (["007", "008"], ["1", "2.5"], ["9" * 20, "1"], ["nan", "nan "]):
        cells = collapse(pd.DataFrame({"id": ids}), by=["id"])
        again = load_cells(written(cells, tmp_path), by=["id"])
        assert sorted(again.frame["id"]) == sorted(ids)


def _changed(**columns):
    return CELLS.frame.assign(**columns)


def _first(column, value):
    frame = CELLS.frame.astype({column: object})
    frame.loc[0, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "options", "error", "message"),
    [
        (CELLS.frame.drop(columns="account"), {}, SchemaError, r"clusters.*: without account\. "),
        (CELLS.frame.drop(columns="sum_w2"), {}, SchemaError, r": without sum_w2\. "),
        (CELLS.frame, {"clusters": None}, SchemaError, r": with account besides\. "),
        (CELLS.frame, {"volume": "dollars"}, SchemaError, "without sum_w_dollars, .* with sum_w_t"),
        (CELLS.frame.rename(columns={"rows": "n"}), {}, SchemaError, "without rows and with n bes"),
        (
            pd.concat([CELLS.frame, CELLS.frame["rows"]], axis=1),
            {},
            SchemaError,
            "got rows more than once",
        ),
        (CELLS.frame, {"by": "origin"}, UsageError, r'Pass by=\["origin"\]'),
        (CELLS.frame, {"by": []}, UsageError, "no columns"),
        (CELLS.frame, {"by": ["sum_w"]}, UsageError, "sum_w: .*one name for two columns"),
        (CELLS.frame.head(0), {}, InvalidValue, "no row"),
        (_first("rows", -2), {}, InvalidValue, "'rows': .*at least 1; got -2 at position 0"),
        (_first("rows", 0), {}, InvalidValue, "'rows': .*at least 1"),
        (_first("rows", 1.5), {}, InvalidValue, "'rows': must be whole .*1.5 in row 0"),
        (_first("rows", "many"), {}, SchemaError, "'rows': "),
        (_first("sum_w", -1.0), {}, InvalidValue, "'sum_w': .*at least 0"),
        (_first("sum_w", 1e9), {}, InvalidValue, "'sum_w2': .*square of sum_w"),
        (_first("sum_w_tokens", -1.0), {}, InvalidValue, "'sum_w_tokens': .*at least 0"),
        (_first("sum_w_tokens", np.nan), {}, InvalidValue, "'sum_w_tokens': .*finite"),
        (_first("sum_w2_tokens_tokens", -1.0), {}, InvalidValue, "tokens_tokens': .*at least 0"),
        (_first("sum_w2_tokens", np.inf), {}, InvalidValue, "'sum_w2_tokens': .*finite"),
        (_changed(sum_w=0.0, sum_w2=0.0), {}, InvalidValue, "'sum_w': .*positive sum"),
        (_changed(sum_w_tokens=0.0), {}, InvalidValue, "'sum_w_tokens': .*positive sum"),
        (_first("origin", None), {}, InvalidValue, "'origin': .*1 missing"),
        (_first("origin", 5), {}, SchemaError, "values of a key must be of one type"),
        (
            pd.concat([CELLS.frame, CELLS.frame.tail(1)]),
            {},
            DuplicateKey,
            "1 repeated, first origin=US, account=119",
        ),
    ],
)
def test_what_cannot_be_cells_is_refused(frame, options, error, message):
    with pytest.raises(error, match=message):
        cells_from_frame(frame, **(ONE | options))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: t.replace('"account"', '"origin"'), SchemaError, "got origin more than once"),
        (
            lambda t: t.replace('"rows",', '"Sum_w",'),
            SchemaError,
            "got Sum_w, sum_w more than once",
        ),
        (lambda t: t.splitlines()[0], InvalidValue, "no row"),
        (lambda t: "", SchemaError, "must be a CSV in UTF-8 with a header"),
        (lambda t: t + '"CN",1\n', SchemaError, "'rows': "),
        (lambda t: t + '"CN",1,2,3,4,5,6,7,8,9\n', SchemaError, "Expected 8 fields"),
    ],
)
def test_broken_files_are_refused(change, error, message, tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text(change(cells_to_csv(CELLS)))
    with pytest.raises(error, match=message):
        load_cells(path, **ONE)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no\.csv'.*FileNotFoundError.*Check the path"):
        load_cells(tmp_path / "no.csv", by=["origin"])
