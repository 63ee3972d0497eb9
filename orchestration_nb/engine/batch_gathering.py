"""Questions that wait for their answer, and how those of one model are gathered until nothing more comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orchestration_nb.calls import Origin
from orchestration_nb.catalog import Model
from orchestration_nb.clock import Clock
from orchestration_nb.engine.batch_course import BatchPolicy
from orchestration_nb.providers.batches import BatchApi

_AROUND_A_BODY = 256
"""Bytes that are written around a body in a batch, at most."""


class Parkable(Protocol):
    """Money that was set aside for one call, as far as a batch is concerned with it."""

    def park(self, key: str) -> None:
        """Keeps it aside beyond the death of this process, until somebody adopts it by its key; may be repeated."""


@dataclass(slots=True, eq=False, kw_only=True)
class Question:
    """What one or several calls are waiting for."""

    key: str
    body: bytes
    """What is sent."""
    hold: Parkable
    origin: Origin
    """For whom it is asked."""
    gathered: bool = False
    """Whether it will be handed over with its batch."""
    _asking: list[asyncio.Future[bytes | None]] = field(default_factory=list)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not future.done() for future in self._asking)

    def answer(self) -> asyncio.Future[bytes | None]:
        """Will be the provider's line, or ``None``: the question stands nowhere any more and must be asked anew."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._asking.append(future)
        return future

    def take(self, line: bytes | None) -> None:
        """Hands the line to all who wait."""
        for future in self._asking:
            if not future.done():
                future.set_result(line)

    def fail(self, error: BaseException) -> None:
        """Tells all who wait that it went wrong."""
        for future in self._asking:
            if not future.done():
                future.set_exception(error)


@dataclass(slots=True, eq=False, kw_only=True)
class _Gathering:
    """What will be the next batch of a model."""

    api: BatchApi
    model: Model
    questions: list[Question] = field(default_factory=list)
    bytes: int = 0
    timer: asyncio.Task[None] | None = None


class Gatherer:
    """Gathers questions, each model's for itself.

    Args:
        clock: Waits.
        policy: How long, and how many.
        all_asked: Whether every item that could ask has asked: then nothing more is waited for.
        hand_over: Takes the batch that was gathered.
    """

    def __init__(
        self,
        clock: Clock,
        policy: BatchPolicy,
        *,
        all_asked: Callable[[], bool],
        hand_over: Callable[[BatchApi, Model, Sequence[Question]], None],
    ) -> None:
        self._clock = clock
        self._policy = policy
        self._all_asked = all_asked
        self._hand_over = hand_over
        self._gathering: dict[str, _Gathering] = {}
        self._most: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """How many questions were gathered and not handed over; may be read from any thread."""
        return sum(len(gathering.questions) for gathering in list(self._gathering.values()))

    def add(self, api: BatchApi, model: Model, question: Question) -> None:
        """Adds a question to the next batch of its model, and hands that over where it is full."""
        size = len(question.body) + _AROUND_A_BODY
        gathering = self._gathering.get(model.name)
        if gathering is not None and gathering.bytes + size > api.limits.bytes:
            self._end(gathering)
            gathering = None
        if gathering is None:
            gathering = self._gathering[model.name] = _Gathering(api=api, model=model)
            gathering.timer = asyncio.ensure_future(self._wait_for_more(gathering))
        gathering.questions.append(question)
        question.gathered = True
        gathering.bytes += size
        most = self._most.get(model.name, self._policy.most_requests)
        if len(gathering.questions) >= min(most, api.limits.requests):
            self._end(gathering)

    def allow(self, model: Model, most: int) -> None:
        """From now on a batch of this model has at most so many requests: the provider has no room for more."""
        self._most[model.name] = min(most, self._most.get(model.name, most))

    def close(self) -> None:
        """Gathers no more; what was gathered is not handed over."""
        for gathering in self._gathering.values():
            if gathering.timer is not None:
                gathering.timer.cancel()
        self._gathering.clear()

    async def _wait_for_more(self, gathering: _Gathering) -> None:
        quiet_s = 0.0
        while True:
            before = len(gathering.questions)
            await self._clock.sleep(self._policy.idle_s)
            if len(gathering.questions) > before:
                quiet_s = 0.0
                continue
            quiet_s += self._policy.idle_s
            if self._all_asked() or quiet_s >= self._policy.most_idle_s:
                break
        gathering.timer = None
        self._end(gathering)

    def _end(self, gathering: _Gathering) -> None:
        if self._gathering.get(gathering.model.name) is gathering:
            del self._gathering[gathering.model.name]
        if gathering.timer is not None:
            gathering.timer.cancel()
        self._hand_over(gathering.api, gathering.model, gathering.questions)
