"""What a run would ask, before it asks anything."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestration_nb.flow import BoundFlow, BoundStep, Pending, step_scope
from orchestration_nb.frames import Table

if TYPE_CHECKING:
    from orchestration_nb.flows import Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """The requests of one step to one model."""

    step: str
    kind: str
    model: str
    """The model, or the strategy that will choose one; empty for a plain step."""
    low: int
    """At least so many requests."""
    high: int | None
    """At most so many, or ``None`` where earlier replies decide."""

    @property
    def calls(self) -> str:
        """The number in words: ``500``, ``0 to 500``, ``500 or more``."""
        if self.high is None:
            return f"{self.low:,} or more"
        return f"{self.low:,}" if self.low == self.high else f"{self.low:,} to {self.high:,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The graph of a flow, and how many requests each step would make; nothing was asked."""

    flow: Flow
    items: int
    lines: tuple[PlanLine, ...]

    @property
    def counts(self) -> Mapping[str, str]:
        """For each step that asks models, its number of requests in words."""
        return {line.step: line.calls for line in self.lines if line.kind == "llm"}

    def __repr__(self) -> str:
        asked = "; ".join(f"{line.step}: {line.calls} to {line.model}" for line in self.lines if line.model)
        return f"<Plan of {self.flow.name} over {self.items:,} items: {asked or 'no model is asked'}>"


def plan_of(flow: Flow, bound: BoundFlow, table: Table | None, otherwise: str) -> Plan:
    """Counts what each step would ask.

    A step that only builds requests from columns and variables is evaluated for every item, which is exact and has no
    side effect; of the others the text says what can be said.

    Args:
        flow: What is planned.
        bound: The flow with its names resolved.
        table: The input, or ``None`` for a run without one.
        otherwise: Who answers a step that names no model: a model or a strategy.
    """
    size = len(table) if table is not None else 1
    lines: list[PlanLine] = []
    for step in bound.steps:
        times = 1 if step.once and table is not None else size
        if step.kind != "llm":
            lines.append(PlanLine(step=step.name, kind=step.kind, model="", low=0, high=0))
        elif step.builds_requests and not step.needs:
            lines.extend(_evaluated(step, table if not step.once else None, otherwise))
        else:
            lines.extend(_read(step, times, otherwise))
    return Plan(flow=flow, items=size, lines=tuple(lines))


def _evaluated(step: BoundStep, table: Table | None, otherwise: str) -> Sequence[PlanLine]:
    items: Any = table.items() if table is not None else [{}]
    models: Counter[str] = Counter()
    for item in items:
        # The wall of an item: the run itself will say what is wrong with it.
        with step_scope(None) as scope, contextlib.suppress(Exception):
            step.evaluate({**item, "item": item})
        models.update(_who(pending, otherwise) for pending in scope.pendings)
    return [
        PlanLine(step=step.name, kind=step.kind, model=model, low=count, high=count)
        for model, count in (models or Counter({otherwise: 0})).most_common()
    ]


def _who(pending: Pending, otherwise: str) -> str:
    return pending.model or pending.strategy or otherwise


def _read(step: BoundStep, times: int, otherwise: str) -> Sequence[PlanLine]:
    lines = []
    for question in step.step.questions:
        low = 0 if question.conditional or question.repeated else times
        high = None if question.repeated else times
        who = question.model or question.strategy or otherwise
        lines.append(PlanLine(step=step.name, kind=step.kind, model=who, low=low, high=high))
    return lines
