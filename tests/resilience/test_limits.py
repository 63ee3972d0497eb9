"""Turns: first come, first served, and nothing left behind by those who give up."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestration_nb.catalog import Model
from orchestration_nb.config import LimitSettings
from orchestration_nb.errors import RateLimitedError, StateError
from orchestration_nb.resilience import Limits, Turn
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.store import StateFile
from orchestration_nb.testing import ManualClock, settle

MODEL = Model(provider="openai", wire_name="gpt-4.1")


class Owned:
    """Makes the limits of one process after another; they share a workspace and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.desks: list[Desk] = []
        self.owners: list[Owners] = []

    def __call__(
        self, settings: Mapping[str, LimitSettings] | None = None, keys: Mapping[str, str | None] | None = None
    ) -> Limits:
        self.desks.append(Desk(StateFile(self.folder, busy_s=0), self.clock))
        self.owners.append(Owners(self.folder, self.clock))
        return Limits(self.desks[-1], self.owners[-1], self.clock, settings or {}, keys or {})

    async def settled(self) -> None:
        """Lets everything happen that needs no more of the manual clock's time."""
        for desk in self.desks:
            await desk.flush()
        await self.clock.advance(0.06)  # a place that another process gave back is looked for
        for desk in self.desks:
            await desk.flush()
        await settle()


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Owned]:
    owned = Owned(tmp_path)
    yield owned
    for desk in owned.desks:
        desk.close()
    for owners in owned.owners:
        owners.close()


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


class TestSet:
    """Limits that the user set."""

    async def test_a_window_is_kept_and_told(self, owned: Owned) -> None:
        gate = owned({"openai": LimitSettings(requests_per_second=5)})
        turns = [asyncio.create_task(gate.turn(MODEL, tokens=1)) for _ in range(8)]
        await owned.settled()
        assert sum(task.done() for task in turns) == 5
        assert gate.note() == "openai allows 5 requests per second: 3 calls wait."
        for task in turns[:5]:
            (await task).ended()
        await owned.clock.advance(0.9)
        await owned.settled()
        assert sum(task.done() for task in turns) == 5
        await owned.clock.advance(0.2)
        await owned.settled()
        assert all(task.done() for task in turns)
        for task in turns[5:]:
            (await task).ended()

    async def test_models_of_one_provider_share_its_limit_and_those_of_one_key_too(self, owned: Owned) -> None:
        keys = {"openai": "OPENAI_API_KEY", "house": "OPENAI_API_KEY"}
        gate = owned({"OPENAI_API_KEY": LimitSettings(requests_per_minute=2)}, keys)
        await gate.turn(MODEL, tokens=1)
        await gate.turn(Model(provider="house", wire_name="m"), tokens=1)
        third = asyncio.create_task(gate.turn(Model(provider="openai", wire_name="other"), tokens=1))
        await owned.settled()
        assert not third.done()
        third.cancel()
        free = await asyncio.wait_for(gate.turn(Model(provider="gemini", wire_name="g"), tokens=1), 30)
        free.ended()

    async def test_two_processes_share_what_is_set(self, owned: Owned) -> None:
        settings = {"openai": LimitSettings(requests_per_second=5)}
        first, second = owned(settings), owned(settings)
        turns = [asyncio.create_task(gate.turn(MODEL, tokens=1)) for _ in range(4) for gate in (first, second)]
        await owned.settled()
        assert sum(task.done() for task in turns) == 5
        for task in turns:
            task.cancel()

    async def test_a_turn_that_is_not_used_is_given_to_the_next(self, owned: Owned) -> None:
        gate = owned({"openai": LimitSettings(concurrent=1)})
        first = await gate.turn(MODEL, tokens=1)
        next_one = asyncio.create_task(gate.turn(MODEL, tokens=1))
        await owned.settled()
        assert not next_one.done()
        assert gate.note() == "openai allows 1 call at once: 1 call waits."
        first.unused()
        await owned.settled()
        (await next_one).ended()

    async def test_a_cancelled_wait_holds_no_place(self, owned: Owned) -> None:
        gate = owned({"openai": LimitSettings(concurrent=1)})
        first = await gate.turn(MODEL, tokens=1)
        waiting = [asyncio.create_task(gate.turn(MODEL, tokens=1)) for _ in range(3)]
        await owned.settled()
        first.ended()
        waiting[0].cancel()
        waiting[1].cancel()
        await owned.settled()
        (await waiting[2]).ended()
        await owned.settled()
        assert gate.standing()[0].in_flight == 0
        (await asyncio.wait_for(gate.turn(MODEL, tokens=1), 30)).ended()

    async def test_tokens_are_expected_by_what_calls_took_so_far(self, owned: Owned) -> None:
        gate = owned({"openai": LimitSettings(tokens_per_minute=1000)})
        for _ in range(20):  # each may take 4000 and takes 40
            (await asyncio.wait_for(gate.turn(MODEL, tokens=4000), 30)).ended(tokens=40)
            await owned.settled()
        late = asyncio.create_task(gate.turn(MODEL, tokens=40_000))
        await owned.settled()
        assert not late.done()  # 800 are taken, and this one is expected to take some 400
        late.cancel()

    async def test_a_retry_after_that_comes_while_it_is_granted_holds_the_grant_back(self, owned: Owned) -> None:
        gate = owned({"openai": LimitSettings(requests_per_second=50)})
        first = await gate.turn(MODEL, tokens=1)
        waiting = asyncio.create_task(gate.turn(MODEL, tokens=1))
        await asyncio.sleep(0)
        first.ended(refusal(2.0))
        await owned.clock.advance(1.9)
        await owned.settled()
        assert not waiting.done()
        await owned.clock.advance(0.2)
        await owned.settled()
        (await waiting).ended()

    async def test_a_state_that_cannot_be_written_stops_those_who_wait(self, owned: Owned) -> None:
        gate = owned({"openai": LimitSettings(requests_per_second=5)})
        (await gate.turn(MODEL, tokens=1)).ended()
        await owned.settled()
        owned.desks[0]._file.open().execute("pragma query_only = on")
        with pytest.raises(StateError):
            await asyncio.wait_for(gate.turn(MODEL, tokens=1), 30)


async def test_a_wait_that_was_looked_at_early_is_not_looked_at_all_the_time() -> None:
    clock = ManualClock()
    gate = limits(clock)
    refused, given_back = await gate.turn(MODEL, tokens=1), await gate.turn(MODEL, tokens=1)
    refused.ended(refusal(3.0))
    waiting = asyncio.create_task(gate.turn(MODEL, tokens=1))
    await settle()
    given_back.unused()
    await settle(500)
    assert len(clock.slept_s) < 5
    await clock.advance(3.1)
    (await waiting).ended()


async def test_other_threads_may_ask_what_holds_calls_up() -> None:
    clock = ManualClock()
    gate = limits(clock)
    (await gate.turn(MODEL, tokens=1)).ended(refusal(1000.0))
    troubles: list[BaseException] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            try:
                gate.note()
            except RuntimeError as error:
                troubles.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        tasks: list[asyncio.Task[Turn]] = []
        for number in range(300):
            other = Model(provider="openai", wire_name=f"gpt-{number}")
            (await gate.turn(other, tokens=1)).ended()
            tasks.append(asyncio.create_task(gate.turn(MODEL, tokens=1)))
            await asyncio.sleep(0)
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(before)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert troubles == []


async def test_a_state_with_other_tables_is_said_and_not_waited_for(owned: Owned) -> None:
    gate = owned({"openai": LimitSettings(requests_per_second=5)})
    await gate._shared._desk.submit(lambda connection: connection.execute("drop table windows"))
    with pytest.raises(StateError, match="no such table"):
        await asyncio.wait_for(gate.turn(MODEL, tokens=1), 30)
