"""What ends a notebook from outside: a timeout of a cell or of the whole, and signals."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from orchestration_nb.clock import Clock

TIMEOUTS: Final = frozenset({"CellTimeoutError", "PipelineTimeoutError"})
"""Names of the errors that stand for what took too long."""
Stopped = Literal["", "cancelled", "CellTimeoutError", "PipelineTimeoutError"]
"""Why a cell was not left to end by itself; empty: it was."""


@dataclass(slots=True, kw_only=True, eq=False)
class Limits:
    """How long a notebook and each of its cells may take."""

    clock: Clock
    cell_s: float | None
    whole_s: float | None
    ends_s: float | None
    """When the whole must have ended, in monotonic seconds."""

    def next(self) -> tuple[float | None, Stopped]:
        """How long a cell that begins now may take, and what it is called when it takes longer."""
        left = None if self.ends_s is None else max(0.0, self.ends_s - self.clock.monotonic())
        if left is not None and (self.cell_s is None or left < self.cell_s):
            return left, "PipelineTimeoutError"
        return self.cell_s, "CellTimeoutError"

    def would_end(self, wait_s: float) -> bool:
        """Whether the whole must have ended after so many seconds more."""
        return self.ends_s is not None and self.clock.monotonic() + wait_s >= self.ends_s

    def sentence(self, why: Stopped) -> str:
        """What is said of a cell that took longer."""
        if why == "CellTimeoutError":
            return f"The cell took longer than {self.cell_s:g} s (--cell-timeout) and was interrupted."
        return f"The notebook took longer than {self.whole_s:g} s (--timeout) and was interrupted."


@contextmanager
def signals(stop: asyncio.Event) -> Iterator[None]:
    """Lets SIGINT and SIGTERM set ``stop``, where this thread may hear of signals at all."""
    heard = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    loop = asyncio.get_running_loop()
    for number in heard:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
