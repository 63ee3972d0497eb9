"""A schedule as a line of a crontab."""

from __future__ import annotations

import sys
from pathlib import Path

from orchestration_nb.pipelines.launching import run_arguments
from orchestration_nb.pipelines.quoting import LINE_END, cron_text, header, one_line_shell
from orchestration_nb.pipelines.schedules import Schedule
from orchestration_nb.state import FOLDER_NAME


def crontab(schedule: Schedule, folder: Path) -> dict[str, str]:
    """One file: the lines for a user's crontab."""
    command = [sys.executable, "-m", "orchestration_nb.cli", *run_arguments(schedule, folder)]
    lock = f"{folder}/{FOLDER_NAME}/cron-{schedule.name}.lock"
    parts = [LINE_END] if any("\n" in word for word in [lock, *command]) else []
    parts.append(one_line_shell(["cd", str(folder)]))
    if any(source.startswith("env:") for source in schedule.secrets.values()):
        parts.append(f'set -a && . "$HOME/.config/orchestrate-{schedule.name}.env" && set +a')
    waits = "flock -n " if schedule.overlap == "skip" else "flock "
    parts.append(
        (waits + one_line_shell([lock]) + " " if schedule.overlap != "allow" else "") + one_line_shell(command)
    )
    line = " && ".join(parts)
    text = f"CRON_TZ={schedule.zone}\n{schedule.read_cron().plain} {cron_text(line)}\n"
    return {f"{schedule.name}.cron": _head(schedule) + text}


def _head(schedule: Schedule) -> str:
    kept = [
        f"{schedule.name}: {schedule.words}",
        "For `crontab -e`. CRON_TZ holds for the lines below it; cronie knows it. Debian's cron does not: there the",
        "machine's own time zone has to be that of the schedule.",
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 over budget, 4 waits for a person, 130 cancelled.",
    ]
    if any(source.startswith("env:") for source in schedule.secrets.values()):
        kept.append(
            f"Variables with secrets stand in ~/.config/orchestrate-{schedule.name}.env, readable by you alone: "
            "NAME='value', a line each."
        )
    lost = []
    if schedule.catch_up != "none":
        lost.append(f"--catch-up {schedule.catch_up}: cron makes up for nothing.")
    if schedule.overlap == "queue":
        lost.append("--overlap queue: due times that wait for the run before may run in another order.")
    if schedule.jitter_s:
        lost.append(f"--jitter {schedule.jitter_s:g}: cron has none.")
    return header(kept, lost)
