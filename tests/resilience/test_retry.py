"""Waits between attempts: how many, how long, and when patience ends."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import pytest

from orchestration_nb.errors import NotAuthorisedError, OverloadedError, RateLimitedError
from orchestration_nb.resilience import Deadline, RetryPolicy, retry_waits
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
    while not task.done():
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


async def test_a_wait_past_the_deadline_is_not_begun_and_the_error_says_so() -> None:
    clock, log = ManualClock(), new_log()
    error = RateLimitedError("Come back tomorrow.", retry_after_s=86_400, hint="Slow down.")
    with pytest.raises(RateLimitedError) as caught:
        await retry_waits(failing(9, error, log), RetryPolicy(deadline_s=300), clock)
    assert len(log) == 1
    assert clock.slept_s == []
    assert str(caught.value) == (
        "Come back tomorrow. It asks to wait 86,400 s, and of the 300 s that may be waited 300 s are left."
    )
    assert caught.value.hint.startswith("Slow down. Allow more with timeout=")


async def test_the_callers_own_deadline_holds_instead_of_the_policys() -> None:
    clock, log = ManualClock(), new_log()
    error = OverloadedError("Busy.", retry_after_s=5)
    with pytest.raises(OverloadedError, match="It asks to wait 5 s, and of the 3 s"):
        await retry_waits(failing(9, error, log), RetryPolicy(), clock, deadline=Deadline(clock, 3))
    assert len(log) == 1


async def test_no_wait_overruns_the_deadline_whatever_is_drawn(dice: random.Random) -> None:
    for _ in range(200):
        clock, most_s = ManualClock(), dice.uniform(0.5, 60)
        error = RateLimitedError("Slow down.", retry_after_s=dice.choice([None, 0.3, 7.0]))
        policy = RetryPolicy(deadline_s=most_s, dice=dice)
        with pytest.raises(RateLimitedError, match="that may be waited"):
            await finish(retry_waits(failing(10**6, error, []), policy, clock), clock)
        assert sum(clock.slept_s) <= most_s
        assert len(clock.slept_s) < 300


async def test_a_rate_limit_is_waited_out_until_the_deadline_however_many_attempts_it_takes() -> None:
    clock, log = ManualClock(), new_log()
    error = RateLimitedError("slow down", retry_after_s=1.0)
    work = retry_waits(failing(150, error, log), RetryPolicy(attempts=3, deadline_s=1000), clock)
    assert await finish(work, clock) == "answer"
    assert [number for number, _ in log] == list(range(1, 152))


async def test_other_failures_use_up_the_attempts_between_rate_limits_too() -> None:
    clock, log = ManualClock(), new_log()

    async def attempt(number: int, waited_s: float) -> Any:
        del waited_s
        log.append((number, 0.0))
        raise OverloadedError("busy") if number % 2 else RateLimitedError("slow down")

    with pytest.raises(OverloadedError, match=r"^busy$"):
        await finish(retry_waits(attempt, RetryPolicy(attempts=3), clock), clock)
    assert len(log) == 5


async def test_tenacity_is_not_even_loaded_where_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tenacity", None)
    assert await retry_waits(failing(0, None, []), RetryPolicy(), ManualClock()) == "answer"
    with pytest.raises(NotAuthorisedError):
        await retry_waits(failing(1, NotAuthorisedError("no key"), []), RetryPolicy(), ManualClock())


async def test_the_wait_is_told_to_the_next_attempt() -> None:
    clock, log = ManualClock(), new_log()
    await finish(retry_waits(failing(1, OverloadedError("busy"), log), RetryPolicy(), clock), clock)
    assert log[1] == (2, clock.slept_s[0])
