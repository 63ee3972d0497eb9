"""One notebook, run from top to bottom in a kernel of its own, with nobody to answer a question.

It runs where it would run in JupyterLab: its own folder is the current one. Variables of the environment tell its
cells where they are (:mod:`orchestration_nb.whence`): nobody answers there, a budget that pauses ends the run, and the
ledger names the file and this run of it. The first cell that fails stops it; where retries are left, it begins anew in
a fresh kernel, and what was answered comes from the cache. What stands in the executed copy is what the cells put out,
and nothing of the environment.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.ids import PipelineId, new_id
from orchestration_nb.pipelines.files import executed_copy
from orchestration_nb.pipelines.holding import ChainHold, hold_chain
from orchestration_nb.pipelines.kernel import Kernel
from orchestration_nb.pipelines.limits import Limits, signals
from orchestration_nb.pipelines.options import RunOptions
from orchestration_nb.pipelines.order import Order, order_of
from orchestration_nb.pipelines.outcome import NOT_RETRIED, NotebookRun, Unwatched, Watcher
from orchestration_nb.pipelines.seams import Resumed, Seams
from orchestration_nb.pipelines.wiring import SEAMS

if TYPE_CHECKING:
    from orchestration_nb.pipelines.metering import Meter

FIRST_WAIT_S: Final = 5.0
"""How long, at most, a first retry waits; each further one waits up to twice as long."""
MOST_WAIT_S: Final = 300.0


def run_notebook(
    path: Path,
    *,
    options: RunOptions | None = None,
    watcher: Watcher | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    seams: Seams = SEAMS,
) -> NotebookRun:
    """Runs every code cell of a notebook in a new kernel, and writes a copy with what they put out.

    Interrupt (SIGINT) and SIGTERM cancel what is under way; it is booked, and the kernel ends.

    Args:
        path: The notebook; it is only read.
        options: What it is given, and how it is run.
        watcher: Hears of each cell.
        environ: Further variables of the environment for the kernel.
        clock: Tells the time, and waits between two attempts.
        seams: What others do for the run: secrets, restored cells, what comes after.

    Raises:
        UsageError: If there is no such notebook, it cannot be run here, or it cannot be given that.
        WorkspaceError: If the executed copy cannot be written.
        JournalWriteError: If the ledger cannot be written.
    """
    order = order_of(path.resolve(), options or RunOptions(), environ or {}, clock or SystemClock(), seams)
    attempts = _Attempts(order=order, watcher=watcher or Unwatched())
    try:
        return attempts.outcome()
    finally:
        attempts.let_go()


@dataclass(slots=True, kw_only=True, eq=False)
class _Attempts:
    """The attempts of one order, in turn."""

    order: Order
    watcher: Watcher
    meter: Meter | None = None
    dice: random.Random = field(default_factory=random.SystemRandom)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop | None = None
    hold: ChainHold | None = None
    """That nobody else runs this pipeline, from its first attempt on."""

    def let_go(self) -> None:
        """Lets others go on with it."""
        hold = self.hold or self.order.resumed.hold
        if hold is not None:
            hold.release()

    def outcome(self) -> NotebookRun:
        """Runs them on an event loop of their own, in a thread of its own where this one's loop is running."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self._all())
        with ThreadPoolExecutor(1, "notebook") as thread:
            return self._waited_for(thread.submit(lambda: asyncio.run(self._all())))

    def _waited_for(self, future: Future[NotebookRun]) -> NotebookRun:
        while True:
            try:
                return future.result(timeout=0.05)
            except NotYet:
                continue
            except KeyboardInterrupt:
                if self.loop is not None:
                    self.loop.call_soon_threadsafe(self.stop.set)

    async def _all(self) -> NotebookRun:
        """Runs the notebook until it is done, or no retry is left, or none would help."""
        self.loop = asyncio.get_running_loop()
        clock, options, first = self.order.clock, self.order.options, self.order.resumed.attempt
        limits = Limits(
            clock=clock,
            cell_s=options.cell_timeout_s,
            whole_s=options.timeout_s,
            ends_s=None if options.timeout_s is None else clock.monotonic() + options.timeout_s,
        )
        root, begun_at = self.order.resumed.root, clock.now()
        with signals(self.stop):
            for attempt in range(first, first + options.retries + 1):
                done = self._after(await self._attempt(attempt, root, limits))
                done = replace(done, attempts=attempt - first + 1, started_at=begun_at)
                root = done.root
                if done.status != "failed" or done.error_type in NOT_RETRIED or attempt == first + options.retries:
                    return done
                wait_s = self._wait_s(attempt - first)
                if limits.would_end(wait_s):
                    return done  # the error that counts is its own, not that there is no time to try again
                if not await self._waits(attempt + 1, wait_s, done):
                    return replace(done, status="cancelled")
        raise AssertionError  # pragma: no cover - the last attempt has returned

    def _wait_s(self, failed_before: int) -> float:
        """How long a retry waits: longer each time, and not in step with others."""
        most_s: float = min(FIRST_WAIT_S * 2**failed_before, MOST_WAIT_S)
        return most_s * self.dice.uniform(0.5, 1.0)

    async def _waits(self, attempt: int, wait_s: float, done: NotebookRun) -> bool:
        """Waits before a retry; whether nobody stopped it."""
        because = done.error.strip().splitlines()[-1] if done.error.strip() else done.error_type
        self.watcher.retries(attempt, wait_s, because)
        waiting = asyncio.ensure_future(self.order.clock.sleep(wait_s))
        asked = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait({waiting, asked}, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, asked):
            task.cancel()
        return not self.stop.is_set()

    async def _attempt(self, attempt: int, root: PipelineId | None, limits: Limits) -> NotebookRun:
        order, pipeline_id = self.order, PipelineId(new_id())
        resumed = self._resumed(attempt, root)
        root = root or pipeline_id
        self.hold = self.hold or resumed.hold or hold_chain(order.workspace, root)
        reserved = executed_copy(order.path, folder=order.options.out, workspace=order.workspace, now=order.clock.now())
        with reserved as copy, order.scrubber.sink(sys.stderr) as speaks_to:
            kernel = Kernel(order.kernel, order.path.parent)
            try:
                environ = order.environ(pipeline_id, root, resumed)
                await kernel.start(environ, speaks_to=speaks_to, **self.hold.kernel_arguments())
                from orchestration_nb.pipelines.attempt import Attempt  # noqa: PLC0415 - loads while the kernel starts
                from orchestration_nb.pipelines.metering import Meter  # noqa: PLC0415

                self.meter = self.meter or Meter(order.workspace)
                threading.Thread(target=order.seams.ahead, name="ahead").start()
                return await Attempt(
                    order=order,
                    pipeline_id=pipeline_id,
                    root=root,
                    resumed=resumed,
                    number=attempt,
                    copy=copy,
                    watcher=self.watcher,
                    meter=self.meter,
                    limits=limits,
                    stop=self.stop,
                ).run(kernel)
            finally:
                await kernel.end()

    def _resumed(self, attempt: int, root: PipelineId | None) -> Resumed:
        """What an attempt goes on with: what was asked for, or the attempt that has just failed."""
        resumed = self.order.resumed
        if root is not None and attempt > resumed.attempt:
            resumed = self.order.gone_on_with(Resumed(root=root, attempt=attempt))
        for sentence in resumed.said:
            self.watcher.said(sentence)
        return resumed

    def _after(self, done: NotebookRun) -> NotebookRun:
        """Lets others look at a run that has ended; what goes wrong there is said, and the run stays what it was."""
        for look in self.order.seams.after_run:
            try:
                told = look(done)
            except Exception as error:  # noqa: BLE001 - the edge of a run: nobody's view of it may change it
                told = f"What comes after a run went wrong: {type(error).__name__}: {error}"
            if isinstance(told, NotebookRun):
                done = told
            elif told:
                self.watcher.said(self.order.scrubber.text(told))
        return done
