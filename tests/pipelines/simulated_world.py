"""A world in which schedulers and runs live, are killed and come again, on a virtual clock: nothing of it is real but
the package's scheduler, its works on the state, and the locks that tell who lives.

A process is an object with a token of its own; killed, it lets go of the token and does nothing more. A run enrols a
little after it was begun, takes its time, and says its end; each of these steps may be the last before a kill.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from orchestration_nb.pipelines.launching import Child, Launcher, Start
from orchestration_nb.pipelines.scheduler import Scheduler
from orchestration_nb.pipelines.schedules import Schedule, ScheduleBook, microseconds, moment_of
from orchestration_nb.state import schedules as works
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.schedules import Turn


class VirtualClock:
    """Stands where the world has put it; ``skew`` is how wrong the wall clock is."""

    def __init__(self, begin: datetime) -> None:
        self.begin = begin
        self.true = begin
        self.skew = timedelta()

    def now(self) -> datetime:
        return self.true + self.skew

    def monotonic(self) -> float:
        return (self.true - self.begin).total_seconds()

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits in this world")


class KilledError(BaseException):
    """A ``kill -9`` of the scheduler that is running; nothing after it happens."""


@dataclass
class Run:
    """The process of a run."""

    world: World
    start: Start
    owners: Owners
    ended: int | None = None
    enrolled: bool = False

    @property
    def key(self) -> tuple[str, datetime]:
        return self.start.schedule.name, self.start.due_at

    def code(self) -> int | None:
        return self.ended

    def cancel(self) -> None:
        raise AssertionError("nobody cancels in this world")

    def enrol(self) -> None:
        if self.ended is not None:
            return
        book, clock = self.world.book, self.world.clock
        token, now_us = self.owners.me, microseconds(clock.now())
        row = book.file.transact(lambda c: works.enrol(c, self.start.claim, token=token, now_us=now_us))
        if row is None:  # it came too late: another has taken the due time over
            self.world.refused += 1
            self._leave(2)
            return
        self.enrolled = True
        self.world.begins(self)
        self.world.at(self.world.duration_s(), self.finish)
        if self.world.dice.random() < self.world.kills:
            self.world.at(self.world.duration_s(), self.kill)

    def finish(self) -> None:
        if self.ended is not None:
            return
        now_us, claim = microseconds(self.world.clock.now()), self.start.claim
        assert self.world.book.file.transact(lambda c: works.end(c, claim, status="done", now_us=now_us))
        self.world.done[self.key] += 1
        self._leave(0)

    def kill(self) -> None:
        if self.ended is None:
            self.world.killed_runs += 1
            self._leave(-9)

    def _leave(self, code: int) -> None:
        self.ended = code
        if self.enrolled:
            self.world.alive[self.start.schedule.name].remove(self)
        self.owners.close()
        self.world.wake()


class WatchedScheduler(Scheduler):
    """Keeps what was left out, and sees that it had to be."""

    def __init__(self, world: World, launcher: Launcher, owners: Owners) -> None:
        super().__init__(world.book, launcher, owners, world.lines.append, busy_look_s=86_400)  # it is woken
        self.world = world

    def _tell(self, schedule: Schedule, turn: Turn) -> None:
        super()._tell(schedule, turn)
        for row in turn.skipped:
            under_way = "select 1 from due_times where schedule = ? and due_us < ? and state in ('claimed', 'started')"
            found = self.world.book.file.open().execute(under_way, (row.schedule, row.due_us)).fetchone()
            assert found, f"{schedule.name} left a due time out although nothing was under way"
            self.world.skipped.add((schedule.name, moment_of(row.due_us)))


@dataclass
class Process:
    """A scheduler's process."""

    world: World
    owners: Owners
    scheduler: Scheduler = field(init=False)
    dead: bool = False
    next_look: datetime | None = None

    def __post_init__(self) -> None:
        self.scheduler = WatchedScheduler(self.world, self, self.owners)

    def launch(self, start: Start) -> Child:
        """May be killed before the run exists, or right after."""
        if self.world.dice.random() < self.world.kills / 2:
            self.world.killed_between += 1
            raise KilledError
        run = Run(self.world, start, Owners(self.world.folder, self.world.clock))
        self.world.at(self.world.dice.uniform(0.5, 5), run.enrol)
        if self.world.dice.random() < self.world.kills / 2:
            self.world.killed_after_start += 1
            raise KilledError
        return run

    def look(self) -> None:
        if self.dead:
            return
        try:
            moment = self.scheduler.look()
        except KilledError:
            self.kill()
            return
        self.next_look = max(moment, self.world.clock.now() + timedelta(seconds=0.05))
        self.world.at((self.next_look - self.world.clock.now()).total_seconds(), self.look_again)

    def look_again(self) -> None:
        if self.next_look is not None and self.world.clock.now() >= self.next_look:
            self.look()

    def kill(self) -> None:
        if self.dead:
            return
        self.dead = True
        self.owners.close()
        self.world.processes.remove(self)
        self.world.at(self.world.away_s(), self.world.begin_scheduler)
        self.world.wake()


class World:
    """Schedulers, runs, and what happens to them.

    Args:
        folder: The workspace.
        clock: The virtual clock.
        dice: Says who is killed when.
        kills: The chance of each run to be killed; half of it for a scheduler at each run that it begins.
    """

    def __init__(self, folder: Path, clock: VirtualClock, dice: random.Random, *, kills: float) -> None:
        self.folder, self.clock, self.dice, self.kills = folder, clock, dice, kills
        self.book = ScheduleBook(folder, clock=clock)
        self.processes: list[Process] = []
        self.alive: defaultdict[str, list[Run]] = defaultdict(list)
        self.begun: Counter[tuple[str, datetime]] = Counter()
        self.done: Counter[tuple[str, datetime]] = Counter()
        self.most_alive: Counter[str] = Counter()
        self.first_begun: dict[tuple[str, datetime], datetime] = {}
        self.order: defaultdict[str, list[datetime]] = defaultdict(list)
        self.skipped: set[tuple[str, datetime]] = set()
        self.lines: list[str] = []
        self.refused = self.killed_runs = self.killed_between = self.killed_after_start = 0
        self.outages: list[tuple[datetime, datetime]] = []
        """When no scheduler lived, as the wall clock had it."""
        self._dark_since: datetime | None = clock.now()
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._woken = False

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.clock.true + timedelta(seconds=seconds), next(self._count), what))

    def wake(self) -> None:
        """Something has happened: the schedulers look within the next seconds, as they do while something runs."""
        if self._woken:
            return
        self._woken = True
        self.at(1, self._look_all)

    def _look_all(self) -> None:
        self._woken = False
        for process in self.dice.sample(self.processes, len(self.processes)):
            process.look()

    def begin_scheduler(self) -> None:
        if self._dark_since is not None:
            self.outages.append((self._dark_since, self.clock.now()))
            self._dark_since = None
        process = Process(self, Owners(self.folder, self.clock))
        self.processes.append(process)
        process.look()
        self._note_darkness()

    def kill_all(self) -> None:
        for process in list(self.processes):
            process.kill()
        self._note_darkness()

    def begins(self, run: Run) -> None:
        name = run.start.schedule.name
        self.alive[name].append(run)
        self.most_alive[name] = max(self.most_alive[name], len(self.alive[name]))
        if run.key not in self.first_begun:
            self.first_begun[run.key] = self.clock.now()
            self.order[name].append(run.start.due_at)
        self.begun[run.key] += 1

    def duration_s(self) -> float:
        """Most runs take minutes; some so long that the next one comes due meanwhile."""
        return self.dice.choice([self.dice.uniform(5, 120)] * 9 + [self.dice.uniform(2000, 30_000)])

    def away_s(self) -> float:
        return self.dice.choice([self.dice.uniform(1, 50)] * 4 + [self.dice.uniform(600, 200_000)])

    def until(self, end: datetime) -> None:
        while self._events and self._events[0][0] <= end:
            self.clock.true, _, what = heapq.heappop(self._events)
            what()
            self._note_darkness()
        self.clock.true = end

    def settle(self) -> None:
        """Lets all that is under way come to its end, with nobody killed any more."""
        self.kills = 0
        self.until(self.clock.true + timedelta(days=4))

    def account(self) -> str:
        """What happened, in one line."""
        return (
            f"{len(self.done)} due times done in {sum(self.begun.values())} runs; {self.killed_runs} runs killed, "
            f"{self.killed_between} schedulers between claim and start, {self.killed_after_start} after the start; "
            f"{self.refused} runs came too late and did not begin; {len(self.skipped)} left out; "
            f"{len(self.outages)} times without any scheduler"
        )

    def _note_darkness(self) -> None:
        if not self.processes and self._dark_since is None:
            self._dark_since = self.clock.now()
