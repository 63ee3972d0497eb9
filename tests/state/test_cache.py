"""Cache entries: there for every process, gone when old, and never the end of a run."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb.state import State, cache, store
from tests.conftest import REPO

OpenState = Callable[..., State]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).replace(tzinfo=None)


def file_of(workspace: Path) -> Path:
    return workspace / ".orchestrate" / "state.sqlite"


@pytest.fixture
def open_state(tmp_path: Path) -> Iterator[OpenState]:
    """Opens the state of the workspace, as one more process would; closes it at the end."""
    opened: list[State] = []

    def open_one(**settings: Any) -> State:
        opened.append(State(tmp_path, **settings))
        return opened[-1]

    yield open_one
    for state in opened:
        state.close()


@pytest.fixture
def state(open_state: OpenState) -> State:
    return open_state()


class TestEntries:
    def test_are_found_by_their_key_in_every_process(self, open_state: OpenState, state: State, tmp_path: Path) -> None:
        state.remember([("a", b"one", NOON), ("b", b"\x00\xff", NOON)])
        assert state.cached("a", now=NOON) == b"one"
        assert open_state().cached("b", now=NOON) == b"\x00\xff"
        assert state.cached("c", now=NOON) is None

    def test_the_last_one_of_a_key_holds(self, state: State) -> None:
        state.remember([("a", b"one", NOON), ("a", b"two", NOON)])
        state.remember([("a", b"three", NOON)])
        assert state.cached("a", now=NOON) == b"three"

    def test_none_at_all_is_no_write(self, state: State, tmp_path: Path) -> None:
        state.remember([])
        assert not file_of(tmp_path).exists()

    def test_may_be_used_for_so_many_days(self, open_state: OpenState, state: State, tmp_path: Path) -> None:
        state.remember([("a", b"one", NOON)])
        assert state.cached("a", now=NOON + timedelta(days=30)) == b"one"
        assert state.cached("a", now=NOON + timedelta(days=30, microseconds=1)) is None
        assert open_state(keep_days=None).cached("a", now=NOON + timedelta(days=3000)) == b"one"

    def test_are_forgotten_by_age_and_their_room_given_back(self, state: State, tmp_path: Path) -> None:
        state.remember([(f"old{n}", os.urandom(10_000), NOON) for n in range(100)])
        state.remember([("new", b"one", NOON + timedelta(days=1))])
        state.close()
        before = file_of(tmp_path).stat().st_size
        assert state.forget(NOON + timedelta(hours=1)) == 100
        state.close()
        assert file_of(tmp_path).stat().st_size < before / 5
        assert state.cached("new", now=NOON) == b"one"

    def test_the_oldest_go_when_there_is_no_room(
        self, open_state: OpenState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cache, "_TRIMMED_AT_ONCE", 20)
        state = open_state(most_bytes=1_000_000)
        for n in range(300):
            state.remember([(str(n), os.urandom(10_000), NOON + timedelta(minutes=n))])
        state.close()
        assert file_of(tmp_path).stat().st_size < 2_000_000
        assert state.cached("0", now=NOON) is None
        assert state.cached("299", now=NOON) is not None

    def test_threads_share_it(self, state: State) -> None:
        def use(number: int) -> bool:
            state.remember([(str(number), str(number).encode(), NOON)])
            return state.cached(str(number), now=NOON) == str(number).encode()

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(use, range(200)))
        assert state.trouble is None


def test_processes_that_begin_at_once_share_one_file(tmp_path: Path) -> None:
    script = """
import sys
from datetime import datetime
from pathlib import Path
from orchestration_nb.state import State
state = State(Path(sys.argv[1]))
for number in range(50):
    state.remember([(f"{sys.argv[2]}-{number}", b"x", datetime(2026, 3, 1))])
sys.exit(state.trouble)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    started = [subprocess.Popen([*command, str(number)], cwd=REPO, stderr=subprocess.PIPE) for number in range(4)]
    for process in started:
        _, said = process.communicate()
        assert process.returncode == 0, said
    with sqlite3.connect(file_of(tmp_path)) as connection:
        assert connection.execute("select count(*) from cache").fetchone() == (200,)
    connection.close()


def test_a_forked_child_opens_its_own(tmp_path: Path) -> None:
    script = """
import os, sys
from datetime import datetime
from pathlib import Path
from orchestration_nb.state import State
state = State(Path(sys.argv[1]))
noon = datetime(2026, 3, 1)
state.remember([("parent", b"x", noon)])
child = os.fork()
if child == 0:
    state.remember([("child", b"x", noon)])
    os._exit(0 if state.cached("parent", now=noon) and not state.trouble else 1)
code = os.waitpid(child, 0)[1]
sys.exit(code or not state.cached("child", now=noon))
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=REPO, check=True)


class TestTrouble:
    """What goes wrong is said once, and costs no run."""

    def test_a_damaged_file_is_kept_aside_and_begun_anew(
        self, open_state: OpenState, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        open_state().close()
        file_of(tmp_path).parent.mkdir(exist_ok=True)
        file_of(tmp_path).write_bytes(b"not a database" * 1000)
        state = open_state()
        assert state.cached("a", now=NOON) is None
        state.remember([("a", b"one", NOON)])
        assert state.cached("a", now=NOON) == b"one"
        assert state.trouble is None
        (aside,) = file_of(tmp_path).parent.glob("state.damaged-*.sqlite")
        assert aside.read_bytes() == b"not a database" * 1000
        assert len(caplog.messages) == 1

    def test_damage_that_comes_while_it_is_open(self, open_state: OpenState, tmp_path: Path) -> None:
        state = open_state()
        state.remember([(str(n), os.urandom(3000), NOON) for n in range(500)])
        state.close()
        spoiled = bytearray(file_of(tmp_path).read_bytes())
        assert state.cached("1", now=NOON) is not None
        spoiled[4096:] = b"\xff" * (len(spoiled) - 4096)
        file_of(tmp_path).write_bytes(spoiled)
        assert [state.cached(str(n), now=NOON) for n in range(2, 500, 7)][-1] is None
        state.remember([("new", b"one", NOON)])
        assert state.cached("new", now=NOON) == b"one"

    def test_a_folder_that_cannot_be_made(
        self, open_state: OpenState, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / ".orchestrate").write_text("a file")
        state = open_state()
        for _ in range(3):
            assert state.cached("a", now=NOON) is None
            state.remember([("a", b"one", NOON)])
            assert state.forget(NOON) == 0
        assert len(caplog.messages) == 1
        assert caplog.messages[0] == state.trouble
        assert state.trouble is not None
        assert state.trouble.startswith("The cache of replies is off: ")

    def test_a_newer_one_is_left_as_it_is(self, open_state: OpenState, tmp_path: Path) -> None:
        state = open_state()
        state.remember([("a", b"one", NOON)])
        state.close()
        with sqlite3.connect(file_of(tmp_path)) as connection:
            connection.execute("pragma user_version = 99")
        connection.close()
        before = file_of(tmp_path).read_bytes()
        state = open_state()
        assert state.cached("a", now=NOON) is None
        assert state.trouble is not None
        assert "has version 99" in state.trouble
        assert file_of(tmp_path).read_bytes() == before

    def test_an_older_one_is_brought_up_to_date(
        self, open_state: OpenState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_state().remember([("a", b"one", NOON)])
        monkeypatch.setattr(store, "MIGRATIONS", (*store.MIGRATIONS, "create table newer (name text)"))
        assert open_state().cached("a", now=NOON) == b"one"
        with sqlite3.connect(file_of(tmp_path)) as connection:
            assert connection.execute("pragma user_version").fetchone() == (len(store.MIGRATIONS),)
            assert connection.execute("select * from newer").fetchall() == []
        connection.close()

    def test_one_that_stays_locked_is_given_up_at_the_third_try(
        self, open_state: OpenState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(store, "_BUSY_S", 0.01)
        state = open_state()
        state.remember([("a", b"one", NOON)])
        other = sqlite3.connect(file_of(tmp_path), isolation_level=None)
        other.execute("begin exclusive")
        for _ in range(2):
            state.remember([("b", b"two", NOON)])
            assert state.trouble is None
            assert state.cached("a", now=NOON) == b"one", "readers are not kept out"
        state.remember([("b", b"two", NOON)])
        assert state.trouble is not None
        other.execute("rollback")
        other.close()
        assert state.cached("a", now=NOON) is None
        assert len(caplog.messages) == 1

    def test_one_that_is_locked_for_a_moment_is_forgiven(
        self, open_state: OpenState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "_BUSY_S", 0.01)
        state = open_state()
        for _ in range(3):
            state.remember([("a", b"one", NOON)])
            with sqlite3.connect(file_of(tmp_path), isolation_level=None) as other:
                other.execute("begin exclusive")
                state.remember([("b", b"two", NOON)])
                state.remember([("b", b"two", NOON)])
                other.execute("rollback")
            other.close()
        assert state.trouble is None

    def test_a_full_disk_turns_it_off(self, open_state: OpenState, tmp_path: Path) -> None:
        script = """
import os, resource, sys
from datetime import datetime
from pathlib import Path
from orchestration_nb.state import State
state = State(Path(sys.argv[1]))
noon = datetime(2026, 3, 1)
state.remember([("a", b"one", noon)])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for number in range(100):
    state.remember([(str(number), os.urandom(5000), noon)])
print(state.trouble)
"""
        command = [sys.executable, "-c", script, str(tmp_path)]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("The cache of replies is off: ")
        assert open_state().cached("a", now=NOON) == b"one"


def test_closing_twice_and_using_it_again(state: State) -> None:
    state.remember([("a", b"one", NOON)])
    state.close()
    state.close()
    assert state.cached("a", now=NOON) == b"one"
