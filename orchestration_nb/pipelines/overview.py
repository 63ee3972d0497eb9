"""How the schedules of a workspace stand: a row each, with what the ledger knows of the last run."""

from __future__ import annotations

from datetime import UTC
from typing import Any, Final

from orchestration_nb.ledger import Ledger
from orchestration_nb.pipelines.due_times import read_zone
from orchestration_nb.pipelines.schedules import Listed, ScheduleBook, moment_of
from orchestration_nb.terminal import records

COLUMNS: Final = ("name", "notebook", "when", "zone", "next_due", "last_due", "last_status", "last_cost_usd", "state")
_LAST_RUNS: Final = """
select p.schedule, p.due_at, arg_max(p.status, p.pipeline_id) as status,
    (select coalesce(sum(c.cost_usd), 0) from calls as c join runs as r using (run_id)
     join pipelines as q using (pipeline_id) where q.schedule = p.schedule and q.due_at = p.due_at) as cost_usd
from pipelines as p where p.schedule is not null and p.due_at is not null
group by p.schedule, p.due_at
qualify row_number() over (partition by p.schedule order by p.due_at desc) = 1
"""


def overview(book: ScheduleBook) -> list[list[Any]]:
    """A row for each schedule, by name, of :data:`COLUMNS`; times as the clock of its zone shows them.

    Raises:
        StateError: If the state of the workspace cannot be read.
        WorkspaceError: If its ledger cannot be read.
    """
    ledger = Ledger(book.folder)
    runs = {row["schedule"]: row for row in records(ledger.sql(_LAST_RUNS))} if ledger.is_begun() else {}
    return [_row(listed, runs.get(listed.schedule.name), book) for listed in book.listed()]


def _row(listed: Listed, last: dict[str, Any] | None, book: ScheduleBook) -> list[Any]:
    schedule, zone = listed.schedule, read_zone(listed.schedule.zone)
    upcoming = None if listed.row.paused else schedule.due_times().after(book.clock.now())
    newest, status, cost_usd = listed.newest, None, None
    last_due = moment_of(newest.due_us) if newest is not None else None
    if last is not None and (last_due is None or last["due_at"] >= last_due):
        last_due, status, cost_usd = last["due_at"], last["status"], last["cost_usd"]
    if newest is not None and moment_of(newest.due_us) == last_due and newest.state == "ended":
        status = newest.status
    due, seen = (
        None if moment is None else moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
        for moment in (upcoming, last_due)
    )
    words = schedule.words.removesuffix(f" ({schedule.zone})")
    return [schedule.name, schedule.notebook, words, schedule.zone, due, seen, status, cost_usd, _state(listed)]


def _state(listed: Listed) -> str:
    running = sum(row.state == "started" for row in listed.open)
    parts = ["paused"] if listed.row.paused else []
    parts += [f"{running} running"] if running else []
    waiting = len(listed.open) - running
    return ", ".join(parts + ([f"{waiting} waiting"] if waiting else [])) or "on"
