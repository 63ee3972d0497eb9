"""One run: a flow over items, from a fixed number of producers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from orchestration_nb.engine.items import ItemWork, Plan
from orchestration_nb.engine.outcome import Outcome
from orchestration_nb.engine.services import RunContext
from orchestration_nb.errors import (
    BudgetPausedError,
    ControlSignal,
    JournalWriteError,
    OrchestrationError,
    OverBudgetError,
    RunPaused,
    StateError,
    StepError,
)
from orchestration_nb.events import ItemFinished, RunFinished, RunStarted, RunStatus, StepFinished
from orchestration_nb.flow import BoundFlow
from orchestration_nb.state.batches import BatchRow

OnError = Literal["keep", "stop"]
"""Whether the first item that fails stops the others."""
START_TOGETHER = 4
"""Producers that begin in the same turn of the loop: if all did, each would wait until all are ready to send, and so
again for every model that answers them all after the same time."""
YIELD_EVERY = 32
"""Items without any waiting (all from the cache) after which others get their turn on the loop."""


class Beside(Protocol):
    """What goes on beside a run and belongs to it: items are scored."""

    async def ended(self) -> None:
        """Returns when it is through with all items that have ended.

        Raises:
            JournalWriteError: If something of it could not be recorded.
        """

    def close(self) -> None:
        """Does nothing more, however the run ended."""


@dataclass(slots=True, eq=False, kw_only=True)
class FlowRun:
    """A flow over items, under way on the engine's loop."""

    bound: BoundFlow
    items: Iterator[Mapping[str, Any]]
    """Columns by name; each item is asked for when a producer is free."""
    started: RunStarted
    """What is recorded of the beginning."""
    context: RunContext
    on_error: OnError
    each: bool
    """Whether there is a table: without one, all steps run once, as the one item."""
    outcome: Outcome
    beside: Beside | None = None
    ended: concurrent.futures.Future[OrchestrationError | None] = field(default_factory=concurrent.futures.Future)
    """Done when the run has ended and is recorded; its result says why it could not be recorded, or is ``None``."""
    stopped_because: OrchestrationError | None = None
    """Why the run as a whole failed."""
    first_error: BaseException | None = None
    """What the first item that failed met."""
    failures: list[tuple[int, StepFinished]] = field(default_factory=list)
    """Position of the item, and its step that failed."""
    once: tuple[StepFinished, ...] = ()
    """The steps that were evaluated once for all items."""
    left_under_way: list[BatchRow] = field(default_factory=list)
    """Batches that go on at their providers; the same run with ``batch=True`` joins them."""
    _task: asyncio.Task[Any] | None = None
    _stopping: bool = False
    _base: dict[str, Any] = field(default_factory=dict)
    _broken: dict[str, str] = field(default_factory=dict)
    _next: int = 0

    def __post_init__(self) -> None:
        """Makes room for all results at once, before two threads could try to."""
        if self.started.items is not None:
            self.outcome.fill_up(self.started.items)

    async def execute(self) -> None:
        """Runs to the end; however it ends, the end is recorded and the cache is safe."""
        self._task = asyncio.current_task()
        status: RunStatus = "failed"
        unrecorded: OrchestrationError | None = None
        crash: BaseException | None = None
        try:
            self.context.record(self.started)
            if self.context.cancelled:
                raise asyncio.CancelledError  # noqa: TRY301 - cancelled before it began
            await self._to_the_end()
            if self.beside is not None:
                await self.beside.ended()
            status = "paused" if self.context.left else "failed" if self.stopped_because else "done"
        except RunPaused:  # by a step that is evaluated once, so that no item can go on
            status = "paused"
        except (asyncio.CancelledError, ControlSignal):
            status = "cancelled"
        except JournalWriteError as caught:
            unrecorded = self.stopped_because = caught
        except BaseException as caught:  # noqa: BLE001 - told to whoever waits for the run
            crash = caught
        self._task = None  # from here on there is nothing to cancel
        if self.beside is not None:
            self.beside.close()
        await self._leave_batches()
        await self._save_replies()
        status, unrecorded = self._record_end(status, unrecorded)
        self.context.progress.status = status
        if crash is not None:
            self.ended.set_exception(crash)
        else:
            self.ended.set_result(unrecorded)

    def cancel(self) -> None:
        """Stops everything in flight; on the engine's loop. A second time it does nothing."""
        if not self.context.cancelled:
            self.context.cancelled = self._stopping = True
            if self._task is not None:
                self._task.cancel()

    def pause(self) -> None:
        """Sends nothing more until :meth:`resume`; on the engine's loop."""
        if self.context.progress.status == "running":
            self.context.unpaused.clear()
            self.context.progress.status = "paused"

    def resume(self) -> None:
        """Goes on after :meth:`pause`, or after a budget was reached; on the engine's loop."""
        if self.context.progress.status == "paused":
            self.context.go_on()

    def leave(self) -> None:
        """Ends a paused run where it stands, to be resumed another day; on the engine's loop.

        What is in flight ends and is kept; what waits for the budget, or was not begun, is ``paused``.
        """
        refusal = self.context.waits_for
        if refusal is None or self.context.left:
            return
        self.context.left = self._stopping = True
        self.stopped_because = BudgetPausedError(str(refusal), hint=refusal.hint, budget=refusal.budget, pauses=True)
        self.context.unpaused.set()

    async def _leave_batches(self) -> None:
        if self.context.batches is not None:
            with contextlib.suppress(asyncio.CancelledError, StateError):  # the end is recorded all the same
                self.left_under_way = await self.context.batches.close()

    async def _save_replies(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # the process ends: closing the workspace saves the rest
            await self.context.services.cache.flush()

    def _record_end(
        self, status: RunStatus, unrecorded: OrchestrationError | None
    ) -> tuple[RunStatus, OrchestrationError | None]:
        """Records the end where the journal still takes it; returns how the run stands, and why it is unrecorded."""
        context, progress = self.context, self.context.progress
        progress.ended_s = context.services.clock.monotonic()
        if not context.left:
            progress.waits_because = ""
        if unrecorded is not None:
            return status, unrecorded
        try:
            context.record(
                RunFinished(
                    run_id=context.run_id,
                    status=status,
                    error=str(self.stopped_because) if self.stopped_because else None,
                    items_ok=progress.done - progress.failed,
                    items_failed=progress.failed,
                    cost_usd=progress.cost_usd,
                    billed_usd=progress.billed_usd,
                    finished_at=context.services.clock.now(),
                )
            )
        except JournalWriteError as caught:
            self.stopped_because = caught
            return "failed", caught
        return status, None

    async def _to_the_end(self) -> None:
        """All items, and what goes on after their answers."""
        afterwards = self.context.afterwards
        try:
            await self._work()
            while under_way := [task for task in afterwards if not task.done()]:
                await asyncio.wait(under_way)
            await asyncio.gather(*afterwards)  # what could not be recorded
        except BaseException:
            for task in (left := tuple(afterwards)):
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            raise

    async def _work(self) -> None:
        once = [step for step in self.bound.steps if step.once] if self.each else []
        if once:
            await self._evaluate_once(Plan.of(once))
        plan = Plan.of([step for step in self.bound.steps if step not in once])
        most, items = self.started.concurrency, self.started.items
        count = most if items is None else min(items, most)
        producers: list[asyncio.Task[None]] = []
        try:
            for number in range(1, max(1, count) + 1):
                producers.append(asyncio.ensure_future(self._produce(plan)))
                if number % START_TOGETHER == 0:
                    await asyncio.sleep(0)
            await asyncio.gather(*producers)
        except BaseException:
            for producer in producers:
                producer.cancel()
            await asyncio.gather(*producers, return_exceptions=True)
            raise

    async def _evaluate_once(self, plan: Plan) -> None:
        work = ItemWork(plan, self.context, -1, {})
        try:
            ended = await work.work()
        except (asyncio.CancelledError, ControlSignal) as signal:
            self.context.record(work.given_up(signal))
            raise
        self.context.record(ended)
        self.once = ended.steps
        self._note_failures(ended)
        self._note_error(work.first_error)
        self._base = work.scope
        self._broken = work.broken

    async def _produce(self, plan: Plan) -> None:
        for item in self.items:
            index = self._next
            self._next += 1
            await self.context.unpaused.wait()
            if len(self.context.afterwards) > self.started.concurrency:  # else they would pile up
                await asyncio.wait(self.context.afterwards, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping:
                return
            await self._one(plan, index, item)
            if index % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _one(self, plan: Plan, index: int, item: Mapping[str, Any]) -> None:
        work = ItemWork(plan, self.context, index, {**self._base, **item, "item": item}, dict(self._broken), item)
        self.context.progress.at_work += 1
        try:
            ended = await work.work()
        except RunPaused as signal:
            self._take(work.given_up(signal), work.scope)
            return  # what is in flight for other items goes on to its end
        except (asyncio.CancelledError, ControlSignal) as signal:
            self._take(work.given_up(signal), work.scope)
            raise
        finally:
            self.context.progress.at_work -= 1
        self._note_error(work.first_error)
        self._take(ended, work.scope)

    def _note_error(self, error: BaseException | None) -> None:
        self.first_error = self.first_error or error
        if isinstance(error, OverBudgetError | StateError):
            self.stopped_because = self.stopped_because or error
        if isinstance(error, StateError):
            self._stopping = True  # nobody could be charged

    def _take(self, ended: ItemFinished, scope: dict[str, Any]) -> None:
        self.context.record(ended)
        self.outcome.put(ended, scope)
        progress = self.context.progress
        if ended.status in {"cancelled", "paused"}:
            return  # begun, and not done
        progress.done += 1
        if ended.status not in ("ok", "degraded"):
            progress.failed += 1
            self._note_failures(ended)
            if self.on_error == "stop" and ended.status == "failed" and not self._stopping:
                self._stopping = True
                hint = "Mend it, or let the others go on with --on-error keep."
                self.stopped_because = StepError(f"Stopped at row {ended.item}: {ended.error}", hint=hint)

    def _note_failures(self, ended: ItemFinished) -> None:
        self.failures.extend((ended.item, step) for step in ended.steps if step.status == "failed")


def begun(**facts: Any) -> RunStarted:
    """The first event of a run of this process."""
    return RunStarted(pid=os.getpid(), **facts)
