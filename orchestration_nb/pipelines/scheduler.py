"""The service that begins what is due: any number of them on one workspace begin each run once.

What is agreed on stands in the state of the workspace (:mod:`orchestration_nb.state.schedules`); a scheduler keeps
nothing of its own but the processes that it began. Killed, it leaves its claims to the others, and its runs go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from orchestration_nb.errors import OrchestrationError
from orchestration_nb.ids import new_id
from orchestration_nb.pipelines.due_times import DueTimes, read_zone
from orchestration_nb.pipelines.launching import Child, Launcher, Start, status_of_code
from orchestration_nb.pipelines.limits import signals
from orchestration_nb.pipelines.schedules import Listed, Schedule, ScheduleBook, microseconds, moment_of
from orchestration_nb.state import schedules as works
from orchestration_nb.state.schedules import DueRow, Turn

GRACE: Final = timedelta(minutes=1)
"""What is seen later than this after it was due, was missed."""
IDLE_S: Final = 5.0
"""How often is looked when nothing is due: a schedule may have been added, or the machine's clock set."""
BUSY_LOOK_S: Final = 1.0
"""How often is looked while something runs."""
STOP_S: Final = 30.0
"""How long runs may take to book what is under way when the scheduler is asked to end."""
LEAST_LIVES: Final = 4
"""How often a run that vanishes is begun, in all; more often where more retries are asked for."""
MOST_AT_ONCE: Final = 1000
"""Due times that are decided on in one look."""


class Tokens(Protocol):
    """The part of :class:`orchestration_nb.state.owners.Owners` that is used here."""

    @property
    def me(self) -> str:
        """Token of this process."""

    def alive(self, token: str) -> bool:
        """Whether the process of that token lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A run that this scheduler began."""

    schedule: Schedule
    due_at: datetime
    claim: str
    child: Child


class Scheduler:
    """Looks what is due, and begins it.

    Args:
        book: The schedules.
        launcher: Begins runs.
        owners: Knows which processes live.
        say: Is told, in one line each, what is done.
        busy_look_s: How often is looked while something runs.
    """

    def __init__(
        self,
        book: ScheduleBook,
        launcher: Launcher,
        owners: Tokens,
        say: Callable[[str], None],
        *,
        busy_look_s: float = BUSY_LOOK_S,
    ) -> None:
        self._busy_look = timedelta(seconds=busy_look_s)
        self._book = book
        self._launcher = launcher
        self._owners = owners
        self._say = say
        self._begun: list[_Begun] = []
        self._due: dict[str, tuple[DueTimes, tuple[int, datetime]]] = {}

    async def serve(self, stop: asyncio.Event | None = None) -> None:
        """Begins what is due until SIGTERM, SIGINT or ``stop`` asks for the end; then its runs are asked to cancel.

        A state that cannot be read or written for a while is said, and looked at again.
        """
        stop = stop or asyncio.Event()
        with signals(stop):
            while not stop.is_set():
                try:
                    wait_s = (self.look() - self._book.clock.now()).total_seconds()
                except OrchestrationError as error:
                    self._say(str(error))
                    wait_s = IDLE_S
                await self._wait(min(max(wait_s, 0.05), IDLE_S), stop)
            await self.end()

    def look(self) -> datetime:
        """Does all that is to be done now, and returns when to look again at the latest; naive UTC.

        Raises:
            StateError: If the state of the workspace cannot be written.
        """
        now = self._book.clock.now()
        self._reap(now)
        moments = [self._look_at(listed, now) for listed in self._book.listed()]
        if self._begun:
            moments.append(now + self._busy_look)
        return min(moments, default=now + timedelta(seconds=IDLE_S))

    async def end(self) -> None:
        """Asks the runs that it began to cancel, and waits half a minute for them to book what was under way."""
        for begun in self._begun:
            self._say(f"{begun.schedule.name}: asked to cancel.")
            begun.child.cancel()
        waited_s = 0.0
        while self._begun and waited_s < STOP_S:
            await self._book.clock.sleep(0.1)
            waited_s += 0.1
            self._reap(self._book.clock.now(), stopping=True)
        for begun in self._begun:
            self._say(f"{begun.schedule.name}: is still at it, and goes on without a scheduler.")

    async def _wait(self, seconds: float, stop: asyncio.Event) -> None:
        asked = asyncio.ensure_future(stop.wait())
        slept = asyncio.ensure_future(self._book.clock.sleep(seconds))
        await asyncio.wait({asked, slept}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        slept.cancel()

    def _look_at(self, listed: Listed, now: datetime) -> datetime:
        """Does what is to be done for one schedule, and returns when it wants to be looked at again."""
        decided, upcoming = (False, now + timedelta(seconds=IDLE_S)) if listed.row.paused else self._decide(listed, now)
        if not decided and not listed.open:
            return upcoming
        turn, waiting = self._turn(listed, now)
        self._tell(listed.schedule, turn)
        for row in turn.begin:
            self._begin(listed.schedule, row)
        soon = now + self._busy_look
        starts = [max(moment_of(row.start_us), soon if row.start_us <= microseconds(now) else now) for row in waiting]
        return min([upcoming, *starts])

    def _decide(self, listed: Listed, now: datetime) -> tuple[bool, datetime]:
        """Whether due times have come that shall run, and when the next one comes."""
        schedule, row = listed.schedule, listed.row
        looked, times = moment_of(row.looked_us), self._times(listed)
        upcoming = self._upcoming(listed, looked)
        if now < looked:  # the clock was set back: what comes again is known by its row
            self._write(listed, now, [], now)
            return False, now
        if upcoming > now:
            return False, upcoming
        wanted, until = _wanted(schedule, times, looked, now)
        rows = [_row(row.id, schedule, due, late=now - due > GRACE) for due in wanted]
        if upcoming < now - GRACE and schedule.catch_up != "all":
            self._say(f"{schedule.name}: missed since {shown(upcoming, schedule)}; catch-up {schedule.catch_up}.")
        self._write(listed, until, rows, now)
        return True, now

    def _write(self, listed: Listed, until: datetime, rows: list[DueRow], now: datetime) -> None:
        until_us, now_us = microseconds(until), microseconds(now)
        self._book.file.transact(
            lambda connection: works.decide(connection, listed.row, until_us=until_us, wanted=rows, now_us=now_us)
        )

    def _turn(self, listed: Listed, now: datetime) -> tuple[Turn, list[DueRow]]:
        """What is to be done now, and what waits afterwards."""
        me, now_us, schedule = self._owners.me, microseconds(now), listed.schedule
        return self._book.file.transact(
            lambda connection: (
                works.take_turn(
                    connection,
                    listed.row.id,
                    me=me,
                    now_us=now_us,
                    overlap=schedule.overlap,
                    lives=_lives(schedule),
                    new_claim=new_id,
                    is_dead=lambda token: not self._owners.alive(token),
                ),
                works.open_rows(connection, listed.row.id),
            )
        )

    def _begin(self, schedule: Schedule, row: DueRow) -> None:
        assert row.claim is not None
        due_at = moment_of(row.due_us)
        start = Start(schedule=schedule, due_at=due_at, claim=row.claim, deaths=row.deaths)
        try:
            child = self._launcher.launch(start)
        except OrchestrationError as error:
            self._say(f"{schedule.name}: {error}")
            self._end(row.claim, "failed")
            return
        again = f", again after {row.deaths} of its runs vanished" if row.deaths else ""
        self._say(f"{schedule.name}: begun, due {shown(due_at, schedule)}{again}.")
        self._begun.append(_Begun(schedule=schedule, due_at=due_at, claim=row.claim, child=child))

    def _reap(self, now: datetime, *, stopping: bool = False) -> None:
        """Books the end of runs that say nothing more themselves."""
        living = []
        for begun in self._begun:
            code = begun.child.code()
            if code is None:
                living.append(begun)
            elif code >= 0:
                self._end(begun.claim, status_of_code(code))  # does nothing where the run has said it itself
                self._say(f"{begun.schedule.name}: {status_of_code(code)}, due {shown(begun.due_at, begun.schedule)}.")
            else:
                self._killed(begun, now, -code, stopping=stopping)
        self._begun = living

    def _killed(self, begun: _Begun, now: datetime, number: int, *, stopping: bool) -> None:
        now_us, lives, file = microseconds(now), _lives(begun.schedule), self._book.file
        if stopping and file.transact(lambda connection: works.release(connection, begun.claim, now_us=now_us)):
            self._say(f"{begun.schedule.name}: had not begun, and is left to another scheduler.")
            return
        again = file.transact(lambda connection: works.lose(connection, begun.claim, lives=lives, now_us=now_us))
        if again is not None:
            then = "it is begun again" if again else "it is given up"
            self._say(f"{begun.schedule.name}: killed by signal {number}; {then}.")

    def _end(self, claim: str, status: str) -> None:
        now_us = microseconds(self._book.clock.now())
        self._book.file.transact(lambda connection: works.end(connection, claim, status=status, now_us=now_us))

    def _tell(self, schedule: Schedule, turn: Turn) -> None:
        for rows, what in (
            (turn.skipped, "left out, since the run before it is under way"),
            (turn.vanished, "its run vanished; it is begun again"),
            (turn.given_up, "its runs vanished too often; it is given up"),
        ):
            for row in rows:
                self._say(f"{schedule.name}: {what}, due {shown(moment_of(row.due_us), schedule)}.")

    def _times(self, listed: Listed) -> DueTimes:
        known = self._due.get(listed.row.id)
        return known[0] if known is not None else listed.schedule.due_times()

    def _upcoming(self, listed: Listed, looked: datetime) -> datetime:
        """The first due time that was not decided on, reckoned once."""
        known = self._due.get(listed.row.id)
        if known is None or known[1][0] != listed.row.looked_us:
            times = self._times(listed)
            known = self._due[listed.row.id] = (times, (listed.row.looked_us, times.after(looked)))
        return known[1][1]


def shown(moment: datetime, schedule: Schedule) -> str:
    """A moment as the clock of the schedule's zone shows it."""
    return f"{moment.replace(tzinfo=UTC).astimezone(read_zone(schedule.zone)):%Y-%m-%d %H:%M %Z}"


def _wanted(schedule: Schedule, times: DueTimes, looked: datetime, now: datetime) -> tuple[list[datetime], datetime]:
    """Which due times since ``looked`` shall run, and until when all are decided on."""
    if schedule.catch_up == "all":
        found = times.between(looked, now, limit=MOST_AT_ONCE)
        return found, found[-1] if len(found) == MOST_AT_ONCE else now
    on_time = times.between(max(looked, now - GRACE - timedelta(microseconds=1)), now, limit=MOST_AT_ONCE)
    if schedule.catch_up == "last" and not on_time:
        newest = times.newest(looked, now)
        return [newest] if newest is not None else [], now
    return on_time, now


def _row(schedule_id: str, schedule: Schedule, due_at: datetime, *, late: bool) -> DueRow:
    start = due_at if late else schedule.start_of(due_at)
    return DueRow(
        schedule=schedule_id, due_us=microseconds(due_at), start_us=microseconds(start), late=late, state="due"
    )


def _lives(schedule: Schedule) -> int:
    return max(LEAST_LIVES, schedule.retries + 1)
