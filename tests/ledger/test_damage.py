"""A ledger that is newer, damaged, half made or beyond reach."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration_nb.errors import LedgerNewerError, WorkspaceError
from orchestration_nb.ledger import JournalFile, Ledger, database, schema
from tests.ledger import happened
from tests.ledger.conftest import Write

BLOCK = 262_144
Spoil = Callable[[bytes], bytes]


def file_of(workspace: Path) -> Path:
    return workspace / ".orchestrate" / "ledger.duckdb"


def kept_aside(workspace: Path) -> list[Path]:
    return sorted((workspace / ".orchestrate").glob("ledger.damaged-*"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"",
        lambda whole: b"not a database, " * 1000,
        lambda whole: whole[:100],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"\0" * 12_288 + whole[12_288:],
        lambda whole: whole[:5000] + b"\xff" * 5000 + whole[10_000:],
        lambda whole: whole[:40_000] + b"\xff" * 5000 + whole[45_000:],
    ],
    ids=["empty", "text", "100 bytes", "half", "no headers", "header", "first block"],
)
def test_a_damaged_one_is_kept_aside_and_made_anew_from_the_journal(
    write: Write, tmp_path: Path, spoil: Spoil, caplog: pytest.LogCaptureFixture
) -> None:
    write(happened.run_started("r1"), happened.call("r1"), happened.run_finished("r1"))
    Ledger(tmp_path).merge()
    write(happened.call("r2"))
    Ledger(tmp_path).merge()
    spoiled = spoil(file_of(tmp_path).read_bytes())
    file_of(tmp_path).write_bytes(spoiled)
    living = JournalFile(tmp_path)
    living.write(happened.call("r3"))
    ledger = Ledger(tmp_path)
    assert ledger.sql("select run_id from calls order by 1").run_id.tolist() == ["r1", "r2", "r3"]
    assert ledger.runs().status.tolist() == ["done"]
    (aside,) = kept_aside(tmp_path)
    assert aside.read_bytes() == spoiled
    assert any("damaged" in message and aside.name in message for message in caplog.messages)


def test_damage_that_shows_only_when_it_is_read(write: Write, tmp_path: Path) -> None:
    """Each block in turn: the rows are whole, whichever it was."""
    dice = random.Random(5)
    write(*(happened.call("r", reply=dice.randbytes(1000).hex()) for _ in range(800)))
    ledger = Ledger(tmp_path)
    query = "select count(*) as n, sum(length(reply)) as letters from calls join texts using (call_id)"
    before = ledger.sql(query).to_numpy().tolist()
    whole = file_of(tmp_path).read_bytes()
    blocks = range(12_288, len(whole), BLOCK)
    assert len(blocks) > 3
    for start in blocks:
        file_of(tmp_path).write_bytes(whole[: start + 1000] + b"\xff" * 100 + whole[start + 1100 :])
        assert ledger.sql(query).to_numpy().tolist() == before
    assert len(kept_aside(tmp_path)) > 2


def test_the_report_says_where_the_damaged_one_is(write: Write, tmp_path: Path) -> None:
    write(happened.call("r1"))
    file_of(tmp_path).write_text("damaged")
    report = Ledger(tmp_path).merge()
    assert (report.lines, [report.rebuilt_from]) == (1, kept_aside(tmp_path))


def test_one_deleted_by_hand_is_made_anew(write: Write, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    write(happened.call("r1"))
    ledger.merge()
    file_of(tmp_path).unlink()
    assert len(ledger.sql("from calls")) == 1


def test_making_anew_may_be_killed_at_any_step(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("r1", "r2", "r3"):
        write(happened.call(name))
        Ledger(tmp_path).merge()
    file_of(tmp_path).unlink()

    class KilledError(BaseException):
        pass

    rename, renamed = Path.rename, 0

    def rename_once(path: Path, target: Path) -> Path:
        nonlocal renamed
        renamed += 1
        if renamed > 1:
            raise KilledError
        return rename(path, target)

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    for owner, name, stand_in in ((Path, "rename", rename_once), (database, "create", killed)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stand_in)
            with pytest.raises(KilledError):
                Ledger(tmp_path).merge()
    assert len(Ledger(tmp_path).sql("from calls")) == 3


class TestNewer:
    def test_one_is_refused_and_left_as_it_is(self, write: Write, tmp_path: Path) -> None:
        import duckdb

        write(happened.call("r1"))
        Ledger(tmp_path).merge()
        with duckdb.connect(str(file_of(tmp_path))) as connection:
            connection.execute("insert into ledger_version values (?)", [len(schema.MIGRATIONS) + 1])
            connection.execute("alter table calls add column mood varchar")
        segment = write(happened.call("r2"))
        before = file_of(tmp_path).read_bytes()
        ledger = Ledger(tmp_path)
        for ask in (ledger.merge, ledger.runs, lambda: ledger.sql("select 1"), lambda: ledger.prune(0)):
            with pytest.raises(
                LedgerNewerError,
                match=f"has schema version {len(schema.MIGRATIONS) + 1}; .* knows up to {len(schema.MIGRATIONS)}",
            ) as caught:
                ask()
            assert "Update orchestration_nb" in caught.value.hint
        assert file_of(tmp_path).read_bytes() == before
        assert segment.exists()

    def test_a_reader_that_has_merged_notices_as_well(self, write: Write, tmp_path: Path) -> None:
        import duckdb

        write(happened.call("r1"))
        ledger = Ledger(tmp_path)
        ledger.merge()
        with duckdb.connect(str(file_of(tmp_path))) as connection:
            connection.execute("insert into ledger_version values (99)")
        with pytest.raises(LedgerNewerError):
            ledger.sql("select 1")

    def test_a_file_of_a_newer_duckdb_is_not_taken_for_damaged(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import duckdb

        write(happened.call("r1"))
        Ledger(tmp_path).merge()

        def refuse(*_: object, **__: object) -> None:
            raise duckdb.IOException(
                "IO Error: Trying to read a database file with version number 999, but we can only read versions "
                "between 64 and 68."
            )

        write(happened.call("r2"))
        monkeypatch.setattr(duckdb, "connect", refuse)
        with pytest.raises(LedgerNewerError, match="another version of DuckDB"):
            Ledger(tmp_path).merge()
        assert kept_aside(tmp_path) == []


def test_an_older_one_is_brought_up_to_date_with_its_rows(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(happened.call("r1"))
    ledger = Ledger(tmp_path)
    ledger.merge()
    more = (
        *schema.MIGRATIONS,
        "create table marks (call_id varchar, mark double); alter table calls add mood varchar",
    )
    monkeypatch.setattr(database, "MIGRATIONS", more)
    write(happened.call("r2"))
    assert ledger.sql("select run_id, mood from calls order by 1").run_id.tolist() == ["r1", "r2"]
    assert ledger.sql("from marks").empty
    assert ledger.sql("select version from ledger_version order by 1").version.tolist() == list(range(1, len(more) + 1))


def test_a_migration_that_fails_changes_nothing(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(happened.call("r1"))
    Ledger(tmp_path).merge()
    write(happened.call("r2"))
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", (*schema.MIGRATIONS, "create table marks (x int); create nonsense"))
        with pytest.raises(WorkspaceError):
            Ledger(tmp_path).merge()
    assert "marks" not in Ledger(tmp_path).tables()
    assert len(Ledger(tmp_path).sql("from calls")) == 2


def test_a_workspace_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match=r"^The workspace .* cannot be written: .*\.$"):
        Ledger(tmp_path / "file").runs()


def test_another_process_that_merges_is_waited_for_with_a_limit(tmp_path: Path) -> None:
    from orchestration_nb.state import locked

    ledger = Ledger(tmp_path, wait_s=0.05)
    ledger.merge()
    with (
        locked(tmp_path / ".orchestrate" / "ledger.lock", alone=True, limit_s=1),
        pytest.raises(WorkspaceError, match=r"was held by another process for 0.05 seconds\.$"),
    ):
        ledger.sql("select 1")


def test_every_field_of_every_event_has_a_column() -> None:
    import dataclasses
    import typing

    from orchestration_nb import events

    for kind in typing.get_args(events.Event):
        fields = {field.name for field in dataclasses.fields(kind)}
        load = schema.LOADS[kind.__dataclass_fields__["event"].default]
        assert fields - {"event"} == load.columns.keys() - {"segment"}
