"""The way of one request, read top to bottom.

::

    answer:       strategy( ask* ) -> record
    ask:          find_or_pay -> record                                                  (this file)
    find_or_pay:  cache, single flight -> pay                                            (lookup)
    pay:          retry( reserve -> take a turn -> circuit -> attempt -> validate ) -> settle  (payment)
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Collection
from dataclasses import dataclass, replace
from typing import Any, Protocol

from orchestration_nb.calls import Reply, Request, Strategy
from orchestration_nb.catalog import Model
from orchestration_nb.cost.bounds import most_output_tokens
from orchestration_nb.cost.cache import cache_key
from orchestration_nb.engine.bookkeeping import CallBook, RequestBook
from orchestration_nb.engine.lookup import find_or_pay
from orchestration_nb.engine.payment import Call
from orchestration_nb.engine.services import RunContext
from orchestration_nb.errors import CallTimeoutError, ControlSignal, JournalWriteError, StepError
from orchestration_nb.resilience import Deadline
from orchestration_nb.routing.fallback import answer_with_fallbacks


class Tally(Protocol):
    """Adds up what requests cost."""

    cost_usd: float
    billed_usd: float


async def answer(request: Request, run: RunContext, tally: Tally) -> Reply:
    """Answers one request by its strategy, and records it.

    Raises:
        CallError: If no usable reply came.
        CostError: If the budget does not cover it.
        JournalWriteError: If it cannot be recorded; nothing more may be spent then.
    """
    name, strategy = _strategy_of(request, run)
    return await _answer_by(name, strategy, request, run, tally)


async def _answer_by(name: str, strategy: Strategy, request: Request, run: RunContext, tally: Tally) -> Reply:
    request.decision.observe = run.services.traffic.stats
    book = RequestBook(request, run, name)
    asking = Asking(request, run, book)
    try:
        try:
            reply = _reply_of(name, await strategy(request, asking))
        finally:
            await asking.end()
    except JournalWriteError:
        raise  # it is the record itself that failed
    except BaseException as error:
        book.failed(error)
        raise
    else:
        book.answered(reply)
        for later in request.decision.afterwards:
            run.go_on_with(_answer_unseen(later, request.again(), run))
        return reply
    finally:
        tally.cost_usd += book.cost_usd
        tally.billed_usd += book.billed_usd


@dataclass(slots=True)
class _Unseen:
    """What is asked after an answer counts for the run, and not for the item that has its answer."""

    cost_usd: float = 0.0
    billed_usd: float = 0.0


async def _answer_unseen(strategy: Strategy, request: Request, run: RunContext) -> None:
    try:
        await _answer_by(str(getattr(strategy, "__name__", "")), strategy, request, run, _Unseen())
    except JournalWriteError:
        raise  # it is the record itself that failed
    except (Exception, ControlSignal):  # noqa: BLE001 - it is recorded, and the item has its answer
        return


def _strategy_of(request: Request, run: RunContext) -> tuple[str, Strategy]:
    if request.model is not None:
        return "fixed", run.fixed
    if request.strategy is not None:
        return request.strategy, run.find_strategy(request.strategy)
    return run.strategy_name, run.strategy


def _reply_of(strategy: str, returned: object) -> Reply:
    if not isinstance(returned, Reply):
        raise StepError(
            f"The strategy {strategy!r} returned {type(returned).__name__}, not a reply.",
            hint="Return what `await ask(model)` gave.",
        )
    return returned


class Asking:
    """The ``ask`` that a strategy is given."""

    def __init__(self, request: Request, run: RunContext, book: RequestBook) -> None:
        self._request = request
        self._run = run
        self._book = book
        self._own = asyncio.current_task()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = False
        services = run.services
        most_s = math.inf if run.batches is not None else request.timeout_s or services.retry.deadline_s
        self._patience = Deadline(services.clock, most_s)

    async def __call__(self, model: str, *, sample: int = 0, wait: bool = True, instead: Collection[str] = ()) -> Reply:
        """See :class:`orchestration_nb.calls.Ask`."""
        task = asyncio.current_task()
        if task is not None and task is not self._own:
            task.add_done_callback(_mark_seen)
        if self._ended:
            raise StepError("ask() was called after its request had ended.", hint="Await it within the strategy.")
        if task is None or task is self._own:
            return await self._answer(model, sample, wait, instead)
        self._tasks.add(task)
        try:
            return await self._answer(model, sample, wait, instead)
        finally:
            self._tasks.discard(task)

    def _answer(self, name: str, sample: int, wait: bool, instead: Collection[str]) -> Awaitable[Reply]:
        resolve = self._run.services.catalog.resolve
        model = resolve(name)
        if model.fallbacks is None or instead:
            return self._one(model, sample, wait, instead)
        decision = self._request.decision
        return answer_with_fallbacks(decision, self._ask, model.name, resolve, sample=sample, wait=wait)

    async def _ask(self, model: str, *, sample: int = 0, wait: bool = True, instead: Collection[str] = ()) -> Reply:
        """Asks this one model and no other."""
        return await self._one(self._run.services.catalog.resolve(model), sample, wait, instead)

    async def _one(self, model: Model, sample: int, wait: bool, instead: Collection[str]) -> Reply:
        run, request = self._run, self._request
        max_tokens = most_output_tokens(request, model)
        if sample != request.sample:
            request = replace(request, sample=sample)
        key = cache_key(request, model, sample=sample, max_tokens=max_tokens)
        resolve = run.services.catalog.resolve
        others = tuple([resolve(other).name for other in instead]) if instead else ()
        book = CallBook(self._book, model, key, sample)
        call = Call(request, run, book, max_tokens, self._patience, self._patience, wait, others)
        run.services.asking += 1
        run.services.traffic.began(model.name)
        try:
            if request.timeout_s is None or run.batches is not None:
                reply = await find_or_pay(call)
            else:
                reply = await _in_time(call, request.timeout_s)
        except JournalWriteError:
            raise  # it is the record itself that failed
        except BaseException as error:
            if not book.is_recorded:  # else it was answered, and something after that was cancelled
                book.failed(error)
            raise
        finally:
            run.services.asking -= 1
            run.services.traffic.ended(model.name)
        self._patience.renew()
        return reply

    async def end(self) -> None:
        """Cancels what the strategy left behind, so that nothing is spent after its request ended.

        Where the run is left for another day, what is in flight ends first, and is kept.

        Raises:
            asyncio.CancelledError: If cancelled itself; what was left behind has ended and is booked all the same.
        """
        self._ended = True
        if not self._run.left:
            self._cancel_tasks()
        cancelled: asyncio.CancelledError | None = None
        while self._tasks:
            try:
                await asyncio.wait(set(self._tasks))
            except asyncio.CancelledError as error:
                cancelled = error
                self._cancel_tasks()
        if cancelled is not None:
            raise cancelled

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()


async def _in_time(call: Call, most_s: float) -> Reply:
    """A call that may take only so long, its waits included."""
    limit = asyncio.timeout(most_s)
    call.deadline = Deadline(call.run.services.clock, most_s, limit)
    try:
        async with limit:
            return await find_or_pay(call)
    except TimeoutError:
        if not limit.expired():
            raise
        late = CallTimeoutError(
            f"{call.book.model.name} did not answer in time: the {most_s:g} s that the call may take went by in line.",
            phase="total",
            hint="timeout= of the call allows more; `%orchestrate status` shows what holds calls up.",
            billing="no",
        )
        late.retryable = False
        raise late from None


def _mark_seen(task: asyncio.Task[Any]) -> None:
    """A failure that the strategy did not wait for stands in the ledger; asyncio need not print it as well."""
    if not task.cancelled():
        task.exception()
