"""How a judge asks its model: as a run of one request, so that budget, cache and ledger know of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestration_nb.calls import Ask, OutputSchema, Reply, Request, Strategy
from orchestration_nb.config import Reached
from orchestration_nb.errors import CallError
from orchestration_nb.flow import llm
from orchestration_nb.flows import Apart, Flow, start_apart
from orchestration_nb.frames import table_of
from orchestration_nb.ids import RunId
from orchestration_nb.options import RunOptions
from orchestration_nb.runs import Run
from orchestration_nb.workspace import Workspace

JUDGE: Final = "judge"
"""The flow under which a judge's requests stand in the ledger."""
_TEXT: Final = "verdict = question(prompt)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgeAsks:
    """Asks the model of a judge; its money comes out of the budget of what it judges, and counts for no strategy."""

    workspace: Workspace
    account: RunId
    """Whose budget it spends: the comparison's or the run's."""
    budget_usd: float | None
    """The most that may be spent of it in all; ``None``: the setting."""
    concurrency: int
    on_budget: Reached | None = None
    """What happens when that is reached; ``None``: the setting."""
    fresh: bool = False
    """Whether an answer that the cache holds is paid again."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """By which its runs are found in the ledger."""
    _turns: list[asyncio.Semaphore] = field(default_factory=list)
    _asking: set[Run] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, prompt: str, *, model: str, output: OutputSchema) -> Reply:
        """Asks once.

        Raises:
            OrchestrationError: No usable reply came, or the budget does not cover it.
        """

        def question(text: str) -> Any:
            return llm(text, model=model, output=output, temperature=0.0)

        kept: list[Reply] = []
        namespace = {"question": question}
        flow = Flow.from_source(_TEXT, name=JUDGE, namespace=namespace, workspace=self.workspace)
        apart = Apart(
            account=self.account,
            around=lambda strategy: _keeping(strategy, kept),
            services=self.workspace.services,
            turns=self._shared_turns(),
        )
        options = RunOptions(budget=self.budget_usd, on_budget=self.on_budget, fresh=self.fresh, tags=self.tags)
        run = start_apart(flow, table_of([{"prompt": prompt}]), apart, options)
        self._asking.add(run)
        if self._stopped.is_set():
            run.cancel()  # it was about to begin when the others were cancelled
        try:
            await run.done()
        finally:
            self._asking.discard(run)
        if run.first_error is not None and run.status != "cancelled":
            raise run.first_error
        if not kept:
            raise CallError(f"The judge {model} gave no reply.", billing="no")
        return kept[-1]

    def stop(self) -> None:
        """Cancels what is being asked, and what somebody is about to ask."""
        self._stopped.set()
        for run in tuple(self._asking):
            run.cancel()

    def _shared_turns(self) -> asyncio.Semaphore:
        if not self._turns:
            self._turns.append(asyncio.Semaphore(self.concurrency))
        return self._turns[0]


def _keeping(strategy: Strategy, kept: list[Reply]) -> Strategy:
    """The strategy, whose reply is put aside: a run's value does not say what it cost."""

    async def keeping(request: Request, ask: Ask) -> Reply:
        reply: Reply = await strategy(request, ask)
        kept.append(reply)
        return reply

    keeping.__name__ = keeping.__qualname__ = getattr(strategy, "__name__", "fixed")
    return keeping
