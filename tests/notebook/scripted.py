"""Flows and runs that do what a script says, so that displays can be tested without an engine."""

from __future__ import annotations

import sys
import threading
import time
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedGraph:
    steps: tuple[ScriptedStep, ...]
    description: str = ""


class Flow:
    """A flow whose runs end after as many ticks as its namespace's ``ticks`` say."""

    def __init__(self, text: str, name: str, namespace: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.source = text
        names = [line.split("=")[0].split(":")[0].strip() for line in text.splitlines() if "=" in line]
        self.graph = ScriptedGraph(steps=tuple(ScriptedStep(name=step) for step in names))
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
        self.last = Run(self, frame, ticks=int(self.namespace.get("ticks", 1)))
        if self.namespace.get("tick_s"):
            self.last.drive()
        return self.last

    def plan(self, frame: Any, **choices: Any) -> Plan:
        return Plan(
            flow=self,
            items=len(frame),
            lines=tuple(
                PlanLine(step=step.name, kind="llm", model=choices["model"] or "sim/medium", calls=len(frame))
                for step in self.graph.steps
            ),
        )


@dataclass(frozen=True, kw_only=True)
class PlanLine:
    step: str
    kind: str
    model: str
    calls: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    flow: Flow
    items: int
    lines: tuple[PlanLine, ...]
    counts: Mapping[str, str] = field(default_factory=dict)


class Run:
    """A run that goes on until its script is over."""

    def __init__(self, flow: Flow, frame: Any, *, ticks: int = 1) -> None:
        self.id = "0193f00aa55e000112345678"
        self.flow = flow
        self.frame = frame
        self.ticks = ticks
        self.progress = ScriptedProgress(items=1 if frame is None else len(frame), done=0, failed=0)
        self.error: BaseException | None = flow.namespace.get("fails")
        self.reply = str(flow.namespace.get("reply", "fine"))
        self.errors = pd.DataFrame({"item": [], "step": [], "error_type": [], "error": []})
        self.tick_s = float(flow.namespace.get("tick_s", 0.0))
        self.interrupt_at = flow.namespace.get("interrupt_at")

    @property
    def status(self) -> str:
        return self.progress.status

    @property
    def results(self) -> pd.DataFrame:
        frame = pd.DataFrame({"n": [0]}) if self.frame is None else self.frame
        made = {step.name: [self.reply] * len(frame) for step in self.flow.graph.steps}
        ended = {
            "_status": "ok",
            "_error": None,
            "_cost_usd": 0.0004,
            "_latency_ms": 812.0,
        }
        return frame.assign(**made, **ended)

    @property
    def calls(self) -> pd.DataFrame:
        return pd.DataFrame({"model": ["sim/small"]})

    @property
    def steps(self) -> pd.DataFrame:
        return pd.DataFrame(
            [
                {
                    "step": step.name,
                    "kind": step.kind,
                    "calls": 5,
                    "models": "sim/small",
                    "cost_usd": 0.02,
                    "p50_ms": 700.0,
                    "p95_ms": 1300.0,
                    "errors": len(self.errors),
                }
                for step in self.flow.graph.steps
            ]
        )

    @property
    def cost_usd(self) -> float:
        return self.progress.cost_usd

    @property
    def billed_usd(self) -> float:
        return self.progress.billed_usd

    def step_on(self) -> None:
        """One tick of the script."""
        if self.status != "running":
            return
        self.ticks -= 1
        total = self.progress.items or 1
        self.progress.done = min(total, self.progress.done + max(1, total // (self.ticks + 1)))
        if self.ticks <= 0:
            self.progress.done = total
            self.progress.eta_s, self.progress.in_flight = None, 0
            self.progress.status = "failed" if self.error else "done"

    def wait(self, *, on_tick: Callable[[], None] | None = None) -> None:
        while self.status in {"running", "paused"}:
            time.sleep(self.tick_s)
            self.step_on()
            if self.interrupt_at is not None and self.progress.done >= self.interrupt_at:
                raise KeyboardInterrupt
            if on_tick is not None:
                on_tick()

    def drive(self) -> None:
        """Lets the script go on in a thread, as the engine would."""

        def go() -> None:
            while self.status in {"running", "paused"}:
                time.sleep(self.tick_s)
                self.step_on()

        threading.Thread(target=go, daemon=True).start()

    def cancel(self) -> None:
        self.progress.status = "cancelled"

    def pause(self) -> None:
        self.progress.status = "paused"

    def resume(self) -> None:
        self.progress.status = "running"


def install(monkeypatch: Any) -> None:
    """Puts the scripted flows in the place of the real ones."""
    module = types.ModuleType("orchestration_nb.flows")
    module.Flow, module.Run, module.Plan = Flow, Run, Plan  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "orchestration_nb.flows", module)
    drawing = types.ModuleType("orchestration_nb.flow")
    drawing.draw = lambda graph, counts=None: "<svg><title>graph</title></svg>"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "orchestration_nb.flow", drawing)
