"""A schedule as a Kubernetes CronJob."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final

from orchestration_nb.pipelines.launching import run_arguments
from orchestration_nb.pipelines.quoting import as_yaml, header, kubernetes_argument
from orchestration_nb.pipelines.schedules import Schedule

WORKSPACE: Final = "/workspace"
DEATHS: Final = 3
"""How often a pod that died without an exit code of ours is begun again."""
OURS: Final = (1, 2, 3, 4, 130)
"""Exit codes after which another pod would change nothing: the run has made its own retries."""
_DAY_S: Final = 86_400
_CONCURRENCY: Final = {"skip": "Forbid", "queue": "Forbid", "allow": "Allow"}
_SOME_DAY: Final = datetime(2026, 1, 1)  # noqa: DTZ001 - any will do


def cron_job(schedule: Schedule, image: str) -> dict[str, str]:
    """One file: the CronJob."""
    name = resource_name(schedule.name)
    environment, mounts, volumes, arguments = _secrets(schedule, name)
    container = {
        "name": "run",
        "image": image,
        "command": ["python", "-m", "orchestration_nb.cli"],
        "args": [kubernetes_argument(word) for word in run_arguments(arguments, WORKSPACE)],
        "workingDir": WORKSPACE,
        **({"env": environment} if environment else {}),
        "volumeMounts": [{"name": "workspace", "mountPath": WORKSPACE}, *mounts],
    }
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "workspace", "persistentVolumeClaim": {"claimName": "orchestrate-workspace"}}, *volumes],
    }
    job: dict[str, Any] = {
        "backoffLimit": max(DEATHS, schedule.retries),
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": {"containerName": "run", "operator": "In", "values": list(OURS)}},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "template": {"metadata": {"annotations": _annotations(schedule)}, "spec": pod},
    }
    if schedule.timeout_s is not None:
        job["activeDeadlineSeconds"] = round(schedule.timeout_s) + 120
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "annotations": _annotations(schedule)},
        "spec": {
            "schedule": schedule.read_cron().plain,
            "timeZone": schedule.zone,
            "concurrencyPolicy": _CONCURRENCY[schedule.overlap],
            "startingDeadlineSeconds": starting_deadline_s(schedule),
            "jobTemplate": {"spec": job},
        },
    }
    return {f"{schedule.name}.yaml": _head(schedule, name) + as_yaml(cron)}


def resource_name(name: str) -> str:
    """A name that Kubernetes takes for a CronJob: at most 52 small letters, digits and dashes."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "schedule"
    if plain == name and len(plain) <= 52:
        return plain
    return f"{plain[:43].strip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def starting_deadline_s(schedule: Schedule) -> int:
    """How late a run may begin: a minute where nothing is made up for or waits, else a day.

    Less for what is due often: Kubernetes begins nothing where more than 100 due times were missed within it.
    """
    if schedule.catch_up == "none" and schedule.overlap != "queue":
        return 60
    gap = timedelta(days=366)
    earlier, times = None, schedule.due_times().every_after(_SOME_DAY)
    for due, _ in zip(times, range(50), strict=False):
        gap = min(gap, due - earlier) if earlier is not None else gap
        earlier = due
    return max(60, min(_DAY_S, round(90 * gap.total_seconds())))


def _annotations(schedule: Schedule) -> dict[str, str]:
    tags = {f"orchestrate/tag.{key}": value for key, value in schedule.tags.items() if len(key) <= 50}
    budget = {} if schedule.budget_usd is None else {"orchestrate/budget-usd": f"{schedule.budget_usd:.15g}"}
    return {"orchestrate/schedule": schedule.name, **budget, **tags}


def _secrets(schedule: Schedule, name: str) -> tuple[list[Any], list[Any], list[Any], Schedule]:
    """Variables, mounts and volumes for the secrets, and the schedule as the container is to know it."""
    environment, mounts, volumes, sources = [], [], [], dict(schedule.secrets)
    for number, (secret, source) in enumerate(schedule.secrets.items(), 1):
        kind, _, where = source.partition(":")
        if kind == "file":
            key = secret
            path = where if where.startswith("/") else str(PurePosixPath(WORKSPACE) / where)
            mounts.append({"name": f"secret-{number}", "mountPath": path, "subPath": key, "readOnly": True})
            volumes.append(
                {"name": f"secret-{number}", "secret": {"secretName": name, "items": [{"key": key, "path": key}]}}
            )
        else:
            variable = where if kind == "env" else secret
            sources[secret] = f"env:{variable}"
            environment.append({"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": variable}}})
    return environment, mounts, volumes, schedule.with_secrets(sources)


def _head(schedule: Schedule, name: str) -> str:
    kept = [
        f"{schedule.name}: {schedule.words}",
        "The container image holds Python, orchestration_nb and what the notebook imports; the volume claim",
        "orchestrate-workspace holds the workspace, so that the ledger and the cache stay.",
        "Retries are the run's own, so that one budget and one timeout hold over all of them. Exit codes: 1 failed,",
        "2 wrong usage, 3 over budget, 4 waits for a person: no other pod is begun for those. A pod that dies is.",
    ]
    if schedule.secrets:
        kept.append(f"Its secrets are read from the Secret {name}.")
    lost = []
    if schedule.catch_up == "all":
        lost.append("--catch-up all: of several due times that were missed, only the last one is made up for.")
    if schedule.overlap == "queue":
        lost.append("--overlap queue: of several due times that wait for the run before, only the last one runs.")
    if schedule.jitter_s:
        lost.append(f"--jitter {schedule.jitter_s:g}: Kubernetes has none.")
    return header(kept, lost)
