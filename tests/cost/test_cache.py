"""The exact cache: what is in memory costs nothing, what is in the store is found by all, and only once asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestration_nb.calls import Usage
from orchestration_nb.clock import SystemClock
from orchestration_nb.cost.cache import LOOKS, CachedReply, ExactCache
from orchestration_nb.state.cache import Entry
from orchestration_nb.testing import ManualClock, settle

DAY_S = 24 * 3600.0
NOW_US = 1_767_225_600_000_000
"""The beginning of the manual clock."""


@dataclass
class Store:
    """Answers in turn, and notes what it is told."""

    answers: list[Any] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    looks: int = 0

    async def find_or_claim(self, key: str, rider: Any = None) -> Any:
        self.looks += 1
        return self.answers.pop(0) if self.answers else "ours"

    async def answered(self, keys: Any) -> set[str]:
        self.looks += 1
        return set(keys) & self.kept.keys()

    async def find(self, key: str) -> Any:
        return None

    def keep(self, key: str, reply: bytes) -> None:
        self.kept[key] = reply

    def release(self, key: str) -> None:
        self.released.append(key)

    def note_use(self, keys: Any) -> None:
        self.used.extend(keys)

    async def flush(self) -> None:
        pass


def reply(size: int = 3, text: str = "x") -> CachedReply:
    return CachedReply(text=text * size, usage=Usage(), finish_reason="stop", model_version=None, latency_ms=1.0)


def entry(held: CachedReply, *, created_us: int = NOW_US, used_us: int = NOW_US) -> Entry:
    dumped = held.dump()
    assert dumped is not None
    return Entry(dumped, created_us, used_us)


async def test_replies_that_replace_others_are_counted_as_long_as_they_are() -> None:
    cache = ExactCache(Store(), SystemClock(), memory_bytes=20_000)
    for number in range(50):
        for size in (1, 5_000):
            cache.put(f"key{number % 10}", reply(size))
    assert cache._memory_bytes == sum(held.size_bytes for held in cache._memory.values()) <= 20_000
    assert len(cache._memory) == 3


async def test_a_hit_from_memory_does_not_touch_the_store() -> None:
    store, clock = Store(), ManualClock()
    cache = ExactCache(store, clock)
    cache.put("a", reply())
    for _ in range(100):
        assert cache.get("a") == reply()
    await cache.flush()
    assert (store.looks, store.used, len(store.kept)) == (0, [], 1)


async def test_what_the_store_has_is_in_memory_afterwards() -> None:
    store = Store(answers=[entry(reply())])
    cache = ExactCache(store, ManualClock())
    assert cache.get("a") is None
    assert await cache.claim("a") == reply()
    assert cache.get("a") == reply()
    assert store.looks == 1


async def test_uses_are_told_in_batches_and_rarely() -> None:
    store, clock = Store(), ManualClock()
    cache = ExactCache(store, clock)
    cache.put("a", reply())
    cache.put("b", reply())
    for _ in range(3):
        for _ in range(10):
            await clock.advance(60)
            cache.get("a")
        assert store.used == []
    await cache.flush()
    assert 4 <= len(store.used) <= 6
    assert set(store.used) == {"a"}


@pytest.mark.parametrize("from_store", [True, False])
async def test_in_memory_too_a_reply_gets_too_old(from_store: bool) -> None:
    store, clock = Store(), ManualClock()
    cache = ExactCache(store, clock, keep_days=2)
    await clock.advance(DAY_S)
    if from_store:
        store.answers.append(entry(reply(), created_us=NOW_US))
        assert await cache.claim("a") == reply()
    else:
        cache.put("a", reply())
    await clock.advance(DAY_S - 5 if from_store else 2 * DAY_S - 5)
    assert cache.get("a") == reply()
    await clock.advance(10)
    assert cache.get("a") is None
    assert cache._memory_bytes == 0


async def test_one_that_another_process_asks_is_waited_for() -> None:
    store, clock = Store(answers=["theirs", "theirs", "theirs", entry(reply())]), ManualClock()
    waiting = asyncio.ensure_future(ExactCache(store, clock).claim("a"))
    await clock.advance(0.2)
    assert not waiting.done()
    await clock.advance(2)
    assert await waiting == reply()
    assert max(clock.slept_s) <= 0.4


async def test_those_who_wait_look_at_the_same_moments() -> None:
    store, clock = Store(answers=["theirs"] * 20), ManualClock()
    cache = ExactCache(store, clock)
    waiting = []
    for number in range(10):
        waiting.append(asyncio.ensure_future(cache.claim(str(number))))
        await clock.advance(0.003)
    assert len({round(0.003 * number + slept, 6) for number, slept in enumerate(clock.slept_s)}) == 1
    await clock.advance(5)
    assert [task.result() for task in waiting] == [None] * 10


async def test_an_entry_that_is_not_what_was_written_is_none() -> None:
    store = Store(answers=[Entry(b"{}", NOW_US, NOW_US), Entry(b"not json", NOW_US, NOW_US)])
    cache = ExactCache(store, ManualClock())
    assert [await cache.claim("a"), await cache.claim("a")] == [None, None]


async def test_what_json_cannot_hold_stays_in_memory() -> None:
    store = Store()
    cache = ExactCache(store, ManualClock())
    half = reply(text="\ud800")
    cache.put("a", half)
    cache.release("a")
    assert cache.get("a") == half
    assert (store.kept, store.released) == ({}, ["a"])


async def test_the_longer_another_process_takes_the_rarer_it_is_looked() -> None:
    store, clock = Store(answers=["theirs"] * 2000), ManualClock()
    waiting = asyncio.ensure_future(ExactCache(store, clock).claim("a"))
    await settle()
    await clock.advance(20)
    assert len(clock.slept_s) > 40
    clock.slept_s.clear()
    await clock.advance(4 * 3600)
    assert 50 < len(clock.slept_s) < 500
    assert max(clock.slept_s) <= 2 * 4 * 3600 / LOOKS
    waiting.cancel()


async def test_looking_what_could_be_answered_asks_memory_first_and_claims_nothing() -> None:
    store = Store(kept={"in the store": b"{}"})
    cache = ExactCache(store, SystemClock())
    cache.put("in memory", reply())
    assert await cache.answered(["in memory", "in the store", "nowhere"]) == {"in memory", "in the store"}
    assert (store.released, store.used, store.answers) == ([], [], [])
