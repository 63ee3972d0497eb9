"""A provider in a process of its own that allows so many requests in any second, by moving window, and 429s the rest.

    python -m tests.resilience.limited_server --allowed 50 --retry-after ceil --headers

It prints its port. ``GET /arrivals`` tells when each request arrived, in seconds, and whether it was let pass.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]


class LimitedServer:
    """The server's side."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.arrivals: list[tuple[float, bool]] = []
        self.window: deque[float] = deque()
        self.dice = random.Random(options.seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                arrived = time.monotonic()
                length = head.partition("content-length:")[2].split("\r\n")[0].strip()
                await reader.readexactly(int(length or 0))
                if head.startswith("get /arrivals"):
                    writer.write(answer(200, self.arrivals))
                else:
                    writer.write(await self.reply(arrived))
                await writer.drain()
        writer.close()

    async def reply(self, now: float) -> bytes:
        options = self.options
        while self.window and self.window[0] <= now - 1:
            self.window.popleft()
        passed = len(self.window) < options.allowed
        self.arrivals.append((now, passed))
        if not passed:
            wait_s = self.window[0] + 1 - now
            said = {"ceil": f"{math.ceil(wait_s)}", "exact": f"{wait_s:.3f}"}.get(options.retry_after)
            headers = {"retry-after": said} if said else {}
            await asyncio.sleep(options.latency[0] / 2)
            return answer(429, {"error": {"message": "too fast", "code": "rate_limit_exceeded"}}, headers)
        self.window.append(now)
        left = options.allowed - len(self.window)
        headers = {
            "x-ratelimit-limit-requests": f"{options.allowed}",
            "x-ratelimit-remaining-requests": f"{left}",
            "x-ratelimit-reset-requests": f"{(self.window[-1] + 1 - now) * 1000:.0f}ms",
        }
        await asyncio.sleep(self.dice.uniform(*options.latency))
        reply = {
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        }
        return answer(200, reply, headers if options.headers else {})


def answer(status: int, body: object, headers: dict[str, str] | None = None) -> bytes:
    content = json.dumps(body).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n{lines}\r\n"
    return head.encode() + content


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--allowed", type=int, default=50)
    parser.add_argument("--latency", type=float, nargs=2, default=(0.005, 0.2))
    parser.add_argument("--retry-after", choices=("none", "ceil", "exact"), default="none")
    parser.add_argument("--headers", action="store_true")
    parser.add_argument("--seed", type=int, default=7)
    server = await asyncio.start_server(LimitedServer(parser.parse_args()).serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Limited:
    """The test's side of a running server."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def arrivals(self) -> list[tuple[float, bool]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/arrivals") as reply:
            return [(at_s, passed) for at_s, passed in json.load(reply)]


@contextmanager
def limited_server(*options: str) -> Iterator[Limited]:
    """Starts one in a process of its own, and ends it."""
    command = [sys.executable, "-m", "tests.resilience.limited_server", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield Limited(int(process.stdout.readline()))
        finally:
            process.kill()


def most_in_a_second(times: list[float]) -> int:
    """The most that arrived in any window of one second, its end left out."""
    times = sorted(times)
    most = first = 0
    for last, at_s in enumerate(times):
        while times[first] <= at_s - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


if __name__ == "__main__":
    asyncio.run(main())
