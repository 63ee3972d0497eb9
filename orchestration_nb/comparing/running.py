"""The runs of one comparison, from their start to the last score."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from orchestration_nb.calls import Strategy
from orchestration_nb.comparing.collecting import Bank, Collector
from orchestration_nb.comparing.comparison import ComparisonSetup
from orchestration_nb.engine.services import Services
from orchestration_nb.errors import OrchestrationError
from orchestration_nb.evals.bank import PayingBank
from orchestration_nb.evals.item_scoring import SCORING_THREADS, ItemScoring
from orchestration_nb.evals.marks import HumanMark
from orchestration_nb.evals.outcomes import Answer
from orchestration_nb.evals.scores import AsksModel, Score, StepScorer
from orchestration_nb.evals.slices import slice_of
from orchestration_nb.events import ComparisonFinished, ComparisonStarted, Event, ItemCompared, RunStatus, Scored
from orchestration_nb.flows import Apart, Flow, RunOptions, start_apart
from orchestration_nb.frames import Table
from orchestration_nb.ids import RunId
from orchestration_nb.runs import Run
from orchestration_nb.workspace import Workspace

_MOST_THREADS = 256


@dataclass(slots=True, eq=False, kw_only=True)
class Running:
    """All runs of a comparison: one a strategy, at the same time, over one bank."""

    setup: ComparisonSetup
    workspace: Workspace
    services: Services
    table: Table
    items: Sequence[Mapping[str, Any]]
    scorer: StepScorer
    bank: Bank
    concurrency: int
    answers: dict[str, Mapping[int, Answer]] = field(default_factory=dict)
    status: RunStatus = "running"
    error: OrchestrationError | None = None
    ended: concurrent.futures.Future[None] = field(default_factory=concurrent.futures.Future)
    """Done when all has ended and is recorded."""
    _runs: dict[str, Run] = field(default_factory=dict)
    _collectors: list[Collector] = field(default_factory=list)
    _started: threading.Event = field(default_factory=threading.Event)
    _cancelled: bool = False

    def start(self, flow: Flow, strategies: Mapping[str, Strategy], options: RunOptions) -> None:
        """Starts the runs and returns.

        Args:
            flow: What is run.
            strategies: By name, all of those that the comparison shows.
            options: What is the same for all of them.

        Raises:
            OrchestrationError: If one of them cannot be run at all; none goes on then.
        """
        threads = ThreadPoolExecutor(min(_MOST_THREADS, self.concurrency * len(strategies)), "orchestrate-compare")
        # A judge waits for its model most of the time.
        scorers = self.concurrency if isinstance(self.scorer.scorer, AsksModel) else SCORING_THREADS
        scoring = ThreadPoolExecutor(min(_MOST_THREADS, scorers), "orchestrate-score")
        self._record(self._beginning())
        turns = asyncio.Semaphore(self.concurrency)
        try:
            for name, strategy in strategies.items():
                self._runs[name] = self._start_one(flow, name, strategy, options, (threads, scoring, turns))
        except BaseException as failure:
            self._abandon(failure)
            threads.shutdown(wait=False)
            scoring.shutdown(wait=False)
            raise
        self._started.set()
        threading.Thread(
            target=self._see_to_the_end, args=(threads, scoring), name="orchestrate-comparison", daemon=True
        ).start()

    def _start_one(
        self,
        flow: Flow,
        name: str,
        strategy: Strategy,
        options: RunOptions,
        shared: tuple[ThreadPoolExecutor, ThreadPoolExecutor, asyncio.Semaphore],
    ) -> Run:
        threads, scoring, turns = shared
        collector = Collector(
            strategy=name,
            graph=flow.graph,
            scoring=ItemScoring(
                scorer=self.scorer,
                items=self.items,
                value_of=lambda item: self._run_of(name).value(self.scorer.step, item),
                threads=scoring,
            ),
            bank=self.bank,
            threads=threads,
            heard=self._heard,
            learns=getattr(strategy, "learn", None),
        )
        self._collectors.append(collector)
        self.answers[name] = collector.answers
        apart = Apart(
            account=RunId(self.setup.comparison_id),
            around=collector.around,
            services=self.services,
            turns=turns,
            listeners=(collector,),
            asks=isinstance(self.bank, PayingBank),
        )
        tags = {**(options.get("tags") or {}), "comparison": self.setup.comparison_id, "strategy": name}
        return start_apart(flow, self.table, apart, RunOptions(**{**options, "strategy": strategy, "tags": tags}))

    def _run_of(self, name: str) -> Run:
        """The run of a strategy; its first item may end before all have begun."""
        self._started.wait()
        return self._runs[name]

    def _abandon(self, failure: BaseException) -> None:
        for run in self._runs.values():
            run.cancel()
        self.status = "failed"
        self._started.set()
        self._record(self._ending(str(failure)))

    def cancel(self) -> None:
        """Stops all runs; what was answered is kept."""
        self._cancelled = True
        for run in self._runs.values():
            run.cancel()

    @property
    def questions(self) -> int:
        """Distinct questions that were answered."""
        return self.bank.questions if isinstance(self.bank, PayingBank) else 0

    @property
    def cost_usd(self) -> float:
        """Their list price."""
        return self.bank.cost_usd if isinstance(self.bank, PayingBank) else 0.0

    @property
    def billed_usd(self) -> float:
        """What was spent for them."""
        return self.bank.billed_usd if isinstance(self.bank, PayingBank) else 0.0

    def _see_to_the_end(self, threads: ThreadPoolExecutor, scoring: ThreadPoolExecutor) -> None:
        """Waits for all runs and scores, and records the end; in a thread of its own."""
        error: OrchestrationError | None = None
        crash: BaseException | None = None
        try:
            for run in self._runs.values():
                with contextlib.suppress(OrchestrationError):
                    run.wait()
                error = error or run.error
            for collector in self._collectors:
                self.workspace.engine.submit(collector.scoring.done()).result()
        except BaseException as failure:  # noqa: BLE001 - told to whoever waits for the comparison
            crash = failure
        threads.shutdown(wait=False)
        scoring.shutdown(wait=False)
        self.error = error
        statuses = {run.status for run in self._runs.values()}
        failed = error is not None or crash is not None or "failed" in statuses
        stopped = self._cancelled or "cancelled" in statuses
        self.status = "cancelled" if stopped else "failed" if failed else "paused" if "paused" in statuses else "done"
        try:
            self._record(self._ending(None if error is None else str(error)))
        finally:
            if crash is not None:
                self.ended.set_exception(crash)
            else:
                self.ended.set_result(None)

    def _heard(self, answer: Answer, score: Score, _item: Mapping[str, Any] | None) -> None:
        """Records an answer and its score; in a thread of the scorers."""
        if answer.strategy not in {*self.setup.strategies, *self.setup.singles}:
            return
        if self.setup.kind == "what_if":  # its runs are not in the ledger, and a score is of a run
            self._record(self._compared(answer, None))
        else:
            run_id = self._run_of(answer.strategy).id
            self._record(self._compared(answer, run_id), self._scored(answer, score, run_id))

    def _compared(self, answer: Answer, run_id: RunId | None) -> ItemCompared:
        return ItemCompared(
            comparison_id=self.setup.comparison_id,
            run_id=run_id,
            strategy=answer.strategy,
            item=answer.item,
            status=answer.status,
            quality=None if answer.quality != answer.quality else answer.quality,
            cost_usd=answer.cost_usd,
            latency_ms=answer.latency_ms,
            model=answer.model,
            asked=answer.asked,
            reason=answer.reason,
            error=answer.error,
            slice_value=self._slice(answer.item),
            compared_at=self.workspace.clock.now(),
        )

    def _scored(self, answer: Answer, score: Score, run_id: RunId) -> Scored:
        return Scored(
            run_id=run_id,
            item=answer.item,
            step=self.scorer.step,
            comparison_id=self.setup.comparison_id,
            strategy=answer.strategy,
            scorer=self.scorer.text,
            scored_by="judge" if score.cost_usd else "scorer",
            value=score.value,
            label=score.label,
            passed=score.passed,
            quality=None if score.failed else score.quality,
            reason=score.reason,
            cost_usd=score.cost_usd,
            scored_at=self.workspace.clock.now(),
        )

    def record_mark(self, mark: HumanMark) -> None:
        """Journals what a person said of two answers; blocks until it is written."""
        self._record(
            Scored(
                run_id=self._run_of(mark.strategy).id,
                item=mark.item,
                step=self.scorer.step,
                comparison_id=self.setup.comparison_id,
                strategy=mark.strategy,
                versus=mark.versus,
                scorer="mark",
                scored_by="person",
                label=mark.mark,
                quality=mark.score.quality,
                reason=mark.note,
                scored_at=self.workspace.clock.now(),
            )
        )

    def _slice(self, item: int) -> str | None:
        column = self.setup.slice_column
        return None if column is None else slice_of(self.items[item], column)

    def _record(self, *events: Event) -> None:
        """Journals events, on the engine's thread; blocks until they are written."""

        async def write() -> None:
            for event in events:
                self.workspace.services.journal.write(event)

        self.workspace.engine.submit(write()).result()

    def _beginning(self) -> ComparisonStarted:
        setup = self.setup
        return ComparisonStarted(
            comparison_id=setup.comparison_id,
            kind=setup.kind,
            flow=setup.flow,
            strategies=(*setup.strategies, *setup.singles),
            reference=setup.reference,
            step=setup.step,
            scorer=setup.scorer,
            slice_column=setup.slice_column,
            items=len(self.items),
            margin=setup.margin,
            seed=setup.seed,
            started_at=self.workspace.clock.now(),
        )

    def _ending(self, error: str | None) -> ComparisonFinished:
        return ComparisonFinished(
            comparison_id=self.setup.comparison_id,
            status=self.status,
            error=error,
            questions=self.questions,
            cost_usd=self.cost_usd,
            billed_usd=self.billed_usd,
            finished_at=self.workspace.clock.now(),
        )
