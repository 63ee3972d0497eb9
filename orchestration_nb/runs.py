"""One execution of a flow, as its user holds it: its state, its results, and the ways to wait for it or stop it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestration_nb.engine.loop import POLL_S, wait
from orchestration_nb.engine.progress import Progress
from orchestration_nb.engine.run import FlowRun
from orchestration_nb.errors import OrchestrationError, OverBudgetError, UsageError
from orchestration_nb.events import Event, RequestFinished, RunStatus
from orchestration_nb.frames import Table, results_of
from orchestration_nb.ids import RunId
from orchestration_nb.options import amount
from orchestration_nb.planning.hindsight import Watch
from orchestration_nb.state.batches import BatchRow
from orchestration_nb.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from orchestration_nb.flows import Flow
    from orchestration_nb.plan import Plan
    from orchestration_nb.scoring import RunScores, StepScores

CANCEL_S = 1.0
"""How long an interrupted cell waits for what was in flight to be booked."""


@dataclass(slots=True)
class Requests:
    """Counts the requests of each step; listens to the run's events."""

    by_step: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Step to model to how many requests it answered."""
    failed: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    """Step to how many calls were made for it."""

    def __call__(self, event: Event) -> None:
        """Takes one event."""
        if isinstance(event, RequestFinished):
            self.calls[event.step] += event.calls
            if event.model is None:
                self.failed[event.step] += 1
            else:
                self.by_step[event.step][event.model] += 1


@dataclass(slots=True, eq=False)
class Run:
    """One execution of a flow; also while it is under way."""

    flow: Flow
    id: RunId
    progress: Progress
    """How far it is: counters that may be read at any time."""
    _flow_run: FlowRun
    _table: Table | None
    _workspace: Workspace
    _requests: Requests
    _scores: RunScores | None = None

    def __repr__(self) -> str:
        done = f"{self.progress.done} of {self.progress.items} items"
        money = f"${self.cost_usd:,.4f}{' simulated' if self.progress.simulated else ''}"
        return f"<Run {self.id} of {self.flow.name}: {self.status}, {done}, {money}>"

    @property
    def sample(self) -> int | None:
        """How many rows were drawn from the table, or ``None`` where it was run whole."""
        return self._flow_run.started.sample

    @property
    def seed(self) -> int:
        """What the sample and the random choices of strategies were drawn with."""
        return self._flow_run.started.seed

    @property
    def plan(self) -> Plan | None:
        """The plan that was shown of just this run before it, with what came of it; ``None`` where there was none."""
        heard = self._flow_run.context.listeners
        return next((listener.plan for listener in heard if isinstance(listener, Watch)), None)

    @property
    def status(self) -> RunStatus:
        """``running``, ``paused``, ``done``, ``failed`` or ``cancelled``."""
        return self.progress.status

    @property
    def error(self) -> OrchestrationError | None:
        """Why the run as a whole failed, or ``None``; items that failed are in :attr:`errors`."""
        return self._flow_run.stopped_because

    @property
    def first_error(self) -> BaseException | None:
        """What the first failed item met, or ``None``."""
        return self._flow_run.first_error

    def value(self, step: str, item: int = 0) -> Any:
        """The value of a step of one item as it is, without the way through a column; ``None`` where there is none."""
        return self._flow_run.outcome.steps[step].values[item]  # noqa: PD011 - no table

    @property
    def results(self) -> pd.DataFrame:
        """One row an item, in the order of the input; complete once the run has ended.

        Its columns: those of the input, one a step, ``_score`` where items are scored (``_score_STEP`` where several
        steps are), ``_status``, ``_error``, ``_cost_usd`` (US dollars at list price) and ``_latency_ms``.
        """
        names = {"running": "running", "paused": "paused", "cancelled": "cancelled"}
        outcome = self._flow_run.outcome
        size = len(self._table) if self._table is not None else 1
        scores = {step.column: [step.shown(item) for item in range(size)] for step in self.scores}
        return results_of(self._table, outcome, names.get(self.status, "skipped"), scores)

    @property
    def scores(self) -> tuple[StepScores, ...]:
        """The scores of each step that is scored; they grow while the run goes on."""
        return () if self._scores is None else self._scores.steps

    @property
    def score_lines(self) -> list[str]:
        """How good the items were, and what that means for a rollout, in sentences."""
        return [] if self._scores is None else self._scores.told()

    @property
    def errors(self) -> pd.DataFrame:
        """One row a failed step: ``item``, ``step``, ``error_type``, ``error``.

        ``item`` is the position in the input, -1 for a step that is evaluated once per run.
        """
        import pandas as pd  # noqa: PLC0415

        rows = [(item, step.step, step.error_type, step.error) for item, step in self._flow_run.failures]
        return pd.DataFrame(rows, columns=["item", "step", "error_type", "error"]).sort_values(
            "item", ignore_index=True
        )

    @property
    def steps(self) -> pd.DataFrame:
        """One row a step: its ``kind``, ``calls``, ``models``, ``cost_usd``, ``p50_ms``, ``p95_ms`` and ``errors``."""
        import pandas as pd  # noqa: PLC0415

        failed = Counter(step.step for _, step in self._flow_run.failures)
        once = {step.step: step for step in self._flow_run.once}
        rows = []
        for step in self.flow.graph.steps:
            column = self._flow_run.outcome.steps[step.name]
            single = once.get(step.name)
            latency_ms = pd.Series(column.latency_ms if single is None else [single.latency_ms], dtype=float).dropna()
            models = self._requests.by_step.get(step.name, Counter())
            rows.append(
                {
                    "step": step.name,
                    "kind": step.kind,
                    "calls": self._requests.calls[step.name],
                    "models": ", ".join(name for name, _ in models.most_common()),
                    "cost_usd": float(sum(column.cost_usd)) if single is None else single.cost_usd,
                    "p50_ms": float(latency_ms.quantile(0.5)),
                    "p95_ms": float(latency_ms.quantile(0.95)),
                    "errors": failed[step.name],
                }
            )
        return pd.DataFrame(rows)

    @property
    def calls(self) -> pd.DataFrame:
        """The run's rows of the ledger's table ``calls``."""
        return self._workspace.ledger.sql("SELECT * FROM calls WHERE run_id = ? ORDER BY call_id", [self.id])

    @property
    def batches_left(self) -> tuple[BatchRow, ...]:
        """Batches that go on at their providers after the run was cancelled; the same cell joins them."""
        return tuple(self._flow_run.left_under_way)

    @property
    def left_under_way(self) -> int:
        """How many calls go on in :attr:`batches_left`."""
        return sum(batch.waiting for batch in self.batches_left)

    @property
    def cost_usd(self) -> float:
        """US dollars at list price, cache hits included."""
        return self.progress.cost_usd

    @property
    def billed_usd(self) -> float:
        """US dollars spent; simulated ones where the models are."""
        return self.progress.billed_usd

    def cancel(self) -> None:
        """Stops everything in flight; what is finished stays."""
        self._workspace.engine.loop.call_soon_threadsafe(self._flow_run.cancel)

    def pause(self) -> None:
        """Sends nothing more until :meth:`resume`; what is in flight ends."""
        self._workspace.engine.loop.call_soon_threadsafe(self._flow_run.pause)

    @property
    def waits_for(self) -> OverBudgetError | None:
        """The budget that the run waits for, as the refusal that it met, or ``None``."""
        return self._flow_run.context.waits_for

    def resume(self, budget: float | None = None) -> None:
        """Goes on after :meth:`pause`, or after a budget was reached.

        Args:
            budget: The new amount in US dollars of the budget that the run waits for; ``None`` leaves it.

        Raises:
            UsageError: If that budget is not more than what is spent of it, or the run waits for none, or where the
                engine's own thread (a listener, say) would wait for itself.
            StateError: If it cannot be written down.
        """
        loop = self._workspace.engine.loop
        if budget is not None:
            refusal, budget = self.waits_for, amount({"budget": budget}, 0)
            if self._workspace.engine.is_current():
                raise UsageError(
                    "A budget cannot be raised on the engine's own thread.", hint="Raise it from a thread of your own."
                )
            if refusal is None:
                raise UsageError(f"The run {self.id} waits for no budget.", hint="resume() without an amount goes on.")
            wait(self._workspace.engine.submit(self._flow_run.context.budget.raise_limit(refusal.budget, budget)))
            if refusal.budget == "run":  # its own: displays say how much of it is spent
                self.progress.budget_usd = budget
        loop.call_soon_threadsafe(self._flow_run.resume)

    def leave(self) -> None:
        """Ends a run that waits for its budget where it stands; ``resumes=`` goes on with it another day."""
        self._workspace.engine.loop.call_soon_threadsafe(self._flow_run.leave)

    def wait(
        self, *, on_tick: Callable[[], None] | None = None, ask: Callable[[OverBudgetError], None] | None = None
    ) -> Run:
        """Blocks until the run has ended.

        Args:
            on_tick: Called every 50 ms on the caller's thread.
            ask: Called there when the run waits for a budget; calls :meth:`resume` or :meth:`leave`. Without it the run
                ends as ``paused``, since nobody could raise the budget while this waits.

        Raises:
            KeyboardInterrupt: If interrupted; the run is cancelled first.
            JournalWriteError: If the run stopped because it could not be recorded.
        """
        if self._workspace.engine.is_current():
            raise UsageError("A flow cannot block the engine's own thread.", hint="Write `await flow.amap(...)`.")
        try:
            with self._workspace.engine.executor.lending():
                wait(self._flow_run.ended, on_tick=lambda: self._tick(on_tick, ask))
        except KeyboardInterrupt:
            self.cancel()
            concurrent.futures.wait([self._flow_run.ended], timeout=CANCEL_S)
            raise
        return self._ended()

    def _tick(self, on_tick: Callable[[], None] | None, ask: Callable[[OverBudgetError], None] | None) -> None:
        refusal = self.waits_for
        if refusal is not None and not self._flow_run.context.left:
            (ask or (lambda _: self.leave()))(refusal)
        if on_tick is not None:
            on_tick()

    async def done(self) -> Run:
        """Waits in an async cell until the run has ended; one that waits for its budget goes on waiting.

        An idle loop of a kernel is not woken by an interrupt, so this waits in small steps.

        Raises:
            JournalWriteError: If the run stopped because it could not be recorded.
        """
        try:
            while not self._flow_run.ended.done():  # noqa: ASYNC110 - only a ticker lets an interrupt through
                await asyncio.sleep(POLL_S)
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self._ended()

    def _ended(self) -> Run:
        unrecorded = self._flow_run.ended.result()
        if unrecorded is not None:
            raise unrecorded
        return self
