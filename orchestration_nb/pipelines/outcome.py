"""How a notebook ended, read from the name of the error that stopped it, and what a shell is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestration_nb.pipeline_events import NotebookStatus

EXIT_CODES: Final[Mapping[NotebookStatus, int]] = {
    "done": 0,
    "failed": 1,
    "over budget": 3,
    "paused": 4,
    "cancelled": 130,
}
"""What a command that ran a notebook returns; 2 is wrong usage, as everywhere."""

_STATUS_OF_ERROR: Final[Mapping[str, NotebookStatus]] = {
    "OverBudgetError": "over budget",
    "BudgetPausedError": "paused",
    "KeyboardInterrupt": "cancelled",
}


def status_of_error(name: str) -> NotebookStatus:
    """The status of a notebook that was stopped by an error of this name in the kernel."""
    return _STATUS_OF_ERROR.get(name, "failed")
