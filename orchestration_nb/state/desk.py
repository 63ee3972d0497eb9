"""The desk where the engine's loop does its business with the state of a workspace: many works, one transaction.

A transaction costs more than what is done in it. All works that come in one turn of the loop therefore share one, in
the order they came; a work that nobody waits for joins the next. The loop never stands still for another process: a
lock that is taken is waited for asynchronously.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import random
import sqlite3
import weakref
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.errors import StateError, WorkspaceError
from orchestration_nb.state.store import StateFile, is_damage

LATE_S: Final = 0.02
"""The longest that a posted work waits for others to share its transaction."""
LOOK_S: Final = 0.05
"""How often is looked whether somebody has removed the file."""
BUSY_S: Final = 30.0
"""The longest that another process's lock is waited for."""
_LONGEST_WAIT_S: Final = 0.02
_FAREWELL_S: Final = 2.0
_FILE_TROUBLE: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_Item = TypeVar("_Item")
Work = Callable[[sqlite3.Connection], _Answer]
"""What is done within a transaction. It must not wait, and may be done a second time where another work of the same
transaction fails: what it changes beside the file must bear that."""
Then = Callable[[Any, BaseException | None], None]
"""Told what a work answered, or why it failed, once the transaction has ended."""
_Outcome = tuple[Any, BaseException | None]


class _Entry(NamedTuple):
    """A work that is to be done."""

    work: Work[Any]
    then: Then | None
    awaited: bool
    """Whether somebody waits for it; else it stays until it is done."""


class Desk:
    """Runs works in shared transactions; used from one event loop, and after that loop's end by :meth:`flush_now`.

    Args:
        file: The state of the workspace, opened with ``busy_s=0`` and used by nobody else.
        clock: Waits for locks.
        crowd: How many may come in the same turn. One alone has nobody to share with, and is served at once.
    """

    def __init__(self, file: StateFile, clock: Clock | None = None, *, crowd: Callable[[], int] = lambda: 2) -> None:
        self._file = file
        self._clock = clock or SystemClock()
        self._crowd = crowd
        self._transacting = False
        self._entries: list[_Entry] = []
        self._soon = False
        self._looked_s = 0.0
        self._posted_s = 0.0
        self._late: asyncio.TimerHandle | None = None
        self._patient: asyncio.Task[None] | None = None
        _all.add(self)

    async def submit(
        self, work: Work[_Answer], committed: Callable[[_Answer], None] | None = None, *, apart: bool = False
    ) -> _Answer:
        """What ``work`` makes of the connection, in a transaction that it shares with others.

        Args:
            work: What is to be done.
            committed: Told the answer in the turn in which it was committed, though nobody should wait any more.
            apart: Where nobody else comes, what was posted is left its time to share a transaction with what follows:
                ``work`` does not depend on it, or can be submitted again.

        Raises:
            StateError: If the file is damaged, cannot be written, or is locked for thirty seconds.
        """
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        then = functools.partial(_answer, answer, committed)
        if apart and self._is_free():
            self._enter_apart(_Entry(work, then, awaited=True))
        else:
            self.enter(work, then)
        return answer.result() if answer.done() else await answer  # one who is alone need not go round the loop

    def enter(self, work: Work[Any], then: Then) -> None:
        """As :meth:`submit`, but ``then`` is called with the outcome, in the same turn in which it was committed."""
        self._entries.append(_Entry(work, then, awaited=True))
        self._run_soon()

    def post(self, work: Work[object], then: Then | None = None) -> None:
        """Has ``work`` done soon; nobody waits for it.

        It is done with the next transaction, within 20 ms; where the file cannot be written, as soon as it can be.
        ``then``, where given, is called in the turn in which it was committed.
        """
        loop = asyncio.get_running_loop()
        if not self._entries:
            self._posted_s = loop.time()
        self._entries.append(_Entry(work, then, awaited=False))
        if self._late is None and not self._soon and self._patient is None:
            self._late = loop.call_at(self._posted_s + LATE_S, self._run_late)

    async def flush(self) -> None:
        """Returns when everything that was posted is in the file.

        Raises:
            StateError: If it cannot be written.
        """
        await self.submit(_nothing)

    def flush_now(self) -> None:
        """Writes what was posted, blocking for at most two seconds: for the end of the process."""
        if not self._entries:
            return
        try:
            connection = self._file.open()
            connection.execute(f"pragma busy_timeout = {round(_FAREWELL_S * 1000)}")
            try:
                self._transact(connection)
            finally:
                connection.execute("pragma busy_timeout = 0")
        except (sqlite3.Error, OSError, WorkspaceError) as error:
            _log.warning("%d entries of %s were not written: %s", len(self._entries), self._file.path, error)

    def close(self) -> None:
        """Writes what was posted, and closes the file."""
        self.flush_now()
        self._file.close()

    def _is_free(self) -> bool:
        return self._crowd() < 2 and not (self._transacting or self._soon or self._patient is not None)

    def _enter_apart(self, entry: _Entry) -> None:
        posted, since_s = self._entries, self._posted_s
        self._entries = [entry]
        self._run()
        self._entries, self._posted_s = posted + self._entries, since_s if posted else self._posted_s

    def _run_soon(self) -> None:
        if self._soon or self._patient is not None:
            return
        if self._is_free():
            self._run()
        else:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run_late(self) -> None:
        """What was posted is due, or was done meanwhile: the timer is not set anew for each of a thousand a second."""
        self._late = None
        loop = asyncio.get_running_loop()
        if self._entries and loop.time() < self._posted_s + LATE_S / 2:
            self._late = loop.call_at(self._posted_s + LATE_S, self._run_late)
        else:
            self._run()

    def _run(self) -> None:
        self._soon = False
        if self._entries and self._patient is None and not self._is_done(self._connection()):
            self._patient = asyncio.get_running_loop().create_task(self._run_patiently())

    def _connection(self) -> sqlite3.Connection | None:
        now_s = asyncio.get_running_loop().time()
        look = now_s - self._looked_s > LOOK_S
        if look:
            self._looked_s = now_s
        return self._file.opened(look=look)

    async def _run_patiently(self) -> None:
        """Opens the file beside the loop, and waits for locks without holding the loop up."""
        began_s = self._clock.monotonic()
        try:
            while self._entries and not self._is_done(await self._opened()):
                if self._clock.monotonic() - began_s > BUSY_S:
                    self._fail(StateError(f"{self._file.path} was locked by another process for {BUSY_S:g} seconds."))
                    break
                await self._clock.sleep(random.uniform(0.1, 1) * _LONGEST_WAIT_S)  # noqa: S311 - who is next is no secret
        except (sqlite3.Error, OSError, WorkspaceError) as error:
            self._fail(self._trouble(error))
        finally:
            self._patient = None
        if any(entry.awaited for entry in self._entries):
            self._run_soon()

    async def _opened(self) -> sqlite3.Connection | None:
        """The connection, or ``None`` where another process holds the lock that opening needs."""
        connection = self._file.opened()
        if connection is not None:
            return connection
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._file.open)
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                return None
            raise

    def _is_done(self, connection: sqlite3.Connection | None) -> bool:
        """Whether all is done, well or not; ``False`` where the file is to be opened or waited for."""
        if connection is None:
            return False
        try:
            self._transact(connection)
        except sqlite3.Error as error:
            if _is_busy(error):
                return False
            self._fail(self._trouble(error))
        return True

    def _transact(self, connection: sqlite3.Connection) -> None:
        """Does all works in one transaction, and tells those who wait.

        Raises:
            sqlite3.Error: If it could not be begun or committed, or the file failed: nothing was done then.
        """
        entries, self._entries = self._entries, []
        self._transacting = True
        try:
            told = _together(connection, entries) or _each(connection, entries)
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            self._entries = entries + self._entries
            raise
        finally:
            self._transacting = False
        for entry, (answer, error) in zip(entries, told, strict=True):
            if entry.then is not None:
                entry.then(answer, error)
            elif error is not None:
                _log.error("A change of %s failed.", self._file.path, exc_info=error)

    def _fail(self, error: StateError) -> None:
        """Tells all who wait; what was posted stays for the next transaction."""
        failed = [entry.then for entry in self._entries if entry.awaited]
        self._entries = [entry for entry in self._entries if not entry.awaited]
        for then in failed:
            if then is not None:
                then(None, error)

    def _trouble(self, error: Exception) -> StateError:
        path = self._file.path
        if isinstance(error, WorkspaceError):
            return StateError(str(error), hint=error.hint)
        if is_damage(error):
            return self._damage()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return StateError(f"{path} cannot be written: the disk is full.", hint="Make room, then run again.")
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        return StateError(f"{path} cannot be written: {said}.", hint="Give write access to it.")

    def _damage(self) -> StateError:
        """Begins the file anew; the run ends all the same, so that somebody learns what became of the budgets."""
        replaced = None
        with contextlib.suppress(OSError, sqlite3.Error, WorkspaceError):  # another process is at it
            replaced = self._file.replace_damaged()
        hint = "Run again: the budgets go on with what could be read of it."
        if replaced is not None and replaced[1] == 0:
            hint = "Run again: every budget begins anew, although something may be spent of it already."
        return StateError(f"{self._file.path} was damaged: it is kept beside a new one.", hint=hint)

    def _forget_parent(self) -> None:
        self._entries, self._soon, self._late, self._patient = [], False, None, None


class Gathering(Generic[_Item]):
    """Changes of one kind that nobody waits for: all that come between two transactions are one work.

    What each of them would write to the same row is then written once.

    Args:
        desk: Runs the work, as :meth:`Desk.post` does.
        work: Makes these changes, in the order in which they came.
        then: Told the changes and what the work answered, in the turn in which they were committed.
    """

    def __init__(
        self,
        desk: Desk,
        work: Callable[[sqlite3.Connection, list[_Item]], Any],
        then: Callable[[list[_Item], Any], None] | None = None,
    ) -> None:
        self._desk = desk
        self._work = work
        self._then = then
        self._items: list[_Item] = []

    def add(self, item: _Item) -> None:
        """Has the change made soon."""
        self._items.append(item)
        if len(self._items) == 1:
            self._desk.post(self._do, self._done)

    def _do(self, connection: sqlite3.Connection) -> Any:
        return self._work(connection, self._items)

    def _done(self, answer: Any, error: BaseException | None) -> None:
        items, self._items = self._items, []
        if error is None:
            if self._then is not None:
                self._then(items, answer)
        elif len(items) > 1:  # whichever it was, the others stand
            for item in items:
                alone = Gathering(self._desk, self._work, self._then)
                alone.add(item)
        else:
            _log.error("A change of the state failed.", exc_info=error)


def _together(connection: sqlite3.Connection, entries: list[_Entry]) -> list[_Outcome] | None:
    """What the works answered; ``None`` where one of them failed, and nothing was done."""
    connection.execute("begin immediate")
    try:
        told: list[_Outcome] = [(entry.work(connection), None) for entry in entries]
    except Exception as error:
        if _is_the_files(error):
            raise
        connection.execute("rollback")
        return None
    connection.execute("commit")
    return told


def _each(connection: sqlite3.Connection, entries: list[_Entry]) -> list[_Outcome]:
    """The same, so that nothing stays of a work that fails, and the others stand; marks around each cost time."""
    told: list[_Outcome] = []
    connection.execute("begin immediate")
    for entry in entries:
        connection.execute("savepoint work")
        try:
            told.append((entry.work(connection), None))
        except Exception as error:
            if _is_the_files(error):
                raise
            connection.execute("rollback to work")
            told.append((None, error))
        connection.execute("release work")
    connection.execute("commit")
    return told


def _is_the_files(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _FILE_TROUBLE


def _answer(
    future: asyncio.Future[Any], committed: Callable[[Any], None] | None, answer: Any, error: BaseException | None
) -> None:
    if error is None and committed is not None:
        committed(answer)
    if future.done():
        return  # cancelled meanwhile
    if error is None:
        future.set_result(answer)
    else:
        future.set_exception(error)


def _is_busy(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY


def _nothing(_: sqlite3.Connection) -> None:
    """Done when everything before it is."""


_all: weakref.WeakSet[Desk] = weakref.WeakSet()


def _forget_parents() -> None:
    for desk in _all:
        desk._forget_parent()  # noqa: SLF001 - the same module


os.register_at_fork(after_in_child=_forget_parents)
