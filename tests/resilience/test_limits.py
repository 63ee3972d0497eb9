"""Turns: first come, first served, and nothing left behind by those who give up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestration_nb.catalog import Model
from orchestration_nb.errors import RateLimitedError
from orchestration_nb.resilience import Limits, Turn
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.store import StateFile
from orchestration_nb.testing import ManualClock, settle

MODEL = Model(provider="openai", wire_name="gpt-4.1")


def limits(clock: ManualClock) -> Limits:
    return Limits(Desk(StateFile(Path(), busy_s=0), clock), Owners(Path(), clock), clock, {}, {})


def refusal(retry_after_s: float | None = None) -> RateLimitedError:
    return RateLimitedError("429", retry_after_s=retry_after_s, http_status=429)


async def test_a_model_that_refuses_nothing_is_never_waited_for() -> None:
    clock = ManualClock()
    gate = limits(clock)
    turns = [await gate.turn(MODEL, tokens=100) for _ in range(1000)]
    for turn in turns:
        turn.ended()
    assert clock.slept_s == []
    assert gate.standing()[0].in_flight == 0


async def test_retry_after_holds_every_call_of_the_model_back_and_no_other_model() -> None:
    clock = ManualClock()
    gate = limits(clock)
    (await gate.turn(MODEL, tokens=1)).ended(refusal(3.0))
    waiting = [asyncio.create_task(gate.turn(MODEL, tokens=1)) for _ in range(5)]
    await clock.advance(2.9)
    assert not any(task.done() for task in waiting)
    assert gate.note().endswith("5 calls wait.")
    other = await gate.turn(Model(provider="openai", wire_name="gpt-4.1-mini"), tokens=1)
    other.ended()
    await clock.advance(0.2)
    for task in waiting:
        (await task).ended()


async def test_waiting_is_first_come_first_served_and_a_cancelled_wait_leaves_nothing() -> None:
    clock = ManualClock()
    gate = limits(clock)
    (await gate.turn(MODEL, tokens=1)).ended(refusal(1.0))
    served: list[int] = []

    async def call(number: int) -> None:
        turn = await gate.turn(MODEL, tokens=1)
        served.append(number)
        turn.ended()

    tasks = [asyncio.create_task(call(number)) for number in range(6)]
    await settle()
    tasks[0].cancel()
    tasks[3].cancel()
    await clock.advance(1.1)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == [1, 2, 4, 5]
    assert (gate.standing()[0].in_flight, gate.standing()[0].waiting) == (0, 0)


async def test_a_turn_is_ended_once() -> None:
    turn: Turn = await limits(ManualClock()).turn(MODEL, tokens=1)
    turn.unused()
    with pytest.raises(AssertionError, match="once"):
        turn.ended()
