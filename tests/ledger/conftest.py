"""What the tests of the ledger share: a workspace, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from orchestration_nb.events import Event
from orchestration_nb.ledger import JournalFile, Ledger

Write = Callable[..., Path]


class StoppedClock:
    """Tells the time that it is told."""

    def __init__(self, now: datetime) -> None:
        self.wall = now
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, wait_s=5.0)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes events to a journal of their own, as a process that then ends; returns its file."""

    def write(*events: Event) -> Path:
        journal = JournalFile(tmp_path)
        for event in events:
            journal.write(event)
        journal.close()
        assert journal.path is not None
        return journal.path

    return write
