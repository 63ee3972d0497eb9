"""Waits between attempts: how many, how long, and when patience ends."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from orchestration_nb.errors import NotAuthorisedError, OverloadedError, RateLimitedError
from orchestration_nb.resilience import RetryPolicy, retry_waits
from orchestration_nb.testing import ManualClock, settle


def new_log() -> list[tuple[int, float]]:
    return []


def failing(times: int, error: Any, log: list[Any]) -> Any:
    async def attempt(number: int, waited_s: float) -> Any:
        log.append((number, waited_s))
        if number <= times:
            raise error
        return "answer"

    return attempt


async def finish(work: Any, clock: ManualClock) -> Any:
    task = asyncio.ensure_future(work)
    await settle()
    for _ in range(50):
        if task.done():
            break
        await clock.advance(10_000)
    return await task


async def test_no_failure_means_one_attempt_and_no_wait() -> None:
    clock, log = ManualClock(), new_log()
    assert await retry_waits(failing(0, None, log), RetryPolicy(), clock) == "answer"
    assert log == [(1, 0.0)]
    assert clock.slept_s == []


async def test_waits_are_full_jitter_under_a_doubling_ceiling() -> None:
    waits: list[list[float]] = [[] for _ in range(4)]
    for seed in range(300):
        clock, policy = ManualClock(), RetryPolicy(deadline_s=1e9, first_wait_s=1.0, dice=random.Random(seed))
        assert await finish(retry_waits(failing(4, OverloadedError("busy"), []), policy, clock), clock) == "answer"
        for place, waited in enumerate(clock.slept_s):
            waits[place].append(waited)
    for place, ceiling in enumerate((1, 2, 4, 8)):
        assert 0 <= min(waits[place]) < 0.1 * ceiling
        assert 0.9 * ceiling < max(waits[place]) <= ceiling
        assert 0.4 * ceiling < sum(waits[place]) / 300 < 0.6 * ceiling


async def test_a_provider_that_says_when_is_not_asked_earlier() -> None:
    clock = ManualClock()
    error = RateLimitedError("slow down", retry_after_s=7.0)
    assert await finish(retry_waits(failing(2, error, []), RetryPolicy(), clock), clock) == "answer"
    assert all(7.0 <= waited <= 7.2 for waited in clock.slept_s)
    assert len(clock.slept_s) == 2


async def test_what_a_repetition_cannot_mend_is_not_repeated() -> None:
    clock, log = ManualClock(), new_log()
    with pytest.raises(NotAuthorisedError):
        await retry_waits(failing(9, NotAuthorisedError("no key"), log), RetryPolicy(), clock)
    assert len(log) == 1


async def test_after_the_last_attempt_the_last_error_comes_out() -> None:
    clock, log = ManualClock(), new_log()
    with pytest.raises(OverloadedError, match="busy"):
        await finish(retry_waits(failing(9, OverloadedError("busy"), log), RetryPolicy(attempts=3), clock), clock)
    assert [number for number, _ in log] == [1, 2, 3]


async def test_a_wait_past_the_deadline_is_not_begun() -> None:
    clock, log = ManualClock(), new_log()
    error = RateLimitedError("come back tomorrow", retry_after_s=86_400)
    with pytest.raises(RateLimitedError):
        await retry_waits(failing(9, error, log), RetryPolicy(deadline_s=300), clock)
    assert len(log) == 1
    assert clock.slept_s == []


async def test_the_wait_is_told_to_the_next_attempt() -> None:
    clock, log = ManualClock(), new_log()
    await finish(retry_waits(failing(1, OverloadedError("busy"), log), RetryPolicy(), clock), clock)
    assert log[1] == (2, clock.slept_s[0])
