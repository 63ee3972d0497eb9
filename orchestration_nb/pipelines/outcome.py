"""How a notebook ended: what is told of it and of its cells, and what a shell is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from orchestration_nb.ids import PipelineId
from orchestration_nb.pipeline_events import CellStatus, NotebookStatus

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
NOT_RETRIED: Final = frozenset({"PipelineTimeoutError"})
"""Failures that another attempt could not mend."""


def status_of_error(name: str) -> NotebookStatus:
    """The status of a notebook that was stopped by an error of this name in the kernel."""
    return _STATUS_OF_ERROR.get(name, "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the calls of a pipeline run came to."""

    calls: int = 0
    """Those that were sent or answered from the cache."""
    cost_usd: float = 0.0
    """At list price."""
    billed_usd: float = 0.0
    """What was really spent: nothing for what the cache answered."""
    simulated: bool = False
    """Whether some of these dollars are simulated."""

    def __sub__(self, earlier: Spent) -> Spent:
        """What came since ``earlier``."""
        return Spent(
            calls=self.calls - earlier.calls,
            cost_usd=self.cost_usd - earlier.cost_usd,
            billed_usd=self.billed_usd - earlier.billed_usd,
            simulated=self.simulated and self.calls > earlier.calls,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEnded:
    """One code cell that ran, failed, or was restored."""

    number: int
    """From 1, among the code cells."""
    seconds: float
    accounts: tuple[str, ...]
    """For an ``%%orchestrate`` cell: the account of its run, as text."""
    title: str = ""
    """Its first line."""
    status: CellStatus = "ok"
    spent: Spent = Spent()
    error_type: str = ""
    """Name of the error that stopped it, or an empty string."""
    error: str = ""
    """What its user would have seen of that error, without colours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookRun:
    """One notebook that was run; where it was retried, the last attempt."""

    pipeline_id: PipelineId
    root: PipelineId
    """The first of the pipeline runs that this one goes on with; itself where it goes on with none."""
    notebook: Path
    status: NotebookStatus
    copy: Path
    """The executed copy, outputs included, as far as it came."""
    cells: tuple[CellEnded, ...]
    error_type: str = ""
    """Name of the error that stopped it, or an empty string."""
    error: str = ""
    attempts: int = 1
    """How many times it was begun here."""
    spent: Spent = Spent()
    """By all its attempts here."""
    report: Path | None = None
    """The report that was written of it."""
    started_at: datetime
    """When the first attempt began (naive UTC)."""
    finished_at: datetime
    workspace: Path
    """The folder whose ledger has it."""

    @property
    def cost_usd(self) -> float:
        """What the calls of all its attempts cost at list price, in US dollars."""
        return self.spent.cost_usd

    @property
    def exit_code(self) -> int:
        """What a command that ran it returns."""
        return EXIT_CODES[self.status]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A pipeline run that has begun."""

    pipeline_id: PipelineId
    notebook: Path
    copy: Path
    cells: int
    """How many code cells it has."""
    attempt: int
    simulated: bool
    """Whether every model is simulated."""
    spent: SpentSoFar
    workspace: Path
    """The folder whose ledger will have it."""


class SpentSoFar(Protocol):
    """What a pipeline run has spent."""

    def __call__(self) -> Spent:
        """Up to now; may be asked from any thread."""


class Watcher(Protocol):
    """Hears of a notebook's way."""

    def starts(self, begun: Begun) -> None:
        """A pipeline run begins; its kernel is starting."""

    def begins(self, number: int, total: int, title: str) -> None:
        """A cell begins; ``title`` is its first line."""

    def ended(self, cell: CellEnded) -> None:
        """The cell has ended."""

    def retries(self, attempt: int, wait_s: float, because: str) -> None:
        """The notebook failed, and attempt number ``attempt`` begins in so many seconds."""

    def said(self, sentence: str) -> None:
        """Something is to be known: what was restored, a report that could not be written."""


class Unwatched:
    """A watcher that hears nothing."""

    def starts(self, begun: Begun) -> None:
        """Nothing."""

    def begins(self, number: int, total: int, title: str) -> None:
        """Nothing."""

    def ended(self, cell: CellEnded) -> None:
        """Nothing."""

    def retries(self, attempt: int, wait_s: float, because: str) -> None:
        """Nothing."""

    def said(self, sentence: str) -> None:
        """Nothing."""
