"""A schedule as what another engine runs natively, for when one machine is not enough.

Each engine gets the same notebook, parameters, limits, tags and secrets by reference, and keeps the meaning of the exit
codes. What it cannot keep of the schedule's rules stands as a sentence at the head of what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.pipelines.export_airflow import airflow_dag
from orchestration_nb.pipelines.export_cron import crontab
from orchestration_nb.pipelines.export_github import github_workflow
from orchestration_nb.pipelines.export_kubernetes import cron_job
from orchestration_nb.pipelines.export_systemd import systemd_units
from orchestration_nb.pipelines.schedules import Schedule

Engine = Literal["airflow", "k8s", "systemd", "cron", "github-actions"]
IMAGE: Final = "orchestration-nb:latest"
"""The container image unless one is named."""


def export_schedule(
    schedule: Schedule, engine: Engine, *, folder: Path, now: datetime, image: str | None = None
) -> dict[str, str]:
    """The files that an engine wants: name to text.

    Args:
        schedule: What is to run.
        engine: What is to run it.
        folder: The workspace, for engines that run on this machine.
        now: Naive UTC: it is written for the time from then on.
        image: The container image, for k8s.

    Raises:
        UsageError: If the engine cannot run it at these times, or something of it cannot be written for the engine.
    """
    _refuse_control_characters(schedule)
    writers: Mapping[Engine, Callable[[], dict[str, str]]] = {
        "airflow": lambda: airflow_dag(schedule, folder, now),
        "k8s": lambda: cron_job(schedule, image or IMAGE),
        "systemd": lambda: systemd_units(schedule, folder),
        "cron": lambda: crontab(schedule, folder),
        "github-actions": lambda: github_workflow(schedule, now),
    }
    return writers[engine]()


def write_files(files: Mapping[str, str], out: Path) -> list[Path]:
    """Writes the files: a single one to ``out``, or into it where it is a folder; several into the folder ``out``.

    Raises:
        WorkspaceError: If one cannot be written.
    """
    into = len(files) > 1 or out.is_dir()
    written = []
    for name, text in files.items():
        path = out / name if into else out
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise WorkspaceError(f"{path} cannot be written: {error.strerror or error}.") from None
        written.append(path)
    return written


def _refuse_control_characters(schedule: Schedule) -> None:
    texts = (schedule.notebook, *schedule.parameters, *schedule.secrets.values(), *schedule.tags.values())
    for text in texts:
        if any((character < " " and character not in "\n\t") or character == "\x7f" for character in text):
            raise UsageError(
                f"{text[:40]!r} holds a control character, which other engines cannot be given.",
                hint="Put such a value into a file for --params.",
            )
