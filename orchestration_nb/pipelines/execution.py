"""The cells of one notebook on their way through one kernel: in turn, each with its limits, each journalled."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from orchestration_nb.clock import Clock
from orchestration_nb.pipeline_events import CellStatus, NotebookStatus
from orchestration_nb.pipelines.files import is_code, write_notebook
from orchestration_nb.pipelines.kernel import Kernel
from orchestration_nb.pipelines.limits import TIMEOUTS, Limits, Stopped
from orchestration_nb.pipelines.outcome import CellEnded, SpentSoFar, Watcher, status_of_error
from orchestration_nb.pipelines.record import Record, title_of
from orchestration_nb.pipelines.scrubbing import Scrubber
from orchestration_nb.pipelines.seams import RestoredCell

INTERRUPT_S: Final = 10.0
"""How long an interrupted cell may take to book what was in flight, before its kernel is ended."""
WRITTEN_AGAIN_S: Final = 15.0
"""How often the copy is written while one cell runs."""
_MAGIC: Final = "%%orchestrate"
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_NOBODY: Final = (
    "The cell asks for input, and nobody can answer here: give it a parameter (-p name=value) or a secret instead."
)
_LEFT: Final = (
    "The cell ended its kernel with exit() or quit(): what it had computed is gone, and nothing ran after it."
)
_OWN_ERRORS: Final = TIMEOUTS | {"DeadKernelError"}
"""Errors that the kernel does not know of: the executed copy shows them all the same."""


class Failure(NamedTuple):
    """Why a cell did not end well; both empty where it did."""

    error_type: str = ""
    error: str = ""


@dataclass(slots=True, kw_only=True, eq=False)
class Execution:
    """A notebook on its way through a kernel."""

    notebook: Any
    copy: Path
    watcher: Watcher
    clock: Clock
    record: Record
    scrubber: Scrubber
    spent: SpentSoFar
    limits: Limits
    stop: asyncio.Event
    """Set when a signal asks for the end."""
    restored: Mapping[int, RestoredCell] = field(default_factory=dict)
    keep: Mapping[int, str] = field(default_factory=dict)
    """What the kernel executes silently after a cell, by its number, that has ended well."""
    cells: list[CellEnded] = field(default_factory=list)
    failure: Failure = field(default_factory=Failure)
    """What stopped it."""

    async def execute(self, kernel: Kernel) -> NotebookStatus:
        """Runs every cell in a kernel that has been started."""
        client = await self._client(kernel)
        if client is not None:
            return await self._all(client, kernel)
        return "failed" if self.failure.error_type else "cancelled"

    async def _client(self, kernel: Kernel) -> Any:
        """What executes the cells, once the kernel answers; ``None``: it never did."""
        from orchestration_nb.pipelines.client import CellClient  # noqa: PLC0415 - loads while the kernel starts

        limit_s, name = self.limits.next()
        if name == "CellTimeoutError":  # no cell has begun
            limit_s = None
        connecting = asyncio.ensure_future(kernel.connect())
        why = await self._watch(kernel, connecting, limit_s, name)
        error = None if connecting.cancelled() else connecting.exception()
        if why == "cancelled":
            return None  # whatever the interrupt has done to a kernel that was starting
        if why in TIMEOUTS:
            self.failure = Failure(why, self.limits.sentence(why))
        elif error is not None:
            self.failure = Failure("DeadKernelError", f"The kernel did not start: {error}")
        else:
            self.notebook.metadata["language_info"] = kernel.language
            return CellClient(self.notebook, kernel)
        return None

    async def _all(self, client: Any, kernel: Kernel) -> NotebookStatus:
        places = [place for place, cell in enumerate(self.notebook.cells) if is_code(cell)]
        for number, place in enumerate(places, start=1):
            if self.stop.is_set():
                return "cancelled"
            cell = self.notebook.cells[place]
            self.watcher.begins(number, len(places), self.scrubber.text(title_of(cell)))
            self.record.cell_begins(number, cell)
            ended = await self._one(client, kernel, number, place)
            self.cells.append(ended)
            self.record.cell_ended(ended)
            self.write(client)
            self.watcher.ended(ended)
            if ended.error_type:
                self.failure = Failure(ended.error_type, ended.error)
                return "cancelled" if ended.status == "cancelled" else status_of_error(ended.error_type)
        client.forget()
        return "done"

    async def _one(self, client: Any, kernel: Kernel, number: int, place: int) -> CellEnded:
        cell, begun_s, before = self.notebook.cells[place], self.clock.monotonic(), self.spent()
        if number in self.restored:
            failure = await self._restore(client, kernel, self.restored[number], place)
        else:
            failure = await self._outcome(client, kernel, place, number)
            if not failure.error_type:
                await self._keep(client, kernel, number, place)
        return CellEnded(
            number=number,
            title=self.scrubber.text(title_of(cell)),
            status=self._status(number, failure),
            seconds=self.clock.monotonic() - begun_s,
            accounts=tuple(self.scrubber.text(text) for text in _accounts(cell)),
            spent=self.spent() - before,
            error_type=self.scrubber.text(failure.error_type),
            error=self.scrubber.text(failure.error),
        )

    def _status(self, number: int, failure: Failure) -> CellStatus:
        if not failure.error_type:
            return "restored" if number in self.restored else "ok"
        stopped = failure.error_type == "KeyboardInterrupt" or (
            self.stop.is_set() and failure.error_type not in TIMEOUTS
        )
        return "cancelled" if stopped else "failed"

    async def _restore(self, client: Any, kernel: Kernel, held: RestoredCell, place: int) -> Failure:
        """Executes silently what stands for a cell, and shows what the cell had put out."""
        cell = self.notebook.cells[place]
        failure, outputs = await self._silently(client, kernel, held.source, place)
        cell.outputs = list(outputs if failure.error_type else held.outputs)
        cell.execution_count = held.execution_count
        return failure

    async def _keep(self, client: Any, kernel: Kernel, number: int, place: int) -> None:
        """Keeps what a cell leaves behind; where that cannot be, it is said, and the cell has ended well."""
        failure, _ = await self._silently(client, kernel, self.keep.get(number, ""), place)
        if failure.error_type:
            because = failure.error.strip().splitlines()[-1].removeprefix(f"{failure.error_type}: ")
            self.watcher.said(self.scrubber.text(f"Nothing is kept of cell {number}: {because}"))

    async def _silently(self, client: Any, kernel: Kernel, source: str, place: int) -> tuple[Failure, list[Any]]:
        """Executes something in the place of a cell that is no cell of the notebook; returns what it put out."""
        from nbformat.v4 import new_code_cell  # noqa: PLC0415

        cell = self.notebook.cells[place]
        if not source.strip():
            return Failure(), []
        self.notebook.cells[place] = new_code_cell(source)  # type: ignore[no-untyped-call]
        try:
            failure = await self._outcome(client, kernel, place, None)
        finally:
            stand_in, self.notebook.cells[place] = self.notebook.cells[place], cell
        return failure, list(stand_in.outputs)

    async def _outcome(self, client: Any, kernel: Kernel, place: int, number: int | None) -> Failure:
        """Executes a cell, and says how it ended."""
        cell, (limit_s, name) = self.notebook.cells[place], self.limits.next()
        work = asyncio.ensure_future(
            client.async_execute_cell(cell, place, execution_count=number, store_history=number is not None)
        )
        why = await self._watch(kernel, work, limit_s, name, lambda: self.write(client))
        failure = _failure_of(work, cell, kernel)
        if why in TIMEOUTS:
            killed = f" {kernel.why_dead()}" if kernel.killed_by_us else ""
            failure = Failure(why, self.limits.sentence(why) + killed)
        elif client.left and not failure.error_type:
            failure = Failure("DeadKernelError", _LEFT)
        if failure.error_type in _OWN_ERRORS:
            cell.outputs.append(_error_output(failure))
        return failure

    async def _watch(
        self,
        kernel: Kernel,
        work: asyncio.Future[Any],
        limit_s: float | None,
        name: Stopped,
        now_and_then: Callable[[], None] | None = None,
    ) -> Stopped:
        """Waits for the end of ``work``; interrupts it where it takes too long or a signal came."""
        asked = asyncio.ensure_future(self.stop.wait())
        try:
            why = await _ended(work, asked, limit_s, name, now_and_then)
            if not work.done():
                await kernel.interrupt()
                await asyncio.wait({work}, timeout=INTERRUPT_S)
            if not work.done():
                kernel.killed_by_us = True
                work.cancel()
                await asyncio.wait({work})
            return why
        finally:
            asked.cancel()

    def write(self, client: Any = None) -> None:
        """Writes the executed copy as it stands; without a client for the last time."""
        if client is not None:
            client.settle()
        write_notebook(self.scrubber.notebook(self.notebook), self.copy, finished=client is None)


async def _ended(
    work: asyncio.Future[Any],
    asked: asyncio.Future[Any],
    limit_s: float | None,
    name: Stopped,
    now_and_then: Callable[[], None] | None,
) -> Stopped:
    """Waits until the work is done, a signal came, or it took too long; says which of the last two."""
    loop = asyncio.get_running_loop()
    ends_s = None if limit_s is None else loop.time() + limit_s
    while True:
        left_s = None if ends_s is None else max(0.0, ends_s - loop.time())
        tick_s = min(WRITTEN_AGAIN_S, left_s if left_s is not None else WRITTEN_AGAIN_S)
        done, _ = await asyncio.wait({work, asked}, timeout=tick_s, return_when=asyncio.FIRST_COMPLETED)
        if work in done:
            return ""
        if asked in done:
            return "cancelled"
        if ends_s is not None and loop.time() >= ends_s:
            return name
        if now_and_then is not None:
            now_and_then()


def _failure_of(work: asyncio.Future[Any], cell: Any, kernel: Kernel) -> Failure:
    from nbclient.exceptions import CellExecutionError, DeadKernelError  # noqa: PLC0415

    try:
        work.result()
    except CellExecutionError as error:
        if error.ename == "StdinNotImplementedError":
            return Failure(error.ename, _NOBODY)
        return Failure(error.ename, _seen(cell) or f"{error.ename}: {error.evalue}")
    except (DeadKernelError, asyncio.CancelledError):
        return Failure("DeadKernelError", kernel.why_dead())
    return Failure()


def _error_output(failure: Failure) -> Any:
    from nbformat.v4 import new_output  # noqa: PLC0415

    line = f"{failure.error_type}: {failure.error}"
    return new_output("error", ename=failure.error_type, evalue=failure.error, traceback=[line])  # type: ignore[no-untyped-call]


def _accounts(cell: Any) -> Iterator[str]:
    if cell.source.lstrip().startswith(_MAGIC):
        shown = (output for output in cell.outputs if output.output_type == "display_data")
        yield from (output.data["text/plain"] for output in shown if "text/plain" in output.data)


def _seen(cell: Any) -> str:
    """What the cell shows of its error: a sentence and a hint of ours, or the end of a traceback."""
    for output in cell.outputs:
        if output.output_type == "error":
            return "\n".join(_ANSI.sub("", "\n".join(output.traceback)).splitlines()[-12:])
    return ""
