"""Which scheduled runs should have begun by now: those nobody has looked at, and those claimed and not begun."""

from __future__ import annotations

from typing import Final

from orchestration_nb.pipelines.schedules import Listed, ScheduleBook, moment_of
from orchestration_nb.pipelines.watch import Due

MOST: Final = 100
"""Due times of one schedule that are looked at, the oldest first."""


def overdue(book: ScheduleBook) -> list[Due]:
    """The due times that have come and whose runs have not begun, as far as the schedulers of the workspace know.

    What a scheduler has looked at and left out by a rule (``--overlap skip``, ``--catch-up none``) is none of them.

    Raises:
        StateError: If the state of the workspace cannot be read.
    """
    return [due for listed in book.listed() if not listed.row.paused for due in _overdue(listed, book)]


def _overdue(listed: Listed, book: ScheduleBook) -> list[Due]:
    schedule, looked = listed.schedule, moment_of(listed.row.looked_us)
    waiting = [moment_of(row.due_us) for row in listed.open if row.state in {"due", "claimed"}]
    unseen = schedule.due_times().between(looked, book.clock.now(), limit=MOST)
    return [Due(schedule=schedule.name, notebook=schedule.notebook, due_at=due_at) for due_at in [*waiting, *unseen]]
