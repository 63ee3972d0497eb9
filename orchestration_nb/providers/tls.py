"""The one TLS context of the process, and the proxy that the environment names."""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Mapping
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestration_nb.errors import ConfigError
from orchestration_nb.providers.sockets import Proxy


@cache
def tls_context() -> ssl.SSLContext:
    """A context that always verifies, against the system's authorities and certifi's.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace both, as OpenSSL has it.

    Raises:
        ConfigError: If ``SSL_CERT_FILE`` names no file.
    """
    own = os.environ.get("SSL_CERT_FILE")
    if own and not Path(own).is_file():
        raise ConfigError(f"SSL_CERT_FILE names {own}, which is no file.", hint="Mend or unset the variable.")
    context = ssl.create_default_context()
    if not own and not os.environ.get("SSL_CERT_DIR"):
        import certifi  # noqa: PLC0415 - only where it is needed

        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def proxy_for(scheme: str, host: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that the environment asks for on the way to ``host``, or ``None``.

    ``HTTPS_PROXY`` or ``HTTP_PROXY``, else ``ALL_PROXY``, in either case of letters, unless ``NO_PROXY`` names the
    host. Loopback is never proxied.

    Raises:
        ConfigError: If the variable does not hold the address of an HTTP proxy.
    """
    if is_loopback(host):
        return None
    name, value = _setting(environ, f"{scheme}_proxy", "all_proxy")
    if not value or _spared(host, _setting(environ, "no_proxy")[1]):
        return None
    parts = urlsplit(value if "://" in value else f"http://{value}")
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise ConfigError(f"{name.upper()} does not hold the http:// address of a proxy.")
    authorization = None
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        authorization = f"Basic {base64.b64encode(pair).decode()}"
    return Proxy(host=parts.hostname, port=port, authorization=authorization)


def _setting(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    for name in names:
        value = environ.get(name) or environ.get(name.upper())
        if value:
            return name, value.strip()
    return names[0], ""


def _spared(host: str, no_proxy: str) -> bool:
    """Whether ``NO_PROXY`` names the host, a domain above it, or everything."""
    names = [name.strip().partition(":")[0].lstrip(".*").lower() for name in no_proxy.split(",") if name.strip()]
    return no_proxy.strip() == "*" or any(host == name or host.endswith(f".{name}") for name in names if name)


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine: ``localhost``, or a numeric address that never leaves it.

    A name that merely looks like one (``127.0.0.1.example.com``) is somebody else's.
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
