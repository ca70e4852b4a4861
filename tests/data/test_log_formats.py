"""Exports read by name; the samples have the columns of the real ones, and made-up rows."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from offroute.cli import app
from offroute.data.cells import collapse
from offroute.data.log_formats import FORMATS, author_by_name, read_log
from offroute.data.tables import fetch
from offroute.exceptions import InvalidValue, SchemaError, UsageError

SAMPLES = Path(__file__).parent / "samples"
RUNNER = CliRunner()

LITELLM = SAMPLES / "litellm_spend_logs.csv"
OPENROUTER = SAMPLES / "openrouter_activity.csv"
OTEL = SAMPLES / "otel_spans.csv"
OTLP = SAMPLES / "otel_collector.jsonl"

OURS = ["prompt_tokens", "completion_tokens", "tokens", "account", "day", "week", "lab", "origin"]


def rows(path, **options):
    log = read_log(path, **options)
    return fetch(log.table).sort_values(["day", "model", "tokens"], ignore_index=True), log


def test_litellm_spend_log():
    table, log = rows(LITELLM, format="litellm")
    assert list(table.columns) == [
        "model", "provider", "account", *OURS[:3], "dollars", "day", "week", "lab", "origin",
    ]  # fmt: skip  # dense
    raw = pd.read_csv(LITELLM)
    assert sorted(table["tokens"]) == sorted(raw["total_tokens"])
    # The end user where there is one, else the user, else the key.
    assert sorted(table["account"]) == [
        "41aa9be22c310f77", "customer-7", "customer-9", "u-anna", "u-ben", "u-ben",
    ]  # fmt: skip  # dense
    assert table.groupby("origin")["tokens"].sum().to_dict() == {
        "US": 5290.0,
        "China": 2100.0,
        "(unclassified)": 320.0,
    }
    assert set(table["week"]) == {"2026-06-01", "2026-06-08"}
    assert log.unclassified == ("house-reranker",)


def test_openrouter_activity():
    table, log = rows(OPENROUTER, format="openrouter")
    raw = pd.read_csv(OPENROUTER)
    assert table["tokens"].sum() == (raw["tokens_prompt"] + raw["tokens_completion"]).sum()
    assert table["dollars"].sum() == pytest.approx(raw["cost_total"].sum())
    assert table["lab"].tolist() == ["Anthropic", "DeepSeek", "Alibaba", "OpenAI", "Stealth"]
    assert table["origin"].iloc[-1] == "Unidentified"
    assert set(table["account"]) == {"laptop", "server", "user-42"}
    assert log.unclassified == ()


def test_otel_attributes_of_a_table_and_of_the_collector_agree():
    table, log = rows(OTEL, format="otel")
    other, other_log = rows(OTLP, format="otel")
    pd.testing.assert_frame_equal(table, other)
    assert log.left_out == other_log.left_out == {"execute_tool": 1, "invoke_agent": 1}
    # The agent's span repeats the tokens of its calls: counted once.
    assert table["tokens"].tolist() == [440.0, 600.0, 950.0, 2700.0]
    assert table["account"].tolist() == ["u1", "u1", "batch-job", "batch-job"]


def test_old_names_of_otel_attributes(tmp_path):
    old = pd.read_csv(OTEL).rename(
        columns={
            "gen_ai.provider.name": "gen_ai.system",
            "gen_ai.usage.input_tokens": "gen_ai.usage.prompt_tokens",
            "gen_ai.usage.output_tokens": "gen_ai.usage.completion_tokens",
        }
    )
    old.to_parquet(tmp_path / "spans.parquet")
    found = rows(tmp_path / "spans.parquet", format="otel")[0]
    pd.testing.assert_frame_equal(found, rows(OTEL, format="otel")[0])


def test_a_column_of_another_name_is_mapped():
    table, _ = rows(LITELLM, format="litellm", columns={"account": "team_id"})
    assert set(table["account"]) == {"team-core", "team-lab"}


@pytest.mark.parametrize(
    ("model", "author"),
    [
        ("gpt-4.1-mini", "openai"),
        ("o3-mini-2025-01-31", "openai"),
        ("azure/gpt-4o", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("vertex_ai/gemini-2.5-pro", "google"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic"),
        ("Qwen/Qwen2.5-72B-Instruct", "qwen"),
        ("together_ai/deepseek-ai/DeepSeek-V3", "deepseek"),
        ("groq/llama-3.3-70b-versatile", "meta-llama"),
        ("nousresearch/hermes-3-llama-3.1-405b", "nousresearch"),
        ("kimi-k2-0905-preview", "moonshotai"),
        ("doubao-1.5-pro", "bytedance"),
        ("mistral-large-latest", "mistralai"),
        ("amazon.nova-pro-v1:0", "amazon"),
        # Words that only look like the name of a family.
        ("supernova", None),
        ("two-step-classifier", None),
        ("seedling", None),
        ("foo1", None),
        ("openai/house-model", None),
    ],
)
def test_labs_are_found_by_name_and_never_guessed(model, author):
    assert author_by_name(model) == author


@pytest.mark.parametrize("name", FORMATS)
def test_the_wrong_export_says_what_is_missing_and_how_to_map(name, tmp_path):
    (tmp_path / "other.csv").write_text("when,what\n2026-06-01,x\n")
    with pytest.raises(SchemaError, match=r"must have model .*; got columns when, what\..*--map"):
        read_log(tmp_path / "other.csv", format=name)


def test_unknown_formats_and_columns_are_refused():
    with pytest.raises(UsageError, match="Use 'litellm'"):
        read_log(LITELLM, format="litelm")
    with pytest.raises(UsageError, match="who"):
        read_log(LITELLM, format="litellm", columns={"who": "user"})
    with pytest.raises(SchemaError, match="absent"):
        read_log(LITELLM, format="litellm", columns={"account": "absent"})


def test_rows_without_tokens_are_not_counted_as_zero(tmp_path):
    frame = pd.read_csv(LITELLM).astype({"prompt_tokens": float})
    frame.loc[2, "prompt_tokens"] = None
    frame.to_csv(tmp_path / "gap.csv", index=False)
    log = read_log(tmp_path / "gap.csv", format="litellm")
    with pytest.raises(InvalidValue, match=r"tokens: .*missing values"):
        collapse(log.table, by=["origin"], volume="tokens")


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("litellm", LITELLM, ["US", "68.6%", "6 rows in 5 cells", "house-reranker"]),
        ("openrouter", OPENROUTER, ["US", "84.2%", "Unidentified"]),
        ("otel", OTLP, ["79.7%", "1 execute_tool, 1 invoke_agent"]),
    ],
)
def test_command_reads_every_format(name, path, words, tmp_path):
    out = tmp_path / "cells.csv"
    done = RUNNER.invoke(app, ["cells", "--format", name, str(path), "--csv", str(out)])
    assert done.exit_code == 0, done.output
    for word in words:
        assert word in done.output
    cells = pd.read_csv(out)
    assert {"origin", "account", "rows", "sum_w_tokens", "sum_w2_tokens_tokens"} <= set(cells)
    assert cells["sum_w_tokens"].sum() == rows(path, format=name)[0]["tokens"].sum()


def test_command_reads_a_table_as_it_is():
    call = ["cells", str(LITELLM), "--by", "custom_llm_provider", "--volume", "total_tokens"]
    done = RUNNER.invoke(app, [*call, "--cluster", "user"])
    assert done.exit_code == 1  # two calls have no user
    assert "user: " in done.output
    done = RUNNER.invoke(app, [*call, "--cluster", "team_id"])
    assert done.exit_code == 0, done.output
    assert "95 % interval" in done.output
    single = RUNNER.invoke(app, [*call, "--cluster", "call_type", "--by", "model"])
    assert single.exit_code == 0


def test_command_shows_and_writes_names_and_times_as_they_are(tmp_path):
    (tmp_path / "logs.csv").write_text(
        "name,at,n\n[/red]x,2026-06-03 10:00:00,1\n[bold]:fire:,2026-06-03 11:00:00,2\n"
    )
    out = tmp_path / "cells.csv"
    result = RUNNER.invoke(
        app,
        ["cells", str(tmp_path / "logs.csv"), "--by", "name,at", "--csv", str(out)],
    )
    assert result.exit_code == 0, result.output
    assert "[/red]x" in result.stdout
    assert "[bold]:fire:" in result.stdout
    assert pd.read_csv(out)["at"].tolist() == ["2026-06-03 10:00:00", "2026-06-03 11:00:00"]


def test_negative_tokens_do_not_hide_in_a_sum(tmp_path):
    head = "model,prompt_tokens,completion_tokens,startTime\n"
    (tmp_path / "spend.csv").write_text(f"{head}gpt-4o,-5,100,2026-06-03 10:00:00\n")
    with pytest.raises(InvalidValue, match=r"prompt_tokens: .*negative value, model gpt-4o"):
        read_log(tmp_path / "spend.csv", format="litellm")


def test_command_without_two_clusters_has_no_interval(tmp_path):
    pd.read_csv(LITELLM).assign(team_id="one").to_csv(tmp_path / "one.csv", index=False)
    call = ["cells", str(tmp_path / "one.csv"), "--by", "model", "--volume", "total_tokens"]
    done = RUNNER.invoke(app, [*call, "--cluster", "team_id"])
    assert done.exit_code == 0, done.output
    assert "No intervals" in done.output


def test_an_export_with_a_repeated_column_is_refused(tmp_path):
    path = tmp_path / "spend.csv"
    path.write_text(LITELLM.read_text().replace("completion_tokens", "prompt_tokens", 1))
    done = RUNNER.invoke(app, ["cells", "--format", "litellm", str(path)])
    assert done.exit_code == 1
    assert "SchemaError: file" in done.output
    assert "got prompt_tokens more than once" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--format", "litelm", str(LITELLM)], 2, "Use 'litellm'"),
        (["--format", "litellm", str(OPENROUTER)], 1, "must have model (model), prompt_tokens"),
        (["--format", "litellm", str(LITELLM), "--map", "account"], 2, "OURS=THEIRS"),
        ([str(LITELLM)], 2, "needs --by"),
        (["--format", "litellm", "not-there.csv"], 1, "No files found"),
    ],
)
def test_command_refuses_with_a_message(arguments, code, message):
    done = RUNNER.invoke(app, ["cells", *arguments])
    assert done.exit_code == code, done.output
    assert message in " ".join(done.output.split())
