from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from orchestration_nb import __version__, cli
from orchestration_nb.config import is_trusted
from orchestration_nb.events import CallFinished, CircuitChanged, RequestFinished, RunFinished, RunStarted
from orchestration_nb.ids import CallId, RequestId, RunId, new_id
from orchestration_nb.ledger.journal import JournalFile

HOSTILE_REPLY = "paid\x1b[2K\rfree \x9b31m \u202egpj.exe\nsecond line"


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def orchestrate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Types a command and returns its exit code and what it said."""

    def type_it(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["orchestrate", *words])
        code = cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Said(code, out, err)

    return type_it


def record(folder: Path, *, reply: str = "billing", days_ago: int = 0) -> RunId:
    """Journals a run of one call, as the engine does."""
    at = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days_ago)
    run_id, request_id = RunId(new_id()), RequestId(new_id())
    journal = JournalFile(folder, durable=False)
    journal.write(
        RunStarted(
            run_id=run_id,
            flow="triage",
            source="queue = llm(body)",
            steps=(),
            strategy="cascade",
            model=None,
            budget_usd=2.0,
            concurrency=8,
            seed=1,
            sample=None,
            items=1,
            started_at=at,
            pid=os.getpid(),
            package_version=__version__,
        )
    )
    journal.write(
        CallFinished(
            call_id=CallId(new_id()),
            request_id=request_id,
            run_id=run_id,
            model="sim/small",
            provider="sim",
            sample=0,
            status="ok",
            error_type=None,
            error=None,
            input_tokens=10,
            cached_tokens=0,
            cache_write_tokens=0,
            output_tokens=5,
            reasoning_tokens=0,
            cost_usd=0.25,
            billed_usd=0.0,
            bill_unknown=False,
            simulated=True,
            input_usd_per_mtok=1.0,
            output_usd_per_mtok=2.0,
            cached_usd_per_mtok=None,
            cache_write_usd_per_mtok=None,
            latency_ms=12.5,
            ttft_ms=None,
            finish_reason="stop",
            provider_request_id=None,
            model_version=None,
            cache="none",
            cache_key="k",
            attempts=(),
            started_at=at,
            prompt="Which queue?",
            reply=reply,
        )
    )
    journal.write(
        RequestFinished(
            request_id=request_id,
            run_id=run_id,
            flow="triage",
            step="queue",
            item=0,
            strategy="cascade",
            model="sim/small",
            candidates=(),
            propensity=None,
            reason="",
            calls=1,
            cost_usd=0.25,
            billed_usd=0.0,
            simulated=True,
            latency_ms=12.5,
            status="ok",
            error_type=None,
            error=None,
            started_at=at,
        )
    )
    journal.write(
        RunFinished(
            run_id=run_id,
            status="done",
            error=None,
            items_ok=1,
            items_failed=0,
            cost_usd=0.25,
            billed_usd=0.0,
            finished_at=at,
        )
    )
    journal.close()
    return run_id


def test_sql_answers_as_csv_where_it_is_piped(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    record(workspace)
    said = orchestrate("sql", "SELECT model, count(*) AS calls, sum(cost_usd) AS cost_usd FROM calls GROUP BY model")
    assert said == (0, "model,calls,cost_usd\nsim/small,1,0.25\n", "")


def test_sql_answers_as_json(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    record(workspace, reply=HOSTILE_REPLY)
    said = orchestrate("sql", "SELECT reply FROM texts", "--format", "json")
    assert json.loads(said.out) == [{"reply": HOSTILE_REPLY}]
    assert said.out.replace("\n", "").isprintable()


def test_sql_reads_standard_input(
    workspace: Path, orchestrate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    question = tmp_path / "question.sql"
    question.write_text("SELECT 1 AS one")
    with question.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert orchestrate("sql", "-").out == "one\n1\n"


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_what_a_model_said_cannot_move_the_cursor(workspace: Path, orchestrate: Callable[..., Said], form: str) -> None:
    record(workspace, reply=HOSTILE_REPLY)
    said = orchestrate("sql", "SELECT reply FROM texts", "--format", form)
    assert not [char for char in said.out if not char.isprintable() and char != "\n"]
    assert "second line" in said.out


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("DELETE FROM calls", "DELETE"),
        ("COPY calls TO 'stolen.csv'", "COPY"),
        ("SELECT * FROM read_csv('/etc/passwd')", "cannot reach files"),
        ("SELECT * FROM cals", "Did you mean 'calls'?"),
        ("SELEKT 1", "SELEKT"),
    ],
)
def test_sql_that_is_refused_ends_in_one_error(
    workspace: Path, orchestrate: Callable[..., Said], query: str, sentence: str
) -> None:
    record(workspace)
    said = orchestrate("sql", query)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("Error: ")
    assert sentence in said.err


def test_runs_lists_the_last_ones_first(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    older, newer = record(workspace, days_ago=1), record(workspace)
    rows = json.loads(orchestrate("runs", "--format", "json").out)
    assert [row["run_id"] for row in rows] == [newer, older]
    assert len(json.loads(orchestrate("runs", "-n", "1", "-f", "json").out)) == 1


def test_runs_of_a_new_workspace_are_none(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    said = orchestrate("runs", "--format", "json")
    assert (said.code, json.loads(said.out)) == (0, [])


def test_folder_where_nothing_was_run_is_left_alone(tmp_path: Path, orchestrate: Callable[..., Said]) -> None:
    said = orchestrate("runs")
    assert said.code == 2
    assert f"Nothing was run in {tmp_path} yet." in said.err
    assert "--workspace" in said.err
    assert not (tmp_path / ".orchestrate").exists()


def test_terminal_shows_a_table_that_fits(
    workspace: Path, orchestrate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    record(workspace)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "72")
    lines = orchestrate("runs").out.splitlines()
    assert lines[0].split()[:3] == ["run_id", "flow", "status"]
    assert len(lines) == 3
    assert all(len(line) <= 72 for line in lines)


def test_workspace_is_found_upward_and_can_be_named(
    workspace: Path, orchestrate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = record(workspace)
    deeper = workspace / "notebooks" / "drafts"
    deeper.mkdir(parents=True)
    monkeypatch.chdir(deeper)
    assert run_id in orchestrate("runs").out
    monkeypatch.chdir("/")
    assert run_id in orchestrate("runs", "--workspace", str(deeper)).out


def test_show_tells_of_one_run_by_the_start_of_its_id(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    run_id = record(workspace)
    said = orchestrate("show", run_id[:-4])
    assert said.code == 0
    assert run_id in said.out
    assert "triage" in said.out
    assert "queue" in said.out


def test_show_of_no_run_is_an_error(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    said = orchestrate("show", "ffff")
    assert said.code == 2
    assert "ffff" in said.err


def test_status_tells_what_the_stores_know(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    assert orchestrate("status").out.startswith("No budget or quota is set, no circuit has opened")
    journal = JournalFile(workspace, durable=False)
    for number in range(2):
        journal.write(
            CircuitChanged(
                model="sim/medium",
                state="half_open" if number else "open",
                failure_rate=0.6,
                attempts=40,
                reason="the probe\x1b[2K failed",
                changed_at=datetime.now(UTC).replace(tzinfo=None),
            )
        )
    journal.close()
    said = orchestrate("status")
    assert said.code == 0
    assert "sim/medium  half-open  60 % of 40" in said.out
    assert "\x1b" not in said.out
    told = json.loads(orchestrate("status", "-f", "json").out)
    assert told["Circuits, as they last changed"][0]["circuit"] == "half-open"


def test_export_writes_every_table(workspace: Path, orchestrate: Callable[..., Said], tmp_path: Path) -> None:
    record(workspace)
    said = orchestrate("export", str(tmp_path / "out"))
    assert said.code == 0
    written = [Path(line) for line in said.out.splitlines()]
    assert {path.stem for path in written} >= {"runs", "requests", "calls", "texts"}
    calls = duckdb.read_parquet(f"{tmp_path}/out/calls.parquet").project("model").fetchall()
    assert calls == [("sim/small",)]


def test_prune_deletes_what_is_old_and_says_so(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    record(workspace, days_ago=100)
    kept = record(workspace)
    said = orchestrate("prune", "--older-than", "30")
    assert said.code == 0
    assert "1 runs" in said.out
    assert [row["run_id"] for row in json.loads(orchestrate("runs", "-f", "json").out)] == [kept]


def test_trust_shows_what_it_trusts(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    (workspace / "orchestrate.toml").write_text('[providers.house]\nbase_url = "https://llm.example.com"\n# \x1b[8m\n')
    assert not is_trusted(workspace)
    said = orchestrate("trust")
    assert said.code == 0
    assert "https://llm.example.com" in said.out
    assert "\x1b" not in said.out
    assert is_trusted(workspace)


def test_trust_without_settings_is_wrong_usage(tmp_path: Path, orchestrate: Callable[..., Said]) -> None:
    assert orchestrate("trust").code == 2


def test_models_says_which_can_be_asked_and_why_not(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    rows = {row["model"]: row for row in json.loads(orchestrate("models", "-f", "json").out)}
    assert rows["sim/small"]["usable"] == "yes"
    assert rows["sim/small"]["alias"] == "fast"
    closed = [row for row in rows.values() if row["usable"] == "no"]
    assert any("OPENAI_API_KEY" in row["note"] for row in closed)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["runz"], "'runs'"),
        (["runs", "--limit", "many"], "--limit"),
        (["sql"], "query"),
        (["runs", "--nonsense"], "--nonsense"),
        (["runs", "--workspace", "nowhere"], "nowhere"),
        (["prune"], "--older-than"),
    ],
)
def test_wrong_usage_is_one_line_and_a_hint(
    workspace: Path, orchestrate: Callable[..., Said], words: list[str], sentence: str
) -> None:
    said = orchestrate(*words)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err
    assert len(said.err.splitlines()) <= 2


def test_broken_settings_are_wrong_usage(workspace: Path, orchestrate: Callable[..., Said]) -> None:
    (workspace / "orchestrate.toml").write_text("budget_usd = 'much'")
    said = orchestrate("models")
    assert said.code == 2
    assert "budget_usd" in said.err


def test_nothing_typed_shows_the_commands(orchestrate: Callable[..., Said]) -> None:
    said = orchestrate()
    assert said.code == 0
    assert all(command in said.out for command in ("models", "sql", "runs", "show", "export", "prune", "trust"))


def test_version(orchestrate: Callable[..., Said]) -> None:
    assert orchestrate("--version") == (0, f"orchestration_nb {__version__}\n", "")


def test_reader_that_has_had_enough_is_no_error(workspace: Path) -> None:
    record(workspace)
    command = f"{sys.executable} -m orchestration_nb.cli sql 'SELECT range FROM range(200000)' | head -n 1"
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(cli.__file__).parents[1]), os.environ["PYTHONPATH"]]),
    }
    done = subprocess.run(["/bin/sh", "-c", command], env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("range\n", "")
