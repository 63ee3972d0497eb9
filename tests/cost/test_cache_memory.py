"""The part of the exact cache that is in memory stays within its bound."""

from __future__ import annotations

from typing import Any

from orchestration_nb.calls import Usage
from orchestration_nb.clock import SystemClock
from orchestration_nb.cost.cache import CachedReply, ExactCache


class NoStore:
    async def find_or_claim(self, key: str) -> Any:
        return "ours"

    def keep(self, key: str, reply: bytes) -> None:
        pass

    def release(self, key: str) -> None:
        pass

    def note_use(self, keys: Any) -> None:
        pass

    async def flush(self) -> None:
        pass


def reply(size: int) -> CachedReply:
    return CachedReply(text="x" * size, usage=Usage(), finish_reason="stop", model_version=None, latency_ms=1.0)


async def test_replies_that_replace_others_are_counted_as_long_as_they_are() -> None:
    cache = ExactCache(NoStore(), SystemClock(), memory_bytes=20_000)
    for number in range(50):
        for size in (1, 5_000):
            cache.put(f"key{number % 10}", reply(size))
    assert cache._memory_bytes == sum(held.size_bytes for held in cache._memory.values()) <= 20_000
    await cache.flush()
    assert len(cache._memory) == 3
