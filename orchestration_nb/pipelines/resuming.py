"""A run of the ledger that a notebook goes on with: which notebook, what is done, and under which budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration_nb.cost.budget import dollars
from orchestration_nb.errors import UsageError
from orchestration_nb.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumedRun:
    """What the ledger knows of the run that is gone on with."""

    run_id: str
    flow: str
    status: str
    notebook: Path
    items: int | None
    done: int
    """Items that were answered."""
    spent_usd: float
    """By this run and those before it that it went on with."""
    budget_usd: float

    def sentence(self, budget_usd: float | None) -> str:
        """What is done already, and what the budget is from now on."""
        whole = "" if self.items is None else f" of {self.items:,}"
        limit = f"The budget is {dollars(self.budget_usd)}"
        if budget_usd is not None:
            limit = f"The budget is raised from {dollars(self.budget_usd)} to {dollars(budget_usd)}"
        return (
            f"{self.flow} ({self.run_id}) is {self.status}: {self.done:,}{whole} items are done and are not paid "
            f"again. {limit}, of which {dollars(self.spent_usd)} is spent. Its notebook runs again: {self.notebook}"
        )

    def variable(self, budget_usd: float | None) -> str:
        """What ``ORCHESTRATE_RESUME`` tells the kernel: the run, and where it is raised the budget."""
        return self.run_id if budget_usd is None else f"{self.run_id}:{budget_usd!r}"


def resumed_run(ledger: Ledger, folder: Path, name: str) -> ResumedRun:
    """The run that is meant, if it can be gone on with.

    Args:
        ledger: Where it stands.
        folder: The workspace.
        name: The run's id, the beginning or the end of it, or ``last``.

    Raises:
        UsageError: If there is no such run, it is done or under way, or it belongs to no notebook that is there.
    """
    run = ledger.run(name).run
    _refuse_needless(run)
    root = run["resumes"] or run["run_id"]
    spent = ledger.sql(
        "select coalesce(sum(billed_usd), 0) as usd from runs where run_id = $root or resumes = $root", {"root": root}
    )
    return ResumedRun(
        run_id=run["run_id"],
        flow=run["flow"],
        status=run["status"],
        notebook=_notebook(run, folder),
        items=run["items"],
        done=run["items_ok"] or 0,
        spent_usd=float(spent["usd"].iloc[0]),
        budget_usd=run["budget_usd"],
    )


def _refuse_needless(run: dict[str, Any]) -> None:
    if run["status"] == "running":
        raise UsageError(
            f"The run {run['run_id']} is under way.",
            hint="Where it runs, `%orchestrate status` shows it; a budget it waits for is raised there.",
        )
    if run["status"] == "done" and not run["items_failed"]:
        raise UsageError(f"The run {run['run_id']} is done; there is nothing to go on with.")


def _notebook(run: dict[str, Any], folder: Path) -> Path:
    named: str | None = run["notebook"]
    if named is None or not named.endswith(".ipynb"):
        where = f"the script {named}" if named else "a shell"
        raise UsageError(
            f"The run {run['run_id']} was started by {where}, not by a notebook.",
            hint=f'Start it there again with resumes="{run["run_id"]}": what was answered is not paid twice.',
        )
    path = folder / named
    if not path.is_file():
        raise UsageError(
            f"The notebook {named} of the run {run['run_id']} is not there any more.",
            hint="Put it back, or run it where it is now with --resume in its cell.",
        )
    return path
