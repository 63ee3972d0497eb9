"""The course of one batch: handed over, waited for, its results fetched and kept.

Every turn of it is written down before and after, so that any process can take it up where another was killed.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from orchestration_nb.clock import Clock
from orchestration_nb.errors import CallError, NotAuthorisedError, ServerFailedError
from orchestration_nb.providers.batches import BatchApi, Sighting, Standing
from orchestration_nb.state.batches import BatchRow, BatchStore

MOST_WAIT_S = 900.0
"""The longest wait before a provider whose queue is full is asked again."""
FIRST_WAIT_S = 1.0
"""Wait before the second look at a batch; each further one is twice as long, up to ``poll_s``."""
_STORED_AT_ONCE = 500
_LOOKS_FOR_A_LOST_ONE = 3
_CREATED_BY_THEN = timedelta(minutes=30)
"""Nobody is still handing over a batch that was begun so long ago."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """How batches are gathered, handed over and waited for."""

    poll_s: float = 20.0
    """Seconds between two looks at a batch."""
    most_requests: int = 10_000
    """Most requests of one batch."""
    idle_s: float = 0.5
    """A batch is handed over when nothing more has come for so long and every item has asked what it can."""
    most_idle_s: float = 5.0
    """As ``idle_s``, where some items are busy with something else."""
    attempts: int = 5
    """How often a batch is handed over in all where the provider does not take it."""
    refusals: int = 100
    """How often in a row a single request may be refused because too much is waiting at the provider: about a day."""
    doubt_s: float = 30.0
    """How long to go on looking for a batch that the provider may have been about to take."""


class Owners(Protocol):
    """Which processes live."""

    @property
    def me(self) -> str:
        """The token of this process."""

    def alive(self, token: str) -> bool:
        """Whether that process lives."""


class Course:
    """One batch on its way.

    Args:
        token: The batch.
        api: The provider's batch API.
        store: Where it is written down.
        owners: Which processes live.
        clock: Tells the time and waits.
        policy: How patiently.
    """

    def __init__(
        self, token: str, api: BatchApi, *, store: BatchStore, owners: Owners, clock: Clock, policy: BatchPolicy
    ) -> None:
        self.token = token
        self.stands_nowhere = False
        """Whether the provider surely does not have it: its questions are free."""
        self.since: datetime | None = None
        """When it was begun (naive UTC), once the provider is known to have it."""
        self._api = api
        self._store = store
        self._owners = owners
        self._clock = clock
        self._policy = policy

    async def hand_over(self, bodies: Mapping[int, bytes]) -> None:
        """Hands the batch over, as often as it takes; where it may have been taken it is looked for first.

        Args:
            bodies: By the numbers under which its questions are in the store.

        Raises:
            CallError: If the provider does not take it; its questions stand nowhere then.
        """
        named = [(f"{self.token}-{number}", body) for number, body in bodies.items()]
        for attempt in itertools.count(1):
            try:
                batch_id = await self._api.submit(named, self.token)
            except CallError as error:
                if error.billing != "no" and await self._was_taken():
                    return
                if not error.retryable or attempt >= self._policy.attempts:
                    await self._drop()
                    raise
                await self._clock.sleep(error.retry_after_s or self._wait_s(attempt))
            except BaseException:
                self._store.unsure(self.token)  # cancelled: whoever asks next looks for it
                raise
            else:
                await self._store.taken(self.token, batch_id)
                return

    async def answers(self) -> Mapping[str, bytes] | None:
        """The answers to all its questions, by key, once it has ended; kept in the store before they are returned.

        Returns:
            ``None`` if it turns out that the provider never took it: its questions stand nowhere.

        Raises:
            CallError: If the provider refused it as a whole (its questions stand nowhere then), or can no longer be
                asked (they stand where they stood).
        """
        row = await self._taken()
        if row is None:
            self.stands_nowhere = True
            return None
        self.since = row.created_at
        if row.status == "ended":
            return await self._store.end(self.token, b"{}")
        assert row.provider_id is not None
        standing = await self._end(row.provider_id)
        if standing.state == "refused":
            await self._drop()
            raise standing.error or ServerFailedError("The provider refused the batch and gave no reason.")
        return await self._persistently(lambda: self._fetch(standing), patient=False)

    async def _taken(self) -> BatchRow | None:
        """The batch once the provider has it, or ``None`` where it never took it; another process may hand it over."""
        while True:
            row = await self._store.batch(self.token)
            if row is None or row.provider_id is not None:
                return row
            if row.status == "submitting" and row.owner != self._owners.me and self._owners.alive(row.owner):
                await self._clock.sleep(min(FIRST_WAIT_S, self._policy.poll_s))
            elif not await self._was_taken():
                await self._drop()
                return None

    async def _drop(self) -> None:
        await self._store.drop(self.token)
        self.stands_nowhere = True

    async def _was_taken(self) -> bool:
        """Whether the provider has the batch: looked for until nobody can be about to take it."""
        row = await self._store.batch(self.token)
        if row is None:
            return False
        others = {each.provider_id for each in await self._store.batches() if each.provider_id} - {row.provider_id}
        began_s = self._clock.monotonic()
        for look in itertools.count(1):
            sighting = await self._persistently(lambda: self._look_for(row, others), patient=True)
            if sighting.batch_id is not None:
                await self._store.taken(self.token, sighting.batch_id)
                return True
            waited_s = self._clock.monotonic() - began_s
            settled = waited_s >= self._policy.doubt_s or self._clock.now() - row.created_at > _CREATED_BY_THEN
            if settled and not sighting.unsure:
                return False
            await self._clock.sleep(self._wait_s(look))
        raise AssertionError  # the count has no end

    async def _look_for(self, row: BatchRow, others: set[str]) -> Sighting:
        return await self._api.find(self.token, count=row.size, since=row.created_at, others=others)

    async def _end(self, batch_id: str) -> Standing:
        """Waits for the end of the batch, however long and whatever the network does meanwhile."""
        for look in itertools.count(1):
            standing = await self._persistently(lambda: self._look_at(batch_id), patient=True)
            if standing.state != "under_way":
                return standing
            await self._clock.sleep(self._wait_s(look))
        raise AssertionError  # the count has no end

    async def _look_at(self, batch_id: str) -> Standing:
        try:
            return await self._api.standing(batch_id)
        except CallError as error:
            if error.http_status == 404:
                raise _GoneError(batch_id) from None
            raise

    async def _fetch(self, standing: Standing) -> Mapping[str, bytes]:
        lines: dict[int, bytes] = {}
        async with aclosing(self._api.results(standing)) as results:
            async for custom_id, line in results:
                token, _, number = custom_id.rpartition("-")
                if token != self.token or not number.isdecimal():
                    continue
                lines[int(number)] = line
                if len(lines) >= _STORED_AT_ONCE:
                    await self._store.keep(self.token, lines)
                    lines = {}
        await self._store.keep(self.token, lines)
        return await self._store.end(self.token, standing.otherwise)

    async def _persistently(self, ask: Callable[[], Awaitable[T]], *, patient: bool) -> T:
        """Asks the provider about the batch until it answers.

        Args:
            ask: What to ask.
            patient: Whether to go on for ever: the batch runs, whether or not the network does.

        Raises:
            CallError: If the key is refused, the provider knows no such batch, or patience ends.
        """
        for attempt in itertools.count(1):
            try:
                return await ask()
            except _GoneError as gone:
                if attempt >= _LOOKS_FOR_A_LOST_ONE:
                    await self._drop()
                    raise gone.told() from None
            except NotAuthorisedError:
                raise
            except CallError:
                if not patient and attempt >= self._policy.attempts:
                    raise
            await self._clock.sleep(self._wait_s(attempt))
        raise AssertionError  # the count has no end

    def _wait_s(self, number: int) -> float:
        return min(FIRST_WAIT_S * float(1 << min(number - 1, 16)), self._policy.poll_s)


class _GoneError(Exception):
    """The provider knows no such batch. Never leaves this module."""

    def told(self) -> CallError:
        error = ServerFailedError(
            f"The provider no longer knows the batch {self.args[0]}.",
            hint="Run the cell again to send its requests anew; they may have been billed.",
            billing="unknown",
        )
        error.retryable = False
        return error
