"""The way of one request, read top to bottom.

::

    answer:  strategy( ask* ) -> record
    ask:     cache, single flight -> reserve -> retry( take a turn -> attempt -> validate ) -> settle -> record
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Protocol

from orchestration_nb.calls import RawReply, Reply, Request, Strategy
from orchestration_nb.cost.bounds import most_input_tokens, most_output_tokens
from orchestration_nb.cost.budget import Hold
from orchestration_nb.cost.cache import CachedReply, cache_key
from orchestration_nb.engine.bookkeeping import CallBook, RequestBook
from orchestration_nb.engine.services import RunContext
from orchestration_nb.errors import (
    CallError,
    JournalWriteError,
    NoSuchModelError,
    NotAuthorisedError,
    OverBudgetError,
    PriceUnknownError,
    SchemaNotMetError,
    StepError,
)
from orchestration_nb.messages import Message, Text, user
from orchestration_nb.resilience import retry_waits

SCHEMA_ATTEMPTS = 3
"""How often a model is asked in all for a reply that fits the schema: more rarely helps, and each is paid."""


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
        return reply
    finally:
        tally.cost_usd += book.cost_usd
        tally.billed_usd += book.billed_usd


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

    async def __call__(
        self,
        model: str,
        *,
        sample: int = 0,
        wait: bool = True,  # noqa: ARG002 - for circuits
        instead: Collection[str] = (),  # noqa: ARG002 - for circuits
    ) -> Reply:
        """See :class:`orchestration_nb.calls.Ask`."""
        task = asyncio.current_task()
        if task is not None and task is not self._own:
            task.add_done_callback(_mark_seen)
        if self._ended:
            raise StepError("ask() was called after its request had ended.", hint="Await it within the strategy.")
        if task is None or task is self._own:
            return await _ask(self._request, self._run, self._book, model, sample)
        self._tasks.add(task)
        try:
            return await _ask(self._request, self._run, self._book, model, sample)
        finally:
            self._tasks.discard(task)

    async def end(self) -> None:
        """Cancels what the strategy left behind, so that nothing is spent after its request ended.

        Raises:
            asyncio.CancelledError: If cancelled itself; what was left behind has ended and is booked all the same.
        """
        self._ended = True
        for task in self._tasks:
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while self._tasks:
            try:
                await asyncio.wait(set(self._tasks))
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


def _mark_seen(task: asyncio.Task[Any]) -> None:
    """A failure that the strategy did not wait for stands in the ledger; asyncio need not print it as well."""
    if not task.cancelled():
        task.exception()


async def _ask(request: Request, run: RunContext, requests: RequestBook, name: str, sample: int) -> Reply:
    model = run.services.catalog.resolve(name)
    max_tokens = most_output_tokens(request, model)
    if sample != request.sample:
        request = replace(request, sample=sample)
    key = cache_key(request, model, sample=sample, max_tokens=max_tokens)
    book = CallBook(requests, model, key, sample)
    try:
        return await _find_or_pay(request, run, book, max_tokens)
    except JournalWriteError:
        raise  # it is the record itself that failed
    except BaseException as error:
        book.failed(error)
        raise


async def _find_or_pay(request: Request, run: RunContext, book: CallBook, max_tokens: int) -> Reply:
    """Cache and single flight: of those who ask the same at once, one pays."""
    services = run.services
    if not run.unpaused.is_set():  # here, so that nobody waits in another run for what a paused one has begun
        await run.unpaused.wait()
    if run.fresh or not request.cache:
        return await _pay(request, run, book, max_tokens)
    while True:
        held = services.cache.get(book.key) or await _join_flight(services.flights, book.key)
        if held is not None:
            value = _value_of_cached(request, held)
            if value is not _REFUSED:
                return book.answered_from_cache(held, value)
            return await _pay(request, run, book, max_tokens)
        if book.key not in services.flights:
            return await _lead_flight(request, run, book, max_tokens)


async def _join_flight(flights: dict[str, asyncio.Future[CachedReply | None]], key: str) -> CachedReply | None:
    flight = flights.get(key)
    return None if flight is None else await asyncio.shield(flight)


async def _lead_flight(request: Request, run: RunContext, book: CallBook, max_tokens: int) -> Reply:
    flights, cache = run.services.flights, run.services.cache
    flight: asyncio.Future[CachedReply | None] = asyncio.get_running_loop().create_future()
    flights[book.key] = flight
    try:
        held = await cache.claim(book.key)
        value = _REFUSED if held is None else _value_of_cached(request, held)
        if held is not None and value is not _REFUSED:
            flight.set_result(held)
            return book.answered_from_cache(held, value)
        reply = await _pay(request, run, book, max_tokens)
    except CallError as error:
        # Who asked the same would meet the same: it shares the failure instead of repeating it.
        flight.set_exception(error)
        flight.exception()  # marks it as seen where nobody waits
        raise
    finally:
        cache.release(book.key)
        del flights[book.key]
        if not flight.done():
            # None: cancelled, or over this run's budget; the next in line tries for itself.
            flight.set_result(book.kept)
    return reply


_REFUSED = object()


def _value_of_cached(request: Request, held: CachedReply) -> Any:
    if request.output is None:
        return held.text
    try:
        return request.output.parse(held.text)
    except SchemaNotMetError:
        return _REFUSED


async def _pay(request: Request, run: RunContext, book: CallBook, max_tokens: int) -> Reply:
    """Reserve, retry, settle, record: the call is made."""
    model, services = book.model, run.services
    if model.name in run.unusable:
        raise run.unusable[model.name].with_traceback(None)  # each raise would make it longer, and keep its item
    provider = services.providers.get(model.provider)
    if provider is None:
        raise NoSuchModelError(f"No provider is called {model.provider!r}.", hint="`%orchestrate models` lists them.")
    if model.price is None:
        raise PriceUnknownError(
            f"Nobody knows what {model.name} costs, so the budget cannot hold.",
            hint=f'Write its price into orchestrate.toml: [models."{model.name}"] input_usd_per_mtok = ..., '
            "output_usd_per_mtok = ...",
        )
    asked = request if max_tokens == request.max_tokens else replace(request, max_tokens=max_tokens)
    timeouts = services.timeouts
    if request.timeout_s is not None:
        timeouts = replace(timeouts, total_s=request.timeout_s)

    async def attempt(number: int, waited_s: float) -> tuple[RawReply, Any]:
        nonlocal asked
        most_usd = model.price.most_usd(most_input_tokens(asked), max_tokens)  # type: ignore[union-attr]
        hold = await _reserve(run, most_usd)
        book.begin(number, waited_s, hold)
        async with run.turns:
            await run.unpaused.wait()
            book.send()
            try:
                raw = await provider.send(model, asked, timeouts=timeouts)
                value = _validate(asked, raw, number)
            except SchemaNotMetError as error:
                book.attempt_unfit(error, raw)
                asked = _asked_again(request, max_tokens, error)
                raise
            except BaseException as error:
                book.attempt_failed(error)
                if isinstance(error, NotAuthorisedError | NoSuchModelError):
                    run.unusable[model.name] = error
                raise
        book.attempt_answered(raw)
        return raw, value

    raw, value = await retry_waits(attempt, services.retry, services.clock, deadline_s=request.timeout_s)
    return book.answered(raw, value)


async def _reserve(run: RunContext, most_usd: float) -> Hold:
    """Sets the money of an attempt aside; where the budget pauses, waits until somebody raises it."""
    while True:
        try:
            return await run.budget.reserve(most_usd)
        except OverBudgetError as refusal:
            if not refusal.pauses:
                raise
            await run.wait_for_budget(refusal)


def _validate(request: Request, raw: RawReply, number: int) -> Any:
    """The reply's value by the schema."""
    if request.output is None or raw.tool_calls:
        return raw.text
    try:
        return request.output.parse(raw.text)
    except SchemaNotMetError as error:
        if raw.finish_reason == "length":
            cut = SchemaNotMetError(
                f"The reply was cut at max_tokens={request.max_tokens} before it was whole.",
                reply=raw.text,
                hint="Raise max_tokens in llm(...).",
            )
            cut.retryable = False
            raise cut from None
        error.retryable = number < SCHEMA_ATTEMPTS
        raise


def _asked_again(request: Request, max_tokens: int, error: SchemaNotMetError) -> Request:
    """The same request, with the reply that did not fit and what is wrong with it."""
    reply = Message(role="assistant", parts=(Text(error.reply or "(nothing)"),))
    wish = user(f"That reply cannot be used: {error}\nReply again, with the JSON alone.")
    return replace(request, messages=(*request.messages, reply, wish), max_tokens=max_tokens)
