"""Ends that come at an odd moment: the money is counted once, and nobody else waits for what was begun."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import OutputSchema, Request
from orchestration_nb.catalog import Price
from orchestration_nb.config import trust
from orchestration_nb.engine.request import answer
from orchestration_nb.errors import (
    ModelUnavailableError,
    OverloadedError,
    StateError,
    UsageError,
)
from orchestration_nb.flows import Flow
from orchestration_nb.resilience import BreakerPolicy, Breakers, RetryPolicy
from orchestration_nb.testing import FakeProvider, ManualClock, fake_workspace, settle
from tests.engine.conftest import World, a_request
from tests.engine.test_pause import until

MakeWorld = Callable[..., World]
PAID = (10 * 1.0 + 5 * 2.0) / 1e6
ILL = BreakerPolicy(min_calls=2, probe_after_s=10)


@dataclass
class Tally:
    cost_usd: float = 0.0
    billed_usd: float = 0.0


class SlowToRemember:
    """A semantic cache that finds nothing, and does not get to keeping what was answered."""

    embeds_by = ""

    async def find(self, *_: Any, **__: Any) -> None:
        return None

    async def add(self, *_: Any, **__: Any) -> None:
        await asyncio.Event().wait()


async def open_circuit(world: World, model: str = "fake/small") -> None:
    for _ in range(ILL.min_calls):
        permit = world.services.circuits.permit_now(model)
        assert permit is not None
        permit.failed(OverloadedError("busy"))
    assert not world.services.circuits.is_closed(model)


async def test_a_call_that_is_cancelled_after_its_answer_is_counted_once(make_world: MakeWorld) -> None:
    world, tally = make_world(FakeProvider(lambda request: "hi")), Tally()
    world.services.semantic = SlowToRemember()  # type: ignore[assignment]
    run = world.context()
    task = asyncio.ensure_future(answer(a_request(), run, tally))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (call,) = world.journal.of("call")
    assert (call.status, call.billed_usd) == ("ok", pytest.approx(PAID))
    assert tally.billed_usd == run.budget.spent_usd == pytest.approx(PAID)


async def test_a_call_that_has_its_answer_is_not_too_late(make_world: MakeWorld) -> None:
    world = make_world(FakeProvider(lambda request: "hi"))

    class Later(SlowToRemember):
        async def add(self, *_: Any, **__: Any) -> None:
            await asyncio.sleep(0.1)

    world.services.semantic = Later()  # type: ignore[assignment]
    assert (await answer(a_request(timeout_s=0.05), world.context(), Tally())).text == "hi"


async def test_a_reply_that_the_analysts_own_type_stumbles_over_is_paid(make_world: MakeWorld) -> None:
    def stumbles(text: str) -> Any:
        raise KeyError("a bug in a validator")

    schema = OutputSchema(name="own", json_schema={"type": "object"}, parse=stumbles)
    world, tally = make_world(FakeProvider(lambda request: "{}")), Tally()
    run = world.context()
    with pytest.raises(KeyError):
        await answer(a_request(output=schema), run, tally)
    assert run.budget.spent_usd == tally.billed_usd == pytest.approx(PAID)
    assert (run.budget.held_usd, run.progress.in_flight) == (0, 0)


async def test_a_listener_that_raises_costs_no_reply_and_no_turn(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text(
        "[breaker]\nmin_calls = 1\nprobe_after_s = 0.01\n[retry]\nattempts = 1\n"
    )
    trust(tmp_path)
    answers: list[Any] = [OverloadedError("busy", http_status=503)] * 4

    def respond(request: Request) -> str:
        if answers:
            raise answers.pop()
        return "hi"

    workspace = fake_workspace(tmp_path, FakeProvider(respond))
    heard: list[str] = []

    def raises(event: Any) -> None:
        if event.event == "circuit":
            raise RuntimeError("a bug of a listener")

    workspace.listeners += [raises, lambda event: heard.append(event.event)]
    flow = Flow.from_source('reply = llm(f"{n}", max_tokens=5)', name="triage", workspace=workspace)
    rows = flow.map(pd.DataFrame({"n": range(12)}), concurrency=1).results
    assert rows["reply"].tolist()[-1] == "hi"
    circuits = workspace.ledger.sql("select state from circuits")
    assert {"open", "half_open", "closed"} <= set(circuits["state"])
    assert heard.count("circuit") == len(circuits)
    assert [each.in_flight for each in workspace.services.limits.standing()] == [0]  # type: ignore[attr-defined]
    spent = workspace.ledger.sql("select sum(billed_usd) as usd from calls where status = 'ok'")["usd"].item()
    assert spent == pytest.approx(PAID * rows["reply"].notna().sum())


async def test_who_asks_the_same_does_not_wait_for_a_paused_run_that_tries_again(make_world: MakeWorld) -> None:
    failures = [OverloadedError("busy")]
    provider = FakeProvider(lambda request: _pop_or(failures, "hi"))
    clock = ManualClock()
    world = make_world(provider, clock=clock, retry=RetryPolicy(first_wait_s=1, most_wait_s=1))
    paused = world.context()
    first = asyncio.ensure_future(answer(a_request(), paused, Tally()))
    await settle()
    paused.unpaused.clear()
    await clock.advance(2)
    assert len(provider.requests) == 1
    assert paused.budget.held_usd == 0
    other = asyncio.ensure_future(answer(a_request(), world.context(), Tally()))
    await settle()
    assert other.done()
    paused.unpaused.set()
    assert (await first).cache == "exact"
    assert len(provider.requests) == 2
    calls = [call for call in world.journal.of("call") if call.run_id == paused.run_id]
    assert [[attempt.number for attempt in call.attempts] for call in calls] == [[1]]
    assert paused.progress.retries == 0


async def test_a_model_that_another_call_will_not_wait_for_is_waited_for(make_world: MakeWorld) -> None:
    clock, provider = ManualClock(), FakeProvider(lambda request: "hi")
    world = make_world(provider, clock=clock)
    world.services.circuits = Breakers(ILL, clock, world.journal.write)
    await open_circuit(world, "fake/small")
    await clock.advance(5)
    await open_circuit(world, "fake/large")

    async def either(request: Request, ask: Any) -> Any:
        return await ask("fast", wait=True, instead=("strong",))

    leader = asyncio.ensure_future(answer(a_request(), world.context(strategy=either), Tally()))
    await settle()
    joiner = asyncio.ensure_future(answer(a_request(model="fast"), world.context(), Tally()))
    await settle()
    circuits: Any = world.services.circuits
    circuits._circuit("fake/large")._close()  # the other model is back first
    await settle()
    with pytest.raises(ModelUnavailableError):
        await leader
    await clock.advance(6)
    assert (await joiner).text == "hi"


def _pop_or(failures: list[Any], reply: str) -> str:
    if failures:
        raise failures.pop()
    return reply


@pytest.mark.parametrize(
    "source",
    [
        'more = later(n)\ndear = llm(f"{more}", max_tokens=5, model="strong")\ncheap = llm(f"{n}", max_tokens=5)',
        'both = llm(f"{n}", max_tokens=5, strategy="two_at_once")',
    ],
)
def test_what_is_in_flight_when_a_run_is_left_ends_and_is_kept(tmp_path: Path, source: str) -> None:
    sent, gate = threading.Event(), asyncio.Event()

    def later(n: int) -> int:
        sent.wait(60)
        return n

    async def slowly(request: Request) -> str:
        sent.set()
        await gate.wait()
        return "hi"

    provider = FakeProvider(slowly)
    workspace = fake_workspace(tmp_path, provider)

    async def two_at_once(request: Request, ask: Any) -> Any:
        replies = await asyncio.gather(ask("fast"), ask("strong"))
        return replies[0]

    workspace.strategies.add(two_at_once)
    dear = Price(input_usd_per_mtok=1000.0, output_usd_per_mtok=1000.0)
    workspace.catalog.add([replace(workspace.catalog.resolve("strong"), price=dear)])
    flow = Flow.from_source(source, name="triage", namespace={"later": later}, workspace=workspace)
    run = flow.start(pd.DataFrame({"n": [1]}), budget=0.01, on_budget="pause")
    until(lambda: run.waits_for is not None and run.progress.in_flight == 1)
    run.leave()
    time.sleep(0.1)
    workspace.engine.loop.call_soon_threadsafe(gate.set)
    run.wait()
    assert run.status == "paused"
    calls = workspace.ledger.sql("select status, bill_unknown from calls where run_id = ? order by status", [run.id])
    assert calls["status"].tolist() == ["ok"], "what waited for money was not sent, and is no call"
    assert not calls["bill_unknown"].any()


async def test_the_state_that_cannot_be_written_stops_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = FakeProvider(lambda request: "hi")
    workspace = fake_workspace(tmp_path, provider)
    flow = Flow.from_source('reply = llm(f"{n}")', name="triage", workspace=workspace)

    async def refuses(*_: Any) -> Any:
        raise StateError("The state is locked.")

    monkeypatch.setattr(workspace.budgets, "_hold", refuses)
    run = await flow.amap(pd.DataFrame({"n": range(200)}), concurrency=4)
    assert run.status == "failed"
    assert str(run.error) == "The state is locked."
    assert run.progress.done < 20


async def test_a_batch_run_ends_although_the_state_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "hi"))
    (tmp_path / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0\n")

    class Gone:
        def note(self) -> str:
            return ""

        async def close(self) -> Sequence[Any]:
            raise StateError("The state is damaged.")

    monkeypatch.setattr(workspace, "batches", lambda _: Gone())
    flow = Flow.from_source("double = n * 2", name="triage", workspace=workspace)
    run = await asyncio.wait_for(flow.amap(pd.DataFrame({"n": [1]}), batch=True), 30)
    assert run.results["double"].tolist() == [2]


def test_more_money_is_an_amount_and_is_not_waited_for_on_the_engines_own_thread(tmp_path: Path) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "hi"))
    flow = Flow.from_source('reply = llm(f"{n}", max_tokens=5)', name="triage", workspace=workspace)
    run = flow.start(pd.DataFrame({"n": range(9)}), budget=0.00005, on_budget="pause")
    until(lambda: run.waits_for is not None)
    for amount in (float("nan"), -1.0, "3"):
        with pytest.raises(UsageError, match="budget of"):
            run.resume(budget=amount)  # type: ignore[arg-type]

    async def from_a_listener() -> None:
        run.resume(budget=1.0)

    with pytest.raises(UsageError, match="engine's own thread"):
        workspace.engine.submit(from_a_listener()).result(30)
    run.resume(budget=1.0)
    assert run.wait().status == "done"
