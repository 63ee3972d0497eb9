"""How budgets, circuits, limits and batches stand: tables for ``status`` in a notebook and a terminal.

The circuits and the pace are those of this process. Budgets and batches belong to all processes of the workspace, and a
terminal, which has asked no model itself, reads the circuits' last changes from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from orchestration_nb.cost.budget import Standing
from orchestration_nb.engine.batches_left import SHOWN
from orchestration_nb.engine.loop import wait
from orchestration_nb.pages import markup
from orchestration_nb.pages.figures import span, usd
from orchestration_nb.pages.text import table_text
from orchestration_nb.resilience import Breakers, Limits
from orchestration_nb.state.batches import BatchRow, BatchStatus
from orchestration_nb.terminal import records
from orchestration_nb.workspace import Workspace

BAR: Final = 12
"""Characters of a budget's bar."""
_LAST_CHANGES: Final = """
select model, state, failure_rate, attempts, coalesce(reason, '') as reason, changed_at from circuits
qualify row_number() over (partition by model order by changed_at desc, rowid desc) = 1 order by model
"""
NO_BATCH: Final = "No batch is under way."
_BATCH: Final[dict[BatchStatus, str]] = {
    "submitting": "being handed over",
    "unsure": "perhaps handed over",
    "under_way": "at the provider",
    "ended": "answered",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingTable:
    """One part of what may hold runs up."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def standing_of(workspace: Workspace) -> list[StandingTable]:
    """What may hold calls up, as this process knows it; only the parts of which there is something to say.

    Raises:
        StateError: If the state cannot be read.
    """
    return _told(
        _budgets(workspace), _circuits(workspace), _limits(workspace), batches_table(workspace.batches_under_way())
    )


def recorded_standing(workspace: Workspace) -> list[StandingTable]:
    """The same as far as the stores of the workspace know it, whoever else may be running.

    Raises:
        WorkspaceError: If a store cannot be read.
    """
    return _told(_budgets(workspace), _last_changes(workspace), batches_table(workspace.batches_under_way()))


def _told(*tables: StandingTable) -> list[StandingTable]:
    return [table for table in tables if table.rows]


def _budgets(workspace: Workspace) -> StandingTable:
    standings = wait(workspace.engine.submit(workspace.budgets.standings()))
    return StandingTable(
        title="Budgets and quotas",
        header=("name", "spent", "of", "set aside", "", "begins anew", "then"),
        rows=[
            (
                standing.name,
                _amount(standing, standing.spent),
                _amount(standing, standing.limit),
                _amount(standing, standing.held) if standing.held else "",
                bar(standing.share),
                f"{standing.ends_at:%Y-%m-%d %H:%M} UTC" if standing.ends_at else "never",
                standing.reached,
            )
            for standing in standings
        ],
    )


def _amount(standing: Standing, amount: float) -> str:
    return usd(amount) if standing.kind == "usd" else f"{amount:,.0f} {standing.kind}"


def bar(share: float) -> str:
    """A share as a bar and a number: ``██████░░░░░░ 50 %``."""
    full = min(BAR, round(share * BAR))
    return f"{'█' * full}{'░' * (BAR - full)} {share:.0%}".replace("%", " %")


def _circuits(workspace: Workspace) -> StandingTable:
    circuits = workspace.services.circuits
    return StandingTable(
        title="Circuits",
        header=("model", "circuit", "failed of the last attempts", "why", "asked again"),
        rows=[
            (
                model,
                circuit.state.replace("_", "-"),
                _rate(circuit.failure_rate, circuit.attempts),
                circuit.reason,
                "" if circuit.probe_in_s is None else f"in {span(circuit.probe_in_s)}",
            )
            for model, circuit in (circuits.states().items() if isinstance(circuits, Breakers) else ())
            if circuit.state != "closed" or circuit.failure_rate
        ],
    )


def _rate(share: float, attempts: int) -> str:
    return f"{share:.0%} of {attempts:,}".replace("%", " %")


def _last_changes(workspace: Workspace) -> StandingTable:
    changes = records(workspace.ledger.sql(_LAST_CHANGES)) if workspace.ledger.is_begun() else []
    return StandingTable(
        title="Circuits, as they last changed",
        header=("model", "circuit", "failed of the last attempts", "why", "since"),
        rows=[
            (
                change["model"],
                change["state"].replace("_", "-"),
                _rate(change["failure_rate"], change["attempts"]),
                change["reason"],
                _moment(change["changed_at"]),
            )
            for change in changes
        ],
    )


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _limits(workspace: Workspace) -> StandingTable:
    limits = workspace.services.limits
    return StandingTable(
        title="Limits",
        header=("model", "in flight", "waiting", "pace", "429s", "why"),
        rows=[
            (
                limit.model,
                f"{limit.in_flight:,}",
                f"{limit.waiting:,}",
                "" if limit.pace_per_s is None else f"{limit.pace_per_s:.1f} calls/s",
                f"{limit.refusals:,}",
                limit.why,
            )
            for limit in (limits.standing() if isinstance(limits, Limits) else ())
            if limit.waiting or limit.refusals or limit.why
        ],
    )


def batches_table(batches: Sequence[BatchRow]) -> StandingTable:
    """The batches of a workspace."""
    return StandingTable(
        title="Batches",
        header=("batch", "model", "requests", "waited for", "flow", "run", "stands", "since", "the provider's id"),
        rows=[
            (
                batch.token[:SHOWN],
                batch.model,
                f"{batch.size:,}",
                f"{batch.waiting:,}",
                batch.flow,
                batch.run_id,
                _BATCH[batch.status],
                _moment(batch.created_at),
                batch.provider_id or "",
            )
            for batch in batches
        ],
    )


def standing_bundle(tables: Sequence[StandingTable]) -> dict[str, str]:
    """The tables as HTML and text."""
    parts = (markup.part(table.title, markup.table(table.header, table.rows)) for table in tables)
    return {"text/html": markup.page(*parts), "text/plain": standing_text(tables)}


def standing_text(tables: Sequence[StandingTable]) -> str:
    """The tables as text."""
    return "\n\n".join(_texts(tables))


def _texts(tables: Sequence[StandingTable]) -> Iterator[str]:
    for table in tables:
        yield f"{table.title}\n\n{table_text(table.header, table.rows, width=60)}"
