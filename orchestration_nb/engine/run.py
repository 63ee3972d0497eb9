"""One run: a flow over items, from a fixed number of producers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestration_nb.engine.items import ItemWork, Plan
from orchestration_nb.engine.outcome import Outcome
from orchestration_nb.engine.services import RunContext
from orchestration_nb.errors import JournalWriteError, OrchestrationError, OverBudgetError, StepError
from orchestration_nb.events import ItemFinished, RunFinished, RunStarted, RunStatus, StepFinished
from orchestration_nb.flow import BoundFlow

OnError = Literal["keep", "stop"]
"""Whether the first item that fails stops the others."""
YIELD_EVERY = 32
"""Items without any waiting (all from the cache) after which others get their turn on the loop."""


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
    ended: concurrent.futures.Future[OrchestrationError | None] = field(default_factory=concurrent.futures.Future)
    """Done when the run has ended and is recorded; its result says why it could not be recorded, or is ``None``."""
    stopped_because: OrchestrationError | None = None
    """Why the run as a whole failed."""
    first_error: BaseException | None = None
    """What the first item that failed met."""
    failures: list[tuple[int, StepFinished]] = field(default_factory=list)
    """Position of the item, and its step that failed."""
    _task: asyncio.Task[Any] | None = None
    _cancelled: bool = False
    _stopping: bool = False
    _base: dict[str, Any] = field(default_factory=dict)
    _broken: dict[str, str] = field(default_factory=dict)
    _next: int = 0

    async def execute(self) -> None:
        """Runs to the end; however it ends, the end is recorded and the cache is safe."""
        self._task = asyncio.current_task()
        status: RunStatus = "failed"
        error: OrchestrationError | None = None
        try:
            self.context.unpaused.set()
            if self.started.items is not None:
                self.outcome.fill_up(self.started.items)
            self.context.record(self.started)
            if self._cancelled:
                raise asyncio.CancelledError  # noqa: TRY301 - cancelled before it began
            await self._work()
            status = "failed" if self.stopped_because else "done"
        except asyncio.CancelledError:
            status = "cancelled"
        except JournalWriteError as caught:
            error = self.stopped_because = caught
        except BaseException as caught:
            self.ended.set_exception(caught)
            raise
        finally:
            await self._finish(status, error)

    def cancel(self) -> None:
        """Stops everything in flight; on the engine's loop."""
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def pause(self) -> None:
        """Sends nothing more until :meth:`resume`; on the engine's loop."""
        if self.context.progress.status == "running":
            self.context.unpaused.clear()
            self.context.progress.status = "paused"

    def resume(self) -> None:
        """Goes on after :meth:`pause`; on the engine's loop."""
        if self.context.progress.status == "paused":
            self.context.unpaused.set()
            if self.started.items is not None:
                self.outcome.fill_up(self.started.items)
            self.context.progress.status = "running"

    async def _finish(self, status: RunStatus, error: OrchestrationError | None) -> None:
        context, progress = self.context, self.context.progress
        progress.ended_s, progress.note = context.services.clock.monotonic(), ""
        try:
            await context.services.cache.flush()
            if error is None:
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
            error, status, self.stopped_because = caught, "failed", caught
        progress.status = status
        if not self.ended.done():
            self.ended.set_result(error)

    async def _work(self) -> None:
        once = [step for step in self.bound.steps if step.once] if self.each else []
        if once:
            await self._evaluate_once(Plan.of(once))
        plan = Plan.of([step for step in self.bound.steps if step not in once])
        most, items = self.started.concurrency, self.started.items
        count = most if items is None else min(items, most)
        producers = [asyncio.ensure_future(self._produce(plan)) for _ in range(max(1, count))]
        try:
            await asyncio.gather(*producers)
        except BaseException:
            for producer in producers:
                producer.cancel()
            await asyncio.gather(*producers, return_exceptions=True)
            raise

    async def _evaluate_once(self, plan: Plan) -> None:
        work = ItemWork(plan, self.context, -1, {})
        ended = await work.work()
        self.context.record(ended)
        self._note_failures(ended)
        self._base = work.scope
        self._broken = work.broken

    async def _produce(self, plan: Plan) -> None:
        for item in self.items:
            index = self._next
            self._next += 1
            await self.context.unpaused.wait()
            if self._stopping:
                return
            await self._one(plan, index, item)
            if index % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _one(self, plan: Plan, index: int, item: Mapping[str, Any]) -> None:
        work = ItemWork(plan, self.context, index, {**self._base, **item, "item": item}, dict(self._broken))
        try:
            ended = await work.work()
        except asyncio.CancelledError:
            ended = work.cancelled()
            self._take(ended, work.scope)
            raise
        error = work.first_error
        self.first_error = self.first_error or error
        if isinstance(error, OverBudgetError):
            self.stopped_because = self.stopped_because or error
        self._take(ended, work.scope)

    def _take(self, ended: ItemFinished, scope: dict[str, Any]) -> None:
        self.context.record(ended)
        self.outcome.put(ended, scope)
        progress = self.context.progress
        if ended.status == "cancelled":
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
