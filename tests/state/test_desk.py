"""Works share a transaction, fail alone, and never hold the loop up."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb.errors import StateError
from orchestration_nb.state import desk as desk_module
from orchestration_nb.state import store
from orchestration_nb.state.desk import Desk, Gathering
from orchestration_nb.state.store import StateFile
from tests.state.files import written

OpenDesk = Callable[[], Desk]


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[OpenDesk]:
    """One more process's desk; closed at the end."""
    opened: list[Desk] = []

    def open_one() -> Desk:
        opened.append(Desk(StateFile(tmp_path, busy_s=0)))
        return opened[-1]

    yield open_one
    for desk in opened:
        desk.close()


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    desk = open_desk()
    await desk.submit(lambda connection: connection.execute("create table t (n integer check (n > 0))"))
    return desk


def insert(number: int) -> Callable[[sqlite3.Connection], int]:
    return lambda connection: connection.execute("insert into t values (?)", (number,)).rowcount


def numbers(workspace: Path) -> list[int]:
    """What a stranger reads."""
    with sqlite3.connect(workspace / ".orchestrate" / "state.sqlite") as connection:
        rows = [number for (number,) in connection.execute("select n from t order by rowid")]
    connection.close()
    return rows


def numbers_of(connection: sqlite3.Connection) -> list[Any]:
    return connection.execute("select n from t").fetchall()


def transactions(desk: Desk) -> list[str]:
    """Every ``begin`` and ``commit`` from now on."""
    seen: list[str] = []
    connection = desk._file.open()
    connection.set_trace_callback(lambda text: seen.append(text) if text.startswith(("begin", "commit")) else None)
    return seen


class TestOneTransaction:
    async def test_holds_all_works_of_one_turn_in_order(self, desk: Desk, tmp_path: Path) -> None:
        seen = transactions(desk)
        assert await asyncio.gather(*(desk.submit(insert(number)) for number in (3, 1, 2))) == [1, 1, 1]
        assert seen == ["begin immediate", "commit"]
        assert numbers(tmp_path) == [3, 1, 2]

    async def test_keeps_the_others_where_one_work_fails(self, desk: Desk, tmp_path: Path) -> None:
        async def both(number: int) -> int:
            def twice(connection: sqlite3.Connection) -> int:
                connection.execute("insert into t values (7)")
                return insert(number)(connection)

            return await desk.submit(twice)

        first, failed, last = await asyncio.gather(both(1), both(-1), both(2), return_exceptions=True)
        assert (first, last) == (1, 1)
        assert isinstance(failed, sqlite3.IntegrityError)
        assert numbers(tmp_path) == [7, 1, 7, 2]

    async def test_undoes_a_work_that_fails_alone(self, desk: Desk, tmp_path: Path) -> None:
        def stumble(connection: sqlite3.Connection) -> None:
            connection.execute("insert into t values (7)")
            raise LookupError("no")

        with pytest.raises(LookupError):
            await desk.submit(stumble)
        assert await desk.submit(insert(1)) == 1
        assert numbers(tmp_path) == [1]

    async def test_carries_what_was_posted_before(self, desk: Desk, tmp_path: Path) -> None:
        seen = transactions(desk)
        desk.post(insert(1))
        await desk.submit(insert(2))
        assert numbers(tmp_path) == [1, 2]
        assert seen == ["begin immediate", "commit"]

    async def test_comes_of_itself_for_what_was_posted(self, desk: Desk, tmp_path: Path) -> None:
        desk.post(insert(1))
        desk.post(insert(2))
        assert numbers(tmp_path) == []
        async with asyncio.timeout(30):
            while not numbers(tmp_path):  # noqa: ASYNC110 - nobody is told of what was posted
                await asyncio.sleep(0.005)
        assert numbers(tmp_path) == [1, 2]

    async def test_tells_of_a_posted_work_that_fails(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        desk.post(insert(-1))
        await desk.flush()
        assert "A change of" in caplog.text


class TestAnEntryApart:
    """Of one who comes alone: what was posted is left its time to share a transaction with what follows."""

    @pytest.fixture
    async def alone(self, tmp_path: Path, desk: Desk) -> Desk:
        one = Desk(StateFile(tmp_path, busy_s=0), crowd=lambda: 1)
        await one.submit(numbers_of)
        return one

    async def test_leaves_what_was_posted_to_the_next_transaction(self, alone: Desk, tmp_path: Path) -> None:
        for number in (1, 3):
            alone.post(insert(number))
            await alone.submit(insert(number + 1), apart=True)
        assert numbers(tmp_path) == [2, 4]
        await alone.flush()
        assert numbers(tmp_path) == [2, 4, 1, 3]
        alone.close()

    async def test_does_not_keep_what_was_posted_waiting(self, alone: Desk, tmp_path: Path) -> None:
        alone.post(insert(1))
        begun = time.monotonic()
        while 1 not in numbers(tmp_path):
            await alone.submit(insert(2), apart=True)
            await asyncio.sleep(0)
            assert time.monotonic() - begun < 30
        alone.close()

    async def test_takes_it_along_where_others_come_too(self, desk: Desk, tmp_path: Path) -> None:
        seen = transactions(desk)
        desk.post(insert(1))
        await desk.submit(insert(2), apart=True)
        assert numbers(tmp_path) == [1, 2]
        assert seen == ["begin immediate", "commit"]

    async def test_that_meets_a_lock_goes_with_the_others(self, alone: Desk, tmp_path: Path) -> None:
        other = sqlite3.connect(tmp_path / ".orchestrate" / "state.sqlite", isolation_level=None)
        other.execute("begin immediate")
        alone.post(insert(1))
        waiting = asyncio.ensure_future(alone.submit(insert(2), apart=True))
        await asyncio.sleep(0.01)
        other.execute("rollback")
        other.close()
        assert await waiting == 1
        assert numbers(tmp_path) == [1, 2]
        alone.close()

    async def test_is_told_when_it_was_committed_though_nobody_waits_any_more(
        self, alone: Desk, tmp_path: Path
    ) -> None:
        told: list[int] = []
        other = sqlite3.connect(tmp_path / ".orchestrate" / "state.sqlite", isolation_level=None)
        other.execute("begin immediate")
        waiting = asyncio.ensure_future(alone.submit(insert(1), told.append, apart=True))
        await asyncio.sleep(0.01)
        waiting.cancel()
        other.execute("rollback")
        other.close()
        await alone.flush()
        assert (told, numbers(tmp_path)) == ([1], [1])
        alone.close()


class TestGathering:
    """Changes of one kind."""

    async def test_makes_one_work_of_what_comes_between_two_transactions(self, desk: Desk) -> None:
        done: list[list[int]] = []
        told: list[Any] = []

        def note(_: sqlite3.Connection, items: list[int]) -> int:
            done.append([*items])
            return len(items)

        changes = Gathering(desk, note, lambda items, count: told.append((items, count)))
        for number in (3, 1, 2):
            changes.add(number)
        await desk.flush()
        changes.add(4)
        await desk.flush()
        assert done == [[3, 1, 2], [4]]
        assert told == [([3, 1, 2], 3), ([4], 1)]

    async def test_one_that_fails_leaves_nothing_behind_and_the_others_stand(
        self, desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def insert_all(connection: sqlite3.Connection, items: list[int]) -> None:
            for number in items:
                connection.execute("insert into t values (7)")
                insert(number)(connection)

        changes = Gathering(desk, insert_all)
        for number in (1, -1, 2):
            changes.add(number)
        await desk.flush()  # together they fail
        await desk.flush()
        assert numbers(tmp_path) == [7, 1, 7, 2]
        assert caplog.text.count("A change of the state failed.") == 1

    async def test_waits_with_the_others_for_a_lock(self, desk: Desk, tmp_path: Path) -> None:
        def insert_all(connection: sqlite3.Connection, items: list[int]) -> None:
            for number in items:
                insert(number)(connection)

        changes = Gathering(desk, insert_all)
        other = sqlite3.connect(tmp_path / ".orchestrate" / "state.sqlite", isolation_level=None)
        other.execute("begin immediate")
        changes.add(1)
        waiting = asyncio.ensure_future(desk.flush())
        await asyncio.sleep(0.01)
        changes.add(2)
        other.execute("rollback")
        other.close()
        await waiting
        assert numbers(tmp_path) == [1, 2]


class TestALock:
    async def test_of_another_process_is_awaited_while_the_loop_goes_on(self, desk: Desk, tmp_path: Path) -> None:
        other = sqlite3.connect(tmp_path / ".orchestrate" / "state.sqlite", isolation_level=None)
        other.execute("begin immediate")
        waiting = asyncio.ensure_future(desk.submit(insert(1)))
        longest_s, last_s, until_s = 0.0, time.monotonic(), time.monotonic() + 1.0
        while time.monotonic() < until_s:
            await asyncio.sleep(0.001)
            longest_s, last_s = max(longest_s, time.monotonic() - last_s), time.monotonic()
        assert not waiting.done()
        other.execute("commit")
        other.close()
        assert await asyncio.wait_for(waiting, 20) == 1
        assert longest_s < 0.5, "and not the whole second"

    async def test_that_is_never_let_go_stops_the_work(
        self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(desk_module, "BUSY_S", 0.1)
        other = sqlite3.connect(tmp_path / ".orchestrate" / "state.sqlite", isolation_level=None)
        other.execute("begin immediate")
        desk.post(insert(1))
        with pytest.raises(StateError, match=r"was locked by another process for 0\.1 seconds"):
            await desk.submit(insert(2))
        other.execute("commit")
        other.close()
        assert await desk.submit(insert(3)) == 1
        assert numbers(tmp_path) == [1, 3]

    async def test_between_two_desks_loses_nothing(self, desk: Desk, open_desk: OpenDesk, tmp_path: Path) -> None:
        desks = [desk, open_desk(), open_desk()]
        await asyncio.gather(*(one.submit(insert(number)) for number in range(1, 101) for one in desks))
        assert sorted(numbers(tmp_path)) == sorted([*range(1, 101)] * 3)


class TestAFile:
    async def test_is_not_opened_before_it_is_needed(self, open_desk: OpenDesk, tmp_path: Path) -> None:
        open_desk()
        assert not (tmp_path / ".orchestrate").exists()

    async def test_of_a_newer_version_is_refused_untouched(self, open_desk: OpenDesk, tmp_path: Path) -> None:
        path = tmp_path / ".orchestrate" / "state.sqlite"
        path.parent.mkdir()
        with sqlite3.connect(path) as connection:
            connection.execute("pragma user_version = 99")
        connection.close()
        before = path.read_bytes()
        with pytest.raises(StateError, match="has version 99") as caught:
            await open_desk().submit(insert(1))
        assert "Update" in caught.value.hint
        assert path.read_bytes() == before

    async def test_that_cannot_be_made_is_one_sentence(self, open_desk: OpenDesk, tmp_path: Path) -> None:
        (tmp_path / ".orchestrate").write_text("in the way")
        with pytest.raises(StateError, match="cannot be written") as caught:
            await open_desk().submit(insert(1))
        assert caught.value.hint

    async def test_that_may_only_be_read_is_one_sentence(self, desk: Desk) -> None:
        desk._file.open().execute("pragma query_only = on")
        with pytest.raises(StateError, match="cannot be written: attempt to write a readonly database"):
            await desk.submit(insert(1))

    async def test_on_a_full_disk_keeps_what_was_posted_for_later(self, desk: Desk, tmp_path: Path) -> None:
        connection = desk._file.open()
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count = {pages}")
        desk.post(insert(1))

        def much(connection: sqlite3.Connection) -> None:
            connection.execute("create table much as select zeroblob(100000) as blob")

        with pytest.raises(StateError, match="the disk is full"):
            await desk.submit(much)
        connection.execute(f"pragma max_page_count = {pages + 1000}")
        await desk.submit(insert(2))
        assert numbers(tmp_path) == [1, 2]

    async def test_that_is_damaged_is_said_once_and_kept(self, desk: Desk, tmp_path: Path) -> None:
        desk.close()
        path = tmp_path / ".orchestrate" / "state.sqlite"
        path.write_bytes(b"no database at all" * 1000)
        with pytest.raises(StateError, match="was damaged"):
            await desk.flush()
        await desk.flush()
        assert len(list(path.parent.glob("state.damaged-*.sqlite"))) == 1

    async def test_that_was_removed_is_begun_anew_instead_of_written_unseen(self, desk: Desk, tmp_path: Path) -> None:
        for path in (tmp_path / ".orchestrate").glob("state.sqlite*"):
            path.unlink()
        await asyncio.sleep(desk_module.LOOK_S * 1.2)
        await desk.submit(lambda connection: connection.execute("create table t (n integer)"))
        await desk.submit(insert(1))
        assert numbers(tmp_path) == [1]


class TestTheEnd:
    async def test_writes_what_was_posted(self, desk: Desk, tmp_path: Path) -> None:
        desk.post(insert(1))
        desk.close()
        assert numbers(tmp_path) == [1]

    async def test_that_cannot_write_says_so(
        self, desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        desk.post(insert(1))
        desk._file.open().execute("pragma query_only = on")
        desk.flush_now()
        assert "1 entries of" in caplog.text

    @pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
    async def test_is_not_that_of_a_forked_child(self, desk: Desk, tmp_path: Path) -> None:
        desk.post(insert(1))
        child = os.fork()
        if child == 0:
            desk.close()
            os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        await desk.flush()
        assert numbers(tmp_path) == [1]

    async def test_of_the_loop_leaves_the_waiting_to_be_cancelled(self, desk: Desk, tmp_path: Path) -> None:
        other = sqlite3.connect(tmp_path / ".orchestrate" / "state.sqlite", isolation_level=None)
        other.execute("begin immediate")
        waiting: Any = asyncio.ensure_future(desk.submit(insert(1)))
        await asyncio.sleep(0.05)
        waiting.cancel()
        other.execute("commit")
        other.close()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wait_for(desk.flush(), 20)


def test_every_version_leads_to_the_last(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    version = written(file, lambda connection: connection.execute("pragma user_version").fetchone()[0])
    file.close()
    assert version == len(store.MIGRATIONS)
