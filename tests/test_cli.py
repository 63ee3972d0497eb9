from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

from orchestration_nb import __version__, cli
from orchestration_nb.config import is_trusted
from orchestration_nb.engine.loop import wait
from orchestration_nb.events import CallFinished, CircuitChanged, RequestFinished, RunFinished, RunStarted
from orchestration_nb.ids import CallId, RequestId, RunId, new_id
from orchestration_nb.ledger import Ledger
from orchestration_nb.ledger.journal import JournalFile
from orchestration_nb.state.batches import BatchRow, BatchStore
from orchestration_nb.workspace import Workspace
from tests.ledger import happened

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


class TestBatches:
    @pytest.fixture
    def batch(self, workspace: Path) -> BatchRow:
        """One that the simulated provider does not know of."""
        row = BatchRow(
            token="a1b2c3d4e5f6",
            provider="sim",
            model="sim/small",
            provider_id=None,
            status="submitting",
            owner="nobody",
            size=1200,
            created_at=datetime(2026, 3, 1, 12, 3, tzinfo=UTC).replace(tzinfo=None),
            waiting=1200,
            run_id="0193f00aa55e",
            flow="triage",
        )
        house = Workspace(workspace)
        store = BatchStore(house.desk)
        wait(house.engine.submit(store.begin(row, [f"k{number}" for number in range(row.size)])))
        wait(house.engine.submit(store.taken(row.token, "batch_7")))
        return row

    def test_are_listed_for_people_and_programs(
        self, batch: BatchRow, orchestrate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "300")
        table = orchestrate("batches", "-f", "table").out
        for seen in ("a1b2c3d4", "sim/small", "1,200", "triage", "0193f00aa55e", "2026-03-01 12:03:00 UTC", "batch_7"):
            assert seen in table
        (row,) = json.loads(orchestrate("batches", "-f", "json").out)
        assert (row["token"], row["waiting"], row["status"]) == (batch.token, 1200, "under_way")
        assert "owner" not in row
        assert orchestrate("batches").out.startswith("token,provider,model,")

    def test_one_is_cancelled_at_its_provider(self, batch: BatchRow, orchestrate: Callable[..., Said]) -> None:
        said = orchestrate("batches", "cancel", batch.token[:4])
        assert said.code == 1
        assert "batch_7" in said.err, "the provider was asked, and knows no such batch"
        assert orchestrate("batches", "cancel").code == 2
        said = orchestrate("batches", "cancel", "zz")
        assert (said.code, said.err.splitlines()[0]) == (2, "Error: No batch of this workspace begins with 'zz'.")

    def test_none_is_said_so(self, workspace: Path, orchestrate: Callable[..., Said]) -> None:
        record(workspace)
        assert orchestrate("batches", "-f", "table").out == "No batch is under way.\n"
        assert json.loads(orchestrate("batches", "-f", "json").out) == []


def test_version(orchestrate: Callable[..., Said]) -> None:
    assert orchestrate("--version") == (0, f"orchestration_nb {__version__}\n", "")


def spent(folder: Path, usd: float, **fields: Any) -> None:
    """Journals a real call of today."""
    at = datetime.now(UTC).replace(tzinfo=None)
    journal = JournalFile(folder)
    journal.write(happened.call(**{"cost_usd": usd, "billed_usd": usd, "started_at": at, **fields}))
    journal.close()


class TestSpend:
    def test_programs_get_every_column_and_people_a_table(
        self, workspace: Path, orchestrate: Callable[..., Said]
    ) -> None:
        spent(workspace, 2.0)
        spent(workspace, 0.5, model="a/b", bill_unknown=True, billed_usd=0.75)
        rows = list(csv.DictReader(io.StringIO(orchestrate("spend").out)))
        assert [(row["model"], float(row["spent_usd"]), float(row["unknown_usd"])) for row in rows] == [
            ("openai/gpt-4.1-mini", 2.0, 0.0),
            ("a/b", 0.5, 0.25),
        ]
        told = json.loads(orchestrate("spend", "by", "day", "--days", "2", "-f", "json").out)
        assert (told["by"], told["simulated"], len(told["rows"])) == ("day", False, 1)
        table = orchestrate("spend", "-f", "table").out
        assert "$2.50 spent since" in table
        assert "Up to $0.25 more may have been billed" in table
        assert "openai/gpt-4.1-mini" in table

    def test_simulated_dollars_are_no_money(self, workspace: Path, orchestrate: Callable[..., Said]) -> None:
        spent(workspace, 1.0, simulated=True)
        assert "spent_usd" not in orchestrate("spend").out
        assert "simulated, no money" in orchestrate("spend", "-f", "table").out

    def test_a_wrong_word_is_wrong_usage(self, workspace: Path, orchestrate: Callable[..., Said]) -> None:
        said = orchestrate("spend", "by", "modle", "-w", str(workspace))
        assert said.code == 2
        assert "Did you mean `by model`?" in said.err


class TestReprice:
    RIGHT = ("reprice", "openai/gpt-4.1-mini", "--input", "0.8", "--output", "3.2", "--cached", "0.2")

    def cost(self, folder: Path) -> float:
        return float(Ledger(folder).sql("select sum(cost_usd) as usd from calls").usd[0])

    def test_in_a_pipe_it_shows_and_changes_nothing(self, workspace: Path, orchestrate: Callable[..., Said]) -> None:
        spent(workspace, 0.25)
        said = orchestrate(*self.RIGHT)
        assert said.code == 2
        assert "1 call of openai/gpt-4.1-mini would be reckoned anew" in said.out
        assert "Add --yes" in said.err
        assert self.cost(workspace) == 0.25

    def test_with_yes_it_does(self, workspace: Path, orchestrate: Callable[..., Said]) -> None:
        spent(workspace, 0.25)
        said = orchestrate(*self.RIGHT, "--yes")
        assert said.code == 0
        assert "budgets" in said.out
        assert self.cost(workspace) == pytest.approx((100 * 0.8 + 20 * 0.2 + 30 * 3.2) / 1e6)
        assert "would change" in orchestrate(*self.RIGHT).out

    def test_in_a_terminal_it_asks(
        self, workspace: Path, orchestrate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spent(workspace, 0.25)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        answers = [False, True]
        monkeypatch.setattr("typer.confirm", lambda _question: answers.pop(0))
        assert "Nothing was changed." in orchestrate(*self.RIGHT).out
        assert self.cost(workspace) == 0.25
        assert "Done." in orchestrate(*self.RIGHT).out
        assert self.cost(workspace) < 0.25

    def test_other_times_stay(self, workspace: Path, orchestrate: Callable[..., Said]) -> None:
        spent(workspace, 0.25)
        said = orchestrate(*self.RIGHT, "--until", "2020-01-01", "--yes")
        assert (said.code, self.cost(workspace)) == (0, 0.25)
        assert orchestrate(*self.RIGHT, "--since", "soon").code == 2
