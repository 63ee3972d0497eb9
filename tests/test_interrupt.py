"""Interrupt, for real: a kernel with 500 calls in flight is sent SIGINT."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.conftest import REPO

pytestmark = [pytest.mark.slow, pytest.mark.alone]

IN_FLIGHT = 500
QUICK = 40


class GatedServer:
    """Answers prompts that begin with ``quick`` at once, and the others when the gate is open."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.open = False
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()])
        self._thread.start()
        self._started.wait(10)

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._ended.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                body = orjson.loads(await reader.readexactly(int(length[1]) if length else 0))
                prompt = body["messages"][-1]["content"]
                self.prompts.append(prompt)
                while not (self.open or prompt.startswith("quick")):  # noqa: ASYNC110 - the test opens the gate
                    await asyncio.sleep(0.02)
                writer.write(_completion(prompt))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        self._loop.close()


def _completion(prompt: str) -> bytes:
    message = {"role": "assistant", "content": f"re: {prompt}"}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body = orjson.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage})
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


@pytest.fixture
def server() -> Iterator[GatedServer]:
    server = GatedServer()
    yield server
    server.close()


@pytest.fixture
def kernel(tmp_path: Path, server: GatedServer) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    (tmp_path / "orchestrate.toml").write_text(
        f'[providers.house]\nkind = "openai"\nbase_url = "http://127.0.0.1:{server.port}/v1"\n'
        '[models."house/m"]\ninput_usd_per_mtok = 1.0\noutput_usd_per_mtok = 2.0\n'
    )
    manager = KernelManager(kernel_name="python3")
    path = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))
    manager.start_kernel(cwd=str(tmp_path), env={**os.environ, "PYTHONPATH": path})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def execute(client: BlockingKernelClient, code: str, *, timeout_s: float = 60) -> tuple[str, str]:
    """Runs a cell to its end; its status, and all that it printed or showed as text."""
    said: list[str] = []

    def listen(message: dict[str, Any]) -> None:
        content = message["content"]
        said.append(str(content.get("text", "")) + str(content.get("data", {}).get("text/plain", "")))
        said.append("\n".join(content.get("traceback", [])))

    reply = client.execute_interactive(code, timeout=timeout_s, output_hook=listen)
    return reply["content"]["status"], "".join(said)


CELL = f"""%%orchestrate triage --over rows --model house/m --concurrency {IN_FLIGHT} --into results
reply = llm(f"{{prompt}}")
"""


def test_an_interrupted_cell_ends_within_a_second_and_only_the_rest_is_paid_again(
    kernel: tuple[KernelManager, BlockingKernelClient], server: GatedServer
) -> None:
    manager, client = kernel
    status, said = execute(
        client,
        f"""%load_ext orchestration_nb
import pandas as pd
names = [f"quick {{i}}" for i in range({QUICK})] + [f"slow {{i}}" for i in range({IN_FLIGHT})]
rows = pd.DataFrame({{"prompt": names}})""",
    )
    assert status == "ok", said
    client.execute(CELL)
    wait_until(lambda: len(server.prompts) == QUICK + IN_FLIGHT)

    interrupted = time.monotonic()
    manager.interrupt_kernel()
    said = shown_until_idle(client)
    assert time.monotonic() - interrupted < 1.0
    assert "ancelled" in said

    status, said = execute(client, "print(triage.last.status, (results._status == 'ok').sum(), 1 + 1)")
    assert status == "ok"
    assert f"cancelled {QUICK} 2" in said
    calls = "%orchestrate sql SELECT status, count(*) AS n FROM calls GROUP BY status ORDER BY status"
    status, said = execute(client, f"table = {calls}\nprint(dict(zip(table.status, table.n)))")
    assert f"{{'cancelled': {IN_FLIGHT}, 'ok': {QUICK}}}" in said
    status, said = execute(client, "print(list(triage.workspace.ledger.sql('SELECT status FROM runs')['status']))")
    assert "['cancelled']" in said

    server.open = True
    server.prompts.clear()
    status, said = execute(client, CELL)
    assert status == "ok", said
    assert len(server.prompts) == IN_FLIGHT
    assert all(prompt.startswith("slow") for prompt in server.prompts)
    status, said = execute(client, "print((results._status == 'ok').sum(), triage.last.progress.cache_hits)")
    assert f"{QUICK + IN_FLIGHT} {QUICK}" in said


def test_an_interrupted_await_ends_within_a_second(
    kernel: tuple[KernelManager, BlockingKernelClient], server: GatedServer
) -> None:
    manager, client = kernel
    execute(
        client,
        """import pandas as pd
from orchestration_nb import Flow
rows = pd.DataFrame({"prompt": [f"slow {i}" for i in range(50)]})
flow = Flow.from_source("reply = llm(prompt)", name="waiting")""",
    )
    client.execute("await flow.amap(rows, model='house/m', concurrency=50)")
    wait_until(lambda: len(server.prompts) == 50)
    interrupted = time.monotonic()
    manager.interrupt_kernel()
    shown_until_idle(client)
    assert time.monotonic() - interrupted < 1.0
    status, said = execute(client, "import time; time.sleep(.2); print(flow.last.status, flow.last.progress.in_flight)")
    assert status == "ok"
    assert "cancelled 0" in said


def wait_until(happened: Any, *, limit_s: float = 60.0) -> None:
    """Waits for something that another process does."""
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def shown_until_idle(client: BlockingKernelClient) -> str:
    """All that the running cell says until it has ended."""
    said = []
    while True:
        message = client.get_iopub_msg(timeout=30)
        content = message["content"]
        said.append(str(content.get("text", "")) + str(content.get("data", {}).get("text/plain", "")))
        said.append("\n".join(content.get("traceback", [])))
        if message["msg_type"] == "status" and content["execution_state"] == "idle":
            return "".join(said)
