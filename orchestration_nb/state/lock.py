"""A lock between the processes of a workspace, held alone or shared; the system lets go of it when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration_nb.errors import WorkspaceError

_POLL_S = 0.005


@contextmanager
def locked(path: Path, *, alone: bool, limit_s: float) -> Iterator[None]:
    """Holds the lock file ``path`` while its block runs. Two threads of one process exclude each other, too.

    Args:
        path: The lock file, made where it is missing.
        alone: Whether nobody else may hold it; else others may share it.
        limit_s: The most seconds to wait.

    Raises:
        WorkspaceError: If it was not free within ``limit_s`` seconds, or cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WorkspaceError(
            f"The folder {path.parent} cannot be written: {error.strerror or error}.", hint="Give write access to it."
        ) from error
    try:
        _wait_for(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, path, limit_s)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, how: int, path: Path, limit_s: float) -> None:
    waited_s = 0.0
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if waited_s >= limit_s:
                raise WorkspaceError(
                    f"{path} was held by another process for {limit_s:g} seconds.",
                    hint="A long query or a large merge holds it: wait for it or end it, and ask again.",
                ) from None
        except OSError as error:
            raise WorkspaceError(
                f"The file system of {path.parent} has no file locks: {error.strerror or error}.",
                hint="Put the workspace on a local disk.",
            ) from error
        else:
            return
        time.sleep(_POLL_S)
        waited_s += _POLL_S
