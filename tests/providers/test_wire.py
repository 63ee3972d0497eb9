"""Addresses, proxies and TLS."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestration_nb.calls import Timeouts
from orchestration_nb.errors import ConfigError, ConnectionLostError
from orchestration_nb.providers import wire as wire_module
from orchestration_nb.providers.sockets import Proxy
from orchestration_nb.providers.tls import proxy_for, tls_context
from orchestration_nb.providers.wire import BaseUrl, Wire
from tests.providers.conftest import Script, http, serving

TIMEOUTS = Timeouts(total_s=5)


def test_a_base_url_is_taken_apart() -> None:
    parsed = BaseUrl.parse("https://Models.Example.com/openai/deployments/x/?api-version=1")
    assert parsed == BaseUrl(
        tls=True, host="models.example.com", port=443, path="/openai/deployments/x", query="api-version=1"
    )
    assert parsed.target("/chat/completions") == "/openai/deployments/x/chat/completions?api-version=1"
    assert parsed.target("/y?alt=sse") == "/openai/deployments/x/y?alt=sse&api-version=1"
    assert BaseUrl.parse("http://[::1]:8000").host == "::1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "models.example.com/v1",
        "ftp://example.com",
        "http://",
        "http://a b/",
        "http://x:99999/",
        "http://x/\r\nh: 1",
        "https://user:word@example.com",
    ],
)
def test_what_is_no_base_url_is_refused_without_repeating_a_password(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BaseUrl.parse(text)
    assert "word@" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "environ", "expected"),
    [
        ("api.example.com", {}, None),
        ("api.example.com", {"HTTPS_PROXY": "http://proxy.corp:3128"}, ("proxy.corp", 3128)),
        ("api.example.com", {"https_proxy": "proxy.corp:3128"}, ("proxy.corp", 3128)),
        ("api.example.com", {"ALL_PROXY": "http://proxy.corp"}, ("proxy.corp", 80)),
        ("api.example.com", {"HTTP_PROXY": "http://proxy.corp"}, None),
        ("api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost, .example.com"}, None),
        ("api.example.com", {"HTTPS_PROXY": "http://p:1", "no_proxy": "example.com:443"}, None),
        ("api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ample.com"}, ("p", 1)),
        ("127.0.0.1", {"HTTPS_PROXY": "http://p:1"}, None),
        ("localhost", {"ALL_PROXY": "http://p:1"}, None),
    ],
)
def test_which_proxy_is_gone_through(host: str, environ: Mapping[str, str], expected: tuple[str, int] | None) -> None:
    proxy = proxy_for("https", host, environ)
    assert (proxy and (proxy.host, proxy.port)) == expected


def test_a_password_of_a_proxy_is_kept_out_of_sight() -> None:
    proxy = proxy_for("https", "example.com", {"HTTPS_PROXY": "http://me:pass%20word@p:1"})
    assert proxy is not None
    assert proxy.authorization == "Basic bWU6cGFzcyB3b3Jk"
    assert "bWU6" not in repr(proxy)
    with pytest.raises(ConfigError) as caught:
        proxy_for("https", "example.com", {"HTTPS_PROXY": "socks5://me:secret@p:1"})
    assert "secret" not in str(caught.value)


async def test_a_plain_host_behind_a_proxy_is_asked_with_its_whole_address(script: Script) -> None:
    script.answers = [http(200, {})]
    proxy = Proxy(host="127.0.0.1", port=script.port, authorization="Basic abc")
    wire = Wire(BaseUrl.parse("http://models.example.com/v1"), who="house", proxy=proxy)
    await wire.post("/x", b"{}", (), TIMEOUTS)
    assert script.received[0].target == "http://models.example.com/v1/x"
    assert script.received[0].headers["proxy-authorization"] == "Basic abc"
    wire.close()


async def test_a_proxy_that_refuses_says_so_and_cost_nothing(script: Script) -> None:
    script.answers = [http(407, b"")]
    proxy = Proxy(host="127.0.0.1", port=script.port, authorization="Basic abc")
    wire = Wire(BaseUrl.parse("https://models.example.com/v1"), who="house", proxy=proxy)
    with pytest.raises(
        ConnectionLostError, match=r"refused a tunnel to models\.example\.com with status 407"
    ) as caught:
        await wire.post("/x", b"{}", ((b"authorization", b"Bearer key"),), TIMEOUTS)
    assert caught.value.billing == "no"
    [asked] = script.received
    assert asked.target == "models.example.com:443"
    assert "authorization" not in asked.headers
    wire.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, with its key in the same file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, crt, both = folder / "key.pem", folder / "crt.pem", folder / "both.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(crt)],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_bytes(key.read_bytes() + crt.read_bytes())
    return both


@asynccontextmanager
async def serving_tls(certificate: Path) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(2)
            writer.write(http(200, {"ok": True}))

    async with serving(serve, tls=context) as port:
        yield port


def fresh_context(monkeypatch: pytest.MonkeyPatch, **environ: str) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(wire_module, "tls_context", tls_context.__wrapped__)


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh_context(monkeypatch)
    async with serving_tls(certificate) as port:
        wire = Wire(BaseUrl.parse(f"https://127.0.0.1:{port}"), who="house")
        with pytest.raises(ConnectionLostError, match="certificate") as caught:
            await wire.post("/x", b"{}", (), TIMEOUTS)
    assert caught.value.billing == "no"
    assert not caught.value.retryable
    assert "SSL_CERT_FILE" in caught.value.hint


async def test_ssl_cert_file_is_honoured(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh_context(monkeypatch, SSL_CERT_FILE=str(certificate))
    async with serving_tls(certificate) as port:
        wire = Wire(BaseUrl.parse(f"https://127.0.0.1:{port}"), who="house")
        for _ in range(2):
            assert (await wire.post("/x", b"{}", (), TIMEOUTS)).body == b'{"ok":true}'
        wire.close()


async def test_tls_goes_through_a_tunnel(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh_context(monkeypatch, SSL_CERT_FILE=str(certificate))
    asked: list[bytes] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))
        finally:
            far_writer.transport.abort()

    async with serving_tls(certificate) as port, serving(tunnel) as relay:
        wire = Wire(BaseUrl.parse(f"https://127.0.0.1:{port}"), who="house", proxy=Proxy(host="127.0.0.1", port=relay))
        for _ in range(2):
            assert (await wire.post("/x", b"{}", (), TIMEOUTS)).body == b'{"ok":true}'
        wire.close()
    assert asked == [b"CONNECT 127.0.0.1:%d HTTP/1.1" % port]


async def test_tls_to_a_host_that_does_not_speak_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh_context(monkeypatch)

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with serving(no_tls) as port:
        wire = Wire(BaseUrl.parse(f"https://127.0.0.1:{port}"), who="house")
        with pytest.raises(ConnectionLostError, match="TLS") as caught:
            await wire.post("/x", b"{}", (), TIMEOUTS)
    assert caught.value.billing == "no"


def test_an_ssl_cert_file_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        tls_context.__wrapped__()
