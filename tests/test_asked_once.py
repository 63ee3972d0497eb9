"""Several processes that ask the same pay it once: real processes, one workspace, a real server that counts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb.config import trust
from tests.conftest import REPO

REPLY = {
    "id": "chatcmpl-1",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "seven"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}
SETTINGS = """
[providers.house]
kind = "openai"
base_url = "{base_url}"
key_env = "HOUSE_KEY"

[models."house/m"]
input_usd_per_mtok = 1.0
output_usd_per_mtok = 1.0

[retry]
attempts = 1
"""
SCRIPT = """
import sys
import pandas as pd
from orchestration_nb import Flow
flow = Flow.from_source('answer = llm(f"Question {number}?", model="house/m")', name="asking")
print("ready", flush=True)
sys.stdin.readline()
run = flow.map(pd.DataFrame({"number": range(int(sys.argv[1]))}), budget=100.0, concurrency=64)
print((run.results["_status"] == "ok").sum(), run.progress.cache_hits, flush=True)
"""


class Counting:
    """A model's server that counts what it is asked; answers after ``delay_s``, or with ``status``."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.delay_s = 0.2
        self.statuses: list[int] = []
        """What to answer with first; then 200."""
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    outer.asked[body["messages"][-1]["content"]] += 1
                    status = outer.statuses.pop(0) if outer.statuses else 200
                time.sleep(outer.delay_s)
                self.answer(status, json.dumps(REPLY if status == 200 else {"error": {"message": "no"}}).encode())

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                """A client that was killed is no news."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    counting = Counting()
    (tmp_path / "orchestrate.toml").write_text(SETTINGS.format(base_url=counting.base_url))
    trust(tmp_path)
    monkeypatch.setenv("HOUSE_KEY", "sk-house")
    yield counting
    counting.close()


def begin(count: int) -> subprocess.Popen[str]:
    """A process that is about to ask ``count`` questions, and waits for a line."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", SCRIPT, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> tuple[int, int]:
    """How many items were answered, and how many of them by the cache."""
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    answered, hits = said.split()
    return int(answered), int(hits)


@pytest.mark.slow
def test_two_processes_pay_the_same_questions_once(server: Counting) -> None:
    processes = [begin(200), begin(200)]
    for process in processes:
        go(process)
    results = [ended(process) for process in processes]
    assert [answered for answered, _ in results] == [200, 200]
    assert sum(server.asked.values()) == 200
    assert set(server.asked.values()) == {1}
    assert sum(hits for _, hits in results) == 200


@pytest.mark.slow
def test_when_the_one_that_asks_is_killed_the_other_takes_over(server: Counting) -> None:
    server.delay_s = 3.0
    first, second = begin(5), begin(5)
    go(first)
    wait_until(lambda: len(server.asked) == 5)
    server.delay_s = 0.1
    go(second)
    time.sleep(0.5)  # the second now waits for the first
    assert sum(server.asked.values()) == 5
    first.send_signal(signal.SIGKILL)
    first.communicate()
    killed_s = time.monotonic()
    assert ended(second) == (5, 0)
    assert time.monotonic() - killed_s < 5
    assert sum(server.asked.values()) == 10


@pytest.mark.slow
def test_when_the_one_that_asks_fails_the_other_tries_for_itself(server: Counting) -> None:
    server.statuses, server.delay_s = [400], 1.0
    first, second = begin(1), begin(1)
    go(first)
    wait_until(lambda: bool(server.asked))
    go(second)
    assert [ended(first), ended(second)] == [(0, 0), (1, 0)]
    assert sum(server.asked.values()) == 2


def wait_until(happened: Any, limit_s: float = 20) -> None:
    end_s = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < end_s
        time.sleep(0.02)
