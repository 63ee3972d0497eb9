"""Batches that a provider has been given: which question stands in which, and the answers until they are recorded.

A row is written before a batch leaves the process and again when the provider has taken it, so that whoever comes next,
be it another process after a kill, neither loses a batch nor sends it twice. No prompt is kept here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from orchestration_nb.secrecy import Secrecy


TABLES = """
create table if not exists batches (
    token text primary key, provider text not null, model text not null, provider_id text, status text not null,
    owner text not null, size integer not null, created_us integer not null);
create table if not exists batch_items (
    token text not null, number integer not null, key text not null, answer blob, primary key (token, number)
    ) without rowid;
create unique index if not exists batch_item_by_key on batch_items (key);
"""

ASKED_BY = "alter table batches add column run_id text; alter table batches add column flow text;"
"""Which run began a batch, and of which flow."""

KEPT = timedelta(days=30)
"""Providers keep results as long; what nobody asked for until then is forgotten."""

BatchStatus = Literal["submitting", "unsure", "under_way", "ended"]
"""Being handed over; perhaps handed over; taken by the provider; its results are here."""

_UNREADABLE: Final = b"{}"
"""What stands for an answer that must not be written; the batch counts as answered, and the question is asked anew."""

T = TypeVar("T")


class Transactions(Protocol):
    """Where works on the state are done, each in a transaction."""

    async def submit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Does a work and returns what it returned, once that is on the disk.

        Raises:
            StateError: If it cannot be written.
        """

    def post(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Does a work soon, in the order of their coming; nobody waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One batch in the store."""

    token: str
    """Ours: what it can be found by at the provider."""
    provider: str
    model: str
    """``provider/name``."""
    provider_id: str | None
    status: BatchStatus
    owner: str
    """The process that handed it over."""
    size: int
    created_at: datetime
    """When it was begun, naive UTC."""
    waiting: int
    """How many of its requests have not been recorded yet."""
    run_id: str = ""
    """The run that began it; empty where nobody knows."""
    flow: str = ""
    """That run's flow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a question stands."""

    token: str
    number: int
    answer: bytes | None
    """The line of the provider, once it is here."""


class BatchStore:
    """The batches of a workspace, over all its processes.

    Args:
        desk: Where works on the state are done.
        secrecy: Keeps answers with secrets in them out of the file; ``None`` where there are none.
    """

    def __init__(self, desk: Transactions, secrecy: Secrecy | None = None) -> None:
        self._desk = desk
        self._secrecy = secrecy
        self._unwritten: dict[tuple[str, int], bytes] = {}

    async def place(self, key: str) -> Place | None:
        """Where a question stands, or ``None``: it was not submitted, or its answer was recorded."""
        place = await self._desk.submit(lambda connection: _place(connection, key))
        unwritten = self._unwritten.get((place.token, place.number)) if place is not None and self._unwritten else None
        return place if place is None or unwritten is None else replace(place, answer=unwritten)

    async def begin(self, batch: BatchRow, keys: Sequence[str]) -> list[int]:
        """Writes down that a batch is about to be handed over.

        Args:
            batch: The batch.
            keys: Its questions.

        Returns:
            The positions of those that stand in another batch already: they must not be handed over.
        """
        return await self._desk.submit(lambda connection: _begin(connection, batch, keys))

    async def taken(self, token: str, provider_id: str) -> None:
        """The provider has taken a batch."""
        await self._desk.submit(
            lambda connection: connection.execute(
                "update batches set status = 'under_way', provider_id = ? where token = ?", (provider_id, token)
            )
        )

    def unsure(self, token: str) -> None:
        """Nobody knows whether the provider has taken a batch."""
        self._desk.post(
            lambda connection: _run(connection, "update batches set status = 'unsure' where token = ?", token)
        )

    async def drop(self, token: str) -> None:
        """A batch was surely not taken: its questions stand nowhere."""
        await self._desk.submit(lambda connection: _drop(connection, token))

    async def batch(self, token: str) -> BatchRow | None:
        """One batch."""
        found = await self._desk.submit(lambda connection: _batches(connection, token))
        return found[0] if found else None

    async def batches(self) -> list[BatchRow]:
        """All batches whose answers have not all been recorded, the oldest first."""
        return await self._desk.submit(lambda connection: _batches(connection, None))

    async def keys(self, token: str) -> list[str]:
        """The questions of a batch whose answers have not been recorded."""
        return await self._desk.submit(
            lambda connection: [
                row[0] for row in connection.execute("select key from batch_items where token = ?", (token,))
            ]
        )

    async def keep(self, token: str, answers: Mapping[int, bytes]) -> None:
        """Keeps answers, by the numbers of their questions; one that is there stays.

        One with a secret in it is kept for this process alone: for others it is an answer that cannot be read.
        """
        rows = [(self._written(token, number, answer), token, number) for number, answer in answers.items()]
        await self._desk.submit(
            lambda connection: connection.executemany(
                "update batch_items set answer = ? where token = ? and number = ? and answer is null", rows
            )
        )

    async def end(self, token: str, otherwise: bytes) -> dict[str, bytes]:
        """The results of a batch are all here.

        Args:
            token: The batch.
            otherwise: The answer to each question for which no line came.

        Returns:
            All its answers by key.
        """
        answers = await self._desk.submit(lambda connection: _end(connection, token, otherwise))
        if not self._unwritten:
            return {key: answer for key, _, answer in answers}
        return {key: self._unwritten.get((token, number), answer) for key, number, answer in answers}

    def _written(self, token: str, number: int, answer: bytes) -> bytes:
        if self._secrecy is None or not self._secrecy.finds(answer):
            return answer
        self._unwritten[token, number] = answer
        return _UNREADABLE

    def recorded(self, key: str) -> None:
        """The answer to a question stands in the ledger, and is needed here no more."""
        self._desk.post(lambda connection: _recorded(connection, key))

    async def forget(self, *, now: datetime) -> int:
        """Deletes batches that are older than their results at any provider; how many there were."""
        oldest_us = _microseconds(now - KEPT)
        return await self._desk.submit(lambda connection: _forget(connection, oldest_us))


def _place(connection: sqlite3.Connection, key: str) -> Place | None:
    row = connection.execute("select token, number, answer from batch_items where key = ?", (key,)).fetchone()
    return None if row is None else Place(token=row[0], number=row[1], answer=row[2])


def _begin(connection: sqlite3.Connection, batch: BatchRow, keys: Sequence[str]) -> list[int]:
    elsewhere = []
    for number, key in enumerate(keys):
        inserted = connection.execute(
            "insert or ignore into batch_items (token, number, key) values (?, ?, ?)", (batch.token, number, key)
        )
        if not inserted.rowcount:
            elsewhere.append(number)
    if len(elsewhere) < len(keys):
        connection.execute(
            "insert into batches (token, provider, model, status, owner, size, created_us, run_id, flow) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                batch.token,
                batch.provider,
                batch.model,
                batch.status,
                batch.owner,
                len(keys) - len(elsewhere),
                _microseconds(batch.created_at),
                batch.run_id,
                batch.flow,
            ),
        )
    return elsewhere


def _batches(connection: sqlite3.Connection, token: str | None) -> list[BatchRow]:
    rows = connection.execute(
        """select b.token, b.provider, b.model, b.provider_id, b.status, b.owner, b.size, b.created_us,
            (select count(*) from batch_items i where i.token = b.token), coalesce(b.run_id, ''), coalesce(b.flow, '')
        from batches b where ? is null or b.token = ? order by b.created_us""",
        (token, token),
    )
    return [
        BatchRow(
            token=row[0],
            provider=row[1],
            model=row[2],
            provider_id=row[3],
            status=row[4],
            owner=row[5],
            size=row[6],
            created_at=datetime.fromtimestamp(row[7] / 1e6, UTC).replace(tzinfo=None),
            waiting=row[8],
            run_id=row[9],
            flow=row[10],
        )
        for row in rows
    ]


def _end(connection: sqlite3.Connection, token: str, otherwise: bytes) -> list[tuple[str, int, bytes]]:
    connection.execute("update batches set status = 'ended' where token = ?", (token,))
    connection.execute("update batch_items set answer = ? where token = ? and answer is null", (otherwise, token))
    return list(connection.execute("select key, number, answer from batch_items where token = ?", (token,)))


def _drop(connection: sqlite3.Connection, token: str) -> None:
    _run(connection, "delete from batch_items where token = ?", token)
    _run(connection, "delete from batches where token = ?", token)


def _recorded(connection: sqlite3.Connection, key: str) -> None:
    row = connection.execute("delete from batch_items where key = ? returning token", (key,)).fetchone()
    if row is not None and not connection.execute("select 1 from batch_items where token = ?", row).fetchone():
        _run(connection, "delete from batches where token = ?", row[0])


def _forget(connection: sqlite3.Connection, oldest_us: int) -> int:
    old = [row[0] for row in connection.execute("select token from batches where created_us < ?", (oldest_us,))]
    for token in old:
        _drop(connection, token)
    return len(old)


def _run(connection: sqlite3.Connection, statement: str, value: str) -> None:
    connection.execute(statement, (value,))


def _microseconds(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1e6)
