"""One notebook, run from top to bottom in a kernel of its own, with nobody to answer a question.

It runs where it would run in JupyterLab: its own folder is the current one. Two variables of the environment tell its
cells where they are: ``ORCHESTRATE_HEADLESS`` (nobody answers: a budget that pauses ends the run as paused) and
``ORCHESTRATE_NOTEBOOK`` (which file the ledger names). The first cell that fails stops it. What stands in the executed
copy is what the cells put out, and nothing of the environment.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.config import find_workspace
from orchestration_nb.errors import UsageError
from orchestration_nb.pipeline_events import NotebookStatus
from orchestration_nb.pipelines.files import executed_copy, read_notebook, write_notebook
from orchestration_nb.pipelines.outcome import status_of_error

INTERRUPT_S: Final = 10.0
"""How long an interrupted cell may take to book what was in flight, before its kernel is ended."""
LONGEST_SOCKET: Final = 90
"""Characters that the name of a socket may have, with what is still to be added; systems allow 104 to 108."""
_MAGIC: Final = "%%orchestrate"
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEnded:
    """One code cell that ran, or failed."""

    number: int
    """From 1, among the code cells."""
    seconds: float
    accounts: tuple[str, ...]
    """For an ``%%orchestrate`` cell: the account of its run, as text."""
    error_type: str = ""
    """Name of the error that stopped it, or an empty string."""
    error: str = ""
    """What its user would have seen of that error, without colours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookRun:
    """One notebook that was run."""

    status: NotebookStatus
    copy: Path
    """The executed copy, outputs included, as far as it came."""
    cells: tuple[CellEnded, ...]


class Watcher(Protocol):
    """Hears of each code cell."""

    def begins(self, number: int, total: int, title: str) -> None:
        """A cell begins; ``title`` is its first line."""

    def ended(self, cell: CellEnded) -> None:
        """The cell has ended."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Execution:
    """A notebook on its way through a kernel."""

    notebook: Any
    copy: Path
    watcher: Watcher
    clock: Clock
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a signal asks for the end."""
    cells: list[CellEnded] = field(default_factory=list)
    kill: bool = False
    """Whether the kernel would not stop when it was asked to."""

    async def execute(self, client: Any, environ: Mapping[str, str]) -> NotebookStatus:
        with _signals(self.stop):
            try:
                await client.async_start_new_kernel(env=dict(environ))
                await client.async_start_new_kernel_client()
                return await self._all(client)
            finally:
                await self._end(client)

    async def _end(self, client: Any) -> None:
        if client.kc is not None:
            client.kc.stop_channels()
        if client.km is not None and client.km.has_kernel:
            await client.km.shutdown_kernel(now=self.kill)

    async def _all(self, client: Any) -> NotebookStatus:
        places = [place for place, cell in enumerate(self.notebook.cells) if _is_code(cell)]
        for number, place in enumerate(places, start=1):
            if self.stop.is_set():
                return "cancelled"
            cell = self.notebook.cells[place]
            self.watcher.begins(number, len(places), cell.source.strip().partition("\n")[0].strip())
            ended = await self._one(client, number, place)
            self.cells.append(ended)
            self.watcher.ended(ended)
            write_notebook(self.notebook, self.copy)
            if ended.error_type:
                return "cancelled" if self.stop.is_set() else status_of_error(ended.error_type)
        return "done"

    async def _one(self, client: Any, number: int, place: int) -> CellEnded:
        cell, begun_s = self.notebook.cells[place], self.clock.monotonic()
        error_type, error = await self._outcome(client, cell, number, place)
        return CellEnded(
            number=number,
            seconds=self.clock.monotonic() - begun_s,
            accounts=tuple(_accounts(cell)),
            error_type=error_type,
            error=error,
        )

    async def _outcome(self, client: Any, cell: Any, number: int, place: int) -> tuple[str, str]:
        from nbclient.exceptions import CellExecutionError, DeadKernelError  # noqa: PLC0415

        try:
            await self._until_stopped(client, client.async_execute_cell(cell, place, execution_count=number))
        except CellExecutionError as error:
            return error.ename, _seen(cell) or f"{error.ename}: {error.evalue}"
        except (DeadKernelError, asyncio.CancelledError):
            why = (
                "Its kernel did not stop and was ended." if self.kill else "Its kernel died: killed, or out of memory."
            )
            return "DeadKernelError", why
        return "", ""

    async def _until_stopped(self, client: Any, work: Any) -> None:
        execution, asked = asyncio.ensure_future(work), asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait({execution, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not execution.done():
                await client.km.interrupt_kernel()
                await asyncio.wait({execution}, timeout=INTERRUPT_S)
            if not execution.done():
                self.kill = True
                execution.cancel()
            await execution
        finally:
            asked.cancel()


def run_notebook(
    path: Path,
    *,
    watcher: Watcher,
    out: Path | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> NotebookRun:
    """Runs every code cell of a notebook in a new kernel, and writes a copy with what they put out.

    Interrupt (SIGINT) and SIGTERM cancel what is under way; it is booked, and the kernel ends.

    Args:
        path: The notebook; it is only read.
        watcher: Hears of each cell.
        out: Folder of the executed copy; otherwise ``.orchestrate/runs`` of the notebook's workspace.
        environ: Further variables of the environment for the kernel.
        clock: Tells the time.

    Raises:
        UsageError: If there is no such notebook, or it cannot be run here.
        WorkspaceError: If the executed copy cannot be written.
    """
    path, clock = path.resolve(), clock or SystemClock()
    notebook = read_notebook(path)
    copy = executed_copy(path, folder=out, workspace=find_workspace(path.parent), now=clock.now())
    execution = _Execution(notebook=notebook, copy=copy, watcher=watcher, clock=clock)
    told = {**os.environ, **(environ or {}), "ORCHESTRATE_HEADLESS": "1", "ORCHESTRATE_NOTEBOOK": str(path)}
    try:
        status = asyncio.run(execution.execute(_client(notebook, path.parent), told))
    finally:
        write_notebook(notebook, copy)
    return NotebookRun(status=status, copy=copy, cells=tuple(execution.cells))


def _client(notebook: Any, folder: Path) -> Any:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel  # noqa: PLC0415
    from nbclient import NotebookClient  # noqa: PLC0415

    name = notebook.metadata.get("kernelspec", {}).get("name", "python3")
    try:
        KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        raise UsageError(
            f"The notebook wants the kernel {name!r}, which is not installed here.",
            hint="`jupyter kernelspec list` shows those that are; choose one in JupyterLab and save the notebook.",
        ) from None
    client = NotebookClient(notebook, kernel_name=name, resources={"metadata": {"path": str(folder)}})
    _talk_by_files(client.create_kernel_manager())
    return client


def _talk_by_files(manager: Any) -> None:
    """Lets the kernel be reached through sockets that are files of this user's, not through ports of the machine."""
    from jupyter_core.paths import jupyter_runtime_dir  # noqa: PLC0415

    folder = Path(jupyter_runtime_dir())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # missing where no Jupyter program ran before
    connection = folder / f"kernel-{uuid4().hex}.json"
    if os.name == "posix" and len(os.fsencode(connection)) < LONGEST_SOCKET:
        manager.connection_file, manager.transport = str(connection), "ipc"


def _is_code(cell: Any) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())


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


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
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
