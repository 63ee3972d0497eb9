"""Budgets of a workspace, as one or several processes see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.config import BudgetSettings, QuotaSettings, Reached
from orchestration_nb.cost.budget import Budgets, LostCall, RunBudget, Spender
from orchestration_nb.events import BudgetAlert
from orchestration_nb.ids import RunId, new_id
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.store import StateFile


@dataclass
class Process:
    """What stands for one process of the workspace; :meth:`die` is its ``kill -9``."""

    folder: Path
    settings: Mapping[str, Any]
    clock: Clock
    alerts: list[BudgetAlert] = field(default_factory=list)
    lost: list[LostCall] = field(default_factory=list)

    def __post_init__(self) -> None:
        file = StateFile(self.folder, busy_s=0)
        file.open()
        self.desk = Desk(file, self.clock)
        self.owners = Owners(self.folder)
        budgets = {name: BudgetSettings(**said) for name, said in self.settings.get("budgets", {}).items()}
        quotas = {name: QuotaSettings(**said) for name, said in self.settings.get("quotas", {}).items()}
        self.budgets = Budgets(
            self.desk,
            self.owners,
            self.clock,
            budgets,
            quotas,
            on_alert=self.alerts.append,
            on_lost=self.lost.append,
        )

    def run(self, usd: float = 1.0, *, reached: Reached = "reject", root: str | None = None, **who: Any) -> RunBudget:
        """The budget of a run; ``who`` is the rest of its spender."""
        run_id = RunId(new_id())
        facts = {"flow": "triage", "user": "ada", **who}
        spender = Spender(run_id=run_id, root_run_id=RunId(root or run_id), **facts)
        return self.budgets.open_run(spender, limit_usd=usd, reached=reached)

    def die(self) -> None:
        """What was not yet written is lost, and the token is let go of."""
        self.desk._entries.clear()
        self.desk.enter = self.desk.post = lambda *_: None  # type: ignore[method-assign]
        self.desk._file.close()
        self.owners.close()


Begin = Callable[..., Process]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """One more process of the same workspace, with these ``budgets`` and ``quotas``."""
    begun: list[Process] = []

    def begin_one(*, clock: Clock | None = None, **settings: Any) -> Process:
        begun.append(Process(tmp_path, settings, clock or SystemClock()))
        return begun[-1]

    yield begin_one
    for process in begun:
        process.desk.close()
        process.owners.close()


@pytest.fixture
def process(begin: Begin) -> Process:
    """The only process of a workspace without settings."""
    return begin()
