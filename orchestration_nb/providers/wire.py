"""HTTP to one host: a JSON body out, and a JSON body or a stream of bytes back.

One :class:`Wire` per provider, for the life of the process, used from the engine's loop alone. It sends through a
transport of its own (:mod:`~orchestration_nb.providers.lanes`) and not through a client of httpx: it follows no
redirect, keeps no cookie and reads no credentials from the environment.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from orchestration_nb.calls import Timeouts
from orchestration_nb.errors import (
    BadRequestError,
    CallError,
    ConfigError,
    ConnectionLostError,
    MalformedReplyError,
    Phase,
    TruncatedReplyError,
)
from orchestration_nb.providers.connection import Connection
from orchestration_nb.providers.lanes import LanesTransport
from orchestration_nb.providers.patience import Patience
from orchestration_nb.providers.sockets import Address, Proxy
from orchestration_nb.providers.tls import tls_context

MOST_REPLY_BYTES = 64 << 20
"""A longer reply is broken off: no model writes that much."""
_MOST_PATHS = 256

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: status, headers, and the whole body."""

    status: int
    headers: Headers
    body: bytes

    def header(self, *names: str) -> str | None:
        """The first of these headers (written in lower case) that is there."""
        return find_header(self.headers, *names)


def find_header(headers: Headers, *names: str) -> str | None:
    """The first of these headers (written in lower case) that is there."""
    held = {name.lower(): value for name, value in headers}
    return next((held[name].decode("latin-1") for name in map(str.encode, names) if name in held), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseUrl:
    """A ``base_url``, taken apart."""

    tls: bool
    host: str
    port: int
    path: str
    query: str

    @classmethod
    def parse(cls, text: str) -> BaseUrl:
        """Takes ``http(s)://host[:port][/path][?query]`` apart.

        Raises:
            ConfigError: If it is something else, or holds a user name or password.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
            host = (parts.hostname or "").encode("idna").decode("ascii")
            plain = text.isascii() and text.isprintable() and " " not in text
        except (ValueError, UnicodeError):
            host, port, plain = "", None, False
        if not plain or not host or parts.scheme not in {"http", "https"}:
            shown = text.rpartition("@")[2]
            raise ConfigError(f"base_url {shown!r} is not of the form http(s)://host[:port][/path].")
        if parts.username or parts.password:
            raise ConfigError(f"base_url of {host} holds a password.", hint="Name a variable with key_env instead.")
        tls = parts.scheme == "https"
        return cls(
            tls=tls, host=host, port=port or (443 if tls else 80), path=parts.path.rstrip("/"), query=parts.query
        )

    def target(self, path: str) -> str:
        """Path and query of a request; ``path`` may bring a query of its own."""
        query = f"{'&' if '?' in path else '?'}{self.query}" if self.query else ""
        return f"{self.path}{path}{query}"


class Wire:
    """The connections to one ``base_url``.

    Args:
        base_url: The host, and a path and query that go with every request (Azure's ``api-version``).
        who: What to call the host in a sentence.
        headers: Headers of every request, none of them secret.
        proxy: A proxy to go through.
    """

    def __init__(self, base_url: BaseUrl, *, who: str, headers: Headers = (), proxy: Proxy | None = None) -> None:
        self.who = who
        self.base_url = base_url
        tls = tls_context() if base_url.tls else None
        self.address = Address(host=base_url.host, port=base_url.port, tls=tls, proxy=proxy)
        self._headers = [
            (b"host", httpx.URL(self._address("")).netloc),
            (b"accept-encoding", b"identity"),
            (b"user-agent", b"orchestration_nb"),
            *headers,
        ]
        if proxy and tls is None and proxy.authorization:
            self._headers.append((b"proxy-authorization", proxy.authorization.encode("ascii")))
        self._targets: dict[str, bytes] = {}
        self._transport = LanesTransport(self.address)

    async def post(self, path: str, body: bytes, headers: Headers, timeouts: Timeouts) -> Answer:
        """Sends a body, JSON unless the headers say otherwise, and reads the whole answer, whatever its status.

        Raises:
            CallError: Where no whole answer came.
        """
        async with Patience(self.who, timeouts) as patience:
            return await self._whole(b"POST", path, headers, body, patience)

    async def get(self, path: str, headers: Headers, timeouts: Timeouts) -> Answer:
        """Asks for something that costs nothing, such as a list of models.

        Raises:
            CallError: Where no whole answer came.
        """
        async with Patience(self.who, timeouts) as patience:
            return await self._whole(b"GET", path, headers, b"", patience)

    @asynccontextmanager
    async def stream(self, path: str, body: bytes, headers: Headers, patience: Patience) -> AsyncIterator[Stream]:
        """Sends a JSON body and hands over the answer as soon as its headers are there.

        Args:
            path: Path below ``base_url``.
            body: JSON.
            headers: Further headers.
            patience: The caller's clock of this call, running.

        Raises:
            CallError: Where no whole answer came.
        """
        lane = await self._begin(b"POST", path, headers, body, patience, "first token")
        try:
            yield Stream(self, lane)
        finally:
            # Unless all was read, the lane is in the middle of an exchange, and is closed.
            self._transport.give_back(lane)

    @asynccontextmanager
    async def download(self, path: str, headers: Headers, patience: Patience) -> AsyncIterator[Stream]:
        """Asks for a file, which may be of any length, and hands it over as it comes.

        Raises:
            CallError: Where no whole answer came.
        """
        lane = await self._begin(b"GET", path, headers, b"", patience, "total")
        try:
            yield Stream(self, lane, most_bytes=None)
        finally:
            self._transport.give_back(lane)

    def close(self) -> None:
        """Closes the idle connections."""
        self._transport.close()

    def _address(self, path: str) -> str:
        scheme = "https" if self.base_url.tls else "http"
        return f"{scheme}://{self.address.label}{self.base_url.target(path)}"

    def _target(self, path: str) -> bytes:
        target = self._targets.get(path)
        if target is None:
            target = httpx.URL(self._address(path)).raw_path
            if len(self._targets) < _MOST_PATHS:  # parsing an address costs more than the rest of a request
                self._targets[path] = target
        return target

    async def _whole(self, method: bytes, path: str, headers: Headers, body: bytes, patience: Patience) -> Answer:
        lane = await self._begin(method, path, headers, body, patience, "total")
        try:
            return Answer(status=lane.status, headers=lane.headers, body=await Stream(self, lane).read())
        finally:
            self._transport.give_back(lane)

    async def _begin(
        self, method: bytes, path: str, headers: Headers, body: bytes, patience: Patience, phase: Phase
    ) -> Connection:
        def connecting(begun: bool) -> None:
            patience.wait_for("connect" if begun else phase)

        whole = [*self._headers, *headers]
        if method == b"POST":
            whole.append((b"content-length", b"%d" % len(body)))
            if not any(name == b"content-type" for name, _ in headers):
                whole.append((b"content-type", b"application/json"))
        if patience.phase != phase:
            patience.wait_for(phase)
        try:
            return await self._transport.exchange(method, self._target(path), whole, body, connecting)
        except httpx.TransportError as error:
            raise self._unanswered(error) from None

    def _unanswered(self, error: httpx.TransportError) -> CallError:
        if isinstance(error, httpx.LocalProtocolError):
            return BadRequestError(f"The request to {self.who} holds a header that HTTP cannot carry.")
        if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
            return MalformedReplyError(f"{self.who} does not answer in HTTP: {error}.", billing="unknown")
        return ConnectionLostError(f"{self.who} closed the connection without an answer.", billing="unknown")


class Stream:
    """An answer whose body is still coming."""

    __slots__ = ("_lane", "_most_bytes", "_size_bytes", "_who", "headers", "status")

    def __init__(self, wire: Wire, lane: Connection, *, most_bytes: int | None = MOST_REPLY_BYTES) -> None:
        self._who = wire.who
        self._lane = lane
        self._most_bytes = most_bytes
        self._size_bytes = 0
        self.status = lane.status
        self.headers: Headers = lane.headers

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, piece by piece.

        Raises:
            TruncatedReplyError: If it breaks off.
            MalformedReplyError: If it has no end.
        """
        while chunk := await self._next():
            yield chunk

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            TruncatedReplyError: If it breaks off.
            MalformedReplyError: If it has no end.
        """
        pieces = []
        while piece := await self._next():
            pieces.append(piece)
        return b"".join(pieces)

    async def _next(self) -> bytes:
        """The next piece, empty at the end."""
        try:
            chunk = await self._lane.chunk()
        except httpx.TransportError:
            if self.status >= 300:
                return b""
            message = f"The reply of {self._who} broke off after {self._size_bytes} bytes."
            raise TruncatedReplyError(message, billing="yes", http_status=self.status) from None
        self._size_bytes += len(chunk)
        if self._most_bytes is not None and self._size_bytes > self._most_bytes:
            limit = f"{self._most_bytes >> 20} MiB"
            raise MalformedReplyError(f"The reply of {self._who} is longer than {limit}.", billing="yes")
        return chunk
