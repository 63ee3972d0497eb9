"""Rollouts: where candidate strategies stand, agreed on by all processes that feed them.

What a rollout says of itself is kept as text that this room does not read. Each item counts once, whichever process
brings it, and each change begins from what stands in the table: nothing that one process adds is lost to another.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

TABLES = """
create table if not exists rollouts (
    id text primary key, flow text not null, about text not null, standing text not null, is_open integer not null
) without rowid;
create table if not exists rollout_items (
    rollout text not null, item text not null, primary key (rollout, item)
) without rowid;
"""

T = TypeVar("T")
A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRow:
    """One rollout, as it stands in the table."""

    id: str
    """Ordered by time."""
    flow: str
    about: str
    """What never changes."""
    standing: str
    is_open: bool
    """Whether items still count for it; a flow has one such rollout at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[A]):
    """What becomes of a rollout."""

    standing: str
    is_open: bool
    answer: A
    """For whoever changed it."""


class Desk(Protocol):
    """The part of :class:`orchestration_nb.state.desk.Desk` that is used here."""

    async def submit(self, work: Callable[[sqlite3.Connection], A]) -> A:
        """Does a work in a transaction.

        Raises:
            StateError: If the file cannot be written.
        """


class RolloutStore:
    """The rollouts of a workspace."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def begin(self, row: RolloutRow) -> RolloutRow:
        """Adds a rollout.

        Returns:
            The rollout of that flow that is open: this one, or another that was there before; then nothing is added.
        """
        return await self._desk.submit(lambda connection: _begin(connection, row))

    async def rows(self) -> list[RolloutRow]:
        """All rollouts, the oldest first."""
        return await self._desk.submit(lambda connection: _rows(connection, "order by id"))

    async def newest(self, flow: str) -> RolloutRow | None:
        """The latest rollout of a flow."""
        found = await self._desk.submit(lambda each: _rows(each, "where flow = ? order by id desc limit 1", flow))
        return found[0] if found else None

    async def change(
        self, rollout: str, items: Mapping[str, T], change: Callable[[str, Sequence[T]], Change[A]]
    ) -> A | None:
        """Takes items in, and writes down what becomes of the rollout, in one transaction.

        Args:
            rollout: Its id.
            items: Digest of the item to what it came to.
            change: Takes what stands in the table and the items that were not counted before; may be called twice.

        Returns:
            What ``change`` answers; ``None`` where there is no such rollout.
        """
        return await self._desk.submit(lambda connection: _change(connection, rollout, items, change))


def _begin(connection: sqlite3.Connection, row: RolloutRow) -> RolloutRow:
    held = _rows(connection, "where flow = ? and is_open", row.flow)
    if held:
        return held[0]
    values = (row.id, row.flow, row.about, row.standing, row.is_open)
    connection.execute("insert into rollouts values (?, ?, ?, ?, ?)", values)
    return row


def _rows(connection: sqlite3.Connection, which: str, *values: Any) -> list[RolloutRow]:
    found = connection.execute(f"select id, flow, about, standing, is_open from rollouts {which}", values)  # noqa: S608
    return [
        RolloutRow(id=row[0], flow=row[1], about=row[2], standing=row[3], is_open=bool(row[4]))
        for row in found.fetchall()
    ]


def _change(
    connection: sqlite3.Connection,
    rollout: str,
    items: Mapping[str, T],
    change: Callable[[str, Sequence[T]], Change[A]],
) -> A | None:
    held = _rows(connection, "where id = ?", rollout)
    if not held:
        return None
    fresh = [each for item, each in items.items() if held[0].is_open and _is_new(connection, rollout, item)]
    changed = change(held[0].standing, fresh)
    connection.execute(
        "update rollouts set standing = ?, is_open = ? where id = ?", (changed.standing, changed.is_open, rollout)
    )
    if not changed.is_open:
        connection.execute("delete from rollout_items where rollout = ?", (rollout,))
    return changed.answer


def _is_new(connection: sqlite3.Connection, rollout: str, item: str) -> bool:
    statement = "insert into rollout_items values (?, ?) on conflict do nothing"
    return bool(connection.execute(statement, (rollout, item)).rowcount)
