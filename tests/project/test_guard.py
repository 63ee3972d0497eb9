"""The tests cannot leave the machine, and cannot find a key."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest

from tests.conftest import REFUSED


@pytest.mark.parametrize("host", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "169.254.169.254"])
def test_another_machine_is_refused_by_address(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as connection, pytest.raises(OSError, match="only this machine"):
        connection.connect((host, 80))
    assert REFUSED
    REFUSED.clear()


def test_another_machine_is_refused_by_name_before_it_is_looked_up() -> None:
    with pytest.raises(httpx.ConnectError, match="only this machine"):
        httpx.get("https://api.openai.com/v1/models")
    assert REFUSED == ["socket.getaddrinfo 'api.openai.com'"]
    REFUSED.clear()


def test_datagrams_are_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, pytest.raises(OSError, match="only this machine"):
        sender.sendto(b"?", ("8.8.8.8", 53))
    REFUSED.clear()


def test_loopback_answers() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()) as connection:
        connection.sendall(b"hello")
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(5) == b"hello"


def test_children_are_kept_here_too() -> None:
    child = "import urllib.request; urllib.request.urlopen('http://93.184.216.34/', timeout=5)"
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "only this machine" in done.stderr


def test_no_key_is_in_the_environment() -> None:
    assert not [name for name in os.environ if name.endswith("_API_KEY")]


def test_swallowed_attempt_fails_the_test(pytester_run: Callable[..., str]) -> None:
    outcome = pytester_run(
        """
        import socket, contextlib
        def test_quietly_calls_out():
            with contextlib.suppress(OSError):
                socket.getaddrinfo("example.com", 80)
        """
    )
    assert "tried to leave this machine" in outcome
    assert "1 error" in outcome
