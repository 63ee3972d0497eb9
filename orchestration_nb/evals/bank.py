"""The answers of a comparison, each question paid once however many strategies ask it.

A question is the canonical request, the model and the number of the sample.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from orchestration_nb.calls import Ask, Reply, Request, Usage
from orchestration_nb.catalog import FREE, Model
from orchestration_nb.clock import Clock
from orchestration_nb.cost.bounds import most_input_tokens, most_output_tokens
from orchestration_nb.cost.cache import cache_key
from orchestration_nb.errors import (
    AllModelsUnavailableError,
    CallError,
    ControlSignal,
    ModelUnavailableError,
)
from orchestration_nb.evals.virtual_time import Banked, Fetch

Resolve = Callable[[str], Model]
"""Name or alias to the model."""


@dataclass(slots=True)
class _Held:
    banked: asyncio.Future[Banked | None]
    """``None``: who wanted to pay could not, and the next in line tries for itself."""


class PayingBank:
    """Pays what nobody has asked yet, through the ``ask`` of whoever asks first.

    Args:
        resolve: Name or alias to the model.
        clock: Measures how long a call took that failed.
        loop: The engine's loop, on which all calls are made.
    """

    def __init__(self, resolve: Resolve, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._resolve = resolve
        self._clock = clock
        self._loop = loop
        self._held: dict[str, _Held] = {}
        self.cost_usd = 0.0
        """The list price of all questions."""
        self.billed_usd = 0.0
        self.asked: dict[str, int] = {}
        """Questions paid or taken from the cache, by model."""

    @property
    def questions(self) -> int:
        """How many distinct questions were answered."""
        return sum(self.asked.values())

    def teller(self, request: Request, ask: Ask) -> Fetch:
        """What finds or pays the answers to one request."""

        def fetch(
            model: str, *, sample: int, wait: bool, instead: Collection[str]
        ) -> concurrent.futures.Future[Banked]:
            found = self._resolve(model)
            key = _key(request, found, sample)
            held = self._held.get(key)
            if held is not None and held.banked.done() and not held.banked.cancelled():
                banked = held.banked.result()  # read in another thread: a future that is done does not change
                if banked is not None:
                    return _there(banked)
            most_usd = _most_usd(request, found)

            async def pay() -> Banked:
                return await self._pay(ask(model, sample=sample, wait=wait, instead=instead), most_usd)

            return asyncio.run_coroutine_threadsafe(self._answer(key, pay), self._loop)

        return fetch

    async def _answer(self, key: str, pay: Callable[[], Coroutine[Any, Any, Banked]]) -> Banked:
        while (held := self._held.get(key)) is not None:
            banked = await asyncio.shield(held.banked)
            if banked is not None:
                return banked
        held = self._held[key] = _Held(self._loop.create_future())
        banked = None
        try:
            banked = await pay()
            return banked
        finally:
            transient = banked is None or isinstance(banked.error, ModelUnavailableError | AllModelsUnavailableError)
            if transient:  # it says nothing of the question: another strategy may fare better
                del self._held[key]
            held.banked.set_result(None if transient else banked)

    async def _pay(self, asking: Awaitable[Reply], most_usd: float) -> Banked:
        began_s = self._clock.monotonic()
        try:
            reply = await asking
        except CallError as error:
            took_ms = (self._clock.monotonic() - began_s) * 1000
            return Banked(reply=None, error=error, latency_ms=took_ms, most_usd=most_usd)
        self.cost_usd += reply.cost_usd
        self.billed_usd += reply.billed_usd
        self.asked[reply.model] = self.asked.get(reply.model, 0) + 1
        return _of(reply, most_usd)


class MissingReply(ControlSignal):
    """A recorded reply is missing: what the strategy would have done cannot be known."""


class RecordedBank:
    """Answers from recorded replies alone.

    Args:
        resolve: Name or alias to the model.
        find: The recorded reply of a model to a request with the number of its sample, or ``None``.
    """

    def __init__(self, resolve: Resolve, find: Callable[[Model, Request], Reply | None]) -> None:
        self._resolve = resolve
        self._find = find
        self.missing: dict[str, int] = {}
        """Replies that were wanted and are not there, by model."""

    def teller(self, request: Request, ask: Ask) -> Fetch:  # noqa: ARG002 - nothing is asked
        """What finds the recorded answers to one request."""

        def fetch(
            model: str,
            *,
            sample: int,
            wait: bool,  # noqa: ARG001 - nothing is waited for
            instead: Collection[str],  # noqa: ARG001
        ) -> concurrent.futures.Future[Banked]:
            found = self._resolve(model)
            reply = self._find(found, request if sample == request.sample else replace(request, sample=sample))
            if reply is None:
                self.missing[found.name] = self.missing.get(found.name, 0) + 1
                raise MissingReply(f"No reply of {found.name} to this question is recorded.")
            return _there(_of(reply, _most_usd(request, found)))

        return fetch


def _of(reply: Reply, most_usd: float) -> Banked:
    latency_ms = reply.latency_ms if reply.paid_latency_ms is None else reply.paid_latency_ms
    return Banked(reply=reply, error=None, latency_ms=latency_ms, most_usd=max(most_usd, reply.cost_usd))


def _there(banked: Banked) -> concurrent.futures.Future[Banked]:
    future: concurrent.futures.Future[Banked] = concurrent.futures.Future()
    future.set_result(banked)
    return future


def _key(request: Request, model: Model, sample: int) -> str:
    return cache_key(request, model, sample=sample, max_tokens=most_output_tokens(request, model))


def _most_usd(request: Request, model: Model) -> float:
    most = Usage(input_tokens=most_input_tokens(request), output_tokens=most_output_tokens(request, model))
    return (model.price or FREE).cost_usd(most)
