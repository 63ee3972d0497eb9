"""Calls through a batch API: gathered, handed over once, answered each by its own line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration_nb.calls import RawReply, Timeouts
from orchestration_nb.catalog import Model
from orchestration_nb.config import SimSettings
from orchestration_nb.engine.batches_left import cancel_batch, left_under_way
from orchestration_nb.errors import BadRequestError, CallError, UsageError
from orchestration_nb.providers.simulated import SimProvider
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.store import StateFile
from tests.engine.batches import Purse, Room, ask_all, question

SMALL, MEDIUM = (Model(provider="sim", wire_name=name, simulated=True) for name in ("small", "medium"))
TEXTS = [f"Ticket {number}: the invoice is wrong." for number in range(20)]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    provider = SimProvider(SimSettings(latency_scale=0.02, batch_s=2.5), tmp_path)  # 50 ms a batch
    desk = Desk(StateFile(tmp_path, busy_s=0))
    yield Room({"sim": provider}, desk)
    await provider.close()
    desk.close()


def batches_at_provider(folder: Path) -> list[Path]:
    return sorted((folder / ".orchestrate" / "sim").glob("batch-*"))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - the provider's folder has no event
            await asyncio.sleep(0.002)


async def test_many_questions_go_out_as_one_batch_and_each_gets_its_own_answer(room: Room, tmp_path: Path) -> None:
    replies = await ask_all(room.sender(), SMALL, TEXTS)
    single = await room.providers["sim"].send(SMALL, question(TEXTS[7]), timeouts=Timeouts())
    assert all(isinstance(reply, RawReply) for reply in replies)
    assert isinstance(replies[7], RawReply)
    assert (replies[7].text, replies[7].usage) == (single.text, single.usage)
    assert len(batches_at_provider(tmp_path)) == 1


async def test_two_models_in_one_run_are_two_batches(room: Room, tmp_path: Path) -> None:
    sender = room.sender()
    small, medium = await asyncio.gather(ask_all(sender, SMALL, TEXTS), ask_all(sender, MEDIUM, TEXTS))
    assert all(isinstance(reply, RawReply) for reply in [*small, *medium])
    assert len(batches_at_provider(tmp_path)) == 2


async def test_a_full_batch_goes_out_at_once_and_the_rest_in_others(room: Room, tmp_path: Path) -> None:
    room.policy = replace(room.policy, most_requests=8)
    replies = await ask_all(room.sender(), SMALL, TEXTS)
    assert all(isinstance(reply, RawReply) for reply in replies)
    assert len(batches_at_provider(tmp_path)) == 3


async def test_a_model_without_a_batch_api_is_refused_before_anything_is_sent(room: Room) -> None:
    room.providers = {**room.providers, "gemini": object()}
    gemini = Model(provider="gemini", wire_name="gemini-2.5-pro")
    purse = Purse()
    with pytest.raises(BadRequestError, match="gemini has no batch API") as refused:
        await room.sender().send(gemini, question("Hello"), key="k", hold=purse)
    assert refused.value.billing == "no"
    assert not purse.parked


async def test_the_money_is_parked_before_the_batch_is_written_down(room: Room) -> None:
    sender = room.sender()
    purse = Purse()
    reply = await sender.send(SMALL, question("Hello"), key="k", hold=purse)
    assert purse.parked == ["k"]
    assert reply.text


async def test_an_answer_stays_until_it_is_recorded(room: Room, tmp_path: Path) -> None:
    first = await room.sender().send(SMALL, question("Hello"), key="k", hold=Purse())
    again = room.sender()
    assert await again.known("k")
    assert await again.send(SMALL, question("Hello"), key="k", hold=Purse()) == first
    again.recorded("k")
    assert not await again.known("k")
    assert await room.store.batches() == []
    assert len(batches_at_provider(tmp_path)) == 1


async def test_a_cancelled_run_leaves_its_batch_running_and_the_next_one_joins_it(room: Room, tmp_path: Path) -> None:
    room.providers["sim"]._settings = SimSettings(latency_scale=0.02, batch_s=20)  # 400 ms
    sender = room.sender()
    asking = asyncio.ensure_future(ask_all(sender, SMALL, TEXTS))
    await until(lambda: bool(batches_at_provider(tmp_path)))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    (left,) = await sender.close()
    assert (left.status, left.waiting) == ("under_way", len(TEXTS))
    assert sender.under_way(f"sim/small:{TEXTS[0]}")
    replies = await ask_all(room.sender(), SMALL, TEXTS)
    assert all(isinstance(reply, RawReply) for reply in replies)
    assert len(batches_at_provider(tmp_path)) == 1


async def test_a_batch_that_was_left_can_be_cancelled_and_what_it_answered_is_kept(room: Room, tmp_path: Path) -> None:
    room.providers["sim"]._settings = SimSettings(latency_scale=0.02, batch_s=200)  # 4 s
    sender = room.sender()
    asking = asyncio.ensure_future(ask_all(sender, SMALL, TEXTS))
    await until(lambda: bool(batches_at_provider(tmp_path)))
    await asyncio.sleep(0.5)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    left = await sender.close()
    assert left_under_way(left) == (
        "A batch goes on at sim with 20 requests of this run; running it again with --batch waits for their answers "
        "and sends nothing twice."
    )
    await cancel_batch(room.providers, room.store, left[0].token[:8])
    replies = await ask_all(room.sender(), SMALL, TEXTS)
    answered = [reply for reply in replies if isinstance(reply, RawReply)]
    failed = [reply for reply in replies if isinstance(reply, CallError)]
    assert len(answered) >= 1
    assert len(failed) == len(TEXTS) - len(answered) > 0
    assert {(reply.billing, reply.retryable, reply.falls_back) for reply in failed} == {("no", False, None)}


async def test_only_what_is_at_its_provider_can_be_cancelled(room: Room) -> None:
    with pytest.raises(UsageError, match="No batch of this workspace begins with 'ab'"):
        await cancel_batch(room.providers, room.store, "ab")
    await ask_all(room.sender(), SMALL, TEXTS)
    (row,) = await room.store.batches()
    with pytest.raises(UsageError, match="it is ended"):
        await cancel_batch(room.providers, room.store, row.token)
