"""A schedule as a systemd service and its timer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestration_nb.pipelines.cron import Cron, Field
from orchestration_nb.pipelines.launching import run_arguments
from orchestration_nb.pipelines.quoting import header, systemd_value, systemd_word
from orchestration_nb.pipelines.schedules import Schedule

_DAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


def systemd_units(schedule: Schedule, folder: Path) -> dict[str, str]:
    """Two files: the service and the timer."""
    unit = f"orchestrate-{schedule.name}"
    return {f"{unit}.service": _service(schedule, folder, unit), f"{unit}.timer": _timer(schedule, unit)}


def calendar_lines(cron: Cron, zone: str) -> list[str]:
    """The expression as systemd writes times; two lines where a day needs to match only one of two fields."""
    date = f"*-{_listed(cron.months, 12)}-{_listed(cron.days, 31)}"
    week = "" if len(cron.weekdays.values) == 7 else ",".join(_DAYS[day] for day in cron.weekdays.values) + " "
    time = f"{_listed(cron.hours, 24)}:{_listed(cron.minutes, 60)}:00 {zone}"
    if cron.is_either_day:
        return [f"{date} {time}", f"{week}*-{_listed(cron.months, 12)}-* {time}"]
    return [f"{week}{date} {time}"]


def _listed(field: Field, whole: int) -> str:
    return "*" if len(field.values) == whole else ",".join(f"{value:02}" for value in field.values)


def _service(schedule: Schedule, folder: Path, unit: str) -> str:
    sources, credentials, variables = dict(schedule.secrets), [], False
    for secret, source in schedule.secrets.items():
        kind, _, where = source.partition(":")
        if kind == "file":
            path = where if where.startswith("/") else f"{folder}/{where}"
            credentials.append(f"LoadCredential={systemd_word(f'{secret}:{path}')}")
        variables = variables or kind == "env"
    files = {secret for secret, source in sources.items() if source.startswith("file:")}
    words = run_arguments(schedule.with_secrets({k: v for k, v in sources.items() if k not in files}), folder)
    command = " ".join(systemd_word(word) for word in (sys.executable, "-m", "orchestration_nb.cli", *words))
    for secret in sorted(files):  # %d is the folder of the unit's credentials: left to be expanded
        command += f' "--secret" "{secret}=file:%d/{secret}"'
    lines = [
        "[Unit]",
        f"Description={systemd_value(f'{schedule.notebook}, {schedule.words}')}",
        "StartLimitIntervalSec=60",
        "StartLimitBurst=5",
        "",
        "[Service]",
        "Type=oneshot",
        f"WorkingDirectory={str(folder).replace('%', '%%')}",
        f"ExecStart={command}",
        *([f"EnvironmentFile=-%E/{unit}.env"] if variables else []),
        *credentials,
        f"TimeoutStartSec={'infinity' if schedule.timeout_s is None else round(schedule.timeout_s) + 120}",
        "TimeoutStopSec=60",
        "Restart=on-failure",
        "RestartSec=10",
        "RestartPreventExitStatus=1 2 3 4 130",
    ]
    kept = [
        f"{schedule.name}: {schedule.words}",
        f"Put {unit}.service and {unit}.timer into ~/.config/systemd/user, then:",
        f"systemctl --user enable --now {unit}.timer",
        "Retries are the run's own, so that one budget and one timeout hold over all of them. Exit codes: 1 failed,",
        "2 wrong usage, 3 over budget, 4 waits for a person: none of those is begun again. What is killed is.",
    ]
    if variables:
        kept.append(
            f"Variables with secrets stand in ~/.config/{unit}.env, readable by you alone: NAME=value, a line each."
        )
    return header(kept, _lost(schedule)) + "\n".join(lines) + "\n"


def _lost(schedule: Schedule) -> Sequence[str]:
    lost = []
    if schedule.catch_up == "all":
        lost.append("--catch-up all: of several due times that were missed, only one is made up for.")
    if schedule.overlap != "skip":
        lost.append(f"--overlap {schedule.overlap}: what comes due while the run before is under way is left out.")
    return lost


def _timer(schedule: Schedule, unit: str) -> str:
    lines = [
        "[Unit]",
        f"Description={systemd_value(schedule.words)}",
        "",
        "[Timer]",
        *(f"OnCalendar={line}" for line in calendar_lines(schedule.read_cron(), schedule.zone)),
        f"Persistent={'false' if schedule.catch_up == 'none' else 'true'}",
        "AccuracySec=1s",
        *([f"RandomizedDelaySec={schedule.jitter_s:.15g}"] if schedule.jitter_s else []),
        f"Unit={unit}.service",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return header([f"{schedule.name}: {schedule.words}"], []) + "\n".join(lines) + "\n"
