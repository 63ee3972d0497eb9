"""A pipeline that is resumed answers from its journal: no call is sent again whose reply stands there.

The ledger's row of a call is written before its reply is handed on, and the entry of the cache up to 20 ms later; of
questions that are asked anew on purpose (``--fresh``, ``cache=False``) the cache has only the newest reply. So the
replies of the chain's earlier pipeline runs are read once, when the first question is asked, and given again in their
order to those who ask the same at the same place.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from typing import Any, cast

from orchestration_nb.calls import FinishReason, Usage
from orchestration_nb.cost.cache import CachedReply
from orchestration_nb.engine.services import EarlierReply, Place
from orchestration_nb.ids import CallId
from orchestration_nb.ledger import EarlierCall
from orchestration_nb.secrecy import is_scrubbed


class JournalledReplies:
    """The replies of the earlier pipeline runs of a chain; used from the engine's loop alone.

    Args:
        recover: Settles what dead processes held, and journals their calls as lost.
        read: Reads the chain's calls from the ledger, in the order in which they were begun; blocks.
        executor: Where it does.
    """

    def __init__(
        self, recover: Callable[[], Awaitable[Any]], read: Callable[[], Iterable[EarlierCall]], executor: Executor
    ) -> None:
        self._recover = recover
        self._read = read
        self._executor = executor
        self._reading: asyncio.Task[None] | None = None
        self._is_read = False
        self._replies: dict[Place, deque[EarlierReply]] = defaultdict(deque)
        self._lost: dict[Place, deque[CallId]] = defaultdict(deque)
        self._newest: dict[str, CachedReply] = {}

    @property
    def is_read(self) -> bool:
        """Whether the replies are there; until then :meth:`read` is to be awaited."""
        return self._is_read

    async def read(self) -> None:
        """Reads the replies, once however many ask for it.

        Raises:
            WorkspaceError: If the ledger cannot be read: nothing may be sent then.
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read_all())
        await asyncio.shield(self._reading)

    def take(self, place: Place) -> EarlierReply | None:
        """The next reply that was given at that place, or ``None`` where there are no more."""
        replies = self._replies.get(place)
        return replies.popleft() if replies else None

    def newest(self, key: str) -> CachedReply | None:
        """The newest reply of the chain to that question, wherever it was asked."""
        return self._newest.get(key)

    def lost(self, place: Place) -> CallId | None:
        """The call that was in flight there when its process died, the next of them; ``None`` where none was."""
        calls = self._lost.get(place)
        return calls.popleft() if calls else None

    async def _read_all(self) -> None:
        await self._recover()
        await asyncio.sleep(0)  # what was recovered is journalled in a turn of its own
        for call in await asyncio.get_running_loop().run_in_executor(self._executor, self._calls):
            self._sort_in(call)
        self._is_read = True

    def _calls(self) -> list[EarlierCall]:
        return list(self._read())

    def _sort_in(self, call: EarlierCall) -> None:
        place = Place(call.flow, call.step, call.item, call.cache_key)
        if call.lost:
            self._lost[place].append(call.call_id)
            return
        if is_scrubbed(call.reply or ""):
            return  # what was said is not known any more: it is asked again
        reply = _reply(call)
        if call.paid:
            self._newest[call.cache_key] = reply
        if not call.restored:
            self._replies[place].append(EarlierReply(call.call_id, reply, call.similarity))


def _reply(call: EarlierCall) -> CachedReply:
    return CachedReply(
        text=call.reply or "",
        usage=Usage(
            input_tokens=call.input_tokens,
            cached_tokens=call.cached_tokens,
            cache_write_tokens=call.cache_write_tokens,
            output_tokens=call.output_tokens,
            reasoning_tokens=call.reasoning_tokens,
        ),
        finish_reason=cast("FinishReason", call.finish_reason or "stop"),
        model_version=call.model_version,
        latency_ms=call.latency_ms or 0.0,
        cost_usd=call.cost_usd if call.unpriced else None,
    )
