"""What one strategy comes to in a comparison, gathered while its run goes on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestration_nb.calls import Ask, Graded, Reply, Request, Strategy
from orchestration_nb.errors import NoRecordedReplyError
from orchestration_nb.evals.bank import MissingReply
from orchestration_nb.evals.item_scoring import ItemScoring, Learn
from orchestration_nb.evals.outcomes import Answer
from orchestration_nb.evals.scores import NOT_RECORDED, Score
from orchestration_nb.evals.virtual_time import Alone, Fetch, alone
from orchestration_nb.events import Event, ItemFinished, StepFinished
from orchestration_nb.flow import Graph


class Bank(Protocol):
    """Where the answers to questions come from."""

    def teller(self, request: Request, ask: Ask) -> Fetch:
        """What answers the questions of one request."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One request of an item, as it would have gone alone."""

    step: str
    pinned: bool
    prompt: str
    reason: str
    graded: Graded | None
    alone: Alone


@dataclass(slots=True, eq=False)
class Collector:
    """One strategy's run: stands around its strategies, and hears what becomes of its items.

    The strategy decides in a thread of its own, on a virtual clock, so that what it waits for costs no time that other
    strategies' replies have cost already.
    """

    strategy: str
    graph: Graph
    scoring: ItemScoring
    bank: Bank
    threads: Executor
    """Where strategies decide; one thread a request under way."""
    heard: Callable[[Answer, Score, Mapping[str, Any] | None], None]
    """Takes each answer with its score, in a thread of those that score."""
    learns: Learn | None = None
    """What the strategy learns from."""
    answers: dict[int, Answer] = field(default_factory=dict)
    once_usd: float = 0.0
    """What the steps cost that are evaluated once for all items."""
    _once_missing: bool = False
    _parts: dict[int, list[_Part]] = field(default_factory=dict)

    def around(self, strategy: Strategy) -> Strategy:
        """The strategy, deciding as if it were alone."""

        async def apart(request: Request, ask: Ask) -> Reply:
            loop = asyncio.get_running_loop()
            came = await loop.run_in_executor(self.threads, alone, strategy, request, self.bank.teller(request, ask))
            self._note(request, came)
            if came.reply is None:
                assert came.error is not None
                if isinstance(came.error, MissingReply):  # ends the item, and not the run
                    raise NoRecordedReplyError(str(came.error))
                raise came.error
            return came.reply

        apart.__name__ = apart.__qualname__ = getattr(strategy, "__name__", self.strategy)
        return apart

    def _note(self, request: Request, came: Alone) -> None:
        origin, decision = request.origin, request.decision
        part = _Part(origin.step, request.model is not None, request.prompt, decision.reason, decision.graded, came)
        self._parts.setdefault(origin.item, []).append(part)
        if came.reply is not None:
            self.scoring.answered(request, came.reply, self.learns)

    def __call__(self, event: Event) -> None:
        """Takes one event of the run; an item that has ended is scored in another thread."""
        if not isinstance(event, ItemFinished):
            return
        parts = self._parts.pop(event.item, [])
        if event.item < 0:
            self.once_usd = sum(part.alone.cost_usd for part in parts)
            self._once_missing = _is_missing(parts)
        else:
            missing = _is_missing(parts) or self._once_missing
            self.scoring.ended(
                event,
                lambda score, _: self._take(event, parts, score, missing=missing or score is NOT_RECORDED),
                instead=Score(reason="a recorded reply is missing") if missing else None,
            )

    def _take(self, event: ItemFinished, parts: list[_Part], score: Score, *, missing: bool) -> None:
        answer = self._answer(event, parts, "missing" if missing else event.status, score)
        self.answers[event.item] = answer
        self.heard(answer, score, self.scoring.items[event.item])

    def _answer(self, event: ItemFinished, parts: list[_Part], status: str, score: Score) -> Answer:
        of_step = [part for part in parts if part.step == self.scoring.scorer.step]
        told = of_step[-1] if of_step else None
        reply = told.alone.reply if told is not None else None
        free = [part for part in parts if not part.pinned]
        one = free[0] if len(free) == 1 else None
        asked = [each for part in free for each in part.alone.asked]
        failed = event.error or (score.reason if score.failed else None)
        if failed is None and status != "missing" and math.isnan(score.quality):
            failed = f"{self.scoring.scorer.text} gave a label, {score.label!r}, which does not say whether it is right"
        return Answer(
            strategy=self.strategy,
            item=event.item,
            status=status,
            quality=score.quality if status != "missing" else math.nan,
            cost_usd=sum(part.alone.cost_usd for part in parts),
            latency_ms=self._longest_way(event.steps, parts),
            model=reply.model if reply is not None else None,
            asked=tuple(each.model for each in asked),
            asked_usd=tuple(each.cost_usd for each in asked),
            answered=tuple(each.answered for each in asked),
            questions=len(free),
            taken=one.alone.reply.model if one is not None and one.alone.reply is not None else None,
            graded=None if one is None else one.graded,
            reason="; ".join(dict.fromkeys(part.reason for part in free if part.reason)),
            error=failed,
            value=self.scoring.value_of(event.item) if event.status in {"ok", "degraded"} else None,
            prompt=told.prompt if told is not None else "",
            label=score.label,
            comment=score.reason,
        )

    def _longest_way(self, steps: Sequence[StepFinished], parts: Sequence[_Part]) -> float:
        """Milliseconds until the last step ends, where each begins when those are there that it needs."""
        asked_ms: dict[str, float] = {}
        for part in parts:  # the requests of one step go out together
            asked_ms[part.step] = max(asked_ms.get(part.step, 0.0), part.alone.latency_ms)
        took_ms = {step.step: asked_ms.get(step.step, step.latency_ms) for step in steps}
        ended_ms: dict[str, float] = {}
        for step in self.graph.steps:
            if step.name in took_ms:
                before = max((ended_ms.get(name, 0.0) for name in step.needs), default=0.0)
                ended_ms[step.name] = before + took_ms[step.name]
        return max(ended_ms.values(), default=0.0)


def _is_missing(parts: Sequence[_Part]) -> bool:
    """Whether a reply that was wanted is not recorded, so that nobody knows what would have come of the item."""
    return any(isinstance(part.alone.error, MissingReply) for part in parts)
