"""``what_if``: strategies against what was recorded already, at no cost."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack, cast

from orchestration_nb.calls import Strategy
from orchestration_nb.comparing.compare import How, Prepared, prepare
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.coverage import Coverage, coverage_of, told_for_all
from orchestration_nb.comparing.estimating import Estimated, estimates
from orchestration_nb.comparing.ledger_scores import names_ledger
from orchestration_nb.comparing.logged import AS_LOGGED, AsLogged, ChoiceBook
from orchestration_nb.comparing.recorded import Recorded, Unrecorded
from orchestration_nb.comparing.running import Running
from orchestration_nb.errors import UsageError
from orchestration_nb.evals.bank import RecordedBank
from orchestration_nb.flows import Flow
from orchestration_nb.options import count
from orchestration_nb.tuning.bandit import load_bandit

if TYPE_CHECKING:
    import pandas as pd

_OF_MONEY: Final = ("budget", "on_budget", "fresh")
_OF_THE_REST: Final = (
    "The items that can be told are those that happened to be answered so, perhaps easier or harder ones than the "
    "rest; the estimates weigh them by the chances with which they were."
)
_OF_SCORES: Final = "Scores are those that the ledger holds; an item whose reply was never scored so cannot be told"
_NO_CHOICES: Final = (
    "No random choice is logged for these questions, so nothing is estimated for the rest; a run with "
    "weighted(fast=0.5, strong=0.5), say, logs some."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WhatIf:
    """What strategies would have come to, as far as recorded replies tell."""

    comparison: Comparison
    """On the items that can be told for all: of the single models, those are shown that can be told there too."""
    coverage: Mapping[str, Coverage]
    """By strategy, single models included: how much of it can be told."""
    common: int
    """Items that can be told for all strategies that the user named, and the reference."""
    estimates: Mapping[str, Estimated]
    """By strategy of the user's that cannot be told whole: what it would have come to, from logged random choices, or
    why that cannot be estimated."""

    def __repr__(self) -> str:
        return "\n".join([f"<WhatIf {self.comparison.id} of {self.comparison.setup.flow}>", *self.told])

    @property
    def frame(self) -> pd.DataFrame:
        """One row a strategy and item, as of a comparison; ``status`` is ``missing`` where nothing can be told."""
        return self.comparison.frame

    @property
    def told(self) -> tuple[str, ...]:
        """What may be said, in plain English."""
        names, items = self.comparison.setup.strategies, len(self.comparison.items)
        lines = ["From recorded replies, with the costs and latencies of their own day; nothing was asked or paid."]
        if names_ledger(self.comparison.setup.scorer):
            lines.append(f"{_OF_SCORES} ({self.comparison.setup.scorer}).")
        lines += [self.coverage[name].sentence for name in names]
        if len(names) > 1:
            lines.append(
                f"{self.common:,} of {items:,} items can be told for all of them; figures beside each other "
                "are of these."
            )
        rest = [name for name in names if self.coverage[name].told < items]
        if rest:
            lines.append(_OF_THE_REST if self.estimates else _NO_CHOICES)
        return (*lines, *(self.estimates[name].sentence for name in rest if name in self.estimates))


def what_if(flow: Flow, *, over: Any, **how: Unpack[How]) -> WhatIf:
    """Runs strategies against recorded replies, on a virtual clock, and waits for the end.

    The replies are those of the ledger, and of the folder of ``[replay]`` where there is one. Nothing is asked and
    nothing is paid; an item that wants a reply which nobody recorded cannot be told. The ledger keeps the comparison
    and what each strategy came to on each item, but no runs and no calls: none were made. A strategy of ours that
    learns does so in a copy. Without a scorer, or with ``ledger:STEP``, a reply is worth what it was scored before.

    ::

        what_if(triage, over=tickets, strategies=["cascade(fast, strong)", "fast"], scorer="queue=label:gold_queue")

    Args:
        flow: What is run.
        over: A DataFrame or a list of dictionaries, an item a row.
        **how: See :class:`~orchestration_nb.comparing.compare.How`; options of money don't go together with it.

    Raises:
        OrchestrationError: If it cannot be run at all.
    """
    for name in _OF_MONEY:
        if how.get(name):
            raise UsageError(f"{name}= does not go together with a what-if.", hint="It asks nothing and pays nothing.")
    strategies = how.get("strategies", ())
    if not isinstance(strategies, str):  # which is refused below
        how = cast("How", {**how, "strategies": [_copied(flow, strategy) for strategy in strategies]})
    prepared = prepare(flow, over, how, "what_if")
    workspace = flow.workspace
    logged = AsLogged(ChoiceBook.of(workspace.ledger, workspace.catalog.resolve))
    bank = RecordedBank(workspace.catalog.resolve, Recorded(workspace).find)
    running = _start(flow, prepared, bank, logged)
    whole = Comparison(prepared.setup, prepared.items, running).wait()
    answers = running.answers.pop(AS_LOGGED, {})
    rest = {
        name: prepared.strategies[name] for name in prepared.setup.strategies if not whole.outcomes(name).ended.all()
    }
    return _told(whole, estimates(rest, logged, answers, bank, workspace.catalog.resolve) if logged.choices else {})


def _start(flow: Flow, prepared: Prepared, bank: RecordedBank, logged: AsLogged) -> Running:
    workspace = flow.workspace
    running = Running(
        setup=prepared.setup,
        workspace=workspace,
        services=replace(workspace.services, journal=Unrecorded()),
        table=prepared.table,
        items=prepared.items,
        scorer=prepared.scorer,
        bank=bank,
        concurrency=count(prepared.options, workspace.settings.concurrency),
    )
    beside = {AS_LOGGED: logged.strategy()} if logged.book.by_key else {}
    running.start(flow, {**prepared.strategies, **beside}, prepared.options)
    return running


def _told(whole: Comparison, estimated: Mapping[str, Estimated]) -> WhatIf:
    """Shows beside the user's strategies those single models that can be told wherever these can."""
    setup = whole.setup
    named = (*setup.strategies, *(() if setup.reference in {None, *setup.strategies} else (setup.reference,)))
    common = told_for_all(whole, [name for name in named if name is not None])
    beside = tuple(
        name for name in setup.singles if name == setup.reference or whole.outcomes(name).ended[common].all()
    )
    return WhatIf(
        comparison=whole.among(beside),
        coverage={name: coverage_of(whole.outcomes(name)) for name in whole.names},
        common=int(common.sum()),
        estimates=estimated,
    )


def _copied(flow: Flow, strategy: str | Strategy) -> str | Strategy:
    """A copy of a strategy that learns: what is only played through teaches it nothing."""
    found = flow.workspace.strategies.find(strategy) if isinstance(strategy, str) and "(" in strategy else strategy
    save = getattr(found, "save", None)
    if save is None or not hasattr(found, "learn"):
        return strategy
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "copy")
        return load_bandit(Path(folder) / "copy")
