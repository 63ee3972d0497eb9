"""What a scheduler does at its looks: once for each due time, over pauses, deaths and clocks that are set."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from orchestration_nb.clock import SystemClock
from orchestration_nb.errors import OrchestrationError, StateError, UsageError
from orchestration_nb.ledger import Ledger
from orchestration_nb.pipelines.launching import CLAIM, Start, enrolled, run_arguments
from orchestration_nb.pipelines.scheduler import Scheduler
from orchestration_nb.pipelines.schedules import Schedule, ScheduleBook, microseconds
from orchestration_nb.state import schedules as works
from orchestration_nb.state.owners import Owners
from tests.conftest import REPO
from tests.pipelines import notebooks
from tests.pipelines.reckoning import utc
from tests.pipelines.simulated_world import VirtualClock, World

BEGIN = utc(2026, 1, 5)
HOURLY = Schedule(name="hourly", notebook="weekly.ipynb", cron="0 * * * *", zone="UTC")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(BEGIN)


@pytest.fixture
def world(tmp_path: Path, clock: VirtualClock) -> World:
    """Nobody is killed in it, unless a test does so."""
    notebooks.write(tmp_path, "x = 1")
    return World(tmp_path, clock, random.Random(1), kills=0)


def changed(schedule: Schedule, **rules: Any) -> Schedule:
    from dataclasses import replace

    return replace(schedule, **rules)


def hours(world: World, name: str = "hourly") -> list[int]:
    """The due times that were done, as hours since the beginning."""
    return sorted(round((due - BEGIN) / timedelta(hours=1)) for key, due in world.done if key == name)


def test_two_schedulers_begin_each_due_time_once(world: World) -> None:
    world.book.add(HOURLY)
    world.begin_scheduler()
    world.begin_scheduler()
    world.until(BEGIN + timedelta(hours=5, minutes=59))
    assert hours(world) == [1, 2, 3, 4, 5]
    assert set(world.begun.values()) == {1}


@pytest.mark.parametrize(("catch_up", "done"), [("none", [1, 6]), ("last", [1, 5, 6]), ("all", [1, 2, 3, 4, 5, 6])])
def test_what_was_missed_is_made_up_for_by_the_policy(world: World, catch_up: Any, done: list[int]) -> None:
    world.book.add(changed(HOURLY, catch_up=catch_up))
    world.away_s = lambda: 4.4 * 3600  # type: ignore[method-assign]
    world.begin_scheduler()
    world.until(BEGIN + timedelta(hours=1, minutes=10))
    world.kill_all()
    world.until(BEGIN + timedelta(hours=6, minutes=40))
    assert hours(world) == done


@pytest.mark.parametrize(
    ("overlap", "done", "most"), [("skip", [1, 4], 1), ("queue", [1, 2, 3], 1), ("allow", [1, 2, 3, 4, 5], 3)]
)
def test_what_comes_due_while_a_run_is_under_way(world: World, overlap: Any, done: list[int], most: int) -> None:
    world.book.add(changed(HOURLY, overlap=overlap))
    world.duration_s = lambda: 2.5 * 3600  # type: ignore[method-assign]
    world.begin_scheduler()
    world.until(BEGIN + timedelta(hours=8.6))
    assert hours(world)[: len(done)] == done
    assert world.most_alive["hourly"] == most


def test_a_clock_that_is_set_back_runs_nothing_twice(world: World, clock: VirtualClock) -> None:
    world.book.add(HOURLY)
    world.begin_scheduler()
    world.until(BEGIN + timedelta(hours=3, minutes=10))
    clock.skew = timedelta(hours=-2)
    world.wake()
    world.until(BEGIN + timedelta(hours=8, minutes=10))
    assert hours(world) == [1, 2, 3, 4, 5, 6]
    assert set(world.begun.values()) == {1}


def test_a_clock_that_was_wrong_for_a_while_loses_nothing(world: World, clock: VirtualClock) -> None:
    """Set ahead by a day and back: what was taken for missed meanwhile still comes."""
    world.book.add(HOURLY)
    world.begin_scheduler()
    world.until(BEGIN + timedelta(hours=1, minutes=10))
    clock.skew = timedelta(days=1)
    world.wake()
    world.until(BEGIN + timedelta(hours=1, minutes=20))
    clock.skew = timedelta()
    world.wake()
    world.until(BEGIN + timedelta(hours=4, minutes=30))
    assert hours(world) == [1, 2, 3, 4]


def test_what_is_paused_does_not_run_and_is_not_made_up_for(world: World) -> None:
    world.book.add(changed(HOURLY, catch_up="all"))
    world.begin_scheduler()
    world.until(BEGIN + timedelta(hours=1, minutes=10))
    world.book.pause("hourly")
    world.until(BEGIN + timedelta(hours=3, minutes=10))
    world.book.resume("hourly")
    world.until(BEGIN + timedelta(hours=4, minutes=30))
    assert hours(world) == [1, 4]


def test_the_jitter_is_the_same_for_all_and_stays_within_its_bound() -> None:
    schedule = changed(HOURLY, jitter_s=300)
    late = [
        (schedule.start_of(BEGIN + timedelta(hours=n)) - BEGIN - timedelta(hours=n)).total_seconds() for n in range(200)
    ]
    again = [changed(HOURLY, jitter_s=300).start_of(BEGIN + timedelta(hours=n)) for n in range(200)]
    assert again == [BEGIN + timedelta(hours=n, seconds=s) for n, s in enumerate(late)]
    assert 0 <= min(late) < 30
    assert 270 < max(late) <= 300
    assert 120 < sum(late) / 200 < 180


def test_a_run_that_vanishes_again_and_again_is_given_up(world: World) -> None:
    world.book.add(HOURLY)
    world.kills, world.dice.random = 1, lambda: 0.9  # type: ignore[method-assign]
    world.duration_s = iter([100, 10] * 50).__next__  # type: ignore[method-assign]
    world.begin_scheduler()
    world.until(BEGIN + timedelta(hours=1, minutes=50))
    assert world.begun["hourly", BEGIN + timedelta(hours=1)] == 4
    assert not world.done
    assert "hourly: killed by signal 9; it is given up." in world.lines
    newest = world.book.named("hourly").newest
    assert newest is not None
    assert newest.status == "vanished"


class Children:
    """A launcher of children that do as they are told."""

    def __init__(self) -> None:
        self.starts: list[Start] = []
        self.exit_code: int | None = None
        self.cancelled = 0
        self.refusal: OrchestrationError | None = None

    def launch(self, start: Start) -> Children:
        if self.refusal is not None:
            raise self.refusal
        self.starts.append(start)
        return self

    def code(self) -> int | None:
        return self.exit_code

    def cancel(self) -> None:
        self.cancelled += 1
        self.exit_code = 130


def scheduler_of(world: World, children: Children) -> tuple[Scheduler, list[str]]:
    lines: list[str] = []
    return Scheduler(world.book, children, Owners(world.folder, world.clock), lines.append), lines


def test_a_run_that_cannot_be_begun_has_failed(world: World, clock: VirtualClock) -> None:
    world.book.add(HOURLY)
    children = Children()
    children.refusal = OrchestrationError("hourly could not be begun: no memory.")
    scheduler, lines = scheduler_of(world, children)
    clock.true += timedelta(hours=1)
    scheduler.look()
    assert lines == ["hourly: hourly could not be begun: no memory."]
    newest = world.book.named("hourly").newest
    assert newest is not None
    assert (newest.state, newest.status) == ("ended", "failed")


@pytest.mark.parametrize(
    ("code", "status"), [(0, "done"), (1, "failed"), (2, "refused"), (3, "over budget"), (4, "paused")]
)
def test_the_exit_code_of_a_run_is_its_status(world: World, clock: VirtualClock, code: int, status: str) -> None:
    world.book.add(HOURLY)
    children = Children()
    scheduler, lines = scheduler_of(world, children)
    clock.true += timedelta(hours=1)
    scheduler.look()
    children.exit_code = code
    scheduler.look()
    newest = world.book.named("hourly").newest
    assert newest is not None
    assert newest.status == status
    assert lines[-1] == f"hourly: {status}, due 2026-01-05 01:00 UTC."


async def test_at_its_end_runs_are_asked_to_cancel_and_are_booked(world: World, clock: VirtualClock) -> None:
    world.book.add(HOURLY)
    children = Children()
    scheduler, lines = scheduler_of(world, children)
    clock.true += timedelta(hours=1)
    clock.sleep = lambda seconds: asyncio.sleep(0)  # type: ignore[method-assign]
    stop = asyncio.Event()
    stop.set()
    scheduler.look()
    await scheduler.serve(stop)
    assert children.cancelled == 1
    assert lines[-2:] == ["hourly: asked to cancel.", "hourly: cancelled, due 2026-01-05 01:00 UTC."]


async def test_a_state_that_cannot_be_used_for_a_while_does_not_end_the_service(
    world: World, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book.add(HOURLY)
    children, stop = Children(), asyncio.Event()
    scheduler, lines = scheduler_of(world, children)
    monkeypatch.setattr(world.book, "listed", Mock(side_effect=[StateError("It is locked."), []]))

    async def sleep(seconds: float) -> None:
        if len(lines) == 1 and clock.true > BEGIN:
            stop.set()
        clock.true += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    clock.sleep = sleep  # type: ignore[method-assign]
    await scheduler.serve(stop)
    assert lines == ["It is locked."]


def test_a_run_whose_claim_was_taken_over_does_not_begin(world: World, clock: VirtualClock) -> None:
    world.book.add(HOURLY)
    first, second = Children(), Children()
    dying, _ = scheduler_of(world, first)
    clock.true += timedelta(hours=1)
    dying.look()
    dying._owners.close()  # type: ignore[attr-defined]
    other, _ = scheduler_of(world, second)
    clock.true += timedelta(seconds=1)
    other.look()
    assert [start.due_at for start in first.starts] == [start.due_at for start in second.starts]
    environ = {CLAIM: first.starts[0].claim}
    with pytest.raises(UsageError, match="taken over"), enrolled(world.folder, environ, clock):
        raise AssertionError
    assert not environ
    with enrolled(world.folder, {CLAIM: second.starts[0].claim}, clock) as run:
        assert [row.state for row in world.book.named("hourly").open] == ["started"]
        run.status = "done"
    newest = world.book.named("hourly").newest
    assert newest is not None
    assert newest.status == "done"


def test_schedules_outlive_a_damaged_file(world: World) -> None:
    world.book.add(HOURLY)
    world.begin_scheduler()
    world.until(BEGIN + timedelta(hours=2, minutes=10))
    file = world.book.file
    file.open().execute("pragma wal_checkpoint(truncate)")
    (root,) = file.open().execute("select rootpage from sqlite_master where name = 'accounts'").fetchone()
    world.book.close()
    with file.path.open("r+b") as raw:
        raw.seek((root - 1) * 4096)
        raw.write(b"\xff" * 4096)
    with pytest.raises(StateError, match="damaged"):
        file.transact(lambda connection: connection.execute("select * from accounts").fetchall())
    (listed,) = world.book.listed()
    assert listed.schedule == HOURLY
    world.until(BEGIN + timedelta(hours=4, minutes=10))
    assert hours(world) == [1, 2, 3, 4]


def test_flags_of_the_run(tmp_path: Path) -> None:
    schedule = changed(
        HOURLY, parameters=("a=1",), budget_usd=2, timeout_s=60, retries=3, tags={"team": "x"}, secrets={"T": "env:T"}
    )
    expected = (
        f"run {tmp_path}/weekly.ipynb --schedule hourly -p a=1 --budget 2 --timeout 60 --retries 3 --secret T=env:T"
    )
    assert " ".join(run_arguments(schedule, tmp_path)) == f"{expected} --tag team=x"
    exact = run_arguments(changed(HOURLY, budget_usd=12345.67, timeout_s=1234567.5), tmp_path)
    assert exact[-4:] == ["--budget", "12345.67", "--timeout", "1234567.5"]


def waited_for(what: Callable[[], Any], limit_s: float = 180) -> Any:
    ends_s = time.monotonic() + limit_s
    while not (found := what()):
        assert time.monotonic() < ends_s
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_real_schedulers_and_a_real_run_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three due times that were missed; the scheduler of the first, and the run of the second, get SIGKILL."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))
    notebooks.write(tmp_path, "import time", "time.sleep(3)")
    now = SystemClock().now().replace(second=0, microsecond=0)
    due = [now - timedelta(minutes=minutes) for minutes in (4, 3, 2)]
    minutes, on = ",".join(str(each.minute) for each in due), ",".join(sorted({str(each.hour) for each in due}))
    book = ScheduleBook(tmp_path)
    book.add(changed(HOURLY, cron=f"{minutes} {on} * * *", catch_up="all", overlap="queue"))
    back = microseconds(due[0] - timedelta(seconds=30))
    book.file.transact(lambda connection: connection.execute("update schedules set looked_us = ?", (back,)))
    command = [sys.executable, "-m", "orchestration_nb.cli", "scheduler", "--workspace", str(tmp_path)]
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    schedulers = []
    for log in logs:
        with log.open("w") as out:
            schedulers.append(subprocess.Popen(command, stdout=out, stderr=out))

    def states() -> dict[datetime, str]:
        rows = book.file.transact(lambda c: c.execute("select due_us, state from due_times order by 1").fetchall())
        return dict(zip(due, [state for _, state in rows], strict=False))

    def pid_of(moment: datetime) -> int:
        found = Ledger(tmp_path).sql("select pid from pipelines where due_at = ? and status = 'running'", [moment])
        return int(found["pid"].iloc[0]) if len(found) else 0

    try:
        waited_for(lambda: states().get(due[0]) == "started")
        (killed,) = [place for place, log in enumerate(logs) if "begun, due" in log.read_text()]
        schedulers[killed].kill()
        schedulers[killed].wait()
        waited_for(lambda: states()[due[1]] == "started" and pid_of(due[1]))
        os.kill(pid_of(due[1]), signal.SIGKILL)
        waited_for(lambda: set(states().values()) == {"ended"})
        schedulers[1 - killed].send_signal(signal.SIGTERM)
        assert schedulers[1 - killed].wait(20) == 0
    finally:
        for process in schedulers:
            process.kill()
            process.wait()
    told = logs[1 - killed].read_text()
    assert "killed by signal 9; it is begun again." in told
    assert told.splitlines()[-1].endswith("Ended.")
    runs = Ledger(tmp_path).sql("select due_at, status, resumes from pipelines order by pipeline_id")
    assert list(zip(runs["due_at"], runs["status"], strict=True)) == [
        (due[0], "done"),
        (due[1], "failed"),
        (due[1], "done"),
        (due[2], "done"),
    ]
    assert runs["resumes"].notna().tolist() == [False, False, True, False]


def test_works_on_what_is_not_there_do_nothing(tmp_path: Path) -> None:
    file = ScheduleBook(tmp_path).file

    def all_of(connection: sqlite3.Connection) -> list[object]:
        return [
            works.end(connection, "none", status="done", now_us=1),
            works.release(connection, "none", now_us=1),
            works.lose(connection, "none", lives=1, now_us=1),
            works.enrol(connection, "none", token="me", now_us=1),
            works.pause(connection, "none"),
            works.resume(connection, "none", now_us=1),
            works.remove(connection, "none"),
        ]

    assert file.transact(all_of) == [False, False, None, None, False, False, False]
