"""What this package needs for the same calls; one subject a process.

``python -m tests.bench.ours SUBJECT BASE_URL CALLS IN_FLIGHT`` prints one line of JSON. Everything that a user gets is
on (run budget, retry policy, circuit breaker, cache, journal), and what is set in ``orchestrate.toml`` besides: a
budget of the day, a quota, and limits of requests, tokens and calls at once, all agreed on over processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from orchestration_nb import Flow, Run, Workspace, __version__
from orchestration_nb.calls import Attempt, Usage
from orchestration_nb.clock import SystemClock
from orchestration_nb.config import trust
from orchestration_nb.cost.budget import Spender
from orchestration_nb.cost.cache import CachedReply
from orchestration_nb.engine.loop import wait
from orchestration_nb.events import CallFinished
from orchestration_nb.ids import CallId, RequestId, RunId, new_id
from orchestration_nb.ledger.journal import JournalFile
from tests.bench.server import ANSWER

ONE_STEP = 'answer = llm(f"Question {number}: how did revenue develop, and why?", max_tokens=64)'
FAN = 100
FAN_OUT = f"""answers = [
    llm(f"Question {{number}}, {{part}}: how did revenue develop, and why?", max_tokens=64) for part in range({FAN})
]"""
THREE_STEPS = """
first = llm(f"Question {number}: how did revenue develop, and why?", max_tokens=64)
second = llm(f"Question {number}: is this true: {first}", max_tokens=64)
third = llm(f"Question {number}: say it in other words: {second}", max_tokens=64)
"""
SETTINGS = """
[providers.bench]
kind = "openai"
base_url = "{base_url}"
key_env = "BENCH_KEY"

[models."bench/bench"]
input_usd_per_mtok = 0.15
output_usd_per_mtok = 0.6

[limits.bench]
requests_per_minute = 10_000_000
tokens_per_minute = 10_000_000_000
concurrent = 4096

[budgets.each-day]
usd = 100_000
period = "day"

[quotas.each-user]
requests = 100_000_000
per = "user"
period = "month"
"""


@contextlib.contextmanager
def fresh_workspace(base_url: str) -> Any:
    """A trusted workspace in a folder of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(XDG_CONFIG_HOME=name, BENCH_KEY="sk-bench")
        (folder / "orchestrate.toml").write_text(SETTINGS.format(base_url=base_url))
        trust(folder)
        yield Workspace(folder)


def run(workspace: Workspace, text: str, numbers: range, in_flight: int) -> Run:
    """One run over as many items as there are numbers; every item must end well."""
    flow = Flow.from_source(text, name="bench", workspace=workspace)
    done = flow.map(pd.DataFrame({"number": numbers}), model="bench/bench", budget=1000.0, concurrency=in_flight)
    assert done.status == "done", done.error
    assert (done.results["_status"] == "ok").all(), done.errors
    return done


def calls(base_url: str, count: int, in_flight: int) -> dict[str, float]:
    """CPU of the process and wall time of a run of ``count`` calls, after a warm-up that opens the connections."""
    with fresh_workspace(base_url) as workspace:
        run(workspace, ONE_STEP, range(-max(in_flight, 100), 0), in_flight)
        cpu, wall = time.process_time(), time.perf_counter()
        done = run(workspace, ONE_STEP, range(count), in_flight)
        spent = time.process_time() - cpu
        assert done.results["answer"].eq(ANSWER).all()
        return {"wall_s": time.perf_counter() - wall, "cpu_us": spent / count * 1e6}


def cache_hits(base_url: str, count: int, in_flight: int) -> dict[str, float]:
    """CPU of runs whose every call is in the cache: per call of a fan-out, and per item of one step.

    A hit is what one ``llm(...)`` costs: strategy, key, look-up, and its two lines of the journal. An item is dearer by
    what a run does around it: its row, its steps, its line of the journal.
    """
    with fresh_workspace(base_url) as workspace:
        figures = {}
        for name, text, items in (("hit_us", FAN_OUT, count // FAN), ("item_us", ONE_STEP, count)):
            run(workspace, text, range(items), in_flight)
            cpu = time.process_time()
            done = run(workspace, text, range(items), in_flight)
            figures[name] = (time.process_time() - cpu) / count * 1e6
            assert done.billed_usd == 0
            assert done.progress.cache_hits == count
        return figures


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory(base_url: str, count: int, in_flight: int) -> dict[str, float]:
    """Growth of the process's peak memory over a run of three steps, less the answers, per item."""
    with fresh_workspace(base_url) as workspace:
        run(workspace, THREE_STEPS, range(-300, 0), in_flight)
        before = peak_bytes()
        done = run(workspace, THREE_STEPS, range(count), in_flight)
        grown = peak_bytes() - before
        answers = int(done.results[["first", "second", "third"]].memory_usage(deep=True, index=False).sum())
        return {"bytes_per_item": (grown - answers) / count, "answer_bytes": answers / count}


def a_call() -> CallFinished:
    """A call as the engine journals it."""
    return CallFinished(
        call_id=CallId(new_id()),
        request_id=RequestId(new_id()),
        run_id=RunId(new_id()),
        model="bench/bench",
        provider="bench",
        sample=0,
        status="ok",
        error_type=None,
        error=None,
        input_tokens=300,
        cached_tokens=0,
        cache_write_tokens=0,
        output_tokens=100,
        reasoning_tokens=0,
        cost_usd=0.0001,
        billed_usd=0.0001,
        bill_unknown=False,
        simulated=False,
        input_usd_per_mtok=0.15,
        output_usd_per_mtok=0.6,
        cached_usd_per_mtok=None,
        cache_write_usd_per_mtok=None,
        latency_ms=512.25,
        ttft_ms=None,
        finish_reason="stop",
        provider_request_id="req_bench",
        model_version="bench",
        cache="none",
        cache_key="0" * 64,
        attempts=(Attempt(number=1, status="ok", error_type=None, error=None, wait_ms=0.0, latency_ms=512.25),),
        started_at=SystemClock().now(),
        prompt="How did revenue develop? " * 40,
        reply=ANSWER * 4,
    )


def seconds(act: Callable[[], object], count: int) -> float:
    """Wall time of ``count`` acts."""
    begun = time.perf_counter()
    for _ in range(count):
        act()
    return time.perf_counter() - begun


def journal(_base_url: str, count: int, _in_flight: int) -> dict[str, float]:
    """A line of the journal beside a bare ``write(2)`` of the same bytes."""
    with tempfile.TemporaryDirectory() as name:
        event, ours = a_call(), JournalFile(Path(name), durable=False)
        ours.write(event)
        line = next(Path(name).rglob("*.jsonl")).read_bytes()
        bare = os.open(Path(name) / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        figures = {
            "bare_us": seconds(lambda: os.write(bare, line), count) / count * 1e6,
            "line_us": seconds(lambda: ours.write(event), count) / count * 1e6,
        }
        ours.close()
        os.close(bare)
        return figures


def state(base_url: str, count: int, _in_flight: int) -> dict[str, float]:
    """CPU that a call spends in ``state.sqlite``, one call after the other, so that no two share a transaction."""
    with fresh_workspace(base_url) as workspace:
        return wait(workspace.engine.submit(_state(workspace, count)))


async def _state(workspace: Workspace, count: int) -> dict[str, float]:
    cache, run_id = workspace.services.cache, RunId(new_id())
    spender = Spender(run_id=run_id, root_run_id=run_id, flow="bench", user="bench")
    budget = workspace.budgets.open_run(spender, limit_usd=1000.0)
    reply = CachedReply(text=ANSWER * 4, usage=Usage(), finish_reason="stop", model_version=None, latency_ms=1.0)
    spent: list[float] = []
    for number in range(-100, count):
        cpu = time.thread_time()
        key = f"{number:032x}"
        assert await cache.claim(key) is None
        hold = await budget.reserve(0.001, tokens=100, step="answer", facts=b"{}")
        hold.settle(0.0005, 50)
        cache.put(key, reply)
        cache.release(key)
        await workspace.desk.flush()
        spent.append((time.thread_time() - cpu) * 1e6)
    return {"state_us": statistics.median(spent[100:])}


SUBJECTS = {"state": state, "calls": calls, "cache": cache_hits, "memory": memory, "journal": journal}


def main() -> None:
    """Measures one subject."""
    subject, base_url, count, in_flight = sys.argv[1:]
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures = SUBJECTS[subject](base_url, int(count), int(in_flight))
    print(json.dumps({**figures, "version": __version__}))


if __name__ == "__main__":
    main()
