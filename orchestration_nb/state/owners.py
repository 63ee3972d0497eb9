"""Which processes live: a token for each, held by a lock that the system lets go of when its process dies.

A process id says too little: it is given out again, and after ``kill -9`` nobody takes it back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.errors import StateError
from orchestration_nb.ids import new_id
from orchestration_nb.state.folder import private_folder

FOLDER: Final = "owners"
REMEMBERED_S: Final = 0.2
"""How long an answer about another process is believed."""


class Owners:
    """The processes of a workspace, and this one's token among them; a forked child gets a token of its own.

    Args:
        workspace: The folder whose ``.orchestrate/`` holds the tokens.
        clock: Tells how old an answer is.
    """

    def __init__(self, workspace: Path, clock: Clock | None = None) -> None:
        self._workspace = workspace
        self._clock = clock or SystemClock()
        self._me: str | None = None
        self._lock: int | None = None
        self._known: dict[str, tuple[float, bool]] = {}
        _all.add(self)

    @property
    def me(self) -> str:
        """Token of this process, made with the first use.

        Raises:
            StateError: If the folder cannot be written, or has no file locks.
        """
        if self._me is None:
            self._me, self._lock = self._enter()
        return self._me

    def alive(self, token: str) -> bool:
        """Whether the process of that token lives; the answer may be a fifth of a second old."""
        if token == self._me:
            return True
        now_s = self._clock.monotonic()
        known = self._known.get(token)
        if known is None or now_s - known[0] > REMEMBERED_S:
            known = self._known[token] = (now_s, _is_held(self._folder / token))
        return known[1]

    def dead(self, tokens: Iterable[str]) -> set[str]:
        """Those of the tokens whose processes live no more."""
        return {token for token in tokens if not self.alive(token)}

    def close(self) -> None:
        """Lets go of this process's token: whatever it still holds is up for recovery."""
        if self._me is not None and self._lock is not None:
            with contextlib.suppress(OSError):
                (self._folder / self._me).unlink()
            os.close(self._lock)
        self._me = self._lock = None

    @property
    def _folder(self) -> Path:
        return self._workspace / ".orchestrate" / FOLDER

    def _enter(self) -> tuple[str, int]:
        try:
            folder = private_folder(self._workspace) / FOLDER
            folder.mkdir(mode=0o700, exist_ok=True)
            _sweep(folder)
            while True:
                token = new_id()
                lock = os.open(folder / token, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fcntl.flock(lock, fcntl.LOCK_EX)
                if (folder / token).exists():  # not swept by another process between the two lines above
                    return token, lock
                os.close(lock)
        except OSError as error:
            raise StateError(
                f"{self._folder} cannot be written or locked: {error.strerror or error}.",
                hint="Give write access to it, and put the workspace on a disk that has file locks.",
            ) from error

    def _forget_parent(self) -> None:
        # The parent's lock lives on in the parent; a copy of it kept open here would outlive the parent's death.
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.close(self._lock)
        self._me = self._lock = None
        self._known = {}


def _is_held(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # nobody knows: what may live is left alone
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask at once do not mistake each other
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _sweep(folder: Path) -> None:
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # nobody knows: what may live is left alone
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # Removed while it is locked: whoever has just made it waits for that, and looks whether it is there.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
            finally:
                os.close(lock)


_all: weakref.WeakSet[Owners] = weakref.WeakSet()


def _forget_parents() -> None:
    for owners in _all:
        owners._forget_parent()  # noqa: SLF001 - the same module


os.register_at_fork(after_in_child=_forget_parents)
