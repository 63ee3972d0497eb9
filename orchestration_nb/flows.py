"""The public face of a flow: :class:`Flow` runs it, :class:`Run` is one execution."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from orchestration_nb.cost.budget import Budget
from orchestration_nb.engine.loop import POLL_S, wait
from orchestration_nb.engine.outcome import Outcome
from orchestration_nb.engine.progress import Progress
from orchestration_nb.engine.run import FlowRun, OnError, begun
from orchestration_nb.engine.services import RunContext
from orchestration_nb.errors import JournalWriteError, UsageError
from orchestration_nb.events import RunStatus
from orchestration_nb.flow import BoundFlow, Graph, Pending, parse, set_outside
from orchestration_nb.frames import Table, results_of, table_of
from orchestration_nb.ids import RunId, new_id
from orchestration_nb.version import __version__
from orchestration_nb.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

CANCEL_S = 1.0
"""How long an interrupted cell waits for what was in flight to be booked."""


class RunOptions(TypedDict, total=False):
    """How a flow is run; all may be left out."""

    strategy: str | Callable[..., Any] | None
    """Which models are asked by steps that name none; ``None``: ``fixed``."""
    model: str | None
    """The model or alias for steps that name none; not together with ``strategy``."""
    budget: float | None
    """US dollars; ``None``: the setting ``budget_usd`` (5 unless set)."""
    concurrency: int | None
    """Most calls in flight; ``None``: the setting."""
    sample: int | None
    """Run over so many rows, drawn with ``seed``."""
    seed: int
    """Makes the sample and the random choices of strategies repeatable; 0 unless set."""
    on_error: OnError
    """``keep`` (an item that fails stands in its row) or ``stop``."""
    fresh: bool
    """Pay again for what the cache holds."""
    tags: Mapping[str, str]
    """Kept with the run in the ledger."""


@dataclass(slots=True, eq=False)
class Run:
    """One execution of a flow; also while it is under way."""

    flow: str
    id: RunId
    progress: Progress
    _flow_run: FlowRun
    _table: Table | None
    _workspace: Workspace

    def __repr__(self) -> str:
        done = f"{self.progress.done} of {self.progress.items} items"
        money = f"${self.cost_usd:,.4f}{' simulated' if self.progress.simulated else ''}"
        return f"<Run {self.id} of {self.flow}: {self.status}, {done}, {money}>"

    @property
    def status(self) -> RunStatus:
        """``running``, ``paused``, ``done``, ``failed`` or ``cancelled``."""
        return self.progress.status

    @property
    def error(self) -> str | None:
        """Why the run as a whole failed, or ``None``."""
        return self._flow_run.stopped_because

    @property
    def first_error(self) -> BaseException | None:
        """The exception that the first failed item met, or ``None``."""
        return self._flow_run.first_error

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the steps, in order."""
        return tuple(self._flow_run.outcome.steps)

    @property
    def results(self) -> pd.DataFrame:
        """One row an item, in the order of the input: its columns, the steps, ``_status``, ``_error``, ``_cost_usd``
        (US dollars at list price) and ``_latency_ms``; complete once the run has ended.
        """  # noqa: D205
        unfinished = {"running": "running", "paused": "paused", "cancelled": "cancelled"}.get(self.status, "skipped")
        return results_of(self._table, self._flow_run.outcome, unfinished)

    @property
    def errors(self) -> pd.DataFrame:
        """The rows of :attr:`results` whose item failed."""
        results = self.results
        return results[results["_status"] == "failed"]

    @property
    def calls(self) -> pd.DataFrame:
        """The run's rows of the ledger's table ``calls``."""
        return self._workspace.ledger.sql("SELECT * FROM calls WHERE run_id = ? ORDER BY call_id", [self.id])

    @property
    def step_summary(self) -> pd.DataFrame:
        """One row a step: items, failed, cost (US dollars), p50 and p95 latency (ms)."""
        import pandas as pd  # noqa: PLC0415

        rows = []
        for name, column in self._flow_run.outcome.steps.items():
            latency = pd.Series(column.latency_ms, dtype=float).dropna()
            rows.append(
                {
                    "step": name,
                    "items": len(latency),
                    "cost_usd": sum(column.cost_usd),
                    "p50_ms": latency.quantile(0.5),
                    "p95_ms": latency.quantile(0.95),
                }
            )
        return pd.DataFrame(rows)

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

    def resume(self) -> None:
        """Goes on after :meth:`pause`."""
        self._workspace.engine.loop.call_soon_threadsafe(self._flow_run.resume)

    def wait(self, *, on_tick: Callable[[], None] | None = None) -> Run:
        """Blocks until the run has ended.

        Args:
            on_tick: Called every 50 ms on the caller's thread.

        Raises:
            KeyboardInterrupt: If interrupted; the run is cancelled first.
            JournalWriteError: If the run stopped because it could not be recorded.
        """
        if self._workspace.engine.is_current():
            raise UsageError("A flow cannot block the engine's own thread.", hint="Write `await flow.amap(...)`.")
        try:
            wait(self._flow_run.ended, on_tick=on_tick)
        except KeyboardInterrupt:
            self.cancel()
            concurrent.futures.wait([self._flow_run.ended], timeout=CANCEL_S)
            raise
        return self._ended()

    async def done(self) -> Run:
        """Waits in an async cell until the run has ended.

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
        error = self._flow_run.ended.result()
        if isinstance(error, JournalWriteError):
            raise error
        return self


@dataclass(slots=True, eq=False)
class Flow:
    """A flow: the graph of its steps, and the names it was written among."""

    graph: Graph
    namespace: Mapping[str, Any] = field(default_factory=dict)
    last: Run | None = None
    """The latest run."""
    _workspace: Workspace | None = None

    @classmethod
    def from_source(
        cls, text: str, *, name: str, namespace: Mapping[str, Any] | None = None, workspace: Workspace | None = None
    ) -> Flow:
        """The flow that a cell's text describes; nothing of it is executed.

        Args:
            text: The body of the cell.
            name: The flow's name, an identifier.
            namespace: Variables that the steps may use; read anew by each run.
            workspace: Where it runs; the current one unless given.

        Raises:
            FlowError: With the line, and what to write instead.
        """
        return cls(parse(text, name=name), namespace if namespace is not None else {}, None, workspace)

    @property
    def name(self) -> str:
        """The flow's name."""
        return self.graph.name

    def __repr__(self) -> str:
        return f"<Flow {self.name}: {' -> '.join(step.name for step in self.graph.steps)}>"

    def map(self, frame: Any, **options: Unpack[RunOptions]) -> Run:
        """Runs the flow over each row of a table and waits for the end.

        Args:
            frame: A DataFrame, or a list of dictionaries.
            **options: See :class:`RunOptions`.

        Raises:
            OrchestrationError: If it cannot be run at all; an item that fails stands in its row instead.
        """
        return self.start(frame, **options).wait()

    def run(self, **values: Any) -> Run:
        """Runs the flow once, on these values and the namespace's variables, and waits for the end."""
        return self.start(None, values=values).wait()

    async def amap(self, frame: Any, **options: Unpack[RunOptions]) -> Run:
        """:meth:`map`, to be awaited."""
        return await self.start(frame, **options).done()

    async def arun(self, **values: Any) -> Run:
        """:meth:`run`, to be awaited."""
        return await self.start(None, values=values).done()

    def start(
        self, frame: Any = None, *, values: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Run:
        """Starts a run and returns at once.

        Args:
            frame: A table, or ``None``: the flow runs once.
            values: Without a table: names and values that the steps may use.
            **options: See :class:`RunOptions`.

        Raises:
            OrchestrationError: If it cannot be run at all.
        """
        workspace = self._workspace or Workspace.current()
        table = table_of(frame) if frame is not None else None
        seed = options.get("seed", 0)
        if table is not None and (sample := options.get("sample")) is not None:
            if sample < 1:
                raise UsageError(f"A sample of {sample} rows is none.", hint="Use --sample with a number from 1.")
            table = table.sampled(sample, seed)
        bound = self.graph.bind(
            table.columns if table is not None else (), {**self.namespace, **(values or {})}, item=table is not None
        )
        self.last = _start(workspace, self, bound, table, options)
        return self.last


def _start(workspace: Workspace, flow: Flow, bound: BoundFlow, table: Table | None, options: RunOptions) -> Run:
    settings, clock = workspace.settings, workspace.clock
    budget, concurrency = _amount(options.get("budget"), settings.budget_usd), _count(options, settings.concurrency)
    strategy_name, model = _chosen(workspace, options)
    _check_models(workspace, bound, model, strategy_name)
    run_id, size = RunId(new_id()), len(table) if table is not None else 1
    progress = Progress(clock=clock, started_s=clock.monotonic(), items=size, budget_usd=budget)
    context = RunContext(
        run_id=run_id,
        flow=flow.name,
        services=workspace.services,
        budget=Budget(budget),
        turns=asyncio.Semaphore(concurrency),
        strategy=workspace.strategies.find(options.get("strategy") or "fixed"),
        strategy_name=strategy_name,
        fixed=workspace.strategies.find("fixed"),
        find_strategy=workspace.strategies.find,
        model=model,
        fresh=options.get("fresh", False),
        seed=options.get("seed", 0),
        progress=progress,
        listeners=tuple(workspace.listeners),
    )
    started = begun(
        run_id=run_id,
        flow=flow.name,
        source=flow.graph.source,
        steps=tuple(step.describe() for step in bound.steps),
        strategy=strategy_name,
        model=model,
        budget_usd=budget,
        concurrency=concurrency,
        seed=context.seed,
        sample=options.get("sample"),
        items=size,
        tags=dict(options.get("tags") or {}),
        started_at=clock.now(),
        package_version=__version__,
    )
    flow_run = FlowRun(
        bound=bound,
        items=table.items() if table is not None else iter([{}]),
        started=started,
        context=context,
        on_error=options.get("on_error", "keep"),
        each=table is not None,
        outcome=Outcome.of([step.name for step in bound.steps]),
    )
    workspace.engine.submit(flow_run.execute())
    return Run(flow.name, run_id, progress, flow_run, table, workspace)


def _amount(given: float | None, otherwise: float) -> float:
    budget = otherwise if given is None else given
    if not 0 <= budget < float("inf"):
        raise UsageError(f"A budget of {budget} dollars is none.", hint="Use a number from 0, such as --budget 2.50.")
    return float(budget)


def _count(options: RunOptions, otherwise: int) -> int:
    concurrency = options.get("concurrency") or otherwise
    if not 1 <= concurrency <= 4096:
        raise UsageError(f"{concurrency} calls in flight are not possible.", hint="Use --concurrency from 1 to 4096.")
    return concurrency


def _chosen(workspace: Workspace, options: RunOptions) -> tuple[str, str | None]:
    strategy, model = options.get("strategy"), options.get("model")
    if strategy is not None and model is not None:
        raise UsageError(
            "A strategy chooses the models itself, so --strategy and --model do not go together.",
            hint="Leave one of them away, or pin single steps with llm(..., model=...).",
        )
    found = workspace.strategies.find(strategy or "fixed")
    return str(getattr(found, "__name__", strategy)), model


def _check_models(workspace: Workspace, bound: BoundFlow, model: str | None, strategy: str) -> None:
    """Finds a model that does not exist or has no key before anything is paid."""
    named = {name for step in bound.steps for name in step.models}
    if model is not None:
        named.add(model)
    elif strategy == "fixed" and any(step.kind == "llm" and not step.models for step in bound.steps):
        named.add("medium")
    for name in sorted(named):
        workspace.usable(name)


def _answer_at_once(pending: Pending) -> Any:
    """Answers an ``llm(...)`` that stands outside a flow: a run of one step, recorded like any other."""
    run = Flow.from_source("reply = ask()", name="llm", namespace={"ask": lambda: pending}).run()
    error = run.first_error
    if error is not None:
        raise error
    return run.results["reply"].iloc[0]


set_outside(_answer_at_once)
