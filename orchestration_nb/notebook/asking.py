"""A run that waits for its budget asks the person at the notebook for more.

In ipykernel a busy cell answers no click, but ``input()`` works there: the question appears below the run's display.
Where nobody can answer (nbclient, ``jupyter execute``, a pipe, ``ORCHESTRATE_HEADLESS=1``) nothing is asked, and the
run ends as paused.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

from orchestration_nb.cost.allowances import PIPELINE
from orchestration_nb.engine.progress import Progress
from orchestration_nb.errors import BudgetPausedError, OrchestrationError, OverBudgetError, UsageError
from orchestration_nb.notebook.arguments import read_money
from orchestration_nb.pages.figures import count, usd
from orchestration_nb.runs import Run
from orchestration_nb.terminal import printable
from orchestration_nb.whence import pipeline_id

PATIENCE_S: Final = 5.0
"""How long calls in flight may take to end before the question is asked all the same."""
RUN_BUDGET: Final = "run"
"""Name of a run's own budget, as refusals have it."""


def can_ask(shell: Any) -> bool:
    """Whether somebody can answer a question that a cell of this shell asks."""
    if is_headless():
        return False
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(
            getattr(kernel, "_allow_stdin", False)
        )  # said by each request to execute; ipykernel has no other word
    return sys.stdin is not None and sys.stdin.isatty()


def is_headless() -> bool:
    """Whether a runner has started the notebook, with nobody in front of it."""
    return os.environ.get("ORCHESTRATE_HEADLESS", "") not in {"", "0"}


class Asking:
    """The questions of one run; called with each look at it while it waits for its budget.

    Args:
        run: The run.
        show: Draws the run as it stands, right before the question.
        read: Asks, and returns the line that was typed.
    """

    def __init__(self, run: Run, *, show: Callable[[], None], read: Callable[[str], str] = input) -> None:
        self._run = run
        self._show = show
        self._read = read
        self._since_s: float | None = None

    def __call__(self, refusal: OverBudgetError) -> None:
        """Asks once what is in flight has ended, so that the figures stand still; then resumes or leaves the run."""
        progress = self._run.progress
        now_s = progress.clock.monotonic()
        self._since_s = now_s if self._since_s is None else self._since_s
        if progress.in_flight and now_s - self._since_s < PATIENCE_S:
            return
        self._since_s = None
        self._show()
        own = refusal.budget == RUN_BUDGET
        budget = "its budget" if own else f"the budget {refusal.budget}"
        print(printable(f"The run waits for {budget}: {outlook(progress)}"))  # noqa: T201 - stays in the notebook
        amount = "New budget" if own else f"New amount of the budget {refusal.budget}"
        while not self._answered(f"{printable(amount)} in US dollars (Enter stops here): "):
            pass

    def _answered(self, question: str) -> bool:
        try:
            line = self._read(question).strip()
        except EOFError:
            line = ""
        if not line:
            self._run.leave()
            return True
        try:
            self._run.resume(budget=read_usd(line))
        except UsageError as error:
            print(printable(f"{error} {error.hint}"))  # noqa: T201
            return False
        return True


def read_usd(text: str) -> float:
    """An amount that somebody typed: ``3``, ``3.50``, ``$3.50``.

    Raises:
        UsageError: If it is none.
    """
    return read_money("A budget", text.strip().removeprefix("$").strip())


def outlook(progress: Progress) -> str:
    """What is done and left, and what the rest will probably cost."""
    if not progress.items:
        return f"{count(progress.done, 'item')} done."
    left = progress.items - progress.done
    stands = f"{progress.done:,} of {count(progress.items, 'item')} done, {left:,} left."
    if not progress.done or not progress.cost_usd:
        return stands
    rest_usd = progress.cost_usd / progress.done * left
    return f"{stands} At the pace so far the rest costs about {usd(rest_usd)}."


def paused_error(run: Run) -> OrchestrationError | None:
    """Why the run ended as paused, with what to write to go on."""
    error = run.error
    if not isinstance(error, BudgetPausedError):
        return error
    return BudgetPausedError(str(error), hint=_how_to_go_on(run, error.budget), budget=error.budget, pauses=True)


def _how_to_go_on(run: Run, budget: str) -> str:
    if budget == PIPELINE and (pipeline := pipeline_id()):
        return f"`orchestrate resume {pipeline} --budget USD` goes on with it; what was answered is not paid again."
    amount = " --budget USD" if budget == RUN_BUDGET else ""
    first = "" if amount else f"Raise the budget {budget} in orchestrate.toml, or wait for its next period. "
    if is_headless():
        return f"{first}`orchestrate resume {run.id}{amount}` goes on with it; what was answered is not paid again."
    return f"{first}Run the cell again with --resume {run.id}{amount}; what was answered is not paid again."
