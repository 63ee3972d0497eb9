"""Several coroutines at once, of which those that need not wait cost no task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def results_of(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
    """What they return or raise, in their order; as ``asyncio.gather`` with ``return_exceptions``.

    One after the other is begun within the caller's task. As soon as one has to wait, all that are not begun yet get
    tasks of their own: of a hundred questions whose answers are in memory none does.

    Raises:
        asyncio.CancelledError: If the caller is cancelled; all of them have ended then.
    """
    waiting = deque(enumerate(coroutines))
    ended: dict[int, T | BaseException] = {}
    tasks: dict[int, asyncio.Task[T]] = {}

    def begin_all() -> None:
        while waiting:
            place, coroutine = waiting.popleft()
            tasks[place] = asyncio.ensure_future(coroutine)

    turn_over = asyncio.get_running_loop().call_soon(begin_all)
    try:
        while waiting:
            place, coroutine = waiting.popleft()
            ended[place] = await _outcome(coroutine)
        ended.update(zip(tasks, await asyncio.gather(*tasks.values(), return_exceptions=True), strict=True))
    except BaseException:
        for task in tasks.values():
            task.cancel()
        for _, coroutine in waiting:
            coroutine.close()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        raise
    finally:
        turn_over.cancel()
    return [ended[place] for place in range(len(ended))]


async def _outcome(coroutine: Coroutine[Any, Any, T]) -> T | BaseException:
    try:
        return await coroutine
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise  # it is the caller who is cancelled
        return error
