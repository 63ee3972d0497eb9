"""A schedule as a GitHub Actions workflow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines.cron import Cron, listed_text
from orchestration_nb.pipelines.due_times import read_zone
from orchestration_nb.pipelines.launching import run_arguments
from orchestration_nb.pipelines.quoting import Block, as_yaml, github_text, header, shell_words
from orchestration_nb.pipelines.schedules import Schedule

_MOST_MINUTES: Final = 360
"""The longest that GitHub lets a job run."""
_DAY_MINUTES: Final = 24 * 60


def github_workflow(schedule: Schedule, now: datetime) -> dict[str, str]:
    """One file: the workflow, for ``.github/workflows``.

    Raises:
        UsageError: If it cannot be said in UTC when it runs.
    """
    lines = utc_lines(schedule, now)
    steps: list[dict[str, Any]] = []
    offsets = {offset for held in lines.values() for offset in held}
    guarded = any(held != offsets for held in lines.values())
    if guarded:
        steps.append({"name": "Whether it is time", "id": "time", "run": Block(_guard(lines, schedule.zone))})
    sources, environment = _secrets(schedule)
    command = shell_words(["python", "-m", "orchestration_nb.cli", *run_arguments(schedule.with_secrets(sources), ".")])
    work: list[dict[str, Any]] = [
        {"uses": "actions/checkout@v4"},
        {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}},
        {"name": "Install", "run": "pip install orchestration_nb"},
        {"name": "Run", "run": Block(github_text(command) + "\n"), **({"env": environment} if environment else {})},
    ]
    due = {"if": "github.event_name != 'schedule' || steps.time.outputs.due == 'yes'"} if guarded else {}
    steps += [{**due, **step} for step in work]
    job = {"runs-on": "ubuntu-latest", "timeout-minutes": _minutes(schedule), "steps": steps}
    workflow = {
        "name": github_text(f"{schedule.name} ({schedule.notebook})"),
        "on": {"schedule": [{"cron": line} for line in lines], "workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        **_concurrency(schedule),
        "jobs": {"run": job},
    }
    return {f"{schedule.name}.yml": _head(schedule, guarded=guarded) + as_yaml(workflow)}


def utc_lines(schedule: Schedule, now: datetime) -> dict[str, set[int]]:
    """Cron lines in UTC, each with the offsets of the zone, in minutes, at which it is the schedule's time.

    Raises:
        UsageError: If the time in UTC is on another day, and the schedule names days of the month or months.
    """
    cron = schedule.read_cron()
    lines: dict[str, set[int]] = {}
    for offset in _offsets(schedule.zone, now):
        for line in _shifted(cron, offset, schedule.zone):
            lines.setdefault(line, set()).add(offset)
    return lines


def _offsets(zone: str, now: datetime) -> list[int]:
    """The offsets of a zone within a year and a half, in minutes."""
    place = read_zone(zone)
    days = (now.replace(tzinfo=UTC) + timedelta(days=day) for day in range(548))
    return sorted({round((day.astimezone(place).utcoffset() or timedelta()).total_seconds() / 60) for day in days})


def _shifted(cron: Cron, offset: int, zone: str) -> Iterator[str]:
    """The lines for one offset: the minutes of each hour together, and hours together that are so on the same days."""
    minutes_of: dict[tuple[int, int], set[int]] = {}
    for hour in cron.hours.values:
        for minute in cron.minutes.values:
            day, rest = divmod(hour * 60 + minute - offset, _DAY_MINUTES)
            minutes_of.setdefault((day, rest // 60), set()).add(rest % 60)
    every_day = all((cron.days.is_whole, cron.months.is_whole, cron.weekdays.is_whole))
    hours_of: dict[tuple[int, tuple[int, ...]], set[int]] = {}
    for (day, hour), minutes in minutes_of.items():
        hours_of.setdefault((0 if every_day else day, tuple(sorted(minutes))), set()).add(hour)
    for (day, ordered), hours in sorted(hours_of.items()):
        yield _line(cron, day, ordered, tuple(sorted(hours)), zone)


def _line(cron: Cron, day: int, minutes: tuple[int, ...], hours: tuple[int, ...], zone: str) -> str:
    if day and not (cron.days.is_whole and cron.months.is_whole):
        raise UsageError(
            f"GitHub knows only UTC, and there {cron.text!r} in {zone} comes on another day of the month.",
            hint="Choose a time at which it is the same day in UTC, or leave days of the month and months open.",
        )
    weekdays = tuple(sorted({(weekday + day) % 7 for weekday in cron.weekdays.values}))
    week = cron.weekdays.text if not day else "*" if len(weekdays) == 7 else listed_text(weekdays)
    minute = "*" if len(minutes) == 60 else listed_text(minutes)
    hour = "*" if len(hours) == 24 else listed_text(hours)
    return f"{minute} {hour} {cron.days.text} {cron.months.text} {week}"


def _guard(lines: dict[str, set[int]], zone: str) -> str:
    """Which of the lines is meant now, by the offset of the zone: a run that begins late is due all the same."""
    cases = "".join(
        f'  "{line} {_written(offset)}") echo due=yes >> "$GITHUB_OUTPUT" ;;\n'
        for line, offsets in lines.items()
        for offset in sorted(offsets)
    )
    return (
        f'case "${{{{ github.event.schedule }}}} $(TZ={zone} date +%z)" in\n{cases}'
        '  *) echo "It is not the time of the schedule in its own time zone." ;;\nesac\n'
    )


def _written(offset: int) -> str:
    """As ``date +%z`` writes it."""
    return f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}{abs(offset) % 60:02}"


def _secrets(schedule: Schedule) -> tuple[dict[str, str], dict[str, str]]:
    """Where the run is to find its secrets, and the variables of the step that hold them."""
    sources, environment = {}, {}
    for secret, source in schedule.secrets.items():
        kind, _, where = source.partition(":")
        variable = where if kind == "env" else secret
        sources[secret] = f"env:{variable}"
        environment[variable] = f"${{{{ secrets.{variable} }}}}"
    return sources, environment


def _minutes(schedule: Schedule) -> int:
    if schedule.timeout_s is None:
        return _MOST_MINUTES
    return min(_MOST_MINUTES, math.ceil(schedule.timeout_s / 60) + 5)


def _concurrency(schedule: Schedule) -> dict[str, Any]:
    if schedule.overlap == "allow":
        return {}
    return {"concurrency": {"group": f"orchestrate-{schedule.name}", "cancel-in-progress": False}}


def _head(schedule: Schedule, *, guarded: bool) -> str:
    kept = [
        f"{schedule.name}: {schedule.words}",
        "GitHub's cron knows only UTC, and begins late when it is busy.",
    ]
    if guarded:
        kept.append("The times of summer and winter are both below; a first step lets the right one through.")
    kept += [
        "Retries are the run's own, so that one budget and one timeout hold over all of them. A run fails by its exit",
        "code: 1 failed, 2 wrong usage, 3 over budget, 4 waits for a person.",
    ]
    lost = ["The ledger and the cache of a run end with its machine, unless a step keeps the folder .orchestrate."]
    if schedule.catch_up != "none":
        lost.append(f"--catch-up {schedule.catch_up}: GitHub makes up for nothing.")
    if schedule.overlap == "skip":
        lost.append("--overlap skip: one run waits for the run before; further ones are left out.")
    if schedule.overlap == "queue":
        lost.append("--overlap queue: only one run waits for the run before; an older one that waits is left out.")
    if schedule.jitter_s:
        lost.append(f"--jitter {schedule.jitter_s:g}: GitHub has none.")
    return header(kept, lost)
