"""Scores of a run: what was named with ``--score`` or ``score=`` is scored as items end, recorded, and shown."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.engine.services import RunContext
from orchestration_nb.errors import JournalWriteError, UsageError
from orchestration_nb.evals.item_scoring import SCORING_THREADS, ItemScoring
from orchestration_nb.evals.score_text import parse_score
from orchestration_nb.evals.scores import AsksModel, Score, Scorer, StepScorer
from orchestration_nb.evals.unseen_scoring import UnseenScoring
from orchestration_nb.events import Event, ItemFinished, Scored
from orchestration_nb.frames import SCORE_COLUMN
from orchestration_nb.state.folder import private_folder

if TYPE_CHECKING:
    from orchestration_nb.flow import Graph
    from orchestration_nb.judging import JudgeAsks

_MOST_THREADS: Final = 256
ScoreOption = str | Scorer | StepScorer
"""How a scorer is named."""


def scorer_of(graph: Graph, named: ScoreOption, columns: Sequence[str], namespace: Mapping[str, Any]) -> StepScorer:
    """The scorer that was named; a function scores the last step that asks a model.

    Args:
        graph: The flow.
        named: ``STEP=SCORER:COLUMN``, a function of (value, item), or the scorer itself.
        columns: The columns of the items.
        namespace: Where a function is looked up that stands in the text.

    Raises:
        UsageError: If it cannot be read, or names what there isn't.
    """
    if isinstance(named, StepScorer):
        return named
    if isinstance(named, str):
        return parse_score(named, [step.name for step in graph.steps], columns, namespace)
    if not callable(named):
        raise UsageError(f"{named!r} is no scorer.", hint='Write "STEP=SCORER:COLUMN", or give a function.')
    asking = [step.name for step in graph.steps if step.kind == "llm"]
    if not asking:
        raise UsageError(f"No step of {graph.name!r} asks a model, so there is no reply to score.")
    return StepScorer(step=asking[-1], scorer=named, text=str(getattr(named, "__name__", "scorer")))


def scorers_of(
    graph: Graph, option: ScoreOption | Sequence[Any], columns: Sequence[str], namespace: Mapping[str, Any]
) -> tuple[StepScorer, ...]:
    """The scorers of a run, each step's at most once.

    Raises:
        UsageError: If one cannot be read, or two score the same step.
    """
    several = isinstance(option, Sequence) and not isinstance(option, str)
    named: Sequence[Any] = option if several else [option]  # type: ignore[assignment]
    scorers = tuple(scorer_of(graph, each, columns, namespace) for each in named)
    for step, count in Counter(scorer.step for scorer in scorers).items():
        if count > 1:
            raise UsageError(f"The step {step!r} is scored twice.", hint="Name one scorer for each step.")
    return scorers


@dataclass(slots=True, eq=False)
class StepScores:
    """The scores of one step, as items end."""

    scorer: StepScorer
    column: str
    """Its name in the results: ``_score``, or ``_score_STEP`` where several steps are scored."""
    scores: dict[int, Score] = field(default_factory=dict)
    """By the position of the item."""

    def shown(self, item: int) -> float | str | None:
        """The score of an item in the results: a number, or the label where it has no number."""
        score = self.scores.get(item)
        if score is None or score.failed:
            return None
        return score.label if math.isnan(score.quality) else score.quality

    def sentence(self) -> str:
        """How good the step's values were, with an interval where there are enough; empty before the first score."""
        scores = list(dict(self.scores).values())
        if not scores:
            return ""
        what, failed = f"{self.scorer.step} by {self.scorer.text}", sum(score.failed for score in scores)
        labels = Counter(score.label for score in scores if score.label is not None and math.isnan(score.quality))
        if labels:
            told = f"Labels of {what}: {', '.join(f'{label} {count:,}' for label, count in labels.most_common(8))}"
            return f"{told}; {failed:,} without one." if failed else f"{told}."
        qualities = [0.0 if score.failed else score.quality for score in scores]
        missing = f"; {failed:,} without an answer or a score count as 0" if failed else ""
        judged = sum(score.cost_usd for score in scores)
        paid = f"; scoring cost ${judged:,.4f}" if judged else ""
        return f"Score of {what}: {_mean(qualities)}{missing}{paid}."


def _mean(qualities: Sequence[float]) -> str:
    from orchestration_nb.evals.intervals import LEAST_ITEMS, is_yes_no, paired_bootstrap, wilson  # noqa: PLC0415

    n = len(qualities)
    over = f"over {n:,} item{'s' if n > 1 else ''}"
    if n < LEAST_ITEMS:
        return f"{sum(qualities) / n:.3f} {over}, too few for an interval"
    interval = wilson(round(sum(qualities)), n) if is_yes_no(qualities) else paired_bootstrap(qualities)
    return f"{interval.estimate:.3f}, between {interval.low:.3f} and {interval.high:.3f} (95 %), {over}"


class Witness(Protocol):
    """Wants to know what the items of a run were worth, of one step: a rollout."""

    def answered_by(self, item: int) -> str | None:
        """The strategy that answered an item, where it is not the run's."""

    def beside(self, item: int) -> Reply | None:
        """A second reply to the same item, to be scored as well."""

    def scored(self, event: ItemFinished, score: Score, beside: Score | None) -> None:
        """Takes the score of an item that has ended, and of the second reply; on the engine's loop."""

    def told(self) -> list[str]:
        """What came of it, in sentences."""

    async def ended(self) -> None:
        """Returns when what it was told is kept.

        Raises:
            JournalWriteError: If something of it could not be recorded.
        """


@dataclass(slots=True, eq=False)
class RunScores:
    """Scores the items of one run: hears their ends, stands around its strategies, and is waited for at its end.

    Args:
        scorers: Ready for the items.
        items: The columns of each item, in the order of the input.
        strategy: Whose answers are scored.
        witness: Who wants to know, and the step of which.
    """

    scorers: Sequence[StepScorer]
    items: Sequence[Mapping[str, Any]]
    strategy: str
    witness: tuple[Witness, str] | None = None
    learned: Callable[[], None] | None = None
    """Saves what the strategy learned."""
    judge: JudgeAsks | None = None
    """By which a judge among the scorers asks its model."""
    steps: tuple[StepScores, ...] = ()
    _scorings: tuple[ItemScoring, ...] = ()
    _unseen: tuple[UnseenScoring, ...] = ()
    _context: RunContext | None = None
    _threads: ThreadPoolExecutor = field(init=False)
    _unrecorded: JournalWriteError | None = None
    _closed: bool = False

    def __post_init__(self) -> None:
        # A judge waits for its model most of the time.
        threads = SCORING_THREADS if self.judge is None else max(SCORING_THREADS, self.judge.concurrency)
        self._threads = ThreadPoolExecutor(min(_MOST_THREADS, threads), "orchestrate-score")

    def begin(self, context: RunContext, value_of: Callable[[str, int], Any]) -> None:
        """Is told of the run, before its first item.

        Args:
            context: Where scores are recorded.
            value_of: The value of a step of an item that has ended.
        """
        self._context = context
        several = len(self.scorers) > 1
        self.steps = tuple(
            StepScores(scorer, f"{SCORE_COLUMN}_{scorer.step}" if several else SCORE_COLUMN) for scorer in self.scorers
        )
        self._scorings = tuple(
            ItemScoring(
                scorer=scorer,
                items=self.items,
                value_of=lambda item, step=scorer.step: value_of(step, item),  # type: ignore[misc]
                threads=self._threads,
            )
            for scorer in self.scorers
        )
        self._unseen = tuple(
            UnseenScoring(
                scorer=step.scorer,
                items=self.items,
                value_of=scoring.value_of,
                threads=self._threads,
                then=partial(self._take_unseen, step),
            )
            for step, scoring in zip(self.steps, self._scorings, strict=True)
            if not isinstance(step.scorer.scorer, AsksModel)  # nobody asked to pay for these, too
        )

    def around(self, strategy: Strategy) -> Strategy:
        """The strategy, told of its scores where it learns."""
        learn = getattr(strategy, "learn", None)

        async def noted(request: Request, ask: Ask) -> Reply:
            reply: Reply = await strategy(request, ask)
            if isinstance(reply, Reply):
                for scoring in self._scorings:
                    scoring.answered(request, reply, learn)
                for unseen in self._unseen:
                    unseen.answered(request, reply)
            return reply

        noted.__name__ = noted.__qualname__ = str(getattr(strategy, "__name__", "strategy"))
        return noted

    def __call__(self, event: Event) -> None:
        """Takes one event of the run; an item that has ended is scored in another thread."""
        if not isinstance(event, ItemFinished) or event.item < 0 or event.status in {"cancelled", "paused"}:
            return
        for step, scoring in zip(self.steps, self._scorings, strict=True):
            scoring.ended(event, self._taker(event, step))

    def _taker(self, event: ItemFinished, step: StepScores) -> Callable[[Score, Request | None], None]:
        """What takes the score of a step, in a thread of those that score."""
        loop, (witness, of_step) = asyncio.get_running_loop(), self.witness or (None, "")
        if witness is None or of_step != step.scorer.step:
            return lambda score, request: _on(loop, self._take, step, event.item, score, request, None)
        heard = witness

        def both(score: Score, request: Request | None) -> None:
            reply = heard.beside(event.item)
            other = None
            if reply is not None:
                other = asyncio.run(step.scorer.score(reply.value, self.items[event.item]))
            _on(loop, self._take, step, event.item, score, request, heard.answered_by(event.item))
            _on(loop, heard.scored, event, score, other)

        return both

    def _take(self, step: StepScores, item: int, score: Score, request: Request | None, strategy: str | None) -> None:
        if self._closed:
            return
        step.scores[item] = score
        self._record(step, item, score, request, strategy or self.strategy)
        for unseen in self._unseen:
            if unseen.scorer is step.scorer:
                unseen.ended(item)

    def _take_unseen(self, step: StepScores, strategy: str, request: Request, score: Score) -> None:
        if not self._closed:
            self._record(step, request.origin.item, score, request, strategy)

    def _record(self, step: StepScores, item: int, score: Score, request: Request | None, strategy: str) -> None:
        context = self._context
        assert context is not None
        try:
            context.record(
                Scored(
                    run_id=context.run_id,
                    item=item,
                    step=step.scorer.step,
                    request_id=None if request is None else request.id,
                    strategy=strategy,
                    scorer=step.scorer.text,
                    scored_by="judge" if score.cost_usd else "scorer",
                    value=score.value,
                    label=score.label,
                    passed=score.passed,
                    quality=None if math.isnan(score.quality) else score.quality,
                    reason=score.reason,
                    cost_usd=score.cost_usd,
                    scored_at=context.services.clock.now(),
                )
            )
        except JournalWriteError as error:
            self._unrecorded = error

    def told(self) -> list[str]:
        """What came of the scores, in sentences."""
        return [step.sentence() for step in self.steps] + (self.witness[0].told() if self.witness else [])

    async def ended(self) -> None:
        """Returns when all items that have ended are scored and recorded.

        Raises:
            JournalWriteError: If one could not be recorded.
        """
        for scoring in self._scorings:
            await scoring.done()
        for unseen in self._unseen:
            await unseen.done()
        if self.witness is not None:
            await self.witness[0].ended()
        if self.learned is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, self.learned)
        if self._unrecorded is not None:
            raise self._unrecorded

    def close(self) -> None:
        """Scores nothing more: what was begun is left behind."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self.judge is not None:
            self.judge.stop()


def kept_learning(strategy: Any, workspace: Path) -> Callable[[], None] | None:
    """Has a strategy with ``save_as=`` go on from what it had learned; what is returned saves it.

    Raises:
        WorkspaceError: If what was saved cannot be read, or is of other models.
    """
    name = getattr(strategy, "save_as", None)
    if name is None:
        return None
    folder = private_folder(workspace) / "strategies" / name
    if folder.exists():
        strategy.resume(folder)
    return lambda: strategy.save(folder)


def _on(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *given: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed with the process: nobody is there to be told
        loop.call_soon_threadsafe(function, *given)
