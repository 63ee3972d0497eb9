"""What is exported is taken by the engines themselves: a real Airflow, the schemas of Kubernetes and GitHub."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration_nb.pipelines.exporting import Engine, export_schedule, write_files
from orchestration_nb.pipelines.schedules import Schedule
from tests.conftest import REPO, engines_python
from tests.pipelines.hostile_schedules import hostile
from tests.pipelines.reckoning import utc

SECRETS = {"TOKEN": "env:MY_TOKEN", "PASSWORD": "file:/run/secrets/pass word", "OTHER": "keyring:mail/ada"}
RULES: list[dict[str, Any]] = [
    {"name": "none-skip", "catch_up": "none", "overlap": "skip", "secrets": SECRETS},
    {"name": "last-queue", "catch_up": "last", "overlap": "queue", "jitter_s": 30, "cron": "*/15 * * * SAT,SUN"},
    {"name": "all-allow", "catch_up": "all", "overlap": "allow", "cron": "0 0 1,15 2-4 *", "zone": "UTC"},
    {"name": "bare", "parameters": (), "tags": {}, "budget_usd": None, "timeout_s": None, "retries": 0},
]


def checked(check: str, path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "AIRFLOW_HOME": str(folder / "airflow"), "PYTHONPATH": ""}
    command = [str(engines_python()), str(REPO / "tests" / "pipelines" / "engine_checks.py"), check, str(path)]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def exported(engine: Engine, rules: dict[str, Any], folder: Path) -> Path:
    schedule: Schedule = hostile(folder, **rules)
    (path,) = write_files(
        export_schedule(schedule, engine, folder=folder, now=utc(2026, 2, 1)),
        folder / "exported" / f"{schedule.name}.py",
    )
    return path


@pytest.mark.engines
@pytest.mark.slow
def test_a_real_airflow_imports_the_dags_and_keeps_the_rules(tmp_path: Path) -> None:
    for rules in RULES:
        exported("airflow", rules, tmp_path)
    found = answer(checked("airflow", tmp_path / "exported", tmp_path))
    assert found["errors"] == {}
    dags = found["dags"]
    assert set(dags) == {rules["name"] for rules in RULES}
    assert {dag["timetable"] for dag in dags.values()} == {"CronTriggerTimetable"}
    assert (dags["none-skip"]["expression"], dags["none-skip"]["zone"]) == ("30 6 * * 1-5", "Europe/Berlin")
    assert {name: dag["catchup"] for name, dag in dags.items() if dag["catchup"]} == {"all-allow": True}
    assert {name: dag["max_active_runs"] for name, dag in dags.items()} == {
        "none-skip": 1,
        "last-queue": 1,
        "all-allow": 16,
        "bare": 1,
    }
    assert (dags["none-skip"]["retries"], dags["none-skip"]["timeouts"]) == ([2], [3720.0])
    assert (dags["bare"]["retries"], dags["bare"]["timeouts"]) == ([0], [None])
    assert "t2=it's" in dags["none-skip"]["tags"]
    for name, dag in dags.items():
        assert dag["outcomes"] == {
            "0 after 0 min": "done",
            "1 after 0 min": "AirflowException",
            "2 after 0 min": "AirflowFailException",
            "3 after 0 min": "AirflowFailException",
            "4 after 0 min": "AirflowFailException",
            "130 after 0 min": "AirflowFailException",
            "0 after 20 min": "AirflowSkipException" if name in {"none-skip", "bare"} else "done",
        }
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.engines
@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules["name"])
def test_the_cron_job_fits_the_strict_schema_of_kubernetes(tmp_path: Path, rules: dict[str, Any]) -> None:
    path = exported("k8s", rules, tmp_path)
    assert answer(checked("kubernetes", path, tmp_path)) == {"version": "1.34"}


@pytest.mark.engines
def test_the_schema_of_kubernetes_is_strict(tmp_path: Path) -> None:
    path = exported("k8s", RULES[0], tmp_path)
    cron = yaml.safe_load(path.read_text())
    cron["spec"]["jobTemplate"]["spec"]["podFailPolicy"] = {}
    path.write_text(yaml.safe_dump(cron))
    assert "podFailPolicy" in checked("kubernetes", path, tmp_path).stderr


@pytest.mark.engines
@pytest.mark.parametrize("rules", [RULES[0], RULES[2], RULES[3]], ids=lambda rules: rules["name"])
def test_the_workflow_fits_the_schema_of_github(tmp_path: Path, rules: dict[str, Any]) -> None:
    path = exported("github-actions", rules, tmp_path)
    assert answer(checked("github", path, tmp_path))["schema"].endswith("github-workflow.json")
