"""Rollouts of a flow: begun, listed and decided here, and bound to the runs whose strategy is ``rollout(FLOW)``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from orchestration_nb.calls import Strategy
from orchestration_nb.engine.loop import wait
from orchestration_nb.errors import UnknownStrategyError, UsageError
from orchestration_nb.evals.scores import StepScorer
from orchestration_nb.events import Event
from orchestration_nb.flow import Graph
from orchestration_nb.flows import Flow
from orchestration_nb.ids import new_id
from orchestration_nb.routing.fallback import models_of
from orchestration_nb.routing.single import single
from orchestration_nb.state.rollouts import RolloutStore
from orchestration_nb.tuning.promotion import OPEN, RolloutSettings, begin
from orchestration_nb.tuning.rollout_strategy import RolloutRun
from orchestration_nb.tuning.standing import BY_PERSON, Book, Standing, standing_of
from orchestration_nb.workspace import Workspace

T = TypeVar("T")
_FORM: Final = "%orchestrate rollout start CANDIDATE over INCUMBENT --flow FLOW --score STEP=SCORER:COLUMN"


def start_rollout(
    flow: Flow,
    candidate: str,
    *,
    over: str,
    score: str,
    settings: RolloutSettings | None = None,
) -> Standing:
    """Begins a rollout of a candidate strategy; runs of the flow with ``strategy="rollout(FLOW)"`` feed it.

    Args:
        flow: The flow.
        candidate: The strategy, by name, as text such as ``cascade(fast, strong)``, or a model.
        over: The incumbent, written in the same way.
        score: ``STEP=SCORER:COLUMN``: what says how good an item is, from 0 to 1.
        settings: How careful it is.

    Raises:
        UsageError: If it cannot be begun: no such step, or one whose candidate could not be asked in the shadow, or
            the flow has a rollout that is open.
        UnknownStrategyError: If there is no such strategy.
    """
    settings = settings or RolloutSettings()
    workspace, graph = flow.workspace, flow.graph
    if not isinstance(candidate, str) or not isinstance(over, str):
        raise UsageError(
            "A rollout outlives this process, so its strategies are named.",
            hint="Put @strategy above the function, and give its name.",
        )
    if candidate == over:
        raise UsageError(f"Candidate and incumbent are both {over!r}.", hint=_FORM)
    for name in (candidate, over):
        found_strategy(workspace, name)
    step = _step(graph, score)
    if settings.shadow_least_items:
        _refuse_shadow(graph, step)
    rollout = begin(settings)
    standing = Standing(
        id=new_id(),
        flow=graph.name,
        candidate=candidate,
        incumbent=over,
        scorer=score,
        step=step,
        begun_at=workspace.clock.now(),
        rollout=rollout,
        reason=f"Begun in the {rollout.stage}: no items yet.",
    )
    return _wait(workspace, _book(workspace).begin(standing))


def rollouts(workspace: Workspace | None = None) -> list[Standing]:
    """All rollouts of a workspace and how they stand, the oldest first."""
    workspace = workspace or Workspace.current()
    return [standing_of(row) for row in _wait(workspace, RolloutStore(workspace.desk).rows())]


def promote(rollout: str, *, workspace: Workspace | None = None) -> Standing:
    """Lets the candidate answer from now on, whatever the figures say.

    Args:
        rollout: Its id, or the start or the end of it, or the name of its flow for the latest.
        workspace: Where it is kept; the current one unless given.

    Raises:
        UsageError: If there is no such rollout.
    """
    return _decide(rollout, "promoted", workspace or Workspace.current())


def roll_back(rollout: str, *, workspace: Workspace | None = None) -> Standing:
    """Lets the incumbent answer from now on; see :func:`promote`."""
    return _decide(rollout, "rolled_back", workspace or Workspace.current())


def bound(workspace: Workspace, flow: str, of: str) -> RolloutRun:
    """The strategy ``rollout(FLOW)`` in one run.

    Args:
        workspace: Where the rollout is kept.
        flow: The flow that is run.
        of: The flow that the strategy names.

    Raises:
        UsageError: If the flow has no rollout, or the strategy names another flow.
    """
    if flow != of:
        raise UsageError(f"rollout({of}) cannot answer for {flow}.", hint=f"Write rollout({flow}).")
    row = _wait(workspace, RolloutStore(workspace.desk).newest(flow))
    if row is None:
        raise UsageError(f"The flow {flow} has no rollout.", hint=_FORM)
    standing = standing_of(row)
    candidate, incumbent = (found_strategy(workspace, name) for name in (standing.candidate, standing.incumbent))
    models = tuple(dict.fromkeys([*models_of(incumbent), *models_of(candidate)]))
    return RolloutRun(standing, _book(workspace), candidate, incumbent, models)


def needs_scores(strategy: object) -> RolloutRun | None:
    """The rollout of a run whose items still count for it."""
    return strategy if isinstance(strategy, RolloutRun) and strategy.standing.stage in OPEN else None


def keys_of(items: Sequence[Mapping[str, Any]]) -> Callable[[int], str]:
    """The digest of each item by its position: what stands in its columns, wherever it stands in the table."""

    def key(item: int) -> str:
        columns = sorted(items[item].items(), key=lambda column: str(column[0]))
        return hashlib.blake2b(repr(columns).encode(errors="surrogatepass"), digest_size=16).hexdigest()

    return key


def with_score(option: Any, rollout: Standing) -> list[Any]:
    """The scorers of a run, the rollout's among them."""
    given = (
        [] if option is None else [option] if isinstance(option, str) or not isinstance(option, Sequence) else option
    )
    others = [each for each in given if each != rollout.scorer]
    for each in others:
        step = each.step if isinstance(each, StepScorer) else each.partition("=")[0] if isinstance(each, str) else None
        if step is not None and step.strip() == rollout.step:
            raise UsageError(
                f"The rollout {rollout.id} scores {rollout.step!r} by {rollout.scorer}.",
                hint="Leave --score away for that step.",
            )
    return [*others, rollout.scorer]


def found_strategy(workspace: Workspace, name: str) -> Strategy:
    """The strategy of that name or text; a model stands for the strategy that asks it alone.

    Raises:
        UnknownStrategyError: If there is neither.
    """
    try:
        found = workspace.strategies.find(name)
    except UnknownStrategyError:
        if name not in {*workspace.catalog.aliases, *workspace.catalog.models} and "/" not in name:
            raise
        workspace.usable(name)
        return single(name)
    if hasattr(found, "rollout_of"):
        raise UsageError("A rollout of a rollout leads nowhere.", hint=_FORM)
    return found


def _step(graph: Graph, score: str) -> str:
    name, equals, rest = (part.strip() for part in score.partition("="))
    if not equals or not rest or name not in {step.name for step in graph.steps}:
        raise UsageError(
            f"--score {score!r} names no step of {graph.name!r}.",
            hint=f"Write STEP=SCORER:COLUMN; the steps are {', '.join(step.name for step in graph.steps)}.",
        )
    return name


def _refuse_shadow(graph: Graph, name: str) -> None:
    """In the shadow, the candidate's reply must be the value that is scored, and nothing else may differ."""
    free = [
        step
        for step in graph.steps
        if any(question.model is None and question.strategy is None for question in step.questions)
    ]
    step = next(step for step in graph.steps if step.name == name)
    alone = len(step.questions) == 1 and step.depth == 0 and not step.questions[0].repeated
    if free != [step] or not alone:
        raise UsageError(
            f"In the shadow only a flow can be tried whose one step without model= is {name} = llm(...).",
            hint="Begin with the canary: --no-shadow, or RolloutSettings(shadow_least_items=0, shadow_most_items=0).",
        )


def _decide(rollout: str, stage: Any, workspace: Workspace) -> Standing:
    every = rollouts(workspace)
    found = [each for each in every if (rollout and each.id.startswith(rollout)) or each.id.endswith(rollout)]
    found = found or [each for each in every if each.flow == rollout][-1:]
    if len(found) != 1:
        raise UsageError(
            f"{'No rollout is' if not found else 'Several rollouts are'} called {rollout!r}.",
            hint="`%orchestrate rollout` lists them.",
        )
    assert stage in BY_PERSON
    return _wait(workspace, _book(workspace).decide(found[0], stage))


def _book(workspace: Workspace) -> Book:
    def record(event: Event) -> None:
        workspace.note(event)

    return Book(RolloutStore(workspace.desk), workspace.clock, record)


def _wait(workspace: Workspace, work: Coroutine[Any, Any, T]) -> T:
    if workspace.engine.is_current():
        work.close()
        raise UsageError(
            "A rollout cannot be looked up on the engine's own thread.", hint="Begin the run from a cell or a script."
        )
    return wait(workspace.engine.submit(work))
