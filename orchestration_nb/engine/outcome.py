"""What a run brought, column by column: a few bytes an item beyond the answers themselves."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestration_nb.calls import Status
from orchestration_nb.events import ItemFinished


@dataclass(slots=True, eq=False)
class StepColumn:
    """One step over all items."""

    values: list[Any] = field(default_factory=list)
    """The step's values, ``None`` where there is none."""
    latency_ms: array[float] = field(default_factory=lambda: array("d"))
    """NaN where the step did not run."""
    cost_usd: array[float] = field(default_factory=lambda: array("d"))


@dataclass(slots=True, eq=False)
class Outcome:
    """Results in the order of the input, whatever the order in which they came."""

    steps: dict[str, StepColumn]
    status: list[Status | None] = field(default_factory=list)
    """``None`` for an item that was not begun."""
    error: list[str | None] = field(default_factory=list)
    cost_usd: array[float] = field(default_factory=lambda: array("d"))
    latency_ms: array[float] = field(default_factory=lambda: array("d"))

    @classmethod
    def of(cls, names: Sequence[str]) -> Outcome:
        """An empty outcome with a column for each step."""
        return cls(steps={name: StepColumn() for name in names})

    def put(self, item: ItemFinished, values: dict[str, Any]) -> None:
        """Takes an item that ended, and the values of its steps."""
        index = item.item
        if index >= len(self.status):
            self.fill_up(index + 1)
        self.status[index] = item.status
        self.error[index] = item.error
        self.cost_usd[index] = item.cost_usd
        self.latency_ms[index] = item.latency_ms
        for name, column in self.steps.items():
            column.values[index] = values.get(name)
        for step in item.steps:
            column = self.steps[step.step]
            column.latency_ms[index] = step.latency_ms
            column.cost_usd[index] = step.cost_usd

    def fill_up(self, size: int) -> None:
        """Makes every column ``size`` long."""
        if size > len(self.status):
            self._grow(size)

    def _grow(self, size: int) -> None:
        more = size - len(self.status)
        self.status.extend([None] * more)
        self.error.extend([None] * more)
        nothing, unknown = array("d", [0.0]) * more, array("d", [math.nan]) * more
        self.cost_usd.extend(nothing)
        self.latency_ms.extend(unknown)
        for column in self.steps.values():
            column.values.extend([None] * more)
            column.latency_ms.extend(unknown)
            column.cost_usd.extend(nothing)
