"""Cache entries: replies by the key of their question, shared by all processes of a workspace.

To look an entry up and, where there is none, to claim the question is one transaction; to keep the reply and to end
the claim is another.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol, TypeVar

from orchestration_nb.clock import Clock
from orchestration_nb.errors import WorkspaceError
from orchestration_nb.state import claims
from orchestration_nb.state.claims import Claim
from orchestration_nb.state.seal import Seal

TABLES = """
drop table if exists cache;
create table if not exists replies (
    key text primary key, reply blob not null, created_us integer not null, used_us integer not null
);
create index if not exists replies_by_use on replies (used_us);
"""
MOST_BYTES: Final = 2**30
"""The largest that the file may grow; then what was used longest ago goes."""
PATIENCE_S: Final = 300.0
"""How long a question is left to another process that lives and does not answer."""
_LOOKED_AT_EVERY: Final = 16
"""Replies kept between two looks at the size of the file: a look costs as much as a reply."""
_EVICTED_AT_ONCE: Final = 64
_DAY_US: Final = 86_400_000_000
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as the clock's
_MICROSECOND: Final = timedelta(microseconds=1)

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_Work = Callable[[sqlite3.Connection], _Answer]

Turn = Literal["ours", "theirs"]
"""Who asks a question that nobody has answered: this process, which has just claimed it, or another one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a reply."""

    reply: bytes
    created_us: int
    """When it was made: microseconds since 1970."""
    used_us: int
    """When it was last used, as far as was noted."""


class Transactions(Protocol):
    """The part of :class:`~orchestration_nb.state.desk.Desk` that is used here."""

    async def submit(self, work: _Work[_Answer]) -> _Answer:
        """What ``work`` makes of the connection, in a transaction."""

    def post(self, work: _Work[object]) -> None:
        """The same, soon; nobody waits."""

    async def flush(self) -> None:
        """Returns when everything that was posted is done."""


class Living(Protocol):
    """The part of :class:`~orchestration_nb.state.owners.Owners` that is used here."""

    @property
    def me(self) -> str:
        """Token of this process."""

    def alive(self, token: str) -> bool:
        """Whether that process lives."""


class Replies:
    """The entries and claims of a workspace; used from the engine's loop alone.

    A cache may cost money by not being there, and must never cost a run: what goes wrong is reported once, and the
    cache not used any more by this process.

    Args:
        desk: Runs the transactions.
        owners: Knows which processes live.
        clock: Tells the time.
        seal: Tells own entries from those that came with the folder.
        keep_days: Days an entry may be used, or ``None`` for ever.
        most_bytes: The largest that the file may grow.
    """

    def __init__(
        self,
        desk: Transactions,
        owners: Living,
        clock: Clock,
        seal: Seal,
        *,
        keep_days: int | None = 30,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._desk = desk
        self._owners = owners
        self._clock = clock
        self._seal = seal
        self._keep_us = None if keep_days is None else keep_days * _DAY_US
        self._most_bytes = most_bytes
        self._claimed: dict[str, Claim] = {}
        self._kept = 0
        self._warned = False
        self.trouble: str | None = None
        """Why the cache is off, in one sentence, or ``None`` while it is on."""

    async def find_or_claim(self, key: str) -> Entry | Turn:
        """The entry of that key; where there is none, who asks the question.

        A claim that is ``"ours"`` ends with :meth:`keep` or :meth:`release`.
        """
        if self.trouble is not None:
            return "ours"
        wanted = Claim(key, self._owners.me, self._now_us())
        self._claimed[key] = wanted
        try:
            found = await self._desk.submit(lambda connection: self._find_or_claim(connection, wanted))
        except asyncio.CancelledError:
            self.release(key)  # it may have been claimed all the same
            raise
        except (sqlite3.Error, OSError, WorkspaceError) as error:
            self._give_up(error)
            found = "ours"
        if found != "ours":
            self._claimed.pop(key, None)
        return found

    def keep(self, key: str, reply: bytes) -> None:
        """Keeps a reply, soon, and ends the claim; a key that is there gets the new reply."""
        if self.trouble is not None:
            return
        now_us, held, sealed = self._now_us(), self._claimed.pop(key, None), self._seal.close(key, reply)
        self._kept += 1
        looks = self._kept % _LOOKED_AT_EVERY == 1

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute("replace into replies values (?, ?, ?, ?)", (key, sealed, now_us, now_us))
            if held is not None:
                claims.release(connection, held)
            if looks:
                self._make_room(connection, now_us)

        self._desk.post(insert)

    def release(self, key: str) -> None:
        """Ends the claim of a question that was not answered; without one, nothing happens."""
        held = self._claimed.pop(key, None)
        if held is not None and self.trouble is None:
            self._desk.post(lambda connection: claims.release(connection, held))

    def note_use(self, keys: Sequence[str]) -> None:
        """These were used just now: they are the last to be evicted."""
        if self.trouble is None:
            rows = [(self._now_us(), key) for key in keys]
            self._desk.post(
                lambda connection: connection.executemany("update replies set used_us = ? where key = ?", rows)
            )

    async def flush(self) -> None:
        """Returns when everything that was kept is in the file."""
        await self._desk.flush()

    def _find_or_claim(self, connection: sqlite3.Connection, wanted: Claim) -> Entry | Turn:
        row = connection.execute(
            "select reply, created_us, used_us from replies where key = ?", (wanted.key,)
        ).fetchone()
        if row is not None and (self._keep_us is None or row[1] >= wanted.claimed_us - self._keep_us):
            reply = self._seal.open(wanted.key, row[0])
            if reply is not None:
                return Entry(reply, row[1], row[2])
            self._warn_of_strange()
        return "ours" if claims.claim(connection, wanted, is_void=self._is_void(wanted.claimed_us)) else "theirs"

    def _is_void(self, now_us: int) -> Callable[[Claim], bool]:
        def is_void(held: Claim) -> bool:
            return now_us - held.claimed_us > PATIENCE_S * 1e6 or not self._owners.alive(held.owner)

        return is_void

    def _make_room(self, connection: sqlite3.Connection, now_us: int) -> None:
        """Deletes a few of what is too old, and of what was used longest ago while the file is too large.

        A few at a time, so that the loop is not held up; still several times as many as come.
        """
        oldest_us = 0 if self._keep_us is None else now_us - self._keep_us
        pages, free, page_bytes = (
            connection.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        before_us = now_us if (pages - free) * page_bytes > self._most_bytes else oldest_us
        connection.execute(
            "delete from replies where key in (select key from replies where used_us < ? order by used_us limit ?)",
            (before_us, _EVICTED_AT_ONCE),
        )

    def _warn_of_strange(self) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("The cache holds replies that came with the folder or from another user: they are not used.")

    def _give_up(self, error: Exception) -> None:
        if self.trouble is None:
            self.trouble = f"The cache of replies is off: {error}"
            _log.warning(self.trouble)

    def _now_us(self) -> int:
        return (self._clock.now() - _EPOCH) // _MICROSECOND
