"""The ledger's side of a headless run: the runner journals what happens to the notebook and to its cells."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from orchestration_nb.clock import Clock
from orchestration_nb.config import load_settings
from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger.journal import JournalFile
from orchestration_nb.pipeline_events import (
    CellFinished,
    CellStarted,
    NotebookStatus,
    PipelineFinished,
    PipelineStarted,
)
from orchestration_nb.pipelines.files import INJECTED, tagged
from orchestration_nb.pipelines.order import Order, relative_to
from orchestration_nb.pipelines.outcome import CellEnded
from orchestration_nb.pipelines.scrubbing import Scrubber
from orchestration_nb.version import __version__
from orchestration_nb.whence import user_name

LONGEST_ERROR: Final = 4000
"""Characters of an error that the ledger keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Journals one pipeline run."""

    pipeline_id: PipelineId
    journal: JournalFile
    scrubber: Scrubber
    clock: Clock

    def begins(self, facts: PipelineStarted) -> None:
        """The notebook begins."""
        self.journal.write(facts)

    def cell_begins(self, number: int, cell: Any) -> None:
        """A cell is handed to the kernel."""
        self.journal.write(
            CellStarted(
                pipeline_id=self.pipeline_id,
                cell=number,
                cell_id=cell.get("id"),
                title=self.scrubber.text(title_of(cell)),
                digest=digest_of([cell]),
                started_at=self.clock.now(),
            )
        )

    def cell_ended(self, cell: CellEnded) -> None:
        """A cell ended."""
        self.journal.write(
            CellFinished(
                pipeline_id=self.pipeline_id,
                cell=cell.number,
                status=cell.status,
                error_type=cell.error_type or None,
                error=self._kept(cell.error),
                finished_at=self.clock.now(),
            )
        )

    def ends(self, status: NotebookStatus, error_type: str, error: str, cells: Sequence[CellEnded]) -> None:
        """The notebook ended."""
        self.journal.write(
            PipelineFinished(
                pipeline_id=self.pipeline_id,
                status=status,
                error_type=error_type or None,
                error=self._kept(error),
                cells_done=sum(cell.status in {"ok", "restored"} for cell in cells),
                finished_at=self.clock.now(),
            )
        )

    def _kept(self, error: str) -> str | None:
        return self.scrubber.text(error)[-LONGEST_ERROR:] if error else None


def beginning(
    order: Order, cells: Sequence[Any], *, pipeline_id: PipelineId, root: PipelineId, copy: Path, attempt: int
) -> PipelineStarted:
    """What is recorded when a notebook begins."""
    options, scrubbed = order.options, order.scrubber.text
    return PipelineStarted(
        pipeline_id=pipeline_id,
        notebook=order.name,
        digest=digest_of([cell for cell in cells if INJECTED not in tagged(cell)]),
        cells=len(cells),
        parameters={name: scrubbed(json.dumps(value)) for name, value in options.parameters.items()},
        secrets=dict(options.secrets),
        tags={name: scrubbed(value) for name, value in options.tags.items()},
        budget_usd=options.budget_usd,
        attempt=attempt,
        resumes=None if root == pipeline_id else root,
        schedule=options.schedule,
        due_at=options.due_at,
        models="sim" if order.simulated else None,
        dag=options.dag,
        copy=relative_to(copy, order.workspace),
        user=user_name(load_settings(order.workspace).user),
        started_at=order.clock.now(),
        pid=os.getpid(),
        package_version=__version__,
    )


def title_of(cell: Any) -> str:
    """A cell's first line."""
    return str(cell.source.strip().partition("\n")[0].strip())


def digest_of(cells: Sequence[Any]) -> str:
    """SHA-256 of the sources of cells, in hexadecimal digits."""
    return sha256("\0".join(cell.source for cell in cells).encode("utf-8", "surrogatepass")).hexdigest()
