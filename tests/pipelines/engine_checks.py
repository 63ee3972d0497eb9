"""Checks of exported schedules by the engines' own means, in their environment: ``python engine_checks.py CHECK FILE``.

Prints one JSON object, and nothing of this package is imported.
"""

from __future__ import annotations

import importlib.resources
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def airflow(folder: Path) -> dict[str, Any]:
    """What a real Airflow makes of the DAGs in a folder, and what it does at each exit code."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(folder))
    dags = {
        dag_id: {
            "timetable": type(dag.timetable).__name__,
            "expression": dag.timetable.summary,
            "zone": str(dag.timetable._timezone),
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "tags": sorted(dag.tags),
            "retries": [task.retries for task in dag.tasks],
            "timeouts": [task.execution_timeout and task.execution_timeout.total_seconds() for task in dag.tasks],
        }
        for dag_id, dag in bag.dags.items()
    }
    for dag_id, dag in bag.dags.items():
        dags[dag_id]["outcomes"] = outcomes(dag.get_task("run").python_callable)
    return {"errors": {str(path): str(error) for path, error in bag.import_errors.items()}, "dags": dags}


def outcomes(run: Any) -> dict[str, str]:
    """Exit code, or how long the run had to wait, to what Airflow is told: what it retries, fails and leaves out."""
    told = {}
    due = datetime(2026, 1, 5, 6, tzinfo=UTC)
    for code, waited in ((0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (130, 0), (0, 20)):
        begun = due + timedelta(minutes=waited)
        context = {
            "dag_run": SimpleNamespace(logical_date=due, run_after=due, start_date=begun),
            "ti": SimpleNamespace(try_number=1),
        }
        run.__globals__["COMMAND"] = [sys.executable, "-c", f"import sys; sys.exit({code})"]
        run.__globals__["SECRETS"], run.__globals__["WORKSPACE"] = [], "/"
        try:
            run(**context)
        except Exception as error:  # noqa: BLE001 - whatever Airflow would be told
            told[f"{code} after {waited} min"] = type(error).__name__
        else:
            told[f"{code} after {waited} min"] = "done"
    return told


def kubernetes(path: Path) -> dict[str, Any]:
    """Whether the file fits the strict schema of Kubernetes: a key that is none is an error, too."""
    import kubernetes_validate
    import yaml

    version = kubernetes_validate.validate(yaml.safe_load(path.read_text()), "1.34", strict=True)
    return {"version": version}


def github(path: Path) -> dict[str, Any]:
    """Whether the file fits SchemaStore's schema of workflows."""
    import jsonschema
    import yaml

    vendored = importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/github-workflows.json"
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(yaml.safe_load(path.read_text()))
    return {"schema": schema["$id"]}


if __name__ == "__main__":
    check = {"airflow": airflow, "kubernetes": kubernetes, "github": github}[sys.argv[1]]
    print(json.dumps(check(Path(sys.argv[2]))))
