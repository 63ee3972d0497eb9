"""What was written to a journal can be asked of the ledger, shown, and taken elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.ledger import JournalFile, Ledger
from orchestration_nb.ledger.schema import MIGRATIONS
from tests.ledger import happened
from tests.ledger.conftest import Write, python


def test_a_whole_run_becomes_rows_of_every_table(write: Write, ledger: Ledger) -> None:
    request = happened.request("r1", instead_of="openai/gpt-4.1")
    call = happened.call("r1", request_id=request.request_id)
    write(happened.run_started("r1"), call, request, happened.item("r1"), happened.run_finished("r1"))
    assert ledger.merge().lines == 5
    run = ledger.sql("select * from runs").iloc[0]
    assert (run.run_id, run.status, run.items_ok, run.cost_usd, run.tags) == ("r1", "done", 2, 0.5, {"team": "support"})
    assert run.started_at == happened.NOON
    row = ledger.sql("select * from calls join texts using (call_id) join requests using (request_id)").iloc[0]
    assert (row.prompt, row.reply, row.input_tokens, row.billed_usd) == (call.prompt, call.reply, 120, 0.25)
    assert [one["http_status"] for one in row.attempts] == [429, 200]
    assert list(row.candidates) == ["fast", "strong"]
    assert row.instead_of == "openai/gpt-4.1"
    assert ledger.sql("select step, latency_ms from steps order by latency_ms").to_numpy().tolist() == [
        ["reply", 3.5],
        ["queue", 815.0],
    ]


class TestRuns:
    def test_are_listed_newest_first(self, write: Write, ledger: Ledger) -> None:
        for name in ("r1", "r2", "r3"):
            write(happened.run_started(name), happened.call(name, simulated=True), happened.run_finished(name))
        runs = ledger.runs(2)
        assert runs.run_id.tolist() == ["r3", "r2"]
        assert runs[["calls", "seconds", "simulated"]].to_numpy().tolist() == [[1, 9.0, True]] * 2

    @pytest.mark.parametrize("name", ["last", "0a1b2c", "0a1b", "2c"])
    def test_one_is_shown_with_its_steps_models_and_errors(self, write: Write, ledger: Ledger, name: str) -> None:
        write(
            happened.run_started("0a1b2c"),
            happened.call("0a1b2c"),
            happened.item("0a1b2c", 0),
            happened.item("0a1b2c", 1, status="failed", error_type="StepError", error="no"),
            happened.run_finished("0a1b2c"),
        )
        details = ledger.run(name)
        assert (details.run["flow"], details.run["budget_usd"]) == ("triage", 5.0)
        assert details.steps[["step", "items"]].to_numpy().tolist() == [["queue", 2], ["reply", 2]]
        assert details.models[["model", "calls", "retries"]].to_numpy().tolist() == [["openai/gpt-4.1-mini", 1, 1]]
        assert details.errors.to_numpy().tolist() == [["StepError", "no", 1, 1]]

    def test_an_unclear_name_is_refused(self, write: Write, ledger: Ledger) -> None:
        write(happened.run_started("0a1b"), happened.run_started("0a1c"))
        with pytest.raises(UsageError, match="More than one run is called '0a1': 0a1c, 0a1b"):
            ledger.run("0a1")
        for name in ("zz", "", "0a1b'; drop table runs; --"):
            with pytest.raises(UsageError, match="The ledger has no run"):
                ledger.run(name)

    def test_there_is_no_last_one_in_a_new_workspace(self, ledger: Ledger) -> None:
        with pytest.raises(UsageError, match="The ledger has no run 'last'"):
            ledger.run("last")


class TestExport:
    def test_writes_a_parquet_file_a_table(self, write: Write, ledger: Ledger, tmp_path: Path) -> None:
        import duckdb

        write(happened.run_started("r1"), happened.call("r1"), happened.item("r1"))
        folder = tmp_path / "it's out"
        folder.mkdir()
        (folder / "calls.parquet").write_text("old")
        paths = ledger.export(folder)
        assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in paths)
        its_own = {"segments", "bad_lines"}  # what the ledger remembers of the journal's files
        created = set(re.findall(r"^create table (\w+)", "\n".join(MIGRATIONS), re.MULTILINE))
        assert {path.stem for path in paths} == created - its_own
        with duckdb.connect() as connection:
            calls, texts = str(folder / "calls.parquet"), str(folder / "texts.parquet")
            status = connection.execute("select attempts[1].http_status from read_parquet(?)", [calls]).fetchall()
            reply = connection.execute("select reply from read_parquet(?)", [texts]).fetchall()
        assert (status, reply) == ([(429,)], [("billing",)])

    def test_an_unwritable_folder_is_one_sentence(self, ledger: Ledger, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(WorkspaceError, match=r"^The folder .* cannot be written: .*\.$"):
            ledger.export(tmp_path / "file")


@pytest.mark.slow
def test_merging_takes_memory_by_the_batch_not_by_the_journal(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from orchestration_nb.ledger import JournalFile, Ledger
from tests.ledger import happened
from tests.memory import peak_mb
journal = JournalFile(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    journal.write(happened.call(prompt=f"{number} " * 400))
Ledger(Path(sys.argv[1])).merge()
print(peak_mb())
"""
    small, large = (int(python(script, tmp_path / str(count), count)) for count in (4_000, 40_000))
    assert large < small + 150, f"{small} MB for a journal of 12 MB, {large} MB for one of 120 MB"


def test_news_are_what_was_journalled_since_the_last_reading(tmp_path: Path, ledger: Ledger) -> None:
    journal = JournalFile(tmp_path)
    journal.write(happened.run_started())
    assert ledger.has_news()
    ledger.merge()
    assert not ledger.has_news()
    journal.write(happened.call())
    assert ledger.has_news()
    ledger.merge()
    journal.close()
    assert ledger.has_news(), "a process that ended ends its runs"
    ledger.merge()
    assert not ledger.has_news()
