"""Whatever happens to a run, its books are right: checked over runs in which anything may happen at any moment."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import Ask, RawReply, Request, Usage
from orchestration_nb.errors import (
    BadRequestError,
    CallTimeoutError,
    ConnectionLostError,
    OrchestrationError,
    OverloadedError,
)
from orchestration_nb.flows import Flow
from orchestration_nb.resilience import RetryPolicy
from orchestration_nb.runs import Run
from orchestration_nb.testing import FakeProvider, fake_workspace

SOURCE = """
queue: Literal["a", "b"] = llm(f"Which? {number % 7}", model="fast")
size = len(queue) + number
points = [llm(f"Point {each} of {number % 5}") for each in range(number % 4)]
guess = llm(f"Guess {number}", default="none", cache=number % 2 == 0)

@step
async def second(guess, size):
    if size % 9 == 0:
        raise ValueError(size)
    return await llm(f"Second {guess}")

last = [queue, len(points), second]
"""


left_behind: set[Any] = set()


async def hedge(request: Request, ask: Ask) -> Any:
    asks = [asyncio.ensure_future(ask("fast")), asyncio.ensure_future(ask("strong"))]
    done, _ = await asyncio.wait(asks, return_when=asyncio.FIRST_COMPLETED)
    return done.pop().result()


async def both(request: Request, ask: Ask) -> Any:
    first, _ = await asyncio.gather(ask("fast"), ask("strong"))
    return first


async def patient(request: Request, ask: Ask) -> Any:
    try:
        return await ask("fast")
    except OrchestrationError:
        return await ask("nowhere" if request.prompt.endswith("3") else "strong")


async def careless(request: Request, ask: Ask) -> Any:
    reply = await ask("fast", sample=len(request.prompt) % 2)
    left_behind.add(asyncio.ensure_future(ask("strong")))
    if request.prompt.endswith("2"):
        raise RuntimeError("careless")
    return reply


def world(dice: random.Random) -> FakeProvider:
    failures: list[Callable[[], Exception]] = [
        lambda: OverloadedError("busy"),
        lambda: ConnectionLostError("reset", billing="unknown"),
        lambda: CallTimeoutError("slow", phase="first token"),
        lambda: BadRequestError("no"),
        lambda: RuntimeError("a bug of the provider"),
    ]

    async def respond(request: Request) -> Any:
        for _ in range(dice.randrange(3)):
            await asyncio.sleep(dice.choice([0, 0, 0.001, 0.004]))
        if dice.random() < 0.15:
            failure = dice.choice(failures)
            raise failure()
        text = dice.choice(['{"value": "a"}', '{"value": "b"}', "neither"]) if request.output else request.prompt
        return RawReply(text=text, usage=Usage(input_tokens=dice.randrange(50), output_tokens=dice.randrange(30)))

    return FakeProvider(respond)


def disturb(run: Run, dice: random.Random) -> None:
    """Pauses, goes on, cancels once or twice, or leaves it alone; at random moments."""
    for _ in range(dice.randrange(3)):
        time.sleep(dice.random() * 0.03)
        run.pause()
        time.sleep(dice.random() * 0.01)
        if dice.random() < 0.8:
            run.resume()
    if dice.random() < 0.5 or run.status == "paused":
        time.sleep(dice.random() * 0.05)
        for _ in range(dice.randrange(1, 3)):
            run.cancel()
    run.resume()


def check_books(run: Run, flow: Flow) -> None:
    ledger, context = flow.workspace.ledger, run._flow_run.context
    calls, requests, items = (
        ledger.sql(f"SELECT * FROM {table} WHERE run_id = ?", [run.id]) for table in ("calls", "requests", "items")
    )
    (kept,) = ledger.sql("SELECT * FROM runs WHERE run_id = ?", [run.id]).itertuples()
    assert kept.status == run.status
    assert context.budget.held_usd == 0
    assert context.progress.in_flight == 0
    for table in (calls, requests, items):
        assert table["billed_usd"].sum() == pytest.approx(run.billed_usd, abs=1e-12)
        assert table["cost_usd"].sum() == pytest.approx(run.cost_usd, abs=1e-12)
    assert context.budget.spent_usd == pytest.approx(run.billed_usd, abs=1e-12) == kept.billed_usd
    assert run.billed_usd <= context.budget.limit_usd * (1 + 1e-9)
    assert calls["call_id"].is_unique
    assert requests["request_id"].is_unique
    assert items["item"].is_unique
    counts = calls.groupby("request_id").size()
    for request in requests.itertuples():
        assert counts.get(request.request_id, 0) == request.calls
    assert set(calls["request_id"]) <= set(requests["request_id"])
    assert run.steps["cost_usd"].sum() == pytest.approx(run.cost_usd, abs=1e-12)
    begun = run.results["_status"].isin(["ok", "degraded", "failed"]).sum()
    assert begun == run.progress.done == (items["status"] != "cancelled").sum()


@pytest.mark.parametrize("strategy", [None, "cascade", hedge, both, patient, careless])
def test_the_books_are_right_whatever_happens(tmp_path: Path, dice: random.Random, strategy: Any) -> None:
    provider = world(dice)
    workspace = fake_workspace(tmp_path, provider)
    workspace.services.retry = RetryPolicy(attempts=3, first_wait_s=0.002, most_wait_s=0.004)
    runs: list[tuple[Run, Flow]] = []
    for _ in range(4):
        flow = Flow.from_source(SOURCE, name="triage", workspace=workspace)
        frame = pd.DataFrame({"number": range(dice.randrange(1, 60))})
        options: Any = {
            "strategy": strategy,
            "concurrency": dice.choice([1, 3, 16]),
            "budget": dice.choice([0.005, 0.02, 50.0]),
            "on_error": dice.choice(["keep", "keep", "stop"]),
            "fresh": dice.random() < 0.3,
        }
        pair = [flow.start(frame, **options) for _ in range(2)]
        for run in pair:
            disturb(run, dice)
        runs.extend((run.wait(), flow) for run in pair)
    for run, flow in runs:
        check_books(run, flow)
    assert workspace.services.flights == {}
    attempts = workspace.ledger.sql("SELECT coalesce(sum(len(attempts)), 0) AS n FROM calls")["n"][0]
    assert attempts == len(provider.requests)
