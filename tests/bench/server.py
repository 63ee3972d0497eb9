"""A loopback server that answers chat completions as fast as one process can; the clients are what is measured.

``python tests/bench/server.py`` prints its port. A path that starts with ``/wait/500`` is answered after 500 ms.
Only the standard library is used, so that any Python can run it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re

ANSWER = "Revenue rose by 4.2 percent in the third quarter, driven by the retail segment; churn stayed where it was."
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
WAIT = re.compile(rb"^POST /wait/(\d+)/")


def _completion() -> bytes:
    message = {"role": "assistant", "content": ANSWER, "refusal": None}
    body = json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": "bench",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": 32,
                "completion_tokens": 24,
                "total_tokens": 56,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
        }
    ).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


REPLY = _completion()


class Answering(asyncio.Protocol):
    """One connection: requests come one after the other, each is answered whole."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.unread += data
        while (head_ends := self.unread.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self.unread, 0, head_ends)
            request_ends = head_ends + 4 + (int(found[1]) if found else 0)
            if len(self.unread) < request_ends:
                return
            wait = WAIT.match(self.unread)
            self.unread = self.unread[request_ends:]
            if wait:
                asyncio.get_running_loop().call_later(int(wait[1]) / 1000, self.answer)
            else:
                self.answer()

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(REPLY)


async def serve() -> None:
    """Serves until it is ended."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(AttributeError, OSError):  # a core of its own, where the system has such a thing
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
