"""Items of a run that have ended are scored beside it, in threads of their own: what scores them may be slow."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from orchestration_nb.calls import Reply, Request
from orchestration_nb.evals.scores import NOT_RECORDED, Score, ScoresReplies, StepScorer
from orchestration_nb.events import ItemFinished

SCORING_THREADS: Final = 4
"""How many items of a run are scored at the same time."""
Learn = Callable[[Request, Reply, float], Any]
"""What a strategy that learns is told of each of its replies that was scored."""

_log = logging.getLogger(__name__)


class _Answered(NamedTuple):
    """A request of the scored step that was answered."""

    request: Request
    reply: Reply
    learn: Learn | None


@dataclass(slots=True, eq=False, kw_only=True)
class ItemScoring:
    """Scores one step of each item that ends, and tells the strategies that learn."""

    scorer: StepScorer
    """Ready for the items."""
    items: Sequence[Mapping[str, Any]]
    value_of: Callable[[int], Any]
    """The value of the scored step, of an item that has ended."""
    threads: Executor
    pending: set[Future[None]] = field(default_factory=set)
    """What is still to be scored, and what went wrong in a way that no scorer may."""
    _answered: dict[int, list[_Answered]] = field(default_factory=dict)
    _lesson: threading.Lock = field(default_factory=threading.Lock)
    _learning_failed: bool = False

    def answered(self, request: Request, reply: Reply, learn: Learn | None) -> None:
        """Notes who answered a request, so that it can be told what its reply was worth; on the engine's loop."""
        if request.origin.step == self.scorer.step:
            self._answered.setdefault(request.origin.item, []).append(_Answered(request, reply, learn))

    def ended(
        self, event: ItemFinished, then: Callable[[Score, Request | None], None], *, instead: Score | None = None
    ) -> None:
        """Has an item scored that has ended; on the engine's loop, and without waiting.

        Args:
            event: Its end.
            then: Takes the score, and the request whose reply was scored; called in one of the threads.
            instead: The score, where it is known already.
        """
        # The run puts the values in their places when its listeners have returned.
        asyncio.get_running_loop().call_soon(self._submit, event, then, instead)

    def _submit(
        self, event: ItemFinished, then: Callable[[Score, Request | None], None], instead: Score | None
    ) -> None:
        scored = self.threads.submit(self._score, event, then, instead)
        self.pending.add(scored)
        scored.add_done_callback(self._done)

    def _done(self, scored: Future[None]) -> None:
        if scored.cancelled() or scored.exception() is None:
            self.pending.discard(scored)

    def _score(self, event: ItemFinished, then: Callable[[Score, Request | None], None], instead: Score | None) -> None:
        if instead is not None:
            score = instead
        elif event.status in {"ok", "degraded"}:
            score = self._score_of(event.item)
        else:
            score = Score(reason=event.error or event.status)
        answered = self._answered.pop(event.item, [])
        if not math.isnan(score.quality):
            self._teach(answered, score.quality)
        then(score, answered[-1].request if answered else None)

    def _score_of(self, item: int) -> Score:
        scorer = self.scorer.scorer
        if not isinstance(scorer, ScoresReplies):
            return asyncio.run(self.scorer.score(self.value_of(item), self.items[item]))
        answered = self._answered.get(item, [])
        return scorer.score_of(answered[0].request, answered[0].reply) if len(answered) == 1 else NOT_RECORDED

    def _teach(self, answered: Sequence[_Answered], quality: float) -> None:
        for request, reply, learn in answered:
            if learn is not None:
                with self._lesson:  # a strategy of the notebook need not bear two threads at once
                    self._teach_one(learn, request, reply, quality)

    def _teach_one(self, learn: Learn, request: Request, reply: Reply, quality: float) -> None:
        try:
            learn(request, reply, quality)
        except Exception:  # noqa: BLE001 - the wall of an item: what a strategy makes of a score stops no other
            if not self._learning_failed:
                _log.warning("A strategy could not learn from the score of an item.", exc_info=True)
            self._learning_failed = True

    async def done(self) -> None:
        """Returns when all items that have ended are scored; on the engine's loop."""
        await asyncio.sleep(0)  # what is to be scored is handed over by then
        await asyncio.gather(*map(asyncio.wrap_future, tuple(self.pending)))
        await asyncio.sleep(0)  # what was scored just before is heard by then
