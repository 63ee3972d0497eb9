"""What was written to a journal can be asked of the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration_nb.events import Event
from orchestration_nb.ledger import JournalFile, Ledger
from tests.ledger import happened


def write(workspace: Path, *events: Event) -> None:
    journal = JournalFile(workspace)
    for event in events:
        journal.write(event)
    journal.close()


def test_a_whole_run_becomes_rows_of_every_table(tmp_path: Path) -> None:
    request = happened.request("r1")
    call = happened.call("r1", request_id=request.request_id)
    write(
        tmp_path,
        happened.run_started("r1"),
        call,
        request,
        happened.item("r1"),
        happened.run_finished("r1"),
    )
    ledger = Ledger(tmp_path)
    assert ledger.merge().lines == 5
    run = ledger.sql("select * from runs").iloc[0]
    assert (run.run_id, run.status, run.items_ok, run.cost_usd, run.tags) == ("r1", "done", 2, 0.5, {"team": "support"})
    assert run.started_at == happened.NOON
    row = ledger.sql("select * from calls join texts using (call_id) join requests using (request_id)").iloc[0]
    assert (row.prompt, row.reply, row.input_tokens, row.billed_usd) == (call.prompt, call.reply, 120, 0.25)
    assert [one["http_status"] for one in row.attempts] == [429, 200]
    assert list(row.candidates) == ["fast", "strong"]
    assert ledger.sql("select step, latency_ms from steps order by latency_ms").values.tolist() == [
        ["reply", 3.5],
        ["queue", 815.0],
    ]


@pytest.mark.parametrize("name", ["last", "r1", "run-r1"[4:]])
def test_a_run_is_shown_with_its_steps_and_models(tmp_path: Path, name: str) -> None:
    write(tmp_path, happened.run_started("r1"), happened.call("r1"), happened.item("r1"), happened.run_finished("r1"))
    details = Ledger(tmp_path).run(name)
    assert details.run["flow"] == "triage"
    assert details.steps.step.tolist() == ["queue", "reply"]
    assert details.models[["model", "calls", "retries"]].values.tolist() == [["openai/gpt-4.1-mini", 1, 1]]


def test_export_writes_a_parquet_file_a_table(tmp_path: Path) -> None:
    import duckdb

    write(tmp_path, happened.run_started("r1"), happened.call("r1"), happened.item("r1"))
    (tmp_path / "it's out").mkdir()
    (tmp_path / "it's out" / "calls.parquet").write_text("old")
    paths = Ledger(tmp_path).export(tmp_path / "it's out")
    assert sorted(path.name for path in (tmp_path / "it's out").iterdir()) == sorted(path.name for path in paths)
    with duckdb.connect() as connection:
        folder = str(tmp_path / "it's out" / "calls.parquet")
        assert connection.execute(
            "select reply from read_parquet(?)", [folder.replace("calls", "texts")]
        ).fetchall() == [("billing",)]
        assert connection.execute("select attempts[1].http_status from read_parquet(?)", [folder]).fetchall() == [
            (429,)
        ]
