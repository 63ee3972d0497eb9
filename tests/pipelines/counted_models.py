"""The simulated models in a process of their own that counts: every question that reached the wire, by its text.

``python -m tests.pipelines.counted_models LATENCY_S`` prints its address, and answers each question after about so many
seconds, the same one always alike. A line of standard input is answered with what arrived so far, as JSON: ``total``
with how many, ``each`` with question to how often.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

REPO = Path(__file__).parents[2]
SETTINGS = """
[providers.house]
kind = "openai"
base_url = "{address}/v1"

[models."house/small"]
input_usd_per_mtok = 0.1
output_usd_per_mtok = 0.4
"""


class Counted:
    """A server of one connection a client that speaks just enough HTTP."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.arrived: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:")
                body = json.loads(await reader.readexactly(size))
                question = body["messages"][-1]["content"]
                self.arrived[question] += 1
                dice = sha256(question.encode()).digest()
                await asyncio.sleep(self.latency_s * (0.5 + dice[0] / 256))
                reply = json.dumps(self.reply(question, body["model"])).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                writer.write(b"content-length: %d\r\n\r\n" % len(reply) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone, or was killed
        finally:
            writer.close()

    @staticmethod
    def reply(question: str, model: str) -> dict[str, Any]:
        said = "simulated answer " + sha256(question.encode()).hexdigest()[:8]
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return {"id": "chatcmpl-1", "model": model, "choices": [choice], "usage": usage}


async def main(latency_s: float) -> None:
    """Answers until its standard input ends."""
    counted = Counted(latency_s)
    server = await asyncio.start_server(counted.serve, "127.0.0.1", 0, backlog=256)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        print(json.dumps(counted.arrived.total() if line == "total\n" else counted.arrived), flush=True)


class Models:
    """The other process, as a test sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.settings = SETTINGS.format(address=process.stdout.readline().strip())

    def arrived(self) -> dict[str, int]:
        """Question to how often it reached the wire."""
        return cast("dict[str, int]", self._ask("each"))

    def total(self) -> int:
        """How many questions reached the wire."""
        return cast("int", self._ask("total"))

    def _ask(self, what: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def counted_models(latency_s: float) -> Iterator[Models]:
    """Starts such a process, and ends it."""
    command = [sys.executable, "-m", "tests.pipelines.counted_models", str(latency_s)]
    with subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Models(process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
