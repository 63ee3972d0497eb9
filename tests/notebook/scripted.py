"""Flows and runs that do what a script says, so that displays can be tested without an engine."""

from __future__ import annotations

import re
import threading
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestration_nb.clock import SystemClock
from orchestration_nb.engine.progress import Progress
from orchestration_nb.errors import OrchestrationError, OverBudgetError, UsageError
from orchestration_nb.events import RunStatus
from orchestration_nb.state.batches import BatchRow


class StoppedClock(SystemClock):
    """A clock that stands at twelve seconds."""

    def monotonic(self) -> float:
        return 12.0


def progress(**changes: Any) -> Progress:
    """A run that is under way since twelve seconds."""
    told: dict[str, Any] = {
        "clock": StoppedClock(),
        "started_s": 0.0,
        "items": 200,
        "budget_usd": 2.0,
        "done": 124,
        "failed": 2,
        "in_flight": 32,
        "calls": 300,
        "cache_hits": 17,
        "retries": 3,
        "cost_usd": 0.0312,
        "simulated": True,
    }
    return Progress(**{**told, **changes})


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

    def start(self, frame: Any) -> Run:
        self.last = Run(self, frame)
        return self.last


class Run:
    """A run that goes on until its script is over."""

    def __init__(self, flow: Flow, frame: Any) -> None:
        script = flow.namespace
        self.id = "0193f00aa55e000112345678"
        self.flow = flow
        self.frame = pd.DataFrame(index=[0]) if frame is None else frame
        self.progress = progress(items=len(self.frame), done=0, failed=0)
        self.sample: int | None = script.get("sample")
        self.seed = 0
        self.error: OrchestrationError | None = script.get("fails")
        self.waits_for: OverBudgetError | None = None
        self.plan = None
        self.batches_left: Sequence[BatchRow] = script.get("batches_left", ())
        self.scores = ()
        self.score_lines = ()
        self._reply = script.get("reply", "fine")
        self._errors: Sequence[str | None] = script.get("errors", ())
        self._ticks = int(script.get("ticks", 1))
        self._tick_s = float(script.get("tick_s", 0.0))
        self._interrupt_at = script.get("interrupt_at")
        self._engine = threading.Thread(target=self._go, daemon=True) if script.get("engine") else None
        if self._engine is not None:
            self._engine.start()

    @property
    def status(self) -> RunStatus:
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
        results: pd.DataFrame = pd.concat([self.frame, ended], axis=1)
        return results

    @property
    def errors(self) -> pd.DataFrame:
        rows = [(item, "queue", "CallError", error) for item, error in enumerate(self._errors) if error is not None]
        return pd.DataFrame(rows, columns=["item", "step", "error_type", "error"])

    @property
    def steps(self) -> pd.DataFrame:
        line = {"kind": "llm", "calls": 5, "models": "sim/small", "cost_usd": 0.02, "p50_ms": 700.0, "p95_ms": 1300.0}
        return pd.DataFrame([{"step": step.name, **line, "errors": len(self.errors)} for step in self.flow.graph.steps])

    def wait(self, *, on_tick: Callable[[], None] | None = None) -> None:
        while self.progress.ended_s is None:
            if self._engine is None:
                self._tick()
            else:
                time.sleep(0.05)
            if self._interrupt_at is not None and self.progress.done >= self._interrupt_at:
                raise KeyboardInterrupt
            if on_tick is not None:
                on_tick()

    def _go(self) -> None:
        while self.progress.ended_s is None:
            self._tick()

    def _tick(self) -> None:
        time.sleep(self._tick_s)
        if self.status != "running":
            return
        self._ticks -= 1
        progress, total = self.progress, len(self.frame)
        progress.done = min(total, progress.done + max(1, total // (self._ticks + 1)))
        if self._ticks <= 0:
            progress.done, progress.in_flight = total, 0
            self._end("failed" if self.error else "done")

    def _end(self, status: RunStatus) -> None:
        self.progress.status, self.progress.ended_s = status, 12.0

    def cancel(self) -> None:
        self._end("cancelled")

    def leave(self) -> None:
        self.waits_for = None
        self._end("paused")

    def pause(self) -> None:
        self.progress.status = "paused"

    def wait_for_budget(self, refusal: OverBudgetError) -> None:
        self.waits_for = refusal
        self.progress.status, self.progress.waits_because = "paused", str(refusal)

    def resume(self, budget: float | None = None) -> None:
        if budget is not None and budget <= self.progress.cost_usd:
            raise UsageError("More is spent already.", hint="Give the whole amount.")
        self.waits_for = None
        self.progress.status, self.progress.waits_because = "running", ""
