"""Flows and runs that do what a script says, so that displays can be tested without an engine."""

from __future__ import annotations

import re
import sys
import threading
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.errors import OrchestrationError


@dataclass(slots=True, kw_only=True)
class ScriptedProgress:
    items: int | None = 200
    done: int = 124
    failed: int = 2
    in_flight: int = 32
    calls: int = 300
    cost_usd: float = 0.0312
    billed_usd: float = 0.0
    budget_usd: float = 2.0
    elapsed_s: float = 12.0
    calls_per_s: float = 25.0
    eta_s: float | None = 7.4
    status: str = "running"
    simulated: bool = True
    cache_hits: int = 17
    retries: int = 3
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedStep:
    name: str
    kind: str = "llm"
    inputs: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedGraph:
    steps: tuple[ScriptedStep, ...]
    description: str = ""


class Flow:
    """A flow whose runs do what the variables of its namespace say.

    ``ticks``: how many steps of the script a run takes; ``tick_s``: how long each lasts; ``engine``: a thread goes
    through them, instead of whoever waits; ``reply``, ``errors``, ``fails``, ``interrupt_at``: what comes of it.
    """

    def __init__(self, text: str, name: str, namespace: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.source = text
        names = [line.split("=")[0].split(":")[0].strip() for line in text.splitlines() if "=" in line]
        given = [types.SimpleNamespace(name=name) for name in re.findall(r"[a-z]\w*", text)]
        self.graph = ScriptedGraph(steps=tuple(ScriptedStep(name=step, inputs=tuple(given)) for step in names))
        self.namespace = namespace or {}
        self.last: Run | None = None
        self.asked: dict[str, Any] = {}

    @classmethod
    def from_source(cls, text: str, *, name: str, namespace: Any = None, workspace: Any = None) -> Flow:
        if (error := (namespace or {}).get("broken")) is not None:
            raise error
        return cls(text, name, namespace)

    def start(self, frame: Any, **choices: Any) -> Run:
        self.asked = choices
        self.last = Run(self, frame)
        return self.last

    def plan(self, frame: Any, **choices: Any) -> Plan:
        lines = tuple(
            PlanLine(step=step.name, kind="llm", model=choices["model"] or "sim/medium", calls=str(len(frame)))
            for step in self.graph.steps
        )
        return Plan(flow=self, items=len(frame), lines=lines)


@dataclass(frozen=True, kw_only=True)
class PlanLine:
    step: str
    kind: str
    model: str
    calls: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    flow: Flow
    items: int
    lines: tuple[PlanLine, ...]
    counts: Mapping[str, str] = field(default_factory=dict)


class Run:
    """A run that goes on until its script is over."""

    def __init__(self, flow: Flow, frame: Any) -> None:
        script = flow.namespace
        self.id = "0193f00aa55e000112345678"
        self.flow = flow
        self.frame = pd.DataFrame(index=[0]) if frame is None else frame
        self.progress = ScriptedProgress(items=len(self.frame), done=0, failed=0)
        self.error: OrchestrationError | None = script.get("fails")
        self._reply = script.get("reply", "fine")
        self._errors: Sequence[str | None] = script.get("errors", ())
        self._ticks = int(script.get("ticks", 1))
        self._tick_s = float(script.get("tick_s", 0.0))
        self._interrupt_at = script.get("interrupt_at")
        self._engine = threading.Thread(target=self._go, daemon=True) if script.get("engine") else None
        if self._engine is not None:
            self._engine.start()

    @property
    def status(self) -> str:
        return self.progress.status

    @property
    def results(self) -> pd.DataFrame:
        size = len(self.frame)
        errors = [*self._errors, *([None] * size)][:size]
        made = {step.name: [self._reply] * size for step in self.flow.graph.steps}
        ended = pd.DataFrame(
            {
                **made,
                "_status": ["ok" if error is None else "failed" for error in errors],
                "_error": errors,
                "_cost_usd": 0.0004,
                "_latency_ms": 812.0,
            },
            index=self.frame.index,
        )
        return pd.concat([self.frame, ended], axis=1)

    @property
    def errors(self) -> pd.DataFrame:
        rows = [(item, "queue", "CallError", error) for item, error in enumerate(self._errors) if error is not None]
        return pd.DataFrame(rows, columns=["item", "step", "error_type", "error"])

    @property
    def calls(self) -> pd.DataFrame:
        return pd.DataFrame({"model": ["sim/small"]})

    @property
    def steps(self) -> pd.DataFrame:
        line = {"kind": "llm", "calls": 5, "models": "sim/small", "cost_usd": 0.02, "p50_ms": 700.0, "p95_ms": 1300.0}
        return pd.DataFrame([{"step": step.name, **line, "errors": len(self.errors)} for step in self.flow.graph.steps])

    def wait(self, *, on_tick: Callable[[], None] | None = None) -> None:
        while self.status in {"running", "paused"}:
            if self._engine is None:
                self._tick()
            else:
                time.sleep(0.05)
            if self._interrupt_at is not None and self.progress.done >= self._interrupt_at:
                raise KeyboardInterrupt
            if on_tick is not None:
                on_tick()

    def _go(self) -> None:
        while self.status in {"running", "paused"}:
            self._tick()

    def _tick(self) -> None:
        time.sleep(self._tick_s)
        if self.status != "running":
            return
        self._ticks -= 1
        progress, total = self.progress, len(self.frame)
        progress.done = min(total, progress.done + max(1, total // (self._ticks + 1)))
        if self._ticks <= 0:
            progress.done, progress.eta_s, progress.in_flight = total, None, 0
            progress.status = "failed" if self.error else "done"

    def cancel(self) -> None:
        self.progress.status = "cancelled"

    def pause(self) -> None:
        self.progress.status = "paused"

    def resume(self) -> None:
        self.progress.status = "running"


def install(patch: pytest.MonkeyPatch) -> None:
    """Puts the scripted flows in the place of the real ones."""
    flows = types.ModuleType("orchestration_nb.flows")
    flows.Flow, flows.Run, flows.Plan = Flow, Run, Plan  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "orchestration_nb.flows", flows)
    drawing = types.ModuleType("orchestration_nb.flow")
    drawing.draw = lambda graph, counts=None: "<svg><title>graph</title></svg>"  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "orchestration_nb.flow", drawing)
