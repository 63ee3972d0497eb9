"""The simulated models behind real HTTP: a server on this machine that speaks OpenAI's chat completions and batches.

It runs on the event loop that starts it: a simulated call goes the whole way of a real one (connection, headers, JSON
or a stream of events, errors) without leaving the process.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator

from orchestration_nb.providers.sim import chat_format, embedding_format
from orchestration_nb.providers.sim.answers import SimReply, answer
from orchestration_nb.providers.sim.bank import shipped_bank
from orchestration_nb.providers.sim.batches import BatchSetting, SimBatches
from orchestration_nb.providers.sim.chat_format import BadBodyError, ChatRequest
from orchestration_nb.providers.sim.faults import NO_FAULTS, Fault, FaultDraw, Faults
from orchestration_nb.providers.sim.http1 import BadHttpError, HttpRequest, RequestReader

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_MALFORMED = b'{"id": "chatcmpl-sim", "object": "chat.completion", "choices": [{"index": 0, "mess'


class SimServer:
    """A server of simulated models on 127.0.0.1; made by :meth:`start`, ended by :meth:`close`."""

    def __init__(self, *, latency_scale: float, seed: int, faults: Faults, batches: SimBatches) -> None:
        self.latency_scale = latency_scale
        self.seed = seed
        self.requests = 0
        """How many requests have arrived."""
        self.connections: set[_Connection] = set()
        self.draw = FaultDraw(faults, seed)
        self.batches = batches
        self.working: set[asyncio.Future[bytes | None]] = set()
        """Answers about batches that are being made off the loop."""
        self._listening: asyncio.Server | None = None
        self._ended: asyncio.Event | None = None
        self._port = 0

    @classmethod
    async def start(
        cls,
        latency_scale: float = 1.0,
        seed: int = 0,
        faults: Faults | None = None,
        *,
        batches: BatchSetting | None = None,
    ) -> SimServer:
        """Starts a server on a free port, on the running loop.

        Args:
            latency_scale: 1 for the measured latencies, 0 for none.
            seed: Which of the answers that the models could give; also what the faults are drawn from.
            faults: What goes wrong and how often.
            batches: How long batches take, and where they are kept; they end at once unless told.
        """
        faults = faults or NO_FAULTS
        held = SimBatches(batches or BatchSetting(), seed=seed, faults=faults)
        server = cls(latency_scale=latency_scale, seed=seed, faults=faults, batches=held)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, shipped_bank)
        listening = await loop.create_server(lambda: _Connection(server, loop), "127.0.0.1", 0, backlog=1024)
        server._listening = listening
        server._port = listening.sockets[0].getsockname()[1]
        return server

    @property
    def base_url(self) -> str:
        """Where clients send their requests, such as `http://127.0.0.1:40123/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def close(self) -> None:
        """Ends every connection and stops listening."""
        if self._listening is None:
            return
        listening, self._listening = self._listening, None
        listening.close()
        if self.working:
            await asyncio.wait(self.working)
        for connection in list(self.connections):
            connection.abort()
        if self.connections:
            self._ended = asyncio.Event()
            await self._ended.wait()
        await listening.wait_closed()

    def forget(self, connection: _Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if self._ended is not None and not self.connections:
            self._ended.set()


class _Connection(asyncio.Protocol):
    """One connection: its requests are answered one after the other."""

    def __init__(self, server: SimServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._reader = RequestReader()
        self._waiting: deque[HttpRequest] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._request_id = ""
        self._keep_alive = True
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        self._server.forget(self)

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (request := self._reader.next()) is not None:
                self._waiting.append(request)
        except BadHttpError as problem:
            self._keep_alive = False
            self._refuse(problem.status, str(problem))
            return
        if self._reader.wants_continue and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._answer_next()

    def _answer_next(self) -> None:
        while self._waiting and not self._busy:
            request = self._waiting.popleft()
            self._busy, self._keep_alive = True, request.keep_alive
            self._server.requests += 1
            self._request_id = f"sim-{self._server.requests:08d}"
            self._route(request)

    def _route(self, request: HttpRequest) -> None:
        if request.path.startswith(("/v1/batches", "/v1/files")):
            self._batches(request)
            return
        wanted = {"/v1/chat/completions": "POST", "/v1/embeddings": "POST", "/v1/models": "GET"}.get(request.path)
        if wanted is None:
            self._unknown(request)
        elif request.method != wanted:
            self._refuse(405, f"Not allowed to {request.method[:20]} on {request.path}.", code="method_not_supported")
        elif wanted == "GET":
            self._send(200, chat_format.model_list())
        elif request.path == "/v1/embeddings":
            self._embed(request.body)
        else:
            self._chat(request.body)

    def _unknown(self, request: HttpRequest) -> None:
        self._refuse(404, f"Unknown request URL: {request.method} {request.path[:200]}.", code="unknown_url")

    def _batches(self, request: HttpRequest) -> None:
        """Answers about files and batches off the loop: the first look after a batch's end answers all its lines."""
        held = self._server.batches
        work = self._loop.run_in_executor(
            None, held.answer, request.method, request.path, request.query, request.content_type, request.body
        )

        self._server.working.add(work)

        def done(work: asyncio.Future[bytes | None]) -> None:
            self._server.working.discard(work)
            if work.cancelled():
                return
            problem = work.exception()
            if isinstance(problem, BadBodyError):
                self._refuse(problem.status, str(problem), param=problem.param, code=problem.code)
            elif problem is not None:
                self._refuse(500, f"The simulated batch failed: {problem}", kind="server_error")
            elif (body := work.result()) is None:
                self._unknown(request)
            else:
                self._send(200, body)

        work.add_done_callback(done)

    def _chat(self, body: bytes) -> None:
        try:
            asked = chat_format.read_request(body, self._server.seed)
        except BadBodyError as problem:
            self._refuse(problem.status, str(problem), param=problem.param, code=problem.code)
            return
        fault = self._server.draw.next(asked.prompt.model, body)
        if fault is None or fault in {"malformed", "truncated", "empty"}:
            try:
                reply = answer(asked.prompt)
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
                # A schema is whatever the client sent: one that is none must not end the connection.
                self._refuse(400, "Invalid schema in response_format.", param="response_format")
                return
            if asked.stream and fault != "empty":
                self._start_stream(asked, reply, fault)
            else:
                self._later(reply.latency_ms, lambda: self._finish(asked, reply, fault))
        else:
            self._fail(fault)

    def _embed(self, body: bytes) -> None:
        try:
            asked = embedding_format.read_request(body)
        except BadBodyError as problem:
            self._refuse(problem.status, str(problem), param=problem.param, code=problem.code)
            return
        fault = self._server.draw.next(asked.model, body)
        if fault is None or fault in {"malformed", "truncated", "empty"}:
            self._later(asked.latency_ms, lambda: self._give(embedding_format.answer(asked), fault))
        else:
            self._fail(fault)

    def _fail(self, fault: Fault) -> None:
        if fault == "reset":
            self._reset()
        elif fault == "rate_limited":
            self._refuse(429, "Rate limit reached.", kind="requests", code="rate_limit_exceeded", retry=True)
        elif fault == "overloaded":
            self._refuse(503, "The model is overloaded.", kind="server_error", code="overloaded", retry=True)
        elif fault == "failed":
            self._refuse(500, "The server had an error while processing your request.", kind="server_error")
        # What is left is "hang": the connection stays open and nothing more is said.

    def _reset(self) -> None:
        if self._transport is not None:
            connected: socket.socket = self._transport.get_extra_info("socket")
            # With a lingering time of 0 the peer sees a reset, not an orderly end.
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            self._transport.abort()

    def _later(self, delay_ms: float, then: Callable[[], None]) -> None:
        delay_s = delay_ms * self._server.latency_scale / 1000
        if delay_s <= 0:
            then()
        else:
            self._timer = self._loop.call_later(delay_s, then)

    def _finish(self, asked: ChatRequest, reply: SimReply, fault: Fault | None) -> None:
        self._give(chat_format.completion(asked, reply, self._request_id), fault)

    def _give(self, body: bytes, fault: Fault | None) -> None:
        if fault == "malformed":
            self._send(200, _MALFORMED)
        elif fault == "empty":
            self._send(200, b"")
        else:
            self._send(200, body, cut=len(body) // 2 if fault == "truncated" else 0)

    def _start_stream(self, asked: ChatRequest, reply: SimReply, fault: Fault | None) -> None:
        events = [*chat_format.stream_events(asked, reply, self._request_id)]
        if fault == "truncated":
            events = events[: len(events) // 2]
        elif fault == "malformed":
            events = [*events[: len(events) // 2], b'data: {"id": "chatcmpl-sim", "choi\n\n', *events[-1:]]
        gap_ms = (reply.latency_ms - reply.ttft_ms) / len(events)
        head = self._head(200, b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n")
        self._later(reply.ttft_ms, lambda: self._stream(head, iter(events), gap_ms, whole=fault != "truncated"))

    def _stream(self, start: bytes, events: Iterator[bytes], gap_ms: float, *, whole: bool) -> None:
        """Sends what is next of a stream, then waits; without latency, all of it at once."""
        if self._transport is None:
            return
        paced = gap_ms * self._server.latency_scale > 0
        parts = [start]
        for event in events:
            parts.append(b"%x\r\n%b\r\n" % (len(event), event))
            if paced:
                self._transport.write(b"".join(parts))
                self._later(gap_ms, lambda: self._stream(b"", events, gap_ms, whole=whole))
                return
        if whole:
            parts.append(b"0\r\n\r\n")
        self._transport.write(b"".join(parts))
        self._done(close=not whole)

    def _refuse(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry: bool = False,
    ) -> None:
        after = self._server.draw.faults.retry_after_s if retry else None
        extra = b"" if after is None else f"retry-after: {after:g}\r\n".encode()
        self._send(status, chat_format.error(message, kind=kind, param=param, code=code), extra=extra)

    def _send(self, status: int, body: bytes, *, extra: bytes = b"", cut: int = 0) -> None:
        """Sends a whole response, or, with `cut`, one that ends so many bytes too early."""
        if self._transport is None:
            return
        lines = b"content-type: application/json\r\n%bcontent-length: %d\r\n" % (extra, len(body))
        self._transport.write(self._head(status, lines) + body[: len(body) - cut])
        self._done(close=cut > 0)

    def _head(self, status: int, lines: bytes) -> bytes:
        ending = b"" if self._keep_alive else b"connection: close\r\n"
        start = f"HTTP/1.1 {status} {_REASONS[status]}\r\nx-request-id: {self._request_id}\r\n".encode()
        return start + lines + ending + b"\r\n"

    def _done(self, *, close: bool = False) -> None:
        """The response is sent: on with the next request, or the end of the connection."""
        self._busy, self._timer = False, None
        if self._transport is not None and (close or not self._keep_alive):
            self._transport.close()
        elif self._waiting:
            self._loop.call_soon(self._answer_next)
