"""Claims: which process asks a question right now, so that several processes pay it once.

Works for the :class:`~orchestration_nb.state.desk.Desk`: each runs within a transaction that somebody else began. A
claim ends with the reply (:mod:`orchestration_nb.state.cache`), by :func:`release`, or with the process that made it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass

TABLES = """
create table if not exists claims (
    key text primary key, owner text not null, claimed_us integer not null
) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One process asks one question."""

    key: str
    """The cache key of the question."""
    owner: str
    """Token of the process (:class:`~orchestration_nb.state.owners.Owners`)."""
    claimed_us: int
    """Microseconds since 1970: when it was made or last renewed. Tells it from a later claim of the same process."""


def claim(connection: sqlite3.Connection, wanted: Claim, *, is_void: Callable[[Claim], bool]) -> bool:
    """Whether the question is now ``wanted.owner``'s to ask.

    Args:
        connection: Within a transaction that writes.
        wanted: What is claimed.
        is_void: Whether a claim that stands in the way counts no more: its process is dead, or renews it no longer.
    """
    row = (wanted.key, wanted.owner, wanted.claimed_us)
    if connection.execute("insert into claims values (?, ?, ?) on conflict do nothing", row).rowcount:
        return True
    held = connection.execute("select owner, claimed_us from claims where key = ?", (wanted.key,)).fetchone()
    if not is_void(Claim(wanted.key, *held)):
        return False
    connection.execute("replace into claims values (?, ?, ?)", row)
    return True


def renew(connection: sqlite3.Connection, held: Iterable[Claim], *, now_us: int) -> None:
    """Says of claims that their questions are still being asked."""
    connection.executemany(
        "update claims set claimed_us = ? where key = ? and owner = ? and claimed_us = ?",
        ((now_us, each.key, each.owner, each.claimed_us) for each in held),
    )


def release(connection: sqlite3.Connection, held: Claim) -> None:
    """Ends a claim; one that somebody else has taken over since stays."""
    connection.execute(
        "delete from claims where key = ? and owner = ? and claimed_us = ?", (held.key, held.owner, held.claimed_us)
    )
