"""How bytes travel: one TCP or TLS connection on the running loop, behind httpcore's public stream interface.

httpcore's own stream goes through anyio, which yields to the loop about ten times per request; this one yields only
when there is nothing to read. It also knows at once when the far end has closed an idle connection, and it tells name
lookup, refusal and TLS failures apart.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore

from orchestration_nb.errors import ConnectionLostError

_PAUSE_BYTES = 1 << 20
"""Unread bytes beyond which the far end is held back."""


class SocketStream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One connection. What is written is held until the next read, so that a request leaves in one piece."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._unsent: list[bytes] = []
        self._reader: asyncio.Future[None] | None = None
        self._paused = False
        self.ended = False
        """Whether the far end has closed: nothing more can be asked here."""
        self._error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport (also the one that TLS puts over the first)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keeps what came and wakes the reader."""
        self._received += data
        if len(self._received) > _PAUSE_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Notes that nothing more will come; the transport closes itself."""
        self.ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Notes the end, and the reason where there is one."""
        self.ended = True
        self._error = exc
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109 - its form
        """Sends what is held, then waits for bytes; ``b""`` at the end. Time limits are the caller's.

        Raises:
            httpcore.ReadError: If the connection was reset.
        """
        self._flush()
        while not self._received and not self.ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if self._received:
            data = bytes(self._received[:max_bytes])
            del self._received[:max_bytes]
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
            return data
        if self._error is not None:
            raise httpcore.ReadError(str(self._error)) from self._error
        return b""

    def _flush(self) -> None:
        if self._unsent and self._transport is not None and not self.ended:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - its form
        """Holds bytes for the next read."""
        self._unsent.append(buffer)

    async def aclose(self) -> None:
        """Closes the connection."""
        self.close()

    def close(self) -> None:
        """Closes the connection without waiting for the far end."""
        self.ended = True
        if self._transport is not None:
            self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the form of httpcore
    ) -> httpcore.AsyncNetworkStream:
        """Puts TLS over the connection (behind a proxy's tunnel)."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        over = await loop.start_tls(self._transport, self, ssl_context, server_hostname=server_hostname)
        if over is None:
            raise ConnectionResetError(errno.ECONNRESET, "closed during the TLS handshake")
        self._transport = over
        return self

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002 - the form of httpcore
        """Nothing further is told."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy that connections go through."""

    host: str
    port: int
    authorization: str | None = None
    """Value of ``Proxy-Authorization``."""

    def __repr__(self) -> str:
        return f"Proxy(host={self.host!r}, port={self.port!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to connect."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    proxy: Proxy | None = None

    @property
    def label(self) -> str:
        """Host, and the port where it is not the usual one."""
        usual = 443 if self.tls else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def origin(self) -> httpcore.Origin:
        """The address as httpcore writes it."""
        return httpcore.Origin(b"https" if self.tls else b"http", self.host.encode("ascii"), self.port)


async def connect(address: Address) -> SocketStream:
    """Opens a connection; nothing of a request has been sent when this fails.

    Raises:
        ConnectionLostError: If it cannot be opened; the sentence says why.
    """
    near = address.proxy or address
    tls = None if address.proxy else address.tls
    try:
        _, stream = await asyncio.get_running_loop().create_connection(
            SocketStream,
            near.host,
            near.port,
            ssl=tls,
            server_hostname=address.host if tls else None,
            happy_eyeballs_delay=0.25,
        )
        if address.proxy and address.tls:
            await _through_tunnel(stream, address, address.proxy)
    except OSError as error:
        raise _explain(error, address) from None
    return stream


async def _through_tunnel(stream: SocketStream, address: Address, proxy: Proxy) -> None:
    try:
        await _tunnel(stream, address, proxy)
        assert address.tls is not None
        await stream.start_tls(address.tls, address.host)
    except BaseException:
        stream.close()
        raise


async def _tunnel(stream: SocketStream, address: Address, proxy: Proxy) -> None:
    target = f"{address.host}:{address.port}".encode("ascii")
    headers: list[tuple[bytes, bytes]] = [(b"host", target)]
    if proxy.authorization:
        headers.append((b"proxy-authorization", proxy.authorization.encode("ascii")))
    origin = httpcore.Origin(b"http", proxy.host.encode("ascii"), proxy.port)
    url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target)
    try:
        connection = httpcore.AsyncHTTP11Connection(origin, stream)
        answer = await connection.handle_async_request(httpcore.Request(b"CONNECT", url, headers=headers))
    except (httpcore.NetworkError, httpcore.ProtocolError):
        raise ConnectionResetError(errno.ECONNRESET, "the proxy closed the connection") from None
    if not 200 <= answer.status < 300:
        raise ConnectionLostError(
            f"The proxy {proxy.host}:{proxy.port} refused a tunnel to {address.label} with status {answer.status}.",
            hint="See HTTPS_PROXY and NO_PROXY in the environment.",
        )


def _explain(error: OSError, address: Address) -> ConnectionLostError:
    """The sentence for a connection that could not be opened."""
    where = f"{address.label} through the proxy {address.proxy.host}" if address.proxy else address.label
    if isinstance(error, socket.gaierror):
        name = address.proxy.host if address.proxy else address.host
        return ConnectionLostError(f"No address is known for the host name {name}.", hint="Is the network up?")
    if isinstance(error, ssl.SSLCertVerificationError):
        untrusted = ConnectionLostError(
            f"The certificate of {where} cannot be trusted: {error.verify_message}.",
            hint="Behind a company proxy, set SSL_CERT_FILE to the company's certificates.",
        )
        untrusted.retryable = False
        return untrusted
    if isinstance(error, ssl.SSLError):
        return ConnectionLostError(f"No TLS connection to {where}: {error.reason or error.strerror}.")
    if isinstance(error, ConnectionRefusedError) or _all_refused(error):
        return ConnectionLostError(f"Nobody answers at {where}: the connection was refused.", hint="Is it running?")
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return ConnectionLostError(
            "Too many connections are open for this system.", hint="Lower the concurrency, or raise `ulimit -n`."
        )
    return ConnectionLostError(f"No connection to {where}: {error.strerror or error}.")


def _all_refused(error: OSError) -> bool:
    parts: Iterable[str] = str(error).removeprefix("Multiple exceptions: ").split("[Errno ")
    numbers = [part.partition("]")[0] for part in parts if part.strip()]
    return bool(numbers) and set(numbers) == {str(errno.ECONNREFUSED)}
