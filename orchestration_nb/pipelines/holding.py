"""One pipeline at a time: a lock that the runner and its kernel hold together, and that goes with the last of them.

The lock stands on a file that the kernel inherits open. So nobody goes on with a pipeline whose runner was killed
before its kernel is gone as well, and the kernel needs to know nothing of it. On Linux the system ends the kernel
together with its runner; elsewhere ipykernel notices within a second.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.ids import PipelineId
from orchestration_nb.state import private_folder

FOLDER: Final = "chains"
"""Where the files are, in ``.orchestrate/``."""
WAIT_S: Final = 5.0
"""How long the kernel of a runner that was killed may take to end."""
_POLL_S: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1


class ChainHold:
    """That this process, and the kernels that it starts, are the ones who run a pipeline.

    Args:
        path: The file of the chain.
        descriptor: Open on it, and locked.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def kernel_arguments(self) -> dict[str, Any]:
        """What the kernel's process is started with, so that it holds the lock, and does not outlive its runner."""
        return {"pass_fds": (self._descriptor,), **dying_with(signal.SIGKILL)}

    def release(self) -> None:
        """Lets go: for a runner whose kernels have ended. A second time it does nothing."""
        if self._descriptor >= 0:
            # Removed while it is locked: who waits for it looks whether it is still there.
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1


def hold_chain(workspace: Path, root: PipelineId, *, wait_s: float = WAIT_S) -> ChainHold:
    """Takes the lock of a pipeline and all that goes on with it.

    Args:
        workspace: The folder whose ledger has it.
        root: The first of its runs.
        wait_s: The most seconds to wait for those who hold it.

    Raises:
        UsageError: If a process of the pipeline still lives.
        WorkspaceError: If the file cannot be made.
    """
    waited_s = 0.0
    try:
        folder = private_folder(workspace) / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        while (descriptor := _lock(folder / f"{root}.lock")) is None:
            if waited_s >= wait_s:
                raise UsageError(
                    f"The pipeline run {root} is still running: a process of it lives.",
                    hint="Wait for its end, or end that process, and resume it then.",
                )
            time.sleep(_POLL_S)
            waited_s += _POLL_S
    except OSError as error:
        raise WorkspaceError(
            f"The folder {workspace / '.orchestrate'} cannot be written or locked: {error.strerror or error}."
        ) from error
    return ChainHold(folder / f"{root}.lock", descriptor)


def _lock(path: Path) -> int | None:
    """Opens and locks the file; ``None`` where another one holds it, or has just removed it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except BlockingIOError:
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def dying_with(number: signal.Signals) -> dict[str, Any]:
    """What a process is started with that is to get a signal when the thread that started it ends; Linux alone can."""
    if sys.platform != "linux":
        return {}
    parent = os.getpid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # found before the fork: a child may do next to nothing

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it has died already
            os._exit(1)

    return {"preexec_fn": ask}
