"""The state of a workspace, as a process without an event loop changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from orchestration_nb.state.store import StateFile

Answer = TypeVar("Answer")


def written(file: StateFile, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """What ``work`` answers, in a transaction of its own."""
    connection = file.open()
    connection.execute("begin immediate")
    answer = work(connection)
    connection.execute("commit")
    return answer
