"""Connections to one host, kept as a stack: the lane used last is used next.

httpx's own transport keeps its connections in a pool that looks through all of them and all waiting requests at each
request and at each reply, which is quadratic in the number in flight. Here a request takes a lane from the top of a
stack, or opens one; there are as many lanes as requests were ever in flight at once, and those at the bottom are closed
when they have been idle for a while.

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
from collections.abc import AsyncGenerator, Callable

import httpx

from orchestration_nb.providers.connection import Connection, written
from orchestration_nb.providers.sockets import Address, connect

IDLE_S = 4.0
"""Seconds after which an idle lane is closed."""
_RESTED_S = 0.5


class LanesTransport(httpx.AsyncBaseTransport):
    """A transport of httpx to one host, over a stack of lanes; used from one loop alone.

    Args:
        address: What the lanes lead to.
        idle_s: Seconds after which an idle lane is closed.
    """

    def __init__(self, address: Address, *, idle_s: float = IDLE_S) -> None:
        self._address = address
        self._idle_s = idle_s
        self._idle: deque[tuple[Connection, float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        plain_proxy = address.proxy is not None and address.tls is None
        self._before_target = b"http://" + address.label.encode("ascii") if plain_proxy else b""

    def __len__(self) -> int:
        return len(self._idle)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request, and hands the answer over as soon as its head is there.

        Raises:
            ConnectionLostError: If no connection could be opened; nothing was sent.
            httpx.TransportError: If no answer came.
        """
        method, body = request.method.encode("ascii"), await request.aread()
        lane = await self.exchange(method, request.url.raw_path, request.headers.raw, body)
        return httpx.Response(lane.status, headers=lane.headers, stream=LaneStream(lane, self.give_back))

    async def exchange(
        self,
        method: bytes,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        connecting: Callable[[bool], None] | None = None,
    ) -> Connection:
        """The same without the values of httpx, which cost as much as all that is done here.

        Args:
            method: The method.
            target: Path and query.
            headers: All of them, ``host`` and ``content-length`` too.
            body: The body.
            connecting: Called with ``True`` before a lane is opened, and with ``False`` once it is open.

        Returns:
            The lane with the head of the answer; its body is read there, and :meth:`give_back` takes it.

        Raises:
            ConnectionLostError: If no connection could be opened; nothing was sent.
            httpx.TransportError: If no answer came.
        """
        message = written(method, self._before_target + target, headers, body)
        lane = (await self._take_idle() if self._idle else None) or await self._open(connecting)
        try:
            await lane.exchange(message)
        except BaseException:
            lane.close()
            raise
        return lane

    async def aclose(self) -> None:
        """Closes the idle lanes; those in use are closed by whoever uses them."""
        self.close()

    def close(self) -> None:
        """As :meth:`aclose`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            self._idle.pop()[0].close()

    def give_back(self, lane: Connection) -> None:
        """Takes back a lane after use; one that cannot be used again is closed."""
        if not lane.reusable:
            lane.close()
            return
        loop = asyncio.get_running_loop()
        self._idle.append((lane, loop.time()))
        if self._timer is None:
            self._timer = loop.call_later(self._idle_s, self._close_rested)

    async def _open(self, connecting: Callable[[bool], None] | None) -> Connection:
        if connecting is not None:
            connecting(True)
        lane = await connect(self._address)
        if connecting is not None:
            connecting(False)
        return lane

    async def _take_idle(self) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            lane, idle_since = self._idle.pop()
            if now - idle_since > _RESTED_S:
                # The reader's callback runs one turn after the poll that finds the close.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            if lane.reusable and now - idle_since < self._idle_s:
                return lane
            lane.close()
        return None

    def _close_rested(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        oldest_allowed = loop.time() - self._idle_s
        while self._idle and self._idle[0][1] <= oldest_allowed:
            self._idle.popleft()[0].close()
        if self._idle:
            self._timer = loop.call_at(self._idle[0][1] + self._idle_s, self._close_rested)


class LaneStream(httpx.AsyncByteStream):
    """The body of an answer; its lane goes back to the stack when all was read, and is closed otherwise."""

    def __init__(self, lane: Connection, give_back: Callable[[Connection], None]) -> None:
        self._lane: Connection | None = lane
        self._give_back = give_back

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        lane = self._lane
        while lane is not None and (chunk := await lane.chunk()):
            yield chunk

    async def aclose(self) -> None:
        """Gives the lane back."""
        lane, self._lane = self._lane, None
        if lane is not None:
            self._give_back(lane)
