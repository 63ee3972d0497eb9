"""Keeps every Python process of the tests on this machine: only loopback can be reached.

An audit hook cannot be undone or got round from Python, so a test that would need the network, or would spend money,
fails by construction. The tests' own process installs it from ``tests/conftest.py``; their children find this file on
``PYTHONPATH``.
"""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

refused: list[str] = []
"""What was refused in this process, for the test that must fail because of it."""


class NetworkRefusedError(OSError):
    """A test tried to reach another machine."""


def is_here(host: object) -> bool:
    """Whether a host name or address is this machine; ``.invalid`` is the name that never resolves (RFC 6761)."""
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii", "replace")
    if host is None or host in {"", "localhost"} or not isinstance(host, str):
        return True
    if host.endswith((".localhost", ".invalid")):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _target(event: str, args: tuple[Any, ...]) -> object:
    if event == "socket.getaddrinfo":
        return args[0]
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"} and isinstance(args[1], tuple):
        return args[1][0]
    return None  # a Unix socket, or no socket at all


def refuse_network(event: str, args: tuple[Any, ...]) -> None:
    """The audit hook."""
    if not event.startswith("socket."):
        return
    host = _target(event, args)
    if not is_here(host):
        refused.append(f"{event} {host!r}")
        raise NetworkRefusedError(f"tests may reach only this machine, not {host!r}")


sys.addaudithook(refuse_network)
