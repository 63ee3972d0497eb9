"""``compare``: strategies on the same items of a flow, each question paid once."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Required, Unpack, cast

from orchestration_nb.calls import Strategy
from orchestration_nb.catalog import Model
from orchestration_nb.comparing.comparison import Comparison, ComparisonSetup
from orchestration_nb.comparing.ledger_scores import ledger_scorer, names_ledger
from orchestration_nb.comparing.running import Running
from orchestration_nb.errors import UnknownModelError, UnknownStrategyError, UsageError
from orchestration_nb.evals.bank import PayingBank
from orchestration_nb.evals.scorers import LabelScorer
from orchestration_nb.evals.scores import AsksModel, Scorer, StepScorer
from orchestration_nb.flows import Flow, RunOptions
from orchestration_nb.frames import Table, table_of
from orchestration_nb.ids import RunId, new_id
from orchestration_nb.judging import JudgeAsks
from orchestration_nb.options import check_options, count
from orchestration_nb.planning.rehearsal import named_in
from orchestration_nb.routing.fallback import models_of
from orchestration_nb.routing.single import single
from orchestration_nb.scoring import scorer_of
from orchestration_nb.workspace import Workspace

MARGIN: Final = 0.02
_NOT_HERE: Final = ("strategy", "model", "batch", "resumes", "score")


class How(RunOptions, total=False):
    """How strategies are compared, beside how their runs are run.

    Of :class:`~orchestration_nb.options.RunOptions`, ``strategy``, ``model``, ``batch``, ``resumes`` and ``score``
    do not go together with a comparison.
    """

    strategies: Required[Sequence[str | Strategy]]
    """Names, texts such as ``fallback(fast, strong)``, async functions of ``(request, ask)``, or models."""
    scorer: str | Scorer | StepScorer | None
    """``STEP=SCORER:COLUMN``, or a function of (value, item) for the last step that asks a model. A what-if may do
    without: ``None`` or ``ledger:STEP`` takes the scores that the ledger holds."""
    reference: str | None
    """The strategy that the others are held against; ``None``: the best single model, chosen on the other half of the
    items."""
    models: Sequence[str] | None
    """Single models to show beside the strategies; ``None``: all that the strategies are known to ask."""
    slices: str | None
    """A column whose values are shown apart."""
    margin: float
    """A strategy whose quality is worse by no more than this is non-inferior; 0.02 unless set."""


def compare(flow: Flow, *, over: Any, **how: Unpack[How]) -> Comparison:
    """Compares strategies on the same items and waits for the end; see :func:`start_comparison`.

    ::

        compare(triage, over=tickets, strategies=["cascade", "fast"], scorer="queue=label:gold_queue")
    """
    return start_comparison(flow, over=over, **how).wait()


def start_comparison(flow: Flow, *, over: Any, **how: Unpack[How]) -> Comparison:
    """Starts a comparison and returns at once.

    Only steps without ``model=`` and ``strategy=`` vary. Each distinct question (request, model, number of the sample)
    is asked once, however many strategies ask it, and each strategy is shown with what it would have cost and taken
    alone. All of it spends one run budget.

    Args:
        flow: What is run.
        over: A DataFrame or a list of dictionaries, an item a row.
        **how: See :class:`How`.

    Raises:
        OrchestrationError: If it cannot be run at all; nothing was paid then.
    """
    prepared = prepare(flow, over, how, "compare")
    workspace = flow.workspace
    running = Running(
        setup=prepared.setup,
        workspace=workspace,
        services=workspace.services,
        table=prepared.table,
        items=prepared.items,
        scorer=prepared.scorer,
        bank=PayingBank(workspace.catalog.resolve, workspace.clock, workspace.engine.loop),
        concurrency=count(prepared.options, workspace.settings.concurrency),
    )
    running.start(flow, prepared.strategies, prepared.options)
    return Comparison(prepared.setup, prepared.items, running)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A comparison that can be run, of which nothing has run yet."""

    setup: ComparisonSetup
    strategies: Mapping[str, Strategy]
    """By name: the user's, then the single models."""
    table: Table
    items: Sequence[Mapping[str, Any]]
    scorer: StepScorer
    """Ready for the items."""
    options: RunOptions


def prepare(flow: Flow, over: Any, how: How, kind: Literal["compare", "what_if"]) -> Prepared:
    """Reads and checks what is to be compared.

    Args:
        flow: What is run.
        over: A DataFrame or a list of dictionaries, an item a row.
        how: As it was given.
        kind: Whether models are asked, so that they must be usable.

    Raises:
        OrchestrationError: If it cannot be run at all.
    """
    strategies, scorer = how.get("strategies", ()), how.get("scorer")
    reference, models = how.get("reference"), how.get("models")
    slices, margin = how.get("slices"), how.get("margin", MARGIN)
    own = How.__annotations__.keys() - RunOptions.__annotations__.keys()
    options = cast("RunOptions", {name: value for name, value in how.items() if name not in own})
    workspace, table = flow.workspace, _table(over, options)
    named = _named(workspace, strategies, workspace.usable if kind == "compare" else workspace.catalog.resolve)
    for model in _models_of(workspace, named) if models is None else models:
        named.setdefault(model, single(model))
    _check(table, named, reference=reference, slices=slices, margin=margin)
    items = list(table.items())
    comparison_id = new_id()
    step_scorer = _scorer(flow, scorer, table, kind).ready(items, ask=_judge(workspace, comparison_id, options))
    users = tuple(_name_of(strategy) for strategy in strategies)
    setup = ComparisonSetup(
        comparison_id=comparison_id,
        kind=kind,
        flow=flow.name,
        strategies=users,
        singles=tuple(name for name in named if name not in users),
        alone=frozenset(name for name, strategy in named.items() if models_of(strategy) == (name,)),
        reference=reference,
        step=step_scorer.step,
        scorer=step_scorer.text,
        slice_column=slices,
        margin=float(margin),
        seed=options.get("seed", 0),
        simulated=_simulated(workspace, named),
        learned=tuple(name for name in users if getattr(named[name], "is_learned", False)),
    )
    return Prepared(setup=setup, strategies=named, table=table, items=items, scorer=step_scorer, options=options)


def _scorer(flow: Flow, named: str | Scorer | StepScorer | None, table: Table, kind: str) -> StepScorer:
    """The scorer that is meant; a what-if asks nobody, and may take the scores of the ledger."""
    if names_ledger(named):
        if kind == "compare":
            raise UsageError(
                "A comparison gets new replies, so it needs a scorer for them.",
                hint='Write scorer="STEP=SCORER:COLUMN"; a what-if may take the scores of the ledger.',
            )
        return ledger_scorer(flow.workspace, flow.graph, cast("str | None", named))
    assert named is not None
    found = scorer_of(flow.graph, named, table.columns, flow.namespace)
    if isinstance(found.scorer, LabelScorer) and found.scorer.column is None:
        raise UsageError(
            f"The scorer {found.text} tells labels, and not which of them are right.",
            hint=f"Name the column of the right ones: {found.step}=label:COLUMN.",
        )
    if kind == "what_if" and isinstance(found.scorer, AsksModel):
        raise UsageError(
            f"The scorer {found.text} asks a model, which is not free.",
            hint="Score with a plain scorer or function, or compare the strategies with compare().",
        )
    return found


def _judge(workspace: Workspace, comparison_id: str, options: RunOptions) -> JudgeAsks:
    """How a judge among the scorers asks its model."""
    return JudgeAsks(
        workspace=workspace,
        account=RunId(comparison_id),
        budget_usd=options.get("budget"),
        concurrency=count(options, workspace.settings.concurrency),
        fresh=options.get("fresh", False),
        tags={**(options.get("tags") or {}), "comparison": comparison_id},
    )


def _check(
    table: Table, named: Mapping[str, Strategy], *, reference: str | None, slices: str | None, margin: float
) -> None:
    if reference is not None and reference not in named:
        raise UsageError(f"The reference {reference!r} is not compared.", hint=f"Name one of: {', '.join(named)}.")
    if slices is not None and slices not in table.columns:
        raise UsageError(f"There is no column {slices!r} to slice by.", hint=f"There are: {', '.join(table.columns)}.")
    if not 0 <= margin < math.inf:
        raise UsageError(f"A margin of {margin!r} is none.", hint="Write margin=0.02 for two points.")


def _table(over: Any, options: RunOptions) -> Table:
    check_options(options)
    for name in _NOT_HERE:
        if options.get(name):
            hint = "scorer= says what scores." if name == "score" else "strategies=[...] says who answers."
            raise UsageError(f"{name}= does not go together with a comparison.", hint=hint)
    table, sample = table_of(over), options.get("sample")
    return table if sample is None else table.sampled(sample, options.get("seed", 0))


def _name_of(strategy: str | Strategy) -> str:
    return strategy if isinstance(strategy, str) else str(getattr(strategy, "__name__", strategy))


def _named(
    workspace: Workspace, strategies: Sequence[str | Strategy], known: Callable[[str], Model]
) -> dict[str, Strategy]:
    """The strategies by name; a model stands for the strategy that asks it alone.

    Raises:
        UsageError: If there are none, or two of one name.
        UnknownStrategyError: If there is no such strategy or model.
    """
    if isinstance(strategies, str) or not strategies:
        raise UsageError("A comparison needs strategies.", hint='Write strategies=["cascade", "fast"].')
    named: dict[str, Strategy] = {}
    for strategy in strategies:
        name = _name_of(strategy)
        if name in named:
            raise UsageError(f"Two strategies are called {name!r}.", hint="Give one of the functions another name.")
        named[name] = _found(workspace, strategy, known)
    return named


def _found(workspace: Workspace, strategy: str | Strategy, known: Callable[[str], Model]) -> Strategy:
    try:
        return workspace.strategies.anew(strategy)
    except UnknownStrategyError:
        listed = {*workspace.catalog.aliases, *workspace.catalog.models}
        if isinstance(strategy, str) and (strategy in listed or "/" in strategy):
            known(strategy)
            return single(strategy)
        raise


def _models_of(workspace: Workspace, strategies: Mapping[str, Strategy]) -> list[str]:
    """The models that the strategies are known to ask, each once, by the name that was used first."""
    names: dict[str, str] = {}
    for strategy in strategies.values():
        for name in named_in(strategy):
            with contextlib.suppress(UnknownModelError):  # a text of the function that only looks like a model's name
                names.setdefault(workspace.catalog.resolve(name).name, name)
    return list(names.values())


def _simulated(workspace: Workspace, strategies: Mapping[str, Strategy]) -> bool:
    return any(workspace.catalog.resolve(name).simulated for name in _models_of(workspace, strategies))
