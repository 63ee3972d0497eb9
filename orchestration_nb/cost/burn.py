"""How fast a budget burns, and where it ends at that pace: pure functions, and the listener that watches them.

A budget with a period (a day, a month) is spent at the pace of the period so far. A run's own is spent at the pace of
its items so far, and how much they differ says how sure that is. Neither is told from the first few calls.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from orchestration_nb.clock import Clock
from orchestration_nb.cost.budget import Standing, dollars
from orchestration_nb.errors import OrchestrationError
from orchestration_nb.events import BudgetAlert, CallFinished, Event, ItemFinished, RunFinished, RunStarted
from orchestration_nb.ids import RunId

LEAST_SHARE: Final = 0.05
"""Of a period: before so much of it is over, its pace says nothing."""
LEAST_CALLS: Final = 10
"""Calls that were paid, or items that were done, before anybody is told."""
MARGIN: Final = 1.1
"""How far above the limit a period must be heading: an alert is raised once, so a near miss is none."""
LOOK_S: Final = 1.0
"""Seconds from one look at all budgets to the next."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """A budget, and where it is heading."""

    budget: str
    limit_usd: float
    spent_usd: float
    held_usd: float
    begins: datetime | None
    ends: datetime | None
    forecast_usd: float | None
    """What will be spent when the period ends, at its pace so far; ``None`` where it has no end, or it is too early."""

    @property
    def share(self) -> float:
        """Of the limit, what is spent; a budget of nothing is used up."""
        return self.spent_usd / self.limit_usd if self.limit_usd > 0 else 1.0

    @property
    def passes(self) -> bool:
        """Whether it is heading beyond the limit, and has not reached it yet."""
        heading = self.forecast_usd is not None and self.forecast_usd > self.limit_usd * MARGIN
        return heading and self.spent_usd < self.limit_usd

    @property
    def dry_at(self) -> datetime | None:
        """When the limit is reached at that pace, where that is before the period ends."""
        if not self.passes or self.begins is None or self.ends is None or self.forecast_usd is None:
            return None
        return self.begins + (self.ends - self.begins) * (self.limit_usd / self.forecast_usd)


def burns(standings: Sequence[Standing], now: datetime) -> list[Burn]:
    """The budgets of money among ``standings``, the fullest first."""
    found = [burn_of(standing, now) for standing in standings if standing.kind == "usd"]
    return sorted(found, key=lambda burn: (-burn.share, burn.budget))


def burn_of(standing: Standing, now: datetime) -> Burn:
    """One account, with its forecast at ``now`` (naive UTC)."""
    begins, ends = standing.begins_at, standing.ends_at
    expected = None
    if begins is not None and ends is not None:
        expected = forecast(standing.spent, passed=(now - begins) / (ends - begins))
    return Burn(
        budget=standing.name,
        limit_usd=standing.limit,
        spent_usd=standing.spent,
        held_usd=standing.held,
        begins=begins,
        ends=ends,
        forecast_usd=expected,
    )


def forecast(spent_usd: float, *, passed: float) -> float | None:
    """What a whole period costs of which the share ``passed`` is over, or ``None`` where that is too little to tell."""
    return spent_usd / min(passed, 1.0) if passed >= LEAST_SHARE else None


@dataclass(slots=True, kw_only=True)
class RunPace:
    """What the items of one run cost so far (Welford's algorithm for the spread)."""

    items: int | None
    limit_usd: float
    spent_usd: float = 0.0
    done: int = 0
    mean_usd: float = 0.0
    squares: float = 0.0
    told: bool = False

    def add(self, item: ItemFinished) -> None:
        """An item ended, or (-1) what all items share."""
        self.spent_usd += item.billed_usd
        if item.item >= 0:
            self.done += 1
            away = item.billed_usd - self.mean_usd
            self.mean_usd += away / self.done
            self.squares += away * (item.billed_usd - self.mean_usd)

    def forecast_usd(self, *, errors: float = 0.0) -> float | None:
        """What the run will have spent, its mean moved by so many standard errors; ``None`` where nobody can tell."""
        if self.items is None or self.done < LEAST_CALLS:
            return None
        error_usd = math.sqrt(self.squares / (self.done - 1) / self.done)
        rest = max(0, self.items - self.done)
        return self.spent_usd + rest * max(0.0, self.mean_usd + errors * error_usd)

    def passes(self) -> bool:
        """Whether the budget will surely enough (three standard errors) be reached before the last item."""
        least = self.forecast_usd(errors=-3.0)
        return least is not None and least > self.limit_usd > self.spent_usd


async def _always(budget: str, period: str) -> bool:  # noqa: ARG001 - the form of a claim
    return True


async def _no_standings() -> Sequence[Standing]:
    return ()


@dataclass(slots=True, kw_only=True, eq=False)
class BurnWatch:
    """A listener that tells, once a budget and period, that the budget ends before its period does.

    Used on the engine's loop alone. Costs an event a few counters, and all budgets one look a second.
    """

    clock: Clock
    on_alert: Callable[[BudgetAlert], None]
    """Where an alert goes: to the journal, and to the other listeners."""
    standings: Callable[[], Awaitable[Sequence[Standing]]] = _no_standings
    """All accounts of the workspace as they stand."""
    claim: Callable[[str, str], Awaitable[bool]] = _always
    """Takes a budget and its period; whether no other process has told of it."""
    _runs: dict[RunId, RunPace] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)
    _paid: int = 0
    _next_s: float = -math.inf
    _looking: asyncio.Task[None] | None = None

    def __call__(self, event: Event) -> None:
        """Takes one event."""
        if isinstance(event, CallFinished):
            if event.billed_usd:
                self._paid += 1
                self._look_at_all(event.run_id)
        elif isinstance(event, ItemFinished):
            self._look_at_run(event)
        elif isinstance(event, RunStarted):
            self._runs[event.run_id] = RunPace(items=event.items, limit_usd=event.budget_usd)
        elif isinstance(event, RunFinished):
            self._runs.pop(event.run_id, None)

    async def settle(self) -> None:
        """Returns when the look that is under way is over."""
        if self._looking is not None:
            await asyncio.wait([self._looking])

    def _look_at_run(self, event: ItemFinished) -> None:
        pace = self._runs.get(event.run_id)
        if pace is None:
            return
        pace.add(event)
        if pace.told or not pace.passes():
            return
        pace.told = True
        expected = pace.forecast_usd() or 0.0
        lasts = pace.done + int((pace.limit_usd - pace.spent_usd) / pace.mean_usd)
        self.on_alert(
            BudgetAlert(
                kind="burn",
                budget="run",
                share=pace.spent_usd / pace.limit_usd,
                spent_usd=pace.spent_usd,
                limit_usd=pace.limit_usd,
                message=f"At this pace the run's budget of {dollars(pace.limit_usd)} lasts for about {lasts:,} of "
                f"{pace.items:,} items; all of them would come to about {dollars(expected)}.",
                run_id=event.run_id,
                raised_at=self.clock.now(),
            )
        )

    def _look_at_all(self, run_id: RunId) -> None:
        now_s = self.clock.monotonic()
        if now_s < self._next_s or self._paid < LEAST_CALLS or self._looking is not None:
            return
        self._next_s = now_s + LOOK_S
        self._looking = asyncio.ensure_future(self._look(run_id))
        self._looking.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("Budgets are not watched at the moment: %s", error)

    async def _look(self, run_id: RunId) -> None:
        try:
            standings = await self.standings()
            for burn in burns(standings, self.clock.now()):
                if burn.passes and await self._is_first(burn):
                    self.on_alert(self._alert(burn, run_id))
        except OrchestrationError as error:
            _log.warning("Budgets are not watched at the moment: %s", error)

    async def _is_first(self, burn: Burn) -> bool:
        key = (burn.budget, f"{burn.begins:%Y-%m-%d}")
        if key in self._told:
            return False
        first = await self.claim(*key)
        self._told.add(key)
        return first

    def _alert(self, burn: Burn, run_id: RunId) -> BudgetAlert:
        return BudgetAlert(
            kind="burn",
            budget=burn.budget,
            share=burn.share,
            spent_usd=burn.spent_usd,
            limit_usd=burn.limit_usd,
            message=f"At this pace the budget {burn.budget} of {dollars(burn.limit_usd)} is used up on "
            f"{burn.dry_at:%d %B at %H:%M} UTC, and its period ends on {burn.ends:%d %B at %H:%M}: "
            f"{dollars(burn.spent_usd)} is spent.",
            run_id=run_id,
            raised_at=self.clock.now(),
        )
