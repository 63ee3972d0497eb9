"""A strategy on a clock of its own: what a request would have cost and taken, had the strategy been alone.

In a comparison each question is paid once and answered to whoever asks it, so that the time on the wall says nothing
about a strategy. Here every ask ends when the recorded call would have ended, in the order of their latencies; waiting
takes no time; and what the strategy cancelled before its end counts with the most that it could have cost.

``asyncio.gather``, ``wait``, ``sleep``, ``timeout`` and tasks work as ever: the loop is an asyncio loop whose time
stands still while somebody works, and jumps when nobody does.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import weakref
from asyncio import base_events
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from orchestration_nb.calls import Reply, Request, Strategy
from orchestration_nb.errors import ControlSignal, StepError

_PATIENCE_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Banked:
    """The answer to one question, for whoever asks it."""

    reply: Reply | None
    error: BaseException | None
    """Why there is no reply."""
    latency_ms: float
    """How long the call took that was paid."""
    most_usd: float
    """The most that the call could cost: what a strategy is charged that did not wait for its end."""


class Fetch(Protocol):
    """Finds or pays the answer to a question."""

    def __call__(
        self, model: str, *, sample: int, wait: bool, instead: Collection[str]
    ) -> concurrent.futures.Future[Banked]:
        """Begins to; called on the thread of the virtual clock."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """One question that a strategy asked."""

    model: str
    """``provider/name`` where somebody answered, else as it was named."""
    sample: int
    began_s: float
    cost_usd: float = 0.0
    cancelled: bool = False
    """Whether the strategy did not wait for its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """What a request would have come to, had its strategy been alone."""

    reply: Reply | None
    error: BaseException | None
    latency_ms: float
    cost_usd: float
    """At list price, what was cancelled included."""
    asked: tuple[Asked, ...]
    """In the order of their beginning."""


def alone(strategy: Strategy, request: Request, fetch: Fetch) -> Alone:
    """Runs a strategy on a virtual clock; blocks while answers are fetched.

    Args:
        strategy: The strategy.
        request: What is asked; its decision is filled.
        fetch: Where answers come from.

    Returns:
        What it came to; a failure is part of it.

    Raises:
        KeyboardInterrupt: And whatever else is no ``Exception`` nor a cancellation.
    """
    loop = VirtualLoop()
    asks = _Asks(loop, fetch)
    reply: Reply | None = None
    error: BaseException | None = None
    try:
        asyncio.set_event_loop(None)
        try:
            reply = loop.run_until_complete(_answered(strategy, request, asks))
        except (Exception, asyncio.CancelledError, ControlSignal) as failure:  # noqa: BLE001 - handed on, as an answer is
            error = failure
        if asks.signal is not None:  # whatever the strategy made of it
            reply, error = None, asks.signal
        latency_ms = loop.time() * 1000
        loop.cancel_all()
        loop.run_until_complete(_ask_afterwards(request, asks))
        loop.cancel_all()
    finally:
        loop.close()
    return Alone(
        reply=reply,
        error=error,
        latency_ms=latency_ms,
        cost_usd=sum(asked.cost_usd for asked in asks.asked),
        asked=tuple(asks.asked),
    )


async def _answered(strategy: Strategy, request: Request, asks: _Asks) -> Reply:
    returned = await strategy(request, asks)
    if not isinstance(returned, Reply):
        name = getattr(strategy, "__name__", "")
        raise StepError(
            f"The strategy {name!r} returned {type(returned).__name__}, not a reply.",
            hint="Return what `await ask(model)` gave.",
        )
    return returned


async def _ask_afterwards(request: Request, asks: _Asks) -> None:
    """What the strategy has asked when its answer has been given: it costs, and nobody waits for it."""
    later = request.decision.afterwards
    while later:
        again = request.again()
        with contextlib.suppress(Exception, ControlSignal):
            await later.pop(0)(again, asks)
        later.extend(again.decision.afterwards)


@dataclass(slots=True)
class _Asks:
    """The ``ask`` that a strategy is given on a virtual clock."""

    loop: VirtualLoop
    fetch: Fetch
    asked: list[Asked] = field(default_factory=list)
    signal: ControlSignal | None = None
    """The first that an ask ended with."""

    async def __call__(self, model: str, *, sample: int = 0, wait: bool = True, instead: Collection[str] = ()) -> Reply:
        """See :class:`orchestration_nb.calls.Ask`."""
        asked = Asked(model=model, sample=sample, began_s=self.loop.time())
        self.asked.append(asked)
        try:
            fetching = self.fetch(model, sample=sample, wait=wait, instead=instead)
        except ControlSignal as signal:
            self.signal = self.signal or signal
            raise
        coming = self.loop.arrival(fetching)
        try:
            banked = await coming.wait()
        except asyncio.CancelledError:
            asked.cancelled = True
            if coming.banked is not None:
                asked.cost_usd = coming.banked.most_usd
            raise
        if banked.reply is None:
            assert banked.error is not None
            raise banked.error
        asked.model, asked.cost_usd = banked.reply.model, banked.reply.cost_usd
        return banked.reply


class _Arrival:
    """An answer on its way: it is there when its latency has passed on the virtual clock."""

    __slots__ = ("_arrived", "_began_s", "_fetching", "_loop", "banked")

    def __init__(self, loop: VirtualLoop, fetching: concurrent.futures.Future[Banked]) -> None:
        self.banked: Banked | None = None
        self._loop = loop
        self._fetching = fetching
        self._began_s = loop.time()
        self._arrived: asyncio.Future[Banked] = loop.create_future()

    async def wait(self) -> Banked:
        """Waits for it on the virtual clock."""
        return await self._arrived

    def fetched(self) -> None:
        """Waits until the answer is known, on the real clock, and says when it arrives on the virtual one."""
        try:
            self.banked = banked = self._fetching.result(timeout=_PATIENCE_S)
        except (Exception, concurrent.futures.CancelledError, ControlSignal) as error:  # noqa: BLE001 - handed on, too
            called_off = isinstance(error, concurrent.futures.CancelledError)
            if not self._arrived.done():
                self._arrived.set_exception(asyncio.CancelledError() if called_off else error)
            return
        self._loop.call_at(self._began_s + banked.latency_ms / 1000, self._arrive, banked)

    def _arrive(self, banked: Banked) -> None:
        if not self._arrived.done():
            self._arrived.set_result(banked)


class VirtualLoop(base_events.BaseEventLoop):
    """An asyncio loop whose time jumps to the next timer as soon as nobody has anything to do.

    Before it jumps it waits, on the real clock, for every answer that is being fetched: one of them may be the next
    that arrives.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._fetched: list[_Arrival] = []
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._elsewhere = 0
        self._woken = threading.Event()
        self._selector = self  # what BaseEventLoop asks for events when it has nothing to do

    def time(self) -> float:
        """Seconds on the virtual clock, from 0."""
        return self._now_s

    def arrival(self, fetching: concurrent.futures.Future[Banked]) -> _Arrival:
        """An answer that is being fetched from now on."""
        arrival = _Arrival(self, fetching)
        self._fetched.append(arrival)
        return arrival

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        """A task of this loop, which keeps a list of its own: asyncio's is of all loops, and a run has hundreds."""
        task = super().create_task(coro, **options)
        self._tasks.add(task)
        return task

    def cancel_all(self) -> None:
        """Cancels what the strategy left behind, and lets it end."""
        while tasks := [task for task in self._tasks if not task.done()]:
            for task in tasks:
                task.cancel()
            self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def select(self, timeout: float | None) -> list[Any]:
        """Nothing is ready: fetches what is on its way, else lets the time jump."""
        if timeout == 0:
            return []
        if self._fetched:
            fetched, self._fetched = self._fetched, []
            for arrival in fetched:
                arrival.fetched()
        elif self._elsewhere:
            self._woken.wait(_PATIENCE_S)
            self._woken.clear()  # what is said from now on is found by the next round
        elif timeout is None:
            raise StepError(
                "The strategy waits for something that never comes.",
                hint="In a comparison a strategy may wait for ask(), for asyncio's timers and for its own tasks.",
            )
        else:
            self._now_s += timeout
        return []

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Work in another thread takes no time on the virtual clock, which waits for it."""
        future = super().run_in_executor(executor, func, *args)
        self._elsewhere += 1
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, _future: asyncio.Future[Any]) -> None:
        self._elsewhere -= 1

    def _process_events(self, _events: list[Any]) -> None:
        """There are none: no sockets here."""

    def _write_to_self(self) -> None:
        self._woken.set()
