"""What the tests of the ledger share: a workspace, and journals of processes that have ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration_nb.events import Event
from orchestration_nb.ledger import JournalFile, Ledger
from tests.conftest import REPO

Write = Callable[..., Path]


def python(script: str, *arguments: object) -> str:
    """Runs a script in a process of its own; returns what it printed."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
