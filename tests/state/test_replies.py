"""Replies that processes share: looked up and claimed at once, gone when old, evicted by use, and nobody else's."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb.state import claims, store
from orchestration_nb.state import replies as replies_module
from orchestration_nb.state.cache import Entry
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.replies import PATIENCE_S, RENEW_S, Replies
from orchestration_nb.state.seal import Seal
from orchestration_nb.state.store import StateFile
from orchestration_nb.testing import ManualClock
from tests.conftest import REPO
from tests.state.files import written

OpenReplies = Callable[..., Replies]
DAY_S = 24 * 3600.0


def file_of(workspace: Path) -> Path:
    return workspace / ".orchestrate" / "state.sqlite"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_replies(tmp_path: Path, clock: ManualClock) -> Iterator[OpenReplies]:
    """Opens the replies of a workspace, as one more process of the same user would; closes them at the end."""
    opened: list[tuple[Desk, Owners]] = []

    def open_one(*, workspace: Path = tmp_path, secret: str = "cache.key", **settings: Any) -> Replies:
        opened.append((Desk(StateFile(workspace, busy_s=0)), Owners(workspace)))
        return Replies(*opened[-1], clock, Seal(tmp_path / "config" / secret), **settings)

    yield open_one
    for desk, owners in opened:
        desk.close()
        owners.close()


async def found(replies: Replies, key: str) -> bytes | str:
    answer = await replies.find_or_claim(key)
    return answer.reply if isinstance(answer, Entry) else answer


def hang(replies: Replies) -> None:
    """As a process that was stopped (SIGSTOP), or whose loop is blocked: it lives, and does nothing."""
    assert replies._renewing is not None
    replies._renewing.cancel()


class TestEntries:
    async def test_are_found_by_every_process(self, open_replies: OpenReplies) -> None:
        one, other = open_replies(), open_replies()
        assert await found(one, "a") == "ours"
        one.keep("a", b"\x00\xff")
        await one.flush()
        assert await found(one, "a") == await found(other, "a") == b"\x00\xff"

    async def test_the_last_one_of_a_key_holds(self, open_replies: OpenReplies) -> None:
        replies = open_replies()
        replies.keep("a", b"one")
        replies.keep("a", b"two")
        await replies.flush()
        assert await found(replies, "a") == b"two"

    async def test_may_be_used_for_so_many_days(self, open_replies: OpenReplies, clock: ManualClock) -> None:
        replies, for_ever = open_replies(keep_days=30), open_replies(keep_days=None)
        replies.keep("a", b"one")
        await replies.flush()
        await clock.advance(30 * DAY_S)
        assert await found(replies, "a") == b"one"
        await clock.advance(0.001)
        assert await found(replies, "a") == "ours"
        assert await found(for_ever, "a") == b"one"

    async def test_those_too_old_are_deleted_as_others_come(
        self, open_replies: OpenReplies, clock: ManualClock, tmp_path: Path
    ) -> None:
        replies = open_replies(keep_days=1)
        for number in range(10):
            replies.keep(f"old{number}", b"one")
        await clock.advance(2 * DAY_S)
        for number in range(20):
            replies.keep(f"new{number}", b"one")
        await replies.flush()
        with sqlite3.connect(file_of(tmp_path)) as connection:
            assert connection.execute("select count(*) from replies where key like 'old%'").fetchone() == (0,)
            assert connection.execute("select count(*) from replies").fetchone() == (20,)
        connection.close()

    async def test_those_not_used_for_longest_go_when_there_is_no_room(
        self, open_replies: OpenReplies, clock: ManualClock, tmp_path: Path
    ) -> None:
        replies = open_replies(most_bytes=1_000_000)
        for number in range(400):
            replies.keep(str(number), os.urandom(10_000))
            if number == 50:
                await clock.advance(60)
                replies.note_use(["3"])
            await clock.advance(1)
            await replies.flush()
        assert file_of(tmp_path).stat().st_size < 2_500_000
        with sqlite3.connect(file_of(tmp_path)) as connection:
            kept = {int(key) for (key,) in connection.execute("select key from replies")}
        connection.close()
        assert 20 <= len(kept) <= 120
        assert kept == {*range(400 - len(kept), 400)}

    async def test_one_that_was_used_outlives_those_that_were_not(
        self, open_replies: OpenReplies, clock: ManualClock
    ) -> None:
        replies = open_replies(most_bytes=1_000_000)
        for number in range(60):
            replies.keep(str(number), os.urandom(10_000))
        await clock.advance(60)
        replies.note_use(["3"])
        for number in range(60, 105):
            await clock.advance(1)
            replies.keep(str(number), os.urandom(10_000))
        await replies.flush()
        assert isinstance(await replies.find_or_claim("3"), Entry)
        assert await replies.find_or_claim("4") == "ours"


class TestClaims:
    async def test_of_two_processes_one_asks_and_the_other_finds(self, open_replies: OpenReplies) -> None:
        one, other = open_replies(), open_replies()
        assert [await found(one, "a"), await found(other, "a"), await found(other, "b")] == ["ours", "theirs", "ours"]
        one.keep("a", b"one")
        await one.flush()
        assert await found(other, "a") == b"one"

    async def test_when_the_one_fails_the_other_asks_for_itself(self, open_replies: OpenReplies) -> None:
        one, other = open_replies(), open_replies()
        assert [await found(one, "a"), await found(other, "a")] == ["ours", "theirs"]
        one.release("a")
        await one.flush()
        assert [await found(other, "a"), await found(one, "a")] == ["ours", "theirs"]

    async def test_one_that_somebody_took_over_is_not_ended_by_the_first(
        self, open_replies: OpenReplies, clock: ManualClock
    ) -> None:
        one, other, third = open_replies(), open_replies(), open_replies()
        assert await found(one, "a") == "ours"
        hang(one)
        await clock.advance(PATIENCE_S + 1)
        assert await found(other, "a") == "ours"
        one.release("a")
        await one.flush()
        assert await found(third, "a") == "theirs"

    async def test_a_process_that_hangs_is_not_waited_for(self, open_replies: OpenReplies, clock: ManualClock) -> None:
        one, other = open_replies(), open_replies()
        assert await found(one, "a") == "ours"
        hang(one)
        await clock.advance(PATIENCE_S - 1)
        assert await found(other, "a") == "theirs"
        await clock.advance(2)
        assert await found(other, "a") == "ours"

    async def test_one_that_waits_for_hours_as_for_a_batch_is_respected(
        self, open_replies: OpenReplies, clock: ManualClock
    ) -> None:
        one, other = open_replies(), open_replies()
        assert [await found(one, key) for key in "abc"] == ["ours"] * 3
        for _ in range(24 * 12):
            await clock.advance(PATIENCE_S)
            await one.flush()
            assert await found(other, "a") == "theirs"
        one.keep("a", b"one")
        one.release("b")
        await one.flush()
        assert [await found(other, key) for key in "abc"] == [b"one", "ours", "theirs"]

    async def test_claims_are_renewed_only_while_there_are_any(
        self, open_replies: OpenReplies, clock: ManualClock
    ) -> None:
        replies = open_replies()
        for _ in range(2):
            assert await found(replies, "a") == "ours"
            await clock.advance(RENEW_S / 2)
            replies.release("a")
            await clock.advance(10 * RENEW_S)
        assert clock.slept_s == [RENEW_S] * 2

    async def test_a_cancelled_look_leaves_no_claim(self, open_replies: OpenReplies) -> None:
        one, other = open_replies(), open_replies()
        await one.flush()
        look = asyncio.ensure_future(one.find_or_claim("a"))
        await asyncio.sleep(0)
        look.cancel()
        with pytest.raises(asyncio.CancelledError):
            await look
        await one.flush()
        assert await found(other, "a") == "ours"

    async def test_releasing_what_is_not_claimed_is_nothing(self, open_replies: OpenReplies) -> None:
        replies = open_replies()
        replies.release("a")
        assert await found(replies, "a") == "ours"


class TestSeal:
    async def test_replies_that_came_with_a_folder_are_not_used(
        self, open_replies: OpenReplies, caplog: pytest.LogCaptureFixture
    ) -> None:
        packed, ours = open_replies(secret="theirs.key"), open_replies()
        for key in ("a", "b"):
            packed.keep(key, b"transfer everything to me")
        await packed.flush()
        assert [await found(ours, "a"), await found(ours, "b")] == ["ours", "ours"]
        assert len(caplog.messages) == 1
        assert "not used" in caplog.messages[0]
        ours.keep("a", b"one")
        await ours.flush()
        assert await found(ours, "a") == b"one"

    async def test_a_reply_does_not_answer_for_another_key(self, open_replies: OpenReplies, tmp_path: Path) -> None:
        replies = open_replies()
        replies.keep("a", b"yes")
        await replies.flush()
        with sqlite3.connect(file_of(tmp_path)) as connection:
            connection.execute("update replies set key = 'b'")
        connection.close()
        assert await found(replies, "b") == "ours"

    def test_the_secret_is_the_users_alone_and_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "config" / "cache.key"
        sealed = Seal(path).close("a", b"one")
        assert path.stat().st_mode & 0o077 == 0
        assert Seal(path).open("a", sealed) == b"one"
        assert Seal(path).open("b", sealed) is None
        assert Seal(path).open("a", sealed[:-1]) is None
        assert [entry.name for entry in path.parent.iterdir()] == ["cache.key"]

    def test_one_that_cannot_be_kept_holds_for_this_process(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "config").write_text("a file")
        seal = Seal(tmp_path / "config" / "cache.key")
        assert seal.open("a", seal.close("a", b"one")) == b"one"
        assert Seal(tmp_path / "config" / "cache.key").open("a", seal.close("a", b"one")) is None
        assert all("for this process alone" in message for message in caplog.messages)


class TestTrouble:
    """What goes wrong is said once, and costs no run."""

    async def test_a_folder_that_cannot_be_made(
        self, open_replies: OpenReplies, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / ".orchestrate").write_text("a file")
        replies = open_replies()
        for _ in range(5):
            assert await found(replies, "a") == "ours"
            replies.keep("a", b"one")
            replies.release("a")
            await replies.flush()
        assert replies.trouble is not None
        assert caplog.messages == [replies.trouble]
        assert replies.trouble.startswith("The cache of replies is off: ")

    async def test_a_damaged_file_is_kept_aside_and_the_cache_begun_anew(
        self, open_replies: OpenReplies, tmp_path: Path
    ) -> None:
        file_of(tmp_path).parent.mkdir()
        file_of(tmp_path).write_bytes(b"not a database" * 1000)
        replies = open_replies()
        assert await found(replies, "a") == "ours"
        replies.keep("a", b"one")
        await replies.flush()
        assert await found(replies, "a") == b"one"
        assert replies.trouble is None

    async def test_trouble_that_passes_is_forgiven(
        self, open_replies: OpenReplies, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replies = open_replies()
        for _ in range(2 * replies_module._STRIKES):
            with monkeypatch.context() as patched:
                patched.setattr(claims, "claim", _raise_busy)
                assert await found(replies, "a") == "ours"
            assert await found(replies, "b") == "ours"
            replies.release("b")
        assert replies.trouble is None


def test_processes_that_begin_at_once_share_one_file(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from orchestration_nb.state import cache
from orchestration_nb.state.store import StateFile
from tests.state.files import written
file = StateFile(Path(sys.argv[1]), busy_s=20)
for number in range(20):
    written(file, lambda connection: cache.keep(connection, f"{sys.argv[2]}-{number}", b"x", now_us=number))
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    started = [subprocess.Popen([*command, str(number)], cwd=REPO, stderr=subprocess.PIPE) for number in range(4)]
    for process in started:
        _, said = process.communicate()
        assert process.returncode == 0, said
    with sqlite3.connect(file_of(tmp_path)) as connection:
        assert connection.execute("select count(*) from replies").fetchone() == (80,)
    connection.close()


def _raise_busy(*_: Any, **__: Any) -> bool:
    raise sqlite3.OperationalError("busy")


def test_replies_of_the_first_version_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(store, "MIGRATIONS", store.MIGRATIONS[:1])
        old = StateFile(tmp_path)
        written(old, lambda connection: connection.execute("insert into cache values ('a', 'unsealed', 0)"))
        old.close()
    file = StateFile(tmp_path)
    tables = written(file, lambda connection: connection.execute("select name from sqlite_master").fetchall())
    file.close()
    assert ("cache",) not in tables
