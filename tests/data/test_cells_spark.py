"""The same cells from Spark, run locally on Java 17.

Skipped by name where there is no Java; with OFFROUTE_REQUIRE_JAVA set, as in CI, that fails.
"""

import gc
import os
import shutil
import sys
import warnings
from pathlib import Path

import ibis
import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.functions import col

sys.path.insert(0, str(Path(__file__).parent))

from cell_cases import BY, DESIGNS, EXACT, from_rows, largest_gap, made_up_logs

from offroute.data.cells import cell_expression, collapse
from offroute.data.tables import fetch, quiet
from offroute.exceptions import InvalidValue

# Spark's client leaves its sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*unclosed <socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]

LOGS = made_up_logs()
SUMS = {"by": BY, "volume": "tokens", "outcomes": ["dollars", "score"], "weight": "w"}

#: Small data: no code generation, one partition, the first compiler only, nothing but loopback.
_SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "512m",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


@pytest.fixture(scope="module")
def spark():
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        assert "OFFROUTE_REQUIRE_JAVA" not in os.environ, "Spark needs Java 17, and there is none"
        pytest.skip("Spark needs Java 17, and there is none")
    builder = SparkSession.builder.master("local[1]")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
    gc.collect()


@pytest.fixture(scope="module")
def frame(spark, tmp_path_factory):
    path = tmp_path_factory.mktemp("spark") / "logs.parquet"
    LOGS.to_parquet(path)
    return spark.read.parquet(str(path))


@pytest.mark.parametrize("design", ["rows", "clusters in strata"])
def test_estimates_and_errors_from_spark_are_those_of_the_rows(frame, design):
    cells = collapse(frame, **SUMS, **DESIGNS[design])
    assert largest_gap(cells, from_rows(LOGS, weight="w", design=DESIGNS[design])) < EXACT


def test_a_table_that_the_user_connected_gives_the_cells_of_duckdb(spark, frame):
    frame.createOrReplaceTempView("logs")
    with quiet():
        table = ibis.pyspark.connect(spark).table("logs")
    found, expected = collapse(table, **SUMS).frame, collapse(LOGS, **SUMS).frame
    assert found[BY].equals(expected[BY].astype(found[BY].dtypes))
    numbers = expected.columns[len(BY) :]
    np.testing.assert_allclose(found[numbers], expected[numbers], rtol=1e-13)


def test_values_far_from_0_are_summed_about_their_means_on_spark_too(frame):
    sums = {"by": ["origin"], "outcomes": ["score"], "weight": "w"}
    there = collapse(frame.withColumn("score", col("score") + 1e6), **sums).frame
    here = collapse(LOGS.assign(score=LOGS["score"] + 1e6), **sums).frame
    np.testing.assert_allclose(there["sum_w2_score_score"], here["sum_w2_score_score"], rtol=1e-9)


def test_it_is_one_expression_for_both_engines(spark, frame):
    frame.createOrReplaceTempView("logs")
    with quiet():
        there = ibis.pyspark.connect(spark).table("logs")
        here = ibis.memtable(LOGS)
    one, other = (cell_expression(t, by=["origin"], volume="tokens") for t in (there, here))
    assert one.schema().names == other.schema().names
    assert sorted(fetch(one)["rows"]) == sorted(fetch(other)["rows"])


def test_spark_finds_negative_volumes_too(spark, frame):
    with pytest.raises(InvalidValue, match=r"tokens: .*negative values"):
        collapse(frame.withColumn("tokens", -col("tokens")), by=["origin"], volume="tokens")
