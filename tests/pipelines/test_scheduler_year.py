"""Three schedulers through a simulated year: each due time runs as its policy says, once, whoever is killed when."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orchestration_nb.pipelines.scheduler import GRACE, LEAST_LIVES
from orchestration_nb.pipelines.schedules import CatchUp, Schedule
from orchestration_nb.state.schedules import Overlap
from tests.pipelines import notebooks, reckoning
from tests.pipelines.reckoning import utc
from tests.pipelines.simulated_world import VirtualClock, World

BEGIN, END = utc(2026, 1, 1), utc(2027, 1, 1)
WHEN = (
    ("30 2 * * *", "Europe/Berlin"),
    ("30 2 * * *", "America/New_York"),
    ("15 2 * * *", "Australia/Lord_Howe"),
    ("0 6 * * 1-5", "Asia/Kolkata"),
    ("0 */6 * * *", "UTC"),
    ("0 0 13 * FRI", "Europe/Berlin"),
    ("0 2,4 * * SUN", "Europe/Berlin"),
    ("20 1,13 * * *", "America/New_York"),
    ("0 * 1-7 4,10 *", "Australia/Lord_Howe"),
)
POLICIES: list[tuple[CatchUp, Overlap]] = [
    (catch_up, overlap) for catch_up in ("none", "last", "all") for overlap in ("skip", "queue", "allow")
]


def schedules_of(dice: random.Random) -> list[Schedule]:
    """Each policy once; which expression it goes with is drawn, so that over many seeds all pairs come.

    Two more are due so often that runs get into each other's way.
    """
    when = dice.sample(WHEN, len(WHEN))
    often = Schedule(name="often", notebook="weekly.ipynb", cron="0 */6 * * *", zone="America/New_York")
    at_once = replace(often, name="at-once", cron="30 * 1-9 3,10,11 *", overlap="allow")
    return [often, at_once] + [
        Schedule(
            name=f"{catch_up}-{overlap}",
            notebook="weekly.ipynb",
            cron=cron,
            zone=zone,
            catch_up=catch_up,
            overlap=overlap,
            jitter_s=dice.choice([0, 30]),
        )
        for (catch_up, overlap), (cron, zone) in zip(POLICIES, when, strict=True)
    ]


def expected(schedule: Schedule, world: World) -> tuple[set[datetime], set[datetime]]:
    """The due times that are to run, and those that are not, reckoned from when schedulers lived.

    One that came in the very moment in which the last scheduler was killed may run, or not; so may one that was to be
    made up for by a scheduler that was killed in its first look.
    """
    due = list(reckoning.due_times(schedule.cron, schedule.zone, BEGIN, END))
    if schedule.catch_up == "all":
        return set(due), set()
    missed: set[datetime] = set()
    perhaps: set[datetime] = set()
    for dark, *brief, light in merged(world.outages):
        runs = chosen(schedule, due, dark, light)
        missed.update(each for each in due if dark < each <= light and each not in runs)
        perhaps.update(each for each in due if each == dark)
        for moment in brief:
            perhaps |= chosen(schedule, due, dark, moment)
    return set(due) - missed - perhaps, missed - perhaps


def chosen(schedule: Schedule, due: list[datetime], dark: datetime, light: datetime) -> set[datetime]:
    """What runs of that which came due while no scheduler lived."""
    within = [each for each in due if dark <= each <= light]
    on_time = {each for each in within if light - each <= GRACE}
    return on_time or set(within[-1:] if schedule.catch_up == "last" else [])


def merged(outages: list[tuple[datetime, datetime]]) -> list[list[datetime]]:
    """Outages, those as one that only a scheduler's first and last look lies between: dark, such looks, light."""
    together: list[list[datetime]] = []
    for dark, light in outages:
        if together and together[-1][-1] == dark:
            together[-1].append(light)
        else:
            together.append([dark, light])
    return together


def check(schedule: Schedule, world: World) -> None:
    name, (must, must_not) = schedule.name, expected(schedule, world)
    begun = {due for key, due in world.begun if key == name and due <= END}
    done = {due for key, due in world.done if key == name and due <= END}
    left_out = {due for key, due in world.skipped if key == name and due <= END}
    assert not left_out or schedule.overlap == "skip"
    assert not begun & left_out
    assert not must - begun - left_out, f"{name}: lost {sorted(must - begun - left_out)[:5]}"
    assert not (begun | left_out) & must_not, (
        f"{name}: missed, and yet run: {sorted((begun | left_out) & must_not)[:5]}"
    )
    assert {world.done[name, due] for due in done} <= {1}
    given_up = {due for due in begun - done if world.begun[name, due] == LEAST_LIVES}
    assert begun == done | given_up, f"{name}: neither finished nor given up: {sorted(begun - done - given_up)[:5]}"
    assert all(world.first_begun[name, due] >= due for due in begun)
    if schedule.overlap != "allow":
        assert world.most_alive[name] == 1
        assert world.order[name] == sorted(world.order[name])


@pytest.mark.slow
def test_a_year_of_kills(tmp_path: Path, dice: random.Random) -> None:
    notebooks.write(tmp_path, "x = 1")
    clock = VirtualClock(BEGIN)
    world = World(tmp_path, clock, dice, kills=0.15)
    scheduled = schedules_of(dice)
    for schedule in scheduled:
        world.book.add(schedule)
    for _ in range(3):
        world.begin_scheduler()
    moment = BEGIN
    while moment < END:
        moment = min(moment + timedelta(days=dice.uniform(1, 14)), END)
        world.until(moment)
        if moment < END and dice.random() < 0.5:
            world.kill_all()
    world.settle()
    for schedule in scheduled:
        check(schedule, world)
    print(world.account())
    assert world.skipped
    assert world.most_alive["at-once"] > 1
    assert world.killed_runs > 100
    assert world.killed_between > 20
    assert world.killed_after_start > 20
    assert world.refused > 0
    assert len(world.outages) > 10
