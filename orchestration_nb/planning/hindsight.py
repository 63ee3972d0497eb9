"""What came of a plan: planned against actual, step by step, kept in the ledger so that the next plan is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from orchestration_nb.clock import Clock
from orchestration_nb.errors import UsageError
from orchestration_nb.events import CallFinished, Event, Journal, RequestFinished, RunFinished, StepPlanned
from orchestration_nb.ids import RequestId, RunId, new_id
from orchestration_nb.workspace import Workspace

if TYPE_CHECKING:
    from datetime import datetime

    from orchestration_nb.flows import Flow
    from orchestration_nb.plan import Plan, PlanLine
    from orchestration_nb.runs import Run

_SUMS: Final = ("calls", "cached_calls", "input_tokens", "output_tokens", "cost_usd", "busy_s")
_ASKED: Final = """
select r.step, c.model, count(*) as calls, count(*) filter (c.cache <> 'none') as cached_calls,
    coalesce(sum(c.input_tokens) filter (c.cache = 'none'), 0) as input_tokens,
    coalesce(sum(c.output_tokens) filter (c.cache = 'none'), 0) as output_tokens, sum(c.billed_usd) as cost_usd,
    coalesce(sum(c.latency_ms) filter (c.cache = 'none'), 0) / 1000 as busy_s
from calls as c join requests as r on c.request_id = r.request_id where c.run_id = ? group by all
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepActual:
    """What one step asked of one model in a run."""

    calls: int = 0
    cached_calls: int = 0
    input_tokens: int = 0
    """Of the calls that were charged, here and below."""
    output_tokens: int = 0
    cost_usd: float = 0.0
    """What was billed."""
    busy_s: float = 0.0
    """Their latencies, added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """What a run came to, in the lines of its plan."""

    run_id: RunId
    lines: tuple[StepActual, ...]
    """One for each line of the plan."""
    cost_usd: float
    """What the whole run was billed, calls that no line expected included."""
    time_s: float
    held: bool
    """Whether the cost lay within low..high."""


@dataclass(slots=True, eq=False)
class Tally:
    """Adds up what each step asked of each model; hears the run's events."""

    by_step: dict[tuple[str, str], StepActual] = field(default_factory=dict)
    """By step and full name of the model."""
    _open: dict[RequestId, list[tuple[str, StepActual]]] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Takes one event; a call is told which step it was for by the end of its request."""
        if isinstance(event, CallFinished):
            charged = event.cache == "none"
            call = StepActual(
                calls=1,
                cached_calls=0 if charged else 1,
                input_tokens=event.input_tokens if charged else 0,
                output_tokens=event.output_tokens if charged else 0,
                cost_usd=event.billed_usd,
                busy_s=event.latency_ms / 1000 if charged else 0.0,
            )
            self._open.setdefault(event.request_id, []).append((event.model, call))
        elif isinstance(event, RequestFinished):
            for model, call in self._open.pop(event.request_id, ()):
                self.add(event.step, model, call)

    def add(self, step: str, model: str, more: StepActual) -> None:
        """Adds to what a step asked of a model."""
        self.by_step[step, model] = _sum([self.by_step.get((step, model), StepActual()), more])

    def hindsight(self, plan: Plan, run_id: RunId, time_s: float) -> Hindsight:
        """What was added up, in the lines of a plan."""
        cost_usd = sum(each.cost_usd for each in self.by_step.values())
        return Hindsight(
            run_id=run_id,
            lines=tuple(self.by_step.get((line.step, line.full_model), StepActual()) for line in plan.lines),
            cost_usd=cost_usd,
            time_s=time_s,
            held=plan.cost_usd.low <= cost_usd <= plan.cost_usd.high,
        )


@dataclass(slots=True, eq=False)
class Watch:
    """Hears a run that was planned, and writes down at its end what came of the plan."""

    plan: Plan
    journal: Journal
    clock: Clock
    started_s: float
    tally: Tally = field(default_factory=Tally)

    def __call__(self, event: Event) -> None:
        """Takes one event, on the engine's thread, where the journal may be written.

        Raises:
            JournalWriteError: If the end cannot be written down.
        """
        self.tally(event)
        if isinstance(event, RunFinished):
            self.plan.hindsight = self.tally.hindsight(self.plan, event.run_id, self.clock.monotonic() - self.started_s)
            if event.status == "done":  # one that was stopped says nothing of what it would have come to
                for row in planned(self.plan, self.plan.hindsight, event.finished_at):
                    self.journal.write(row)


_shown: WeakKeyDictionary[Workspace, dict[str, Plan]] = WeakKeyDictionary()
"""By workspace and flow, the plan that was shown last and that no run has followed yet."""


def keep(plan: Plan, workspace: Workspace) -> None:
    """Keeps the plan that was shown of a flow until the flow is run in this process."""
    _shown.setdefault(workspace, {})[plan.flow.name] = plan


def watch(flow: Flow, workspace: Workspace, items: int, chosen: tuple[str, str | None]) -> tuple[Watch, ...]:
    """Who watches a run, where a plan of just this run was shown before it: the same text, items, strategy and model.

    Args:
        flow: What is run.
        workspace: Where.
        items: How many items there are.
        chosen: The run's strategy and the model where one was named.
    """
    plan = _shown.get(workspace, {}).get(flow.name)
    if plan is None or (plan.flow.graph.source, plan.items, plan.chosen) != (flow.graph.source, items, chosen):
        return ()
    del _shown[workspace][flow.name]
    return (Watch(plan, workspace.services.journal, workspace.clock, workspace.clock.monotonic()),)


def planned(plan: Plan, hindsight: Hindsight, at: datetime) -> Sequence[StepPlanned]:
    """The rows that the ledger keeps of a plan and of what came of it."""
    plan_id = new_id()
    return [
        _row(plan, line, actual, plan_id=plan_id, run_id=hindsight.run_id, at=at)
        for line, actual in zip(plan.lines, hindsight.lines, strict=True)
        if line.basis
    ]


def _row(plan: Plan, line: PlanLine, actual: StepActual, *, plan_id: str, run_id: RunId, at: datetime) -> StepPlanned:
    return StepPlanned(
        plan_id=plan_id,
        run_id=run_id,
        flow=plan.flow.name,
        step=line.step,
        model=line.full_model,
        calls=line.calls.expected,
        cached_calls=line.cached_calls.expected,
        input_tokens=line.input_tokens.expected,
        output_tokens=line.output_tokens.expected,
        low_usd=line.cost_usd.low,
        expected_usd=line.cost_usd.expected,
        high_usd=line.cost_usd.high,
        expected_s=line.time_s,
        actual_calls=actual.calls,
        actual_usd=actual.cost_usd,
        actual_s=actual.busy_s / plan.concurrency,
        basis=line.basis,
        planned_at=at,
    )


def seen_afterwards(plan: Plan, run: Run) -> Hindsight:
    """What a run came to, in the lines of a plan, from the ledger.

    Raises:
        UsageError: If it is a run of another flow, or is still under way.
    """
    if run.flow.name != plan.flow.name:
        raise UsageError(f"That is a run of {run.flow.name}, and the plan is for {plan.flow.name}.")
    if run.status in {"running", "paused"}:
        raise UsageError(f"The run is {run.status}.", hint="Wait for its end: run.wait().")
    tally = Tally()
    for step, model, *sums in plan.flow.workspace.ledger.sql(_ASKED, [run.id]).itertuples(index=False, name=None):
        tally.add(step, model, StepActual(**dict(zip(_SUMS, sums, strict=True))))
    return tally.hindsight(plan, run.id, run.progress.elapsed_s)


def _sum(parts: Sequence[StepActual]) -> StepActual:
    return StepActual(
        calls=sum(each.calls for each in parts),
        cached_calls=sum(each.cached_calls for each in parts),
        input_tokens=sum(each.input_tokens for each in parts),
        output_tokens=sum(each.output_tokens for each in parts),
        cost_usd=sum(each.cost_usd for each in parts),
        busy_s=sum(each.busy_s for each in parts),
    )
