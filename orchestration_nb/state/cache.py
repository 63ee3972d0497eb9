"""Cache entries: replies by the key of their question, shared by all processes of a workspace.

Works for the :class:`~orchestration_nb.state.desk.Desk`: each runs within a transaction that somebody else began.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

TABLES = """
drop table if exists cache;
create table if not exists replies (
    key text primary key, reply blob not null, created_us integer not null, used_us integer not null
);
create index if not exists replies_by_use on replies (used_us);
"""
QUESTIONS = """
create table if not exists questions (
    id integer primary key autoincrement, key text not null unique, context text not null, sealed blob not null
);
create trigger if not exists question_of_reply after delete on replies begin
    delete from questions where key = old.key;
end;
create table if not exists thresholds (name text primary key, sealed blob not null);
"""
"""The questions behind replies (:mod:`orchestration_nb.state.questions`) go with them."""
_EVICTED_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a reply."""

    reply: bytes
    created_us: int
    """When it was made: microseconds since 1970."""
    used_us: int
    """When it was last used, as far as was noted."""


def find(connection: sqlite3.Connection, key: str, *, oldest_us: int) -> Entry | None:
    """The entry of that key, unless it was made before ``oldest_us``."""
    row = connection.execute("select reply, created_us, used_us from replies where key = ?", (key,)).fetchone()
    return Entry(*row) if row is not None and row[1] >= oldest_us else None


def keep(connection: sqlite3.Connection, key: str, reply: bytes, *, now_us: int) -> None:
    """Keeps a reply; a key that is there gets the new one."""
    connection.execute("replace into replies values (?, ?, ?, ?)", (key, reply, now_us, now_us))


def note_use(connection: sqlite3.Connection, keys: list[str], *, now_us: int) -> None:
    """These were used now."""
    connection.executemany("update replies set used_us = ? where key = ?", [(now_us, key) for key in keys])


def make_room(connection: sqlite3.Connection, *, most_bytes: int, oldest_us: int) -> None:
    """Deletes a few of what is too old, and while the file is too large of what was used longest ago.

    A few at a time, so that the engine's loop is not held up; called for every sixteenth reply, still twice as many as
    come.

    Args:
        connection: Within a transaction that writes.
        most_bytes: The largest that the file may be.
        oldest_us: What was last used before this moment is too old.
    """
    pages, free, page_bytes = (
        connection.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    too_large = (pages - free) * page_bytes > most_bytes
    connection.execute(
        "delete from replies where key in (select key from replies where ? or used_us < ? order by used_us limit ?)",
        (too_large, oldest_us, _EVICTED_AT_ONCE),
    )
