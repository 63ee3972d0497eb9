"""``rollout(FLOW)``: the strategy that answers as the flow's latest rollout says, and feeds it with what came of it.

In the shadow the incumbent answers and the candidate is asked beside it, whose cost is the rollout's. In the canary the
share is drawn item by item, with its propensity. Once promoted the candidate answers, else the incumbent.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Final

from orchestration_nb.calls import Ask, Decision, Reply, Request, Strategy
from orchestration_nb.errors import CallError, JournalWriteError, StateError, UsageError
from orchestration_nb.evals.scores import Score
from orchestration_nb.events import ItemFinished
from orchestration_nb.routing.registry import STRATEGIES
from orchestration_nb.tuning.promotion import OPEN, Evidence
from orchestration_nb.tuning.standing import Book, Standing

LOOK_EVERY: Final = 25
"""Items after which a run looks at its rollout, and once more at its end."""
CANDIDATE, INCUMBENT = "candidate", "incumbent"


def rollout(flow: str) -> Strategy:
    """Answers as the latest rollout of a flow says; ``%orchestrate rollout`` tells how it stands.

    Args:
        flow: The name of the flow.
    """

    async def rolling(_request: Request, _ask: Ask) -> Reply:
        """Is bound to the rollout when a run of the flow begins."""
        raise UsageError(
            f"rollout({flow}) answers in runs of {flow}, as the strategy of the whole run.",
            hint=f"%%orchestrate {flow} ... --strategy rollout({flow})",
        )

    rolling.__name__ = rolling.__qualname__ = f"rollout({flow})"
    rolling.rollout_of = flow  # type: ignore[attr-defined]
    return rolling


@dataclass(slots=True)
class _Side:
    """What one side of an item came to so far."""

    strategy: Strategy
    request: Request | None = None
    reply: Reply | None = None
    """Of the scored step."""
    cost_usd: float = 0.0
    """At list price, of all its steps."""
    failed: bool = False

    def cost(self) -> float | None:
        """``None`` where nobody knows what a failed call costs."""
        return None if self.failed else self.cost_usd


@dataclass(slots=True)
class _Item:
    """One item under way."""

    answers: str
    """Which side."""
    sides: dict[str, _Side] = field(default_factory=dict)


class RolloutRun:
    """A rollout in one run: answers, hears the scores, and tells the rollout.

    Args:
        standing: How it stands when the run begins.
        book: Where it is kept.
        candidate: Asks as the candidate does.
        incumbent: Asks as the incumbent does.
        models: What both may ask.
    """

    def __init__(
        self, standing: Standing, book: Book, candidate: Strategy, incumbent: Strategy, models: tuple[str, ...]
    ) -> None:
        self.standing = standing
        self.models = models
        self.key_of: Callable[[int], str] = str
        """The digest of an item: the same item is drawn the same way, and counts once."""
        self.__name__ = f"rollout({standing.flow})"
        self.known_before = 0
        """Items of this run that had counted in an earlier one."""
        self.trouble = ""
        """What kept items from counting, as a sentence."""
        self._book = book
        self._of = {CANDIDATE: candidate, INCUMBENT: incumbent}
        self._items: dict[int, _Item] = {}
        self._waiting: dict[str, Evidence] = {}
        self._look: asyncio.Task[None] | None = None

    async def __call__(self, request: Request, ask: Ask) -> Reply:
        """Answers one request, as the rollout stands now."""
        item = self._items.get(request.origin.item)
        if item is None:
            item = self._items[request.origin.item] = _Item(self._drawn(request))
        else:
            request.decision.reason = self._reason(item.answers)
        if self.standing.stage == "shadow" and request.origin.step == self.standing.step:
            return await self._with_shadow(item, request, ask)
        return await self._answer(item, item.answers, request, ask)

    def _drawn(self, request: Request) -> str:
        """Which side answers an item."""
        standing = self.standing
        side = CANDIDATE if standing.stage == "promoted" else INCUMBENT
        if standing.stage == "canary" and request.origin.item >= 0:
            decision = request.decision
            # By the item and not by its place: a daily run of ten rows would try the candidate on the same places.
            decision.dice = random.Random(f"{standing.id}:{self.key_of(request.origin.item)}")  # noqa: S311
            names = {standing.candidate: standing.share, standing.incumbent: 1 - standing.share}
            side = CANDIDATE if request.choose(names) == standing.candidate else INCUMBENT
            decision.dice = None
        request.decision.reason = self._reason(side)
        return side

    def _reason(self, side: str) -> str:
        standing = self.standing
        name = standing.candidate if side == CANDIDATE else standing.incumbent
        return f"{standing.stage.replace('_', ' ')} of rollout {standing.id}: the {side}, {name}"

    async def _answer(self, item: _Item, name: str, request: Request, ask: Ask) -> Reply:
        """One side's answer, with what it cost."""
        side = item.sides.setdefault(name, _Side(self._of[name]))
        before = request.decision.reason

        async def counted(model: str, *, sample: int = 0, wait: bool = True, instead: Collection[str] = ()) -> Reply:
            # A shadow waits for no circuit: the item would wait with it.
            reply = await ask(model, sample=sample, wait=wait and name == item.answers, instead=instead)
            side.cost_usd += reply.cost_usd
            return reply

        try:
            reply: Reply = await side.strategy(request, counted)
        except CallError:
            side.failed = True
            raise
        finally:
            own = request.decision.reason
            request.decision.reason = before if own in {"", before} else f"{before}; {own}"
        if request.origin.step == self.standing.step:
            side.request, side.reply = request, reply
        return reply

    async def _with_shadow(self, item: _Item, request: Request, ask: Ask) -> Reply:
        """The incumbent's answer; the candidate is asked the same, and whatever comes of it harms nobody."""
        decision = request.decision
        theirs = replace(request, decision=Decision(seed=decision.seed, observe=decision.observe))
        beside = asyncio.ensure_future(self._beside(item, theirs, ask))
        try:
            return await self._answer(item, INCUMBENT, request, ask)
        finally:
            await asyncio.wait({beside})
            asked = item.sides[CANDIDATE].cost_usd if CANDIDATE in item.sides else 0.0
            decision.reason += f"; the candidate, {self.standing.candidate}, was asked beside it for ${asked:.6f}"
            beside.result()

    async def _beside(self, item: _Item, request: Request, ask: Ask) -> None:
        try:
            await self._answer(item, CANDIDATE, request, ask)
        except JournalWriteError:
            raise
        except CallError:
            pass  # it is told by the side
        except Exception as error:  # noqa: BLE001 - the wall of an item: the candidate's mistakes are not the item's
            item.sides.pop(CANDIDATE, None)
            self.trouble = f"The candidate failed in the shadow: {type(error).__name__}: {error}"

    def learn(self, request: Request, reply: Reply, score: float) -> None:
        """Tells the strategy that answered, where it learns."""
        item = self._items.get(request.origin.item)
        side = item.sides.get(item.answers) if item else None
        learn = getattr(side.strategy, "learn", None) if side else None
        if learn is not None:
            learn(request, reply, score)

    def answered_by(self, item: int) -> str | None:
        """The strategy that answered an item, or ``None``."""
        held = self._items.get(item)
        if held is None:
            return None
        return self.standing.candidate if held.answers == CANDIDATE else self.standing.incumbent

    def beside(self, item: int) -> Reply | None:
        """The reply of the candidate that was asked beside the incumbent, to be scored as well."""
        held = self._items.get(item)
        shadow = held.sides.get(CANDIDATE) if held and held.answers == INCUMBENT else None
        return shadow.reply if shadow else None

    def scored(self, event: ItemFinished, score: Score, beside: Score | None) -> None:
        """Takes in what an item came to; on the engine's loop."""
        item = self._items.pop(event.item, None)
        if item is None or self.standing.stage not in OPEN:
            return
        self._teach_candidate(item, beside)
        evidence = self._evidence(item, event, score, beside)
        if evidence is not None:
            self._waiting[self.key_of(event.item)] = evidence
        if len(self._waiting) >= LOOK_EVERY and (self._look is None or self._look.done()):
            self._look = asyncio.ensure_future(self._look_now())

    @staticmethod
    def _teach_candidate(item: _Item, beside: Score | None) -> None:
        side = item.sides.get(CANDIDATE) if beside is not None and not math.isnan(beside.quality) else None
        learn = getattr(side.strategy, "learn", None) if side else None
        if side and beside and learn is not None:
            learn(side.request, side.reply, beside.quality)

    def _evidence(self, item: _Item, event: ItemFinished, score: Score, beside: Score | None) -> Evidence | None:
        found: dict[str, float | None] = {}
        for name, side in item.sides.items():
            answered = name == item.answers
            marked = score if answered else beside
            known = marked is not None and (event.status in {"ok", "degraded"} or not answered)
            quality = 0.0 if side.failed else marked.quality if known and marked is not None else math.nan
            if not math.isnan(quality) and not 0.0 <= quality <= 1.0:
                self.trouble = f"A rollout needs scores from 0 to 1, and one was {quality:g}: scale them first."
                quality = math.nan
            found[f"{name}_quality"] = None if math.isnan(quality) else quality
            found[f"{name}_cost_usd"] = side.cost()
        return Evidence(**found) if found else None

    async def _look_now(self) -> None:
        while self._waiting:
            items, self._waiting = self._waiting, {}
            try:
                took = await self._book.take(self.standing, items)
            except StateError as error:
                self.trouble = f"{len(items)} items do not count for the rollout: {error}"
                return
            self.standing = took.standing
            self.known_before += len(items) - took.counted
            if len(self._waiting) < LOOK_EVERY:
                return

    async def ended(self) -> None:
        """Takes in what is left.

        Raises:
            JournalWriteError: If a look could not be recorded.
        """
        if self._look is not None:
            await self._look
        await self._look_now()

    def told(self) -> list[str]:
        """How the rollout stands after the run, in sentences."""
        standing = self.standing
        before = (
            f"{self.known_before:,} of the items had counted before and say nothing new." if self.known_before else ""
        )
        return list(filter(None, [f"Rollout of {standing.candidate}: {standing.reason}", before, self.trouble]))


STRATEGIES.add_maker(rollout)
