"""For users' own tests: a clock that is moved by hand and a provider that answers from a function."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration_nb.calls import RawReply, Request, Timeouts, Usage
from orchestration_nb.catalog import Model, Price
from orchestration_nb.clock import Clock
from orchestration_nb.providers import Availability
from orchestration_nb.workspace import Workspace

EPOCH = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)


class ManualClock:
    """A clock that stands still until :meth:`advance`; used on one loop."""

    def __init__(self) -> None:
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self.slept_s: list[float] = []
        """Every wait that was asked for, in seconds."""

    def now(self) -> datetime:
        """Wall time as a naive UTC ``datetime``; begins on 1 January 2026."""
        return EPOCH + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        """Waits until the clock was advanced so far."""
        self.slept_s.append(seconds)
        if seconds <= 0:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Moves the time on, waking sleepers in order and letting each do its work."""
        target = self._elapsed_s + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            self._elapsed_s, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self._elapsed_s = target
        await settle()


async def settle(rounds: int = 20) -> None:
    """Lets everything that is ready on the loop run."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class FakeProvider:
    """A provider without a wire: answers from a function.

    Args:
        respond: Takes the request; returns the reply's text or a whole :class:`~orchestration_nb.calls.RawReply`, or
            raises a :class:`~orchestration_nb.errors.CallError`. May be async.
        name: The provider's name; its models are priced at $1 and $2 per million tokens.
    """

    def __init__(
        self, respond: Callable[[Request], str | RawReply | Awaitable[str | RawReply]], *, name: str = "fake"
    ) -> None:
        self.name = name
        self._respond = respond
        self.requests: list[Request] = []
        """Every attempt that arrived, in order."""

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:  # noqa: ARG002 - the form
        """Answers one attempt; ten tokens in, five out, unless the function says otherwise."""
        self.requests.append(request)
        reply = self._respond(request)
        if isinstance(reply, Awaitable):
            reply = await reply
        if isinstance(reply, RawReply):
            return reply
        return RawReply(text=reply, usage=Usage(input_tokens=10, output_tokens=5))

    def availability(self) -> Availability:
        """It always can be used."""
        return Availability(usable=True, why="", where="this process")

    def models(self) -> Sequence[Model]:
        """``NAME/small`` and ``NAME/large``."""
        price = Price(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0, source="made up for a test")
        return [Model(provider=self.name, wire_name=size, price=price, simulated=True) for size in ("small", "large")]

    async def close(self) -> None:
        """Nothing to close."""


def fake_workspace(folder: Path | str, provider: FakeProvider, *, clock: Clock | None = None) -> Workspace:
    """A workspace in which every alias is answered by a fake provider, and no key is seen.

    Args:
        folder: Where its ledger goes, such as pytest's ``tmp_path``.
        provider: Answers.
        clock: Tells the time; the machine's own unless given.
    """
    workspace = Workspace(folder, environ={}, clock=clock)
    workspace.providers[provider.name] = provider
    workspace.catalog.add(provider.models())
    sizes = {"fast": "small", "medium": "small", "strong": "large"}
    workspace.catalog.aliases.update({alias: f"{provider.name}/{size}" for alias, size in sizes.items()})
    workspace.catalog.open_providers |= {provider.name}
    return workspace
