"""A schedule as an Airflow DAG, for Airflow 3."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Final

from orchestration_nb.pipelines.launching import run_arguments
from orchestration_nb.pipelines.quoting import header
from orchestration_nb.pipelines.schedules import Schedule

_LONGEST_TAG: Final = 100
_MOST_AT_ONCE: Final = 16
_TEMPLATE: Final = '''\
import os
import subprocess
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Variable, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.timetables.trigger import CronTriggerTimetable

WORKSPACE = {workspace}
COMMAND = {command}
SECRETS = {secrets}
"""Variables that hold secrets: of the worker's environment, else of Airflow."""
NOT_RETRIED = {{2: "wrong usage", 3: "over budget", 4: "it waits for a person: orchestrate resume", 130: "cancelled"}}
LEAVES_OUT = {leaves_out}
"""Whether a run is left out that had to wait, because the one before it was under way."""


@task(
    task_id="run",
    retries={retries},
    retry_delay=timedelta(seconds=30),
    retry_exponential_backoff=True,
    execution_timeout={execution_timeout},
)
def run_notebook(**context):
    dag_run, tries = context["dag_run"], context["ti"].try_number
    due = dag_run.logical_date or dag_run.run_after
    waited = (dag_run.start_date or due) - (dag_run.run_after or due)
    if LEAVES_OUT and tries == 1 and waited > timedelta(minutes=5):
        raise AirflowSkipException("The run before this one was still under way.")
    command = [*COMMAND, "--due", due.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S%z")]
    if tries > 1:
        command.append("--again")  # goes on with the try before, under the same budget
    missing = {{name: Variable.get(name) for name in SECRETS if name not in os.environ}}
    process = subprocess.Popen(command, cwd=WORKSPACE, env={{**os.environ, **missing}})
    try:
        code = process.wait()
    except BaseException:
        process.terminate()  # it cancels what is under way, and books it
        process.wait(timeout=60)
        raise
    if code in NOT_RETRIED:
        raise AirflowFailException(f"Exit code {{code}}: {{NOT_RETRIED[code]}}.")
    if code:
        raise AirflowException(f"Exit code {{code}}.")


with DAG(
    dag_id={dag_id},
    description={description},
    schedule=CronTriggerTimetable({cron}, timezone={zone}, run_immediately={run_immediately}),
    start_date=datetime({start}, tzinfo=timezone.utc),
    catchup={catchup},
    max_active_runs={max_active_runs},
    tags={tags},
) as dag:
    run_notebook()
'''


def airflow_dag(schedule: Schedule, folder: Path, now: datetime) -> dict[str, str]:
    """One file: the DAG. Values stand in it as Python texts, and none of them passes through a template or a shell."""
    words = run_arguments(schedule, folder, retries=False)
    timeout = "None" if schedule.timeout_s is None else f"timedelta(seconds={round(schedule.timeout_s) + 120})"
    text = _TEMPLATE.format(
        workspace=repr(str(folder)),
        command=_listed([sys.executable, "-m", "orchestration_nb.cli", *words]),
        secrets=repr([where[4:] for where in schedule.secrets.values() if where.startswith("env:")]),
        leaves_out=schedule.overlap == "skip" and schedule.catch_up == "none",
        retries=schedule.retries,
        execution_timeout=timeout,
        dag_id=repr(schedule.name),
        description=repr(f"{schedule.notebook}, {schedule.words}"),
        cron=repr(schedule.read_cron().plain),
        zone=repr(schedule.zone),
        run_immediately=schedule.catch_up == "last",
        start=f"{now.year}, {now.month}, {now.day}",
        catchup=schedule.catch_up == "all",
        max_active_runs=_MOST_AT_ONCE if schedule.overlap == "allow" else 1,
        tags=repr(sorted({f"{key}={value}"[:_LONGEST_TAG] for key, value in schedule.tags.items()})),
    )
    return {f"{schedule.name}.py": _head(schedule) + text}


def _listed(words: list[str]) -> str:
    return "[\n" + "".join(f"    {word!r},\n" for word in words) + "]"


def _head(schedule: Schedule) -> str:
    kept = [
        f"{schedule.name}: {schedule.words}",
        "For the folder of DAGs of Airflow 3. The worker holds the workspace and a Python with orchestration_nb.",
        "A retry goes on with the try before it, under the same budget; exit codes 2, 3, 4 and 130 are not retried.",
    ]
    lost = []
    if schedule.overlap == "skip" and schedule.catch_up == "none":
        kept.append(
            "--overlap skip: Airflow lets a run wait for the one before; one that waited five minutes is left out."
        )
    elif schedule.overlap == "skip":
        lost.append("--overlap skip, since late runs are made up for: what comes due meanwhile waits.")
    if schedule.jitter_s:
        lost.append(f"--jitter {schedule.jitter_s:g}: Airflow has none.")
    return header(kept, lost)
