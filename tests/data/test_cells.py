"""Cells give what their rows give, from every kind of table."""

import json
import sys
from functools import partial
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cell_cases import BY, DESIGNS, EXACT, from_rows, largest_gap, made_up_logs

from offroute.data.cells import collapse
from offroute.data.tables import quiet
from offroute.estimators.calibrate import calibrate, rake
from offroute.estimators.cells import read_cells
from offroute.estimators.doubly_robust import doubly_robust
from offroute.estimators.estimands import total
from offroute.estimators.expansion import expansion
from offroute.estimators.imputation import impute
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.partial_pooling import mrp
from offroute.estimators.point import make_target
from offroute.estimators.poststratify import poststratify
from offroute.estimators.propensity import ipw
from offroute.estimators.weights import summarise_weights, trim
from offroute.exceptions import InvalidValue, NotIdentified, SchemaError, UsageError
from offroute.inference.estimate import infer
from offroute.inference.resampling import bootstrap, jackknife

LOGS = made_up_logs()
SUMS = {"by": BY, "volume": "tokens", "outcomes": ["dollars", "score"]}


@pytest.mark.parametrize("weight", [None, "w"])
@pytest.mark.parametrize("design", DESIGNS)
def test_estimates_and_errors_are_those_of_the_rows(design, weight):
    cells = collapse(LOGS, **SUMS, weight=weight, **DESIGNS[design])
    assert cells.rows == len(LOGS)
    rows = from_rows(LOGS, weight=weight, design=DESIGNS[design])
    assert largest_gap(cells, rows) < EXACT


def _tables(folder):
    LOGS.to_parquet(folder / "logs.parquet")
    LOGS.to_csv(folder / "logs.csv", index=False)
    LOGS.head(1000).to_parquet(folder / "part-1.parquet")
    LOGS.iloc[1000:].to_parquet(folder / "part-2.parquet")
    LOGS.to_json(folder / "logs.jsonl", orient="records", lines=True, double_precision=15)
    with quiet():
        connected = ibis.duckdb.connect().read_parquet(str(folder / "logs.parquet"))
    return {
        "parquet": folder / "logs.parquet",
        "csv": str(folder / "logs.csv"),
        "json lines": folder / "logs.jsonl",
        "two files": [folder / "part-1.parquet", folder / "part-2.parquet"],
        "glob": folder / "part-*.parquet",
        "pandas": LOGS.astype({"origin": "category"}),
        "polars": pl.from_pandas(LOGS),
        "arrow": pa.Table.from_pandas(LOGS, preserve_index=False),
        "ibis": connected,
    }


def test_every_kind_of_table_gives_the_same_cells(tmp_path):
    options = {**SUMS, "weight": "w", "clusters": "account"}
    expected = collapse(LOGS, **options).frame
    assert len(expected) > 1000
    for name, table in _tables(tmp_path).items():
        found = collapse(table, **options).frame
        assert list(found.columns) == list(expected.columns), name
        for column in expected:
            if expected[column].dtype == float:
                # Squares about the mean cancel: the order of the sums shows in them.
                np.testing.assert_allclose(found[column], expected[column], 1e-11, err_msg=name)
            else:
                assert found[column].tolist() == expected[column].tolist(), name


def test_jackknife_of_clusters_is_that_of_the_rows():
    target = make_target({"origin": {"CN": 3e3, "EU": 1e3, "US": 5e3}})
    estimator = partial(rake, estimands=[total("tokens")])
    rows = read_sample(
        LOGS, covariates=[*BY, "tokens"], volume="tokens", design=DesignColumns(clusters="account")
    )
    cells = read_cells(collapse(LOGS, by=BY, volume="tokens", clusters="account"))
    expected, found = (jackknife(estimator, s, target) for s in (rows, cells))
    np.testing.assert_allclose(found.se, expected.se, rtol=EXACT)


@pytest.mark.parametrize("design", DESIGNS)
def test_diagnostics_of_weights_count_rows(design):
    target = make_target({"origin": {"CN": 3e3, "EU": 1e3, "US": 5e3}})
    rows = read_sample(
        LOGS,
        outcomes=["dollars"],
        covariates=BY,
        volume="tokens",
        design=DesignColumns(**DESIGNS[design]),
    )
    cells = read_cells(collapse(LOGS, **SUMS, **DESIGNS[design]), outcomes=["dollars"])
    expected, found = (summarise_weights(rake(s, target), s, warn_below=0) for s in (rows, cells))
    assert found.n == expected.n == len(LOGS)
    for name in ("kish", "volume", "g_min", "g_max"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=EXACT)
    assert np.isnan(found.largest_share)


def test_two_lonely_strata_are_treated_as_rows_are():
    logs = LOGS.assign(stratum=np.where(np.arange(len(LOGS)) == 5, 7, LOGS["stratum"]))
    options = {"volume": "tokens", "strata": "stratum"}
    cells = read_cells(collapse(logs, by=["origin"], **options), outcomes=["origin"])
    rows = read_sample(
        logs, outcomes=["origin"], volume="tokens", design=DesignColumns(strata="stratum")
    )
    for rule in ("certainty", "adjust"):
        expected, found = (infer(expansion(s), lonely=rule).se for s in (rows, cells))
        np.testing.assert_allclose(found, expected, rtol=EXACT)
    with pytest.raises(NotIdentified, match="one sampled cluster"):
        infer(expansion(cells))


def test_population_counts_must_fit_the_rows_not_the_cells():
    logs = LOGS.assign(calls=2000.0)
    cells = collapse(logs, by=["origin"], volume="tokens", population_clusters="calls")
    with pytest.raises(InvalidValue, match="sampled up to 3000"):
        read_cells(cells)


@pytest.mark.parametrize(
    "call",
    [
        lambda s, t: calibrate(s, make_target({"tokens": 1e9}, size=9e3)),
        lambda s, t: calibrate(s, make_target({"tokens": {"5": 9e3}})),
        lambda s, t: calibrate(s, t, row_scale="tokens"),
        lambda s, t: poststratify(s, t, min_units=5),
        mrp,
        ipw,
        impute,
        doubly_robust,
        lambda s, t: trim(rake(s, t), s, upper=3),
        lambda s, t: jackknife(rake, s, t),
        lambda s, t: bootstrap(rake, s, t, count=9),
        lambda s, t: bootstrap(rake, s, t, count=9, method="poisson"),
    ],
)
def test_what_needs_single_rows_is_refused(call):
    cells = read_cells(collapse(LOGS, **SUMS), outcomes=["dollars"])
    reference = read_sample(LOGS.assign(w=30.0), covariates=BY, outcomes=["dollars"], weights="w")
    target = make_target({"origin": {"CN": 3e3, "EU": 1e3, "US": 5e3}}, reference=reference)
    with pytest.raises(NotIdentified, match="values of single rows"):
        call(cells, target)


def _with(column, value):
    frame = LOGS.copy()
    frame[column] = frame[column].astype(object if isinstance(value, str) else float)
    frame.loc[3, column] = value
    return frame


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        (LOGS, {"by": ["brand"]}, SchemaError, r"brand: .* got columns origin.*rename"),
        (LOGS, {"volume": "tokenz"}, SchemaError, "tokenz"),
        (LOGS, {"volume": "size"}, SchemaError, r"size \(string\)"),
        (LOGS, {"by": []}, UsageError, "no columns"),
        (LOGS, {"by": ["tokens"]}, UsageError, "either makes cells or is summed"),
        (
            LOGS.rename(columns={"hour": "rows"}),
            {"by": ["rows"]},
            UsageError,
            "two columns of the result",
        ),
        (_with("tokens", -1.0), {}, InvalidValue, "tokens: .*negative values in 1 of 3 cells"),
        (_with("tokens", np.nan), {}, InvalidValue, "tokens: .*missing"),
        (_with("tokens", np.inf), {}, InvalidValue, "tokens: .*missing or infinite"),
        (_with("w", -0.5), {"weight": "w"}, InvalidValue, "w: .*negative"),
        (_with("w", np.nan), {"weight": "w"}, InvalidValue, "w: .*missing"),
        (LOGS.assign(w=0.0), {"weight": "w"}, InvalidValue, "sum to 0"),
        (LOGS.assign(tokens=0), {}, InvalidValue, "tokens: .*volumes that sum to 0"),
        (_with("tokens", 1e200), {}, InvalidValue, "tokens: .*too large"),
        (LOGS.assign(tokens=[2**70] * len(LOGS)), {}, SchemaError, "values of one type"),
        (LOGS.assign(origin=["US", 1] * (len(LOGS) // 2)), {}, SchemaError, "values of one type"),
        (LOGS, {"by": "origin"}, UsageError, r'Pass by=\["origin"\]'),
        (LOGS.assign(origin=LOGS["origin"].where(LOGS["hour"] > 0)), {}, InvalidValue, "origin: "),
        (LOGS.head(0), {}, InvalidValue, "no rows"),
        ({"origin": ["US"]}, {}, UsageError, "builtins.dict"),
        ("logs.xlsx", {}, UsageError, "must end alike"),
        (["a.csv", "b.parquet"], {}, UsageError, "must end alike"),
        ("not-there.parquet", {}, SchemaError, "No files found"),
    ],
)
def test_unusable_tables_are_refused(table, options, error, message):
    with pytest.raises(error, match=message):
        collapse(table, **({"by": ["origin"], "volume": "tokens"} | options))


@pytest.mark.parametrize("weight", [None, "w"])
@pytest.mark.parametrize(
    ("centre", "within"), [(0.0, EXACT), (1e4, 1e-11), (1e6, 1e-9), (1e8, 1e-7)]
)
def test_values_close_together_and_far_from_0_keep_their_standard_error(centre, within, weight):
    # Times, say. The bound is what a value of this size keeps of a distance of 1.
    logs = LOGS.assign(score=LOGS["score"] + centre)
    cells = collapse(logs, by=["origin"], outcomes=["score"], weight=weight)
    rows = read_sample(logs, outcomes=["score"], covariates=["origin"], weights=weight)
    expected = infer(expansion(rows))
    np.testing.assert_allclose(infer(expansion(read_cells(cells))).se, expected.se, rtol=within)


def test_names_that_would_be_confused_are_refused():
    logs = LOGS.assign(tokens_dollars=LOGS["score"], TOKENS=1, n_w=1, min_tokens=1)
    with pytest.raises(UsageError, match=r"sum_w2_tokens_dollars: .*two columns of the result"):
        collapse(logs.drop(columns="TOKENS"), by=["origin"], volume="tokens",
                 outcomes=["dollars", "tokens_dollars"])  # fmt: skip  # dense
    with pytest.raises(SchemaError, match=r"tokens: .*more than case"):
        collapse(logs, by=["origin"], volume="tokens")
    with pytest.raises(SchemaError, match="Expected unique column names"):
        collapse(pd.concat([LOGS, LOGS["tokens"]], axis=1), by=["origin"], volume="tokens")
    # Names that stand for nothing of ours are as good as any.
    logs = logs.drop(columns="TOKENS")
    cells = collapse(logs, by=["n_w", "min_tokens"], volume="tokens", weight="w")
    assert cells.frame["sum_w_tokens"].tolist() == pytest.approx([(LOGS.w * LOGS.tokens).sum()])


def test_broken_files_are_refused(tmp_path):
    (tmp_path / "noise.parquet").write_bytes(b"\x00\x01" * 100)
    with pytest.raises(SchemaError, match=r"noise\.parquet"):
        collapse(tmp_path / "noise.parquet", by=["a"])
    # A column that looks like numbers for as long as DuckDB looks.
    rows = ["CN,5"] * 30_000 + ["CN,five"]
    (tmp_path / "late.csv").write_text("origin,tokens\n" + "\n".join(rows))
    with pytest.raises(SchemaError, match="Line: 30002"):
        collapse(tmp_path / "late.csv", by=["origin"], volume="tokens")


@pytest.mark.parametrize(
    ("head", "named"),
    [
        ("origin,tokens,tokens", "tokens more than once"),
        ("origin,tokens,Tokens", "tokens, Tokens more than once"),
        ('# export\n"or, igin","or, igin",tokens', "or, igin more than once"),
        ("origin;tokens;tokens", "tokens more than once"),
        ("\ufefforigin, tokens,tokens", "tokens, tokens more than once"),
    ],
)
def test_a_csv_whose_header_repeats_a_name_is_refused(head, named, tmp_path):
    rows = [head.splitlines()[-1].replace("or, igin", "origin").count(c) for c in ",;"]
    mark = "," if rows[0] else ";"
    lines = "".join(mark.join(["US", "5", "7"]) + "\n" for _ in range(3))
    (tmp_path / "good.csv").write_text("origin,tokens,other\nCN,1,2\n")
    (tmp_path / "logs.csv").write_text(f"{head}\n{lines}")
    with pytest.raises(SchemaError, match=rf"logs\.csv': each column .*got \s*{named}"):
        collapse(tmp_path / "logs.csv", by=["origin"], volume="tokens")


def test_a_parquet_file_that_repeats_a_name_is_refused(tmp_path):
    nested = [{"lab": "x", "more": {"lab": "y"}}] * 2
    columns = {"lab": ["a", "b"], "about": nested, "tokens": [1.0, 2.0]}
    pq.write_table(pa.table(columns), tmp_path / "one.parquet")
    cells = collapse(tmp_path / "one.parquet", by=["lab"], volume="tokens").frame
    assert cells["sum_w_tokens"].tolist() == [1.0, 2.0]
    pq.write_table(pa.table(columns | {"Tokens": [3.0, 4.0]}), tmp_path / "two.parquet")
    with pytest.raises(SchemaError, match=r"two.parquet.*got tokens, Tokens more than once"):
        collapse(tmp_path / "*.parquet", by=["lab"])


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_a_json_file_with_keys_that_differ_in_case_alone_is_refused(ending, tmp_path):
    rows = [{"lab": "a", "tokens": 1}, {"lab": "b", "tokens": 2, "tokens_1": 7}]
    texts = [json.dumps(row) for row in [*rows, {"lab": "b", "Tokens": 3}]]

    def written(count):
        lines = texts[:count]
        text = "\n".join(lines) if ending == "jsonl" else f"[{', '.join(lines)}]"
        (tmp_path / f"logs.{ending}").write_text(text)
        return tmp_path / f"logs.{ending}"

    assert collapse(written(2), by=["lab"], volume="tokens").rows == 2
    with pytest.raises(SchemaError, match=r"logs\.json.*got .*okens, .*okens more than once"):
        collapse(written(3), by=["lab"], volume="tokens")


def test_json_files_are_checked_together_and_to_their_end(tmp_path):
    (tmp_path / "p-1.jsonl").write_text('{"lab": "a", "tokens": 1, "spend": 2}\n')
    (tmp_path / "p-2.jsonl").write_text('{"lab": "b", "tokens": 1, "Spend": 2}\n')
    with pytest.raises(SchemaError, match=r"p-\*\.jsonl.*got Spend, spend more than once"):
        collapse(tmp_path / "p-*.jsonl", by=["lab"], volume="tokens")
    # What is malformed behind the rows that DuckDB looks at first is our error as well.
    rows = '{"lab": "a", "tokens": 1, "tokens_1": 3}\n' * 30_000
    (tmp_path / "long.jsonl").write_text(rows + '{"lab": "a", "tok\n')
    with pytest.raises(SchemaError, match="Malformed JSON"):
        collapse(tmp_path / "long.jsonl", by=["lab"], volume="tokens")


def test_every_file_of_several_has_its_header_checked(tmp_path):
    (tmp_path / "part-1.csv").write_text("origin,tokens,n\nUS,5,1\n")
    (tmp_path / "part-2.csv").write_text("origin,tokens,tokens\nUS,5,7\n")
    for files in (tmp_path / "part-*.csv", [tmp_path / f"part-{i}.csv" for i in (1, 2)]):
        with pytest.raises(SchemaError, match=r"part-2\.csv': .*got tokens more than once"):
            collapse(files, by=["origin"], volume="tokens")
    # Columns without a name repeat nothing.
    (tmp_path / "blank.csv").write_text("origin,tokens,,\nUS,5,1,2\n")
    assert collapse(tmp_path / "blank.csv", by=["origin"], volume="tokens").rows == 1
    # Comments between the rows are none of the header's business.
    (tmp_path / "notes.csv").write_text("origin,tokens\n# one\nUS,5\n# two\nCN,7\n")
    assert collapse(tmp_path / "notes.csv", by=["origin"], volume="tokens").rows == 2


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ibis", None)
    with pytest.raises(UsageError, match=r'pip install "offroute\[logs\]"'):
        collapse(LOGS, by=["origin"])


def test_cells_of_one_column_without_a_volume():
    cells = read_cells(collapse(LOGS, by=["origin"], weight="w"), outcomes=["origin"])
    rows = read_sample(LOGS, outcomes=["origin"], weights="w")
    expected, found = infer(expansion(rows)), infer(expansion(cells))
    np.testing.assert_allclose(found.values, expected.values, rtol=EXACT)
    np.testing.assert_allclose(found.se, expected.se, rtol=EXACT)
