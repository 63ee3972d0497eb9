"""Connections to one host, kept as a stack: the lane used last is used next.

httpx's and httpcore's pools look through all connections and all waiting requests at each request and at each reply,
which is quadratic in the number in flight. Here a request takes a lane from the top of a stack, or opens one; there
are as many lanes as requests were ever in flight at once, and those at the bottom are closed when they have been idle
for a while.

A server closes idle connections when it likes, and a request that crosses such a close on the wire gets no answer.
Whether the server had read it cannot be known from outside, and a model's reply costs money, so nothing is ever sent
twice here. Instead the crossing is made rare: a lane is closed by us after 4 seconds of idleness, before the 5 seconds
at which common servers (Node, uvicorn) close theirs, and one that rested for half a second lets the loop run first,
so that a close that has already arrived is seen before anything is sent; then another lane is taken. What still
crosses ends in :class:`~orchestration_nb.errors.ConnectionLostError` with ``billing="unknown"``, which is retried.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import httpcore

from orchestration_nb.providers.sockets import SocketStream

IDLE_S = 4.0
"""Seconds after which an idle lane is closed."""
_RESTED_S = 0.5


class Lane:
    """One connection that carries one request at a time."""

    __slots__ = ("connection", "idle_since", "stream")

    def __init__(self, origin: httpcore.Origin, stream: SocketStream) -> None:
        self.stream = stream
        self.connection = httpcore.AsyncHTTP11Connection(origin, stream)
        self.idle_since = 0.0

    @property
    def reusable(self) -> bool:
        """Whether the last exchange ended cleanly and the far end has not closed."""
        return not self.stream.ended and self.connection.is_idle()


class Lanes:
    """The stack of lanes to one host; used from one loop alone.

    Args:
        origin: What the lanes lead to.
        connect: Opens a connection.
        idle_s: Seconds after which an idle lane is closed.
    """

    def __init__(
        self, origin: httpcore.Origin, connect: Callable[[], Awaitable[SocketStream]], *, idle_s: float = IDLE_S
    ) -> None:
        self._origin = origin
        self._connect = connect
        self._idle_s = idle_s
        self._idle: deque[Lane] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._idle)

    async def take_idle(self) -> Lane | None:
        """An idle lane that is still open, or ``None``."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            lane = self._idle.pop()
            if now - lane.idle_since > _RESTED_S:
                # The reader's callback runs one turn after the poll that finds the close.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            if lane.reusable and now - lane.idle_since < self._idle_s:
                return lane
            lane.stream.close()
        return None

    async def open(self) -> Lane:
        """A new lane.

        Raises:
            ConnectionLostError: If it cannot be opened.
        """
        return Lane(self._origin, await self._connect())

    def give_back(self, lane: Lane) -> None:
        """Takes back a lane after use; one that cannot be used again is closed."""
        if not lane.reusable:
            lane.stream.close()
            return
        loop = asyncio.get_running_loop()
        lane.idle_since = loop.time()
        self._idle.append(lane)
        if self._timer is None:
            self._timer = loop.call_later(self._idle_s, self._close_rested)

    def _close_rested(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        oldest_allowed = loop.time() - self._idle_s
        while self._idle and self._idle[0].idle_since <= oldest_allowed:
            self._idle.popleft().stream.close()
        if self._idle:
            self._timer = loop.call_at(self._idle[0].idle_since + self._idle_s, self._close_rested)

    def close(self) -> None:
        """Closes the idle lanes; those in use are closed by whoever uses them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            self._idle.pop().stream.close()
