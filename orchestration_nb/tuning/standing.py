"""How a rollout stands: what is kept of it in the workspace, and the book in which all processes write it down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import orjson

from orchestration_nb.clock import Clock
from orchestration_nb.errors import UsageError
from orchestration_nb.events import Event, RolloutChanged
from orchestration_nb.state.rollouts import Change, RolloutRow, RolloutStore
from orchestration_nb.tuning.promotion import OPEN, Evidence, Rollout, Stage, Step, advance

BY_PERSON: Final[Mapping[Stage, str]] = {
    "promoted": "Promoted by a person: the candidate answers from now on.",
    "rolled_back": "Rolled back by a person: the incumbent answers from now on.",
}
"""What a person may decide, at any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A rollout and how it stands."""

    id: str
    flow: str
    candidate: str
    """The strategy, as it is written."""
    incumbent: str
    scorer: str
    """``STEP=SCORER:COLUMN``."""
    step: str
    """The step that is scored."""
    begun_at: datetime
    rollout: Rollout
    reason: str
    """Why it stands so, in a sentence."""

    @property
    def stage(self) -> Stage:
        """``shadow``, ``canary``, ``promoted``, ``rolled_back`` or ``undecided``."""
        return self.rollout.stage

    @property
    def share(self) -> float:
        """Of the items, how many the candidate answers."""
        return {"canary": self.rollout.settings.canary_share, "promoted": 1.0}.get(self.stage, 0.0)

    @property
    def look(self) -> Step:
        """The figures as they are now; nothing is decided."""
        return advance(self.rollout)[1]

    @property
    def shadow_usd(self) -> float:
        """What the candidate cost beside the incumbent, at list price: the rollout's own cost."""
        asked = self.rollout.shadow.cost_usd.candidate
        return asked.n * asked.mean

    def row(self) -> RolloutRow:
        """As it is kept."""
        about = {
            "candidate": self.candidate,
            "incumbent": self.incumbent,
            "scorer": self.scorer,
            "step": self.step,
            "begun_at": self.begun_at.isoformat(),
        }
        return RolloutRow(
            id=self.id,
            flow=self.flow,
            about=orjson.dumps(about).decode(),
            standing=orjson.dumps({"reason": self.reason, "rollout": self.rollout.to_json()}).decode(),
            is_open=self.stage in OPEN,
        )


def standing_of(row: RolloutRow) -> Standing:
    """The rollout that was kept.

    Raises:
        UsageError: If it cannot be read.
    """
    try:
        about, standing = orjson.loads(row.about), orjson.loads(row.standing)
        begun_at = datetime.fromisoformat(about.pop("begun_at"))
        rollout, reason = Rollout.from_json(standing["rollout"]), str(standing["reason"])
        return Standing(id=row.id, flow=row.flow, begun_at=begun_at, rollout=rollout, reason=reason, **about)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"The rollout {row.id} cannot be read: it was kept by another version.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What became of items that were taken in."""

    standing: Standing
    counted: int
    """Of the items, those that had not counted before."""


@dataclass(slots=True, eq=False)
class Book:
    """Where rollouts are kept and written down.

    Args:
        store: What all processes agree on.
        clock: Tells the time.
        record: Journals a step of a rollout; on the engine's loop.
    """

    store: RolloutStore
    clock: Clock
    record: Callable[[Event], None]

    async def begin(self, standing: Standing) -> Standing:
        """Begins a rollout.

        Raises:
            UsageError: If the flow has one that is open.
            StateError: If it cannot be written down.
        """
        held = await self.store.begin(standing.row())
        if held.id != standing.id:
            raise UsageError(
                f"The flow {standing.flow} has a rollout already: {held.id}.",
                hint=f"End it first: %orchestrate rollout rollback {held.id}",
            )
        self.record(self._event(standing, standing.look))
        return standing

    async def take(self, standing: Standing, items: Mapping[str, Evidence]) -> Took:
        """Takes in what items came to, and looks once.

        Args:
            standing: Which rollout.
            items: Digest of the item to what it came to; one that counted before says nothing new.

        Raises:
            StateError: If it cannot be written down.
        """

        def change(text: str, fresh: Sequence[Evidence]) -> Change[tuple[Standing, int, Step]]:
            now = standing_of(replace(standing.row(), standing=text))
            rollout, step = advance(now.rollout, fresh)
            reason = step.reason if now.stage in OPEN else now.reason
            return _changed(replace(now, rollout=rollout, reason=reason), len(fresh), step)

        took = await self.store.change(standing.id, items, change)
        if took is None:
            return Took(standing=standing, counted=0)
        now, counted, step = took
        if counted:
            self.record(self._event(now, step))
        return Took(standing=now, counted=counted)

    async def decide(self, standing: Standing, stage: Stage) -> Standing:
        """What a person decides holds, whatever the figures say.

        Raises:
            StateError: If it cannot be written down.
        """

        def change(text: str, _: Sequence[Evidence]) -> Change[tuple[Standing, int, Step]]:
            now = standing_of(replace(standing.row(), standing=text))
            decided = replace(now, rollout=replace(now.rollout, stage=stage), reason=BY_PERSON[stage])
            return _changed(decided, 0, decided.look)

        took = await self.store.change(standing.id, {}, change)
        if took is None:
            raise UsageError(f"There is no rollout {standing.id}.")
        self.record(self._event(took[0], took[2], by_person=True))
        return took[0]

    def _event(self, standing: Standing, look: Step, *, by_person: bool = False) -> RolloutChanged:
        in_shadow = look.was == "shadow"
        costs = (standing.rollout.shadow if in_shadow else standing.rollout.canary).cost_usd
        return RolloutChanged(
            rollout_id=standing.id,
            flow=standing.flow,
            candidate=standing.candidate,
            incumbent=standing.incumbent,
            stage=standing.stage,
            share=standing.share,
            items=look.candidate_items,
            quality_difference=look.quality.estimate if look.candidate_items else None,
            low=_finite(look.quality.low),
            high=_finite(look.quality.high),
            cost_difference_usd=costs.candidate.mean - costs.incumbent.mean if costs.least_items else None,
            reason=standing.reason,
            decided_by="person" if by_person else "rule",
            changed_at=self.clock.now(),
        )


def _changed(now: Standing, counted: int, step: Step) -> Change[tuple[Standing, int, Step]]:
    return Change(standing=now.row().standing, is_open=now.stage in OPEN, answer=(now, counted, step))


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
