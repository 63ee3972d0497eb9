"""What can go wrong with a batch, and that nothing is lost or paid twice by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from orchestration_nb.calls import RawReply
from orchestration_nb.catalog import Model
from orchestration_nb.clock import SystemClock
from orchestration_nb.engine.batch_gathering import Question
from orchestration_nb.errors import (
    BadRequestError,
    CallError,
    CallTimeoutError,
    ConnectionLostError,
    ContentRefusedError,
    MalformedReplyError,
    NotAuthorisedError,
    RateLimitedError,
    ServerFailedError,
    StateError,
)
from orchestration_nb.providers.batches import Standing
from orchestration_nb.state.batches import BatchRow, BatchStore
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.store import StateFile
from orchestration_nb.testing import ManualClock
from tests.engine.batches import QUICK, FakeBatches, Processes, Purse, Room, ask_all, question

MODEL = Model(provider="fake", wire_name="m")
OTHER = Model(provider="fake", wire_name="n")
TEXTS = [f"q{number}" for number in range(6)]
UNDER_WAY = Standing(state="under_way")
FULL = Standing(state="refused", error=RateLimitedError("Too much is waiting."))


@pytest.fixture
def fake() -> FakeBatches:
    return FakeBatches()


@pytest.fixture
async def room(tmp_path: Path, fake: FakeBatches) -> AsyncIterator[Room]:
    desk = Desk(StateFile(tmp_path, busy_s=0))
    await desk.flush()  # opens the file, beside the loop
    yield Room({"fake": fake}, desk)
    desk.close()


def texts(replies: list[RawReply | BaseException]) -> list[str]:
    return [reply.text if isinstance(reply, RawReply) else type(reply).__name__ for reply in replies]


def answers(model: Model = MODEL) -> list[str]:
    return [f"{model.wire_name} on {text}" for text in TEXTS]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - nothing to wait for but what a test wants to know
            await asyncio.sleep(0.001)


async def left_by_dead(room: Room, *, taken: str | None = None, token: str = "lost") -> None:
    """What a process leaves behind that was killed while it handed over a batch of all texts."""
    row = BatchRow(
        token=token,
        provider="fake",
        model=MODEL.name,
        provider_id=None,
        status="submitting",
        owner="dead",
        size=len(TEXTS),
        created_at=room.clock.now(),
        waiting=len(TEXTS),
    )
    await room.store.begin(row, [f"{MODEL.name}:{text}" for text in TEXTS])
    if taken is not None:
        await room.store.taken(token, taken)
    room.processes.dead.add("dead")


class TestLines:
    async def test_each_answer_finds_its_question_in_whatever_order_they_come(self, room: Room) -> None:
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()

    async def test_each_line_fails_for_itself(self, room: Room, fake: FakeBatches) -> None:
        refused = ContentRefusedError("No.")
        fake.fates = {"q1": refused, "q4": None}
        replies = await ask_all(room.sender(), MODEL, TEXTS)
        assert replies[1] is refused
        assert isinstance(replies[4], MalformedReplyError)
        assert [texts(replies)[n] for n in (0, 2, 3, 5)] == [answers()[n] for n in (0, 2, 3, 5)]

    async def test_what_cannot_be_written_fails_alone_and_before_anything_is_sent(
        self, room: Room, fake: FakeBatches
    ) -> None:
        replies = await ask_all(room.sender(), MODEL, [*TEXTS, "unspeakable"])
        assert texts(replies) == [*answers(), "BadRequestError"]
        assert len(fake.taken["batch-0"]) == len(TEXTS)

    async def test_an_ended_batch_tells_the_fate_of_requests_without_a_line(
        self, room: Room, fake: FakeBatches
    ) -> None:
        expired = CallTimeoutError("It expired.", phase="total", billing="no")
        fake.fates = {"q2": None, "gone": expired}
        fake.on_look = [Standing(state="ended", otherwise=b"gone")]
        replies = await ask_all(room.sender(), MODEL, TEXTS)
        assert replies[2] is expired
        assert texts(replies)[3] == "m on q3"

    async def test_two_who_ask_the_same_at_once_are_one_line(self, room: Room, fake: FakeBatches) -> None:
        assert texts(await ask_all(room.sender(), MODEL, ["q0", "q0"])) == ["m on q0", "m on q0"]
        assert list(fake.taken["batch-0"].values()) == ["q0"]


class TestHandingOver:
    async def test_a_batch_that_was_not_taken_is_handed_over_again(self, room: Room, fake: FakeBatches) -> None:
        fake.on_submit = [RateLimitedError("Slow.", retry_after_s=0.01), ConnectionLostError("Refused.", billing="no")]
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert len(fake.taken) == 1

    async def test_one_that_is_refused_for_good_fails_each_question_and_stands_nowhere(
        self, room: Room, fake: FakeBatches
    ) -> None:
        fake.on_submit = [NotAuthorisedError("No key.")]
        sender = room.sender()
        assert texts(await ask_all(sender, MODEL, TEXTS)) == ["NotAuthorisedError"] * len(TEXTS)
        assert not sender.under_way("fake/m:q0")
        assert not await sender.known("fake/m:q0")

    async def test_patience_ends(self, room: Room, fake: FakeBatches) -> None:
        fake.on_submit = [RateLimitedError("Slow.", retry_after_s=0.001) for _ in range(9)]
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == ["RateLimitedError"] * len(TEXTS)
        assert len(fake.on_submit) == 9 - QUICK.attempts

    async def test_one_that_may_have_been_taken_is_looked_for_and_not_paid_twice(
        self, room: Room, fake: FakeBatches
    ) -> None:
        fake.on_submit = [ServerFailedError("502", billing="unknown")]
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert (len(fake.taken), fake.searches) == (1, 1)

    async def test_it_is_looked_for_until_nobody_can_be_about_to_take_it(self, room: Room, fake: FakeBatches) -> None:
        room.policy = replace(QUICK, doubt_s=10.0)
        fake.on_submit = [ServerFailedError("502", billing="unknown")]
        fake.hides = 3
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert (len(fake.taken), fake.searches) == (1, 4)

    async def test_one_that_was_not_taken_after_all_is_handed_over_again(self, room: Room, fake: FakeBatches) -> None:
        fake.on_submit = [ServerFailedError("502", billing="unknown")]
        fake.hides = 100
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert len(fake.taken) == 2

    async def test_nothing_is_handed_over_that_cannot_be_written_down(self, room: Room, fake: FakeBatches) -> None:
        def full(*_: object) -> None:
            raise StateError("The disk is full.")

        sender = room.sender()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BatchStore, "begin", full)
            assert texts(await ask_all(sender, MODEL, TEXTS)) == ["StateError"] * len(TEXTS)
        assert not fake.taken
        assert not sender.under_way("fake/m:q0")

    async def test_a_batch_refused_as_a_whole_fails_each_question_and_is_free(
        self, room: Room, fake: FakeBatches
    ) -> None:
        fake.on_look = [UNDER_WAY, Standing(state="refused", error=BadRequestError("Not like this."))]
        sender = room.sender()
        replies = await ask_all(sender, MODEL, TEXTS)
        assert {str(reply) for reply in replies} == {"Not like this."}
        assert all(isinstance(reply, CallError) and reply.billing == "no" for reply in replies)
        assert not await sender.known("fake/m:q0")

    async def test_where_too_much_is_waiting_smaller_batches_are_handed_over_one_after_the_other(
        self, room: Room, fake: FakeBatches
    ) -> None:
        fake.on_look = [FULL]
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert [len(taken) for taken in fake.taken.values()] == [6, 3, 3]

    async def test_a_batch_that_finds_no_room_beside_another_waits_for_it(self, room: Room, fake: FakeBatches) -> None:
        room.policy = replace(QUICK, most_requests=3)
        fake.on_look = [UNDER_WAY, FULL]
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert [len(taken) for taken in fake.taken.values()] == [3, 3, 3]

    async def test_one_question_that_finds_no_room_alone_waits_and_fails_in_the_end(
        self, room: Room, fake: FakeBatches
    ) -> None:
        room.policy = replace(QUICK, refusals=3)
        fake.on_look = [FULL, FULL]
        assert texts(await ask_all(room.sender(), MODEL, ["q0"])) == ["m on q0"]
        fake.on_look = [FULL, FULL, FULL]
        assert texts(await ask_all(room.sender(), MODEL, ["q1"])) == ["RateLimitedError"]


class TestWaiting:
    async def test_it_is_waited_for_at_growing_distances(self, room: Room, fake: FakeBatches) -> None:
        room.clock, room.policy = ManualClock(), replace(QUICK, poll_s=20.0)
        fake.ended = False
        asking = asyncio.ensure_future(ask_all(room.sender(), MODEL, TEXTS))
        waits: list[float] = []
        while len(waits) < 8:
            await asyncio.sleep(0.001)
            await room.clock.advance(1.0)
            waits = [wait for wait in room.clock.slept_s if wait >= 1]
        assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0]
        fake.ended = True
        await room.clock.advance(20.0)
        async with asyncio.timeout(5):
            assert texts(await asking) == answers()

    async def test_a_network_that_is_away_for_a_while_ends_nothing(self, room: Room, fake: FakeBatches) -> None:
        fake.on_look = [ConnectionLostError("Away."), ServerFailedError("500"), RateLimitedError("Slow.")] * 4
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()

    async def test_a_key_that_is_refused_meanwhile_ends_the_waiting_and_loses_nothing(
        self, room: Room, fake: FakeBatches
    ) -> None:
        fake.on_look = [UNDER_WAY, NotAuthorisedError("Revoked.")]
        sender = room.sender()
        assert texts(await ask_all(sender, MODEL, TEXTS)) == ["NotAuthorisedError"] * len(TEXTS)
        assert sender.under_way("fake/m:q0"), "its money stays parked"
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert len(fake.taken) == 1

    async def test_a_batch_that_its_provider_no_longer_knows_may_have_been_billed(
        self, room: Room, fake: FakeBatches
    ) -> None:
        await left_by_dead(room, taken="batch-of-old")
        sender = room.sender()
        replies = await ask_all(sender, MODEL, TEXTS)
        assert all(isinstance(reply, ServerFailedError) and reply.billing == "unknown" for reply in replies)
        assert not sender.under_way("fake/m:q0")
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()

    async def test_results_that_break_off_are_fetched_again(self, room: Room, fake: FakeBatches) -> None:
        fake.on_fetch = [ConnectionLostError("Broke off."), ConnectionLostError("Again.")]
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert fake.fetches == 3

    async def test_results_are_fetched_once(self, room: Room, fake: FakeBatches) -> None:
        await ask_all(room.sender(), MODEL, TEXTS)
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert (fake.fetches, len(fake.taken)) == (1, 1)


class TestCancelled:
    """What a call that is cancelled leaves: nothing, or money that waits for whoever joins its batch."""

    async def cancelled(self, room: Room, when: Callable[[], bool]) -> bool:
        sender = room.sender()
        asking = asyncio.ensure_future(sender.send(MODEL, question("q0"), key="k", hold=Purse()))
        await until(when)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        left = sender.under_way("k")
        await sender.close()
        return left

    async def test_while_it_is_gathered(self, room: Room, fake: FakeBatches) -> None:
        clock = room.clock = ManualClock()
        assert not await self.cancelled(room, lambda: clock.slept_s == [QUICK.idle_s])

    async def test_while_it_is_under_way(self, room: Room, fake: FakeBatches) -> None:
        fake.ended = False
        assert await self.cancelled(room, lambda: fake.looks > 0)

    async def test_while_there_is_no_room_at_the_provider(self, room: Room, fake: FakeBatches) -> None:
        clock = room.clock = ManualClock()
        room.policy = replace(QUICK, idle_s=0.0, poll_s=7.0)
        fake.on_look = [FULL]
        assert not await self.cancelled(room, lambda: 14.0 in clock.slept_s)

    async def test_in_the_very_moment_of_its_answer(self, room: Room, fake: FakeBatches) -> None:
        sender = room.sender()
        asking = asyncio.ensure_future(sender.send(MODEL, question("q0"), key="k", hold=Purse()))
        take = Question.take

        def take_and_cancel(question: Question, line: bytes | None) -> None:
            take(question, line)
            asking.cancel()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Question, "take", take_and_cancel)
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert sender.under_way("k"), "it was answered and billed"
        assert await sender.known("k")


class TestGathering:
    async def test_an_item_that_is_busy_is_waited_for_but_not_for_ever(self, room: Room, fake: FakeBatches) -> None:
        clock = room.clock = ManualClock()
        room.policy = replace(QUICK, idle_s=0.5, most_idle_s=5.0)
        asking = asyncio.ensure_future(ask_all(room.sender(active=lambda: len(TEXTS) + 1), MODEL, TEXTS))
        await until(lambda: clock.slept_s == [0.5])
        for _ in range(9):
            await clock.advance(0.5)
        assert not fake.taken
        await clock.advance(0.5)
        async with asyncio.timeout(5):
            assert texts(await asking) == answers()

    async def test_where_all_have_asked_half_a_second_is_enough(self, room: Room, fake: FakeBatches) -> None:
        clock = room.clock = ManualClock()
        room.policy = replace(QUICK, idle_s=0.5, most_idle_s=5.0)
        asking = asyncio.ensure_future(ask_all(room.sender(active=lambda: len(TEXTS)), MODEL, TEXTS))
        await until(lambda: clock.slept_s == [0.5])
        assert not fake.taken
        await clock.advance(0.5)
        await until(lambda: bool(fake.taken))
        async with asyncio.timeout(5):
            assert texts(await asking) == answers()

    async def test_a_batch_holds_no_more_bytes_than_the_provider_takes(self, room: Room, fake: FakeBatches) -> None:
        fake.limits = replace(fake.limits, bytes=1000)  # what is written around a body counts as 256
        await ask_all(room.sender(), MODEL, TEXTS)
        assert [len(taken) for taken in fake.taken.values()] == [3, 3]

    async def test_what_was_given_up_while_it_was_gathered_is_not_sent(self, room: Room, fake: FakeBatches) -> None:
        sender, purse = room.sender(), Purse()
        given_up = asyncio.ensure_future(sender.send(MODEL, question("q9"), key="k9", hold=purse))
        await asyncio.sleep(0.01)
        given_up.cancel()
        await ask_all(sender, MODEL, TEXTS)
        assert list(fake.taken["batch-0"].values()) == TEXTS
        assert not purse.parked
        assert not sender.under_way("k9")

    async def test_a_run_that_ends_while_it_gathers_sends_nothing(self, room: Room, fake: FakeBatches) -> None:
        sender = room.sender()
        asking = asyncio.ensure_future(ask_all(sender, MODEL, TEXTS))
        await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await sender.close() == []
        await asyncio.sleep(0.05)
        assert not fake.taken


class TestOtherProcesses:
    async def test_a_batch_of_a_dead_process_is_joined(self, room: Room, fake: FakeBatches) -> None:
        first = room.sender()
        fake.ended = False
        asking = asyncio.ensure_future(ask_all(first, MODEL, TEXTS))
        await until(lambda: fake.looks > 0)
        room.processes = Processes(me="next", dead={"this"})
        joining = asyncio.ensure_future(ask_all(room.sender(), MODEL, TEXTS))
        await asyncio.sleep(0.05)
        fake.ended = True
        assert texts(await joining) == answers()
        assert texts(await asking) == answers()
        assert len(fake.taken) == 1

    async def test_one_that_died_before_the_provider_had_the_batch_is_replaced(
        self, room: Room, fake: FakeBatches
    ) -> None:
        await left_by_dead(room)
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert len(fake.taken) == 1
        assert "lost" not in fake.tokens

    async def test_one_that_died_just_after_the_provider_took_the_batch_is_joined(
        self, room: Room, fake: FakeBatches
    ) -> None:
        await left_by_dead(room)
        await fake.submit([(f"lost-{number}", text.encode()) for number, text in enumerate(TEXTS)], "lost")
        assert texts(await ask_all(room.sender(), MODEL, TEXTS)) == answers()
        assert len(fake.taken) == 1

    async def test_one_that_lives_is_waited_for_while_it_hands_over(self, room: Room, fake: FakeBatches) -> None:
        await left_by_dead(room)
        room.processes.dead.clear()
        asking = asyncio.ensure_future(ask_all(room.sender(), MODEL, TEXTS))
        await asyncio.sleep(0.1)
        assert (len(fake.taken), fake.searches) == (0, 0)
        batch_id = await fake.submit([(f"lost-{number}", text.encode()) for number, text in enumerate(TEXTS)], "lost")
        await room.store.taken("lost", batch_id)
        assert texts(await asking) == answers()
        assert len(fake.taken) == 1

    async def test_questions_of_an_old_batch_and_new_ones_go_together(self, room: Room, fake: FakeBatches) -> None:
        await left_by_dead(room)
        await fake.submit([(f"lost-{number}", text.encode()) for number, text in enumerate(TEXTS)], "lost")
        replies = await ask_all(room.sender(), MODEL, [*TEXTS, "new"])
        assert texts(replies) == [*answers(), "m on new"]
        assert [list(taken.values()) for taken in fake.taken.values()] == [TEXTS, ["new"]]

    async def test_two_that_gather_the_same_at_once_send_it_once(self, room: Room, fake: FakeBatches) -> None:
        first, second = await asyncio.gather(ask_all(room.sender(), MODEL, TEXTS), ask_all(room.sender(), MODEL, TEXTS))
        assert texts(first) == texts(second) == answers()
        assert [list(taken.values()) for taken in fake.taken.values()] == [TEXTS]


async def test_calls_that_want_answers_of_their_own_are_told_apart_the_same_in_every_process(room: Room) -> None:
    first, again = room.sender(), room.sender()
    assert [first.ordinal("same") for _ in range(3)] == [again.ordinal("same") for _ in range(3)] == [0, 1, 2]
    assert first.ordinal("other") == 0


class TestStore:
    async def test_lists_what_is_not_recorded_yet(self, room: Room) -> None:
        sender = room.sender()
        await ask_all(sender, MODEL, TEXTS)
        await ask_all(sender, OTHER, TEXTS)
        for text in TEXTS[:4]:
            sender.recorded(f"fake/m:{text}")
        await room.desk.flush()
        first, second = await room.store.batches()
        assert (first.model, first.status, first.size, first.waiting) == ("fake/m", "ended", 6, 2)
        assert (second.model, second.waiting) == ("fake/n", 6)

    async def test_forgets_what_nobody_came_back_for(self, room: Room) -> None:
        await left_by_dead(room, taken="batch-of-old")
        now = SystemClock().now()
        assert await room.store.forget(now=now + timedelta(days=29)) == 0
        assert await room.store.forget(now=now + timedelta(days=31)) == 1
        assert await room.store.place("fake/m:q0") is None

    async def test_an_answer_that_is_there_stays(self, room: Room) -> None:
        await left_by_dead(room, taken="b")
        store: BatchStore = room.store
        await store.keep("lost", {0: b"first"})
        await store.keep("lost", {0: b"second", 1: b"other"})
        kept = await store.end("lost", b"none")
        assert [kept[f"fake/m:{text}"] for text in TEXTS[:3]] == [b"first", b"other", b"none"]
