"""One item: its steps as their inputs arrive."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestration_nb.calls import Origin, OutputSchema, Status
from orchestration_nb.engine.bookkeeping import sentence_of, status_of
from orchestration_nb.engine.request import answer
from orchestration_nb.engine.services import RunContext
from orchestration_nb.engine.together import results_of
from orchestration_nb.errors import (
    CallError,
    ControlSignal,
    CostError,
    JournalWriteError,
    OrchestrationError,
    PendingReplyError,
    RunPaused,
    StepError,
)
from orchestration_nb.events import ItemFinished, StepFinished
from orchestration_nb.flow import BoundStep, Pending, StepScope, collect, fill, step_scope
from orchestration_nb.ids import RequestId, new_id

QUICK: Final = frozenset({str, int, float, bool, type(None), list, tuple, dict})
"""Types whose formatting is quick enough for the engine's loop; anything else is formatted in the executor."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a flow, ready to be walked for each item."""

    steps: tuple[BoundStep, ...]
    needs: dict[str, int]
    """How many of these steps each step waits for."""
    dependents: dict[str, tuple[BoundStep, ...]]
    roots: tuple[BoundStep, ...]

    @classmethod
    def of(cls, steps: Sequence[BoundStep]) -> Plan:
        """The plan of these steps; what they need of others must be in the scope already."""
        names = {step.name for step in steps}
        needs = {step.name: len(step.needs & names) for step in steps}
        dependents = {step.name: tuple(other for other in steps if step.name in other.needs) for step in steps}
        return cls(tuple(steps), needs, dependents, tuple(step for step in steps if not needs[step.name]))


@dataclass(slots=True)
class StepTally:
    """What a step of one item cost, as its requests end."""

    cost_usd: float = 0.0
    billed_usd: float = 0.0
    degraded: bool = False


@dataclass(slots=True, eq=False)
class ItemWork:
    """One item under way.

    A step runs as soon as the last of its inputs is there. The first that becomes ready goes on in the same task; only
    further ones get a task of their own, so that a chain of steps costs none.
    """

    plan: Plan
    run: RunContext
    index: int
    scope: dict[str, Any]
    """Columns, ``item``, the values of steps; grows as steps end."""
    broken: dict[str, str] = field(default_factory=dict)
    """Steps that have no value, and the reason."""
    item: Mapping[str, Any] = field(default_factory=dict)
    """The columns alone."""
    finished: list[StepFinished] = field(default_factory=list)
    billed_usd: float = 0.0
    _missing: dict[str, int] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _errors: list[tuple[str, BaseException]] = field(default_factory=list)

    @property
    def first_error(self) -> BaseException | None:
        """What the first step that failed met, or ``None``."""
        return self._errors[0][1] if self._errors else None

    async def work(self) -> ItemFinished:
        """Runs all steps; what fails stands in the answer.

        Raises:
            JournalWriteError: Nothing more can be recorded.
            asyncio.CancelledError: After the item was marked as cancelled.
        """
        clock = self.run.services.clock
        started_s = clock.monotonic()
        self._missing = dict(self.plan.needs)
        try:
            first, *others = self.plan.roots or (None,)
            for root in others:
                self._start(root)
            try:
                if first is not None:
                    await self._chain(first)
                await self._tasks_end()
            except RunPaused:
                await self._tasks_end(whatever_comes=True)  # what is in flight is paid, and kept
                raise
        except BaseException:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            raise
        return self._ended((clock.monotonic() - started_s) * 1000)

    async def _tasks_end(self, *, whatever_comes: bool = False) -> None:
        while self._tasks:
            ended = tuple(self._tasks)
            await asyncio.gather(*ended, return_exceptions=whatever_comes)
            self._tasks.difference_update(ended)

    def given_up(self, signal: BaseException) -> ItemFinished:
        """The item as a cancelled or paused one, with the steps that had ended."""
        self._errors.insert(0, ("", signal))
        return self._ended(0.0)

    def _ended(self, latency_ms: float) -> ItemFinished:
        status: Status = "ok"
        step_name, error = self._errors[0] if self._errors else ("", None)
        sentence = None
        if error is not None:
            status = status_of(error)
            sentence = f"{step_name}: {explain(error)}" if step_name else status
        elif self.broken:
            status, sentence = "failed", next(iter(self.broken.values()))
        elif any(step.status == "degraded" for step in self.finished):
            status = "degraded"
        return ItemFinished(
            run_id=self.run.run_id,
            item=self.index,
            status=status,
            error_type=type(error).__name__ if error is not None else None,
            error=sentence,
            cost_usd=sum(step.cost_usd for step in self.finished),
            billed_usd=self.billed_usd,
            latency_ms=latency_ms,
            steps=tuple(self.finished),
            finished_at=self.run.services.clock.now(),
        )

    def _start(self, step: BoundStep) -> None:
        self._tasks.add(asyncio.ensure_future(self._chain(step)))

    async def _chain(self, step: BoundStep | None) -> None:
        while step is not None:
            if self.run.cancelled:
                raise asyncio.CancelledError  # whoever swallowed the first one
            if self._belongs_in_executor(step):
                ready = await self._hop(self._batch(step))
            else:
                await self._step_on_loop(step)
                ready = self._made_ready(step)
            step = ready[0] if ready else None
            for other in ready[1:]:
                self._start(other)

    def _made_ready(self, step: BoundStep) -> list[BoundStep]:
        ready = []
        for dependent in self.plan.dependents[step.name]:
            self._missing[dependent.name] -= 1
            if not self._missing[dependent.name]:
                ready.append(dependent)
        return ready

    def _belongs_in_executor(self, step: BoundStep) -> bool:
        if step.is_async:
            return False
        if not step.builds_requests:
            return True
        return any(type(self.scope.get(name)) not in QUICK for name in (*step.columns, *step.needs))

    def _batch(self, first: BoundStep) -> list[BoundStep]:
        """``first`` and the plain steps that wait for nothing else: one hop serves them all."""
        batch, names = [first], {first.name}
        if first.builds_requests:
            return batch
        for step in self.plan.steps:
            inside = len(step.needs & names)
            if inside and inside == self._missing[step.name] and not (step.is_async or step.builds_requests):
                batch.append(step)
                names.add(step.name)
        return batch

    async def _step_on_loop(self, step: BoundStep) -> None:
        evaluated = Evaluated(step, self.run.services.clock.monotonic())
        self._evaluate(evaluated)
        await self._end_step(evaluated)

    async def _hop(self, batch: list[BoundStep]) -> list[BoundStep]:
        """Evaluates a batch in the executor, in order, up to the first step whose value is not there yet."""
        clock = self.run.services.clock

        def evaluate() -> list[Evaluated]:
            results = []
            for step in batch:
                evaluated = Evaluated(step, clock.monotonic())
                self._evaluate(evaluated)
                results.append(evaluated)
                if not evaluated.is_plain_value or step.checker is not None:
                    break  # what follows reads the value that is awaited, or that the annotation makes of it
                self.scope[step.name] = evaluated.value  # the next one of the batch may read it
            return results

        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        results = await loop.run_in_executor(self.run.services.executor, context.run, evaluate)
        served = {evaluated.step.name for evaluated in results}
        ready: list[BoundStep] = []
        for evaluated in results:
            await self._end_step(evaluated)
            ready.extend(step for step in self._made_ready(evaluated.step) if step.name not in served)
        return ready

    def _evaluate(self, evaluated: Evaluated) -> None:
        """Evaluates a step's expression; what it raises is kept for :meth:`_end_step`."""
        step, tally = evaluated.step, evaluated.tally
        try:
            self._refuse_broken(step)
            with step_scope(lambda pending: self._ask(step, pending, step.schema, tally)) as evaluated.scope:
                evaluated.value = step.evaluate(self.scope)
        except BaseException as error:  # noqa: BLE001 - the wall of an item, which `exit()` does not pass either
            evaluated.error = error

    def _refuse_broken(self, step: BoundStep) -> None:
        for name in step.needs:
            if name in self.broken:
                raise _Skipped(self.broken[name])

    async def _end_step(self, evaluated: Evaluated) -> None:
        """Awaits what the expression left to be awaited, checks the value, and books the step."""
        step = evaluated.step
        try:
            if evaluated.error is not None:
                raise evaluated.error  # noqa: TRY301 - here, since no StopIteration can leave a coroutine
            value = await self._value_of(evaluated)
            # A default is what the analyst wants instead of an answer: it need not look like one.
            self.scope[step.name] = value if evaluated.tally.degraded else step.check(value)
            error: BaseException | None = None
        except JournalWriteError:
            raise
        except BaseException as caught:  # noqa: BLE001 - the wall of an item
            error = caught if not isinstance(caught, asyncio.CancelledError) or _is_cancelled() else _lost_wait()
            self.scope.pop(step.name, None)
        self._book(evaluated, error)
        if isinstance(error, asyncio.CancelledError | ControlSignal):
            raise error

    async def _value_of(self, evaluated: Evaluated) -> Any:
        """The value, when no pending reply is left in it."""
        step, value, scope = evaluated.step, evaluated.value, evaluated.scope
        while True:
            if isinstance(value, Pending):
                value = await self._ask(step, value, step.schema, evaluated.tally)
            elif inspect.isawaitable(value):
                with step_scope(lambda pending: self._ask(step, pending, step.schema, evaluated.tally), scope):
                    value = await value
            elif pendings := collect(value):
                _refuse_lost(step, scope, pendings)  # before the others are paid
                asks = [self._ask(step, pending, step.element_schema, evaluated.tally) for pending in pendings]
                answers = await results_of(asks)
                for answered in answers:
                    if isinstance(answered, BaseException):
                        raise answered
                value = fill(value, {id(pending): reply for pending, reply in zip(pendings, answers, strict=True)})
            else:
                break
        _refuse_lost(step, scope, ())
        return value

    async def _ask(self, step: BoundStep, pending: Pending, schema: OutputSchema | None, tally: StepTally) -> Any:
        run = self.run
        origin = Origin(run_id=run.run_id, flow=run.flow, step=step.name, item=self.index)
        request = pending.request(
            origin,
            schema=schema,
            id=RequestId(new_id()),
            seed=f"{run.seed}:{self.index}:{step.name}",
            model=run.model,
            item=self.item,
        )
        try:
            reply = await answer(request, run, tally)
        except (CallError, CostError):
            if not (pending.has_default or run.degrade):
                raise
            tally.degraded = True
            return pending.default if pending.has_default else None
        return reply.value

    def _book(self, evaluated: Evaluated, error: BaseException | None) -> None:
        step, tally = evaluated.step, evaluated.tally
        status: Status = "degraded" if tally.degraded else "ok"
        if isinstance(error, _Skipped):
            status = "skipped"
            self.broken[step.name] = str(error)
        elif error is not None:
            status = status_of(error)
            self.broken[step.name] = f"{step.name}: {explain(error)}"
            self._errors.append((step.name, error))
        self.billed_usd += tally.billed_usd
        self.finished.append(
            StepFinished(
                step=step.name,
                status=status,
                latency_ms=(self.run.services.clock.monotonic() - evaluated.started_s) * 1000,
                cost_usd=tally.cost_usd,
                error_type=type(error).__name__ if error is not None else None,
                error=explain(error) if error is not None else None,
            )
        )


def _is_cancelled() -> bool:
    """Whether somebody wants this task to end; a step may also raise ``CancelledError`` all by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _lost_wait() -> StepError:
    return StepError("What the step waited for was cancelled, and the run was not.")


def _refuse_lost(step: BoundStep, scope: StepScope | None, kept: Sequence[Pending]) -> None:
    """Refuses a step some of whose pending replies are neither in its value nor awaited."""
    if scope is None:
        return
    held = {id(pending) for pending in kept}
    lost = sum(id(pending) not in held for pending in scope.lost())
    if lost:
        what = "A pending reply" if lost == 1 else f"{lost} pending replies"
        raise PendingReplyError(
            f"{what} of the step {step.name!r} {'was' if lost == 1 else 'were'} never awaited.",
            hint="Return it in a list, or write `await llm(...)`.",
        )


class _Skipped(Exception):  # noqa: N818 - no error of its own: an earlier step has no value
    pass


@dataclass(slots=True, eq=False)
class Evaluated:
    """A step whose expression was evaluated, and what came of it so far."""

    step: BoundStep
    started_s: float
    scope: StepScope | None = None
    value: Any = None
    error: BaseException | None = None
    tally: StepTally = field(default_factory=StepTally)

    @property
    def is_plain_value(self) -> bool:
        """Whether the value is there, with nothing left to await."""
        pending = self.scope is not None and self.scope.pendings
        return self.error is None and not pending and not inspect.isawaitable(self.value)


def explain(error: BaseException) -> str:
    """An error as a sentence for a row: our own as it stands, the user's with its type and the line in the cell."""
    if isinstance(error, OrchestrationError | _Skipped):
        return sentence_of(error)
    line = next((f" (line {number})" for name, number in _lines(error) if name.startswith("<flow ")), "")
    return f"{type(error).__name__}: {sentence_of(error)}{line}"


def _lines(error: BaseException) -> list[tuple[str, int]]:
    lines = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    return lines[::-1]
