"""The public face of a flow: :class:`Flow` runs it, :class:`Run` is one execution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

from orchestration_nb.calls import Strategy
from orchestration_nb.catalog import Model
from orchestration_nb.cost.budget import RunBudget, Spender
from orchestration_nb.engine.outcome import Outcome
from orchestration_nb.engine.progress import Progress
from orchestration_nb.engine.run import FlowRun, begun
from orchestration_nb.engine.services import RunContext, Services
from orchestration_nb.errors import UsageError
from orchestration_nb.events import Listener, RunStarted
from orchestration_nb.flow import BoundFlow, Graph, Pending, llm, parse, set_outside
from orchestration_nb.frames import Table, table_of
from orchestration_nb.ids import RunId, new_id
from orchestration_nb.options import RunOptions, amount, check_options, count
from orchestration_nb.plan import Plan
from orchestration_nb.planning.forecast import Setting, plan_of
from orchestration_nb.planning.hindsight import keep, watch
from orchestration_nb.providers.batches import refused_batch_models
from orchestration_nb.routing.fallback import fallbacks_of, models_of
from orchestration_nb.routing.registry import DEFAULT_MODEL
from orchestration_nb.runs import Requests, Run
from orchestration_nb.version import __version__
from orchestration_nb.whence import pipeline_id, pipeline_root, pipeline_tags, resumption
from orchestration_nb.workspace import Workspace

if TYPE_CHECKING:
    from orchestration_nb.scoring import RunScores

__all__ = ["Flow", "Plan", "Run", "RunOptions", "llm"]


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

    @property
    def workspace(self) -> Workspace:
        """Where it runs: the one it was made for, else the current one."""
        return self._workspace or Workspace.current()

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
        self._refuse_engine_thread()
        return self.start(frame, **options).wait()

    def run(self, **values: Any) -> Run:
        """Runs the flow once, on these values and the namespace's variables, and waits for the end.

        Args:
            **values: Names that the steps may use. Options are for :meth:`start`: ``start(values=..., budget=1)``.
        """
        self._refuse_engine_thread()
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
        table = _input(frame, options)
        bound = self._bound(table, values or {})
        self.last = _start(self.workspace, self, bound, table, options)
        return self.last

    def plan(self, frame: Any = None, **options: Unpack[RunOptions]) -> Plan:
        """What a run would ask, cost and take, without asking: from past calls where there are some, else the prompts.

        Args:
            frame: As for :meth:`start`.
            **options: As for :meth:`start`.

        Raises:
            OrchestrationError: If it could not be run at all.
        """
        self._refuse_engine_thread()
        workspace, settings = self.workspace, self.workspace.settings
        table = _input(frame, options)
        bound = self._bound(table, {})
        function, strategy, model = _chosen(workspace, self.name, options)
        _check_models(workspace, bound, model, function, batch=options.get("batch", False), known=workspace.usable)
        setting = Setting(
            strategy=strategy,
            function=function,
            model=model,
            budget_usd=_account(workspace, self, options).limit_usd,
            concurrency=count(options, settings.concurrency),
            fresh=options.get("fresh", False),
            batch=options.get("batch", False),
        )
        plan = plan_of(self, bound, table, setting, workspace)
        keep(plan, workspace)
        return plan

    def _bound(self, table: Table | None, values: Mapping[str, Any]) -> BoundFlow:
        columns = table.columns if table is not None else ()
        for step in self.graph.steps:
            if step.name in values:
                raise UsageError(f"{step.name!r} is a step of the flow, so no value can be given for it.")
        self._refuse_options(values)
        return self.graph.bind(columns, {**self.namespace, **values}, item=table is not None)

    def _refuse_options(self, values: Mapping[str, Any]) -> None:
        """An option among the values of ``run()`` that no step reads was meant as an option: say so before it costs."""
        read = {read.name for step in self.graph.steps for read in step.inputs}
        for name in values.keys() & RunOptions.__annotations__.keys() - read:
            raise UsageError(
                f"No step uses {name!r}; run() takes values for the steps, not options.",
                hint=f"Write flow.start(values={{...}}, {name}=...).wait().",
            )

    def _refuse_engine_thread(self) -> None:
        if self.workspace.engine.is_current():
            raise UsageError("A flow cannot block the engine's own thread.", hint="Write `await flow.amap(...)`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """What is different in a run that a comparison makes of a flow."""

    account: RunId
    """The runs of one comparison spend one run budget, under this name."""
    around: Callable[[Strategy], Strategy]
    """Put around every strategy that answers, that of pinned steps included."""
    services: Services
    """What it works with: a journal of its own where nothing is to be recorded."""
    turns: asyncio.Semaphore
    """As many as calls may be in flight, in all its runs."""
    listeners: tuple[Listener, ...] = ()
    asks: bool = True
    """Whether models are asked, so that their keys must be there; else recorded replies answer."""


def start_apart(flow: Flow, table: Table, apart: Apart, options: RunOptions) -> Run:
    """Starts a run of a comparison; the flow's ``last`` stays what it is.

    Raises:
        OrchestrationError: If it cannot be run at all.
    """
    return _start(flow.workspace, flow, flow._bound(table, {}), table, options, apart)  # noqa: SLF001 - of this module


def _input(frame: Any, options: RunOptions) -> Table | None:
    check_options(options)
    if frame is None:
        return None
    table, sample = table_of(frame), options.get("sample")
    return table if sample is None else table.sampled(sample, options.get("seed", 0))


def _start(
    workspace: Workspace,
    flow: Flow,
    bound: BoundFlow,
    table: Table | None,
    options: RunOptions,
    apart: Apart | None = None,
) -> Run:
    settings, clock = workspace.settings, workspace.clock
    account, concurrency = _account(workspace, flow, options), _concurrency(workspace, options)
    services, around = (apart.services, apart.around) if apart else (workspace.services, _as_it_is)
    strategy, strategy_name, model = _chosen(workspace, flow.name, options)
    known = workspace.usable if apart is None or apart.asks else workspace.catalog.resolve
    _check_models(workspace, bound, model, strategy, batch=options.get("batch", False), known=known)
    scores = _scores(flow, table, options, (strategy_name, strategy))
    around = around if scores is None else scores.around
    requests = Requests()
    run_id, size = RunId(new_id()), len(table) if table is not None else 1
    shared = apart.account if apart else account.root
    budget = _budget(workspace, flow, run_id, _Account(shared, account.limit_usd), options)
    progress = Progress(clock=clock, started_s=clock.monotonic(), items=size, budget_usd=account.limit_usd)
    progress.limited_because = workspace.services.limits.note
    context = RunContext(
        run_id=run_id,
        flow=flow.name,
        services=services,
        budget=budget,
        turns=apart.turns if apart else asyncio.Semaphore(concurrency),
        strategy=around(strategy),
        strategy_name=strategy_name,
        fixed=around(workspace.strategies.find("fixed")),
        find_strategy=lambda name: around(workspace.strategies.find(name)),
        model=model,
        fresh=options.get("fresh", False),
        seed=options.get("seed", 0),
        degrade=options.get("degrade", settings.degrade),
        progress=progress,
        listeners=(
            requests,
            *(apart.listeners if apart else watch(flow, workspace, size, (strategy_name, model))),
            *((scores,) if scores else ()),
            workspace.burn_watch,
            *workspace.listeners,
        ),
    )
    if options.get("batch"):
        context.batches = workspace.batches(lambda: progress.at_work)
        progress.limited_because = context.batches.note
    started = _beginning(context, bound, flow.graph.source, account, concurrency, options)
    flow_run = _flow_run(context, bound, table, started, options, scores)
    workspace.engine.submit(flow_run.execute())
    return Run(flow, run_id, progress, flow_run, table, workspace, requests, scores)


def _flow_run(
    context: RunContext,
    bound: BoundFlow,
    table: Table | None,
    started: RunStarted,
    options: RunOptions,
    scores: RunScores | None,
) -> FlowRun:
    outcome = Outcome.of([step.name for step in bound.steps])
    if scores is not None:
        scores.begin(context, lambda step, item: outcome.steps[step].values[item])
    return FlowRun(
        bound=bound,
        items=table.items() if table is not None else iter([{}]),
        started=started,
        context=context,
        on_error=options.get("on_error", "keep"),
        each=table is not None,
        outcome=outcome,
        beside=scores,
    )


def _scores(flow: Flow, table: Table | None, options: RunOptions, strategy: tuple[str, Strategy]) -> RunScores | None:
    """What scores the items of the run, where it was asked for, or the strategy is a rollout.

    Raises:
        UsageError: If a scorer cannot be read, or an item has not what it needs.
    """
    option, rollout = options.get("score"), None
    if hasattr(strategy[1], "standing"):
        from orchestration_nb.rollouts import keys_of, needs_scores, with_score  # noqa: PLC0415 - loads numpy

        rollout = needs_scores(strategy[1])
        option = option if rollout is None else with_score(option, rollout.standing)
    if option is None or option == ():
        return None
    from orchestration_nb.scoring import RunScores, kept_learning, scorers_of  # noqa: PLC0415 - only where asked for

    items = list(table.items()) if table is not None else [{}]
    scorers = scorers_of(flow.graph, option, table.columns if table is not None else (), flow.namespace)
    scores = RunScores([scorer.ready(items) for scorer in scorers], items, strategy[0])
    scores.learned = kept_learning(strategy[1], flow.workspace.folder)
    if rollout is not None:
        rollout.key_of, scores.witness = keys_of(items), (rollout, rollout.standing.step)
    return scores


def _as_it_is(strategy: Strategy) -> Strategy:
    return strategy


def _concurrency(workspace: Workspace, options: RunOptions) -> int:
    if options.get("batch"):
        return workspace.settings.batch.most_requests  # all of a batch wait at once, and nothing is on a wire of ours
    return count(options, workspace.settings.concurrency)


def _beginning(
    context: RunContext, bound: BoundFlow, source: str, account: _Account, concurrency: int, options: RunOptions
) -> RunStarted:
    """What is recorded when a run begins."""
    spender = context.budget.spender
    return begun(
        run_id=context.run_id,
        flow=context.flow,
        source=source,
        steps=tuple(step.describe() for step in bound.steps),
        strategy=context.strategy_name,
        model=context.model,
        budget_usd=account.limit_usd,
        concurrency=concurrency,
        seed=context.seed,
        sample=options.get("sample"),
        items=context.progress.items,
        tags=spender.tags,
        user=spender.user,
        notebook=spender.notebook,
        resumes=account.root,
        batch=context.batches is not None,
        pipeline_id=pipeline_id(),
        started_at=context.services.clock.now(),
        package_version=__version__,
    )


def _budget(workspace: Workspace, flow: Flow, run_id: RunId, account: _Account, options: RunOptions) -> RunBudget:
    """The run's budget, and whose money it spends."""
    spender = Spender(
        run_id=run_id,
        root_run_id=account.root or run_id,
        flow=flow.name,
        notebook=workspace.notebook,
        pipeline=pipeline_root(),
        user=workspace.user,
        tags={**pipeline_tags(), **{str(name): str(value) for name, value in (options.get("tags") or {}).items()}},
    )
    reached = options.get("on_budget") or workspace.settings.reached
    return workspace.budgets.open_run(spender, limit_usd=account.limit_usd, reached=reached)


@dataclass(frozen=True, slots=True)
class _Account:
    """The money of a run: its own, or that of the run it goes on with."""

    root: RunId | None
    """The first of the runs that share it, or ``None`` for a run of its own."""
    limit_usd: float


def _account(workspace: Workspace, flow: Flow, options: RunOptions) -> _Account:
    """The run budget: a run that is resumed goes on with the account of the first one, and its limit unless given."""
    named, given = options.get("resumes"), options.get("budget")
    said = resumption() if named is None else None
    if said is not None and _flow_of(workspace, said[0]) == flow.name:
        named, given = said[0], said[1] if given is None or said[1] is not None else given
    if named is None:
        return _Account(None, amount(options, workspace.settings.budget_usd))
    if named == "last":
        newest = workspace.ledger.sql("select max(run_id) as run_id from runs where flow = ?", [flow.name])
        named = str(newest["run_id"].iloc[0]) if newest["run_id"].notna().all() else named
    run = workspace.ledger.run(named).run
    if run["flow"] != flow.name:
        raise UsageError(
            f"The run {named} is one of {run['flow']!r}, not of {flow.name!r}.", hint="`%orchestrate runs` lists them."
        )
    limit_usd = float(run["budget_usd"]) if given is None else amount({"budget": given}, 0)
    return _Account(RunId(run["resumes"] or run["run_id"]), limit_usd)


def _flow_of(workspace: Workspace, run: str) -> str:
    return str(workspace.ledger.run(run).run["flow"])


def _chosen(workspace: Workspace, flow: str, options: RunOptions) -> tuple[Strategy, str, str | None]:
    """The strategy, its name, and the model where one was named."""
    strategy, model = options.get("strategy"), options.get("model")
    if strategy is not None and model is not None:
        raise UsageError(
            "A strategy chooses the models itself, so --strategy and --model do not go together.",
            hint="Leave one of them away, or pin single steps with llm(..., model=...).",
        )
    found = workspace.strategies.find(strategy or "fixed")
    of = getattr(found, "rollout_of", None)
    if of is not None:
        from orchestration_nb.rollouts import bound  # noqa: PLC0415 - loads numpy

        found = bound(workspace, flow, of)
    return found, str(getattr(found, "__name__", strategy)), model


def _check_models(
    workspace: Workspace,
    bound: BoundFlow,
    model: str | None,
    strategy: Strategy,
    *,
    batch: bool,
    known: Callable[[str], Model],
) -> None:
    """Finds a model that does not exist or has no key before anything is paid."""
    questions = [question for step in bound.steps for question in step.step.questions]
    named = {question.model for question in questions if question.model is not None}
    if model is not None:
        named.add(model)
    elif strategy is workspace.strategies.find("fixed") and any(
        question.model is None and question.strategy is None for question in questions
    ):
        named.add(DEFAULT_MODEL)
    named.update(models_of(strategy))
    for question in questions:
        if question.strategy is not None:
            named.update(models_of(workspace.strategies.find(question.strategy)))
    usable = [known(name) for name in sorted(named)]
    for other in {other for each in usable for other in fallbacks_of(each)}:
        workspace.catalog.resolve(other)
    refused = refused_batch_models(workspace.providers, usable) if batch else None
    if refused is not None:
        raise refused


def _answer_at_once(pending: Pending) -> Any:
    """Answers an ``llm(...)`` that stands outside a flow: a run of one step, recorded like any other."""
    run = Flow.from_source("reply = ask()", name="llm", namespace={"ask": lambda: pending}).run()
    error = run.first_error
    if error is not None:
        raise error
    return run.value("reply")


set_outside(_answer_at_once)
