"""Schedules, and which of their due times are begun by whom.

Works, as those of :mod:`orchestration_nb.state.desk`: each runs within a transaction that somebody else began, and may
be run a second time. What a schedule says of itself is kept as text that this room does not read.

A due time is a row from the moment at which it was decided that it shall run. It waits (``due``), is ``claimed`` by the
process of a scheduler, is ``started`` by the process of the run itself, and is ``ended``. A claim has a number of its
own: the run may begin only while that claim still holds, so that one which comes late, after its scheduler was killed
and another has taken the due time over, does not begin at all.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

TABLES = """
create table if not exists schedules (
    id text primary key, name text not null unique, about text not null, paused integer not null,
    looked_us integer not null
) without rowid;
create table if not exists due_times (
    schedule text not null, due_us integer not null, start_us integer not null, late integer not null,
    state text not null, claim text, owner text, deaths integer not null, status text, changed_us integer not null,
    primary key (schedule, due_us)
) without rowid;
create index if not exists due_times_open on due_times (schedule, due_us) where state != 'ended';
create index if not exists due_times_by_claim on due_times (claim) where claim is not null;
"""

State = Literal["due", "claimed", "started", "ended"]
Overlap = Literal["skip", "queue", "allow"]
"""What happens to a due time that comes while an earlier run is still under way: it is left out, it waits, it runs."""
KEPT_US: Final = 90 * 86_400 * 1_000_000
"""How long an ended due time is remembered, so that a clock that is set back does not run it again."""

PAUSE_US: Final = 10 * 1_000_000
"""By how much longer is waited with each death of a run before it is begun again; after the first not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """One schedule, as it stands in the table."""

    id: str
    name: str
    about: str
    paused: bool
    looked_us: int
    """Microseconds since 1970: the due times until then have been decided on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRow:
    """One due time that shall run, runs or ran."""

    schedule: str
    due_us: int
    start_us: int
    """When it may begin: later than it is due by its jitter, or by the pause after a death."""
    late: bool
    """Whether it was missed and is made up for."""
    state: State
    claim: str | None = None
    """Number of the claim that holds."""
    owner: str | None = None
    """Token of the process that holds it: a scheduler's while it is claimed, the run's own once it is started."""
    deaths: int = 0
    """How often its run vanished without a word."""
    status: str | None = None
    """How it ended."""
    changed_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a scheduler is to do now with a schedule."""

    begin: tuple[DueRow, ...] = ()
    """Claimed by it: their runs are to be begun."""
    skipped: tuple[DueRow, ...] = ()
    """Left out, since an earlier run is under way."""
    given_up: tuple[DueRow, ...] = ()
    """Their runs vanished too often."""
    vanished: tuple[DueRow, ...] = ()
    """Their processes are dead; they are begun again."""


_COLUMNS: Final = "schedule, due_us, start_us, late, state, claim, owner, deaths, status, changed_us"


def add(connection: sqlite3.Connection, row: ScheduleRow) -> bool:
    """Adds a schedule; ``False`` where another has its name."""
    values = (row.id, row.name, row.about, row.paused, row.looked_us)
    insert = "insert into schedules values (?, ?, ?, ?, ?) on conflict do nothing"
    return bool(connection.execute(insert, values).rowcount)


def rows(connection: sqlite3.Connection) -> list[ScheduleRow]:
    """All schedules, by name."""
    found = connection.execute("select id, name, about, paused, looked_us from schedules order by name")
    return [ScheduleRow(id=r[0], name=r[1], about=r[2], paused=bool(r[3]), looked_us=r[4]) for r in found.fetchall()]


def pause(connection: sqlite3.Connection, name: str) -> bool:
    """Lets no due time of a schedule begin; ``False`` where there is none of that name."""
    return bool(connection.execute("update schedules set paused = 1 where name = ?", (name,)).rowcount)


def resume(connection: sqlite3.Connection, name: str, *, now_us: int) -> bool:
    """Lets a schedule go on from now; what would have been due while it was paused is not made up for."""
    held = "update schedules set paused = 0, looked_us = max(looked_us, ?) where name = ? and paused"
    connection.execute(held, (now_us, name))
    return bool(connection.execute("select 1 from schedules where name = ?", (name,)).fetchone())


def remove(connection: sqlite3.Connection, name: str) -> bool:
    """Forgets a schedule and its due times; what runs is not stopped."""
    connection.execute("delete from due_times where schedule = (select id from schedules where name = ?)", (name,))
    return bool(connection.execute("delete from schedules where name = ?", (name,)).rowcount)


def decide(
    connection: sqlite3.Connection, seen: ScheduleRow, *, until_us: int, wanted: Sequence[DueRow], now_us: int
) -> bool:
    """Writes down which due times shall run, of those since the last look; one that is there already stays as it is.

    Returns:
        ``False`` where another process has looked meanwhile, or the schedule was paused or removed: nothing is done.
    """
    moved = connection.execute(
        "update schedules set looked_us = ? where id = ? and looked_us = ? and not paused",
        (until_us, seen.id, seen.looked_us),
    )
    if not moved.rowcount:
        return False
    connection.executemany(
        "insert into due_times values (?, ?, ?, ?, 'due', null, null, 0, null, ?) on conflict do nothing",
        [(row.schedule, row.due_us, row.start_us, row.late, now_us) for row in wanted],
    )
    if wanted:
        old = "delete from due_times where schedule = ? and state = 'ended' and due_us < ?"
        connection.execute(old, (seen.id, min(until_us, now_us) - KEPT_US))
    return True


def take_turn(  # noqa: PLR0913 - the rule has so many sides
    connection: sqlite3.Connection,
    schedule: str,
    *,
    me: str,
    now_us: int,
    overlap: Overlap,
    lives: int,
    new_claim: Callable[[], str],
    is_dead: Callable[[str], bool],
) -> Turn:
    """Claims what may begin now, after what the dead have left is taken over.

    Args:
        connection: Within a transaction that writes.
        schedule: Its id.
        me: Token of the scheduler that asks.
        now_us: Microseconds since 1970.
        overlap: What happens while an earlier run is under way.
        lives: How often a run that vanishes is begun, in all.
        new_claim: Numbers a claim.
        is_dead: Whether the process of a token lives no more.
    """
    vanished, given_up = _recover(connection, schedule, now_us=now_us, lives=lives, is_dead=is_dead)
    held = connection.execute("select paused from schedules where id = ?", (schedule,)).fetchone()
    begin: list[DueRow] = []
    skipped: list[DueRow] = []
    is_open = held is not None and not held[0]
    waiting = _open_rows(connection, schedule) if is_open else []
    busy = any(row.state != "due" for row in waiting)
    for row in (row for row in waiting if row.state == "due"):
        if row.start_us > now_us:
            if overlap != "allow":
                break  # in their order
        elif not busy or overlap == "allow":
            begin.append(_claim(connection, row, me=me, claim=new_claim(), now_us=now_us))
            busy = True
        elif overlap == "skip" and not row.late and row.deaths == 0:
            skipped.append(row)
            _set(connection, row, "ended", status="skipped", now_us=now_us)
    return Turn(begin=tuple(begin), skipped=tuple(skipped), given_up=given_up, vanished=vanished)


def enrol(connection: sqlite3.Connection, claim: str, *, token: str, now_us: int) -> DueRow | None:
    """The due time that the process of ``token`` is to run; ``None`` where the claim no longer holds."""
    moved = connection.execute(
        "update due_times set state = 'started', owner = ?, changed_us = ? where claim = ? and state = 'claimed'",
        (token, now_us, claim),
    )
    found = _rows(connection, "where claim = ?", claim) if moved.rowcount else []
    return found[0] if found else None


def end(connection: sqlite3.Connection, claim: str, *, status: str, now_us: int) -> bool:
    """Says how the run of a claim ended; ``False`` where the claim no longer holds."""
    ended = (
        "update due_times set state = 'ended', claim = null, owner = null, status = ?, changed_us = ? where claim = ?"
    )
    return bool(connection.execute(ended, (status, now_us, claim)).rowcount)


def release(connection: sqlite3.Connection, claim: str, *, now_us: int) -> bool:
    """Gives back a claim whose run did not begin."""
    given = "update due_times set state = 'due', claim = null, owner = null, changed_us = ? where claim = ?"
    return bool(connection.execute(f"{given} and state = 'claimed'", (now_us, claim)).rowcount)


def lose(connection: sqlite3.Connection, claim: str, *, lives: int, now_us: int) -> bool | None:
    """Says that the process of a claim was killed.

    Returns:
        Whether its run is begun again; ``None`` where the claim no longer holds.
    """
    found = _rows(connection, "where claim = ?", claim)
    return _bury(connection, found[0], now_us=now_us, lives=lives) if found else None


def open_rows(connection: sqlite3.Connection, schedule: str) -> list[DueRow]:
    """The due times of a schedule that have not ended, in order."""
    return _open_rows(connection, schedule)


def newest(connection: sqlite3.Connection, schedule: str) -> DueRow | None:
    """The last due time of a schedule that was begun or left out."""
    found = _rows(connection, "where schedule = ? and state != 'due' order by due_us desc limit 1", schedule)
    return found[0] if found else None


def rescue(damaged: Path, connection: sqlite3.Connection) -> None:
    """Copies what can be read of a damaged file's schedules and due times, so that nothing runs twice and none is lost.

    Args:
        damaged: The file, set aside.
        connection: To the new one; not within a transaction.
    """
    with contextlib.closing(sqlite3.connect(damaged)) as old:
        found = {table: list(_readable(old, table)) for table in ("schedules", "due_times")}
    connection.execute("begin immediate")
    for table, kept in found.items():
        for row in kept:
            marks = ", ".join("?" * len(row))
            connection.execute(f"insert or ignore into {table} values ({marks})", row)  # noqa: S608 - our own names
    connection.execute("commit")


def _readable(damaged: sqlite3.Connection, table: str) -> Iterator[tuple[str | int | None, ...]]:
    """The rows of a table up to where it is damaged."""
    with contextlib.suppress(sqlite3.Error):
        yield from damaged.execute(f"select * from {table}")  # noqa: S608 - one of our own


def _recover(
    connection: sqlite3.Connection, schedule: str, *, now_us: int, lives: int, is_dead: Callable[[str], bool]
) -> tuple[tuple[DueRow, ...], tuple[DueRow, ...]]:
    """What the dead have left: a claim is void; a run is begun again, after a pause that grows, or given up."""
    vanished: list[DueRow] = []
    given_up: list[DueRow] = []
    for row in _open_rows(connection, schedule):
        if row.owner is None or not is_dead(row.owner):
            continue
        if row.state == "claimed":
            _set(connection, row, "due", now_us=now_us)
        else:
            (vanished if _bury(connection, row, now_us=now_us, lives=lives) else given_up).append(row)
    return tuple(vanished), tuple(given_up)


def _bury(connection: sqlite3.Connection, row: DueRow, *, now_us: int, lives: int) -> bool:
    """Whether a due time whose run vanished is begun again."""
    if row.deaths + 1 >= lives:
        _set(connection, row, "ended", status="vanished", deaths=row.deaths + 1, now_us=now_us)
        return False
    start_us = now_us + row.deaths * PAUSE_US
    _set(connection, row, "due", deaths=row.deaths + 1, start_us=start_us, now_us=now_us)
    return True


def _claim(connection: sqlite3.Connection, row: DueRow, *, me: str, claim: str, now_us: int) -> DueRow:
    claimed = "update due_times set state = 'claimed', claim = ?, owner = ?, changed_us = ?"
    which = (row.schedule, row.due_us)
    connection.execute(f"{claimed} where schedule = ? and due_us = ?", (claim, me, now_us, *which))
    return _rows(connection, "where schedule = ? and due_us = ?", row.schedule, row.due_us)[0]


def _set(
    connection: sqlite3.Connection,
    row: DueRow,
    state: State,
    *,
    now_us: int,
    status: str | None = None,
    deaths: int | None = None,
    start_us: int | None = None,
) -> None:
    connection.execute(
        "update due_times set state = ?, claim = null, owner = null, status = ?, deaths = ?, start_us = ?, "
        "changed_us = ? where schedule = ? and due_us = ?",
        (
            state,
            status,
            row.deaths if deaths is None else deaths,
            row.start_us if start_us is None else start_us,
            now_us,
            row.schedule,
            row.due_us,
        ),
    )


def _open_rows(connection: sqlite3.Connection, schedule: str) -> list[DueRow]:
    return _rows(connection, "where schedule = ? and state != 'ended' order by due_us", schedule)


def _rows(connection: sqlite3.Connection, which: str, *values: str | int) -> list[DueRow]:
    found: Iterable[tuple[str, int, int, int, State, str | None, str | None, int, str | None, int]]
    found = connection.execute(f"select {_COLUMNS} from due_times {which}", values).fetchall()  # noqa: S608 - our own
    return [
        DueRow(
            schedule=row[0],
            due_us=row[1],
            start_us=row[2],
            late=bool(row[3]),
            state=row[4],
            claim=row[5],
            owner=row[6],
            deaths=row[7],
            status=row[8],
            changed_us=row[9],
        )
        for row in found
    ]
