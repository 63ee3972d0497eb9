"""Several at once: what need not wait costs no task, and the rest is as with ``asyncio.gather``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestration_nb.engine.together import results_of


async def at_once(value: Any) -> Any:
    return value


async def fails(error: BaseException) -> Any:
    raise error


async def test_what_need_not_wait_is_done_in_the_callers_own_task() -> None:
    async def mine() -> object:
        return asyncio.current_task()

    assert await results_of([mine(), mine(), mine()]) == [asyncio.current_task()] * 3


async def test_results_stand_in_order_and_what_was_raised_among_them() -> None:
    wrong = LookupError("no")

    async def later(value: int) -> int:
        await asyncio.sleep(0.001 * (5 - value))
        return value

    assert await results_of([at_once(0), later(1), fails(wrong), later(3), at_once(4)]) == [0, 1, wrong, 3, 4]
    assert await results_of([]) == []


async def test_once_one_waits_all_others_begin_together() -> None:
    begun: list[int] = []
    gate = asyncio.Event()

    async def waits(number: int) -> int:
        begun.append(number)
        await gate.wait()
        return number

    both = asyncio.ensure_future(results_of([at_once(7), *(waits(number) for number in range(20))]))
    for _ in range(3):
        await asyncio.sleep(0)
    assert begun == [*range(20)]
    gate.set()
    assert await both == [7, *range(20)]


@pytest.mark.parametrize("turns", [1, 2, 5])
async def test_a_caller_that_is_cancelled_leaves_nothing_under_way(turns: int) -> None:
    begun, ended = [], []

    async def waits(number: int) -> None:
        begun.append(number)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    caller = asyncio.ensure_future(results_of([waits(number) for number in range(5)]))
    for _ in range(turns):
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert sorted(ended) == begun


async def test_one_that_is_cancelled_by_itself_does_not_end_the_others() -> None:
    first, last = await results_of([fails(asyncio.CancelledError()), at_once(2)])
    assert isinstance(first, asyncio.CancelledError)
    assert last == 2
