"""Cache entries: replies by the key of their request, shared by all processes of a workspace."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

from orchestration_nb.errors import WorkspaceError
from orchestration_nb.state.store import StateFile

MOST_BYTES = 2**30
"""The largest that the file may grow; then the oldest entries go."""
_STRIKES = 3
_TRIMMED_AT_ONCE = 1000

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_Work = Callable[[sqlite3.Connection], _Answer]

Entry = tuple[str, bytes, datetime]
"""Key, reply, and when it was made (naive UTC)."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry."""

    reply: bytes
    created_us: int
    used_us: int


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class State:
    """What the processes of a workspace share at once: by now, the cache of replies.

    A cache may cost money by not being there, and must never cost a run: a file that is unwritable, of a newer version,
    or locked three times in a row for half a second is reported once and not used any more by this process. One
    that is damaged is kept aside and begun anew. May be used from any thread.

    Args:
        workspace: The folder whose ``.orchestrate/`` holds the file.
        keep_days: Days an entry may be used, or ``None`` for ever.
        most_bytes: The largest that the file may grow; then the oldest entries go.
    """

    def __init__(self, workspace: Path, *, keep_days: int | None = 30, most_bytes: int = MOST_BYTES) -> None:
        self._file = StateFile(workspace)
        self._keep = None if keep_days is None else timedelta(days=keep_days)
        self._most_bytes = most_bytes
        self._strikes = 0
        self.trouble: str | None = None
        """Why the cache is off, in one sentence, or ``None`` while it is on."""

    def cached(self, key: str, *, now: datetime) -> bytes | None:
        """The reply kept for ``key``, or ``None`` where there is none or it is too old.

        Args:
            key: The key of the request.
            now: The time, naive UTC.
        """
        oldest_us = 0 if self._keep is None else _microseconds(now - self._keep)
        return self._guarded(self._file.use, lambda connection: _look_up(connection, key, oldest_us), otherwise=None)

    def remember(self, entries: Sequence[Entry]) -> None:
        """Keeps replies, in one transaction; a key that is there gets the new reply."""
        if entries:
            self._guarded(self._file.write, lambda connection: self._insert(connection, entries), otherwise=None)

    def forget(self, older_than: datetime) -> int:
        """Deletes the entries made before ``older_than`` (naive UTC), and gives their room back to the disk.

        Returns:
            How many there were.
        """
        return self._guarded(
            self._file.use, lambda connection: _delete(connection, _microseconds(older_than)), otherwise=0
        )

    async def find_or_claim(self, key: str) -> Found | Literal["ours", "theirs"]:
        """The entry, or ``"ours"``: other processes are not heard."""
        reply = self.cached(key, now=_now())
        return "ours" if reply is None else Found(reply, _microseconds(_now()), _microseconds(_now()))

    def keep(self, key: str, reply: bytes) -> None:
        """Keeps a reply."""
        self.remember([(key, reply, _now())])

    def release(self, key: str) -> None:
        """Nothing is claimed."""

    def note_use(self, keys: Sequence[str]) -> None:
        """Nothing is noted."""

    async def flush(self) -> None:
        """All is there."""

    def close(self) -> None:
        """Closes the file; a later use opens it again."""
        self._file.close()

    def _insert(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        self._strikes = 0  # the lock was to be had; that reading succeeds says nothing, it needs none
        connection.executemany(
            "insert or replace into cache values (?, ?, ?)",
            [(key, reply, _microseconds(created_at)) for key, reply, created_at in entries],
        )
        pages, free, page_bytes = (
            connection.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * page_bytes > self._most_bytes:
            connection.execute(
                "delete from cache where rowid in (select rowid from cache order by created_us limit ?)",
                [_TRIMMED_AT_ONCE],
            )

    def _guarded(
        self, run: Callable[[_Work[_Answer]], _Answer], work: _Work[_Answer], *, otherwise: _Answer
    ) -> _Answer:
        """Runs ``work`` by ``run`` and, whatever the file's trouble, comes back."""
        if self.trouble is not None:
            return otherwise
        try:
            return run(work)
        except (sqlite3.Error, OSError, WorkspaceError) as error:
            self._strikes += 1
            if not _is_busy(error) or self._strikes >= _STRIKES:
                self.trouble = f"The cache of replies is off: {error}"
                _log.warning(self.trouble)
            return otherwise


def _look_up(connection: sqlite3.Connection, key: str, oldest_us: int) -> bytes | None:
    row = connection.execute("select reply, created_us from cache where key = ?", (key,)).fetchone()
    return row[0] if row is not None and row[1] >= oldest_us else None


def _delete(connection: sqlite3.Connection, before_us: int) -> int:
    count = connection.execute("delete from cache where created_us < ?", (before_us,)).rowcount
    connection.executescript("pragma incremental_vacuum")  # execute() would free one page only
    return count


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _microseconds(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1e6)
