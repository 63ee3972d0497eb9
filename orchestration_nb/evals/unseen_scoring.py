"""What was asked unseen, after an answer was given, is scored as the answer is: the two can then be compared."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.evals.scores import Score, StepScorer


@dataclass(slots=True, eq=False, kw_only=True)
class UnseenScoring:
    """Scores the replies to a step's questions that strategies have asked afterwards; used on the engine's loop.

    Only where the value of the step is the reply itself: what an expression makes of a reply, nobody knows for another.
    """

    scorer: StepScorer
    """Ready for the items."""
    items: Sequence[Mapping[str, Any]]
    value_of: Callable[[int], Any]
    """The value of the scored step, of an item that has ended."""
    threads: Executor
    then: Callable[[str, Request, Score], None]
    """Takes the name of the strategy, its request and the score; on the engine's loop."""
    _given: dict[int, Reply] = field(default_factory=dict)
    _is_reply: dict[int, bool] = field(default_factory=dict)
    _waiting: dict[int, list[tuple[str, Request, Reply]]] = field(default_factory=dict)
    _pending: set[Future[None]] = field(default_factory=set)

    def answered(self, request: Request, reply: Reply) -> None:
        """Notes an answer, and hears what its strategy has asked afterwards."""
        if request.origin.step == self.scorer.step and request.decision.afterwards:
            self._given[request.origin.item] = reply
            request.decision.afterwards[:] = map(self._heard, request.decision.afterwards)

    def _heard(self, later: Strategy) -> Strategy:
        name = str(getattr(later, "__name__", ""))

        async def unseen(request: Request, ask: Ask) -> Reply:
            reply: Reply = await later(request, ask)
            if isinstance(reply, Reply):
                self._came(name, request, reply)
            return reply

        unseen.__name__ = unseen.__qualname__ = name
        return unseen

    def _came(self, name: str, request: Request, reply: Reply) -> None:
        item = request.origin.item
        if item not in self._is_reply:
            self._waiting.setdefault(item, []).append((name, request, reply))
        elif self._is_reply[item]:
            self._submit(name, request, reply)

    def ended(self, item: int) -> None:
        """Is told that an item has ended."""
        given = self._given.pop(item, None)
        if given is None:
            return
        value = self.value_of(item)
        self._is_reply[item] = value is given.value or (type(value) is type(given.value) and value == given.value)
        for came in self._waiting.pop(item, []):
            self._came(*came)

    def _submit(self, name: str, request: Request, reply: Reply) -> None:
        scored = self.threads.submit(self._score, asyncio.get_running_loop(), name, request, reply)
        self._pending.add(scored)
        scored.add_done_callback(self._pending.discard)

    def _score(self, loop: asyncio.AbstractEventLoop, name: str, request: Request, reply: Reply) -> None:
        score = asyncio.run(self.scorer.score(reply.value, self.items[request.origin.item]))
        with contextlib.suppress(RuntimeError):  # the loop was closed with the process: nobody is there to be told
            loop.call_soon_threadsafe(self.then, name, request, score)

    async def done(self) -> None:
        """Returns when all that came is scored."""
        await asyncio.gather(*map(asyncio.wrap_future, tuple(self._pending)))
        await asyncio.sleep(0)  # what was scored just before is heard by then
