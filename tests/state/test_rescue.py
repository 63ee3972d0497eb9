"""Money does not vanish with a damaged file: what can be read of it goes on, and somebody is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration_nb.errors import StateError
from orchestration_nb.state import accounts, cache
from orchestration_nb.state.accounts import Account, Charge
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.store import StateFile
from tests.state.files import written

RUN = Account("usd", "run", "own", "r")
CHARGE = Charge(RUN.key, RUN, 100, 1000, binds=True)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StateFile]:
    file = StateFile(tmp_path)
    yield file
    file.close()


def reserve(connection: sqlite3.Connection) -> int:
    hold = accounts.take(connection, [CHARGE], owner="me", facts=b"{}", now_us=1)
    assert isinstance(hold, int)
    return hold


def fill(file: StateFile) -> tuple[int, int]:
    """Spends 100, holds 200 in two holds, whose ids these are, and keeps some replies behind them."""
    written(file, lambda connection: accounts.end(connection, reserve(connection), [(100, 100, RUN.key)]))
    holds = written(file, reserve), written(file, reserve)
    for number in range(200):
        written(file, lambda connection, n=number: cache.keep(connection, f"{n}", b"x" * 3000, now_us=n))  # type: ignore[misc]
    file.close()
    return holds


def all_replies(connection: sqlite3.Connection) -> object:
    return connection.execute("select sum(length(reply)) from replies").fetchone()


def spent_and_held(file: StateFile) -> object:
    return file.open().execute("select spent, held from accounts").fetchone()


async def test_what_can_be_read_of_the_accounts_is_carried_over(file: StateFile) -> None:
    holds = fill(file)
    with file.path.open("r+b") as raw:
        raw.seek(300_000)
        raw.write(b"\xff" * 100_000)
    desk = Desk(file)
    with pytest.raises(StateError, match="was damaged: it is kept beside a new one") as caught:
        await desk.submit(all_replies)
    assert "go on with what could be read" in caught.value.hint
    assert spent_and_held(file) == (100, 200)
    await desk.submit(lambda connection: accounts.end(connection, holds[0], [(100, 50, RUN.key)]))
    assert spent_and_held(file) == (150, 100)
    desk.close()


async def test_a_hold_that_cannot_be_read_counts_as_spent(file: StateFile) -> None:
    fill(file)
    connection = sqlite3.connect(file.path)
    root = connection.execute("select rootpage from sqlite_master where name = 'holds'").fetchone()[0]
    page_bytes = connection.execute("pragma page_size").fetchone()[0]
    connection.close()
    with file.path.open("r+b") as raw:
        raw.seek((root - 1) * page_bytes)
        raw.write(b"\xff" * page_bytes)
    desk = Desk(file)
    with pytest.raises(StateError):
        await desk.submit(lambda connection: connection.execute("select * from holds").fetchall())
    assert spent_and_held(file) == (300, 0)
    desk.close()


async def test_where_nothing_can_be_read_somebody_is_told(file: StateFile) -> None:
    fill(file)
    file.path.write_bytes(b"no database at all" * 1000)
    desk = Desk(file)
    with pytest.raises(StateError) as caught:
        await desk.flush()
    assert "every budget begins anew, although something may be spent" in caught.value.hint
    await desk.flush()
    desk.close()


async def test_what_was_written_last_is_not_lost_with_the_file(file: StateFile) -> None:
    fill(file)
    reader = sqlite3.connect(file.path)  # keeps the log from being folded into the file
    reader.execute("select * from accounts").fetchall()
    written(file, reserve)
    desk = Desk(file)

    def stumble(connection: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with pytest.raises(StateError):
        await desk.submit(stumble)
    assert spent_and_held(file) == (100, 300)
    reader.close()
    desk.close()
