"""What an analyst's own code may do to a run: fail its item, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import Ask, Request
from orchestration_nb.errors import NotAuthorisedError, RunCancelled
from orchestration_nb.flows import Flow
from orchestration_nb.testing import FakeProvider, fake_workspace

MakeFlow = Callable[..., tuple[Flow, FakeProvider]]
ROWS = pd.DataFrame({"number": [1, 2, 3]})


@pytest.fixture
def make_flow(tmp_path: Path) -> Any:
    def make(text: str, respond: Any = lambda request: request.prompt, **namespace: Any) -> Any:
        provider = FakeProvider(respond)
        workspace = fake_workspace(tmp_path, provider)
        return Flow.from_source(text, name="triage", namespace=namespace, workspace=workspace), provider

    return make


class OwnSignal(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), OwnSignal("no"), asyncio.CancelledError()])
@pytest.mark.parametrize("text", ["value = fail(number)", "value = await fail_later(number)"])
def test_what_a_step_raises_fails_its_item_alone(make_flow: MakeFlow, text: str, error: BaseException) -> None:
    def fail(number: int) -> int:
        if number == 2:
            raise error
        return number

    async def fail_later(number: int) -> int:
        return fail(number)

    flow, _ = make_flow(text, fail=fail, fail_later=fail_later)
    for _ in range(2):  # the engine serves the next run too
        run = flow.map(ROWS)
        assert run.status == "done"
        assert list(run.results["_status"]) == ["ok", "failed", "ok"]


def test_what_a_step_raises_is_told_by_its_own_name_and_line(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("same = number\nfound = next(each for each in [2] if each == number)")
    run = flow.map(ROWS)
    assert list(run.results["_status"]) == ["failed", "ok", "failed"]
    assert run.results["_error"].iloc[0] == "found: StopIteration: StopIteration (line 2)"


@pytest.mark.parametrize("text", ["reply = llm(f'{number}')", "reply = [llm(f'{number}'), llm('x')]"])
def test_a_strategy_that_ends_the_process_fails_its_items_alone(make_flow: MakeFlow, text: str) -> None:
    async def quits(request: Request, ask: Ask) -> Any:
        sys.exit(1)

    flow, _ = make_flow(text)
    assert list(flow.map(ROWS, strategy=quits).results["_status"]) == ["failed"] * 3
    assert flow.map(ROWS).status == "done"


def test_a_step_that_says_the_run_is_cancelled_cancels_it(make_flow: MakeFlow) -> None:
    def stop(number: int) -> None:
        raise RunCancelled

    flow, _ = make_flow("value = stop(number)", stop=stop)
    run = flow.map(ROWS, concurrency=1)
    assert run.status == "cancelled"
    assert list(run.results["_status"]) == ["cancelled"] * 3


def test_a_step_that_swallows_the_cancellation_does_not_keep_the_run_alive(make_flow: MakeFlow) -> None:
    async def stubborn(number: int) -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return number
        return number

    flow, provider = make_flow("kept = await stubborn(number)\nreply = llm(f'{kept}')", stubborn=stubborn)
    run = flow.start(pd.DataFrame({"number": range(500)}), concurrency=4)
    time.sleep(0.1)
    run.cancel()
    assert run.wait().status == "cancelled"
    assert provider.requests == []
    assert set(run.results["_status"]) == {"cancelled"}


def test_cancelling_again_and_at_the_very_end_changes_nothing(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(f'{number}')")
    for wait_ms in range(25):
        run = flow.start(ROWS, fresh=True)
        for _ in range(3):
            run.cancel()
            time.sleep(wait_ms / 5000)
        assert run.wait().status in {"done", "cancelled"}
        kept = flow.workspace.ledger.sql("SELECT status FROM runs WHERE run_id = ?", [run.id])
        assert list(kept["status"]) == [run.status]


def test_a_run_that_is_paused_at_once_stays_paused(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("reply = llm(f'{number}')")
    flow.workspace.engine.loop.call_soon_threadsafe(time.sleep, 0.1)  # so that both arrive together
    run = flow.start(ROWS)
    run.pause()
    ends_s = time.monotonic() + 60
    while run.status != "paused":
        assert time.monotonic() < ends_s
        time.sleep(0.01)
    time.sleep(0.1)
    assert (run.status, provider.requests) == ("paused", [])
    run.resume()
    assert run.wait().status == "done"


def test_a_step_reads_what_the_annotation_above_made_of_a_value(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("size: int = str(number)\ntwice = size * 2")
    assert list(flow.map(ROWS).results["twice"]) == [2, 4, 6]
    called: list[Any] = []
    flow, _ = make_flow("size: int = f'no {number}'\ntwice = called.append(size)", called=called)
    assert list(flow.map(ROWS).results["_status"]) == ["failed"] * 3
    assert called == []


def test_a_listener_that_raises_is_logged_once_and_doubles_nothing(
    make_flow: MakeFlow, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: object) -> None:
        raise ValueError("listener")

    flow, _ = make_flow("reply = llm(f'{number}')")
    flow.workspace.listeners.append(broken)
    with caplog.at_level(logging.WARNING):
        run = flow.map(ROWS)
    assert list(run.results["_status"]) == ["ok"] * 3
    assert len(run.calls) == 3
    assert len(caplog.records) == 1


def test_what_is_asked_after_the_request_has_ended_is_not_sent(
    make_flow: MakeFlow, caplog: pytest.LogCaptureFixture
) -> None:
    left_behind = set()

    async def hasty(request: Request, ask: Ask) -> Any:
        reply = await ask("fast")
        left_behind.add(asyncio.ensure_future(ask("strong")))
        return reply

    flow, provider = make_flow("reply = llm(f'{number}')")
    run = flow.map(ROWS, strategy=hasty)
    assert len(provider.requests) == len(run.calls) == 3
    left_behind.clear()
    assert caplog.records == []


def test_a_refused_key_costs_no_memory_for_each_item(make_flow: MakeFlow) -> None:
    def refuse(request: Request) -> Any:
        raise NotAuthorisedError("bad key")

    flow, _ = make_flow("reply = llm(f'{number}')", refuse)
    run = flow.map(pd.DataFrame({"number": range(300)}))
    frames, trace = 0, run.first_error.__traceback__ if run.first_error else None
    while trace is not None:
        frames, trace = frames + 1, trace.tb_next
    assert 0 < frames < 30


def test_a_step_that_is_evaluated_once_counts_in_the_steps_and_stops_the_run_without_money(
    make_flow: MakeFlow,
) -> None:
    flow, _ = make_flow("style = llm('a style')\nreply = llm(f'{style} {number}')")
    run = flow.map(ROWS)
    assert run.steps["cost_usd"].sum() == pytest.approx(run.cost_usd)
    assert run.steps["p50_ms"].notna().all()
    broke = flow.map(ROWS, budget=0, fresh=True)
    assert broke.status == "failed"
    assert broke.error is not None
    assert "budget" in str(broke.error)


def test_who_asks_the_same_as_a_paused_run_does_not_wait_for_it(make_flow: MakeFlow) -> None:
    async def slowly(request: Request) -> Any:
        await asyncio.sleep(0.01)
        return request.prompt

    flow, _ = make_flow("first = llm(f'{number}')\nsecond = llm(f'again {first}')", slowly)
    frame = pd.DataFrame({"number": range(60)})
    paused = flow.start(frame, concurrency=8)
    while paused.progress.calls < 4:
        time.sleep(0.001)
    paused.pause()
    assert flow.map(frame).status == "done"
    paused.cancel()
    assert paused.wait().status == "cancelled"


def test_steps_may_run_flows_of_their_own(make_flow: MakeFlow) -> None:
    inner, _ = make_flow("loud = f'{word}'.upper()")
    flow, _ = make_flow("loud = inner.map([{'word': f'a{number}'}]).value('loud')", inner=inner)
    frame = pd.DataFrame({"number": range(50)})
    assert list(flow.map(frame).results["loud"]) == [f"A{number}" for number in range(50)]


def test_a_reply_with_half_a_character_is_answered_and_recorded(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(f'{number}')", lambda request: "half \ud800")
    run = flow.map(ROWS)
    assert run.status == "done"
    assert len(run.calls) == 3
