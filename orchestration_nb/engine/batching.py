"""The calls of a run through the providers' batch APIs: gathered, handed over, waited for, answered.

A question that stands in a batch already, be it another run's or that of a process that was killed, is not handed over
again: it waits for that batch. The course of one batch is told by :mod:`~orchestration_nb.engine.batch_course`.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from orchestration_nb.calls import RawReply, Request
from orchestration_nb.catalog import Model
from orchestration_nb.clock import Clock
from orchestration_nb.engine.batch_course import MOST_WAIT_S, BatchPolicy, Course, Owners
from orchestration_nb.engine.batch_gathering import Gatherer, Parkable, Question
from orchestration_nb.engine.batches_left import Waiting, what_it_waits_for
from orchestration_nb.errors import RateLimitedError, StateError
from orchestration_nb.providers.batches import BatchApi, BatchingProvider, no_batches
from orchestration_nb.state.batches import BatchRow, BatchStore

_MOMENT_S = 0.5
"""How long a cancelled run gives a batch that is just being handed over."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Journey:
    """A batch that this run waits for."""

    course: Course
    model: Model
    questions: dict[str, Question] = field(default_factory=dict)
    """Those of it that this run waits for, by key."""
    task: asyncio.Task[None] | None = None
    handed_over: asyncio.Event | None = None
    """Set when that is done; ``None`` where another did it."""
    needs_room: bool = False
    """It was refused because too much is waiting at the provider."""


class BatchSender:
    """Sends the calls of one run through batch APIs; used from the engine's loop alone.

    Args:
        providers: All providers by name.
        store: The batches of the workspace.
        owners: Which processes live.
        clock: Tells the time and waits.
        policy: How batches are gathered and waited for.
        active: How many items of the run are at work, waiting ones included: a batch is not handed over at once while
            fewer than these wait for an answer. ``None``: not known.
    """

    def __init__(
        self,
        providers: Mapping[str, object],
        store: BatchStore,
        owners: Owners,
        clock: Clock,
        policy: BatchPolicy,
        *,
        active: Callable[[], int] | None = None,
    ) -> None:
        self._providers = providers
        self._store = store
        self._owners = owners
        self._clock = clock
        self._policy = policy
        self._active = active
        self._gatherer = Gatherer(clock, policy, all_asked=self._all_asked, hand_over=self._hand_over)
        self._apis: dict[str, BatchApi] = {}
        self._questions: dict[str, Question] = {}
        self._journeys: dict[str, _Journey] = {}
        self._standing: dict[str, str] = {}
        self._items: Counter[int] = Counter()
        self._asked_before: Counter[str] = Counter()
        self._refusals: dict[str, int] = {}

    def price_factor(self, model: Model) -> float:
        """What a request to the model costs in a batch, as a share of the list price.

        Raises:
            BadRequestError: If its provider has no batch API.
        """
        provider = self._providers.get(model.provider)
        if not isinstance(provider, BatchingProvider) or provider.batch_price is None:
            raise no_batches(model.provider)
        return provider.batch_price

    async def known(self, key: str) -> bool:
        """Whether a question stands in a batch, or its answer is kept: its money was set aside when it was sent."""
        return await self._store.place(key) is not None

    def under_way(self, key: str) -> bool:
        """Whether a question was handed over and no call has its answer yet: its money stays parked, however that ends.

        Of one that was not, and whose call was cancelled, surely nothing was sent.
        """
        token = self._standing.get(key)
        journey = self._journeys.get(token or "")
        return token is not None and not (journey is not None and journey.course.stands_nowhere)

    def note(self) -> str:
        """What the run waits for, in words; may be called from any thread."""
        waiting = [
            Waiting(journey.model.provider, len(journey.questions), journey.course.since)
            for journey in list(self._journeys.values())
        ]
        return what_it_waits_for(waiting, self._gatherer.waiting, now=self._clock.now())

    def recorded(self, key: str) -> None:
        """The answer to a question is in the ledger; to be called in the same turn of the loop as its hold is ended."""
        self._store.recorded(key)

    def ordinal(self, question: str) -> int:
        """How many calls of this run have wanted an answer of their own to this question before, from 0.

        Calls that ask the same and must not share an answer get different keys by it, and in the process that goes on
        with the run the same ones.
        """
        self._asked_before[question] += 1
        return self._asked_before[question] - 1

    async def send(self, model: Model, request: Request, *, key: str, hold: Parkable) -> RawReply:
        """Asks one model once, in a batch.

        The answer stays in the store until :meth:`recorded` is called; a process that goes on after a kill before that
        gets it again.

        Args:
            model: The model.
            request: What to ask.
            key: Stands for this very question, and is the same in the process that goes on with this run. Each attempt
                of a call has its own.
            hold: What the call may cost; it is parked under the key before anything is sent.

        Raises:
            CallError: If no usable reply came. Where :meth:`under_way` holds for the key, one may come yet.
            StateError: If the store cannot be written.
        """
        api = await self._api(model)
        body = api.encode(model, request)
        item = request.origin.item
        self._items[item] += 1
        try:
            while True:
                place = await self._store.place(key)
                question = self._questions.get(key) or Question(key=key, body=body, hold=hold, origin=request.origin)
                if place is None:
                    line = await self._asked(api, model, question)
                else:
                    line = place.answer or await self._joined(api, model, question, place.token)
                self._standing.pop(key, None)
                if line is not None:
                    return api.read(model, request, line)
        finally:
            self._items[item] -= 1
            if not self._items[item]:
                del self._items[item]

    async def close(self) -> list[BatchRow]:
        """Ends what this run is waiting for; batches that were handed over go on at their providers.

        Returns:
            The batches that this run leaves under way.
        """
        self._gatherer.close()
        journeys = dict(self._journeys)
        await asyncio.gather(*map(_end, journeys.values()))
        if not journeys:
            return []
        return [row for row in await self._store.batches() if row.token in journeys and row.status != "ended"]

    async def _api(self, model: Model) -> BatchApi:
        api = self._apis.get(model.provider)
        if api is None:
            provider = self._providers.get(model.provider)
            if not isinstance(provider, BatchingProvider) or provider.batch_price is None:
                raise no_batches(model.provider)
            api = self._apis[model.provider] = await provider.batches()
        return api

    def _all_asked(self) -> bool:
        return self._active is None or len(self._items) >= self._active()

    async def _asked(self, api: BatchApi, model: Model, question: Question) -> bytes | None:
        """A question that stands nowhere."""
        self._questions[question.key] = question
        answer = question.answer()  # before it is gathered: what nobody wants is not handed over
        if not question.gathered:
            self._gatherer.add(api, model, question)
        return await answer

    async def _joined(self, api: BatchApi, model: Model, question: Question, token: str) -> bytes | None:
        """A question that stands in a batch."""
        journey = self._journeys.get(token)
        if journey is None:
            journey = self._begin(api, model, token)
            journey.task = self._task(journey, self._follow(journey))
        self._questions[question.key] = journey.questions[question.key] = question
        self._standing[question.key] = token
        return await question.answer()

    def _hand_over(self, api: BatchApi, model: Model, gathered: Sequence[Question]) -> None:
        wanted = [question for question in gathered if question.is_wanted]
        for question in gathered:
            if not question.is_wanted:
                self._questions.pop(question.key, None)
        if wanted:
            journey = self._begin(api, model, os.urandom(12).hex())
            journey.questions.update((question.key, question) for question in wanted)
            journey.task = self._task(journey, self._carry(journey, wanted))

    def _begin(self, api: BatchApi, model: Model, token: str) -> _Journey:
        course = Course(token, api, store=self._store, owners=self._owners, clock=self._clock, policy=self._policy)
        journey = self._journeys[token] = _Journey(course=course, model=model)
        return journey

    def _task(self, journey: _Journey, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda done: self._ended(journey, done))
        return task

    async def _carry(self, journey: _Journey, questions: Sequence[Question]) -> None:
        """A new batch, from its first line in the store to its answers."""
        journey.handed_over = asyncio.Event()
        try:
            row = self._row(journey, questions)
            await self._store.forget(now=self._clock.now())
            for question in questions:
                self._standing[question.key] = row.token
                question.hold.park(question.key)  # is on the disk no later than the batch's own lines
            try:
                elsewhere = set(await self._store.begin(row, [question.key for question in questions]))
            except StateError:
                journey.course.stands_nowhere = True
                raise
            for number in elsewhere:
                self._answered(journey, questions[number].key, None)
            bodies = {number: each.body for number, each in enumerate(questions) if number not in elsewhere}
            if not bodies:
                return
            await journey.course.hand_over(bodies)
        finally:
            journey.handed_over.set()
        await self._follow(journey)

    def _row(self, journey: _Journey, questions: Sequence[Question]) -> BatchRow:
        return BatchRow(
            token=journey.course.token,
            provider=journey.model.provider,
            model=journey.model.name,
            provider_id=None,
            status="submitting",
            owner=self._owners.me,
            size=len(questions),
            created_at=self._clock.now(),
            waiting=len(questions),
            run_id=questions[0].origin.run_id,
            flow=questions[0].origin.flow,
        )

    async def _follow(self, journey: _Journey) -> None:
        """A batch that was handed over, to its answers."""
        try:
            answers = await journey.course.answers()
        except RateLimitedError:
            if not journey.course.stands_nowhere or not await self._make_room(journey):
                raise
            answers = None
        else:
            self._refusals.pop(journey.model.name, None)
        for key in list(journey.questions):
            self._answered(journey, key, answers.get(key) if answers is not None else None)

    async def _make_room(self, journey: _Journey) -> bool:
        """After the provider refused a batch because too much waits there.

        Another of ours ends first, or smaller ones are tried, or it is waited for those that are not ours.

        Returns:
            Whether its questions may be handed over again.
        """
        journey.needs_room = True
        others = {
            other.task
            for other in self._journeys.values()
            if other.task is not None and other.model.name == journey.model.name and not other.needs_room
        }
        if others:
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            return True
        if len(journey.questions) > 1:
            self._gatherer.allow(journey.model, len(journey.questions) // 2)
            await self._clock.sleep(self._policy.poll_s)
            return True
        refusals = self._refusals[journey.model.name] = self._refusals.get(journey.model.name, 0) + 1
        if refusals >= self._policy.refusals:
            return False
        await self._clock.sleep(min(self._policy.poll_s * 2.0 ** min(refusals, 16), MOST_WAIT_S))
        return True

    def _answered(self, journey: _Journey, key: str, line: bytes | None) -> None:
        question = journey.questions.pop(key)
        self._questions.pop(key, None)
        question.take(line)

    def _ended(self, journey: _Journey, task: asyncio.Task[None]) -> None:
        """A journey is over: who still waits then is told why."""
        del self._journeys[journey.course.token]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        for key, question in journey.questions.items():
            self._questions.pop(key, None)
            if journey.course.stands_nowhere:
                self._standing.pop(key, None)
            if error is not None:
                question.fail(error)


async def _end(journey: _Journey) -> None:
    """Gives a batch that is being handed over a moment, then stops waiting for it."""
    if journey.handed_over is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(journey.handed_over.wait(), _MOMENT_S)
    if journey.task is not None:
        journey.task.cancel()
        await asyncio.wait({journey.task})
