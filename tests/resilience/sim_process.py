"""The simulated models in a process of their own, told what to do by the lines of its standard input.

``python -m tests.resilience.sim_process LATENCY_SCALE`` prints its address. Then, a line each: ``down MODEL FAULT`` and
``up MODEL`` say ``ok``; ``log`` prints what has arrived, as JSON: ``[seconds since the epoch, model, fault or null]``.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestration_nb.providers.sim import Fault, SimServer
from orchestration_nb.providers.sim.faults import FaultDraw, Faults

REPO = Path(__file__).parents[2]
MODELS = """
[providers.house]
kind = "openai"
base_url = "{address}"

[models."house/small"]
input_usd_per_mtok = 0.1
output_usd_per_mtok = 0.4

[models."house/medium"]
input_usd_per_mtok = 0.2
output_usd_per_mtok = 0.8

"""


class Logged(FaultDraw):
    """Writes down what arrives."""

    def __init__(self) -> None:
        super().__init__(Faults(), 0)
        self.log: list[tuple[float, str, str | None]] = []

    def next(self, model: str, body: bytes) -> Fault | None:
        fault = super().next(model, body)
        self.log.append((time.time(), model, fault))
        return fault


async def serve(latency_scale: float) -> None:
    """Answers until its standard input ends."""
    server = await SimServer.start(latency_scale=latency_scale)
    server.draw = draw = Logged()
    print(server.base_url, flush=True)
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        word, *rest = line.split()
        if word == "down":
            draw.down[rest[0]] = rest[1]
        elif word == "up":
            draw.down.pop(rest[0], None)
        print(json.dumps(draw.log) if word == "log" else "ok", flush=True)
    await server.close()


class Server:
    """The other process, as a test sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.address = process.stdout.readline().strip()

    def tell(self, line: str) -> Any:
        """Tells it something, and returns what it says, as JSON where it is that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        return json.loads(said) if line == "log" else said


@contextmanager
def sim_process(latency_scale: float) -> Iterator[Server]:
    """Starts such a process, and ends it."""
    command = [sys.executable, "-m", "tests.resilience.sim_process", str(latency_scale)]
    with subprocess.Popen(
        command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
