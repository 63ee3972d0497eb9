"""How a connection is opened: TCP, TLS, a proxy's tunnel, and the sentence that says why it could not be."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from orchestration_nb.errors import ConnectionLostError
from orchestration_nb.providers.connection import Connection, written


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


async def connect(address: Address) -> Connection:
    """Opens a connection; nothing of a request has been sent when this fails.

    Raises:
        ConnectionLostError: If it cannot be opened; the sentence says why.
    """
    near = address.proxy or address
    tls = None if address.proxy else address.tls
    try:
        _, connection = await asyncio.get_running_loop().create_connection(
            Connection,
            near.host,
            near.port,
            ssl=tls,
            server_hostname=address.host if tls else None,
            # With one address there is nothing to race; a race that is cancelled as it is won leaves its socket open.
            happy_eyeballs_delay=None if _is_number(near.host) else 0.25,
        )
        if address.proxy and address.tls:
            await _through_tunnel(connection, address, address.proxy)
    except OSError as error:
        raise _explain(error, address) from None
    return connection


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _through_tunnel(connection: Connection, address: Address, proxy: Proxy) -> None:
    try:
        await _tunnel(connection, address, proxy)
        assert address.tls is not None
        await connection.start_tls(address.tls, address.host)
    except BaseException:
        connection.close()
        raise


async def _tunnel(connection: Connection, address: Address, proxy: Proxy) -> None:
    target = f"{address.host}:{address.port}".encode("ascii")
    headers = [(b"host", target)]
    if proxy.authorization:
        headers.append((b"proxy-authorization", proxy.authorization.encode("ascii")))
    try:
        await connection.exchange(written(b"CONNECT", target, headers, b""))
    except httpx.TransportError:
        raise ConnectionResetError(errno.ECONNRESET, "the proxy closed the connection") from None
    if not 200 <= connection.status < 300:
        raise ConnectionLostError(
            f"The proxy {proxy.host}:{proxy.port} refused a tunnel to {address.label} with status {connection.status}.",
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
