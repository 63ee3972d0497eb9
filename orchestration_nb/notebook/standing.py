"""How budgets, circuits, limits and batches stand: tables for ``status`` in a notebook and a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestration_nb.notebook import markup
from orchestration_nb.notebook.figures import span
from orchestration_nb.notebook.text import table_text
from orchestration_nb.resilience import Breakers, Limits
from orchestration_nb.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingTable:
    """One part of what may hold runs up."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def standing_of(workspace: Workspace) -> list[StandingTable]:
    """What may hold calls up, as this process knows it; only the parts of which there is something to say."""
    tables = (_circuits(workspace), _limits(workspace))
    return [table for table in tables if table.rows]


def _circuits(workspace: Workspace) -> StandingTable:
    circuits = workspace.services.circuits
    return StandingTable(
        title="Circuits",
        header=("model", "circuit", "failed of the last attempts", "why", "asked again"),
        rows=[
            (
                model,
                circuit.state.replace("_", "-"),
                f"{circuit.failure_rate:.0%} of {circuit.attempts:,}",
                circuit.reason,
                "" if circuit.probe_in_s is None else f"in {span(circuit.probe_in_s)}",
            )
            for model, circuit in (circuits.states().items() if isinstance(circuits, Breakers) else ())
            if circuit.state != "closed" or circuit.failure_rate
        ],
    )


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
