"""The journal: each process appends what happened to a file of its own, one line and one ``write(2)`` an event.

A line that was written is with the operating system: ``kill -9`` of the process does not lose it (a power cut may,
unless the journal is durable). No two processes share a file, so writers wait for nobody.

While it writes, a process holds a lock on its file. The operating system lets go of it when the process ends,
however it ends: that is how a reader knows whether a run that never finished is still under way.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.errors import JournalWriteError
from orchestration_nb.events import ComparisonFinished, ComparisonStarted, Event, RunFinished, RunStarted
from orchestration_nb.ledger.lines import encode, header
from orchestration_nb.pipeline_events import PipelineFinished, PipelineStarted
from orchestration_nb.state import private_folder

if TYPE_CHECKING:
    from orchestration_nb.secrecy import Secrecy

SEGMENT_BYTES = 64 * 2**20
"""A file longer than this is left for a new one when the next run starts."""
SEGMENT_SECONDS = 24 * 3600.0
"""And so is a file older than this, so that retention by age has whole files to delete."""


class JournalFile:
    """The journal of this process: ``.orchestrate/journal/<boot>-<pid>-<n>.jsonl``.

    The file is opened with the first event. Used from one thread (the engine's). A forked child writes to a file of
    its own.

    Args:
        workspace: The folder whose ``.orchestrate/`` holds the journal.
        durable: Wait for the disk after each line, so that a power cut loses nothing either.
        clock: Tells how old the file is.
        secrecy: Keeps secrets out of the lines; ``None`` where there are none.
    """

    def __init__(
        self,
        workspace: Path,
        *,
        durable: bool = False,
        clock: Clock | None = None,
        secrecy: Secrecy | None = None,
    ) -> None:
        self._folder = workspace
        self._durable = durable
        self._secrecy = secrecy
        self._clock = clock or SystemClock()
        self._descriptor = -1
        self._path: Path | None = None
        self._size = 0
        self._opened_s = 0.0
        self._running: set[str] = set()
        _journals.add(self)

    @property
    def path(self) -> Path | None:
        """The file that is written now, or ``None`` before the first event."""
        return self._path

    def write(self, event: Event) -> None:
        """Appends one line.

        Args:
            event: What happened.

        Raises:
            JournalWriteError: If the line is not whole with the operating system. Nothing of it is then left in the
                file, every line before stays, and the next event tries a new file.
        """
        line = encode(event, self._secrecy)
        if self._size == 0 or isinstance(event, RunStarted):
            self._choose_file()
            line = line if self._size else header() + line
        try:
            written = os.write(self._descriptor, line)
            if written != len(line) or self._durable:
                self._complete(line, written)
        except OSError as error:
            refusal = self._refusal(error)
            self._give_up()
            raise refusal from error
        self._size += len(line)
        if isinstance(event, _BEGINNINGS):
            self._running.add(_whose(event))
        elif isinstance(event, _ENDS):
            self._running.discard(_whose(event))

    def close(self) -> None:
        """Lets go of the file; a later event opens a new one."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._size = -1, 0
        self._running.clear()

    def _choose_file(self) -> None:
        """Opens a file where none is open, or where the open one is gone, long or old and no run needs it."""
        try:
            if self._descriptor >= 0 and not self._running:
                old = self._clock.monotonic() - self._opened_s > SEGMENT_SECONDS
                if old or self._size > SEGMENT_BYTES or os.fstat(self._descriptor).st_nlink == 0:
                    self.close()
            if self._descriptor < 0:
                self._open()
        except OSError as error:
            raise self._refusal(error) from error

    def _open(self) -> None:
        folder = private_folder(self._folder) / "journal"
        folder.mkdir(mode=0o700, exist_ok=True)
        for number in itertools.count():
            path = folder / f"{boot_id()}-{os.getpid()}-{number}.jsonl"
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            if (folder / "merged" / path.name).exists():  # merged and moved: its name is taken all the same
                path.unlink()
                os.close(descriptor)
                continue
            self._descriptor, self._path, self._size = descriptor, path, 0
            self._opened_s = self._clock.monotonic()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if self._durable:
                _sync_folder(folder)
            return

    def _complete(self, line: bytes, written: int) -> None:
        """Writes the rest of a line of which the system took only a part, and waits for the disk where asked to."""
        while written < len(line):
            written += os.write(self._descriptor, line[written:])
        if self._durable:
            _sync(self._descriptor)

    def _give_up(self) -> None:
        """Takes a half line out again and lets go of the file, so that no run in it seems to go on for ever."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._size)
            if self._size == 0 and self._path is not None:
                self._path.unlink()
        self.close()

    def _refusal(self, error: OSError) -> JournalWriteError:
        where = self._path or self._folder / ".orchestrate" / "journal"
        return JournalWriteError(
            f"The journal {where} cannot be written: {error.strerror or error}.",
            hint="What was recorded before stays. Make room or give write access, and run again.",
        )


_Beginning = RunStarted | ComparisonStarted | PipelineStarted
_End = RunFinished | ComparisonFinished | PipelineFinished
_BEGINNINGS: Final = (RunStarted, ComparisonStarted, PipelineStarted)
"""What has an end, which is to stand in the same file: it is not left for a new one before."""
_ENDS: Final = (RunFinished, ComparisonFinished, PipelineFinished)


def _whose(event: _Beginning | _End) -> str:
    if isinstance(event, RunStarted | RunFinished):
        return event.run_id
    if isinstance(event, ComparisonStarted | ComparisonFinished):
        return event.comparison_id
    return event.pipeline_id


def boot_id() -> str:
    """Eight digits that differ from one start of the machine to the next, where the system tells; else ``noboot``."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "noboot"


def is_held(path: Path) -> bool:
    """Whether a living process writes the journal file ``path``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_journals: weakref.WeakSet[JournalFile] = weakref.WeakSet()


def _forget_parents() -> None:
    for journal in _journals:
        journal.close()


os.register_at_fork(after_in_child=_forget_parents)
