"""Waits between attempts: how many, how long, and when patience ends."""

from __future__ import annotations

import asyncio
import random

import pytest

from orchestration_nb.errors import NotAuthorisedError, OverloadedError, RateLimitedError
from orchestration_nb.resilience import RetryPolicy, retry_waits
from orchestration_nb.testing import ManualClock, settle


def failing(times, error, log):
    async def attempt(number, waited_s):
        log.append((number, waited_s))
        if number <= times:
            raise error
        return "answer"

    return attempt


async def finish(work, clock):
    task = asyncio.ensure_future(work)
    await settle()
    for _ in range(50):
        if task.done():
            break
        await clock.advance(10_000)
    return await task


async def test_no_failure_means_one_attempt_and_no_wait():
    clock, log = ManualClock(), []
    assert await retry_waits(failing(0, None, log), RetryPolicy(), clock) == "answer"
    assert log == [(1, 0.0)]
    assert clock.slept_s == []


async def test_waits_are_full_jitter_under_a_doubling_ceiling():
    waits = [[] for _ in range(4)]
    for seed in range(300):
        clock, policy = ManualClock(), RetryPolicy(deadline_s=1e9, first_wait_s=1.0, dice=random.Random(seed))
        assert await finish(retry_waits(failing(4, OverloadedError("busy"), []), policy, clock), clock) == "answer"
        for place, waited in enumerate(clock.slept_s):
            waits[place].append(waited)
    for place, ceiling in enumerate((1, 2, 4, 8)):
        assert 0 <= min(waits[place]) < 0.1 * ceiling
        assert 0.9 * ceiling < max(waits[place]) <= ceiling
        assert 0.4 * ceiling < sum(waits[place]) / 300 < 0.6 * ceiling


async def test_a_provider_that_says_when_is_not_asked_earlier():
    clock = ManualClock()
    error = RateLimitedError("slow down", retry_after_s=7.0)
    assert await finish(retry_waits(failing(2, error, []), RetryPolicy(), clock), clock) == "answer"
    assert all(7.0 <= waited <= 7.2 for waited in clock.slept_s)
    assert len(clock.slept_s) == 2


async def test_what_a_repetition_cannot_mend_is_not_repeated():
    clock, log = ManualClock(), []
    with pytest.raises(NotAuthorisedError):
        await retry_waits(failing(9, NotAuthorisedError("no key"), log), RetryPolicy(), clock)
    assert len(log) == 1


async def test_after_the_last_attempt_the_last_error_comes_out():
    clock, log = ManualClock(), []
    with pytest.raises(OverloadedError, match="busy"):
        await finish(retry_waits(failing(9, OverloadedError("busy"), log), RetryPolicy(attempts=3), clock), clock)
    assert [number for number, _ in log] == [1, 2, 3]


async def test_a_wait_past_the_deadline_is_not_begun():
    clock, log = ManualClock(), []
    error = RateLimitedError("come back tomorrow", retry_after_s=86_400)
    with pytest.raises(RateLimitedError):
        await retry_waits(failing(9, error, log), RetryPolicy(deadline_s=300), clock)
    assert len(log) == 1
    assert clock.slept_s == []


async def test_the_wait_is_told_to_the_next_attempt():
    clock, log = ManualClock(), []
    await finish(retry_waits(failing(1, OverloadedError("busy"), log), RetryPolicy(), clock), clock)
    assert log[1] == (2, clock.slept_s[0])
