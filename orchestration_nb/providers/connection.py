"""One HTTP/1.1 connection on the running loop: a request out, an answer in, one exchange at a time.

Replies are parsed by httptools (llhttp, Node's parser). Errors are httpx's, as a transport of httpx has to raise them.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections import deque
from typing import Final

import httptools
import httpx

_PAUSE_BYTES: Final = 1 << 20
"""Unread bytes beyond which the far end is held back."""
_MOST_HEADER_BYTES: Final = 256 << 10
_FIRST_FINAL_STATUS: Final = 200


class Connection(asyncio.Protocol):
    """One connection; may carry any number of exchanges, one after another."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._paused = False
        self._failure: Exception | None = None
        self._busy = False
        self._complete = True
        self._has_head = False
        self._until_end = False
        self._stays = False
        self._header_bytes = 0
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        """Headers of the answer, names in lower case."""
        self.ended = False
        """Whether the far end has closed, or said what it had no right to: nothing more can be asked here."""

    @property
    def reusable(self) -> bool:
        """Whether the last exchange ended cleanly and the far end keeps the connection open."""
        return self._complete and self._stays and not self.ended

    async def exchange(self, request: bytes) -> None:
        """Sends a whole request and waits for the head of its answer.

        Raises:
            httpx.ReadError: If the connection was reset.
            httpx.RemoteProtocolError: If no answer came, or one that is not HTTP.
        """
        assert self._transport is not None
        self.headers, self._chunks, self._unread, self._header_bytes = [], deque(), 0, 0
        self._busy, self._complete, self._has_head, self._until_end, self._stays = True, False, False, False, False
        self._transport.write(request)
        while not self._has_head:
            self._raise_if_over("Server disconnected without sending a response.")
            await self._something_new()

    async def chunk(self) -> bytes:
        """The next piece of the body, ``b""`` at its end.

        Raises:
            httpx.ReadError: If the connection was reset.
            httpx.RemoteProtocolError: If the body broke off.
        """
        while not self._chunks:
            if self._complete:
                return b""
            self._raise_if_over("The body of the answer broke off.")
            await self._something_new()
        chunk = self._chunks.popleft()
        self._unread -= len(chunk)
        if self._paused and self._unread < _PAUSE_BYTES and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Puts TLS over the connection, once a proxy has made it a tunnel.

        Raises:
            OSError: If the handshake fails.
        """
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        over = await loop.start_tls(self._transport, self, context, server_hostname=host)
        if over is None:
            raise ConnectionResetError(errno.ECONNRESET, "closed during the TLS handshake")
        self._transport, self._parser = over, httptools.HttpResponseParser(self)
        self._busy, self._complete = False, True

    def close(self) -> None:
        """Closes the connection without waiting for the far end."""
        self.ended = True
        if self._transport is not None:
            self._transport.abort()

    def _raise_if_over(self, sentence: str) -> None:
        if self._failure is not None:
            raise self._failure
        if self.ended:
            raise httpx.RemoteProtocolError(sentence)

    async def _something_new(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _give_up(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        self.close()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport (also the one that TLS puts over the first)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parses what came."""
        if not self._busy or self._complete:
            self._stays, self.ended = False, True  # nobody asked for this
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._give_up(httpx.RemoteProtocolError(f"{error}"))
        if self._unread > _PAUSE_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Nothing more will come; a body without a stated length ends here."""
        if self._has_head and self._until_end:
            self._complete = True
        self.ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Notes the end, and the reason where there is one."""
        if exc is not None and self._failure is None:
            self._failure = httpx.ReadError(f"{exc}")
        elif exc is None and self._has_head and self._until_end and not self.ended:
            self._complete = True
        self.ended = True
        self._wake()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Notices an answer that nobody asked for."""
        if self._complete:
            self._stays, self.ended = False, True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps a header."""
        if self._complete:
            return
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > _MOST_HEADER_BYTES:
            self._give_up(httpx.RemoteProtocolError("The headers of the answer are longer than 256 KiB."))
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there, unless it is one of those before the real one (100 to 199)."""
        status = self._parser.get_status_code()
        if self._complete or self._failure is not None:
            return
        if status < _FIRST_FINAL_STATUS:
            self.headers = []
            return
        self.status = status
        self._stays = self._parser.should_keep_alive()
        names = {name for name, _ in self.headers}
        self._until_end = not names & {b"content-length", b"transfer-encoding"}
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        """Keeps a piece of the body."""
        if self._complete:
            return
        self._chunks.append(body)
        self._unread += len(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self._complete = self._complete or self._has_head


def written(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """A request as bytes.

    Raises:
        httpx.LocalProtocolError: If a header holds what would end its line.
    """
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"".join([b"%b: %b\r\n" % pair for pair in headers]))
    lines = len(headers) + 2
    if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
        raise httpx.LocalProtocolError("A header holds a line break.")
    return head + body
