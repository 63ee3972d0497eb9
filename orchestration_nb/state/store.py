"""The file ``.orchestrate/state.sqlite``: opened once a process, kept up to date, and begun anew when damaged."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from orchestration_nb.errors import LedgerNewerError, StateError, WorkspaceError
from orchestration_nb.state import accounts, batches, cache, claims, rollouts, schedules, windows
from orchestration_nb.state.folder import FOLDER_NAME, private_folder
from orchestration_nb.state.lock import locked

FILE_NAME = "state.sqlite"
_OPEN_S = 2.5
"""The longest that opening waits for other processes that open."""

MIGRATIONS: tuple[str, ...] = (
    """
    create table cache (key text primary key, reply blob not null, created_us integer not null);
    create index cache_by_age on cache (created_us);
    """,
    batches.TABLES,
    windows.TABLES,
    claims.TABLES + cache.TABLES,
    accounts.TABLES,
    cache.QUESTIONS,
    batches.ASKED_BY,
    rollouts.TABLES,
    schedules.TABLES,
)
"""One script a version, the first for a new file. Append to it; never change one that was released."""

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class StateFile:
    """One process's connection to the state of a workspace; may be used from any thread, one at a time.

    Opened with the first use. After a fork the child opens its own.

    Args:
        workspace: The folder whose ``.orchestrate/`` holds the file.
        busy_s: How long a statement waits, blocking, for the lock of another process; on an event loop not at all.
    """

    def __init__(self, workspace: Path, *, busy_s: float = 0) -> None:
        self._workspace = workspace
        self.path = workspace / FOLDER_NAME / FILE_NAME
        self._busy_s = busy_s
        self._connection: sqlite3.Connection | None = None
        self._identity = 0
        self._turn = threading.RLock()
        _files.add(self)

    def opened(self, *, look: bool = True) -> sqlite3.Connection | None:
        """The connection, if there is one; with ``look``, if it is to the file that now stands at the path."""
        if self._connection is None or not look:
            return self._connection
        try:
            if os.stat(self.path).st_ino == self._identity:  # noqa: PTH116 - half the time of Path.stat()
                return self._connection
        except OSError:
            pass
        return None

    def open(self) -> sqlite3.Connection:
        """A connection to the file that now stands at the path; takes milliseconds, or waits for another process.

        Raises:
            sqlite3.Error: If the file cannot be read or written.
            OSError: If the folder cannot be made or written.
            WorkspaceError: If a newer version of the package wrote the file, or opening waits too long.
        """
        with self._turn:
            connection = self.opened()
            if connection is None:
                self.close()
                connection = self._open()
            return connection

    def replace_damaged(self) -> tuple[Path, int] | None:
        """Keeps the damaged file under another name, and carries what can be read of the accounts over to a new one.

        Returns:
            Where it is kept, and how many accounts could be read; ``None`` where another process has replaced it.
        """
        with self._turn:
            aside = self._set_aside()
            if aside is None:
                return None
            connection = self._open()
            rescued = accounts.rescue(aside, connection)
            schedules.rescue(aside, connection)
            _log.warning("%s was damaged: it is kept as %s, and begun anew.", self.path, aside)
            return aside, rescued

    def transact(self, work: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """What ``work`` makes of the connection, in a transaction of its own; for whoever has no event loop to hold up.

        Raises:
            StateError: If the file is damaged, cannot be written, or stays locked for ``busy_s`` seconds.
        """
        with self._turn:
            try:
                connection = self.open()
                connection.execute("begin immediate")
                try:
                    answer = work(connection)
                    connection.execute("commit")
                finally:
                    if connection.in_transaction:
                        connection.execute("rollback")
            except (sqlite3.Error, OSError) as error:
                raise self._trouble(error) from error
            return answer

    def close(self) -> None:
        """Closes the connection; a later use opens another."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _trouble(self, error: Exception) -> StateError:
        if is_damage(error):
            with contextlib.suppress(OSError, sqlite3.Error, WorkspaceError):  # another process is at it
                self.replace_damaged()
            return StateError(f"{self.path} was damaged: it is kept beside a new one.", hint="Try again.")
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        return StateError(f"{self.path} cannot be written: {said}.", hint="Give write access to it.")

    def _open(self) -> sqlite3.Connection:
        path = private_folder(self._workspace) / FILE_NAME
        with locked(path.with_name("state.lock"), alone=True, limit_s=_OPEN_S):
            connection = sqlite3.connect(path, timeout=_OPEN_S, isolation_level=None, check_same_thread=False)
            try:
                version = _known_version(connection, path)
                if version == 0:
                    connection.execute("pragma auto_vacuum = incremental")
                connection.execute("pragma journal_mode = wal")
                connection.execute("pragma synchronous = normal")
                for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
                    connection.executescript(f"begin immediate; {script}; pragma user_version = {number}; commit;")
                connection.execute(f"pragma busy_timeout = {round(self._busy_s * 1000)}")
            except BaseException:
                connection.close()
                raise
        self._connection, self._identity = connection, path.stat().st_ino
        return connection

    def _set_aside(self) -> Path | None:
        self.close()
        path = self.path
        with locked(path.with_name("state.lock"), alone=True, limit_s=_OPEN_S):
            if not path.exists() or self._identity not in {0, path.stat().st_ino}:
                return None
            aside = path.with_name(f"state.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.sqlite")
            path.rename(aside)
            with contextlib.suppress(FileNotFoundError):  # what was written last stands in it
                path.with_name(path.name + "-wal").rename(aside.with_name(aside.name + "-wal"))
            path.with_name(path.name + "-shm").unlink(missing_ok=True)
        self._identity = 0
        return aside

    def _forget_parent(self) -> None:
        # Closed in the child, SQLite would let go of the parent's locks: the connection is left as it is.
        if self._connection is not None:
            _of_parents.append(self._connection)
        self._connection = None
        self._turn = threading.RLock()


def _known_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the file, 0 for a new one; nothing is written before it is known."""
    version = int(connection.execute("pragma user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise LedgerNewerError(
            f"{path} has version {version}; this version of orchestration_nb knows up to {len(MIGRATIONS)}.",
            hint="Update orchestration_nb. The file was left as it is.",
        )
    return version


def is_damage(error: BaseException) -> bool:
    """Whether SQLite found that the file is none of its own, or broken."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


_files: weakref.WeakSet[StateFile] = weakref.WeakSet()
_of_parents: list[sqlite3.Connection] = []


def _forget_parents() -> None:
    for file in _files:
        file._forget_parent()  # noqa: SLF001 - the same module


os.register_at_fork(after_in_child=_forget_parents)
