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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WhatIf:
    """What strategies would have come to, as far as recorded replies tell."""

    comparison: Comparison
    """On the items that can be told for all: of the single models, those are shown that can be told there too."""
    coverage: Mapping[str, Coverage]
    """By strategy, single models included: how much of it can be told."""
    common: int
    """Items that can be told for all strategies that the user named, and the reference."""

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
        lines += [self.coverage[name].sentence for name in names]
        if len(names) > 1:
            lines.append(
                f"{self.common:,} of {items:,} items can be told for all of them; figures beside each other "
                "are of these."
            )
        return tuple(lines)


def what_if(flow: Flow, *, over: Any, **how: Unpack[How]) -> WhatIf:
    """Runs strategies against recorded replies, on a virtual clock, and waits for the end.

    The replies are those of the ledger, and of the folder of ``[replay]`` where there is one. Nothing is asked and
    nothing is paid; an item that wants a reply which nobody recorded cannot be told. The ledger keeps the comparison
    and what each strategy came to on each item, but no runs and no calls: none were made. A strategy of ours that
    learns does so in a copy.

    ::

        what_if(triage, over=tickets, strategies=["cascade(fast, strong)", "fast"], scorer="queue=label:queue")

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
    how = cast("How", {**how, "strategies": [_copied(flow, strategy) for strategy in how["strategies"]]})
    prepared = prepare(flow, over, how, "what_if")
    running = _start(flow, prepared)
    whole = Comparison(prepared.setup, prepared.items, running).wait()
    return _told(whole)


def _start(flow: Flow, prepared: Prepared) -> Running:
    workspace = flow.workspace
    running = Running(
        setup=prepared.setup,
        workspace=workspace,
        services=replace(workspace.services, journal=Unrecorded()),
        table=prepared.table,
        items=prepared.items,
        scorer=prepared.scorer,
        bank=RecordedBank(workspace.catalog.resolve, Recorded(workspace).find),
        concurrency=count(prepared.options, workspace.settings.concurrency),
    )
    running.start(flow, prepared.strategies, prepared.options)
    return running


def _told(whole: Comparison) -> WhatIf:
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
