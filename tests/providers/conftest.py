"""A raw HTTP server that answers, and misbehaves, byte by byte as a test says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import pytest

from orchestration_nb.calls import Origin, Request
from orchestration_nb.ids import RequestId, RunId
from orchestration_nb.messages import user


@dataclass(slots=True)
class Received:
    """One request as it came in."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Connection:
    """The server's end of one connection, for a test's own answers."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self) -> None:
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


Answer = bytes | Callable[[Connection], Awaitable[None]]


@dataclass(slots=True)
class Script:
    """What the server answers, in turn; the last answer is repeated."""

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def http(status: int = 200, body: Any = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer; what is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = {"content-type": "application/json", "content-length": str(len(content)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + content


def sse(*events: Any, end: bool = True) -> bytes:
    """A streamed answer in chunks: bytes stand as they are, anything else is a ``data:`` line of JSON."""
    out = [b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"]
    for event in events:
        data = event if isinstance(event, bytes) else b"data: " + orjson.dumps(event) + b"\n\n"
        out.append(b"%x\r\n%s\r\n" % (len(data), data))
    return b"".join(out) + (b"0\r\n\r\n" if end else b"")


async def _serve(script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = Connection(writer)
    script.connections.append(connection)
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        script.received.append(Received(first.split(" ")[1], headers, body))
        answer = script.next()
        if isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()
        else:
            await answer(connection)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serves on a free port of 127.0.0.1 and leaves nothing open behind it; gives the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24, ssl=tls)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    """A server that answers as told; set ``answers``, then read ``received``."""
    script = Script()
    async with serving(partial(_serve, script)) as script.port:
        yield script


def ask(prompt: str = "How much?", **more: Any) -> Request:
    """A request with sensible origins."""
    origin = Origin(run_id=RunId("run"), flow="flow", step="step", item=0)
    more.setdefault("messages", (user(prompt),))
    return Request(id=RequestId("request"), origin=origin, **more)


def chat_reply(text: str | None = "42", **more: Any) -> dict[str, Any]:
    """A reply in the form of OpenAI's chat completions."""
    message: dict[str, Any] = {"role": "assistant", "content": text, **more.pop("message", {})}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m-2026-01-01",
        "choices": [{"index": 0, "message": message, "finish_reason": more.pop("finish_reason", "stop")}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        **more,
    }


def events(values: Sequence[Any]) -> bytes:
    """A streamed answer of JSON events that ends as OpenAI's does."""
    return sse(*values, b"data: [DONE]\n\n")
