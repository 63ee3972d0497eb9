"""One pipeline run: a notebook's way through one kernel, told to the ledger and to whoever watches.

Imported while the kernel starts: what it needs takes about as long to load.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger.journal import JournalFile
from orchestration_nb.pipeline_events import NotebookStatus
from orchestration_nb.pipelines.execution import Execution
from orchestration_nb.pipelines.files import code_cells
from orchestration_nb.pipelines.kernel import Kernel
from orchestration_nb.pipelines.limits import Limits
from orchestration_nb.pipelines.metering import Meter
from orchestration_nb.pipelines.order import Order
from orchestration_nb.pipelines.outcome import Begun, NotebookRun, Watcher
from orchestration_nb.pipelines.record import Record, beginning
from orchestration_nb.pipelines.seams import Resumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One pipeline run."""

    order: Order
    pipeline_id: PipelineId
    root: PipelineId
    """The first of those that go on with each other."""
    resumed: Resumed
    """What it goes on with."""
    number: int
    """Which try of the same it is, from 1."""
    copy: Path
    watcher: Watcher
    meter: Meter
    limits: Limits
    stop: asyncio.Event

    async def run(self, kernel: Kernel) -> NotebookRun:
        """Runs the notebook in a kernel that has been started.

        Raises:
            UsageError: If it is no notebook after all.
            WorkspaceError: If the executed copy cannot be written.
            JournalWriteError: If the ledger cannot be written.
        """
        order, begun_at = self.order, self.order.clock.now()
        notebook = order.notebook()
        self.meter.follow(self.pipeline_id)
        journal = JournalFile(order.workspace, clock=order.clock, secrecy=order.scrubber.secrecy)
        execution = self._execution(notebook, journal)
        status: NotebookStatus = "failed"
        try:
            self._begin(execution.record, notebook)
            try:
                status = await execution.execute(kernel)
            finally:
                execution.write()
                execution.record.ends(status, *execution.failure, execution.cells)
        finally:
            journal.close()
        return NotebookRun(
            pipeline_id=self.pipeline_id,
            root=self.root,
            notebook=order.path,
            status=status,
            copy=self.copy,
            cells=tuple(execution.cells),
            error_type=execution.failure.error_type,
            error=order.scrubber.text(execution.failure.error),
            spent=self.meter(),
            started_at=begun_at,
            finished_at=order.clock.now(),
            workspace=order.workspace,
        )

    def _execution(self, notebook: Any, journal: JournalFile) -> Execution:
        order = self.order
        return Execution(
            notebook=notebook,
            copy=self.copy,
            watcher=self.watcher,
            clock=order.clock,
            record=Record(pipeline_id=self.pipeline_id, journal=journal, scrubber=order.scrubber, clock=order.clock),
            scrubber=order.scrubber,
            spent=self.meter,
            limits=self.limits,
            stop=self.stop,
            restored=self.resumed.cells,
            keep={number: order.seams.keep(number, cell) for number, cell in enumerate(code_cells(notebook), start=1)},
        )

    def _begin(self, record: Record, notebook: Any) -> None:
        cells = code_cells(notebook)
        record.begins(
            beginning(
                self.order, cells, pipeline_id=self.pipeline_id, copy=self.copy, attempt=self.number, root=self.root
            )
        )
        self.watcher.starts(
            Begun(
                pipeline_id=self.pipeline_id,
                notebook=self.order.path,
                copy=self.copy,
                cells=len(cells),
                attempt=self.number,
                simulated=self.order.simulated,
                spent=self.meter,
                workspace=self.order.workspace,
            )
        )
