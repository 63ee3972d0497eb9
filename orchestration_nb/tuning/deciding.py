"""How a learned strategy decides on a request: the slice of its item, the chances of a good reply, and who answers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.errors import CallError
from orchestration_nb.evals.slices import slice_of
from orchestration_nb.ids import RunId
from orchestration_nb.tuning.features import Seen
from orchestration_nb.tuning.signs import said

if TYPE_CHECKING:
    from orchestration_nb.tuning.learned import LearnedRouter

_log = logging.getLogger(__name__)


def strategy_of(router: LearnedRouter, name: str) -> Strategy:
    """What was learned, as an async function of ``(request, ask)``.

    Args:
        router: What was learned.
        name: What it is called in the ledger.
    """
    place = _Place(name, router.slice_column)

    async def learned(request: Request, ask: Ask) -> Reply:
        """Asks the model that the item needs."""
        request.decision.candidates.extend(router.models)
        seen = Seen(prompt=request.prompt, step=request.origin.step, slice=place.slice_of(request))
        return await (_cascade if router.reads_replies else _route)(router, request, ask, seen)

    learned.__name__ = learned.__qualname__ = name
    learned.models = router.models  # type: ignore[attr-defined]
    learned.is_learned = True  # type: ignore[attr-defined]
    return learned


@dataclass(slots=True)
class _Place:
    """Finds the slice of the items that a strategy answers, and says once a run where there is none."""

    strategy: str
    column: str | None
    _told: RunId | None = None

    def slice_of(self, request: Request) -> str:
        if self.column is None:
            return ""
        if self.column in request.item:
            return slice_of(request.item, self.column)
        if self._told != request.origin.run_id:
            self._told = request.origin.run_id
            _log.warning(
                "%s was learned by the slices of column %r, which these items don't have: it goes by the shares that "
                "the slices had.",
                self.strategy,
                self.column,
            )
        return ""


async def _route(router: LearnedRouter, request: Request, ask: Ask, seen: Seen) -> Reply:
    place = _judged(router, request, seen)
    return await ask(router.models[place], sample=request.sample)


async def _cascade(router: LearnedRouter, request: Request, ask: Ask, seen: Seen) -> Reply:
    came = await asyncio.gather(*(ask(model, sample=request.sample) for model in router.cheap), return_exceptions=True)
    replies: list[Reply] = []
    for model, each in zip(router.cheap, came, strict=True):
        if isinstance(each, CallError):
            request.decision.reason = f"{model} failed ({type(each).__name__}): {router.strong} answers"
        elif isinstance(each, BaseException):
            raise each
        else:
            replies.append(each)
    best = 0
    if len(replies) == len(router.cheap):
        seen = replace(seen, replies=tuple(map(said, replies)))
        place = _judged(router, request, seen)
        if place < len(replies):
            return replies[place]
        best = int(router.chances_of(seen)[:-1].argmax())
    try:
        return await ask(router.strong, sample=request.sample)
    except CallError as error:
        if not replies:
            raise
        request.decision.reason += f"; {router.strong} failed ({type(error).__name__}): {replies[best].model} answers"
        return replies[best]


def _judged(router: LearnedRouter, request: Request, seen: Seen) -> int:
    """The place of the model that the item should go to; the decision says why."""
    chances = router.chances_of(seen)
    best = int(chances[:-1].argmax())
    gain = float(chances[-1] - chances[best])
    goes = gain >= router.threshold.value
    place = len(router.cheap) if goes else best
    told = ", ".join(f"{model} {chance:.2f}" for model, chance in zip(router.models, chances, strict=True))
    side = "at least" if goes else "below"
    request.graded(gain, kept=router.cheap[best], strong=router.strong, after_reply=router.reads_replies)
    request.decision.reason = (
        f"chance of a good reply: {told}; {router.strong} would add {gain:.3f}, {side} {router.threshold.value:.3f}: "
        f"{router.models[place]} answers"
    )
    return place
